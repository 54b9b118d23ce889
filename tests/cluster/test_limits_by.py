"""Limits that go by a value: one account's calls are limited apart from another's."""
import collections
import json
import os

from cluster import ClusterTest, main, wait_for

STEPS = '''
import json
import os
import threading
import time

lock = threading.Lock()

def accounts():
    return [{'id': i % 3, 'name': f'account {i % 3}'} for i in range(60)]

def days(account):
    return [{'account': account, 'day': day} for day in range(4)]

def note(line):
    with open(os.path.join(NOTES, f'{os.getpid()}'), 'a') as notes:
        notes.write(json.dumps(line) + '\\n')

def within(account, what):
    with lock:
        note([time.time(), what, account['id'], 1])
    time.sleep(0.01)
    with lock:
        note([time.time(), what, account['id'], -1])

def fetch(account):
    within(account, 'fetch')
    return account

def fetch_day(account, day):
    within(account, 'fetch')
    return day

def store(report):
    return report

def hold(account):
    note([time.time(), 'hold', account['id'], 1])
    while not os.path.exists(os.path.join(NOTES, 'release')):
        time.sleep(0.01)
    return account['id']

def table(account):
    return [account]
'''


def most_at_once(notes):
    """Per value of the second: the most that went on at any time."""
    now, most = collections.Counter(), collections.Counter()
    for _, what, account, by in sorted(notes):
        now[what, account] += by
        most[what, account] = max(most[what, account], now[what, account])
    return most


class LimitsByTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.notes = self.path('notes')
        os.mkdir(self.notes)
        self.write('steps.py', f'NOTES = {self.notes!r}\n{STEPS}')

    def read_notes(self):
        lines = []
        for name in os.listdir(self.notes):
            if name == 'release':
                continue
            with open(os.path.join(self.notes, name)) as notes:
                lines += [json.loads(line) for line in notes]
        return lines

    def test_each_value_has_a_limit_of_its_own(self):
        self.start_cluster(workers=2)
        run = self.upload(self.write('script.bue', '''
import python (accounts, fetch !max_running 2 by account, store !max_running 1 by account) steps.py
all = | accounts
report = fetch | store
for account in all():
    v = report(account)
'''))
        self.bue('wait', run)
        status = self.status(run)
        self.assertEqual(status['items']['done'], 60)
        most = most_at_once(self.read_notes())
        self.assertEqual(sorted(most), [('fetch', 0), ('fetch', 1), ('fetch', 2)])
        self.assertLessEqual(max(most.values()), 2)
        steps = {step['name']: step for step in status['steps']}
        self.assertEqual(steps['fetch']['limits']['max_running_by'], 'account')
        self.assertGreater(steps['fetch']['peak_running'], 2)

    def test_a_value_of_the_call_and_of_a_loop_around_it(self):
        self.start_cluster(workers=2)
        run = self.upload(self.write('script.bue', '''
import python (accounts, days, fetch_day !max_running 1 by account, store !rate 1000/s by account) steps.py
all = | accounts
of = | days
report = fetch_day | store
for account in all():
    for day in of(account):
        v = report(account, day)
'''))
        self.bue('wait', run)
        self.assertEqual(self.status(run)['items']['done'], 300)
        self.assertEqual(set(most_at_once(self.read_notes()).values()), {1})

    def test_sql_goes_by_values_too(self):
        self.start_cluster(workers=1)
        run = self.upload(self.write('script.bue', '''
import python (accounts, table) steps.py
count:
    sqlite3
    !max_running 1 by account
    rows
    `SELECT id FROM rows`
all = | accounts
report = table | count
for account in all():
    v = report(account)
'''))
        self.bue('wait', run)
        self.assertEqual(self.status(run)['items']['done'], 60)

    def test_killed_roles_neither_exceed_nor_leak(self):
        self.start_cluster(workers=2)
        run = self.upload(self.write('script.bue', '''
import python (accounts, hold !max_running 1 by account) steps.py
all = | accounts
p = | hold
for account in all():
    v = p(account)
'''))
        def running():
            return self.status(run)['tasks']['running']

        wait_for(lambda: len(self.read_notes()) == 3, 'one of each account to run')
        self.check_what_waits(run)
        self.assertIn('!max_running 1 by account: 1 run with the same value',
                      self.bue('explain', run, 'hold', '59').stdout)
        self.workers[0].kill()
        wait_for(lambda: running() == 3, 'those of the killed worker to run elsewhere')
        # The worker that comes back says what its tasks go by.
        self.hub.kill()
        self.start_hub(self.hub_address)
        wait_for(lambda: running() == 3, 'the worker to be back')
        self.assertEqual(self.bue('limit', run, 'hold').stdout,
                         f'{run} hold: max_running 1 by account, queue none, rate none\n')
        self.assertEqual(self.bue('limit', run, 'hold', '--max-running', '3').stdout,
                         f'{run} hold: max_running 3 by account\n')
        shown = json.loads(self.bue('limit', run, 'hold', '--json').stdout)
        self.assertEqual((shown['run'], shown['step']), (run, 'hold'))
        self.assertEqual((shown['limits']['max_running'], shown['limits']['max_running_by']),
                         (3, 'account'))
        wait_for(lambda: running() == 9, 'three of each account to run')
        self.assertEqual(self.status(run)['steps'][1]['peak_running'], 9)
        self.write(os.path.join('notes', 'release'), '')
        self.bue('wait', run)
        status = self.status(run)
        self.assertEqual((status['items']['done'], status['steps'][1]['queued_by_value']), (60, 0))

    def check_what_waits(self, run):
        """57 tasks wait, of three accounts of which one each runs."""
        wait_for(lambda: self.status(run)['steps'][1]['queued_by_value'] == 57,
                 'all others to wait')
        self.assertIn('hold: !max_running 1 by account; 57 wait for room for their values\n',
                      self.bue('status', run).stdout)
        self.assertIn('!max_running by account: 3 values have no room for more, 57 tasks wait '
                      'there\n', self.bue('explain', run, 'hold').stdout)
        said = [self.bue('explain', run, 'hold', str(item)).stdout for item in range(6)]
        limited = [one for one in said
                   if '!max_running 1 by account: 1 run with the same value' in one]
        runs = [one for one in said if 'given to worker' in one]
        self.assertEqual(len(limited) + len(runs), 6, said)
        self.assertGreaterEqual(len(limited), 3, said)

    def test_names_that_stand_for_nothing(self):
        self.start_cluster(workers=0)
        script = self.write('script.bue', '''
import python (accounts, fetch !max_running 2 by acount) steps.py
all = | accounts
p = | fetch
for account in all():
    v = p(account)
''')
        for command in ('check', 'upload'):
            said = self.bue(command, '-f', script, code=2, hub=command == 'upload').stderr
            self.assertIn('script.bue:6', said)
            self.assertIn('the limit `by acount` of the step \'fetch\'', said)
            self.assertIn('did you mean `account`?', said)
        self.assertEqual(self.statuses(), [])


if __name__ == '__main__':
    main()
