"""Rows: a list is spread over tasks and gathered again."""
from harness.figures import Figure, Goal
from harness.row import Comparison, Row, check

STEPS = '''
def source():
    return list(range({items}))

def same(x):
    return x

def total(values):
    return [len(values), sum(values)]
'''

SCRIPT = '''
import python (source, same, total) steps.py
source_pipe = | source
pipe = | same
total_pipe = | total
for x in source_pipe():
    v = pipe(x)
t = total_pipe(v)
'''


def fan(items):
    def measure(bench):
        count = bench.scaled(items, 100)
        with bench.stage() as stage:
            stage.start()
            script = stage.script('fan', SCRIPT, STEPS.format(items=count))
            stage.run(script)  # Starts the runners.
            with stage.meter() as meter:
                status = stage.run(script)
            check(stage.value(status, 't') == [count, sum(range(count))], 'the list is whole')
        return [Figure('time', status['elapsed_s'], 's'),
                Figure('rate', count / status['elapsed_s'], 'tasks/s'), *meter.per_task(count),
                *meter.peaks()]
    return measure


HOW = ('a step makes a list, a loop runs a plain `def` for each element, a last step takes the list of '
       'their values; the second such run, from its start to its end by the hub; the sum is checked')

ROWS = [
    Row('fan-10k', 'fan-out and fan-in of 10,000', HOW, fan(10_000),
        goals=(Goal('time', '<=', 0.3),), compare=Comparison('fan', 'time', 10_000)),
    Row('fan-1m', 'fan-out and fan-in of 1,000,000', HOW, fan(1_000_000), rounds_max=1),
]
