"""Real processes for tests: roles on free ports in directories of their own, killed by pid.

Nothing here sleeps for a fixed time: `wait_for` looks until a condition holds or a deadline passes.
"""
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BUE = os.environ.get('BUE', '')
# How much slower than usual the roles are: above 1 with sanitizers. Limits of time grow with it, and
# limits of memory do not count.
SLOWER = float(os.environ.get('BUE_TEST_SLOWER', '1'))
START_S = 60 * SLOWER
OURS = re.compile(r'^(PIPE_|PIPELINE_|BUCKET_|BUE_|N_WORKER|REVERSE_|ENV_PATH|VIRTUAL_ENV)')


def clean_environment(extra=None):
    """Ours, without what would change where things listen and connect."""
    kept = {name: value for name, value in os.environ.items() if not OURS.match(name)}
    kept.update(extra or {})
    return kept


def wait_for(condition, what, limit_s=60, pause_s=0.02):
    """Looks until `condition()` is true and returns it; fails the test after `limit_s`."""
    deadline = time.monotonic() + limit_s * SLOWER
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {limit_s} s: {what}')
        time.sleep(pause_s)


def rss_bytes(pid):
    with open(f'/proc/{pid}/status') as status:
        return int(re.search(r'VmRSS:\s+(\d+) kB', status.read()).group(1)) * 1024


def connected(pid):
    """Whether the process has a TCP connection."""
    established = set()
    for table in ('tcp', 'tcp6'):
        with open(f'/proc/{pid}/net/{table}') as rows:
            fields = [row.split() for row in rows]
        established |= {f'socket:[{row[9]}]' for row in fields if row[3] == '01'}
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            if os.readlink(f'/proc/{pid}/fd/{fd}') in established:
                return True
        except FileNotFoundError:
            continue  # Closed meanwhile.
    return False


class Role:
    """One process of a role, with its ready line."""

    def __init__(self, arguments, cwd, env=None, prefix=()):
        self.arguments = arguments
        self.log_path = tempfile.NamedTemporaryFile(
            prefix=f'{arguments[0]}-', suffix='.log', dir=cwd, delete=False).name
        with open(self.log_path, 'w') as log:
            self.process = subprocess.Popen(
                [*prefix, BUE, *arguments], cwd=cwd, env=clean_environment(env),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        self.pid = self.process.pid
        self.ready_line = self._read_line(START_S)
        self.address = self.ready_line.split(' ')[-1]

    def _read_line(self, limit_s):
        line = b''
        deadline = time.monotonic() + limit_s
        while not line.endswith(b'\n'):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                self.kill()
                raise AssertionError(f'{self.arguments} said nothing in {limit_s} s: {self.log()}')
            got = os.read(self.process.stdout.fileno(), 1)
            if not got:
                self.process.wait()
                self.close()
                raise AssertionError(
                    f'{self.arguments} ended with {self.process.returncode}: {self.log()}')
            line += got
        return line.decode().strip()

    def log(self):
        with open(self.log_path) as log:
            return log.read()

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        """kill -9"""
        if self.alive():
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.close()

    def stop(self, limit_s=60):
        """SIGTERM; returns the exit code."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(limit_s * SLOWER)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f'{self.arguments} did not stop in {limit_s} s: {self.log()}')
        self.close()
        return self.process.returncode

    def close(self):
        self.process.stdout.close()


class ClusterTest(unittest.TestCase):
    """A test with a folder of its own (`self.folder`); what it started is ended with it."""

    prefix = ()  # What client commands begin with.

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='bue-test-')
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.roles = []
        self.addCleanup(self._end_roles)
        self.hub_address = None

    def _end_roles(self):
        for role in reversed(self.roles):
            role.kill()

    def assert_grew_less(self, grown_bytes, bytes_max, message=None):
        if SLOWER == 1:
            self.assertLess(grown_bytes, bytes_max, message)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w' if isinstance(text, str) else 'wb') as file:
            file.write(text)
        return path

    def start(self, *arguments, cwd=None, env=None, prefix=()):
        """`prefix`: a command that becomes the role, such as nsenter."""
        cwd = cwd or self.folder
        os.makedirs(cwd, exist_ok=True)
        role = Role([str(argument) for argument in arguments], cwd, env, prefix)
        self.roles.append(role)
        return role

    def start_bucket(self, binding='127.0.0.1:0', data='bucket'):
        self.bucket = self.start('bucket', '-b', binding, '--data', self.path(data))
        return self.bucket

    def start_hub(self, binding='127.0.0.1:0', data='hub', *arguments):
        self.hub = self.start('hub', '-b', binding, '-k', self.bucket.address, '--data',
                              self.path(data), *arguments)
        self.hub_address = self.hub.address
        return self.hub

    def start_worker(self, *arguments, cwd=None):
        return self.start('worker', '-b', self.hub_address, '--python', '/usr/bin/python3',
                          *arguments, cwd=cwd)

    def start_cluster(self, workers=1, *arguments):
        self.start_bucket()
        self.start_hub()
        self.workers = [
            self.start_worker('--name', f'w{number}', *arguments, cwd=self.path(f'w{number}'))
            for number in range(workers)
        ]

    def bue(self, *arguments, code=0, cwd=None, env=None, limit_s=120, hub=True):
        """Runs a client command to its end; fails if the exit code is not `code`."""
        words = [str(argument) for argument in arguments]
        if hub and self.hub_address and '-b' not in words:
            words += ['-b', self.hub_address]
            if '--timeout' not in words:
                words += ['--timeout', str(60 * SLOWER)]
        done = subprocess.run(
            [*self.prefix, BUE, *words], cwd=cwd or self.folder, env=clean_environment(env),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s * SLOWER)
        if code is not None:
            self.assertEqual(
                done.returncode, code,
                f'bue {" ".join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}')
        return done

    def run_local(self, script='script.bue', *arguments, code=0, **options):
        return self.bue('run', '-f', script, *arguments, code=code, hub=False, **options)

    def upload(self, script, *arguments):
        run = self.bue('upload', '-f', script, *arguments).stdout.strip()
        self.assertRegex(run, r'^r[0-9]+$')
        return run

    def status(self, run):
        return json.loads(self.bue('status', run, '--json').stdout)

    def statuses(self):
        """Of every run."""
        return json.loads(self.bue('status', '--json').stdout)

    def json_lines(self, *arguments):
        return [json.loads(line) for line in self.bue(*arguments, '--json').stdout.splitlines()]

    def wait_done(self, run, tasks, limit_s=120):
        """Waits until at least `tasks` tasks of the run are done."""
        return wait_for(lambda: self.status(run)['tasks']['done'] >= tasks,
                        f'{tasks} tasks of {run} done', limit_s)


def main():
    """Runs one file's tests, as `BUE=build/bue python3 tests/cluster/test_x.py [-v] [NAME]`."""
    if not BUE:
        sys.exit('set BUE to the binary')
    unittest.main()
