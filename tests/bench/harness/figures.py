"""Figures, goals for them, and what several rounds come to."""
import collections
import math
import statistics

Figure = collections.namedtuple('Figure', 'name value unit')

# How something goes on: (x, y) in order. Measured once, shown as a plot.
Curve = collections.namedtuple('Curve', 'name unit x_name points')


class Goal(collections.namedtuple('Goal', 'figure relation bound')):
    """What the median over the rounds of one figure should be: Goal('rate', '>=', 60000)."""

    def met_by(self, value):
        return value >= self.bound if self.relation == '>=' else value <= self.bound

    def __str__(self):
        return f'{self.figure} {self.relation} {self.bound:,g}'


Summary = collections.namedtuple('Summary', 'name unit median min max')


def summarize(rounds):
    """A Summary of each figure, in the order of first appearance. `rounds`: a list of Figures each."""
    values = {}
    for figures in rounds:
        for figure in (one for one in figures if isinstance(one, Figure)):
            values.setdefault((figure.name, figure.unit), []).append(figure.value)
    return [Summary(name, unit, statistics.median(found), min(found), max(found))
            for (name, unit), found in values.items()]


def percentile(values, share):
    """The smallest value that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def latencies(milliseconds, name=''):
    """p50 and p99 of many measurements."""
    return [Figure(f'{name}p50', percentile(milliseconds, 0.5), 'ms'),
            Figure(f'{name}p99', percentile(milliseconds, 0.99), 'ms')]


def rate_between(seen, low, high):
    """How many a second there were between the counts `low` and `high`. `seen`: (seconds, count), in
    order; it must tell the two apart."""
    before = max((point for point in seen if point[1] <= low), default=seen[0])
    after = min(point for point in seen if point[1] >= high)
    return (after[1] - before[1]) / (after[0] - before[0])


def rate_as_it_goes(seen, count):
    """Figures and a Curve: how fast a run of `count` tasks was in each twentieth of it. Its start and its
    end are medians of five, without the first: one may be a slow moment of the machine."""
    steps = [count * part / 20 for part in range(21)]
    rates = [rate_between(seen, low, high) for low, high in zip(steps, steps[1:])]
    start, end = (statistics.median(some) for some in (rates[1:6], rates[-5:]))
    return [Figure('rate at the start', start, 'tasks/s'), Figure('rate at the end', end, 'tasks/s'),
            Figure('end to start', end / start, ''),
            Curve('rate', 'tasks/s', 'tasks', [*zip(steps[1:], rates)])]


def number(value):
    """Three digits that mean something, thousands apart."""
    if value == 0 or abs(value) >= 100:
        return f'{value:,.0f}'
    return f'{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}'
