"""Roles start, say where, stop cleanly, and say what is wrong when they cannot."""
import os
import re
import signal
import socket
import subprocess
import threading

from cluster import BUE, ClusterTest, clean_environment, main, wait_for

NOBODY = '127.0.0.1:1'  # Nothing listens there.


class RolesTest(ClusterTest):
    def refused(self, *arguments, limit_s=60, env=None):
        return self.bue(*arguments, code=2, limit_s=limit_s, hub=False, env=env).stderr

    def test_ready_lines_and_clean_stops(self):
        self.start_cluster()
        self.assertRegex(self.bucket.ready_line, r'^listening on 127\.0\.0\.1:\d+$')
        self.assertRegex(self.hub.ready_line, r'^listening on 127\.0\.0\.1:\d+$')
        self.assertEqual(self.workers[0].ready_line, f'connected to {self.hub.address}')
        for role in (self.workers[0], self.hub, self.bucket):
            self.assertEqual(role.stop(), 0, role.log())

    def test_what_is_missing_is_called_as_usage_calls_it(self):
        self.assertIn('bue run: error: FILE is required', self.refused('run'))

    def test_who_finds_no_hub_is_told_how_to_say_where_it_is(self):
        said = self.refused('status', '-b', '127.0.0.1:1', '--timeout', '0.2')
        for words in ('no hub at 127.0.0.1:1', '`bue hub` starts one', '-b HOST:PORT', 'PIPE_WORKER_PORT'):
            self.assertIn(words, said)

    def test_numbers_and_addresses_are_looked_at(self):
        self.assertIn("'nowhere' is no address of a bucket", self.refused('hub', '-k', 'nowhere'))
        self.assertIn("'h:99999' is no address of a bucket",
                      self.refused('worker', '-b', '127.0.0.1:1', '-k', 'h:99999'))
        self.assertIn('is no address of a hub',
                      self.refused('worker', env={'PIPE_WORKER_PORT': 'abc'}))
        for name in ('N_WORKER_PROCESSES', 'POSTGRES_PORT'):
            said = self.refused('worker', '-b', '127.0.0.1:1', env={name: 'many'})
            self.assertIn(f"the environment's {name} is 'many'; it takes a number", said)

    def test_a_directory_of_others_stays_as_it_is(self):
        self.write('others/notes.txt', 'mine')
        self.assertIn("not a bucket's", self.refused('bucket', '-b', '127.0.0.1:0', '--data',
                                                     self.path('others')))
        self.assertEqual(os.listdir(self.path('others')), ['notes.txt'])

    def test_interrupt_stops_cleanly_too(self):
        bucket = self.start_bucket()
        bucket.process.send_signal(signal.SIGINT)
        self.assertEqual(bucket.process.wait(30), 0)

    def test_port_in_use_is_refused(self):
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            binding = f'127.0.0.1:{taken.getsockname()[1]}'
            for role in ('hub', 'bucket'):
                message = self.refused(role, '-b', binding, '--data', self.path(role))
                self.assertIn(binding, message)
                self.assertIn('in use', message)
                self.assertNotIn('chttp2', message)  # gRPC's own words.
                self.assertEqual(os.listdir(self.folder), [])

    def test_a_start_that_fails_leaves_no_directory(self):
        for role in ('hub', 'bucket'):
            self.refused(role, '-b', '0.0.0.0:0', '--data', self.path('deep', role))
        self.refused('worker', '-b', NOBODY, '--timeout', 1)
        self.assertEqual(os.listdir(self.folder), [])

    def test_an_address_of_another_role_is_named(self):
        bucket = self.start_bucket()
        self.write('steps.py', 'def one():\n    return 1\n')
        script = self.write('script.bue', 'import python (one) steps.py\np = | one\np()\n')
        self.assertIn(f'hub {bucket.address}: the server there does not know this call',
                      self.refused('upload', '-f', script, '-b', bucket.address))

    def test_two_roles_in_one_directory_are_refused(self):
        self.start_cluster(0)
        for role in ('hub', 'bucket'):
            message = self.refused(role, '-b', '127.0.0.1:0', '--data', self.path(role))
            self.assertIn(self.path(role), message)

    def test_data_directory_that_cannot_be_made_is_refused(self):
        self.write('file', 'not a directory')
        for role in ('hub', 'bucket'):
            for place in ('file', 'file/below'):
                message = self.refused(role, '-b', '127.0.0.1:0', '--data', self.path(place))
                self.assertIn(self.path('file'), message)

    def test_data_directory_of_another_version_is_refused(self):
        self.start_cluster(0)
        for role in (self.hub, self.bucket):
            self.assertEqual(role.stop(), 0)
        for name in ('hub', 'bucket'):
            self.change_version(self.path(name))
            message = self.refused(name, '-b', '127.0.0.1:0', '--data', self.path(name))
            self.assertIn('999', message)
            self.assertIn(self.path(name), message)

    def change_version(self, folder):
        changed = 0
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            with open(path, errors='replace') as file:
                text = file.read()
            if re.search(r'format:? ?\d+', text):
                with open(path, 'w') as file:
                    file.write(re.sub(r'(format:? ?)\d+', r'\g<1>999', text))
                changed += 1
        self.assertEqual(changed, 1, f'which file of {os.listdir(folder)} holds the version?')

    def test_directory_of_another_role_is_refused(self):
        self.start_cluster(0)
        self.hub.stop()
        self.bucket.stop()
        self.assertIn(self.path('hub'), self.refused('bucket', '-b', '127.0.0.1:0', '--data',
                                                     self.path('hub')))
        self.assertIn(self.path('bucket'), self.refused('hub', '-b', '127.0.0.1:0', '--data',
                                                        self.path('bucket')))

    def test_beyond_loopback_needs_a_token(self):
        for role in ('hub', 'bucket'):
            message = self.refused(role, '-b', '0.0.0.0:0', '--data', self.path(role))
            self.assertIn('bue token', message)

    def test_token_is_asked_for_and_taken(self):
        token = self.bue('token').stdout
        self.assertRegex(token, r'^[0-9a-f]{64}\n$')
        self.write('token', token)
        self.write('wrong', self.bue('token').stdout)
        self.start('bucket', '-b', '127.0.0.1:0', '--data', self.path('b'), '--token-file', 'token')
        hub = self.start('hub', '-b', '127.0.0.1:0', '-k', self.roles[0].address, '--data',
                         self.path('h'), '--token-file', 'token')
        where = ('-b', hub.address)
        self.assertIn('token', self.refused('status', *where))
        self.assertIn('token', self.refused('status', *where, '--token-file', 'wrong'))
        self.bue('status', *where, '--token-file', 'token')
        self.bue('status', *where, env={'BUE_TOKEN': token.strip()})
        self.start('worker', *where, '--token-file', 'token', '--python', '/usr/bin/python3')
        self.assertIn('gone', self.refused('status', *where, '--token-file', 'gone'))

    def test_second_signal_ends_a_role_at_once(self):
        self.write('steps.py', 'import time\ndef nap():\n    open("began", "w")\n'
                               '    time.sleep(300)\n')
        self.write('nap.bue', 'nap:\n    python\n    nap\n    steps.py\np = | nap\np()\n')
        self.start_cluster(1, '--stop-grace', 300)
        self.upload('nap.bue')
        wait_for(lambda: os.path.exists(self.path('w0', 'began')), 'the nap began')
        worker = self.workers[0].process

        def signalled_to_death():  # Two signals that come together may arrive as one.
            worker.send_signal(signal.SIGTERM)
            return worker.poll() is not None

        wait_for(signalled_to_death, 'the worker ends', pause_s=0.2)
        self.assertEqual(worker.returncode, 0)


