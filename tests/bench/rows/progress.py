"""Rows: how well a run knows where it stands."""
import time

from harness.figures import Figure, Goal
from harness.row import Row, check

STEPS = '''
import time

def nap(x):
    time.sleep(0.1)
    return x

def rest(x):
    time.sleep(0.2)
    return x
'''


def loop(stage, step, tasks):
    return stage.script(step, f'import python ({step}) steps.py\npipe = | {step}\n'
                        f'for x in range({tasks}):\n    v = pipe(x)\n', STEPS)


def half_way(bench):
    """The time left, as told at half the way, beside the time it took; then a step's times."""
    with bench.stage() as stage:
        stage.start(2, ('--slots', 1))
        run = stage.cluster.upload(loop(stage, 'rest', 100))
        status = stage.cluster.status(run)
        while status['progress_percent'] < 50:
            time.sleep(0.02)
            status = stage.cluster.status(run)
        told = time.monotonic()
        stage.cluster.bue('wait', run)
        took_s = time.monotonic() - told
        status_nap = stage.run(loop(stage, 'nap', 100))
    nap = status_nap['steps'][0]
    check(status['eta_s'] is not None, f'there is an eta: {status}')
    check(nap['attempts'] == 100 and nap['run_s']['min'] >= 0.1, f'no nap is too short: {nap}')
    parts_s = nap['run_s']['mean'] + nap['overhead_ms'] / 1000
    return [Figure('eta at 50 %', status['eta_s'], 's'), Figure('rest took', took_s, 's'),
            Figure('eta to ideal', status['eta_s'] / 5, ''),
            Figure('mean of a 0.1 s step', nap['run_s']['mean'], 's'),
            Figure('p95 of a 0.1 s step', nap['run_s']['p95'], 's'),
            Figure('overhead', nap['overhead_ms'], 'ms'),
            Figure('parts to total', parts_s / nap['total_s'], '')]


ROWS = [
    Row('progress', 'how well a run knows where it stands',
        '100 steps that sleep 0.2 s on two workers with one slot each: the time left as told at half the '
        'way, by a client that asks every 20 ms; then 100 steps that sleep 0.1 s: their times as told at '
        'the end',
        half_way, goals=(Goal('eta to ideal', '<=', 1.3), Goal('mean of a 0.1 s step', '<=', 0.12)),
        rounds_max=3),
]
