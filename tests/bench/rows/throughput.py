"""Rows: how many tasks a second, and what each costs."""
from harness.figures import Figure, Goal
from harness.row import Comparison, Row, check

STEPS = '''
import asyncio

def plain(x):
    return x

async def straight(x):
    return x

async def suspending(x):
    await asyncio.sleep(0)
    return x
'''

SCRIPT = '''
import python ({function} as step {directives}) steps.py
pipe = | step
for x in range({tasks}):
    v = pipe(x)
'''


def no_op_script(stage, function, tasks, directives=''):
    return stage.script(f'{function}-{tasks}', SCRIPT.format(
        function=function, tasks=tasks, directives=directives), STEPS)


def python(function, workers=1, tasks=300_000, directives=''):
    """The measurement of so many no-op tasks of one kind."""
    def measure(bench):
        count = bench.scaled(tasks, 1000)
        with bench.stage() as stage:
            stage.start(workers)
            stage.run(no_op_script(stage, function, 2000, directives))
            script = no_op_script(stage, function, count, directives)
            with stage.meter() as meter:
                status = stage.run(script)
            check(status['tasks']['done'] == count, f'all tasks are done: {status["tasks"]}')
            check(stage.value(status, 'v') == list(range(count)), 'each item has its own value')
        return [Figure('rate', count / status['elapsed_s'], 'tasks/s'), *meter.per_task(count),
                *meter.peaks()]
    return measure


HOW = ('one loop over range(), after 2,000 tasks that start the runners; from the run\'s start to its '
       'end by the hub, every value fsynced in the bucket and read back afterwards')
NO_OP = Comparison('noop', 'rate', 10_000)

ROWS = [
    Row('python-plain', 'no-op Python tasks, plain `def`, 1 worker', HOW, python('plain'),
        goals=(Goal('rate', '>=', 60_000),), compare=NO_OP),
    Row('python-plain-2', 'no-op Python tasks, plain `def`, 2 workers', HOW, python('plain', 2)),
    Row('python-async', 'no-op Python tasks, `async def` (the best mode), 1 worker', HOW,
        python('straight'), goals=(Goal('rate', '>=', 100_000), Goal('CPU in all', '<=', 20)),
        compare=NO_OP),
    Row('python-async-2', 'no-op Python tasks, `async def`, 2 workers', HOW, python('straight', 2)),
    Row('python-suspending', '`async def` tasks that give way once, 1 worker', HOW,
        python('suspending')),
    Row('python-process', 'no-op Python tasks, `!mode process`, 1 worker', HOW,
        python('plain', tasks=20_000, directives='!mode process')),
]
