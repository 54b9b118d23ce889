"""A step that holds its slot until its worker is released: for tests that look at what runs meanwhile."""
import os

from cluster import ClusterTest

# Beside other steps of a script's file. Each worker has a folder of its own.
HOLD = '''
import os
import time

def hold(x):
    with open('started', 'a') as log:
        log.write(f'{x}\\n')
    while not os.path.exists('release'):
        time.sleep(0.01)
    return x
'''


class HoldingTest(ClusterTest):
    def started(self, worker='w0'):
        """What `hold` was called with on the worker, in order: numbers."""
        path = self.path(worker, 'started')
        if not os.path.exists(path):
            return []
        with open(path) as log:
            return sorted(int(line) for line in log.read().split())

    def release(self, worker='w0'):
        self.write(os.path.join(worker, 'release'), '')
