"""Rows: thousands of steps that wait, at once, on one worker."""
from harness.figures import Figure, Goal
from harness.row import Comparison, Row, check

STEPS = '''
import asyncio
import time

async def sleep(x):
    await asyncio.sleep({seconds})
    return x

def block(x):
    time.sleep({seconds})
    return x
'''

SCRIPT = 'import python ({function}) steps.py\npipe = | {function}\nfor x in range({steps}):\n    v = pipe(x)\n'


def waiting(function, option, steps, seconds):
    """The measurement of so many steps that wait at once."""
    def measure(bench):
        count = bench.scaled(steps, 100)
        with bench.stage() as stage:
            stage.start(1, (option, count))
            script = stage.script('waiting', SCRIPT.format(function=function, steps=count),
                                  STEPS.format(seconds=seconds))
            stage.run(script)  # Starts the runners and their threads.
            with stage.meter() as meter:
                status = stage.run(script)
            check(stage.value(status, 'v') == list(range(count)), 'each item has its own value')
        return [Figure('times the ideal', status['elapsed_s'] / seconds, ''),
                Figure('time', status['elapsed_s'], 's'), *meter.per_task(count), *meter.peaks()]
    return measure


HOW = ('one worker with as many slots as steps; the second such run, from its start to its end by the hub; '
       'ideal: all wait at the same time')

ROWS = [
    Row('sleep-async-0.5', '10,000 async steps that sleep 0.5 s', HOW,
        waiting('sleep', '--async-slots', 10_000, 0.5), goals=(Goal('times the ideal', '<=', 1.3),),
        compare=Comparison('sleep', 'time', 10_000)),
    Row('sleep-async-2', '10,000 async steps that sleep 2 s', HOW,
        waiting('sleep', '--async-slots', 10_000, 2), goals=(Goal('times the ideal', '<=', 1.1),)),
    Row('sleep-threads', '2,000 plain `def` steps that block for 2 s', HOW,
        waiting('block', '--thread-slots', 2000, 2)),
]
