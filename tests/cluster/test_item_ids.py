"""Ids that steps give their items: the second item with the same one fails, and nothing else does."""
import json

from cluster import ClusterTest, main

STEPS = '''
from buelon.core.step import Result, StepStatus

def jobs():
    return [{'id': 'dup'}, {'id': 'dup'}, {'id': 'ok'}]

def work(job):
    return Result(status=StepStatus.success, data=job['id'].upper(), id=job['id'])

def long_id(x):
    return Result(status=StepStatus.success, data=x, id='u' * 1000 + str(x))

def longer_id(x):
    return Result(status=StepStatus.success, data=x, id='u' * 20_000_000 + str(x))

def total(values):
    return sorted(values)
'''
SCRIPT = '''
import python (jobs, work, total) steps.py
source = | jobs
pipe = | work
totals = | total
for job in source():
    v = pipe(job)
t = totals(v)
'''


class ItemIdsTest(ClusterTest):
    def test_the_second_item_with_an_id_fails_alone(self):
        self.write('steps.py', STEPS)
        self.start_cluster(workers=2)
        run = self.upload(self.write('script.bue', SCRIPT))
        self.bue('wait', run, code=1)
        items = self.status(run)['items']
        self.assertEqual((items['done'], items['failed']), (2, 1))
        self.assertEqual(json.loads(self.bue('get', run, 't').stdout), ['DUP', 'OK'])
        errors = self.json_lines('errors', run)
        self.assertEqual(len(errors), 1)
        self.assertIn("the id 'dup' is that of item", self.bue('errors', run).stdout)

    def test_long_ids_are_told_apart_and_endless_ones_refused(self):
        self.write('steps.py', STEPS)
        self.start_cluster()
        script = 'import python (STEP) steps.py\npipe = | STEP\nfor x in range(3):\n    v = pipe(x)\n'
        run = self.upload(self.write('long.bue', script.replace('STEP', 'long_id')))
        self.bue('wait', run)
        run = self.upload(self.write('longer.bue', script.replace('STEP', 'longer_id')))
        self.bue('wait', run, code=1)
        self.assertIn('an id has at most 1024 bytes', self.bue('errors', run).stdout)
        self.assertEqual(self.status(run)['items']['failed'], 3)


if __name__ == '__main__':
    main()
