"""Runs for fault tests, each with what it must come to: loops of chains, fan-ins, retries that are
counted, nested loops, streaming sources, large values.

A kind knows its script, how many tasks it has, and how to judge its end by what the hub lists
(status, results, errors). The steps note what they do in a log of their own, a line per event, one
file per process: who judges by it (`reruns`) must know which faults there were.
"""
import json
import os
import re

PYTHON = '''
import os
import time
import buelon
from buelon.core.step import Result, StepStatus

FOLDER = %(folder)r
logs = {}

def note(event):
    if not FOLDER:
        return
    pid = os.getpid()
    if pid not in logs:
        logs[pid] = os.open(f'{FOLDER}/{os.path.basename(os.getcwd())}.{pid}.log',
                            os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    task = buelon.task()
    line = f'{event} {time.time():.6f} {task.key} {task.attempt} {task.step}\\n'
    os.write(logs[pid], line.encode())

def nap(seconds=%(nap)r):
    note('start')
    time.sleep(seconds)
    note('end')

def source():
    return list(range(%(items)d))

def few():
    return list(range(10))

def stream():
    for i in range(%(items)d):
        if i %% 500 == 0:
            time.sleep(0.02)
        yield i

def first(x):
    nap()
    return {'x': x}

def second(value):
    nap()
    return value['x']

async def wait_a_little(x):
    import asyncio
    note('start')
    await asyncio.sleep(%(nap)r)
    note('end')
    return x

def total(values):
    nap()
    return sum(values)

def totals(lists):
    nap()
    return sum(sum(values) for values in lists)

def spread(x):
    nap()
    return [x * 1000 + i for i in range(%(items)d // 10)]

def flaky(x):
    nap()
    fails = x %% 4 if x %% 10 == 0 else 0
    if x %% 500 == 499:
        fails = 99
    if buelon.task().attempt <= fails:
        raise RuntimeError('as planned')
    return [x, buelon.task().attempt]

def large(x):
    nap()
    return bytes([x %% 256]) * 200000

def measure(data):
    nap()
    return [len(data), data[0], data[-1]]

def later():
    return [time.time() + 0.3] * (%(items)d // 10)

def poll(ready_at):
    return ready_at if time.time() >= ready_at else Result(status=StepStatus.pending)
'''

LOG_LINE = re.compile(r'^(start|stop|end) ([0-9.]+) (\S+) (\d+) (\S+)$')


class Kind:
    """One sort of run. `tasks`: how many it has in all. `done`, `failed`: how they end."""
    name = ''
    script = ''
    failed = 0
    code = 0  # Of `bue wait`.

    def __init__(self, items):
        self.items = items
        self.tasks = self.count()
        self.done = self.tasks - self.failed

    def count(self):
        raise NotImplementedError

    def check(self, run):
        """Raises AssertionError unless the run, which has ended, came to what it must."""
        status = run.status()
        tasks = status['tasks']
        run.equal((tasks['done'], tasks['failed'], tasks['total'], tasks['running']),
                  (self.done, self.failed, self.tasks, 0), 'done, failed, total, running')
        run.equal(status['state'], 'failed' if self.failed else 'succeeded', 'state')
        self.check_values(run)
        self.check_errors(run)

    def check_values(self, run):
        raise NotImplementedError

    def check_errors(self, run):
        run.equal(run.lines('errors'), [], 'errors')

    def check_items(self, run, expected):
        """The results are exactly one for each item: {item: value}."""
        results = run.lines('results')
        run.equal(len(results), len(expected), 'how many results')
        run.equal({int(one['item']): one['value'] for one in results}, expected, 'results')


class Chain(Kind):
    name = 'chain'
    script = '''
import python (source, first, second, wait_a_little) steps.py
source_pipe = | source
pipe = first | wait_a_little | second
for x in source_pipe():
    pipe(x)
'''

    def count(self):
        return 3 * self.items + 1

    def check_values(self, run):
        self.check_items(run, {i: i for i in range(self.items)})


class FanIn(Kind):
    name = 'fan_in'
    script = '''
import python (source, first, second, total) steps.py
source_pipe = | source
pipe = first | second
sum = | total
for x in source_pipe():
    v = pipe(x)
t = sum(v)
'''

    def count(self):
        return 2 * self.items + 2

    def check_values(self, run):
        run.equal(run.value('t'), sum(range(self.items)), 'the fan-in')
        run.equal(run.value('v'), list(range(self.items)), 'what it was made of')


