#!/usr/bin/env python3
"""restart.py BUE [--shape loop|runs|calls] [--tasks N] [--running N] [--rounds N]: kills a hub that has
a million tasks queued and 500 running, starts it again, and says how soon it dispatches, counted from
the start of its process, and whether any task that ran was run again.

loop: one loop over a million; runs: a hundred runs of ten thousand; calls: a script of a million calls.
"""
import argparse
import json
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
    while not os.path.exists('FOLDER/../release'):
        await asyncio.sleep(0.1)
    note('end')

def tick(x=None):
    note('start')
    time.sleep(0.02)
'''


def parse():
    parser = argparse.ArgumentParser(prog='restart.py', description=__doc__)
    parser.add_argument('bue')
    parser.add_argument('--shape', choices=('loop', 'runs', 'calls'), default='loop')
    parser.add_argument('--tasks', type=int, default=1000000)
    parser.add_argument('--running', type=int, default=500)
    parser.add_argument('--rounds', type=int, default=3)
    return parser.parse_args()


def scripts(options):
    """The texts of the queued runs."""
    head = 'import python (tick) steps.py\npipe = | tick\n'
    if options.shape == 'loop':
        return [f'{head}for x in range({options.tasks}):\n    pipe(x)\n']
    if options.shape == 'calls':
        return [head + 'pipe()\n' * options.tasks]
    return [f'{head}for x in range({options.tasks // 100}):\n    pipe(x)\n'] * 100


def main():
    options = parse()
    os.environ['BUE'] = os.path.abspath(options.bue)
    sys.path.insert(0, CLUSTER)
    import turmoil
    import workload
    from cluster import rss_bytes, wait_for
    cluster = turmoil.new_cluster()
    try:
        logs = cluster.path('steps-log')
        os.makedirs(logs)
        cluster.start_bucket()
        cluster.start_hub()
        for name in ('w0', 'w1'):
            cluster.start_worker('--name', name, '--async-slots', options.running // 2,
                                 '--thread-slots', 4, cwd=cluster.path(name))
        cluster.write('steps.py', STEPS.replace('FOLDER', logs))
        holding = cluster.upload(cluster.write(
            'hold.bue', '!priority 9\nimport python (hold !mode async) steps.py\npipe = | hold\n'
            f'for x in range({options.running}):\n    pipe(x)\n'))
        wait_for(lambda: cluster.status(holding)['tasks']['running'] == options.running,
                 f'{options.running} run')
        for number, text in enumerate(scripts(options)):
            cluster.upload(cluster.write(f'{number}.bue', text))
        def queued():
            return sum(one['tasks']['waiting']
                       for one in json.loads(cluster.bue('status', '--json').stdout))

        def last_start():
            return max(at for events in workload.events(logs).values() for at, what, _ in events
                       if what == 'start')
        for _ in range(options.rounds):
            waiting = queued()
            memory = rss_bytes(cluster.hub.pid)
            cluster.hub.kill()
            time.sleep(1)  # What the workers hold runs out.
            began = time.time()
            cluster.start_hub(cluster.hub.address)
            ready = time.time()
            wait_for(lambda: last_start() > began, 'a task begins', pause_s=0.001)
            first = min(at for events in workload.events(logs).values() for at, what, _ in events
                        if what == 'start' and at > began)
            print(f'{options.shape}: {waiting} queued, {options.running} running, hub at '
                  f'{memory >> 20} MB: listening {1000 * (ready - began):.0f} ms after the start of '
                  f'the process, first task begun after {1000 * (first - began):.0f} ms', flush=True)
        cluster.write('release', '')
        cluster.bue('wait', holding)
        again = workload.reruns(logs)
        print(f'{len(again)} tasks begun again (must be 0)', flush=True)
        return 1 if again else 0
    finally:
        cluster.doCleanups()


if __name__ == '__main__':
    sys.exit(main())
