"""Rows: large values between steps."""
import hashlib

from harness.figures import Figure, Goal
from harness.meter import MB
from harness.row import Row, check

STEPS = '''
import hashlib

def rows():
    return [{{'n': n, 'text': 'x' * 1000}} for n in range(100_000)]

def count(rows):
    return len(rows)

def make():
    return bytes(range(256)) * ({bytes} // 256)

def measure(value):
    return [len(value), hashlib.sha256(value).hexdigest()]
'''

SCRIPT = '''
import python ({first}, {second}) steps.py
make_pipe = | {first}
look_pipe = | {second}
v = make_pipe()
t = look_pipe(v)
'''


def large_value(bench):
    size = bench.scaled(1 << 30, 16 * MB) // 256 * 256
    with bench.stage() as stage:
        stage.start()
        # Pools, caches and runners are there after it.
        stage.run(stage.script('warm', SCRIPT.format(first='rows', second='count'),
                               STEPS.format(bytes=size)))
        script = stage.script('large', SCRIPT.format(first='make', second='measure'))
        with stage.meter() as meter:
            status = stage.run(script)
        check(stage.value(status, 't') == [size, digest(size)], 'the value arrives whole')
    growth = {role: meter.growth_bytes(role) for role in ('hub', 'bucket', 'worker')}
    return [Figure('largest growth', max(growth.values()) / MB, 'MB'),
            *(Figure(f'growth {role}', grown / MB, 'MB') for role, grown in growth.items()),
            Figure('time', status['elapsed_s'], 's'), *meter.peaks()]


def digest(size):
    """Of what `make` makes."""
    hashed = hashlib.sha256()
    piece = bytes(range(256)) * 4096
    for at in range(0, size, len(piece)):
        hashed.update(piece[:size - at])
    return hashed.hexdigest()


ROWS = [
    Row('value-1g', 'a value of 1 GiB from step to step', 'one step makes it, the next hashes it; peak '
        'memory of hub, bucket and worker above that after a first run of 100 MB',
        large_value, goals=(Goal('largest growth', '<=', 128),), rounds_max=1),
]
