"""Stage: a cluster for one round of a row: real roles in a folder of their own, as a user starts them.

The processes are those of the cluster tests (tests/cluster/cluster.py); this adds what benches need:
scripts of a few words, client programs that time calls, and roles that end in good order, so that the
CPU time of their children is known.
"""
import contextlib
import json
import os
import subprocess

import turmoil
from cluster import clean_environment
from harness.meter import Meter


class Stage:
    """`cluster`: its processes and folder. `tools`: the folder of the bench's own programs."""

    def __init__(self, cluster, tools):
        self.cluster = cluster
        self.tools = tools
        self.workers = []

    def start(self, workers=1, worker_options=()):
        self.cluster.start_bucket()
        self.cluster.start_hub()
        for number in range(workers):
            self.start_worker(f'w{number}', *worker_options)

    def start_worker(self, name, *options):
        worker = self.cluster.start_worker('--name', name, *options, cwd=self.cluster.path(name))
        self.workers.append(worker)
        return worker

    def start_instant_worker(self, leases, scope='', count=0):
        """A worker whose tasks take no time and have no values; of `scope`, or of every one. With
        `count` its standard output says how many of the first so many tasks were of each run."""
        worker = subprocess.Popen([os.path.join(self.tools, 'instant_worker'),
                                   self.cluster.hub_address, str(leases), scope, str(count)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.cluster.addCleanup(worker.wait)
        self.cluster.addCleanup(worker.kill)
        for pipe in (worker.stdin, worker.stdout):
            self.cluster.addCleanup(pipe.close)
        return worker

    def end(self):
        """Workers first: they wait for their runners."""
        for worker in self.workers:
            if worker.alive():
                worker.stop()

    # -------------------------------------------------------------------------------- what they use

    def pids(self):
        roles = {'hub': [self.cluster.hub.pid], 'bucket': [self.cluster.bucket.pid]}
        if self.workers:
            roles['worker'] = [worker.pid for worker in self.workers if worker.alive()]
        return roles

    def meter(self, **more):
        return Meter({**self.pids(), **more})

    # ------------------------------------------------------------------------------------ the client

    def script(self, name, text, steps=''):
        """Writes NAME.bue, and steps.py beside it; returns the script's path."""
        if steps:
            self.cluster.write('steps.py', steps)
        return self.cluster.write(f'{name}.bue', text)

    def run(self, script, limit_s=600):
        """Uploads, waits for success and returns the run's status."""
        run = self.cluster.upload(script)
        self.cluster.bue('wait', run, limit_s=limit_s)
        return self.cluster.status(run)

    def value(self, status, name):
        """What a run that ended holds under `name`."""
        return json.loads(self.cluster.bue('get', status['run'], name).stdout)

    def watch(self, script, interval_ms=20):
        """Runs it; returns (its status in the end, [(seconds since the upload, tasks done), ...])."""
        found = self.client('watch', script, interval_ms)
        return self.cluster.status(found['run']), list(zip(found['seconds'], found['done']))

    def client(self, *words, program='client_bench', limit_s=1800):
        """Runs client_bench, which times calls from within one client; returns what it found."""
        done = subprocess.run([os.path.join(self.tools, program), self.cluster.hub_address,
                               *map(str, words)], cwd=self.cluster.folder, capture_output=True,
                              text=True, timeout=limit_s, env=clean_environment())
        if done.returncode != 0:
            raise AssertionError(f'{program} {words}: {done.stderr[-2000:]}')
        return json.loads(done.stdout)


@contextlib.contextmanager
def new_stage(tools):
    cluster = turmoil.new_cluster()
    stage = Stage(cluster, tools)
    try:
        yield stage
        stage.end()
    finally:
        cluster.doCleanups()
