"""Rows: a worker that runs tasks is killed or hangs, and how soon they begin on another."""
import signal
import time

from cluster import wait_for
from harness.figures import Figure, Goal, percentile
from harness.row import Row, check
from rows.noted import NotedSteps

TASKS = 20  # On the worker that is struck.

SCRIPT = ('import python (hold !mode async) steps.py\npipe = | hold\n'
          f'for x in range({2 * TASKS}):\n    pipe(x)\n')


class Workers:
    """Two workers, full; one is emptied, the other struck: who was emptied takes its tasks over."""

    def __init__(self, stage):
        self.stage = stage
        self.steps = NotedSteps(stage)
        stage.start(workers=0)
        self.script = stage.script('hold', SCRIPT)
        self.count = 0
        self.workers = {}
        self.add()
        self.add()

    def add(self):
        """The new one is the next to survive, so that either is both in turn."""
        name = f'w{self.count}'
        self.count += 1
        self.workers = {name: self.stage.start_worker(name, '--async-slots', TASKS), **self.workers}

    def strike(self, number):
        """Sends one of them a signal; returns the seconds until each of its tasks began elsewhere."""
        cluster, steps = self.stage.cluster, self.steps
        run = cluster.upload(self.script)
        survivor, victim = self.workers
        wait_for(lambda: len(steps.starts(survivor)) == len(steps.starts(victim)) == TASKS,
                 'both are full')
        theirs = steps.starts(victim)
        steps.release(steps.starts(survivor))
        cluster.wait_done(run, TASKS)
        at = time.time()
        self.workers[victim].process.send_signal(number)
        wait_for(lambda: set(theirs) <= set(steps.starts(survivor)), 'they begin elsewhere')
        delays = [steps.starts(survivor)[task] - at for task in theirs]
        self.workers.pop(victim).kill()
        steps.release(theirs)
        cluster.bue('wait', run)
        check(cluster.status(run)['tasks']['done'] == 2 * TASKS, 'every task is done')
        steps.forget()
        self.add()
        return delays


def takeover(number, strikes):
    def measure(bench):
        with bench.stage() as stage:
            workers = Workers(stage)
            delays = [delay for _ in range(bench.scaled(strikes, 2))
                      for delay in workers.strike(number)]
        return [Figure('p50', percentile(delays, 0.5), 's'),
                Figure('p99', percentile(delays, 0.99), 's')]
    return measure


HOW = (f'two workers; {TASKS} async steps on the one that is struck; until each notes its start on the '
       'other; every task is done in the end')

ROWS = [
    Row('worker-killed', 'a worker is killed: its tasks begin elsewhere', 'kill -9, 30 times; ' + HOW,
        takeover(signal.SIGKILL, 30), goals=(Goal('p99', '<=', 0.05),), rounds_max=1),
    Row('worker-cut-off', 'a worker is silent: its tasks begin elsewhere', 'SIGSTOP, 3 times; ' + HOW,
        takeover(signal.SIGSTOP, 3), goals=(Goal('p99', '<=', 5),), rounds_max=1),
]
