"""Rows: the scheduler alone, with more workers and tasks than a machine can run processes for."""
import json
import os
import subprocess

from harness.figures import Curve, Figure, Goal
from harness.row import Row, check


def scheduler(workers, leases, tasks):
    """The measurement of one loop of so many tasks in a scheduler with so many workers."""
    def measure(bench):
        count = bench.scaled(tasks, 100_000)
        program = os.path.join(bench.tools, 'scheduler_bench')
        found = json.loads(subprocess.run([program, str(workers), str(leases), str(count)], check=True,
                                          capture_output=True, text=True, timeout=3600).stdout)
        points = found['points']
        check(found['done'] == count, 'all tasks are done')
        first, last = (sum(point['us'] for point in part) / len(part)
                       for part in (points[1:6], points[-5:]))
        return [Figure('CPU of a task', sum(point['us'] for point in points) / len(points), 'us'),
                Figure('at the start', first, 'us'), Figure('at the end', last, 'us'),
                Figure('end to start', last / first, ''),
                Figure('memory at the end', points[-1]['mb'], 'MB'),
                Figure('all workers join', found['join_s'], 's'),
                Figure('memory of a worker', found['workers_mb'] * 1e6 / workers, 'B'),
                Curve('CPU of a task', 'us', 'tasks', [(one['tasks'], one['us']) for one in points]),
                Curve('memory', 'MB', 'tasks', [(one['tasks'], one['mb']) for one in points])]
    return measure


HOW = ('in a process of its own, without disk, network and threads; in a turn at most 64 workers report all '
       'that they hold, one after the other; CPU of the process; start and end: a quarter each')
GOALS = (Goal('end to start', '<=', 1.1),)

ROWS = [
    Row('scheduler-100', 'the scheduler alone: 10^7 tasks of one loop, 100 workers of 64 leases', HOW,
        scheduler(100, 64, 10_000_000), goals=GOALS, rounds_max=1),
    Row('scheduler-10k', 'the scheduler alone: 10^8 tasks of one loop, 10,000 workers of 64 leases', HOW,
        scheduler(10_000, 64, 100_000_000), goals=GOALS, rounds_max=1, by_default=False),
]
