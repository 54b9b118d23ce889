"""Steps that note what they do in files: when each began, where, and whether it ended."""
import os

import workload

STEPS = '''
import asyncio
import os
import time
import buelon

def note(event):
    line = f'{event} {time.time():.6f} {buelon.task().key} {buelon.task().attempt} x\\n'
    with open(f'LOGS/{os.path.basename(os.getcwd())}.{os.getpid()}.log', 'a') as log:
        log.write(line)

async def hold(x=None):
    note('start')
    while not os.path.exists(f'RELEASED/{buelon.task().key}'):
        await asyncio.sleep(0.05)
    note('end')

def tick(x=None):
    note('start')
    time.sleep(0.02)
'''


class NotedSteps:
    """`hold` runs until its task is released, `tick` for 20 ms."""

    def __init__(self, stage):
        self.logs = stage.cluster.path('steps-log')
        self._released = stage.cluster.path('released')
        os.makedirs(self.logs)
        os.makedirs(self._released)
        stage.cluster.write('steps.py', STEPS.replace('LOGS', self.logs)
                            .replace('RELEASED', self._released))

    def starts(self, worker=None):
        """{task: when it began last}, of one worker or of all."""
        return {key: at for (key, _), events in workload.events(self.logs).items()
                for at, what, where in events if what == 'start' and worker in (None, where)}

    def again(self):
        """What began twice."""
        return workload.reruns(self.logs)

    def release(self, tasks):
        for task in tasks:
            open(os.path.join(self._released, task), 'w').close()

    def forget(self):
        for log in os.listdir(self.logs):
            os.unlink(os.path.join(self.logs, log))
