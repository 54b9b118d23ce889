"""Rows: what the product costs before and beside any work: start-up, a large script, idle roles."""
import os
import subprocess
import time

from cluster import clean_environment
from harness import processes
from harness.figures import Figure, Goal, latencies
from harness.meter import MB, Meter
from harness.row import Row, check

STEPS = 'def step(x=None):\n    return 7\n'
SCRIPT = 'import python (step) steps.py\npipe = | step\nv = pipe()\n'


def command(stage, *words):
    """Runs a client command in the cluster's folder; (its seconds, its own peak of memory in bytes)."""
    began = time.monotonic()
    with open(stage.cluster.path('output'), 'w') as output:
        client = subprocess.Popen([os.environ['BUE'], *words], cwd=stage.cluster.folder,
                                  env=clean_environment(), stdin=subprocess.DEVNULL, stdout=output)
    _, status, usage = os.wait4(client.pid, 0)
    client.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    check(status == 0, f'bue {" ".join(words)} ended with {client.returncode}')
    return seconds, usage.ru_maxrss * 1024


def start_up(bench):
    with bench.stage() as stage:
        script = stage.script('one', SCRIPT, STEPS)
        command(stage, 'run', '-f', script)
        times = [command(stage, 'run', '-f', script) for _ in range(bench.scaled(20, 5))]
        with open(stage.cluster.path('output')) as output:
            check('succeeded' in output.read(), 'the run succeeds')
    return [*latencies([1000 * seconds for seconds, _ in times]),
            Figure('memory bue run', max(peak for _, peak in times) / MB, 'MB'),
            Figure('size of bue', os.path.getsize(bench.bue) / MB, 'MB')]


def large_script(bench):
    size = bench.scaled(10_000_000, 10_000)
    calls = size // len('value_of_1234567 = pipe()\n')
    text = 'import python (step) steps.py\npipe = | step\n' + ''.join(
        f'value_of_{call:07} = pipe()\n' for call in range(calls))
    with bench.stage() as stage:
        stage.start(workers=0)
        script = stage.script('large', text, STEPS)
        with stage.meter() as meter:
            seconds, peak = command(stage, 'upload', '-f', script, '-b', stage.cluster.hub_address)
        waiting = stage.cluster.statuses()[0]['tasks']['waiting']
        check(waiting == calls, f'{waiting} of {calls} tasks wait')
    return [Figure('time', seconds, 's'), Figure('calls', calls, ''),
            Figure('memory bue upload', peak / MB, 'MB'), *meter.peaks()]


def idle(bench):
    seconds = bench.scaled(20, 2)
    with bench.stage() as stage:
        stage.start()
        stage.run(stage.script('one', SCRIPT, STEPS))
        runners = [pid for worker in stage.workers for pid in processes.descendants(worker.pid)]
        roles = {**stage.pids(), 'runners': runners}
        time.sleep(2)  # What the run left to do is done.
        before = {role: wake_ups(pids) for role, pids in roles.items()}
        with Meter(stage.pids()) as meter:
            time.sleep(seconds)
        woken = {role: wake_ups(pids) - before[role] for role, pids in roles.items()}
    return [*(Figure(f'CPU {role}', 1000 * cpu / seconds, 'ms/s') for role, cpu in meter.cpu_s.items()),
            *(Figure(f'wake-ups {role}', count / seconds, '/s') for role, count in woken.items()),
            *meter.peaks()]


def wake_ups(pids):
    return sum(map(processes.wake_ups, pids))


ROWS = [
    Row('start-up', '`bue run` of a one-step script, process start to end',
        '20 times, after a first one; nothing else runs; its state on the same disk', start_up,
        goals=(Goal('p50', '<=', 300),)),
    Row('large-script', 'upload of a 10 MB script of named calls',
        'no worker; `bue upload` from its start to its end; what waits is counted', large_script),
    Row('idle', 'idle roles after a first run', 'hub, bucket, one worker with its runner: 20 s; wake-ups: '
        'voluntary context switches of all threads', idle, rounds_max=1),
]
