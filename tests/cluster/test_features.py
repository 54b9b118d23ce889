"""What users of staged pools and of node graphs look for first, each as they would try it: scripts are
looked at before anything is stored, one item's failure is its own, branches, filters and bulks."""
import json

from cluster import ClusterTest, main, rss_bytes, wait_for

MB = 1 << 20

STEPS = '''
import asyncio
import os
import time

import buelon
from buelon.core.step import Result, StepStatus

def meet(x, folder, count):
    """Returns once `count` were here."""
    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, str(x)), 'w').close()
    while len(os.listdir(folder)) < count:
        time.sleep(0.01)

async def meets_async(x):
    os.makedirs('met', exist_ok=True)
    open(f'met/{x}', 'w').close()
    while len(os.listdir('met')) < 20:
        await asyncio.sleep(0.01)
    return os.getpid()

def meets(x):
    meet(x, 'met', 20)
    return os.getpid()

def where(x):
    return os.getpid()

def six(): return list(range(6))
def plus_five(x): return x + 5
def as_text(x): return str(x)
def pair(a, b): return [a, b]
def everything(values): return values
def no_fives(x): return Result(status=StepStatus.cancel) if x % 5 == 0 else x
def drops_fives(x): return buelon.drop() if x % 5 == 0 else x

def million(): return list(range(1_000_000))
def first_thousand(x):
    while x >= 1000:
        time.sleep(0.05)
    return x

def twenty(): return list(range(20))
def length(xs): return len(xs)
def same(xs): return xs

def rows(part):
    """A thousand, once two workers read."""
    meet(os.path.basename(os.getcwd()), '../met', 2)
    for row in range(1000):
        yield part * 1000 + row

def two_arguments(a, b): return a
'''


class FeatureTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def run_text(self, text, code=0):
        """The number of a run of the script that has ended with that exit code of `bue wait`."""
        run = self.upload(self.write('script.bue', text))
        self.bue('wait', run, code=code)
        return run

    def loop(self, steps, over):
        """A script that calls `steps`, the first of them, for all of `over`."""
        name = steps.split(' ')[0].strip(',')
        return (f'import python ({steps}) steps.py\npipe = | {name}\nsrc = | million\n'
                f'for x in {over}:\n    v = pipe(x)\n')

    def value(self, run, name):
        return json.loads(self.bue('get', run, name).stdout)


# What the message has to mention, and a script of which that is wrong.
REFUSED = (
    [('step', 'pipe = | stpe\npipe()\n'),
     ('pyton', 's:\n    pyton\n    f\n    steps.py\n'),
     ('scope', '!scoop x\n'),
     ('gone.py', 'import python (f) gone.py\n')]
    + [(given.split(' ')[0], f'import python (where {given}) steps.py\n') for given in (
        '!max_running 0', '!max_running -1', '!max_running 1.5', '!max_running x', '!max_running',
        '!queue 0', '!queue -1', '!queue x', '!timeout -1', '!timeout 0', '!timeout x', '!rate 0/s',
        '!rate -1/s', '!rate 5', '!rate x/s', '!rate 5/y', '!retries -2', '!retries 1.5',
        '!backoff -1', '!poll -1', '!max_handbacks -1', '!mode fiber', '!on_error perhaps',
        '!priority high')]
    + [('!refill', 's:\n    sqlite3\n    t\n    !refill\n    `select 1`\n')])


class BeforeAnythingRunsTest(FeatureTest):
    def test_what_makes_no_sense_is_refused_with_its_line_and_nothing_is_stored(self):
        self.start_cluster()
        for mentions, text in REFUSED:
            with self.subTest(text):
                script = self.write('script.bue', text + self.loop('where', 'range(3)'))
                for command in ('upload', 'check'):
                    done = self.bue(command, '-f', script, code=2, hub=command == 'upload')
                    self.assertRegex(done.stderr, r'script\.bue:\d+:\d+: error: ')
                    self.assertIn(mentions, done.stderr)
        self.assertEqual(self.statuses(), [])

    def test_a_function_is_looked_for_when_its_task_runs(self):
        self.start_cluster()
        run = self.run_text('''
import python (nowhere, two_arguments, where) steps.py
p = | nowhere
q = | two_arguments
r = | where
for x in range(2):
    p(x)
    q(x)
    r(x)
''', code=1)
        errors = self.json_lines('errors', run)
        self.assertEqual(sorted((one['step'], one['item']) for one in errors),
                         [(step, item) for step in ('nowhere', 'two_arguments') for item in '01'])
        for one in errors:
            self.assertIn(one['step'], one['error'])
            self.assertIn('steps.py', one['error'] + one['traceback'])
        self.assertEqual(self.status(run)['tasks']['done'], 2)