class SlowDoor:
    """Somewhere that leads to `address`, a while after somebody connects: a far or a busy machine."""

    def __init__(self, address, after_s):
        self.host, self.port = address.split(':')
        self.after_s = after_s
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.address = f'127.0.0.1:{self.listener.getsockname()[1]}'
        self.sockets = [self.listener]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return  # It is closed.
            threading.Timer(self.after_s, self.open, [near]).start()

    def open(self, near):
        far = socket.create_connection((self.host, int(self.port)))
        self.sockets += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self.relay, args=(source, sink), daemon=True).start()

    @staticmethod
    def relay(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # One of the two has left.

    def close(self):
        for one in self.sockets:
            one.close()


class UnreachableTest(ClusterTest):
    def test_a_hub_that_answers_late_is_found(self):
        self.start_cluster(0)
        door = SlowDoor(self.hub.address, 1.5)
        self.addCleanup(door.close)
        self.bue('status', '-b', door.address, '--timeout', 60)

    def test_clients_say_where_they_looked_and_end_in_time(self):
        self.write('ok.bue', 's:\n    python\n    f\n    `\ndef f():\n    pass\n    `\n')
        commands = [['upload', '-f', 'ok.bue'], ['wait', 'r1'], ['status'], ['status', 'r1'],
                    ['results', 'r1'], ['errors', 'r1'], ['logs', 'r1'], ['get', 'r1', 'x'],
                    ['workers'], ['cancel', 'r1'], ['pause', 'r1'], ['delete', 'r1'],
                    ['stop', 'r1'], ['retry', 'r1']]
        for command in commands:
            with self.subTest(command[0]):
                done = self.bue(*command, '-b', NOBODY, '--timeout', '1', code=2, limit_s=60)
                self.assertIn(NOBODY, done.stderr)
                self.assertEqual(done.stdout, '')

    def test_addresses_that_can_never_work_are_refused_at_once(self):
        for address in ('localhost', 'localhost:', 'localhost:0', ':65432', 'localhost:http', ''):
            with self.subTest(address):
                done = self.bue('status', '-b', address, '--timeout', '3600', code=2, limit_s=60)
                self.assertIn('HOST:PORT', done.stderr)
        done = self.bue('status', '-b', 'no-such-host.invalid:1', '--timeout', '20', code=2,
                        limit_s=60)
        self.assertIn('no-such-host.invalid', done.stderr)

    def test_worker_says_where_it_looked(self):
        done = self.bue('worker', '-b', NOBODY, '--timeout', '1', '--python', '/usr/bin/python3',
                        code=2, limit_s=60)
        self.assertIn(NOBODY, done.stderr)

    def test_wait_gives_up_on_a_hub_that_stays_away(self):
        self.write('ok.bue', 's:\n    python\n    f\n    `\ndef f():\n    pass\n    `\n'
                             'p = | s\np()\n')
        self.start_cluster(0)
        run = self.upload('ok.bue')
        waiting = subprocess.Popen([BUE, 'wait', run, '-b', self.hub.address, '--reconnect', '1'],
                                   env=clean_environment(), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        with self.assertRaises(subprocess.TimeoutExpired):
            waiting.wait(1)  # Nobody works: it waits.
        self.hub.kill()
        _, err = waiting.communicate(timeout=60)
        self.assertEqual(waiting.returncode, 2)
        self.assertIn(self.hub.address, err)

    def test_output_that_cannot_be_written_is_an_error(self):
        with open('/dev/full', 'w') as full:
            done = subprocess.run([BUE, 'token'], env=clean_environment(), stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn('standard output', done.stderr)

    def test_unknown_runs_are_refused(self):
        self.start_cluster(0)
        for command in (['wait', 'r99'], ['status', 'r99'], ['results', 'r99'], ['cancel', 'r99'],
                        ['get', 'r99', 'x'], ['errors', 'r99'], ['logs', 'r99']):
            with self.subTest(command[0]):
                self.assertIn('99', self.bue(*command, code=2).stderr)
        self.assertIn('r17', self.bue('status', 'seventeen', code=2).stderr)


class WordsTest(ClusterTest):
    def test_wrong_words_get_the_nearest_known_one(self):
        cases = {
            ('statsu',): 'status',
            ('hub', '--bucket-bindin', 'x'): '--bucket-binding',
            ('run', '--flie', 'x'): '--file',
            ('worker', '--scope', 'x'): '--scopes',
            ('hub', '-p', 'x'): '-p',
            ('status', 'r1', 'r2'): 'r2',
        }
        for words, mentions in cases.items():
            with self.subTest(words):
                done = self.bue(*words, code=2)
                self.assertIn(mentions, done.stderr)
                self.assertIn('--help', done.stderr)

    def test_every_command_explains_itself(self):
        listed = self.bue('--help').stdout
        for command in ('run check upload example status wait results errors logs get cancel stop '
                        'pause resume retry delete hub bucket worker workers demo token').split():
            self.assertIn(command, listed)
            self.assertIn('bue ' + command, self.bue(command, '--help').stdout)
            self.assertEqual(self.bue('help', command).stdout, self.bue(command, '--help').stdout)
        self.assertIn('PIPE_WORKER_HOST', listed)
        self.assertRegex(self.bue('--version').stdout, r'^bue \d+\.\d+\.\d+\n$')
        self.assertEqual(self.bue('-v').stdout, self.bue('--version').stdout)
        self.assertIn('bue', self.bue(code=2).stdout)

    def test_env_file_says_where_the_hub_is_and_never_overrides(self):
        self.write('.env', 'PIPE_WORKER_HOST=127.0.0.1\nPIPE_WORKER_PORT=1\n')
        self.assertIn(NOBODY, self.bue('status', '--timeout', '0.5', code=2).stderr)
        done = self.bue('status', '--timeout', '0.5', code=2, env={'PIPE_WORKER_PORT': '2'})
        self.assertIn('127.0.0.1:2', done.stderr)
        self.write('other.env', 'PIPE_WORKER_PORT=3\n')
        done = self.bue('status', '--timeout', '0.5', code=2, env={'ENV_PATH': 'other.env'})
        self.assertIn('localhost:3', done.stderr)
        done = self.bue('status', '-b', '127.0.0.1:4', '--timeout', '0.5', code=2)
        self.assertIn('127.0.0.1:4', done.stderr)


if __name__ == '__main__':
    main()
