"""Rows: how long one small run takes, from upload to its value."""
import json
import os
import subprocess

from harness.figures import Figure, Goal, latencies, percentile
from harness.row import Comparison, Row, check

STEPS = '''
PIECE = bytes(10240)

def one():
    return 7

def grow(data=b''):
    return data + PIECE

def never(x):
    pass
'''

ONE = 'import python (one) steps.py\npipe = | one\nv = pipe()\n'
QUEUE = '!scope nobody\nimport python (never) steps.py\npipe = | never\nfor x in range(100):\n    pipe(x)\n'

HOW = ('one client, one after the other: upload, wait for the end, read the result; in '
       'client_bench, so without starting processes; floor: bare processes that hand on as many bytes '
       'and sync as often, just before')


def measure_runs(stage, script, count):
    """Milliseconds of each of `count` runs of `script`, and the size of the last value `v`."""
    def round_trips(times):
        return stage.client('roundtrip', script, times, stage.cluster.bucket.address)
    round_trips(20)  # Starts the runner, loads the step.
    return round_trips(count)


def floor(bench, stage, steps, step_bytes):
    """p50 in milliseconds of what a run of so many steps takes at least, here and now."""
    tool = [os.path.join(bench.tools, 'floor_bench'), stage.cluster.folder, '300', str(steps), str(step_bytes)]
    done = subprocess.run(tool, capture_output=True, text=True, check=True, timeout=120)
    return percentile(json.loads(done.stdout)['ms'], 0.5)


def beside_floor(milliseconds, least):
    """The figures of runs that could take `least` at best."""
    figures = latencies(milliseconds)
    return [*figures, Figure('floor, p50', least, 'ms'), Figure('p50 to floor', figures[0].value / least, '')]


def one_task(queued_runs):
    """The measurement of single tasks beside so many runs of 100 tasks that nobody may run."""
    def measure(bench):
        with bench.stage() as stage:
            stage.start()
            script = stage.script('one', ONE, STEPS)
            least = floor(bench, stage, 1, 1)
            if queued_runs:
                runs = bench.scaled(queued_runs, 10)
                queued = stage.client('upload', stage.script('queue', QUEUE), runs, 32)
                check(queued['runs'] == runs, 'all runs are queued')
            found = measure_runs(stage, script, bench.scaled(1000, 100))
            check(found['bytes'] == 1, 'the value is 7')
        return beside_floor(found['ms'], least)
    return measure


def chain(length):
    def measure(bench):
        with bench.stage() as stage:
            stage.start()
            pipe = ' | '.join(['grow'] * length)
            script = stage.script('chain', f'import python (grow) steps.py\npipe = {pipe}\n'
                                           'v = pipe()\n', STEPS)
            least = floor(bench, stage, length, 10240)
            found = measure_runs(stage, script, bench.scaled(300, 50))
            payload = length * 10240
            check(found['bytes'] == payload, f'the value has {payload} bytes')
        return beside_floor(found['ms'], least)
    return measure


ROWS = [
    Row('latency', 'one Python task, upload to value, all fsynced', HOW, one_task(0),
        goals=(Goal('p50', '<=', 1), Goal('p99', '<=', 4)), compare=Comparison('latency', 'p50', 1000)),
    Row('latency-queued', 'the same with 1 M tasks queued',
        HOW + '; 10,000 runs of 100 tasks are queued in a scope that no worker serves',
        one_task(10_000), goals=(Goal('p99', '<=', 10),)),
    Row('chain-10', 'a chain of 10 Python steps, each adds 10 KiB to its input', HOW, chain(10),
        goals=(Goal('p50', '<=', 8),), compare=Comparison('chain', 'p50', 100)),
    Row('chain-40', 'a chain of 40 Python steps, each adds 10 KiB to its input', HOW, chain(40)),
]
