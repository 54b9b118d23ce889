"""What people do to a run that goes wrong: stop it, let it go on, run again what failed."""
import json
import os

from cluster import ClusterTest, main, wait_for

STEPS = '''
import os
import time

def odd_needs_mending(x):
    if x % 2 and not os.path.exists('mended'):
        raise KeyError(f'odd {x}')
    return x

def double(x):
    with open('doubled', 'a') as log:
        log.write(f'{x}\\n')
    return 2 * x

def total(values):
    return sum(values)

def hold(x):
    while not os.path.exists('release'):
        time.sleep(0.01)
    return x

def holds_after_the_first(x):
    while x >= 200 and not os.path.exists('release'):
        time.sleep(0.01)
    return x

def never_ends(x):
    time.sleep(3600)
'''

LOOP_AND_TOTAL = '''
import python (odd_needs_mending, double, total) steps.py
pipe = odd_needs_mending | double
sum = | total
for x in range(10):
    v = pipe(x)
t = sum(v)
'''


class ControlTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)
        self.start_cluster()

    def script(self, step, items, more=''):
        return self.write('script.bue', f'''
{more}
import python ({step}) steps.py
pipe = | {step}
for x in range({items}):
    v = pipe(x)
''')

    def test_retry_runs_what_failed_and_what_depends_on_it(self):
        run = self.upload(self.write('script.bue', LOOP_AND_TOTAL))
        self.bue('wait', run, code=1)
        self.assertEqual(self.bue('get', run, 't').stdout, '40\n')
        self.assertEqual(self.status(run)['tasks']['failed'], 5)
        self.assertIn("no step 'doubel'", self.bue('retry', run, '--step', 'doubel', code=2).stderr)
        self.assertIn("no task of step 'double' failed",
                      self.bue('retry', run, '--step', 'double', code=2).stderr)
        self.assertIn('was not cancelled', self.bue('retry', run, '--cancelled', code=2).stderr)
        self.bue('retry', run)
        self.bue('wait', run, code=1)
        # Attempts count anew after a retry: the pass tells them apart.
        self.assertEqual([(one['attempt'], one['pass']) for one in self.json_lines('errors', run)
                          if one['item'] == '3'], [(1, 0), (1, 1)])
        self.assertIn('item 3, attempt 1 of pass 2', self.bue('errors', run).stdout)
        self.assertIn("'0' is not a whole number from 1 to 1000000000",
                      self.bue('errors', run, '-c', 0, code=2).stderr)
        # What is missing from a list is said, and what is not is not.
        left_out = f'5 of 10 items of {run} failed and are left out; why: bue errors {run}'
        self.assertIn(left_out, self.bue('get', run, 't').stderr)
        self.assertIn(left_out, self.bue('results', run).stderr)
        self.assertEqual(self.bue('get', run, 'v', '--item', 2).stderr, '')
        self.write('w0/mended', '')
        self.assertIn('5 failed tasks run again', self.bue('reset', run).stdout)
        self.assertIn('succeeded', self.bue('wait', run).stdout)
        self.assertEqual(self.bue('get', run, 't').stdout, '90\n')
        status = self.status(run)
        self.assertEqual((status['tasks']['done'], status['tasks']['total']), (21, 21))
        with open(self.path('w0', 'doubled')) as log:
            self.assertEqual(sorted(int(x) for x in log), list(range(10)))  # Each once.
        self.assertIn('nothing in it failed', self.bue('retry', run, code=2).stderr)
        self.assertIn('10 earlier errors', self.bue('status', run).stdout)
        self.assertEqual(self.bue('get', run, 't').stderr, '')

    def test_a_step_that_stops_the_run_keeps_its_list_from_being_used(self):
        run = self.upload(self.write('script.bue', LOOP_AND_TOTAL.replace(
            'odd_needs_mending,', 'odd_needs_mending !on_error stop,')))
        self.bue('wait', run, code=1)
        counts = {step['name']: step for step in self.status(run)['steps']}
        self.assertEqual((counts['total']['done'], counts['total']['skipped']), (0, 1))
        self.write('w0/mended', '')
        self.bue('retry', run)
        self.bue('wait', run)
        self.assertEqual(self.bue('get', run, 't').stdout, '90\n')

    def test_retry_leaves_a_paused_run_paused_and_says_so(self):
        run = self.upload(self.write('script.bue', '''
import python (odd_needs_mending, hold) steps.py
mend = | odd_needs_mending
held = | hold
for x in range(2):
    mend(x)
for y in range(2):
    held(y)
'''))
        wait_for(lambda: self.status(run)['tasks']['failed'] == 1, 'one to have failed')
        self.bue('pause', run)
        self.assertEqual(self.bue('retry', run).stdout,
                         f'{run} is still paused, 1 failed task runs again once it goes on: '
                         f'bue resume {run}\n')
        self.assertEqual(self.bue('retry', run).stdout,
                         f'{run} is still paused, 0 failed tasks run again once it goes on: '
                         f'bue resume {run}\n')
        self.assertEqual(self.status(run)['state'], 'paused')
        self.write('w0/mended', '')
        self.write('w0/release', '')
        self.bue('resume', run)
        self.bue('wait', run)

    def test_retry_survives_the_hub(self):
        run = self.upload(self.write('script.bue', LOOP_AND_TOTAL))
        self.bue('wait', run, code=1)
        self.write('w0/mended', '')
        self.bue('retry', run)
        self.hub.kill()
        self.start_hub(self.hub.address)
        self.assertIn('succeeded', self.bue('wait', run).stdout)
        self.assertEqual(self.bue('get', run, 't').stdout, '90\n')

    def test_a_cancelled_run_goes_on(self):
        run = self.upload(self.script('hold', 200))
        wait_for(lambda: self.status(run)['tasks']['running'], 'it runs')
        self.bue('cancel', run)
        self.bue('wait', run, code=1)
        self.write('w0/release', '')
        self.assertIn('--cancelled', self.bue('retry', run, '--failed', code=2).stderr)
        self.assertEqual(self.bue('retry', run).stdout, f'{run} goes on, 200 tasks to go\n')
        self.assertIn('succeeded', self.bue('wait', run).stdout)
        self.assertEqual(sorted(int(result['item']) for result in self.json_lines('results', run)),
                         list(range(200)))

    def test_what_a_worker_asked_ahead_for_does_not_start_after_a_pause(self):
        run = self.upload(self.script('holds_after_the_first', 1000))
        tasks = self.wait_done(run, 200) and self.status(run)['tasks']
        # Calls of no time made the worker ask for many more than it has slots.
        self.assertGreater(tasks['running'], 64)
        self.bue('pause', run)
        wait_for(lambda: self.status(run)['tasks']['running'] == 64, 'what has not started to be back')
        self.write(os.path.join('w0', 'release'), '')
        wait_for(lambda: self.status(run)['tasks']['running'] == 0, 'what had started to end')
        status = self.status(run)
        self.assertEqual((status['state'], status['tasks']['done']), ('paused', 264))
        self.bue('resume', run)
        self.bue('wait', run)
        self.assertEqual(self.status(run)['tasks']['done'], 1000)

    def test_stop_lets_what_runs_end_and_starts_nothing(self):
        run = self.upload(self.script('hold', 1000))
        wait_for(lambda: self.status(run)['tasks']['running'], 'it runs')
        self.bue('stop', run, '--grace', 600)
        self.assertEqual(self.status(run)['state'], 'stopping')
        self.write('w0/release', '')
        self.assertIn('cancelled', self.bue('wait', run, code=1).stdout)
        status = self.status(run)
        self.assertGreater(status['tasks']['done'], 0)
        self.assertLess(status['tasks']['done'], 1000)
        self.assertEqual(len(self.json_lines('results', run)), status['tasks']['done'])
        self.bue('retry', run, '--cancelled')
        self.bue('wait', run)
        self.assertEqual(self.status(run)['tasks']['done'], 1000)

    def test_stop_cuts_off_what_does_not_end(self):
        run = self.upload(self.script('hold', 10))
        wait_for(lambda: self.status(run)['tasks']['running'] == 10, 'all run')
        self.bue('stop', run, '--grace', 1)
        self.assertIn('cancelled', self.bue('wait', run, code=1).stdout)
        self.assertEqual(self.status(run)['tasks']['running'], 0)
        self.bue('stop', run, code=2)

    def test_several_runs_are_told_at_once(self):
        script = self.script('hold', 3)
        runs = [self.upload(script) for _ in range(3)]
        self.assertEqual(self.bue('pause', *runs).stdout, ''.join(f'{r} paused\n' for r in runs))
        self.assertEqual(self.bue('pause', runs[0]).stdout, f'{runs[0]} is paused already\n')
        done = self.bue('resume', runs[0], 'r99', runs[1], code=2)
        self.assertEqual(done.stdout, f'{runs[0]} resumed\n{runs[1]} resumed\n')
        self.assertIn('no run r99; `bue status` lists', done.stderr)
        self.assertEqual(self.bue('resume', runs[1]).stdout, f'{runs[1]} is running already\n')
        self.bue('cancel', runs[0], 'x', code=2)
        self.assertEqual(self.status(runs[0])['state'], 'running')  # A wrong word: nothing is done.
        self.bue('cancel', *runs)
        self.bue('delete', *runs)
        self.assertEqual(self.statuses(), [])
        for verb, run in (('paused', runs[2]), ('resumed', runs[0]), ('cancelled', runs[1]),
                          ('deleted', runs[2])):
            self.assertRegex(self.hub.log(), f'run {verb} run={run} client=ipv4:127.0.0.1:')

    def test_who_asks_for_what_is_not_there_is_told_why(self):
        run = self.upload(self.write('script.bue', LOOP_AND_TOTAL))
        self.bue('wait', run, code=1)
        self.assertIn("it has: v, t, odd_needs_mending, double, total",
                      self.bue('get', run, 'w', code=2).stderr)
        self.assertIn('the loop has 10 items, 0 to 9',
                      self.bue('get', run, 'v', '--item', 10, code=2).stderr)
        self.assertIn('one before it failed', self.bue('get', run, 'v', '--item', 3, code=2).stderr)
        self.assertIn('the loop has 10 items, 0 to 9',
                      self.bue('logs', run, 'double', 10, code=2).stderr)
        self.assertIn('nothing was printed', self.bue('logs', run, 'double', 2).stderr)
        for words in (('explain', run, 'duoble'), ('limit', run, 'duoble', '--queue', 3),
                      ('retry', run, '--step', 'duoble'), ('logs', run, 'duoble')):
            self.assertIn("no step 'duoble'; did you mean double? it has odd_needs_mending, double",
                          self.bue(*words, code=2).stderr)
        self.assertIn('the loop has 10 items, 0 to 9',
                      self.bue('explain', run, 'double', 10, code=2).stderr)
        self.assertIn('one looks like 4',
                      self.bue('explain', run, 'double', 'x', code=2).stderr)
        self.assertIn('lies in 1 loop', self.bue('explain', run, 'double', '1.2', code=2).stderr)

    def test_a_worker_that_was_lost_stays_in_the_list(self):
        self.bue('wait', self.upload(self.script('double', 5)))
        self.workers[0].kill()
        gone = wait_for(lambda: [one for one in self.workers_json() if not one['alive']], 'it is gone')
        self.assertEqual([(one['name'], one['done'], one['running']) for one in gone],
                         [('w0', 5, 0)])
        self.assertRegex(self.bue('workers').stdout, r'w0 .* gone .* s ago')
        self.workers[0] = self.start_worker('--name', 'w0', cwd=self.path('w0'))
        (back,) = self.workers_json()
        self.assertEqual((back['name'], back['done'], back['alive']), ('w0', 5, True))

    def test_what_cannot_be_interrupted_is_counted(self):
        # Companions keep the runners, and so the threads that go on, alive for a while.
        others = []
        for _ in range(4):  # Calls go to the runner with the fewest: some to each.
            others.append(self.upload(self.script('hold', 5)))
            wait_for(lambda: self.status(others[-1])['tasks']['running'] == 5, 'all run')
        run = self.upload(self.script('never_ends', 3, '!timeout 3'))
        self.bue('wait', run, code=1)
        self.assertEqual({error['action'] for error in self.json_lines('errors', run)}, {'timeout'})
        wait_for(lambda: self.workers_json()[0]['ghosts'] == 3, 'three threads go on')
        self.assertIn('GHOSTS', self.bue('workers').stdout)
        self.bue('wait', self.upload(self.script('double', 5)))
        self.write('w0/release', '')
        for other in others:
            self.bue('wait', other)
        wait_for(lambda: self.workers_json()[0]['ghosts'] == 0, 'their runners have ended')

    def workers_json(self):
        return json.loads(self.bue('workers', '--json').stdout)


if __name__ == '__main__':
    main()
