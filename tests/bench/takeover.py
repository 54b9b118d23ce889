#!/usr/bin/env python3
"""takeover.py BUE [--rounds N]: kill -9 of a worker that runs tasks, again and again, and how long it
takes until another worker has begun each of them."""
import argparse
import os
import sys
import time

CLUSTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster')

STEPS = '''
import asyncio
import os
import time
import buelon

def note(event):
    line = f'{event} {time.time():.6f} {buelon.task().key} {buelon.task().attempt} x\\n'
    with open(f'FOLDER/{os.path.basename(os.getcwd())}.{os.getpid()}.log', 'a') as log:
        log.write(line)

async def hold(x=None):
    note('start')
    while not os.path.exists(f'RELEASED/{buelon.task().key}'):
        await asyncio.sleep(0.05)
'''


class Bench:
    """Two workers, full; one is emptied, the other killed: who was emptied takes its tasks over."""

    def __init__(self, cluster, tasks):
        self.cluster = cluster
        self.tasks = tasks
        self.logs = cluster.path('steps-log')
        self.released = cluster.path('released')
        os.makedirs(self.logs)
        os.makedirs(self.released)
        cluster.start_bucket()
        cluster.start_hub()
        cluster.write('steps.py', STEPS.replace('FOLDER', self.logs)
                      .replace('RELEASED', self.released))
        self.script = cluster.write('hold.bue', 'import python (hold !mode async) steps.py\npipe = | hold\n'
                                    f'for x in range({2 * tasks}):\n    pipe(x)\n')
        self.workers = {name: self.start(name) for name in ('w0', 'w1')}
        self.count = 2

    def start(self, name):
        return self.cluster.start_worker('--name', name, '--async-slots', self.tasks,
                                         cwd=self.cluster.path(name))

    def started(self, worker):
        """{task: when} of what began on `worker`."""
        return {key: at for (key, _), events in self.events(self.logs).items()
                for at, what, where in events if where == worker}

    def release(self, keys):
        for key in keys:
            open(os.path.join(self.released, key), 'w').close()

    def round(self, wait_for):
        run = self.cluster.upload(self.script)
        survivor, victim = self.workers
        wait_for(lambda: len(self.started(survivor)) == len(self.started(victim)) == self.tasks,
                 'both are full')
        mine = self.started(victim)
        self.release(self.started(survivor))
        self.cluster.wait_done(run, self.tasks)
        at = time.time()
        self.workers[victim].process.kill()
        wait_for(lambda: set(mine) <= set(self.started(survivor)), 'they begin elsewhere')
        delays = [self.started(survivor)[key] - at for key in mine]
        self.workers.pop(victim).kill()
        self.release(mine)
        self.cluster.bue('wait', run)
        for log in os.listdir(self.logs):
            os.unlink(os.path.join(self.logs, log))
        # The new one is the next to survive, so that either is both in turn.
        name = f'w{self.count}'
        self.count += 1
        self.workers = {name: self.start(name), **self.workers}
        return delays


def main():
    parser = argparse.ArgumentParser(prog='takeover.py', description=__doc__)
    parser.add_argument('bue')
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--tasks', type=int, default=20, help='running on the worker that is killed')
    options = parser.parse_args()
    os.environ['BUE'] = os.path.abspath(options.bue)
    sys.path.insert(0, CLUSTER)
    import turmoil
    import workload
    from cluster import wait_for
    Bench.events = staticmethod(workload.events)
    cluster = turmoil.new_cluster()
    try:
        bench = Bench(cluster, options.tasks)
        delays = sorted(delay for _ in range(options.rounds) for delay in bench.round(wait_for))
    finally:
        cluster.doCleanups()

    def percentile(share):
        return 1000 * delays[min(len(delays) - 1, int(share * len(delays)))]
    print(f'{options.rounds} kills, {len(delays)} tasks: begun elsewhere after p50 '
          f'{percentile(0.5):.1f} ms, p90 {percentile(0.9):.1f} ms, p99 {percentile(0.99):.1f} ms, '
          f'at most {1000 * delays[-1]:.1f} ms')


if __name__ == '__main__':
    sys.exit(main())
