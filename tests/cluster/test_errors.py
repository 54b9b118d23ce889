"""What goes wrong in a run is one item's matter, and said: which step, item, attempt and worker, what was
under way; and how a run ends, naturally or because somebody ends it."""
import os

from cluster import ClusterTest, main, wait_for

STEPS = '''
import os
import signal
import threading
import time

import buelon

def items(): return ['good', 'fetch', 'process', 'store']
def nothing(): return []
def stage(name, x):
    if x == name:
        raise ValueError(f'{name} is bad')
    return x
def fetch(x): return stage('fetch', x)
def process(x): return stage('process', x)
def store(x): return stage('store', x)

def fails_twice(x):
    attempt = buelon.task().attempt
    if attempt < 3:
        raise ConnectionError(f'attempt {attempt}')
    return attempt

def needs_mending(x):
    if not os.path.exists('mended'):
        raise ConnectionError('not yet')
    return x

def sleeps(x): time.sleep(3600)
def fine(x): return x
def not_storable(x): return threading.Lock()
class Unreadable:
    def __reduce__(self): return refuse, ()
def refuse(): raise ValueError('not to be read')
def unreadable(x): return Unreadable()
def reads(x): return x
def kills_its_worker(x):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)
def exits_at_3(x):
    if x == 3:
        os._exit(1)
    return x

def attempt_of(x):
    open('began', 'w').close()
    time.sleep(0.05)
    return buelon.task().attempt

def half_wait(x):
    """The first fifty end; the others once they are released."""
    while x >= 50 and not os.path.exists('release'):
        time.sleep(0.01)
    return x
'''

# The value of its first step can be stored, and not be read.
UNREADABLE = '''
import python (unreadable, reads) steps.py
pipe = unreadable | reads
for x in range(1):
    v = pipe(x)
'''


class RunTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.scripts = 0
        self.write('steps.py', STEPS)

    def loop(self, steps, over='range(10)', file='steps.py'):
        """A script that calls the first of `steps` for all of `over`."""
        name = steps.split(' ')[0].strip(',')
        self.scripts += 1
        return self.write(f'script-{self.scripts}.bue', f'import python ({steps}) {file}\n'
                          f'pipe = | {name}\nfor x in {over}:\n    v = pipe(x)\n')

    def ended(self, script, code=0):
        """A run of the script that has ended with that exit code of `bue wait`."""
        run = self.upload(script)
        self.bue('wait', run, code=code)
        return run

    def errors(self, run):
        return self.json_lines('errors', run)

    def values(self, run):
        return [one['value'] for one in self.json_lines('results', run)]


class FailuresTest(RunTest):
    def test_a_failed_item_names_its_step_and_harms_no_other(self):
        self.start_cluster()
        run = self.ended(self.write('script.bue', '''
import python (items, fetch, process, store) steps.py
source = | items
pipe = fetch | process | store
for x in source():
    v = pipe(x)
'''), code=1)
        self.assertEqual(self.values(run), ['good'])
        self.assertEqual([(one['item'], one['step'], one['error']) for one in self.errors(run)],
                         [(str(item), step, f'{step} is bad')
                          for item, step in enumerate(('fetch', 'process', 'store'), 1)])
        status = self.status(run)
        self.assertEqual((status['items']['done'], status['items']['failed']), (1, 3))
        self.assertEqual(status['success_rate'], 0.25)
        self.assertEqual(status['state'], 'failed')

    def test_every_action_is_told_apart(self):
        self.start_cluster()
        self.write('unloadable.py', 'import no_such_module\ndef f(x): return x\n')
        self.write('unstartable.py', 'def start(): raise OSError("no start")\ndef f(x): return x\n')
        self.write('unended.py', 'def finalize(): raise OSError("no end")\ndef f(x): return x\n')
        one = 'range(1)'
        for action, script, mentions, code in (
                ('load', self.loop('f', one, 'unloadable.py'), 'no_such_module', 1),
                ('start', self.loop('f', one, 'unstartable.py'), 'no start', 1),
                ('input', self.write('input.bue', UNREADABLE), 'not to be read', 1),
                ('run', self.loop('fails_twice', one), 'attempt 1', 1),
                ('store', self.loop('not_storable', one), 'lock', 1),
                ('finalize', self.loop('f', one, 'unended.py'), 'no end', 0),
                ('timeout', self.loop('sleeps !timeout 1', one), 'timeout', 1)):
            with self.subTest(action):
                self.check_error(self.ended(script, code), action, mentions)

    def test_a_task_whose_workers_die_is_given_up(self):
        self.start_cluster(4)
        run = self.ended(self.loop('kills_its_worker', 'range(1)'), code=1)
        self.check_error(run, 'worker_lost', '3')
        self.assertEqual(sum(worker.alive() for worker in self.workers), 1)

    def check_error(self, run, action, mentions):
        error, = wait_for(lambda: self.errors(run), 'the error is listed')
        self.assertEqual((error['run'], error['action']), (run, action))
        self.assertIn(error['worker'], ('w0', 'w1', 'w2', 'w3'))
        self.assertIn(mentions, f'{error["error"]} {error["action"]}')
        self.assertIn(error['step'], ('f', 'reads', 'fails_twice', 'not_storable', 'sleeps',
                                      'kills_its_worker'))
        if action == 'run':
            self.assertIn('raise ConnectionError', error['traceback'])
        if action != 'finalize':  # That is no task's.
            self.assertEqual((error['item'], error['attempt']), ('0', 1))
            self.assertTrue(error['final'])

    def test_the_third_attempt_may_succeed(self):
        self.start_cluster()
        run = self.ended(self.loop('fails_twice !retries 2 !backoff 0.01', 'range(1)'))
        self.assertEqual(self.values(run), [3])
        self.assertEqual([(one['attempt'], one['final']) for one in self.errors(run)],
                         [(1, False), (2, False)])

    def test_what_failed_is_kept_and_succeeds_later(self):
        self.start_cluster()
        run = self.ended(self.loop('needs_mending', 'range(1)'), code=1)
        self.assertEqual(len(self.errors(run)), 1)
        self.write('w0/mended', '')
        self.bue('retry', run)
        self.bue('wait', run)
        self.assertEqual(self.values(run), [0])

    def test_a_step_that_overruns_ends_and_its_worker_goes_on(self):
        self.start_cluster(1, '--slots', 1)
        run = self.ended(self.loop('sleeps !timeout 1', 'range(1)'), code=1)
        self.assertEqual([one['action'] for one in self.errors(run)], ['timeout'])
        self.assertEqual(self.values(self.ended(self.loop('fine', 'range(10)'))), list(range(10)))

    def test_a_step_that_ends_its_interpreter_fails_alone(self):
        self.start_cluster()
        for mode in ('', '!mode process'):
            with self.subTest(mode):
                run = self.ended(self.loop(f'exits_at_3 {mode}'), code=1)
                self.assertEqual([one['item'] for one in self.errors(run)], ['3'])
                self.assertEqual(sorted(self.values(run)), [x for x in range(10) if x != 3])
                status = self.status(run)
                self.assertEqual((status['items']['done'], status['items']['failed']), (9, 1))


