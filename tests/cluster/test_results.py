"""What became of each item, and when: `bue results --json`, `--failed` and `--follow` with real
processes, through failures, retries, nested loops and a hub that is killed meanwhile."""
import json
import os
import signal
import subprocess

from cluster import BUE, SLOWER, ClusterTest, clean_environment, main, wait_for

STEPS = '''
import os
import time

from buelon.core.step import Result, StepStatus

tries = {}

def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.01)

def first(x):
    if x == 5:
        raise ValueError('five is too much')
    return x

def second(x):
    if x == 7:
        return Result(status=StepStatus.cancel)
    tries[x] = tries.get(x, 0) + 1
    if x == 3 or (x == 4 and tries[x] < 3):
        raise RuntimeError(f'try {tries[x]} of {x}')
    time.sleep(0.05)
    return x * 10

def gated(x):
    open(f'started-{x}', 'w').close()
    if x > 0:
        wait_for('release')
    return x

def late(x):
    open(f'started-{x}', 'w').close()
    if x > 4:
        wait_for('release')
    return x

def pair(x):
    return [x + 100, x + 101]

def nothing():
    return []

def total(xs):
    return sum(sum(x) for x in xs)

def named(x):
    return Result(status=StepStatus.success, data=x, id=f'job-{x}')

def fragile(x):
    if not os.path.exists('repaired'):
        raise RuntimeError('broken')
    return x
'''

LINE = ['run', 'step', 'item', 'success', 'error', 'id', 'total_duration', 'started', 'completed',
        'steps', 'value']


