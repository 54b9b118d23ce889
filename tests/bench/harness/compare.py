"""Other systems beside ours: gets them where they are missing, runs their programs (peers/).

Everything lies in build/bench-peers and goes with it: Python packages in a virtual environment, servers
that PyPI does not have as Debian packages that are unpacked there, not installed, so that no service of
theirs is started.
"""
import collections
import glob
import json
import os
import shutil
import subprocess
import sys

from harness.quiet import say

PEERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'peers')
DEBIAN_PYTHON = '/usr/bin/python3'
LIMIT_S = 900
END_S = 20

# `pip`: its package on PyPI; `program`, `debian`: a server and the Debian package it is in.
Peer = collections.namedtuple('Peer', 'name script works pip program debian')

ALL_PEERS = (
    Peer('Celery, Redis with AOF always', 'celery_peer.py',
         ('noop', 'latency', 'chain', 'queue', 'fan', 'sleep'), 'celery[redis]', 'redis-server',
         'redis-server'),
    Peer('RQ, Redis with AOF always', 'rq_peer.py', ('noop', 'latency', 'chain', 'queue', 'fan'), 'rq',
         'redis-server', 'redis-server'),
    Peer('gearmand with SQLite', 'gearman_sqlite_peer.py', ('noop', 'queue'), '', 'gearmand',
         'gearman-job-server'),
    Peer('gearmand, volatile', 'gearman_peer.py', ('noop', 'latency', 'chain', 'fan'), '', 'gearmand',
         'gearman-job-server'),
    Peer('Dask, volatile', 'dask_peer.py', ('noop', 'latency', 'chain', 'queue', 'fan', 'sleep'),
         'distributed', '', ''),
    Peer('HyperQueue, volatile, a process a task', 'hyperqueue_peer.py', ('noop',), 'hyperqueue', '',
         ''),
    Peer('Ray, volatile', 'ray_peer.py', ('noop', 'latency', 'chain', 'fan', 'sleep'), 'ray', '', ''),
)


class Peers:
    """The peers that are there."""

    def __init__(self, build):
        self._folder = os.path.join(build, 'bench-peers')
        self._debian = os.path.join(self._folder, 'debian')
        self._python = os.path.join(self._folder, 'venv', 'bin', 'python')
        self._missing = {}  # {peer's name: why}
        os.makedirs(os.path.join(self._folder, 'packages', 'partial'), exist_ok=True)
        if not os.path.exists(self._python):
            self._run([interpreter(), '-m', 'venv', os.path.join(self._folder, 'venv')])
        for peer in ALL_PEERS:
            why = self._get(peer)
            if why:
                self._missing[peer.name] = f'not measured: {why}'
                say(f'{peer.name}: {why}')

    def measure(self, work, size):
        """{peer: {figure: value}, or why it has none} of those that do such work."""
        return {peer.name: self._missing.get(peer.name) or self._measure(peer, work, size)
                for peer in ALL_PEERS if work in peer.works}

    def _measure(self, peer, work, size):
        words = [self._python, os.path.join(PEERS, peer.script), work, str(size)]
        with subprocess.Popen(words, env=self._environment(), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True) as program:
            try:
                output, errors = program.communicate(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                return f'not within {LIMIT_S} s'
            finally:
                end(program)
        if program.returncode != 0:
            say(errors[-3000:])
            return f'failed: {(errors.strip().splitlines() or ["no reason given"])[-1][:200]}'
        return json.loads(output.splitlines()[-1])

    def _environment(self):
        root = self._debian
        path = os.environ.get('PATH', '')
        return {**os.environ,
                'PATH': f'{root}/usr/bin:{root}/usr/sbin:{path}:/usr/sbin',
                'LD_LIBRARY_PATH': ':'.join(glob.glob(f'{root}/usr/lib/*-linux-gnu*'))}

    # ------------------------------------------------------------------------- getting what is missing

    def _get(self, peer):
        """Why it cannot be measured, or nothing."""
        if not os.path.exists(self._python):
            return 'Python makes no virtual environment here (Debian: python3-venv)'
        return ((peer.pip and self._get_from_pypi(peer.pip))
                or (peer.program and self._get_from_debian(peer.program, peer.debian)))

    def _get_from_pypi(self, package):
        pip = [self._python, '-m', 'pip', '--quiet', '--disable-pip-version-check']
        if self._run([*pip, 'show', package.split('[')[0]]):
            return ''
        say(f'installing {package} into {self._folder}')
        return '' if self._run([*pip, 'install', package]) else f'PyPI does not give {package}'

    def _get_from_debian(self, program, package):
        if shutil.which(program, path=self._environment()['PATH']):
            return ''
        say(f'unpacking {package} into {self._folder}')
        packages = os.path.join(self._folder, 'packages')
        sudo = [] if os.geteuid() == 0 else ['sudo', '--non-interactive']
        self._run([*sudo, 'apt-get', 'install', '--yes', '--no-install-recommends', '--download-only',
                   '-o', f'Dir::Cache::archives={packages}', package])
        for file in glob.glob(os.path.join(packages, '*.deb')):
            self._run(['dpkg', '--extract', file, self._debian])
        return '' if shutil.which(program, path=self._environment()['PATH']) else (
            f'no {program}: apt-get does not give {package}')

    @staticmethod
    def _run(words):
        """Whether it succeeded."""
        try:
            return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL, timeout=LIMIT_S).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False


def end(program):
    """Lets it end what it started, unless it has done so."""
    if program.poll() is None:
        program.terminate()
        try:
            program.wait(END_S)
        except subprocess.TimeoutExpired:
            program.kill()


def interpreter():
    """The one that our own steps run in, if it can be had."""
    return DEBIAN_PYTHON if os.path.exists(DEBIAN_PYTHON) else sys.executable
