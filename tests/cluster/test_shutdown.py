"""SIGTERM and SIGINT, once and twice, to each role, at any moment: it ends soon, exit code 0, nothing
counts as an attempt, nothing acknowledged is lost, and no runner stays behind."""
import os
import random
import signal
import subprocess
import time

import turmoil
import workload
from cluster import BUE, SLOWER, ClusterTest, clean_environment, connected, main, wait_for

# A clean stop takes a second or two; the rest is for machines that do many things at once. What must
# not be waited for takes longer by far: ten minutes of grace, an hour of sleep.
SOON_S = 60
LONG_GRACE = ('--stop-grace', '600')
SIGNALS = (signal.SIGTERM, signal.SIGINT)

STEPS = '''
import os
import time

def nap(x):
    open(f'{os.getcwd()}/began', 'w').close()
    time.sleep(0.5)
    return x

def hang(x):
    open(f'{os.getcwd()}/began', 'w').close()
    time.sleep(3600)

def hang_in_c(x):
    """Holds the interpreter's lock: no other thread of the runner gets a turn."""
    import ctypes
    open(f'{os.getcwd()}/began', 'w').close()
    ctypes.PyDLL(None).sleep(3600)

def leave_a_child(x):
    import subprocess
    child = subprocess.Popen(['sleep', '3600'])
    open(f'{os.getcwd()}/child', 'w').write(str(child.pid))
    open(f'{os.getcwd()}/began', 'w').close()
    time.sleep(3600)
'''


def script(step, items=4):
    return (f'import python ({step}) steps.py\npipe = | {step}\n'
            f'for x in range({items}):\n    v = pipe(x)\n')


class ShutdownTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.write('steps.py', STEPS)

    def end(self, role, *signals, limit_s=SOON_S, code=0):
        """Sends the signals, looks that it ends in time, with `code`."""
        for number in signals:
            role.process.send_signal(number)
        try:
            role.process.wait(limit_s * SLOWER)
        except subprocess.TimeoutExpired:
            self.fail(f'{role.arguments} did not end in {limit_s} s: {role.log()[-3000:]}')
        self.assertEqual(role.process.returncode, code, role.log()[-3000:])
        self.no_runners()

    def no_runners(self):
        wait_for(lambda: not self.left_over(), 'no runner stays behind')

    def left_over(self):
        alive = {role.pid for role in self.roles if role.alive()}
        return [one for one in turmoil.runners(self.folder) if one[1] not in alive]

    def run_script(self, step, items=4):
        return self.upload(self.write('script.bue', script(step, items)))

    def began(self, folder='w0'):
        return wait_for(lambda: os.path.exists(self.path(folder, 'began')), 'a step runs')

    def check_no_attempt(self, run, items=4):
        self.bue('wait', run)
        self.assertEqual(self.json_lines('errors', run), [])
        status = self.status(run)
        self.assertEqual((status['tasks']['done'], status['tasks']['failed']), (items, 0))

    # ------------------------------------------------------------------------------------- idle

    def test_idle_roles_end_at_once(self):
        for number in SIGNALS:
            with self.subTest(number):
                self.start_cluster(1, *LONG_GRACE)
                for role in (self.workers[0], self.hub, self.bucket):
                    self.end(role, number)

    def test_peers_that_are_gone_hold_nobody_up(self):
        self.start_cluster(1, *LONG_GRACE)
        self.hub.kill()
        self.end(self.workers[0], signal.SIGTERM)
        self.start_hub(self.hub.address)
        self.start_worker(cwd=self.path('w0'))
        self.bucket.kill()
        self.roles[-1].kill()
        self.end(self.hub, signal.SIGTERM)

    def test_clients_that_watch_hold_nobody_up(self):
        self.start_cluster()
        run = self.run_script('nap', 100000)
        self.began()
        waiting = [subprocess.Popen([BUE, *words, run, '-b', self.hub.address], cwd=self.folder,
                                    env=clean_environment(), stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
                   for words in (('wait', '--reconnect', '0'), ('status', '--watch'))]
        try:
            wait_for(lambda: all(connected(one.pid) for one in waiting), 'they watch')
            wait_for(lambda: self.status(run)['tasks']['done'] > 0, 'it goes on')
            self.end(self.hub, signal.SIGTERM)
            self.end(self.bucket, signal.SIGTERM)
        finally:
            for one in waiting:
                one.kill()
                one.wait()

    # -------------------------------------------------------------------------------- under load

    def test_worker_under_load_gives_back_what_it_has(self):
        self.start_cluster(1, '--slots', 2)
        run = self.run_script('nap', 20)
        self.began()
        self.end(self.workers[0], signal.SIGTERM)
        self.start_worker(cwd=self.path('w1'))
        self.check_no_attempt(run, 20)

    def test_worker_with_steps_that_never_end(self):
        """They have the grace, then they are given back; no attempt is counted."""
        for step in ('hang', 'hang_in_c'):
            with self.subTest(step):
                self.start_cluster(1, '--stop-grace', '0.5')
                run = self.run_script(step)
                self.began()
                self.end(self.workers[0], signal.SIGTERM)
                self.assertEqual(self.json_lines('errors', run), [])
                wait_for(lambda: self.status(run)['tasks']['running'] == 0, 'given back')
                self.bue('cancel', run)
                self.end(self.hub, signal.SIGTERM)
                self.end(self.bucket, signal.SIGTERM)
                os.unlink(self.path('w0', 'began'))

    def test_worker_without_hub_and_bucket_while_steps_run(self):
        self.start_cluster(1, '--stop-grace', '0.5')
        self.run_script('hang')
        self.began()
        self.hub.kill()
        self.bucket.kill()
        self.end(self.workers[0], signal.SIGTERM)

    def test_second_signal_ends_at_once(self):
        self.start_cluster(1, *LONG_GRACE)
        run = self.run_script('hang_in_c', 2)
        self.began()
        self.workers[0].process.send_signal(signal.SIGTERM)
        wait_for(lambda: 'worker stopping' in self.workers[0].log(), 'it stops')
        self.end(self.workers[0], signal.SIGTERM)
        self.assertEqual(self.json_lines('errors', run), [])
        wait_for(lambda: self.status(run)['tasks']['running'] == 0, 'its tasks wait again')

    def test_two_signals_in_a_row_to_each_role_lose_nothing(self):
        chaos = turmoil.Turmoil(self, random.Random(1), workers=2, items=600, nap=0.02)
        chaos.start()
        for name in ('w0', 'hub', 'bucket'):
            done = chaos.keep_busy((workload.Retries, workload.Stream), runs=2)
            at = time.time()
            self.end(chaos.roles[name], signal.SIGTERM, signal.SIGTERM)
            chaos.start_role(name)
            chaos.strikes.append(turmoil.Strike(at, time.time(), 'end', name))
            chaos.wait_progress(done)
        chaos.finish()
        chaos.check_nothing_left()

    def test_one_signal_to_each_role_under_load_runs_nothing_twice(self):
        chaos = turmoil.Turmoil(self, random.Random(1), workers=2, items=600, nap=0.02)
        chaos.start()
        for name in ('hub', 'bucket', 'w0', 'hub'):
            done = chaos.keep_busy((workload.Retries, workload.Chain), runs=2)
            self.end(chaos.roles[name], signal.SIGTERM)
            chaos.start_role(name)
            chaos.wait_progress(done)
        chaos.finish()
        chaos.check_nothing_left()
        self.assertEqual(chaos.again, [])

    def test_children_of_steps_end_with_the_worker(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with self.subTest(number):
                folder = f'w-{number}'
                self.start_bucket('127.0.0.1:0', f'bucket-{number}')
                self.start_hub('127.0.0.1:0', f'hub-{number}')
                worker = self.start_worker('--stop-grace', '0', cwd=self.path(folder))
                run = self.run_script('leave_a_child', 1)
                self.began(folder)
                with open(self.path(folder, 'child')) as file:
                    child = int(file.read())
                self.end(worker, number, code=0 if number == signal.SIGTERM else -number)
                wait_for(lambda: not exists(child), 'the child ended')
                self.assertEqual(self.json_lines('errors', run), [])

    # --------------------------------------------------------------------------- while they start

    def test_roles_that_start(self):
        """At a random moment of the start: before the role hears signals the default ends it."""
        self.start_bucket()
        self.start_hub()
        words = {
            'bucket': ['bucket', '-b', '127.0.0.1:0', '--data', self.path('b2')],
            'hub': ['hub', '-b', '127.0.0.1:0', '-k', self.bucket.address, '--data',
                    self.path('h2')],
            'worker': ['worker', '-b', self.hub.address],
            'demo': ['demo', '-b', '127.0.0.1:0', '--data', self.path('d2')],
        }
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        for name, arguments in words.items():
            for _ in range(6):
                with self.subTest(f'{name} seed {seed}'):
                    self.signal_while_it_starts(arguments, rng.uniform(0, 0.5))
        for name in ('bucket', 'hub'):  # Nothing of it hinders a real start.
            self.assertEqual(self.start(*words[name]).stop(), 0)

    def signal_while_it_starts(self, arguments, after_s):
        starting = subprocess.Popen([BUE, *arguments], cwd=self.folder, env=clean_environment(),
                                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(after_s)
            starting.send_signal(signal.SIGTERM)
            _, errors = starting.communicate(timeout=SOON_S * SLOWER)
            self.assertIn(starting.returncode, (0, -signal.SIGTERM), errors)
        finally:
            if starting.poll() is None:
                starting.kill()
                starting.wait()
        self.no_runners()

    def test_worker_that_waits_for_its_hub(self):
        waiting = subprocess.Popen([BUE, 'worker', '-b', '127.0.0.1:1', '--timeout', '3600'],
                                   cwd=self.folder, env=clean_environment(), text=True,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        try:
            line = waiting.stderr.readline()
            self.assertIn('connecting', line)
            waiting.send_signal(signal.SIGTERM)
            _, errors = waiting.communicate(timeout=SOON_S * SLOWER)
            self.assertEqual(waiting.returncode, 0, errors)
        finally:
            if waiting.poll() is None:
                waiting.kill()
                waiting.wait()

    # ------------------------------------------------------------------------------- run and demo

    def test_run_ends_with_130_and_leaves_no_process(self):
        for step in ('hang', 'hang_in_c'):
            for signals in ((signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGINT)):
                with self.subTest(f'{step} {signals}'):
                    self.write('script.bue', script(step))
                    if os.path.exists(self.path('began')):
                        os.unlink(self.path('began'))
                    running = subprocess.Popen(
                        [BUE, 'run', '-f', 'script.bue'], cwd=self.folder, env=clean_environment(),
                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                        stderr=subprocess.PIPE, text=True)
                    try:
                        self.began('.')
                        for number in signals:
                            running.send_signal(number)
                        _, errors = running.communicate(timeout=SOON_S * SLOWER)
                        self.assertEqual(running.returncode, 130, errors)
                    finally:
                        if running.poll() is None:
                            running.kill()
                            running.wait()
                    self.no_runners()

    def test_demo_ends_with_its_roles(self):
        for signals in ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)):
            with self.subTest(signals):
                demo = self.start('demo', '-b', '127.0.0.1:0')
                self.hub_address = demo.ready_line.split(' at ')[1].split(',')[0]
                run = self.run_script('nap', 1000)
                self.wait_done(run, 1)
                self.end(demo, *signals, limit_s=60)
                wait_for(lambda: self.bue('status', '--timeout', '0.2', code=None).returncode == 2,
                         'its hub is gone')


def exists(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


if __name__ == '__main__':
    main()
