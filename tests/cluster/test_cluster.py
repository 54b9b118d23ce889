"""A hub, a bucket and workers as processes: upload, watch, look at what came of it."""
import json
import os
import subprocess
import threading

from cluster import BUE, ClusterTest, clean_environment, connected, main, wait_for

STEPS = '''
import os
import helper

def items():
    return list(range(1000))

def square(x):
    return helper.square(x)

def where(x):
    return {'x': x, 'folder': os.getcwd()}

def total(values):
    return sum(value['x'] for value in values)

def odd_fails(x):
    if x % 2:
        raise KeyError(f'odd {x}')
    return x

def talk(x):
    print('x is', x)
    return x

def hold(x):
    import time
    while not os.path.exists('release'):
        time.sleep(0.01)
    return x

def hold_most(x):
    return x if x < 5 else hold(x)
'''

SCRIPT = '''
import python (items, square, where, total) steps.py
source = | items
pipe = square | where
for x in source():
    v = pipe(x)
'''

# The first items of each worker wait until all three have one: how quick the machine is does not
# decide who gets a share.
MEET = '''
import time

def where(x):
    folder = os.getcwd()
    open(os.path.join('..', 'met', os.path.basename(folder)), 'w').close()
    while len(os.listdir(os.path.join('..', 'met'))) < 3:
        time.sleep(0.01)
    return {'x': x, 'folder': folder}
'''

FAN_IN = '''
import python (items, square, where, total) steps.py
source = | items
pipe = square | where
sum = | total
for x in source():
    v = pipe(x)
t = sum(v)
'''


class ThreeWorkersTest(ClusterTest):
    def test_each_finishes_a_share_without_having_the_files(self):
        self.write('user/steps.py', STEPS + MEET)
        self.write('user/helper.py', 'def square(x):\n    return x * x\n')
        self.write('user/script.bue', SCRIPT)
        os.mkdir(self.path('met'))
        self.start_cluster(3, '--slots', 2)
        run = self.upload('user/script.bue')
        self.assertIn('succeeded', self.bue('wait', run).stdout)

        shares = {worker['name']: worker['done'] for worker in self.json_all('workers')}
        self.assertEqual(sorted(shares), ['w0', 'w1', 'w2'])
        self.assertEqual(sum(shares.values()), 2001, shares)
        for name, share in shares.items():
            self.assertGreater(share, 0, shares)
        table = self.bue('workers').stdout
        for name in shares:
            self.assertIn(name, table)

        values = json.loads(self.bue('get', run, 'v').stdout)
        self.assertEqual([value['x'] for value in values], [x * x for x in range(1000)])
        self.assertEqual({value['folder'] for value in values},
                         {os.path.realpath(self.path(name)) for name in shares})
        for name in shares:
            self.assertFalse(os.path.exists(self.path(name, 'steps.py')))

    def test_fan_in_collects_what_all_of_them_made(self):
        self.write('user/steps.py', STEPS)
        self.write('user/helper.py', 'def square(x):\n    return x * x\n')
        self.write('user/script.bue', FAN_IN)
        self.start_cluster(3, '--slots', 2)
        run = self.upload('user/script.bue')
        self.bue('wait', run)
        self.assertEqual(json.loads(self.bue('get', run, 't').stdout),
                         sum(x * x for x in range(1000)))
        self.assertEqual(self.status(run)['tasks']['done'], 2002)
        values = json.loads(self.bue('get', run, 'v').stdout)
        self.assertEqual([value['x'] for value in values], [x * x for x in range(1000)])

    def json_all(self, *arguments):
        return json.loads(self.bue(*arguments, '--json').stdout)