class Nested(Kind):
    name = 'nested'
    script = '''
import python (few, spread, first, second, totals) steps.py
outer = | few
inner = | spread
pipe = first | second
sum = | totals
for x in outer():
    for y in inner(x):
        v = pipe(y)
t = sum(v)
'''

    def count(self):
        return 1 + 10 + 2 * 10 * (self.items // 10) + 1

    def check_values(self, run):
        expected = [[x * 1000 + i for i in range(self.items // 10)] for x in range(10)]
        run.equal(run.value('v'), expected, 'lists of lists')
        run.equal(run.value('t'), sum(map(sum, expected)), 'the fan-in')


class Stream(Kind):
    """Its source is a generator: items start while it still yields."""
    name = 'stream'
    script = '''
import python (stream, first, second) steps.py
source_pipe = | stream
pipe = first | second
for x in source_pipe():
    pipe(x)
'''

    def count(self):
        return 2 * self.items + 1

    def check_values(self, run):
        self.check_items(run, {i: i for i in range(self.items)})


class Retries(Kind):
    """A tenth fails up to three times, a few for good: each failure counts once, a killed worker
    never."""
    name = 'retries'
    script = '''
import python (source, flaky !retries 3 !backoff 0.05, first) steps.py
source_pipe = | source
pipe = flaky | first
for x in source_pipe():
    pipe(x)
'''
    code = 1

    def __init__(self, items):
        self.failed = items // 500
        super().__init__(items)
        self.done = self.tasks - 2 * self.failed  # `first` is skipped with it.

    def count(self):
        return 2 * self.items + 1

    @staticmethod
    def failures(x):
        if x % 500 == 499:
            return 4
        return x % 4 if x % 10 == 0 else 0

    def check_values(self, run):
        self.check_items(run, {i: {'x': [i, 1 + self.failures(i)]}
                               for i in range(self.items) if i % 500 != 499})

    def check_errors(self, run):
        got = sorted((int(one['item']), one['attempt']) for one in run.lines('errors'))
        expected = sorted((i, attempt) for i in range(self.items)
                          for attempt in range(1, 1 + self.failures(i)))
        run.equal(got, expected, 'failed attempts')


class Large(Kind):
    """Values that are streamed from and to the bucket."""
    name = 'large'
    script = '''
import python (source, large, measure) steps.py
source_pipe = | source
pipe = large | measure
for x in source_pipe():
    pipe(x)
'''

    def __init__(self, items):
        super().__init__(max(1, items // 20))

    def count(self):
        return 2 * self.items + 1

    def check_values(self, run):
        self.check_items(run, {i: [200000, i % 256, i % 256] for i in range(self.items)})


class Polls(Kind):
    name = 'polls'
    script = '''
import python (later, poll !poll 0.1) steps.py
source_pipe = | later
pipe = | poll
for x in source_pipe():
    pipe(x)
'''

    def count(self):
        return self.items // 10 + 1

    def check_values(self, run):
        run.equal(len(run.lines('results')), self.items // 10, 'how many results')


KINDS = (Chain, FanIn, Retries, Stream, Nested)
SMALL_KINDS = (Large, Polls)  # Fewer tasks: they run beside the others.


class Run:
    """A run on a hub, judged by its kind. `ask(*words)` runs a client command and returns its
    standard output. `logs`: where its steps note what they do."""

    def __init__(self, number, kind, ask, logs=''):
        self.number = number
        self.kind = kind
        self.ask = ask
        self.logs = logs

    def status(self):
        return json.loads(self.ask('status', self.number, '--json'))

    def lines(self, command):
        return [json.loads(line) for line in self.ask(command, self.number, '--json').splitlines()]

    def value(self, name):
        return json.loads(self.ask('get', self.number, name))

    def equal(self, got, expected, what):
        if got == expected:
            return
        raise AssertionError(f'{self.number} ({self.kind.name}): {what}: got {difference(got, expected)}')

    def check(self):
        self.kind.check(self)


def difference(got, expected):
    """Where two values differ, short enough to read."""
    if isinstance(got, dict) and isinstance(expected, dict):
        keys = [key for key in {**got, **expected} if got.get(key) != expected.get(key)]
        got = {key: got.get(key) for key in keys}
        expected = {key: expected.get(key) for key in keys}
    elif isinstance(got, list) and isinstance(expected, list):
        more = [one for one in got if one not in expected] if len(got) < 20000 else got
        less = [one for one in expected if one not in got] if len(expected) < 20000 else expected
        return f'{len(got)} instead of {len(expected)}; too much {more!r:.600}; missing {less!r:.600}'
    return f'{got!r:.900}, expected {expected!r:.900}'


def write_files(folder, log_folder, kind, nap):
    """The kind's script and steps in `folder`; returns the script's path. The steps note what they
    do in `log_folder`, unless it is empty."""
    os.makedirs(folder, exist_ok=True)
    if log_folder:
        os.makedirs(log_folder, exist_ok=True)
    with open(os.path.join(folder, 'steps.py'), 'w') as steps:
        steps.write(PYTHON % {'folder': log_folder, 'nap': nap, 'items': kind.items})
    script = os.path.join(folder, f'{kind.name}.bue')
    with open(script, 'w') as file:
        file.write(kind.script)
    return script


def events(log_folder):
    """{(task key, attempt): [(time, 'start', 'stop' or 'end', worker)]}, in order of time."""
    found = {}
    for name in sorted(os.listdir(log_folder)):
        worker = name.split('.')[0]
        with open(os.path.join(log_folder, name)) as log:
            for line in log:
                match = LOG_LINE.match(line)
                if match is None:
                    continue  # The last line of a process that was killed.
                event, at, key, attempt, _ = match.groups()
                found.setdefault((key, int(attempt)), []).append((float(at), event, worker))
    for one in found.values():
        one.sort()
    return found


def reruns(log_folder):
    """(key, attempt, worker, its start, next worker, its start) of every task that began again
    under the same attempt."""
    again = []
    for (key, attempt), one in events(log_folder).items():
        starts = [(at, worker) for at, event, worker in one if event == 'start']
        for (at, worker), (next_at, next_worker) in zip(starts, starts[1:]):
            again.append((key, attempt, worker, at, next_worker, next_at))
    return again
