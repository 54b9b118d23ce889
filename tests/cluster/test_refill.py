"""Sources with !refill: how much they are asked for and when, errors, restarts, totals, no end."""
import json
import os

from cluster import ClusterTest, main, wait_for

STEPS = '''
import asyncio
import os
import time
from buelon.core.step import Result, StepStatus

def note(*what):
    with open('calls', 'a') as log:
        log.write(' '.join(str(w) for w in what) + '\\n')

def up_to(most, count, cursor, size=None):
    cursor = cursor or 0
    items = list(range(cursor, min(most, cursor + (size or count))))
    note(count, cursor, len(items))
    return items, cursor + len(items)

def twenty(count, cursor):
    return up_to(20, count, cursor)

def forty_five(count, cursor):
    return up_to(45, count, cursor)

def hundred(count, cursor):
    return up_to(100, count, cursor)

def thousand(count, cursor):
    return up_to(1000, count, cursor)

def one_at_a_time(count, cursor):
    return up_to(10, count, cursor, size=1)

def twice_bad(count, cursor):
    if not os.path.exists('second'):
        open('second' if os.path.exists('first') else 'first', 'w').close()
        raise ConnectionError('not now')
    return up_to(1, count, cursor)

async def says_how_many(count, cursor):
    await asyncio.sleep(0)
    items, cursor = up_to(40, count, cursor)
    return Result(status=StepStatus.success, data=(items, cursor), total=40)

def fails_after_two_calls(count, cursor):
    if cursor == 20:
        raise ConnectionError('gone')
    return Result(status=StepStatus.success, data=up_to(60, count, cursor, size=10), total=60)

def of_input(count, cursor, names):
    cursor = cursor or 0
    return names[cursor:cursor + 2], cursor + 2

def names():
    return ['a', 'b', 'c', 'd', 'e']

def nothing(count, cursor):
    return []

def not_ready_at_first(count, cursor):
    if not os.path.exists('asked'):
        open('asked', 'w').close()
        return StepStatus.pending, None
    return up_to(3, count, cursor)

def yields(count, cursor):
    yield 1

def no_cursor(count, cursor):
    return [1, 2]

def a_dict(count, cursor):
    return {'a': 1}, 3

def for_ever(count, cursor):
    cursor = cursor or 0
    return list(range(cursor, cursor + count)), cursor + count

def same(x):
    return x

def none(x):
    return None

def slow(x):
    time.sleep(0.01)
    return x

def hold(x):
    while not os.path.exists('release'):
        time.sleep(0.01)
    return x

def total(xs):
    return len(xs), len(set(map(str, xs)))
'''


class RefillTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def script(self, source, step='same', before='', by=''):
        name, task = source.split()[0], step.split()[0]
        directives = source[len(name):]
        return self.write('script.bue', f'''
import python ({name} !refill{directives}, {step}, total, names) steps.py
source = {before} | {name}
pipe = | {task}
totals = | total
for x in source(){by}:
    v = pipe(x)
t = totals(v)
''')

    def calls(self, worker='w0'):
        path = self.path(worker, 'calls')
        if not os.path.exists(path):
            return []
        with open(path) as log:
            return [tuple(map(int, line.split())) for line in log]

    def value(self, run, name='t'):
        return json.loads(self.bue('get', run, name).stdout)

    def run_to_end(self, script, code=0):
        run = self.upload(script)
        self.bue('wait', run, code=code)
        return run

    def test_how_much_it_is_asked_for_follows_the_queue(self):
        self.start_cluster()
        for queue, first in (1, 1), (5, 4), (10, 9), (100, 90), (1000, 900):
            if os.path.exists(self.path('w0', 'calls')):
                os.remove(self.path('w0', 'calls'))
            run = self.run_to_end(self.script('twenty', f'same !queue {queue}'))
            calls = self.calls()
            self.assertEqual(calls[0][0], first)
            self.assertTrue(all(count <= first for count, _, _ in calls), calls)
            self.assertEqual(calls[-1][1:], (20, 0))  # The last one gave nothing.
            self.assertEqual(self.value(run), [20, 20])

    def test_it_is_asked_at_once_when_its_loop_runs_low(self):
        self.start_cluster()
        self.run_to_end(self.script('twenty', 'same !queue 10'))
        os.remove(self.path('w0', 'calls'))
        run = self.upload(self.script('forty_five', 'hold !queue 10 !max_running 1'))
        wait_for(lambda: len(self.calls()) == 1, 'the first call')
        # One has begun, eight wait: nobody asks again while half of the queue is there.
        wait_for(lambda: 'fewer than 5' in self.bue('explain', run, 'forty_five').stdout,
                 'the source to rest')
        self.assertEqual(self.calls(), [(9, 0, 9)])
        self.write(os.path.join('w0', 'release'), '')
        self.bue('wait', run)
        self.assertEqual(self.value(run), [45, 45])
        self.assertGreater(len(self.calls()), 5)

    def test_a_source_that_fails_is_tried_again_or_fails_the_run(self):
        self.start_cluster()
        run = self.run_to_end(self.script('twice_bad !retries 2 !backoff 0.01'))
        self.assertEqual(self.value(run), [1, 1])
        for name in 'first', 'second':
            os.remove(self.path('w0', name))
        run = self.run_to_end(self.script('twice_bad !retries 1 !backoff 0.01'), code=1)
        self.assertIn('not now', self.bue('errors', run).stdout)
        self.bue('retry', run)
        self.bue('wait', run)
        self.assertEqual(self.value(run), [1, 1])

    def test_what_a_failed_source_gave_can_be_read(self):
        self.start_cluster()
        run = self.run_to_end(self.script('fails_after_two_calls', 'same !queue 11'), code=1)
        self.assertEqual(self.value(run, 'v'), list(range(20)))
        self.assertEqual(self.value(run, 'same'), list(range(20)))
        items = self.status(run)['items']
        self.assertEqual((items['total'], items['done']), (60, 20))

    def test_a_killed_hub_loses_nothing_and_gets_nothing_twice(self):
        self.start_cluster()
        run = self.upload(self.script('hundred', 'slow !queue 10'))
        for at in 20, 50, 80:
            wait_for(lambda: self.status(run)['items']['done'] >= at, f'{at} items')
            self.hub.kill()
            self.start_hub(self.hub_address)
        self.bue('wait', run)
        self.assertEqual(self.value(run), [100, 100])

    def test_killed_workers_lose_nothing(self):
        self.start_cluster(workers=2)
        run = self.upload(self.script('hundred', 'slow !queue 10'))
        wait_for(lambda: self.status(run)['items']['done'] >= 20, 'some items')
        self.workers[0].kill()
        self.start_worker('--name', 'w2', cwd=self.path('w2'))
        wait_for(lambda: self.status(run)['items']['done'] >= 60, 'more items')
        self.workers[1].kill()
        self.bue('wait', run)
        self.assertEqual(self.value(run), [100, 100])

    def test_a_total_that_it_tells_of_is_known_before_the_end(self):
        self.start_cluster()
        other = self.upload(self.script('hundred', 'hold !queue 10 !max_running 2'))
        self.assertIsNone(self.status(other)['tasks']['total'])
        self.bue('cancel', other)
        run = self.upload(self.script('says_how_many', 'hold !queue 10 !max_running 2'))
        # The source, 40 items, and the total.
        wait_for(lambda: self.status(run)['tasks']['total'] == 42, 'the total to be known')
        self.assertLess(len(self.calls()), 8)  # Not all of both runs'.
        self.write(os.path.join('w0', 'release'), '')
        self.bue('wait', run)
        self.assertEqual(self.status(run)['tasks']['total'], 42)
        self.assertEqual(self.value(run), [40, 40])

    def test_what_a_call_may_give(self):
        self.start_cluster()
        for source, before, expected in (('one_at_a_time', '', 10), ('nothing', '', 0),
                                         ('of_input', 'names', 5),
                                         ('not_ready_at_first !poll 0', '', 3)):
            run = self.run_to_end(self.script(source, before=before))
            self.assertEqual(self.value(run), [expected, expected], source)
        run = self.run_to_end(self.script('hundred', 'same !queue 5', by=' by 7'))
        self.assertEqual(self.value(run)[0], self.status(run)['items']['done'])
        for source, message in (('yields', 'a generator'), ('no_cursor', 'a list'),
                                ('a_dict', 'a dict')):
            run = self.run_to_end(self.script(source), code=1)
            self.assertIn(message, self.bue('errors', run).stdout)

    def test_a_source_in_a_loop_gives_each_item_its_own(self):
        self.start_cluster()
        script = self.write('inner.bue', '''
import python (twenty !refill, same !queue 5, total) steps.py
source = | twenty
pipe = | same
totals = | total
for i in range(3):
    for x in source():
        v = pipe(x)
    t = totals(v)
''')
        run = self.run_to_end(script)
        self.assertEqual(self.value(run), [[20, 20]] * 3)

    def test_a_source_may_go_on_for_ever(self):
        self.start_cluster()
        script = self.write('endless.bue', '''
import python (for_ever !refill, none !queue 2000) steps.py
source = | for_ever
pipe = | none
for x in source():
    pipe(x)
''')
        run = self.upload(script)
        wait_for(lambda: self.status(run)['items']['done'] >= 20000, 'many items')
        self.bue('stop', run, '--grace', '5')
        wait_for(lambda: self.status(run)['state'] == 'cancelled', 'it to stop')

    def test_a_refill_step_anywhere_else_is_refused(self):
        self.start_cluster()
        for calls, why in (('x = source()\ny = same_pipe(x)', 'no other step can take them'),
                           ('source()', 'none iterates over this one'),
                           ('v = source()\nfor x in v:\n    a = same_pipe(x)\nfor z in v:\n'
                            '    b = same_pipe(z)', 'only one loop'),
                           ('v = source()\nfor i in range(2):\n    for x in v:\n'
                            '        a = same_pipe(x)', 'within another loop')):
            script = self.write('wrong.bue', 'import python (twenty !refill, same) steps.py\n'
                                f'source = | twenty\nsame_pipe = | same\n{calls}\n')
            done = self.bue('upload', '-f', script, code=2)
            self.assertIn(why, done.stderr)
            self.assertIn('wrong.bue:', done.stderr)
        self.assertEqual(self.statuses(), [])


if __name__ == '__main__':
    main()
