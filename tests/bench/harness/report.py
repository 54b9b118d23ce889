"""What was measured, as a table for people and as JSON for programs."""
import json
import os
import platform
import time

from harness.figures import Curve, number, summarize

HEAD = ('figure', 'median', 'min', 'max', 'unit', 'goal')
FORMATS = ('<24', '>12', '>12', '>12', '<9', '')


class Measured:
    """A row with what its rounds came to. `error`: why it has no figures. `foreign`: CPU cores that
    others used meanwhile. `peers`: {peer: {figure: value} or why it has none}."""

    def __init__(self, row, rounds, error='', foreign=0.0):
        self.row = row
        self.rounds = rounds
        self.summaries = summarize(rounds)
        self.curves = [one for one in rounds[-1] if isinstance(one, Curve)] if rounds else []
        self.error = error
        self.foreign = foreign
        self.peers = {}

    def verdict(self, goal):
        for summary in self.summaries:
            if summary.name == goal.figure:
                return 'met' if goal.met_by(summary.median) else 'NOT MET'
        return 'not measured'

    def print(self):
        row = self.row
        print(f'\n{row.name}: {row.title}')
        print(f'  how: {row.how}')
        if self.error:
            print(f'  FAILED: {self.error}')
            return
        print('  ' + line(HEAD))
        for one in self.summaries:
            goals = '; '.join(f'{goal.relation} {goal.bound:,g} {self.verdict(goal)}'
                              for goal in row.goals if goal.figure == one.name)
            print('  ' + line((one.name, number(one.median), number(one.min), number(one.max),
                               one.unit, goals)))
        for curve in self.curves:
            print_curve(curve)
        self._print_peers()
        print(f'  rounds: {len(self.rounds)}; others used {self.foreign:.2f} cores meanwhile',
              flush=True)

    def _print_peers(self):
        ratios = self.ratios()
        unit = next((one.unit for one in self.summaries
                     if self.row.compare and one.name == self.row.compare.figure), '')
        for peer, (reached, ratio) in ratios.items():
            print(f'  {peer}: {number(reached)} {unit}; ours is {number(ratio)} times as good')
        for peer, why in self.peers.items():
            if peer not in ratios:
                print(f'  {peer}: {why}')

    def ratios(self):
        """{peer: (what it reached, how many times as good ours is)}, the best peer first."""
        found = {}
        for peer, figures in self.peers.items():
            if isinstance(figures, dict):
                name = self.row.compare.figure
                ours = next(one.median for one in self.summaries if one.name == name)
                theirs = figures[name]
                found[peer] = (theirs, ours / theirs if name == 'rate' else theirs / ours)
        return dict(sorted(found.items(), key=lambda one: one[1][1]))

    def as_json(self):
        return {
            'row': self.row.name, 'title': self.row.title, 'how': self.row.how,
            'error': self.error or None, 'rounds': len(self.rounds),
            'foreign_cores': round(self.foreign, 3),
            'figures': [one._asdict() for one in self.summaries],
            'curves': [one._asdict() for one in self.curves],
            'goals': [{'goal': str(goal), 'verdict': self.verdict(goal)}
                      for goal in self.row.goals],
            'peers': self.peers,
            'times_as_good': {peer: ratio for peer, (_, ratio) in self.ratios().items()},
        }


def line(cells):
    return '  '.join(map(format, cells, FORMATS)).rstrip()


def print_curve(curve):
    """A line for each point, with a bar as long as its share of the largest."""
    most = max(y for _, y in curve.points)
    print(f'  {curve.x_name:>14}  {curve.name}, {curve.unit}')
    for x, y in curve.points:
        print(f'  {number(x):>14}  {number(y):>8} {"#" * round(40 * y / most)}')


def print_list(rows):
    for row in rows:
        goals = ', '.join(map(str, row.goals)) or 'no goal'
        print(f'{row.name:22} {row.title}\n{"":22} {goals}{"" if row.by_default else "; by name or --all"}')


def print_verdicts(measured):
    """The last lines: what is not as it should be."""
    judged = [(one, goal, one.verdict(goal)) for one in measured for goal in one.row.goals]
    met = [verdict for _, _, verdict in judged if verdict == 'met']
    if judged:
        print(f'\n{len(met)} of {len(judged)} goals met')
    for one, goal, verdict in judged:
        if verdict != 'met':
            print(f'  {one.row.name}: {goal}: {verdict}')


def write_json(path, measured, options):
    with open(path, 'w') as file:
        json.dump({'when': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()),
                   'machine': {'cores': os.cpu_count(), 'kernel': platform.release(),
                               'python': platform.python_version()},
                   'scale': options.scale,
                   'rows': [one.as_json() for one in measured]}, file, indent=1)
        file.write('\n')
