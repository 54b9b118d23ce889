"""Limits: how many run, wait and start; changes while a run goes on; failures that stop it; why a task waits."""
import json
import os
import time

from cluster import main, wait_for
from holding import HOLD, HoldingTest

STEPS = HOLD + '''
def fetch(x):
    return x

def process(x):
    time.sleep(0.02)
    return x

def store(x):
    return x

def stamp(x):
    with open('stamps', 'a') as log:
        log.write(f'{time.time()}\\n')
    return x

def fails_at_55(x):
    if x == 55:
        raise ValueError('item 55')
    return x
'''


class LimitsTest(HoldingTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def script(self, steps, pipe, items, head=''):
        return self.write('script.bue', f'''
{head}
import python ({steps}) steps.py
pipe = {pipe}
for x in range({items}):
    v = pipe(x)
''')

    def steps(self, run):
        return {step['name']: step for step in self.status(run)['steps']}

    def test_stages_with_pools_and_a_bounded_queue(self):
        self.start_cluster(workers=2)
        run = self.upload(self.script(
            'fetch !max_running 10, process !max_running 2 !queue 5, store !max_running 10',
            'fetch | process | store', 60))
        self.bue('wait', run)
        steps = self.steps(run)
        self.assertEqual(steps['process']['peak_running'], 2)
        self.assertLessEqual(steps['process']['peak_queued'], 5)
        self.assertEqual(steps['store']['done'], 60)
        self.assertEqual(steps['process']['limits']['queue'], 5)

    def test_limits_change_while_the_run_goes_on(self):
        self.start_cluster()
        run = self.upload(self.script('hold !max_running 2', '| hold', 20))
        wait_for(lambda: len(self.started()) == 2, 'two to run')
        self.assertIn('!max_running 2: 2 run', self.bue('explain', run, 'hold', '7').stdout)
        self.assertEqual(self.bue('limit', run, 'hold', '--max-running', '4').stdout,
                         f'{run} hold: max_running 4\n')
        wait_for(lambda: len(self.started()) == 4, 'four to run')
        self.assertEqual(self.steps(run)['hold']['peak_running'], 4)
        # It is kept when the hub is killed, and nothing runs beside what runs already.
        self.hub.kill()
        self.start_hub(self.hub_address)
        wait_for(lambda: self.steps(run)['hold']['running'] == 4, 'the worker to be back')
        self.assertEqual(self.steps(run)['hold']['limits']['max_running'], 4)
        self.assertEqual(len(self.started()), 4)
        self.bue('limit', run, 'hold', '--max-running', 'none')
        wait_for(lambda: len(self.started()) == 20, 'all to run')
        self.release()
        self.bue('wait', run)

    def test_a_key_is_shared_by_runs_and_given_back_by_a_killed_worker(self):
        self.start_cluster()
        script = self.script('hold !max_running 3 key one-account', '| hold', 4)
        first, second = self.upload(script), self.upload(script)
        wait_for(lambda: len(self.started()) == 3, 'three to run')
        self.assertEqual(self.bue('limit', first, 'hold').stdout, f'{first} hold: max_running 3 '
                         'key one-account, queue none, rate none\n')
        runs = [self.steps(run)['hold'] for run in (first, second)]
        self.assertEqual(sum(step['running'] for step in runs), 3)
        self.workers[0].kill()
        self.start_worker('--name', 'w1', cwd=self.path('w1'))
        wait_for(lambda: len(self.started('w1')) == 3, 'three to run elsewhere')
        self.release('w1')
        self.bue('wait', first)
        self.bue('wait', second)
        for run in (first, second):
            self.assertEqual(self.steps(run)['hold']['done'], 4)

    def test_starts_are_spread_over_time(self):
        self.start_cluster()
        began = time.time()
        run = self.upload(self.script('stamp !rate 20/s', '| stamp', 11))
        self.bue('wait', run)
        with open(self.path('w0', 'stamps')) as log:
            stamps = sorted(float(line) for line in log)
        self.assertEqual(len(stamps), 11)
        # Ten waits of 50 ms lie between the first start and the last.
        self.assertGreaterEqual(stamps[-1] - began, 0.5)

    def test_a_rate_counts_what_starts_however_long_it_took_to_get_there(self):
        # Each worker has to import the module first, and has few slots, in which others run.
        self.write('slow.py', '''
import time
time.sleep(1)

def stamp(x):
    with open('stamps', 'a') as log:
        log.write(f'{time.time()}\\n')
    time.sleep(0.3)
    return x
''')
        self.start_cluster(2, '--thread-slots', '3')
        script = self.write('slow.bue', '''
import python (process) steps.py
import python (stamp !rate 5/s) slow.py
others = | process
paced = | stamp
for x in range(40):
    v = others(x)
for y in range(15):
    w = paced(y)
''')
        run = self.upload(script)
        self.bue('wait', run)
        stamps = []
        for worker in ('w0', 'w1'):
            if os.path.exists(self.path(worker, 'stamps')):
                with open(self.path(worker, 'stamps')) as log:
                    stamps += [float(line) for line in log]
        stamps.sort()
        self.assertEqual(len(stamps), 15)
        # Six starts take a second. A machine that is busy may hold one up on its way to its stamp, not
        # for as long as an import takes.
        for first, sixth in zip(stamps, stamps[5:]):
            self.assertGreater(sixth - first, 0.5, stamps)

    def test_a_rate_goes_on_while_its_tasks_run(self):
        # Were one counted when it ends only, they would run one by one.
        self.start_cluster(1, '--sql-slots', '4')
        script = self.write('sql.bue', '''
import python (hold !rate 20/s) steps.py
slow:
    sqlite3
    !rate 20/s
    rows
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000)
     SELECT count(*) AS n FROM n`
holds = | hold
queries = | slow
for x in range(3):
    v = holds(x)
for y in range(4):
    w = queries()
''')
        run = self.upload(script)
        wait_for(lambda: len(self.started()) == 3, 'all to run at once')
        self.release()
        self.bue('wait', run)
        self.assertGreaterEqual(self.steps(run)['slow']['peak_running'], 2)

    def test_a_failure_stops_the_run(self):
        self.start_cluster()
        run = self.upload(self.script('fails_at_55 !on_error stop !max_running 1', '| fails_at_55',
                                      100))
        self.assertIn('a step with !on_error stop failed', self.bue('wait', run, code=1).stdout)
        status = self.status(run)
        self.assertEqual((status['state'], status['stopped_by_failure']), ('failed', True))
        self.assertEqual(status['tasks']['done'], 55)
        self.assertEqual(status['tasks']['failed'], 1)
        values = [line['value'] for line in self.json_lines('results', run)]
        self.assertEqual(values, list(range(55)))
        self.assertEqual(self.json_lines('errors', run)[0]['item'], '55')
        self.assertIn('has ended', self.bue('explain', run).stdout)

    def test_every_waiting_task_has_a_reason(self):
        self.start_cluster(1, '--scopes', 'other', '--thread-slots', '1')
        run = self.upload(self.script('hold', '| hold', 3, head='!scope nobody'))
        self.assertIn('no worker serves its scope, `nobody`', self.bue('explain', run).stdout)
        busy = self.upload(self.script('hold, store', 'hold | store', 5, head='!scope other'))
        wait_for(lambda: len(self.started()) == 1, 'one to run')
        self.assertIn('waits for `hold` (running)', self.bue('explain', busy, 'store', '0').stdout)
        self.assertIn('given to worker w0', self.bue('explain', busy, 'hold', '0').stdout)
        self.bue('pause', busy)
        entries = json.loads(self.bue('explain', busy, '--json').stdout)
        self.assertIn('the run is paused: bue resume', entries[0]['reasons'][0])
        self.bue('cancel', run)
        self.assertIn("has no step 'nothing'", self.bue('explain', busy, 'nothing', code=2).stderr)
        self.assertIn('has no item 99: the loop has 5 items', self.bue('explain', busy, 'hold', '99', code=2).stderr)
        self.bue('cancel', busy)

    def test_words_that_make_no_sense(self):
        self.start_cluster()
        run = self.upload(self.script('hold !max_running 1', '| hold', 2))
        for words, says in (
                (('--max-running', '0'), 'a whole number above 0, or none'),
                (('--max-running', '1.5'), 'a whole number above 0, or none'),
                (('--queue', 'x'), 'a whole number above 0, or none'),
                (('--rate', '10'), 'starts per unit'),
                (('--rate', '10/y'), 'allowed are s, m and h'),
                (('--rate', '10/s key other'), 'said in the script')):
            self.assertIn(says, self.bue('limit', run, 'hold', *words, code=2).stderr)
        for words in ((), ('--json',), ('--queue', '3')):
            self.assertIn("no step 'x'", self.bue('limit', run, 'x', *words, code=2).stderr)
        self.assertIn('no run r77', self.bue('limit', 'r77', 'x', '--queue', '3', code=2).stderr)
        self.assertEqual(self.steps(run)['hold']['limits']['max_running'], 1)
        self.release()
        self.bue('wait', run)
        self.assertIn('has ended',
                      self.bue('limit', run, 'hold', '--queue', '3', code=2).stderr)
        for bad in ('!max_running 0', '!max_running -1', '!max_running 1.5', '!queue 0',
                    '!timeout -1', '!rate 3', '!on_error perhaps'):
            self.assertIn('error: ', self.bue('upload', '-f', self.script(
                f'hold {bad}', '| hold', 2), code=2).stderr)


if __name__ == '__main__':
    main()
