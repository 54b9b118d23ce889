"""`bue run`: one command, one machine, nothing else."""
import json
import os
import shutil
import signal
import subprocess
import time

from cluster import BUE, ClusterTest, clean_environment, main, wait_for

STEPS = '''
def items():
    return [1, 2, 3]

def double(x):
    return 2 * x

def boom(x):
    if x == 4:
        raise ValueError('no fours')
    return x

def note(x):
    open('out.txt', 'a').write(f'{x}\\n')

def unstorable(x):
    return lambda: x

def say(x):
    print('hello from', x)
    return x
'''

LOOP = '''
items:
    python
    items
    steps.py
double:
    python
    double
    steps.py
{extra}
source = | items
pipe = double{pipe}
for x in source():
    pipe(x)
'''


def step(name):
    return f'{name}:\n    python\n    {name}\n    steps.py\n'


def loop(*steps):
    return LOOP.format(extra=''.join(step(name) for name in steps),
                       pipe=''.join(f' | {name}' for name in steps))


class RunTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def left_over(self):
        folder = self.path('.bue')
        return os.listdir(folder) if os.path.isdir(folder) else []

    def test_success_exits_0_and_leaves_nothing(self):
        self.write('script.bue', loop('note'))
        done = self.run_local()
        self.assertIn('succeeded', done.stdout)
        self.assertIn('7 tasks done', done.stdout)
        with open(self.path('out.txt')) as out:
            self.assertEqual(sorted(out.read().split()), ['2', '4', '6'])
        self.assertEqual(self.left_over(), [])

    def test_failed_finalize_hook_is_said(self):
        self.write('hooked.py', 'def f(x):\n    return x\n\ndef finalize():\n'
                                '    raise ValueError("at the end")\n')
        self.write('script.bue', 'import python (f) hooked.py\np = | f\nfor x in range(3):\n    p(x)\n')
        done = self.run_local()
        self.assertIn('succeeded', done.stdout)
        self.assertRegex(done.stderr, 'hook failed.*action=finalize.*ValueError: at the end')

    def test_failed_step_is_named_with_its_error_and_others_go_on(self):
        self.write('script.bue', loop('boom', 'note'))
        done = self.run_local(code=1)
        self.assertIn('failed: boom item ', done.stdout)
        self.assertIn('ValueError: no fours', done.stdout)
        self.assertIn('Traceback', done.stderr)
        with open(self.path('out.txt')) as out:
            self.assertEqual(sorted(out.read().split()), ['2', '6'])
        self.assertEqual(len(self.left_over()), 1)

    def test_rejected_script_exits_2_before_anything_runs(self):
        self.write('script.bue', loop('note') + '\nsourze()\nother(1)\n')
        done = self.run_local(code=2)
        self.assertIn('script.bue:', done.stderr)
        self.assertIn('did you mean', done.stderr)
        self.assertFalse(os.path.exists(self.path('out.txt')))
        self.assertFalse(os.path.exists(self.path('.bue')))

    def test_output_of_steps_goes_to_standard_error(self):
        self.write('script.bue', loop('say'))
        done = self.run_local()
        self.assertIn('say[1]: hello from 4\n', done.stderr)
        self.assertNotIn('hello', done.stdout)

    def test_traceback_of_an_import_shows_the_steps_files_only(self):
        self.write('helper.py', 'import no_such_module\n')
        self.write('steps.py', STEPS + '\ndef uses(x):\n    import helper\n')
        self.write('script.bue', loop('uses'))
        done = self.run_local(code=1)
        self.assertIn("No module named 'no_such_module'", done.stderr)
        self.assertIn('import helper', done.stderr)
        self.assertNotIn('importlib', done.stderr)
        self.assertNotIn('_modules.py', done.stderr)

    def test_a_file_that_travels_along_lies_beside_the_step(self):
        self.write('data/prices.csv', 'a,1\n')
        self.write('steps.py', STEPS + """
import os
def prices(x):
    with open(os.path.join(os.path.dirname(__file__), 'data', 'prices.csv')) as file:
        return file.read()
""")
        self.write('script.bue', loop('prices'))
        done = self.run_local('script.bue', '--include', 'data/*.csv', '--json')
        self.assertEqual({json.loads(line)['value'] for line in done.stdout.splitlines()}, {'a,1\n'})

    def test_output_is_there_while_the_step_runs(self):
        self.write('steps.py', STEPS + """
import os, time
def wait(x):
    print('waiting', x)
    while not os.path.exists('release'):
        time.sleep(0.01)
""")
        self.write('script.bue', loop('wait'))
        running = subprocess.Popen([BUE, 'run', '-f', 'script.bue'], cwd=self.folder,
                                   env=clean_environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(running.kill)
        lines = sorted(running.stderr.readline() for _ in range(3))
        self.assertEqual(lines, [f'wait[{i}]: waiting {2 * i + 2}\n' for i in range(3)])
        self.write('release', '')
        out, err = running.communicate(timeout=120)
        self.assertEqual(running.returncode, 0, out + err)

    def test_results_are_printed_when_asked_for(self):
        self.write('script.bue', loop())
        done = self.run_local('script.bue', '--results')
        self.assertEqual(sorted(done.stdout.splitlines()),
                         ['double[0]  2', 'double[1]  4', 'double[2]  6'])
        self.assertIn('r1 succeeded', done.stderr)

    def test_results_as_json_of_what_succeeded(self):
        self.write('script.bue', loop('boom'))
        done = self.run_local('script.bue', '--json', code=1)
        values = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(sorted(one['value'] for one in values), [2, 6])
        self.assertIn('failed: boom item 1', done.stderr)

    def test_what_failed_can_be_looked_into_and_goes_on(self):
        self.write('steps.py', STEPS + """
import os
def mended(x):
    if not os.path.exists('mended'):
        raise ValueError('not yet')
    return x
""")
        self.write('script.bue', loop('mended'))
        done = self.run_local(code=1)
        (left,) = self.left_over()
        bucket, hub, look, go_on = (line.strip(' &') for line in done.stderr.splitlines()
                                    if line.startswith('  bue '))
        self.bucket = self.start(*bucket.split()[1:])
        self.hub = self.start(*hub.split()[1:])
        # At an address of its own: another cluster may have the usual one.
        self.hub_address = self.hub.address
        self.assertEqual(bucket, f'bue bucket -b {self.bucket.address} --data .bue/{left}/bucket')
        self.assertEqual(hub, f'bue hub -b {self.hub_address} -k {self.bucket.address} '
                              f'--data .bue/{left}/hub')
        self.assertEqual(look, f'bue errors -b {self.hub_address} r1; '
                               f'bue get -b {self.hub_address} r1 NAME')
        self.assertEqual(go_on, f'bue worker -b {self.hub_address} & '
                                f'bue retry -b {self.hub_address} r1')
        self.assertEqual(len(self.json_lines('errors', 'r1')), 3)
        self.write('mended', '')
        self.start_worker()
        self.bue('retry', 'r1')
        self.bue('wait', 'r1')

    def test_of_what_failed_the_last_are_kept(self):
        self.write('script.bue', loop('boom'))
        self.run_local('script.bue', code=1)
        hours_ago = time.time() - 7200
        os.utime(self.path('.bue', *self.left_over()), (hours_ago, hours_ago))
        (oldest,) = self.left_over()
        self.run_local('script.bue', '--keep', 2, code=1)
        self.assertEqual(len(self.left_over()), 2)
        self.run_local('script.bue', '--keep', 2, code=1)
        self.assertNotIn(oldest, self.left_over())
        self.assertEqual(len(self.left_over()), 2)

    def test_two_runs_in_one_folder_do_not_meet(self):
        self.write('script.bue', loop('note'))
        both = [
            subprocess.Popen([BUE, 'run', '-f', 'script.bue'], cwd=self.folder,
                             env=clean_environment(), stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE) for _ in range(2)
        ]
        for one in both:
            out, err = one.communicate(timeout=120)
            self.assertEqual(one.returncode, 0, out + err)
        with open(self.path('out.txt')) as out:
            self.assertEqual(len(out.read().split()), 6)

    def test_missing_step_file_is_named_with_its_line(self):
        self.write('script.bue', loop('note').replace('steps.py', 'stepz.py'))
        done = self.run_local(code=2)
        self.assertIn('stepz.py', done.stderr)
        self.assertRegex(done.stderr, r'script\.bue:\d+:')

    def test_step_file_that_is_not_text_is_refused(self):
        self.write('script.bue', loop('note'))
        self.write('steps.py', b'\xff\xfe\x00\x01')
        self.assertIn('steps.py', self.run_local(code=2).stderr)

    def test_script_that_is_not_text_is_refused(self):
        self.write('script.bue', b'\x00\x01\x02')
        self.assertIn('script.bue', self.run_local(code=2).stderr)

    def test_script_that_does_nothing_is_told_so(self):
        self.write('script.bue', '# Later.\n')
        self.assertIn('script.bue: warning: the script calls no step', self.run_local().stderr)

    def test_script_that_is_missing_or_a_folder_is_refused(self):
        self.assertIn('gone.bue', self.run_local('gone.bue', code=2).stderr)
        os.mkdir(self.path('folder.bue'))
        self.assertIn('folder.bue', self.run_local('folder.bue', code=2).stderr)

    def test_value_that_cannot_be_stored_fails_its_step(self):
        self.write('script.bue', loop('unstorable'))
        done = self.run_local(code=1)
        self.assertIn('failed: unstorable', done.stdout)

    def test_python_without_msgpack_says_how_to_mend_it(self):
        self.write('script.bue', loop('note'))
        python = self.write('python', '#!/bin/sh\nexec /usr/bin/python3 -S -E "$@"\n')
        os.chmod(python, 0o755)
        done = self.run_local('script.bue', '--python', python, code=2)
        self.assertIn('msgpack', done.stderr)

    def test_python_that_is_missing_is_named(self):
        self.write('script.bue', loop('note'))
        done = self.run_local('script.bue', '--python', '/no/such/python', code=2)
        self.assertIn('/no/such/python', done.stderr)

    def test_interrupt_ends_it(self):
        self.write('steps.py', STEPS + '\nimport time\ndef nap(x):\n    open("began", "w")\n'
                                       '    time.sleep(3600)\n')
        self.write('script.bue', loop('nap'))
        running = subprocess.Popen([BUE, 'run', '-f', 'script.bue'], cwd=self.folder,
                                   env=clean_environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        wait_for(lambda: os.path.exists(self.path('began')), 'the nap began')
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
        self.assertEqual(running.returncode, 130, out + err)

    def test_current_directory_is_the_steps(self):
        """The script may lie elsewhere: files are found beside it, steps run here."""
        os.mkdir(self.path('scripts'))
        shutil.move(self.path('steps.py'), self.path('scripts', 'steps.py'))
        self.write('scripts/script.bue', loop('note'))
        self.run_local('scripts/script.bue')
        self.assertTrue(os.path.exists(self.path('out.txt')))


class ExampleTest(ClusterTest):
    def test_example_runs_and_is_not_overwritten(self):
        self.bue('example')
        done = self.run_local('example.bue')
        self.assertIn('succeeded', done.stdout)
        self.assertTrue(os.path.exists(self.path('example.db')))
        self.write('example.py', 'mine')
        self.assertIn('example.', self.bue('example', code=2).stderr)
        with open(self.path('example.py')) as file:
            self.assertEqual(file.read(), 'mine')
        self.bue('example', '--force')
        self.run_local('example.bue')

    def test_check_shows_its_shape(self):
        self.bue('example')
        self.assertIn('request', self.bue('check', 'example.bue').stdout)
        report = json.loads(self.bue('check', '-f', 'example.bue', '--json').stdout)
        self.assertTrue(report['ok'])
        self.assertEqual(len(report['program']['steps']), 7)


if __name__ == '__main__':
    main()