class WhereStepsRunTest(FeatureTest):
    def test_async_steps_of_one_worker_run_all_at_once(self):
        self.start_cluster()
        run = self.run_text(self.loop('meets_async', 'range(20)'))
        self.assertNotIn(self.workers[0].pid, self.value(run, 'v'))

    def test_plain_steps_run_beside_each_other_outside_the_worker(self):
        self.start_cluster(1, '--process-slots', 20)
        run = self.run_text(self.loop('meets', 'range(20)'))
        self.assertNotIn(self.workers[0].pid, self.value(run, 'v'))

    def test_steps_in_processes_have_one_each(self):
        self.start_cluster(1, '--process-slots', 20)
        run = self.run_text(self.loop('meets !mode process', 'range(20)'))
        pids = self.value(run, 'v')
        self.assertEqual(len(set(pids)), 20)
        self.assertNotIn(self.workers[0].pid, pids)


class LoopsTest(FeatureTest):
    def test_a_long_list_costs_the_hub_next_to_nothing(self):
        self.start_cluster()
        self.run_text(self.loop('where', 'range(1000)'))
        before = rss_bytes(self.hub.pid)
        run = self.upload(self.write('script.bue', self.loop('first_thousand, million', 'src()')))
        # All but the first thousand results do not come before the run is cancelled.
        wait_for(lambda: self.status(run)['tasks']['done'] == 1001, 'the first results are there')
        status = self.status(run)
        self.assertEqual(status['tasks']['total'], 1_000_001)
        self.assertEqual(status['items']['total'], 1_000_000)
        self.assert_grew_less(rss_bytes(self.hub.pid) - before, 100 * MB)
        self.bue('cancel', run)

    def test_partitions_are_sources_of_their_own(self):
        self.start_cluster(2, '--slots', 6)
        run = self.run_text('''
import python (rows, same) steps.py
read = | rows
keep = | same
for part in range(8):
    for row in read(part):
        v = keep(row)
''')
        values = [value for part in self.value(run, 'v') for value in part]
        self.assertEqual(values, list(range(8000)))
        done = [worker['done'] for worker in json.loads(self.bue('workers', '--json').stdout)]
        self.assertEqual(sum(done), 8008)
        self.assertGreater(min(done), 0)

    def test_bulks_and_back_to_single_ones(self):
        self.start_cluster()
        run = self.run_text('''
import python (twenty, length, same, plus_five) steps.py
src = | twenty
count = | length
pass_on = | same
plus = | plus_five
for xs in src() by 7:
    n = count(xs)
    part = pass_on(xs)
    for x in part:
        y = plus(x)
''')
        self.assertEqual(self.value(run, 'n'), [7, 7, 6])
        values = [value for part in self.value(run, 'y') for value in part]
        self.assertEqual(values, list(range(5, 25)))


class BranchesTest(FeatureTest):
    def setUp(self):
        super().setUp()
        self.start_cluster()

    def test_every_branch_gets_every_item_and_they_meet_again(self):
        run = self.run_text('''
import python (six, plus_five, as_text as first, as_text as second, pair, everything) steps.py
src = | six
plus = | plus_five
one = | first
other = | second
both = | pair
all = | everything
for x in src():
    y = plus(x)
    a = one(y)
    b = other(y)
    c = both(a, b)
d = all(a)
e = all(b)
f = all(c)
''')
        texts = [str(x) for x in range(5, 11)]
        self.assertEqual(self.value(run, 'd'), texts)
        self.assertEqual(self.value(run, 'e'), texts)
        self.assertEqual(self.value(run, 'f'), [[text, text] for text in texts])

    def test_what_a_filter_drops_is_no_error(self):
        for step in ('no_fives', 'drops_fives'):
            with self.subTest(step):
                run = self.run_text(f'''
import python (six, plus_five, {step}, as_text) steps.py
src = | six
pipe = plus_five | {step} | as_text
for x in src():
    v = pipe(x)
''')
                self.assertEqual(self.value(run, 'v'), ['6', '7', '8', '9'])
                status = self.status(run)
                self.assertEqual(status['state'], 'succeeded')
                self.assertEqual(status['errors'], 0)
                self.assertEqual((status['items']['filtered'], status['items']['done'],
                                  status['items']['failed']), (2, 4, 0))
                self.assertEqual(self.json_lines('errors', run), [])


if __name__ == '__main__':
    main()
