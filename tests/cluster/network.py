"""Several hosts on one machine: network namespaces, and between them a switch in user space that can
drop, delay and lose frames in each direction of each pair of hosts. Needs nothing of the kernel but
namespaces, veth pairs and packet sockets, and the right to make them.

    network = Network(['hub', 'w0'])       # raises NotPermitted, which says why
    subprocess.Popen([*network.prefix('hub'), 'bue', 'hub', '-b', network.address('hub') + ':1'])
    network.cut('w0', 'hub')               # what w0 sends does not arrive
    network.heal()
    network.close()
"""
import json
import os
import shutil
import subprocess
import sys

SWITCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'switch.py')


class NotPermitted(Exception):
    pass


class Network:
    count = 0

    def __init__(self, hosts):
        Network.count += 1
        self.hosts = list(hosts)
        self.name = f'bue{os.getpid()}-{Network.count}'
        self.switch = None
        self.made = []
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def address(self, host):
        return f'10.77.0.{1 + self.hosts.index(host)}'

    def prefix(self, host):
        """What a command begins with to run on `host`."""
        return ['ip', 'netns', 'exec', self._namespace(host)]

    def cut(self, source, destination):
        """Nothing of what `source` sends reaches `destination`."""
        self.rule(source, destination, loss=1)

    def part(self, host, others=None):
        """Nothing passes between `host` and the others, in either direction."""
        for other in others or self.hosts:
            if other != host:
                self.cut(host, other)
                self.cut(other, host)

    def rule(self, source, destination, loss=0.0, delay_s=0.0):
        self._tell({'from': self.hosts.index(source), 'to': self.hosts.index(destination),
                    'loss': loss, 'delay': delay_s})

    def everywhere(self, loss=0.0, delay_s=0.0):
        for source in self.hosts:
            for destination in self.hosts:
                self.rule(source, destination, loss, delay_s)

    def heal(self):
        self.everywhere()

    def close(self):
        if self.switch is not None:
            if self.switch.poll() is not None:
                print(f'the switch had ended: {self.switch.stderr.read()[-1000:]}', flush=True)
            self.switch.stdin.close()
            self.switch.wait(60)
            self.switch.stdout.close()
            self.switch.stderr.close()
            self.switch = None
        for namespace in self.made:
            subprocess.run(['ip', 'netns', 'delete', namespace], check=False,
                           stderr=subprocess.DEVNULL)
        self.made = []

    def _namespace(self, host):
        return f'{self.name}-{host}'

    def _make(self):
        if shutil.which('ip') is None:
            raise NotPermitted('there is no `ip` command (Debian: iproute2)')
        for host in [*self.hosts, 'switch']:
            self._ip('netns', 'add', self._namespace(host))
            self.made.append(self._namespace(host))
            self._ip('-n', self._namespace(host), 'link', 'set', 'lo', 'up')
        for number, host in enumerate(self.hosts):
            self._ip('-n', self._namespace('switch'), 'link', 'add', f'port{number}', 'type',
                     'veth', 'peer', 'name', 'eth0', 'netns', self._namespace(host))
            self._ip('-n', self._namespace('switch'), 'link', 'set', f'port{number}', 'up')
            inside = ['-n', self._namespace(host)]
            self._ip(*inside, 'link', 'set', 'eth0', 'address', f'02:00:00:00:00:{number:02x}')
            self._ip(*inside, 'address', 'add', f'{self.address(host)}/24', 'dev', 'eth0')
            self._ip(*inside, 'link', 'set', 'eth0', 'up')
            self._run([*self.prefix(host), sys.executable, SWITCH, '--whole-frames', 'eth0'])
        self.switch = subprocess.Popen(
            [*self.prefix('switch'), sys.executable, SWITCH, str(len(self.hosts))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.switch.stdout.readline() != 'ready\n':
            raise NotPermitted(f'no switch: {self.switch.stderr.read()[-500:]}')

    def _tell(self, rule):
        self.switch.stdin.write(json.dumps(rule) + '\n')
        self.switch.stdin.flush()
        if self.switch.stdout.readline() != 'done\n':
            raise AssertionError('the switch has ended')

    def _ip(self, *words):
        self._run(['ip', *words])

    @staticmethod
    def _run(words):
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode != 0:
            raise NotPermitted(f'{" ".join(words)}: {done.stderr.strip()[-300:]}')
