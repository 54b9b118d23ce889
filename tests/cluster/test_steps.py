"""Steps that do their worst, in a real cluster: they fail or time out with a message that says so, the
steps beside them succeed, nothing but their own attempts is counted, and the worker goes on."""
import json
import os
import signal

import turmoil
from cluster import ClusterTest, main, wait_for

STEPS = '''
import asyncio
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time

def exits(x): os._exit(3)
def leaves(x): sys.exit(0)
def interrupts(x): raise KeyboardInterrupt
def crashes(x): ctypes.string_at(0)
def blocks(x): time.sleep(3600)
def blocks_in_c(x): ctypes.PyDLL(None).sleep(3600)
def spins(x):
    while True: pass
def runs_out_of_memory(x):
    if sys.argv[-1] == '--process':
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    return bytearray(1 << 45)
def recurses(x): return recurses(x)
class Mute(Exception):
    def __str__(self): raise ValueError
def says_nothing(x): raise Mute
def not_storable(x): return threading.Lock()
def closes_all(x):
    os.closerange(3, 1 << 16)
    time.sleep(0.2)
def floods(x):
    for _ in range(20000): print('x' * 1000)
    os.write(1, b'y' * (1 << 22))
    raise RuntimeError('enough')
def forks(x):
    if os.fork() == 0: time.sleep(0.5)
    raise RuntimeError('forked')
def leaves_thread(x):
    threading.Thread(target=lambda: time.sleep(3600)).start()
    raise RuntimeError('threaded')
def sets_handlers(x):
    signal.signal(signal.SIGALRM, lambda *_: None)
    raise RuntimeError('handled')
async def never_yields(x): time.sleep(3600)
async def swallows(x):
    while True:
        try: await asyncio.sleep(3600)
        except asyncio.CancelledError: pass

def held(x):
    open(f'{os.getcwd()}/began/{os.getpid()}-{x}', 'w').close()
    while not os.path.exists('go'): time.sleep(0.01)
    return x

def good(x):
    time.sleep(0.3)
    return x
async def good_async(x):
    await asyncio.sleep(0.3)
    return x
'''

# Step: what the error of its item must mention. Those that never end have a short timeout.
SAYS = {
    'exits': 'exit code 3',
    'leaves': 'SystemExit',
    'interrupts': 'KeyboardInterrupt',
    'crashes': 'signal 11',
    'blocks': 'timeout',
    'blocks_in_c': 'timeout',
    'spins': 'timeout',
    'runs_out_of_memory': 'MemoryError',
    'recurses': 'RecursionError',
    'says_nothing': 'Mute',
    'not_storable': 'store',
    'closes_all': 'ended its runner',
    'floods': 'enough',
    'forks': 'forked',
    'leaves_thread': 'threaded',
    'sets_handlers': ('handled', 'signal only works in main thread'),
    'never_yields': 'timeout',
    'swallows': 'timeout',
}
SLOTS = 64  # Of threads.
ASYNC = ('never_yields', 'swallows')


class StepsTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)
        self.start_cluster(1, '--process-slots', 2, '--thread-slots', SLOTS)

    def check_mode(self, mode):
        directive = f'!mode {mode}' if mode else ''
        names = [name for name in SAYS if mode != 'async' or name in ASYNC]
        imports = ',\n    '.join(
            [f'{name} {directive} {"!timeout 3" if SAYS[name] == "timeout" else ""}'
             for name in names]
            + [f'good {directive if mode != "async" else ""}', 'good_async'])
        calls = ''.join(f'{name}_pipe = | {name}\n' for name in [*names, 'good', 'good_async'])
        calls += ''.join(f'for x in range(1):\n    {name}_pipe(x)\n' for name in names)
        calls += ''.join(f'for x in range(20):\n    {name}_v = {name}_pipe(x)\n'
                         for name in ('good', 'good_async'))
        run = self.upload(self.write('script.bue', f'import python (\n    {imports}\n) steps.py\n'
                                     + calls))
        self.bue('wait', run, code=1, limit_s=240)
        errors = self.json_lines('errors', run)
        said = {one['step']: ' '.join((one['action'], one['type'] or '', one['error']))
                for one in errors}
        for name in names:
            mentions = SAYS[name] if isinstance(SAYS[name], tuple) else (SAYS[name],)
            self.assertTrue(any(text in said.get(name, 'nothing') for text in mentions),
                            f'{mode} {name}: {said.get(name)}')
        self.assertEqual(sorted(said), sorted(names), 'nobody else failed')
        self.assertEqual(len(errors), len(names), 'one attempt each')
        for name in ('good', 'good_async'):
            self.assertEqual(json.loads(self.bue('get', run, f'{name}_v').stdout), list(range(20)))
        self.assertTrue(self.workers[0].alive())
        wait_for(lambda: json.loads(self.bue('workers', '--json').stdout)[0]['running'] == 0,
                 'nothing runs any more')

    def test_all_kinds_by_their_own_mode(self):
        self.check_mode('')

    def test_all_kinds_in_processes(self):
        self.check_mode('process')

    def test_async_ones_said_to_be_async(self):
        self.check_mode('async')

    def test_async_ones_in_threads(self):
        self.check_mode('thread')

    def test_runner_killed_from_outside(self):
        """As the kernel does when memory runs out: of several nobody fails."""
        os.mkdir(self.path('w0', 'began'))
        run = self.upload(self.write('script.bue', 'import python (held, good_async) steps.py\n'
                                     'a = held | good_async\nfor x in range(200):\n    v = a(x)\n'))

        def begun():
            return [int(name.split('-')[0]) for name in os.listdir(self.path('w0', 'began'))]
        wait_for(lambda: len(begun()) == SLOTS, 'every slot is taken')
        for pid in set(begun()):
            self.assertGreater(begun().count(pid), 1)
            os.kill(pid, signal.SIGKILL)
        self.write('w0/go', '')
        self.bue('wait', run)
        self.assertEqual(self.json_lines('errors', run), [])
        self.assertEqual(json.loads(self.bue('get', run, 'v').stdout), list(range(200)))

    def test_failed_finalize_hook_is_an_error_of_its_run(self):
        self.write('hooked.py', 'def f(x):\n    return x\n\ndef finalize():\n'
                                '    raise ValueError("at the end")\n')
        run = self.upload(self.write('script.bue', 'import python (f) hooked.py\np = | f\n'
                                     'for x in range(3):\n    p(x)\n'))
        self.bue('wait', run)
        error = wait_for(lambda: self.json_lines('errors', run), 'it is listed')[0]
        self.assertEqual((error['action'], error['type'], error['error'], error['worker']),
                         ('finalize', 'ValueError', 'at the end', 'w0'))
        self.assertEqual(self.status(run)['state'], 'succeeded')
        self.assertRegex(self.bue('errors', run).stdout, f'^{run} f, finalize on w0 .*at the end')


if __name__ == '__main__':
    main()
