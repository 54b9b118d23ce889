"""A bucket's directory is lost: the bucket comes back empty, as another store. What had lain there
and is still needed is made again, whatever needs it; while a bucket is only away, nothing is."""
import json
import shutil
import subprocess

from cluster import BUE, ClusterTest, clean_environment, main, wait_for

STEPS = '''
import os
import time

def note(step):
    with open({log!r}, 'a') as log:
        log.write(step + chr(10))

def wait_after(calls):
    """So many calls end, the others when the gate is open."""
    count = os.open({log!r} + '.count', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(count, b'.')
    number = os.lseek(count, 0, os.SEEK_CUR)
    os.close(count)
    while number > calls and not os.path.exists({gate!r}):
        time.sleep(0.02)

def first(x):
    return {{'x': x}}

def second(value):
    wait_after(700)
    return value['x']

def large(x):
    return bytes([x % 256]) * 200000

def measure(data):
    wait_after(100)
    return [len(data), data[0]]

def total(values):
    return sum(values)

def pair(first, second, large):
    while not os.path.exists({gate!r}):
        time.sleep(0.02)
    return [first, second, len(large)]

def one():
    note('one')
    return 1

def two():
    note('two')
    return 'two'

def three():
    note('three')
    return b'3' * 300000
'''

# A task that takes three values.
THREE_INPUTS = '''
import python (one, two, three, pair) steps.py
one_pipe = | one
two_pipe = | two
three_pipe = | three
pair_pipe = | pair
a = one_pipe()
b = two_pipe()
c = three_pipe()
d = pair_pipe(a, b, c)
'''


class LostBucketTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.log, self.gate = self.path('steps-log'), self.path('gate')
        self.write('steps.py', STEPS.format(log=self.log, gate=self.gate))

    def lose_the_bucket(self):
        """kill -9; it comes back at the same address, without what it had."""
        self.bucket.kill()
        shutil.rmtree(self.path('bucket'))
        self.start_bucket(self.bucket.address)

    def open_gate(self):
        open(self.gate, 'w').close()

    def done_of(self, run, step):
        return sum(one['done'] for one in self.status(run)['steps'] if one['name'] == step)

    def said_lost(self):
        return sum(role.log().count('values lost') for role in self.workers)

    def test_a_loop_and_its_fan_in_come_out_right(self):
        self.start_cluster(2, '--thread-slots', 8)
        script = self.write('script.bue', '''
import python (first, second, total) steps.py
chain = first | second
sum = | total
for x in range(1500):
    v = chain(x)
t = sum(v)
''')
        run = self.upload(script)
        self.wait_done(run, 1000)
        self.lose_the_bucket()
        self.open_gate()
        self.assertEqual(self.bue('wait', run).stdout.split()[1], 'succeeded')
        self.assertEqual(json.loads(self.bue('get', run, 't').stdout), sum(range(1500)))
        self.assertEqual(json.loads(self.bue('get', run, 'v').stdout), list(range(1500)))
        self.assertEqual(self.status(run)['tasks']['done'], 3001)
        errors = self.json_lines('errors', run)
        self.assertTrue(any('which no bucket is any more; it is made again' in one['error']
                            for one in errors), errors[:5])
        self.assertFalse(any(one['final'] for one in errors), errors[:5])
        # Once per worker and store, however many values there were.
        self.assertIn(self.said_lost(), (1, 2))

    def test_large_values_come_out_right(self):
        self.start_cluster(1, '--thread-slots', 8)
        script = self.write('script.bue', '''
import python (large, measure) steps.py
pipe = large | measure
for x in range(300):
    pipe(x)
''')
        run = self.upload(script)
        wait_for(lambda: self.done_of(run, 'measure') >= 80, 'some are measured', 120)
        self.lose_the_bucket()
        self.open_gate()
        self.assertEqual(self.bue('wait', run).stdout.split()[1], 'succeeded')
        # What had succeeded before is a result, and nothing makes those again: each is said to be
        # lost, in a whole line, and the others are there.
        printed = self.bue('results', run, '--json', code=1)
        results = [json.loads(line) for line in printed.stdout.splitlines()]
        self.assertEqual(len(results), 300)
        lost = [one for one in results if one.get('gone')]
        self.assertGreaterEqual(len(lost), 80)
        self.assertLessEqual(len(lost), 100)
        for one in results:
            expected = None if one.get('gone') else [200000, int(one['item']) % 256]
            self.assertEqual(one['value'], expected)
        self.assertIn(f'{len(lost)} of 300 values could not be read', printed.stderr)
        plain = self.bue('results', run, code=1)
        self.assertEqual(len(plain.stdout.splitlines()), 300)
        self.assertEqual(plain.stdout.count('(lost: no bucket has it any more)'), len(lost))
        self.assertIn(f'{len(lost)} lost', plain.stderr)

    def wait_granted(self, run):
        """Until the task of three inputs is the only worker's."""
        def granted():
            tasks = self.status(run)['tasks']
            return tasks['done'] == 3 and tasks['running'] == 1
        wait_for(granted, 'the task has its inputs')

    def test_every_input_of_a_task_is_made_again(self):
        self.start_cluster()
        run = self.upload(self.write('script.bue', THREE_INPUTS))
        self.wait_granted(run)
        # The task has taken its inputs: another worker must read them, and there is no bucket yet.
        self.start_worker('--name', 'other', cwd=self.path('other'))
        self.bucket.kill()
        self.workers[0].kill()
        self.lose_the_bucket()
        self.open_gate()
        self.assertEqual(self.bue('wait', run).stdout.split()[1], 'succeeded')
        self.assertEqual(json.loads(self.bue('get', run, 'd').stdout), [1, 'two', 300000])
        with open(self.log) as log:
            self.assertEqual(sorted(log.read().split()),
                             ['one', 'one', 'three', 'three', 'two', 'two'])

    def test_that_a_bucket_is_away_is_said(self):
        self.start_cluster()
        run = self.upload(self.write('script.bue', THREE_INPUTS))
        self.wait_granted(run)
        self.bucket.kill()
        self.open_gate()  # The task's value has to wait.
        worker, hub = self.workers[0], self.hub
        for role in (worker, hub):
            wait_for(lambda: 'bucket away' in role.log(), 'it is said in the log')
        away = f'bucket {self.bucket.address} has not answered the hub for'
        self.assertIn(away, self.bue('status').stderr)
        self.assertIn(away, self.bue('status', run).stderr)
        waiting = subprocess.Popen([BUE, 'wait', run, '-b', self.hub_address], cwd=self.folder,
                                   env=clean_environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(waiting.kill)
        self.assertIn(away, waiting.stderr.readline())
        self.start_bucket(self.bucket.address)
        out, _ = waiting.communicate(timeout=60)
        self.assertIn('succeeded', out)
        for role in (worker, hub):
            wait_for(lambda: 'bucket back' in role.log(), 'that it is back, too')
        wait_for(lambda: self.bue('status').stderr == '', 'nothing is left to say')

    def test_a_bucket_that_is_only_away_has_lost_nothing(self):
        self.start_cluster()
        run = self.upload(self.write('script.bue', THREE_INPUTS))
        self.wait_granted(run)
        self.start_worker('--name', 'other', cwd=self.path('other'))
        self.bucket.kill()
        self.workers[0].kill()
        wait_for(lambda: any(one['name'] == 'other' and one['running']
                             for one in json.loads(self.bue('workers', '--json').stdout)),
                 'the task is granted again')
        self.start_bucket(self.bucket.address)
        self.open_gate()
        self.assertEqual(self.bue('wait', run).stdout.split()[1], 'succeeded')
        self.assertEqual(self.json_lines('errors', run), [])
        with open(self.log) as log:
            self.assertEqual(sorted(log.read().split()), ['one', 'three', 'two'])


if __name__ == '__main__':
    main()
