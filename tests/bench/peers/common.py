"""What the peers' programs share. Each is run by itself, with the Python of the virtual environment that
harness/compare.py made:

    NAME_peer.py WORK SIZE      prints one JSON object: {figure: value}

Every work checks what came out. The works, of which a peer does those that it can:
    noop     SIZE no-op tasks, results awaited           rate (tasks/s)
    latency  SIZE tasks one after the other              p50, p99 (ms)
    chain    SIZE chains of 10, each step adds 10 KiB    p50, p99 (ms)
    queue    SIZE tasks queued, no worker                memory of a task (B), time (s)
    fan      SIZE tasks spread from one and gathered     time (s)
    sleep    SIZE tasks that sleep 0.5 s at once         time (s)
"""
import atexit
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
CHAIN = 10
PAYLOAD = CHAIN * 10240  # Bytes, in the end.

folder = tempfile.mkdtemp(prefix='bench-peer-')
_processes = []
_endings = []


def at_end(call):
    """For a peer that starts processes itself: how it ends them."""
    _endings.append(call)


def _clean_up():
    while _endings:
        _endings.pop()()
    for process in reversed(_processes):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    shutil.rmtree(folder, ignore_errors=True)


atexit.register(_clean_up)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def start(*command, env=None):
    """A server or worker in a process group of its own, ended with this process."""
    with open(os.path.join(folder, 'log'), 'a') as log:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log,
                                   env={**os.environ, **(env or {})}, start_new_session=True)
    _processes.append(process)
    return process


def start_module(name, *arguments, env=None):
    """`python -m NAME`, which finds the files beside this one."""
    return start(sys.executable, '-m', name, *arguments, env={'PYTHONPATH': HERE, **(env or {})})


def free_port():
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


def wait_for_port(port, limit_s=60):
    def answers():
        with socket.socket() as one:
            return one.connect_ex(('127.0.0.1', port)) == 0
    wait_until(answers, limit_s)


def wait_until(condition, limit_s=60, pause_s=0.01):
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError('waited too long')
        time.sleep(pause_s)


def memory_bytes(pid):
    with open(f'/proc/{pid}/status') as status:
        return 1024 * int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1))


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def seconds(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def rate(size, work):
    return {'rate': size / seconds(work)}


def latencies(size, work):
    """Of `size` calls of `work`, after a few that warm up."""
    for _ in range(10):
        work()
    return percentiles(sorted(1000 * seconds(work) for _ in range(size)))


def percentiles(ordered):
    def at(share):
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
    return {'p50': at(0.5), 'p99': at(0.99)}


def queued(size, pid, work):
    """What `work`, which queues `size` tasks, adds to the memory of process `pid`."""
    before = memory_bytes(pid)
    took = seconds(work)
    return {'memory of a task': (memory_bytes(pid) - before) / size, 'time': took}


def main(works):
    name, size = sys.argv[1], int(sys.argv[2])
    try:
        print(json.dumps(works[name](size)), flush=True)
    except BaseException:
        traceback.print_exc()
        with open(os.path.join(folder, 'log')) as log:
            print(log.read()[-2000:], file=sys.stderr)
        sys.exit(1)
    # Clients that would take leave of a server that is gone by then do not get to it.
    _clean_up()
    os._exit(0)
