"""A cluster whose processes are killed and stopped at random while runs are under way, and the
judgement of what came of it. Used by test_faults.py, chaos.py and soak.py.

Everything random comes from one seed. The faults are timed; what is waited for is waited for by
its condition.
"""
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import time

import workload
from cluster import BUE, ClusterTest, clean_environment, rss_bytes, wait_for

# A worker that was not heard of for 5 s is gone; a little more for slow machines.
SILENCE_S = 5
PATIENCE_S = 120  # For any one thing to go on after a fault.

Strike = collections.namedtuple('Strike', 'at until what role')


class Turmoil:
    """`cluster`: a ClusterTest, for its folder and its processes. `again`: what began a second time
    under the same attempt, as workload.reruns has it. `noted`: False if steps note nothing."""

    def __init__(self, cluster, rng, workers=3, slots=16, items=5000, nap=0.01, noted=True):
        self.cluster = cluster
        self.random = rng
        self.worker_count = workers
        self.slots = slots
        self.items = items
        self.nap = nap
        self.noted = noted
        self.again = []
        self.strikes = []
        self.open = []      # Runs under way.
        self.uploaded = 0
        self.checked = 0
        self.tasks_done = 0  # Of runs that were checked.

    # ----------------------------------------------------------------------------- the processes

    def start(self):
        cluster = self.cluster
        cluster.start_bucket()
        cluster.start_hub()
        self.roles = {'bucket': cluster.bucket, 'hub': cluster.hub}
        for number in range(self.worker_count):
            self.start_role(f'w{number}')

    def start_role(self, name):
        cluster = self.cluster
        if name == 'hub':
            self.roles[name] = cluster.start_hub(cluster.hub.address)
        elif name == 'bucket':
            self.roles[name] = cluster.start_bucket(cluster.bucket.address)
        else:
            self.roles[name] = cluster.start_worker(
                '--name', name, '--thread-slots', self.slots, '--timeout', 60,
                cwd=cluster.path(name))
        return self.roles[name]

    def kill(self, *names, pause_s=None):
        """kill -9 of all of them at once; each starts again after a moment."""
        at = time.time()
        for name in names:
            self.roles[name].process.send_signal(signal.SIGKILL)
        for name in names:
            self.roles[name].kill()
            self.cluster.roles.remove(self.roles[name])
        time.sleep(self.random.choice((0, 0, self.random.uniform(0, 1.5)))
                   if pause_s is None else pause_s)
        for name in sorted(names, key=lambda name: ('bucket', 'hub').index(name)
                           if name in ('bucket', 'hub') else 2):
            self.start_role(name)
        for name in names:
            self.strikes.append(Strike(at, time.time(), 'kill', name))
        return f'kill {" ".join(names)}'

    def stop_for(self, name, seconds):
        """SIGSTOP, and SIGCONT later."""
        at = time.time()
        role = self.roles[name]
        role.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            role.process.send_signal(signal.SIGCONT)
        self.strikes.append(Strike(at, time.time(), 'stop', name))
        return f'stop {name} {seconds:.2f} s'

    def strike(self, kills_only=False):
        """One fault. Returns what it was."""
        worker = f'w{self.random.randrange(self.worker_count)}'
        name = self.random.choice(('hub', 'bucket', worker, worker))
        if not kills_only and self.random.random() < 0.2:
            return self.stop_for(name, self.random.choice((0.2, 1, 3, SILENCE_S + 2)) *
                                 self.random.uniform(0.5, 1))
        if self.random.random() < 0.05:
            return self.kill('hub', 'bucket', worker)
        return self.kill(name)

    # --------------------------------------------------------------------------------- the client

    def ask(self, *words, code=0):
        """A client command's standard output; asked again while the hub or bucket is away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                done = subprocess.run(
                    [BUE, *map(str, words), '-b', self.cluster.hub_address], cwd=self.cluster.folder,
                    env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                    text=True, timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                raise AssertionError(f'bue {words} did not end in {PATIENCE_S} s')
            if done.returncode == code:
                return done.stdout
            if time.monotonic() > deadline:
                raise AssertionError(f'bue {words}: exit code {done.returncode}, {done.stderr[-2000:]}')
            time.sleep(0.1)

    def upload(self, kind_class):
        kind = kind_class(self.items)
        folder = self.cluster.path('scripts', f'{self.uploaded}')
        logs = self.cluster.path('steps-log', f'{self.uploaded}') if self.noted else ''
        script = workload.write_files(folder, logs, kind, self.nap)
        self.uploaded += 1
        number = self.ask('upload', '-f', script, '--key', f'key-{self.uploaded}').strip()
        self.open.append(workload.Run(number, kind, self.ask, logs))
        return self.open[-1]

    def statuses(self):
        return {one['run']: one for one in json.loads(self.ask('status', '--json'))}

    def progress(self):
        """(tasks done in all, the share that is open of the runs under way), after dealing with
        those that ended. Fails if an uploaded run is not known."""
        statuses = self.statuses()
        done, in_all, open_tasks = self.tasks_done, 0, 0
        for run in list(self.open):
            if run.number not in statuses:
                raise AssertionError(f'{run.number} was acknowledged and is not known')
            status = statuses[run.number]
            if status['state'] != 'running':
                self.check(run)
                done += run.kind.done
                continue
            done += status['tasks']['done']
            in_all += run.kind.tasks
            open_tasks += run.kind.tasks - status['tasks']['done']
        return done, open_tasks / max(1, in_all)

    def check(self, run):
        """Judges a run that ended, and deletes it."""
        try:
            run.check()
        except AssertionError as wrong:
            raise AssertionError(f'{wrong}\n{self.ask("errors", run.number)[:2000]}') from None
        self.check_reruns(run)
        self.checked += 1
        self.tasks_done += run.kind.done
        self.open.remove(run)
        self.ask('delete', run.number)

    def keep_busy(self, kinds, runs=3):
        """Uploads until `runs` runs are under way of which at least a fifth is open."""
        while True:
            done, share = self.progress()
            if len(self.open) >= runs and share >= 0.2:
                return done
            self.upload(kinds[self.uploaded % len(kinds)])

    def wait_progress(self, done, tasks=20):
        """Until so many more tasks are done, or nothing is left to do: the cluster works."""
        def went_on():
            now, _ = self.progress()
            return now >= done + tasks or not self.open
        wait_for(went_on, f'{tasks} more tasks done after {self.strikes[-1:]}', PATIENCE_S, 0.1)

    def finish(self, limit_s=300):
        """No more faults: every run ends, and is what it must be."""
        def all_ended():
            self.progress()
            return not self.open
        wait_for(all_ended, f'{[run.number for run in self.open]} end', limit_s, 0.2)

    # ------------------------------------------------------------------------------ the judgement

    def check_nothing_left(self):
        """No task runs, no slot is taken for ever, no runner outlived its worker."""
        def idle():
            workers = [one for one in json.loads(self.ask('workers', '--json')) if one['alive']]
            return len(workers) == self.worker_count and not any(one['running'] for one in workers)
        wait_for(idle, 'all workers are there and run nothing', PATIENCE_S, 0.1)
        self.check_slots()
        wait_for(lambda: not self.orphans(), f'runners without a worker end: {self.orphans()}', PATIENCE_S)

    def check_slots(self):
        """As many tasks as there are slots run at the same time."""
        count = self.worker_count * self.slots
        folder = self.cluster.path(f'arrived-{time.time()}')
        os.makedirs(folder)
        self.cluster.write('slots/steps.py', f'''
import os, time
def arrive(x):
    open(f'{folder}/{{x}}', 'w').close()
    deadline = time.monotonic() + 60
    while len(os.listdir('{folder}')) < {count} and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(os.listdir('{folder}')) >= {count}
''')
        script = self.cluster.write('slots/slots.bue', 'import python (arrive) steps.py\n'
                                    f'pipe = | arrive\nfor x in range({count}):\n    v = pipe(x)\n')
        run = self.ask('upload', '-f', script).strip()
        self.ask('wait', run)
        if json.loads(self.ask('get', run, 'v')) != [True] * count:
            raise AssertionError(f'of {count} slots only {len(os.listdir(folder))} were free')
        self.ask('delete', run)

    def orphans(self):
        """Runners in this cluster's folders whose worker is gone: (pid, folder)."""
        alive = {role.pid for role in self.roles.values()}
        return [(pid, cwd) for pid, parent, cwd in runners(self.cluster.folder)
                if parent not in alive]

    def check_reruns(self, run):
        """Whatever began twice, did so because a worker was struck meanwhile."""
        if not self.noted:
            return
        again = workload.reruns(run.logs)
        for key, attempt, worker, at, next_worker, next_at in again:
            reason = [strike for strike in self.strikes
                      if strike.role in (worker, next_worker)
                      and at - SILENCE_S - 10 <= strike.until and strike.at <= next_at]
            if not reason:
                raise AssertionError(
                    f'task {key} attempt {attempt} ran on {worker} at {at:.3f} and again on '
                    f'{next_worker} at {next_at:.3f}, and neither was struck')
        self.again += again
        shutil.rmtree(run.logs)

    def rss(self):
        """{role: bytes}"""
        return {name: rss_bytes(role.pid) for name, role in self.roles.items()}


def runners(folder):
    """(pid, parent, working directory) of every runner that works below `folder`."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                if b'run_buelon.py' not in file.read():
                    continue
            cwd = os.readlink(f'/proc/{pid}/cwd')
            with open(f'/proc/{pid}/status') as file:
                parent = int(re.search(r'PPid:\s+(\d+)', file.read()).group(1))
        except (OSError, AttributeError):
            continue  # It ended meanwhile.
        if cwd.startswith(os.path.realpath(folder) + '/'):
            found.append((int(pid), parent, cwd))
    return found


def new_cluster():
    """A cluster outside a test; call doCleanups() on it in the end."""
    cluster = ClusterTest()
    cluster.setUp()
    return cluster
