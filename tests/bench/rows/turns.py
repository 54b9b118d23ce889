"""Rows: who gets the next free slot: runs in turns, and the most urgent task at once."""
import json

from cluster import wait_for
from harness.figures import Figure, Goal, latencies
from harness.row import Row, check

LEASES = 1000
RUNS = 100
DISPATCHES = 100_000
SLOTS = 16
TASK_MS = 50

STEPS = 'def step(x=None):\n    pass\n'
HEAD = 'import python (step !mode thread) steps.py\npipe = | step\n'


def loop(tasks):
    return f'{HEAD}for x in range({tasks}):\n    pipe(x)\n'


def shares(stage, weights, leases, dispatches):
    """How many of the first so many tasks each run was given; one run for each weight. All of them
    wait when the worker comes."""
    script = stage.script('loop', loop(dispatches), STEPS)
    runs = [stage.cluster.upload(script, '--weight', weight) for weight in weights]
    worker = stage.start_instant_worker(leases, count=dispatches)
    found = json.loads(worker.stdout.readline())
    worker.kill()
    stage.cluster.bue('cancel', *runs)
    given = [found.get(run[1:], 0) for run in runs]
    check(sum(given) == dispatches, f'all are of these runs: {sum(given)} of {dispatches}')
    return given


def error_percent(given, weights):
    """The largest deviation of a run's share from its due one, as part of that."""
    due = [sum(given) * weight / sum(weights) for weight in weights]
    return 100 * max(abs(one - its) / its for one, its in zip(given, due))


def fairness(bench):
    count = bench.scaled(DISPATCHES, 20 * RUNS)
    equal, mixed = [1] * RUNS, [1, 3] * (RUNS // 2)
    with bench.stage() as stage:
        stage.start(workers=0)
        given = shares(stage, equal, LEASES, count)
        few = shares(stage, equal, 64, count)
        weighted = shares(stage, mixed, LEASES, count)
    return [Figure('share error', error_percent(given, equal), '%'),
            Figure('fewest', min(given), 'tasks'), Figure('most', max(given), 'tasks'),
            Figure('share error, 64 leases', error_percent(few, equal), '%'),
            Figure('share error, weights', error_percent(weighted, mixed), '%'),
            Figure('weight 3 to 1', sum(weighted[1::2]) / sum(weighted[::2]), 'x')]


def in_turns(bench):
    """What it costs that many runs take turns."""
    each = bench.scaled(10_000, 100)
    count = each * RUNS
    with bench.stage() as stage:
        stage.start(workers=0)
        script = stage.script('loop', loop(each), STEPS)
        stage.client('upload', script, RUNS, 1)
        instant = stage.start_instant_worker(LEASES)
        with stage.meter(instant=[instant.pid]) as meter:
            wait_for(lambda: all(one['state'] == 'succeeded' for one in stage.cluster.statuses()),
                     'every run succeeds', 600, 0.1)
        statuses = stage.cluster.statuses()
        done = sum(one['tasks']['done'] for one in statuses)
        check(len(statuses) == RUNS and done == count, f'all tasks are done: {done}')
    return meter.per_task(count)


def time_starts(stage, name, queued, count):
    """From a free slot to the start of the most urgent task, with so many others queued."""
    low = stage.script('low', HEAD + 'pipe()\n' * queued, STEPS)
    top = stage.script('top', f'!priority 9\n{HEAD}pipe()\n')
    timed = stage.client(low, top, SLOTS, TASK_MS, count, program='priority_bench')
    ms, early = timed['ms'], timed['early_ms']
    check(len(ms) + len(early) == count and timed['low'] > count, f'both ran: {timed["low"]}')
    return [*latencies(ms, f'{name}start '), Figure(f'{name}start longest', max(ms), 'ms'),
            Figure(f'{name}early', 100 * len(early) / count, '%'),
            *latencies(early, f'{name}early ')]


def priority(bench):
    queued = bench.scaled(1_000_000, 2000)
    count = bench.scaled(600, 100)
    with bench.stage() as stage:
        stage.start(workers=0)
        few = time_starts(stage, 'few queued ', 100 * count, count)
    with bench.stage() as stage:
        stage.start(workers=0)
        found = time_starts(stage, '', queued, count)
        stage.cluster.upload(stage.script('other', '!scope other\n' + loop(2_000_000_000)))
        stage.start_instant_worker(LEASES, scope='other')
        return found + few + time_starts(stage, 'beside load ', queued, count)


SLOW_STEPS = '''
import os
import time

def quick(x):
    pass

def slow(x):
    time.sleep(0.2)
    return os.path.basename(os.getcwd())

def count(names):
    return [names.count(name) for name in ('w0', 'w1')]
'''
QUICK = '''
import python (quick) steps.py
pipe = | quick
for x in range({count}):
    pipe(x)
'''
SLOW = '''
import python (slow, count) steps.py
pipe = | slow
count_pipe = | count
for x in range({count}):
    v = pipe(x)
n = count_pipe(v)
'''


def even(bench):
    """One worker has asked ahead for what turns out to be slow, and the other is idle soon."""
    with bench.stage() as stage:
        stage.start(worker_options=('--slots', 2))
        stage.run(stage.script('quick', QUICK.format(count=bench.scaled(5000, 1000)), SLOW_STEPS))
        stage.start_worker('w1', '--slots', 2)
        status = stage.run(stage.script('slow', SLOW.format(count=100)))
        given = stage.value(status, 'n')
        check(sum(given) == 100, f'all are done: {given}')
    return [Figure('time', status['elapsed_s'], 's'), Figure('fewest', min(given), 'tasks'),
            Figure('most', max(given), 'tasks')]


ROWS = [
    Row('fairness', f'{RUNS} runs of one scope and priority, {DISPATCHES:,} dispatches',
        f'all runs wait when an instant worker with {LEASES} leases comes, which counts the tasks that it '
        'is given, by run; at the moment of the last one: the largest deviation of a run\'s share from '
        'its due one, as part of that; again with a worker of 64 leases; again with 50 runs of weight 1 '
        'and 50 of weight 3',
        fairness, goals=(Goal('share error', '<=', 1),)),
    Row('turns', f'10^6 tasks of {RUNS} runs that take turns',
        f'as `hub`, of {RUNS} loops that all wait when the worker comes, until the last has ended',
        in_turns),
    Row('priority', 'the most urgent task, with 10^6 others waiting: from a free slot to its start',
        f'10^6 calls wait and keep the {SLOTS} slots of a worker busy, {TASK_MS / 2:g} to '
        f'{1.5 * TASK_MS:g} ms each; again and again one task of higher priority is uploaded; from the '
        'first report of a slot that became free after the upload\'s acknowledgement to the task\'s '
        'grant in the worker\'s hands; `early`: those that had a grant before that, in a slot that became '
        'free while they were uploaded, from the last report before; `few queued`: the same with 60,000 calls; `beside load`: with all of them, while the '
        'hub serves another worker as fast as it can, as `hub`',
        priority, goals=(Goal('start p99', '<=', 2),)),
    Row('even', '100 tasks of 0.2 s on two workers, one of which asks for many ahead',
        'a worker of 2 slots runs 5,000 tasks of no time, so that it expects more of these, and a second '
        'one starts; then 100 that sleep for 0.2 s, from that run\'s start to its end by the hub; how many '
        'each worker had',
        even, goals=(Goal('time', '<=', 5.3),)),
]
