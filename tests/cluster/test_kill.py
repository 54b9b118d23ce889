"""kill -9 in the middle of a run: after a restart it finishes, and every item's end counts once.

What steps did is judged by the results the hub lists, not by what the steps wrote: a step may run
twice, its result may not be committed twice.
"""
import json
import random
import time

from cluster import ClusterTest, main, wait_for

ITEMS = 1000
TASKS = 2 * ITEMS + 1

STEPS = '''
import time

def items():
    return list(range(%d))

def first(x):
    time.sleep(0.002)
    return {'x': x}

def second(value):
    time.sleep(0.002)
    return value['x']
''' % ITEMS

SCRIPT = '''
!retries 0
import python (items, first, second) steps.py
source = | items
pipe = first | second
for x in source():
    pipe(x)
'''


class KillTest(ClusterTest):
    def setUp(self):
        super().setUp()
        seed = random.randrange(1 << 32)
        self.random = random.Random(seed)
        self.seed = seed
        self.write('steps.py', STEPS)
        self.write('script.bue', SCRIPT)
        self.start_cluster(2, '--slots', 8)

    def start_run(self):
        """A run of which at least a fifth of the tasks are open when this returns."""
        run = self.upload('script.bue')
        goal = self.random.randrange(20, 1400)
        self.wait_done(run, goal)
        return run

    def check(self, run):
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
        began = time.monotonic()
        self.start_hub(self.hub.address)
        self.assertLess(time.monotonic() - began, 5, 'the hub starts quickly')
        self.check(run)

    def test_bucket(self):
        run = self.start_run()
        self.bucket.kill()
        self.start_bucket(self.bucket.address)
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
            self.wait_done(run, min(goal, TASKS))
            self.hub.kill()
            self.start_hub(self.hub.address)
        self.check(run)

    def test_clean_restart_of_everything(self):
        run = self.start_run()
        for role in (*self.workers, self.hub, self.bucket):
            self.assertEqual(role.stop(), 0, role.log()[-2000:])
        self.start_bucket(self.bucket.address)
        self.start_hub(self.hub.address)
        self.start_worker('--name', 'w0', cwd=self.path('w0'))
        self.check(run)

    def test_ended_run_is_still_there_after_a_kill(self):
        run = self.upload('script.bue')
        self.bue('wait', run)
        self.hub.kill()
        self.bucket.kill()
        self.start_bucket(self.bucket.address)
        self.start_hub(self.hub.address)
        self.assertEqual(self.status(run)['state'], 'succeeded')
        self.check(run)


class BucketAwayTest(ClusterTest):
    def test_steps_wait_for_the_bucket(self):
        self.write('steps.py', STEPS)
        self.write('script.bue', SCRIPT)
        self.start_cluster(1)
        run = self.upload('script.bue')
        self.wait_done(run, 50)
        self.bucket.kill()
        before = self.status(run)['tasks']['done']
        wait_for(lambda: self.hub.alive() and self.workers[0].alive(), 'both go on', 1)
        self.start_bucket(self.bucket.address)
        self.wait_done(run, min(before + 200, TASKS))
        self.assertEqual(self.status(run)['tasks']['failed'], 0)
        self.bue('wait', run)


if __name__ == '__main__':
    main()
