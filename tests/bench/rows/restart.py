"""Rows: kill -9 of a hub that has a million tasks queued and a thousand running, and how soon the next
one dispatches."""
import time

from cluster import wait_for
from harness import processes
from harness.figures import Figure, Goal
from harness.meter import MB
from harness.row import Row, check
from rows.noted import NotedSteps

RUNNING = 1000
TASKS = 1_000_000

HOLD = '!priority 9\nimport python (hold !mode async) steps.py\npipe = | hold\nfor x in range({}):\n    pipe(x)\n'
HEAD = 'import python (tick) steps.py\npipe = | tick\n'


def loop(tasks):
    return [f'{HEAD}for x in range({tasks}):\n    pipe(x)\n']


def calls(tasks):
    return [HEAD + 'pipe()\n' * tasks]


def runs(tasks):
    return loop(tasks // 100) * 100


def restart(texts):
    """The measurement of one kill. `texts`: the scripts that queue so many tasks."""
    def measure(bench):
        running = bench.scaled(RUNNING, 20)
        with bench.stage() as stage:
            steps = NotedSteps(stage)
            stage.start(2, ('--async-slots', running // 2, '--thread-slots', 4))
            cluster = stage.cluster
            holding = cluster.upload(stage.script('hold', HOLD.format(running)))
            wait_for(lambda: len(steps.starts()) == running, f'{running} run', pause_s=0.5)
            for number, text in enumerate(texts(bench.scaled(TASKS, 10_000))):
                cluster.upload(stage.script(f'queue-{number}', text))
            memory = processes.memory_bytes(cluster.hub.pid)
            waiting = sum(one['tasks']['waiting'] for one in cluster.statuses())
            cluster.hub.kill()
            time.sleep(1)  # What the workers hold of the queue runs out.
            began = time.time()
            cluster.start_hub(cluster.hub.address)
            listening = time.time()

            def started():
                return [at for at in steps.starts().values() if at > began]
            first = min(wait_for(started, 'a task begins', pause_s=0.01))
            steps.release(steps.starts())
            cluster.bue('wait', holding)
            check(not steps.again(), f'nothing runs twice: {steps.again()[:3]}')
        return [Figure('dispatches after', first - began, 's'),
                Figure('listening after', listening - began, 's'),
                Figure('queued', waiting, 'tasks'), Figure('memory hub', memory / MB, 'MB')]
    return measure


HOW = ('two workers hold 1,000 async steps; kill -9 of the hub; from the start of the next hub\'s process '
       'until a queued step notes its start; nothing that ran begins again')
GOAL = (Goal('dispatches after', '<=', 1),)

ROWS = [
    Row('restart-loop', 'hub killed with 1 M queued as one loop', HOW, restart(loop), goals=GOAL),
    Row('restart-calls', 'hub killed with 1 M queued as calls in one script', HOW, restart(calls),
        goals=GOAL),
    Row('restart-runs', 'hub killed with 1 M queued as 100 runs', HOW, restart(runs), goals=GOAL),
]
