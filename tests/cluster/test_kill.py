"""kill -9 in the middle of a run: after a restart it finishes, and every item's end counts once.

What steps did is judged by the results the hub lists, not by what the steps wrote: a step may run
twice, its result may not be committed twice.
"""
import json
import os
import random
import signal

from cluster import ClusterTest, main, wait_for

ITEMS = 1000
TASKS = 2 * ITEMS + 1
# However quick the machine is, a fifth of the tasks are open until the test lets them end.
FREE = 1600

STEPS = '''
import os
import time

def nap():
    time.sleep(0.002)
    count = os.open({folder!r} + '/count', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(count, b'.')
    number = os.lseek(count, 0, os.SEEK_CUR)
    os.close(count)
    while number > {free} and not os.path.exists({folder!r} + '/go'):
        time.sleep(0.01)

def items():
    return list(range({items}))

def first(x):
    nap()
    return {{'x': x}}

def second(value):
    nap()
    return value['x']
'''

SCRIPT = '''
!retries 0
import python (items, first, second) steps.py
source = | items
pipe = first | second
for x in source():
    pipe(x)
'''


class MiddleOfARunTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS.format(folder=self.folder, free=FREE, items=ITEMS))
        self.write('script.bue', SCRIPT)

    def let_end(self):
        self.write('go', '')


class KillTest(MiddleOfARunTest):
    def setUp(self):
        super().setUp()
        seed = random.randrange(1 << 32)
        self.random = random.Random(seed)
        self.seed = seed
        self.start_cluster(2, '--slots', 8)

    def start_run(self):
        """A run of which at least a fifth of the tasks are open when this returns."""
        run = self.upload('script.bue')
        goal = self.random.randrange(20, 1400)
        self.wait_done(run, goal)
        return run

    def check(self, run):
        self.let_end()
        done = self.bue('wait', run, '--reconnect', 60, limit_s=180, code=None)
        errors = self.bue('errors', run).stdout[:2000]
        self.assertEqual(done.returncode, 0, f'seed {self.seed}: {done.stdout} {errors}')
        results = self.json_lines('results', run)
        items = sorted(int(result['item']) for result in results)
        self.assertEqual(items, list(range(ITEMS)), f'seed {self.seed}')
        for result in results:
            self.assertEqual(result['value'], int(result['item']), f'seed {self.seed}')
        tasks = self.status(run)['tasks']
        self.assertEqual((tasks['done'], tasks['total']), (TASKS, TASKS))

    def test_hub(self):
        run = self.start_run()
        self.hub.kill()
        self.start_hub(self.hub.address)
        self.check(run)

    def test_bucket(self):
        run = self.start_run()
        self.bucket.kill()
        self.start_bucket(self.bucket.address)
        self.check(run)

    def test_hub_and_bucket_at_once(self):
        run = self.start_run()
        self.hub.kill()
        self.bucket.kill()
        self.start_bucket(self.bucket.address)
        self.start_hub(self.hub.address)
        self.check(run)

    def test_worker(self):
        run = self.start_run()
        self.workers[0].kill()
        self.check(run)
        alive = {worker['name']: worker['alive']
                 for worker in json.loads(self.bue('workers', '--json').stdout)}
        self.assertTrue(alive['w1'])
        self.assertFalse(alive.get('w0', False))

    def test_all_workers_then_new_ones(self):
        run = self.start_run()
        for worker in self.workers:
            worker.kill()
        self.start_worker('--name', 'late', cwd=self.path('late'))
        self.check(run)

    def test_everything_at_once(self):
        run = self.start_run()
        for role in (self.hub, self.bucket, *self.workers):
            role.kill()
        self.start_bucket(self.bucket.address)
        self.start_hub(self.hub.address)
        self.start_worker('--name', 'w2', cwd=self.path('w2'))
        self.check(run)

    def test_hub_again_and_again(self):
        run = self.upload('script.bue')
        for _ in range(4):
            goal = self.status(run)['tasks']['done'] + self.random.randrange(1, 200)
            self.wait_done(run, min(goal, FREE - 200))  # Some may have begun twice.
            self.hub.kill()
            self.start_hub(self.hub.address)
        self.check(run)

    def test_clean_restart_of_everything(self):
        run = self.start_run()
        for worker in self.workers:
            worker.process.send_signal(signal.SIGTERM)
            wait_for(lambda: 'worker stopping' in worker.log(), 'it hears it')
        self.let_end()
        for worker in self.workers:
            self.assertEqual(worker.process.wait(60), 0, worker.log()[-2000:])
        for role in (self.hub, self.bucket):
            self.assertEqual(role.stop(), 0, role.log()[-2000:])
        self.start_bucket(self.bucket.address)
        self.start_hub(self.hub.address)
        self.start_worker('--name', 'w0', cwd=self.path('w0'))
        self.check(run)

    def test_ended_run_is_still_there_after_a_kill(self):
        self.let_end()
        run = self.upload('script.bue')
        self.bue('wait', run)
        self.hub.kill()
        self.bucket.kill()
        self.start_bucket(self.bucket.address)
        self.start_hub(self.hub.address)
        self.assertEqual(self.status(run)['state'], 'succeeded')
        self.check(run)


class BucketAwayTest(MiddleOfARunTest):
    def test_steps_wait_for_the_bucket(self):
        self.start_cluster(1)
        run = self.upload('script.bue')
        self.wait_done(run, 50)
        self.bucket.kill()
        self.let_end()
        # Of another run all that runs end, and none is done: their values wait.
        self.write('calls.py', f'''
def call(x):
    open({self.path('called')!r}, 'a').close()
    return x
''')
        other = self.upload(self.write('calls.bue', 'import python (call) calls.py\npipe = | call\n'
                                       'for x in range(5):\n    pipe(x)\n'))
        wait_for(lambda: os.path.exists(self.path('called')), 'steps go on')
        self.assertEqual(self.status(other)['tasks']['done'], 0)
        self.assertTrue(self.hub.alive() and self.workers[0].alive())
        self.start_bucket(self.bucket.address)
        for one in (run, other):
            self.bue('wait', one)
            self.assertEqual(self.json_lines('errors', one), [])


if __name__ == '__main__':
    main()
