"""A value of 1 GiB goes through every process but the runners in pieces."""
import json
import shutil
import threading

from cluster import ClusterTest, main, rss_bytes

GIB = 1 << 30
GROWTH_MAX = 128 << 20

STEPS = '''
import hashlib

SIZE = %d

def make():
    piece = bytes(range(256)) * 4096
    return b''.join([piece] * (SIZE // len(piece)))

def measure(value):
    return {'type': type(value).__name__, 'bytes': len(value),
            'sha256': hashlib.sha256(value).hexdigest()}

def rows():
    return [{'n': n, 'text': 'x' * 1000} for n in range(100_000)]

def count(rows):
    return len(rows)
''' % GIB

WARM = 'import python (rows, count) steps.py\nmake = | rows\nlook = | count\nv = make()\nlook(v)\n'
SCRIPT = 'import python (make, measure) steps.py\nm = | make\nlook = | measure\nv = m()\nlook(v)\n'


class Peaks(threading.Thread):
    """Looks at the memory of processes until told to stop."""

    def __init__(self, roles):
        super().__init__(daemon=True)
        self.roles = roles
        self.idle = {role.pid: rss_bytes(role.pid) for role in roles}
        self.peak = dict(self.idle)
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(0.02):
            for role in self.roles:
                self.peak[role.pid] = max(self.peak[role.pid], rss_bytes(role.pid))

    def stop(self):
        self.stopped.set()
        self.join()
        return {role.arguments[0]: self.peak[role.pid] - self.idle[role.pid]
                for role in self.roles}


class BigValueTest(ClusterTest):
    def test_hub_bucket_and_worker_stay_small(self):
        if shutil.disk_usage(self.folder).free < 6 * GIB:
            self.skipTest('needs 6 GiB of free disk')
        self.write('steps.py', STEPS)
        self.write('warm.bue', WARM)
        self.write('script.bue', SCRIPT)
        self.start_cluster()
        warm = self.upload('warm.bue')  # Pools, caches and runners are there after it.
        self.bue('wait', warm)
        self.assertEqual(self.json_lines('results', warm)[0]['value'], 100_000)

        peaks = Peaks([self.hub, self.bucket, self.workers[0]])
        peaks.start()
        run = self.upload('script.bue')
        self.bue('wait', run, limit_s=300)
        growth = peaks.stop()
        value = json.loads(self.bue('results', run, '--json').stdout)['value']
        self.assertEqual((value['type'], value['bytes']), ('bytes', GIB))
        for role, grown in growth.items():
            self.assert_grew_less(grown, GROWTH_MAX, growth)
        print('growth in MiB:', {role: grown >> 20 for role, grown in growth.items()})


if __name__ == '__main__':
    main()
