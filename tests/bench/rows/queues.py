"""Rows: what a long queue costs, in time and in memory of the hub."""
import time

from harness import processes
from harness.figures import Figure, Goal, rate_as_it_goes
from harness.meter import MB
from harness.row import Comparison, Row, check

STEPS = 'def step(x=None):\n    return x\n'
HEAD = 'import python (step) steps.py\npipe = | step\n'
TASKS = 1_000_000
PER_RUN = 100


def loop(tasks):
    return f'{HEAD}for x in range({tasks}):\n    pipe(x)\n'


def calls(tasks):
    return HEAD + 'pipe()\n' * tasks


def queue(text, per_run=None):
    """The measurement of queueing a million tasks with no worker about. `text`: the script of so many
    tasks; `per_run`: how many of them a run has, all if it is not given."""
    def measure(bench):
        tasks = bench.scaled(TASKS, 1000)
        runs = tasks // per_run if per_run else 1
        with bench.stage() as stage:
            stage.start(workers=0)
            script = stage.script('queue', text(tasks // runs), STEPS)
            stage.client('upload', stage.script('warm', loop(1)), 1, 1)
            before = processes.memory_bytes(stage.cluster.hub.pid)
            with stage.meter() as meter:
                seconds = upload(stage, script, runs)
            grown = processes.memory_bytes(stage.cluster.hub.pid) - before
            waiting = sum(one['tasks']['waiting'] for one in stage.cluster.statuses())
            check(waiting == tasks // runs * runs + 1, f'{waiting} tasks wait, one from the warm-up')
        return [Figure('time', seconds, 's'), Figure('hub grows by', grown / MB, 'MB'),
                Figure('memory of a task', grown / tasks, 'B'), *meter.peaks()]
    return measure


def upload(stage, script, runs):
    """A single run as a user uploads it, many by one client. Returns the seconds it took."""
    began = time.monotonic()
    if runs == 1:
        stage.cluster.bue('upload', '-f', script, limit_s=600)
    else:
        found = stage.client('upload', script, runs, 32)
        check(found['runs'] == runs, 'every run is acknowledged')
    return time.monotonic() - began


def python_loop(bench):
    tasks = bench.scaled(TASKS, 20_000)
    with bench.stage() as stage:
        stage.start()
        stage.run(stage.script('warm', loop(2000), STEPS))
        script = stage.script('loop', loop(tasks))
        with stage.meter() as meter:
            status, seen = stage.watch(script)
        check(status['tasks']['done'] == tasks, f'all tasks are done: {status["tasks"]}')
    return [Figure('rate', tasks / status['elapsed_s'], 'tasks/s'), *rate_as_it_goes(seen, tasks),
            Figure('first results', min(at for at, done in seen if done), 's'), *meter.per_task(tasks),
            *meter.peaks()]


NO_WORKER = 'no worker; from the start of `bue upload` to its end, which compiles and fsyncs; what waits is counted'
RUNS = 'no worker; client_bench uploads, 32 at once, until the last is acknowledged; what waits is counted'

ROWS = [
    Row('queue-loop', '1 M tasks queued as one loop', NO_WORKER, queue(loop),
        goals=(Goal('time', '<=', 1), Goal('hub grows by', '<=', 20))),
    Row('queue-calls', '1 M tasks queued as 1 M calls in one script', NO_WORKER, queue(calls),
        goals=(Goal('time', '<=', 10), Goal('memory of a task', '<=', 150)),
        compare=Comparison('queue', 'memory of a task', 100_000)),
    Row('queue-runs', '1 M tasks queued as 10,000 runs, each a loop over 100', RUNS,
        queue(loop, PER_RUN), goals=(Goal('time', '<=', 10), Goal('hub grows by', '<=', 200))),
    Row('queue-runs-calls', '1 M tasks queued as 10,000 runs of 100 calls', RUNS,
        queue(calls, PER_RUN), goals=(Goal('time', '<=', 10), Goal('hub grows by', '<=', 200))),
    Row('loop-1m', 'one loop of 10^6 Python tasks', 'one worker, plain `def`; a client uploads and watches it',
        python_loop, goals=(Goal('memory hub', '<=', 200),),
        rounds_max=1),
]