class Follow:
    """`bue results --follow`, line by line."""

    def __init__(self, test, run, *arguments):
        self.process = subprocess.Popen(
            [BUE, 'results', run, '--follow', '-b', test.hub_address, *arguments],
            cwd=test.folder, env=clean_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        test.addCleanup(self.end)

    def line(self):
        return json.loads(self.process.stdout.readline())

    def rest(self):
        """The lines that are left, what it said beside them, and its exit code."""
        out, err = self.process.communicate(timeout=120 * SLOWER)
        return [json.loads(line) for line in out.splitlines()], err, self.process.returncode

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


class ResultsTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def script(self, body):
        return self.write('script.bue', f'''
import python (
    first, second !retries 2 !backoff 0.01, gated, late, pair, nothing, total, fragile, named
) steps.py
one = | gated
two = | late
both = | first | second
pairs = | pair
none = | nothing
sums = | total
weak = | fragile
names = | named | gated
{body}''')

    def assert_times(self, line, steps):
        """All are there, and one comes after the other."""
        self.assertEqual(list(line), LINE)
        self.assertEqual(sorted(line['steps']), sorted(steps))
        before = ''
        for step in steps:
            times = line['steps'][step]
            self.assertEqual(list(times), ['queued', 'started', 'completed', 'attempts'])
            self.assertLessEqual(before, times['queued'])
            self.assertLessEqual(times['queued'], times['started'])
            self.assertLessEqual(times['started'], times['completed'])
            before = times['completed']
        self.assertEqual(line['started'], line['steps'][steps[0]]['started'])
        self.assertLessEqual(before, line['completed'])
        self.assertGreater(line['total_duration'], 0)
        self.assertIsNone(line['id'])

    def test_each_item_says_how_it_went_and_when(self):
        self.start_cluster()
        run = self.upload(self.script('for x in range(10):\n    v = both(x)\n'))
        self.bue('wait', run, code=1)
        lines = {line['item']: line for line in self.json_lines('results', run, '--all')}
        self.assertEqual(self.json_lines('results', run),
                         [line for line in self.json_lines('results', run, '--all')
                          if line['success']])
        self.assertEqual(sorted(lines), ['0', '1', '2', '3', '4', '5', '6', '8', '9'])
        for item in ('0', '1', '2', '4', '6', '8', '9'):
            line = lines[item]
            self.assert_times(line, ['first', 'second'])
            self.assertEqual((line['step'], line['success'], line['error'], line['value']),
                             ('second', True, None, int(item) * 10))
            self.assertEqual(line['steps']['second']['attempts'], 3 if item == '4' else 1)
            self.assertGreaterEqual(line['total_duration'], 0.05)
        self.assert_times(lines['3'], ['first', 'second'])
        self.assertEqual([lines['3'][key] for key in ('step', 'success', 'error', 'value')],
                         ['second', False, 'try 3 of 3', None])
        self.assertEqual(lines['3']['steps']['second']['attempts'], 3)
        self.assert_times(lines['5'], ['first'])
        self.assertEqual([lines['5'][key] for key in ('step', 'success', 'error', 'value')],
                         ['first', False, 'five is too much', None])

        failed = self.json_lines('results', run, '--failed')
        self.assertEqual([line['item'] for line in failed], ['3', '5'])
        self.assertEqual(failed, [lines['3'], lines['5']])
        self.assertEqual(self.bue('results', run, '--failed').stdout,
                         'second[3]  failed: try 3 of 3\nfirst[5]  failed: five is too much\n')
        followed, _, code = Follow(self, run, '--json').rest()
        self.assertEqual(code, 1)
        self.assertEqual({line['item']: line for line in followed}, lines)
        ends = [line['completed'] for line in followed]
        self.assertEqual(ends, sorted(ends))
        # The times are those of a hub that was there before.
        self.hub.kill()
        self.start_hub(self.hub.address)
        self.assertEqual({line['item']: line
                          for line in self.json_lines('results', run, '--all')}, lines)

    def test_a_line_comes_when_its_item_ends(self):
        self.start_cluster(1, '--slots', 1)
        run = self.upload(self.script('for x in range(10):\n    v = one(x)\n'))
        follow = Follow(self, run, '--json')
        first = follow.line()
        self.assertEqual((first['item'], first['value']), ('0', 0))
        self.assert_times(first, ['gated'])
        self.assertFalse(os.path.exists(self.path('w0', 'started-9')))
        self.write('w0/release', '')
        lines, err, code = follow.rest()
        self.assertEqual(code, 0)
        self.assertEqual(sorted(line['value'] for line in lines), list(range(1, 10)))
        self.assertIn(f'{run} succeeded', err)

    def test_following_goes_on_with_a_hub_that_was_killed(self):
        self.start_cluster(2)
        run = self.upload(self.script('for x in range(10):\n    v = two(x)\n'))
        follow = Follow(self, run, '--json')
        seen = [follow.line()['item'] for _ in range(5)]
        self.hub.kill()
        self.start_hub(self.hub.address)
        for worker in ('w0', 'w1'):
            self.write(f'{worker}/release', '')
        lines, err, code = follow.rest()
        self.assertEqual(code, 0, err)
        self.assertEqual(sorted(seen + [line['item'] for line in lines]),
                         [str(item) for item in range(10)])

    def test_an_interrupt_ends_it(self):
        self.start_cluster(1, '--slots', 1)
        run = self.upload(self.script('for x in range(3):\n    v = one(x)\n'))
        follow = Follow(self, run, '--json')
        follow.line()
        follow.process.send_signal(signal.SIGINT)
        lines, err, code = follow.rest()
        self.assertEqual((lines, err, code), ([], '', -signal.SIGINT))
        self.write('w0/release', '')
        self.bue('wait', run)

    def test_items_of_nested_loops_and_of_lists(self):
        self.start_cluster()
        run = self.upload(self.script('''
for x in range(3):
    for y in pairs(x):
        v = both(y)
s = sums(v)
'''))
        self.bue('wait', run)
        last, = self.json_lines('results', run)
        self.assertEqual((last['step'], last['item'], last['value']), ('total', '', 6 * 1000 + 90))
        self.assert_times(last, ['total'])
        lines, _, code = Follow(self, run, '--json').rest()
        self.assertEqual(code, 0)
        self.assertEqual(sorted(line['item'] for line in lines),
                         ['', '0', '0.0', '0.1', '1', '1.0', '1.1', '2', '2.0', '2.1'])
        for line in lines:
            if '.' in line['item']:
                self.assert_times(line, ['first', 'second'])
                self.assertIsNone(line['value'])  # The list took it.
        places = [line['item'] for line in lines]
        self.assertLess(places.index('0.1'), places.index('0'))
        self.assertEqual(places[-1], '')

    def test_items_have_the_ids_that_steps_gave_them(self):
        self.start_cluster()
        self.write('w0/release', '')
        run = self.upload(self.script('for x in range(3):\n    v = names(x)\n'))
        self.bue('wait', run)
        lines = self.json_lines('results', run)
        self.assertEqual([line['id'] for line in lines], ['job-0', 'job-1', 'job-2'])
        followed, _, _ = Follow(self, run, '--json').rest()
        self.assertEqual(sorted(line['id'] for line in followed), ['job-0', 'job-1', 'job-2'])

    def test_a_run_without_items_ends_at_once(self):
        self.start_cluster()
        run = self.upload(self.script('for x in none():\n    v = one(x)\n'))
        self.assertEqual(Follow(self, run, '--json').rest()[::2], ([], 0))
        self.assertEqual(self.json_lines('results', run), [])
        self.assertEqual(self.bue('results', run, '--failed').stdout, '')

    def test_what_was_repaired_is_told_anew(self):
        self.start_cluster()
        run = self.upload(self.script('for x in range(2):\n    v = weak(x)\n'))
        self.bue('wait', run, code=1)
        self.assertEqual(len(self.json_lines('results', run, '--failed')), 2)
        self.write('w0/repaired', '')
        self.bue('retry', run)
        self.bue('wait', run)
        self.assertEqual(self.json_lines('results', run, '--failed'), [])
        lines, _, code = Follow(self, run, '--json').rest()
        self.assertEqual(code, 0)
        self.assertEqual([line['success'] for line in lines], [False, False, True, True])
        self.assertEqual(sorted(line['value'] for line in lines[2:]), [0, 1])

    def test_without_history_the_times_are_not_known(self):
        self.start_bucket()
        self.start_hub('127.0.0.1:0', 'hub', '--history', '0')
        self.start_worker('--name', 'w0', cwd=self.path('w0'))
        run = self.upload(self.script('for x in range(6):\n    v = both(x)\n'))
        self.bue('wait', run, code=1)
        told = self.bue('results', run, '--json', '--all')
        self.assertIn('bue hub --history', told.stderr)
        lines = {line['item']: line for line in map(json.loads, told.stdout.splitlines())}
        self.assertEqual(len(lines), 6)
        for item, line in lines.items():
            self.assertEqual(list(line), LINE)
            self.assertEqual(line['success'], item not in '35')
            self.assertEqual(line['steps'], {})
            for key in ('total_duration', 'started', 'completed'):
                self.assertIsNone(line[key])
        self.assertEqual(lines['5']['error'], 'five is too much')
        followed, err, code = Follow(self, run, '--json').rest()
        self.assertEqual((followed, code), ([], 1))
        self.assertIn('bue hub --history', err)

    def test_what_is_asked_for_must_make_sense(self):
        for given in ('-1', 'much', '1 parsec'):
            refused = self.bue('hub', '--data', 'd', '--history', given, code=2, hub=False)
            self.assertIn('--history', refused.stderr)
        self.start_cluster(0)
        for mode in ([], ['--follow'], ['--failed'], ['--json']):
            self.assertIn('no run r9', self.bue('results', 'r9', *mode, code=2).stderr)


if __name__ == '__main__':
    main()