class HooksTest(RunTest):
    def test_start_runs_once_in_each_interpreter(self):
        self.start_cluster()
        self.write('hooked.py', 'import os\ndef start():\n    with open("starts", "a") as log:\n'
                                '        log.write(f"{os.getpid()}\\n")\n'
                                'def pid(x):\n    return os.getpid()\n')
        for mode in ('', '!mode process'):
            with self.subTest(mode):
                run = self.ended(self.loop(f'pid {mode}', 'range(100)', 'hooked.py'))
                with open(self.path('w0', 'starts')) as log:
                    starts = [int(line) for line in log]
                os.unlink(self.path('w0', 'starts'))
                self.assertEqual(len(starts), len(set(starts)))
                self.assertLessEqual(set(self.values(run)), set(starts))

    def test_a_start_that_fails_fails_its_steps(self):
        self.start_cluster()
        self.write('hooked.py', 'def start():\n    raise OSError("no licence")\n'
                                'def f(x):\n    return x\n')
        run = self.ended(self.loop('f', 'range(10)', 'hooked.py'), code=1)
        self.assertEqual([(one['action'], one['error']) for one in self.errors(run)],
                         [('start', 'no licence')] * 10)
        self.assertEqual(self.status(run)['tasks']['failed'], 10)


class EndsTest(RunTest):
    def test_a_run_ends_by_itself_and_wait_says_how(self):
        self.start_cluster()
        run = self.ended(self.write('script.bue', '''
import python (nothing, fine) steps.py
source = | nothing
pipe = | fine
for x in source():
    v = pipe(x)
'''))
        status = self.status(run)
        self.assertEqual((status['state'], status['items']['total']), ('succeeded', 0))
        self.ended(self.loop('fine'))
        self.ended(self.loop('fails_twice'), code=1)

    def test_stop_leaves_each_item_finished_or_cancelled(self):
        self.start_cluster(1, '--slots', 60)
        run = self.upload(self.loop('half_wait', 'range(100)'))
        self.wait_done(run, 50)
        self.bue('stop', run, '--grace', 1)
        self.assertIn('cancelled', self.bue('wait', run, code=1).stdout)
        status = self.status(run)
        self.assertEqual((status['tasks']['done'], status['tasks']['running']), (50, 0))
        parts = ('done', 'failed', 'filtered', 'skipped', 'running', 'waiting')
        self.assertEqual(sum(status['tasks'][part] for part in parts), 100)
        self.assertEqual(status['tasks']['failed'], 0)
        self.assertEqual(sorted(self.values(run)), list(range(50)))

    def test_a_paused_run_stands_still(self):
        self.start_cluster()
        run = self.upload(self.loop('half_wait !max_running 10', 'range(100)'))
        self.wait_done(run, 50)
        self.bue('pause', run)
        self.write('w0/release', '')
        wait_for(lambda: self.status(run)['tasks']['running'] == 0, 'what ran has ended')
        stands_at = self.status(run)['tasks']['done']
        self.assertLess(stands_at, 100)
        self.ended(self.loop('fine', 'range(100)'))  # As many as would have gone on meanwhile.
        self.assertEqual(self.status(run)['tasks']['done'], stands_at)
        self.bue('resume', run)
        self.bue('wait', run)
        self.assertEqual(self.status(run)['tasks']['done'], 100)

    def test_a_worker_that_is_told_to_end_counts_no_attempt(self):
        self.start_cluster(2, '--slots', 4)
        run = self.upload(self.loop('attempt_of', 'range(100)'))
        wait_for(lambda: os.path.exists(self.path('w0', 'began')), 'it works')
        self.assertEqual(self.workers[0].stop(), 0)
        self.bue('wait', run)
        self.assertEqual(self.values(run), [1] * 100)
        self.assertEqual(self.errors(run), [])


if __name__ == '__main__':
    main()
