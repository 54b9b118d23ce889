"""An error tells what its task was called with, input by input, and `bue get --input` prints it: of runs
that go on, of items that were given up, and of values that are gone."""
import json
import os

from cluster import ClusterTest, main, wait_for

STEPS = '''
import os
import signal
import threading
import time

ITEMS = [{'id': 0}, {'id': 1, 'name': 'Ä'}, {'id': 2}]

def items(): return ITEMS
def account(): return {'account': 'A', 'rows': [1, 2.5, None]}

def fails(*inputs): raise ValueError(repr(inputs))
def sleeps(item, account): time.sleep(3600)
def not_storable(item, account): return threading.Lock()
def kills_its_worker(item, account):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)

class Unreadable:
    def __reduce__(self): return refuse, ()
def refuse(): raise ValueError('not to be read')
def unreadable(item, account): return Unreadable()
def reads(x): return x

def doubled(x): return x * 2
def none(x): return None
def needs_mending(x):
    if not os.path.exists('mended'):
        raise ConnectionError('not yet')
    return x

def many(): return list(range(10 ** 6)) + ['x' * 20_000_000]
def fails_at_the_end(xs):
    if len(xs) == 1:
        raise ValueError('the last')

def orders(count, cursor):
    if cursor == {'page': 2}:
        raise ValueError(f'{count}')
    page = (cursor or {'page': 0})['page'] + 1
    return [page] * count, {'page': page}
'''

ITEMS = [{'id': 0}, {'id': 1, 'name': 'Ä'}, {'id': 2}]
ACCOUNT = {'account': 'A', 'rows': [1, 2.5, None]}


class ErrorInputsTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def ended(self, text, code=1):
        run = self.upload(self.write('script.bue', text))
        self.bue('wait', run, code=code)
        return run

    def errors(self, run):
        return self.json_lines('errors', run)

    def get(self, run, key, code=0):
        done = self.bue('get', run, '--input', key, code=code)
        return json.loads(done.stdout) if code == 0 else done.stderr

    def values(self, error):
        """What the task was called with, read back."""
        return [self.get(error['run'], one['key']) for one in error['inputs']]

    def loop(self, pipe, more='', file='steps.py'):
        steps = pipe.split(' | ')
        return f'''
import python (items, account) steps.py
import python ({", ".join(steps)}) {file}
source = | items
named = | account
pipe = | {" | ".join(step.split(" ")[0] for step in steps)}
a = named()
for item in source():
    v = pipe(item, a)
{more}'''

    def test_of_every_action(self):
        self.start_cluster(4)
        self.write('unloadable.py', 'import no_such_module\ndef f(item, account): return item\n')
        self.write('unstartable.py',
                   'def start(): raise OSError("no")\ndef f(item, account): return item\n')
        for action, script in (
                ('load', self.loop('f', file='unloadable.py')),
                ('start', self.loop('f', file='unstartable.py')),
                ('run', self.loop('fails')),
                ('store', self.loop('not_storable')),
                ('timeout', self.loop('sleeps !timeout 1')),
                ('worker_lost', self.loop('kills_its_worker').replace(
                    'return ITEMS', 'return ITEMS[:1]'))):
            with self.subTest(action):
                if action == 'worker_lost':  # One task, which kills three of the four.
                    self.write('steps.py', STEPS.replace('def items(): return ITEMS',
                                                         'def items(): return ITEMS[:1]'))
                errors = self.errors(self.ended(script))
                self.assertEqual({one['action'] for one in errors}, {action})
                self.assertEqual(len(errors), 1 if action == 'worker_lost' else 3)
                for error in errors:
                    self.assertEqual([(one['kind'], one['from']) for one in error['inputs']],
                                     [('element', 'items'), ('value', 'account')])
                    self.assertTrue(error['inputs'][0]['key'].endswith(f':{error["item"]}'))
                    self.assertEqual(self.values(error), [ITEMS[int(error['item'])], ACCOUNT])

    def test_of_an_input_that_python_cannot_read(self):
        self.start_cluster()
        errors = self.errors(self.ended(self.loop('unreadable | reads')))
        self.assertEqual([one['action'] for one in errors], ['input'] * 3)
        for error in errors:
            self.assertEqual([one['from'] for one in error['inputs']], ['unreadable'])
            self.assertEqual([list(value) for value in self.values(error)], [['$pickle']])

    def test_a_hook_was_called_with_nothing_that_is_known(self):
        self.start_cluster()
        self.write('unended.py', 'def finalize(): raise OSError("no")\n'
                                 'def f(item, account): return item\n')
        run = self.ended(self.loop('f', file='unended.py'), code=0)
        error, = wait_for(lambda: self.errors(run), 'the error is listed')
        self.assertEqual((error['action'], error['inputs']), ('finalize', None))
        self.assertNotIn('inputs', self.bue('errors', run).stdout)

    def test_of_every_kind_of_input(self):
        self.start_cluster()
        run = self.ended('''
import python (items, account, none, doubled) steps.py
import python (fails, fails as of_none, fails as of_nothing, fails as of_all) steps.py
import python (fails as of_two, fails as of_three) steps.py
source = | items
named = | account
number = | fails
twice = | doubled
numbers = | of_three
pair = | of_two
nothing = | of_nothing
one_none = none | of_none
all = | of_all
nothing()
for i in range(2):
    number(i)
    one_none(i)
for i in range(2):
    d = twice(i)
all(d)
for xs in source() by 2:
    pair(xs)
for xs in range(5) by 3:
    numbers(xs)
''')
        said = {(one['step'], one['item']): one for one in self.errors(run)}
        for step, item, kind, maker, value in (
                ('fails', '1', 'number', None, 1),
                ('of_none', '0', 'value', 'none', None),
                ('of_all', '', 'loop', 'doubled', [0, 2]),
                ('of_two', '0', 'elements', 'items', ITEMS[:2]),
                ('of_two', '1', 'elements', 'items', ITEMS[2:]),
                ('of_three', '1', 'numbers', None, [3, 4])):
            with self.subTest(step=step, item=item):
                error = said[step, item]
                self.assertEqual([(one['kind'], one['from']) for one in error['inputs']],
                                 [(kind, maker)])
                self.assertEqual(self.values(error), [value])
                self.assertEqual(error['error'], repr((value,)))
        self.assertEqual(said['of_nothing', '']['inputs'], [])
        text = self.bue('errors', run).stdout
        self.assertRegex(text, r'of_nothing, attempt 1, run on w0 at [-0-9]+ [:0-9]+: '
                               r'ValueError: \(\)\n  inputs: none\n')
        self.assertIn('inputs: None (none)\n', text)
        key = said['of_all', '']['inputs'][0]['key']
        self.assertIn(f'  inputs: {key} (all of doubled); bue get {run} --input {key} prints that '
                      'one\n', text)

    def test_of_a_source_that_is_asked_again(self):
        self.start_cluster()
        run = self.ended('''
import python (orders !refill, doubled !queue 10) steps.py
source = | orders
twice = | doubled
for order in source():
    twice(order)
''')
        error, = self.errors(run)
        self.assertEqual([(one['kind'], one['from']) for one in error['inputs']],
                         [('number', None), ('element', 'orders')])
        self.assertEqual(self.values(error), [int(error['error']), {'page': 2}])

    def chain(self, directives):
        return self.write('chain.bue', f'''
import python (doubled, needs_mending {directives}) steps.py
pipe = doubled | needs_mending
for x in range(2):
    pipe(x)
''')

    def error_of(self, run, item):
        return next((one for one in self.errors(run) if one['item'] == item), None)

    def test_while_the_run_goes_on_and_roles_are_killed(self):
        self.start_cluster()
        run = self.upload(self.chain('!retries 1 !backoff 1000'))
        error = wait_for(lambda: self.error_of(run, '1'), 'an attempt to fail')
        self.assertFalse(error['final'])
        self.assertEqual(self.values(error), [2])
        self.hub.kill()
        self.bucket.kill()
        self.start_bucket(self.bucket.address)
        self.start_hub(self.hub.address)
        self.assertEqual(self.error_of(run, '1'), error)
        self.assertEqual(self.values(error), [2])
        self.assertEqual(self.status(run)['state'], 'running')

    def test_until_the_item_has_succeeded(self):
        self.start_cluster()
        run = self.upload(self.chain(''))
        self.bue('wait', run, code=1)
        error = self.error_of(run, '1')
        self.assertEqual(self.values(error), [2])
        self.write('w0/mended', '')
        self.bue('retry', run)
        self.bue('wait', run)
        key = error['inputs'][0]['key']
        said = wait_for(lambda: self.bue('get', run, '--input', key, code=None).stderr,
                        'the value to go')
        self.assertIn(f'the input {key} of {run} is gone', said)
        self.assertEqual(self.error_of(run, '1'), error)
        self.bue('delete', run)
        self.assertIn(f'no run {run}', self.get(run, key, code=2))

    def test_the_last_of_a_million_and_large(self):
        self.start_cluster()
        run = self.ended('''
import python (many, fails_at_the_end) steps.py
source = | many
pipe = | fails_at_the_end
for xs in source() by 250000:
    pipe(xs)
''')
        error, = self.errors(run)
        self.assertEqual(error['item'], '4')
        key = error['inputs'][0]['key']
        self.assertTrue(key.endswith(':1000000-1000000'))
        self.assertEqual(self.get(run, key), ['x' * 20_000_000])
        of_list = key.split(':')[0]
        self.assertEqual(self.get(run, f'{of_list}:1000000'), 'x' * 20_000_000)
        self.assertEqual(self.get(run, f'{of_list}:999998-999999'), [999998, 999999])
        for behind_it in ('1000001', '999998-1000001'):
            self.assertIn('the list has 1000001 elements',
                          self.get(run, f'{of_list}:{behind_it}', code=2))

    def test_keys_that_are_none(self):
        self.start_cluster()
        run = self.ended(self.loop('fails'))
        value = self.errors(run)[0]['inputs'][1]['key']
        for key, says in (('xyz', "'xyz' is no key of an input; one looks like 1000000000abc,"),
                          ('', 'say which value'),
                          (f'{value}:0', 'is not a list'),
                          ('1ffffffffffff', 'is gone'),
                          ('loop:99:0', 'is gone'),
                          ('loop:0:99', 'is gone')):
            with self.subTest(key):
                self.assertIn(says, self.get(run, key, code=2))
        self.assertIn('no run r99', self.get('r99', value, code=2))
        self.assertIn('say which value', self.bue('get', run, code=2).stderr)
        self.assertIn('NAME excludes --input', self.bue('get', run, 'a', '--input', value, code=2).stderr)


if __name__ == '__main__':
    main()
