"""The sweep: what nobody wants any more leaves the bucket, what somebody may want stays."""
import json

from cluster import ClusterTest, main, wait_for

ITEMS = 300

STEPS = '''
import random
import time

def items():
    for number in range(%d):
        yield number

def work(x):
    print('working on', x)
    time.sleep(0.01)
    if random.random() < 0.1:
        raise ValueError('no luck this time')
    return {'x': x, 'pad': 'p' * 2000}

def unpack(value):
    return value['x']
''' % ITEMS

SCRIPT = '''
!retries 20
!backoff 0.01
import python (items, work, unpack) steps.py
source = | items
pipe = work | unpack
for x in source():
    kept = pipe(x)
'''


class SweepTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)
        self.write('script.bue', SCRIPT)
        self.start_bucket()
        self.start_hub('127.0.0.1:0', 'hub', '--sweep', '1s', '--sweep-grace', '1s')

    def start_workers(self, *names):
        return [self.start_worker('--name', name, '--slots', 8, cwd=self.path(name))
                for name in names]

    def objects(self):
        done = self.bue('bucket', '--verify', '--json', '--data', self.path('bucket'), hub=False)
        return json.loads(done.stdout)['looked_at']['objects']

    def sweeps(self):
        return self.hub.log().count('buckets swept')

    def wait_for_sweeps(self, count):
        goal = self.sweeps() + count
        wait_for(lambda: self.sweeps() >= goal, f'{count} sweeps', 120)

    def test_after_deletion_the_bucket_is_empty_whatever_happened(self):
        first, second = self.start_workers('w1', 'w2')
        runs = [self.upload('script.bue') for _ in range(2)]
        self.wait_done(runs[0], 40)
        first.kill()  # With values that it has stored and not reported.
        self.wait_done(runs[1], 120)
        second.kill()
        self.hub.kill()
        self.start_hub(self.hub.address, 'hub', '--sweep', '1s', '--sweep-grace', '1s')
        self.start_workers('w3')
        for run in runs:
            self.bue('wait', run, '--reconnect', 60, limit_s=240)
        # What is wanted is not swept.
        self.wait_for_sweeps(3)
        for run in runs:
            self.assertEqual(len(self.json_lines('results', run)), ITEMS)
            self.assertFalse(any(row.get('gone') for row in self.json_lines('results', run)))
        texts = [row['text'] for row in self.json_lines('logs', runs[0])]
        self.assertGreaterEqual(len(texts), ITEMS)
        self.assertTrue(all('working on' in text for text in texts), texts[:5])
        self.assertGreater(self.objects(), 2 * ITEMS)
        for run in runs:
            self.bue('delete', run)
        wait_for(lambda: self.objects() == 0, 'the bucket is empty', 120)

    def test_another_hub_cannot_sweep_it(self):
        self.start_workers('w1')
        run = self.upload('script.bue')
        self.bue('wait', run, limit_s=240)
        self.wait_for_sweeps(2)  # It is this hub's now.
        stranger = self.start('hub', '-b', '127.0.0.1:0', '-k', self.bucket.address, '--data',
                              self.path('stranger'), '--sweep', '1s', '--sweep-grace', '0')
        wait_for(lambda: 'bucket not swept' in stranger.log(), 'the stranger is refused')
        self.assertIn('belong to hub', stranger.log())
        self.assertEqual(len(self.json_lines('results', run)), ITEMS)


if __name__ == '__main__':
    main()
