"""Rows: the hub alone, with a worker whose tasks take no time."""
from harness.figures import Figure, Goal, latencies, rate_as_it_goes
from harness.row import Row, check

LEASES = 1000

STEPS = 'def step(x=None):\n    pass\n'
HEAD = 'import python (step !mode thread) steps.py\npipe = | step\n'


def loop(stage, tasks):
    return stage.script(f'loop-{tasks}', f'{HEAD}for x in range({tasks}):\n    pipe(x)\n', STEPS)


def no_op(bench):
    count = bench.scaled(1_000_000, 1000)
    with bench.stage() as stage:
        stage.start(workers=0)
        instant = stage.start_instant_worker(LEASES)
        single = stage.client('roundtrip', stage.script('one', f'{HEAD}pipe()\n', STEPS), 300)
        with stage.meter(instant=[instant.pid]) as meter:
            status = stage.run(loop(stage, count))
        check(status['tasks']['done'] == count, f'all tasks are done: {status["tasks"]}')
    return [Figure('rate', count / status['elapsed_s'], 'tasks/s'), *meter.per_task(count),
            *meter.peaks(), *latencies(single['ms'], 'one task ')]


def huge_loop(bench):
    """Memory is that of the whole run; the rates are of the second and of the last twentieth."""
    count = bench.scaled(100_000_000, 1_000_000)
    with bench.stage() as stage:
        stage.start(workers=0)
        instant = stage.start_instant_worker(LEASES)
        with stage.meter(instant=[instant.pid]) as meter:
            status, seen = stage.watch(loop(stage, count))
        check(status['tasks']['done'] == count, f'all tasks are done: {status["tasks"]}')
    return [Figure('rate', count / status['elapsed_s'], 'tasks/s'), *rate_as_it_goes(seen, count),
            *meter.per_task(count), *meter.peaks()]


ROWS = [
    Row('hub', 'no-op tasks through the hub, fsynced, one worker whose tasks take no time',
        f'`bue hub` and an instant worker with {LEASES} leases in processes of their own, one loop over '
        'range(); from the run\'s start to its end by the hub; `one task`: 300 uploads one by one, '
        'each to its end',
        no_op, goals=(Goal('rate', '>=', 300_000), Goal('CPU in all', '<=', 5),
                      Goal('one task p50', '<=', 1), Goal('one task p99', '<=', 4))),
    Row('hub-loop-100m', 'one loop of 10^8 tasks, one worker whose tasks take no time',
        'as `hub`; a client watches; start and end: medians of the twentieths 2 to 6 and of the last five',
        huge_loop, goals=(Goal('memory hub', '<=', 200), Goal('end to start', '>=', 0.9)),
        rounds_max=1, by_default=False),
]
