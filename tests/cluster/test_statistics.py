"""Where a run stands, told by real processes: times of steps, overhead, progress, the time left, and
the hub's log. What a sleeping step bounds from below is held against it; nothing from above."""
import re

from cluster import ClusterTest, main, wait_for

STEPS = '''
import os
import time
from buelon.core.step import Result, StepStatus

def nap(x):
    time.sleep(0.1)
    return x

def rest(x):
    time.sleep(0.2)
    return x

def endless(x):
    while not os.path.exists('release'):
        time.sleep(0.01)
    return x

def told(count, cursor):
    """Says with the first items that there will be a hundred."""
    while not os.path.exists('tell'):
        time.sleep(0.01)
    at = cursor or 0
    items = list(range(at, min(at + count, 100)))
    return Result(status=StepStatus.success, data=(items, at + len(items)), total=100)

def source():
    yield from range(10)
    while not os.path.exists('release'):
        time.sleep(0.01)
'''


class StatisticsTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def loop(self, step, over):
        return self.write('script.bue', f'''
import python ({step}, source) steps.py
pipe = | {step}
src = | source
for x in {over}:
    v = pipe(x)
''')

    def assert_adds_up(self, timing):
        run_s, overhead_s = timing['run_s'], timing['overhead_ms'] / 1000
        self.assertLessEqual(run_s['min'], run_s['p50'])
        self.assertLessEqual(run_s['p50'], run_s['p95'])
        self.assertLessEqual(run_s['p95'], run_s['max'])
        self.assertLessEqual(run_s['min'], run_s['mean'])
        self.assertLessEqual(run_s['mean'], run_s['max'])
        total_s = timing['total_s']
        self.assertAlmostEqual(run_s['mean'] + overhead_s, total_s, delta=total_s / 100)
        self.assertAlmostEqual(timing['overhead_percent'], 100 * overhead_s / total_s, delta=1)

    def test_times_of_a_step_and_they_outlive_the_hub(self):
        self.start_cluster()
        run = self.upload(self.loop('nap', 'range(40)'))
        self.bue('wait', run)
        status = self.status(run)
        nap, = [step for step in status['steps'] if step['name'] == 'nap']
        for timing in (nap, status):
            self.assertEqual(timing['attempts'], 40)
            self.assertGreaterEqual(timing['run_s']['min'], 0.1)
            self.assert_adds_up(timing)
            self.assertLess(status['started'], timing['last_result'])
            self.assertLessEqual(timing['last_result'], status['ended'])
        self.assertEqual(status['progress_percent'], 100)
        self.assertIsNone(status['eta_s'])
        self.assertRegex(self.bue('status', run).stdout, r'RUN TIME +MEAN(.|\n)* nap +\d')
        self.hub.stop()
        self.start_hub(self.hub.address)
        peaks = {'peak_running': 0, 'peak_queued': 0}  # Since the hub's start.
        self.assertEqual([step | peaks for step in self.status(run)['steps']],
                         [step | peaks for step in status['steps']])

    def test_the_time_left_follows_from_the_pace(self):
        self.start_cluster(2, '--slots', 1)
        run = self.upload(self.loop('rest', 'range(100)'))
        first = self.status(run)
        if first['tasks']['done'] == 0:
            self.assertIsNone(first['eta_s'])
        half = wait_for(lambda: self.at_least(run, 50), 'half of it is done')
        left = 100 - half['tasks']['done']
        if left > 0:
            # Two at a time, of 0.2 s each: no pace can be higher.
            self.assertLessEqual(half['tasks_per_s'], 10)
            self.assertAlmostEqual(half['eta_s'], left / half['tasks_per_s'], delta=0.01)
            shown = self.bue('status', run).stdout
            self.assertRegex(shown, r': running, .*, eta |: succeeded, ')
        self.bue('wait', run)

    def at_least(self, run, percent):
        status = self.status(run)
        return status if status['progress_percent'] >= percent else None

    def test_neither_progress_nor_time_left_while_the_total_is_unknown(self):
        self.start_cluster()
        run = self.upload(self.loop('nap', 'src()'))
        self.wait_done(run, 10)
        status = self.status(run)
        self.assertIsNone(status['tasks']['total'])
        self.assertIsNone(status['progress_percent'])
        self.assertIsNone(status['eta_s'])
        self.assertGreater(status['tasks_per_s'], 0)
        source, = [step for step in status['steps'] if step['name'] == 'source']
        self.assertEqual(source['attempts'], 0)
        self.assertIsNone(source['run_s'])
        self.assertIsNone(source['last_result'])
        self.write('w0/release', '')
        self.bue('wait', run)
        self.assertEqual(self.status(run)['progress_percent'], 100)

    def test_a_source_may_say_how_many_items_there_will_be(self):
        self.start_cluster()
        run = self.upload(self.write('script.bue', '''
import python (told !refill, endless !queue 10) steps.py
src = | told
pipe = | endless
for x in src():
    v = pipe(x)
'''))
        wait_for(lambda: self.status(run)['tasks']['running'] == 1, 'the source is asked')
        status = self.status(run)
        self.assertEqual((status['items']['total'], status['progress_percent']), (None, None))
        self.write('w0/tell', '')
        wait_for(lambda: self.status(run)['items']['total'] == 100, 'it is told')
        status = self.status(run)
        self.assertEqual((status['state'], status['items']['done']), ('running', 0))
        self.assertIsNotNone(status['progress_percent'])
        self.write('w0/release', '')
        self.bue('wait', run)
        self.assertEqual(self.status(run)['items']['done'], 100)

    def lines(self, run, state):
        return re.findall(rf'run statistics run={run} state={state} .*', self.hub.log())

    def test_the_log_says_how_runs_get_on(self):
        self.start_bucket()
        self.start_hub('127.0.0.1:0', 'hub', '--stats-interval', '0.05')
        self.start_worker('--name', 'w0', cwd=self.path('w0'))
        run = self.upload(self.loop('endless', 'range(10)'))
        wait_for(lambda: 'active=10 ' in ''.join(self.lines(run, 'running')), 'a line says it runs')
        self.write('w0/release', '')
        self.bue('wait', run)
        wait_for(lambda: self.lines(run, 'succeeded'), 'a last line')
        last, = self.lines(run, 'succeeded')
        self.assertIn('completed=10 success_rate=100.00% total=10 ', last)
        self.assertIn('steps=[endless running=0 queued=0 completed=10 ', last)

    def test_an_interval_of_zero_leaves_the_last_line(self):
        self.start_bucket()
        self.start_hub('127.0.0.1:0', 'hub', '--stats-interval', '0')
        self.start_worker('--name', 'w0', cwd=self.path('w0'))
        run = self.upload(self.loop('nap', 'range(200)'))
        self.bue('wait', run)
        wait_for(lambda: self.lines(run, 'succeeded'), 'a last line')
        self.assertEqual(self.lines(run, 'running'), [])

    def test_intervals_that_make_no_sense_are_refused(self):
        for given in ('-1', 'soon', 'nan', '1e99'):
            refused = self.bue('hub', '--data', 'd', '--stats-interval', given, code=2, hub=False)
            self.assertIn('--stats-interval', refused.stderr)


if __name__ == '__main__':
    main()