class CommandsTest(ClusterTest):
    """One cluster for what the client commands show."""

    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS.replace('import helper', 'def square(x):\n    return x * x'))
        self.start_cluster()

    def script(self, step, items=10):
        return self.write('script.bue', f'''
import python ({step}) steps.py
pipe = | {step}
for x in range({items}):
    v = pipe(x)
''')

    def test_results_are_one_json_object_a_line(self):
        run = self.upload(self.script('where'))
        self.bue('wait', run)
        results = self.json_lines('results', run)
        self.assertEqual(sorted(int(result['item']) for result in results), list(range(10)))
        self.assertEqual({result['step'] for result in results}, {'where'})
        self.assertEqual({result['run'] for result in results}, {run})
        self.assertEqual(sorted(result['value']['x'] for result in results), list(range(10)))
        bare = self.json_lines('results', run, '--no-values')
        self.assertEqual(len(bare), 10)
        self.assertNotIn('value', bare[0])
        one = json.loads(self.bue('get', run, 'v', '--item', '3').stdout)
        self.assertEqual(one['x'], 3)
        self.assertIn('"x": 3', self.bue('results', run).stdout)

    def test_errors_name_step_item_and_reason(self):
        run = self.upload(self.script('odd_fails'))
        self.bue('wait', run, code=1)
        errors = self.json_lines('errors', run)
        self.assertEqual(sorted(int(error['item']) for error in errors), [1, 3, 5, 7, 9])
        for error in errors:
            self.assertEqual((error['run'], error['step'], error['attempt'], error['action']),
                             (run, 'odd_fails', 1, 'run'))
            self.assertEqual(error['worker'], 'w0')
            self.assertEqual(error['type'], 'KeyError')
            self.assertIn('odd', error['error'])
            self.assertIn('Traceback', error['traceback'])
        status = self.status(run)
        self.assertEqual(status['state'], 'failed')
        self.assertEqual(status['tasks']['failed'], 5)
        self.assertEqual(len(self.json_lines('results', run)), 5)
        self.assertRegex(self.bue('errors', run).stdout,
                         r"odd_fails item 1, attempt 1, run on w0 at \d{4}-\d\d-\d\d "
                         r"\d\d:\d\d:\d\d: KeyError: 'odd 1'\n")

    def test_logs_hold_what_steps_printed(self):
        run = self.upload(self.script('talk'))
        self.bue('wait', run)
        self.assertEqual(len(self.json_lines('logs', run)), 10)
        logs = self.json_lines('logs', run, 'talk', '4')
        self.assertEqual([log['text'] for log in logs], ['x is 4\n'])
        self.assertIn('x is 7\n', self.bue('logs', run).stdout)
        self.assertIn("no step 'tlak'; did you mean talk? it has talk", self.bue('logs', run, 'tlak', code=2).stderr)
        self.assertIn('0 to 9', self.bue('logs', run, 'talk', '99', code=2).stderr)

    def test_logs_hold_what_running_process_steps_have_printed(self):
        self.write('steps.py', '''
import os, threading, time

def talk_on():
    thread = threading.Thread(target=print, args=('from a thread',), daemon=True)
    thread.start()
    thread.join()
    os.system('echo from a child')
    print('from the step')
    while not os.path.exists('release'):
        time.sleep(0.01)
''')
        run = self.upload(self.write('script.bue', 'import python (talk_on !mode process) steps.py\n'
                                     'p = | talk_on\np()\n'))
        said = ['from a child', 'from a thread', 'from the step']

        def heard():
            logs = self.json_lines('logs', run)
            return logs and logs[0]['running'] and sorted(logs[0]['text'].splitlines()) == said
        wait_for(heard, 'all of it to be there while it runs')
        self.write('w0/release', '')
        self.bue('wait', run)

    def test_status_adds_up(self):
        run = self.upload(self.script('hold'))
        wait_for(lambda: self.status(run)['tasks']['running'] == 10, 'all ten run')
        status = self.status(run)
        self.assertEqual(status['state'], 'running')
        self.assertIsNone(status['eta_s'])
        self.write('w0/release', '')
        self.bue('wait', run)
        status = self.status(run)
        self.assertEqual(status['run'], run)
        self.assertEqual(status['state'], 'succeeded')
        self.assertEqual(status['steps'][0]['name'], 'hold')
        for counts in (status['tasks'], status['steps'][0]):
            parts = [counts[part] for part in
                     ('done', 'failed', 'filtered', 'skipped', 'running', 'waiting')]
            self.assertEqual(sum(parts), counts['total'])
            self.assertEqual(counts['done'], 10)
        everything = json.loads(self.bue('status', '--json').stdout)
        self.assertIn(run, [one['run'] for one in everything])
        self.assertIn(run, self.bue('status').stdout)
        self.assertIn('hold', self.bue('status', run).stdout)
        last = self.bue('status', run, '--watch', '--json').stdout.splitlines()[-1]
        self.assertEqual(json.loads(last)['state'], 'succeeded')

    def test_cancel_ends_a_run(self):
        run = self.upload(self.script('hold', 1000))
        wait_for(lambda: self.status(run)['tasks']['running'], 'it runs')
        self.bue('cancel', run)
        self.assertIn('cancelled', self.bue('wait', run, code=1).stdout)
        self.write('w0/release', '')
        wait_for(lambda: self.status(run)['tasks']['running'] == 0, 'nothing runs')
        self.assertEqual(self.status(run)['tasks']['done'], 0)  # Nothing could end before.

    def test_pause_holds_and_resume_goes_on(self):
        run = self.upload(self.script('hold_most', 5000))
        self.wait_done(run, 5)
        self.bue('pause', run)
        self.write('w0/release', '')
        wait_for(lambda: self.status(run)['tasks']['running'] == 0, 'what ran has ended')
        held = self.status(run)
        self.assertEqual(held['state'], 'paused')
        self.assertLess(held['tasks']['done'], 5000)  # Many times what a worker may have waiting.
        other = self.upload(self.script('where'))
        self.bue('wait', other)
        self.assertEqual(self.status(run)['tasks']['done'], held['tasks']['done'])
        self.bue('resume', run)
        self.bue('wait', run)
        self.assertEqual(self.status(run)['tasks']['done'], 5000)

    def test_delete_removes_a_run(self):
        run = self.upload(self.script('where'))
        self.bue('wait', run)
        self.bue('delete', run)
        self.bue('status', run, code=2)

    def test_upload_with_a_known_key_starts_nothing_new(self):
        script = self.script('where')
        run = self.upload(script, '--key', 'nightly-1')
        self.assertEqual(self.upload(script, '--key', 'nightly-1'), run)
        self.assertNotEqual(self.upload(script, '--key', 'nightly-2'), run)
        other = self.write('other.bue', 'import python (one) steps.py\n')
        refused = self.bue('upload', '-f', other, '--key', 'nightly-1', code=2)
        self.assertIn(f"key 'nightly-1' belongs to run {run}", refused.stderr)
        self.assertEqual(refused.stdout, '')

    def test_wait_survives_a_restart_of_the_hub(self):
        run = self.upload(self.script('hold'))
        wait_for(lambda: self.status(run)['tasks']['running'] == 10, 'all ten run')
        waiting = subprocess.Popen([BUE, 'wait', run, '-b', self.hub.address, '--timeout', '60'],
                                   env=clean_environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        wait_for(lambda: connected(waiting.pid), 'it has found the hub')
        self.hub.kill()
        self.start_hub(self.hub.address)
        self.assertIsNone(waiting.poll())
        self.write('w0/release', '')
        out, _ = waiting.communicate(timeout=120)
        self.assertEqual(waiting.returncode, 0, out)

    def test_upload_that_waits_prints_the_run_at_once_and_survives_a_restart_of_the_hub(self):
        waiting = subprocess.Popen(
            [BUE, 'upload', '-f', self.script('hold'), '--wait', '-b', self.hub.address,
             '--timeout', '60'], cwd=self.folder, env=clean_environment(),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        run = waiting.stdout.readline().strip()
        self.assertRegex(run, r'^r[0-9]+$')
        self.hub.kill()
        self.start_hub(self.hub.address)
        wait_for(lambda: self.status(run)['tasks']['running'] == 10, 'all ten run')
        self.assertIsNone(waiting.poll())
        self.write('w0/release', '')
        out, _ = waiting.communicate(timeout=120)
        self.assertEqual(waiting.returncode, 0, out)
        self.assertIn(f'{run} succeeded in ', out)

    def test_upload_that_waits_exits_as_the_run_ended(self):
        failed = self.bue('upload', '-f', self.script('odd_fails'), '--wait', code=1)
        run, end = failed.stdout.splitlines()
        self.assertTrue(end.startswith(f'{run} failed in '), end)
        self.assertIn(f'bue errors {run}', failed.stderr)

    def test_include_takes_files_along(self):
        self.write('data/a.txt', 'from a')
        self.write('reader.py', '''
import os
def read(x):
    return open(os.path.join(os.path.dirname(__file__), 'data', 'a.txt')).read()
''')
        self.write('script.bue', 'import python (read) reader.py\npipe = | read\n'
                                 'for x in range(1):\n    pipe(x)\n')
        run = self.upload('script.bue', '--include', 'data/*.txt')
        self.bue('wait', run)
        self.assertEqual(self.json_lines('results', run)[0]['value'], 'from a')

    def test_scopes_choose_the_worker(self):
        self.start_worker('--name', 'special', '-s', 'heavy, other', cwd=self.path('special'))
        self.write('script.bue', '$ heavy\nimport python (where) steps.py\npipe = | where\n'
                                 'for x in range(20):\n    pipe(x)\n')
        self.workers[0].stop()
        run = self.upload('script.bue')
        self.bue('wait', run)
        folders = {result['value']['folder'] for result in self.json_lines('results', run)}
        self.assertEqual(folders, {os.path.realpath(self.path('special'))})

    def test_many_clients_at_once(self):
        script = self.script('where')
        runs = []
        threads = [threading.Thread(target=lambda: runs.append(self.upload(script)))
                   for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(set(runs)), 8)
        for run in runs:
            self.bue('wait', run)


class KeepResultsTest(ClusterTest):
    def test_values_go_when_their_time_is_over(self):
        self.write('script.bue', 's:\n    python\n    f\n    `\ndef f():\n    return 7\n    `\n'
                                 'p = | s\nv = p()\n')
        self.start_bucket()
        self.start_hub()
        self.start_worker()
        run = self.upload('script.bue')
        self.bue('wait', run)
        self.assertEqual(self.bue('get', run, 'v').stdout, '7\n')
        self.hub.stop()
        self.start_hub(self.hub.address, 'hub', '--keep-results', '1s')
        wait_for(lambda: 'gone' in self.bue('get', run, 'v', code=None).stderr, 'it is gone')
        self.assertIn('--keep-results', self.bue('results', run, code=2).stderr)
        self.assertEqual(self.status(run)['state'], 'succeeded')


class DemoTest(ClusterTest):
    def test_it_serves_and_ends_with_one_signal(self):
        demo = self.start('demo', '-b', 'localhost:0')
        self.assertIn('are running', demo.ready_line)
        address = demo.ready_line.split(' at ')[1].split(',')[0]
        self.bue('example')
        run = self.bue('upload', '-f', 'example.bue', '-b', address).stdout.strip()
        self.bue('wait', run, '-b', address)
        workers = json.loads(self.bue('workers', '--json', '-b', address).stdout)
        self.assertEqual(len(workers), 3)
        self.assertEqual(demo.stop(60), 0)
        self.bue('status', '-b', address, '--timeout', '0.5', code=2)

    def test_kill_leaves_no_process_behind(self):
        demo = self.start('demo', '-b', 'localhost:0')
        address = demo.ready_line.split(' at ')[1].split(',')[0]
        self.bue('status', '-b', address)
        demo.kill()
        wait_for(lambda: self.bue('status', '-b', address, '--timeout', '0.2',
                                  code=None).returncode == 2, 'its hub is gone')


if __name__ == '__main__':
    main()
