"""Full disks, for real: roles on a small tmpfs in a mount namespace of their own.

Where mounting is not permitted the tests are skipped.
"""
import errno
import json
import os
import shutil
import subprocess

from cluster import BUE, ClusterTest, main, wait_for

MIB = 1 << 20

STEPS = '''
def numbers():
    return list(range(400))

def value(x):
    print('value', x)
    return bytes([x % 251]) * 300_000

def quiet(x):
    return bytes([x % 251]) * 300_000

def small(x):
    return x

def nothing(x):
    return None

def small_then_held(x):
    import os, time
    while x >= 1000 and not os.path.exists('go'):
        time.sleep(0.01)
    return x
'''

SCRIPT = '''
import python (numbers, value) steps.py
source = | numbers
pipe = | value
for x in source():
    kept = pipe(x)
'''

SMALL = '''
import python (small) steps.py
pipe = | small
for x in range(3000):
    kept = pipe(x)
'''


QUIET = '''
import python (quiet) steps.py
pipe = | quiet
for x in range(400):
    kept = pipe(x)
'''

NOTHING = '''
import python (nothing) steps.py
pipe = | nothing
for x in range(5):
    pipe(x)
'''


class SmallDisk:
    """A tmpfs that only this test and what it starts on it see."""

    def __init__(self, path, mib):
        os.makedirs(path)
        self.path = path
        self.holder = subprocess.Popen(
            ['unshare', '-m', 'sh', '-c',
             f'mount --make-rprivate / && mount -t tmpfs -o size={mib}m tmpfs "$0" && echo ready '
             '&& exec cat', path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.works = self.holder.stdout.readline() == b'ready\n'
        self.error = '' if self.works else self.holder.stderr.read().decode().strip()
        self.prefix = ('nsenter', '-t', str(self.holder.pid), '-m', f'--wdns={os.path.dirname(path)}')
        # The same files, seen from outside.
        self.outside = f'/proc/{self.holder.pid}/root{path}'

    def free_bytes(self):
        disk = os.statvfs(self.outside)
        return disk.f_bavail * disk.f_frsize

    def leave(self, free_bytes):
        """Fills it up until so much is left."""
        with open(os.path.join(self.outside, 'ballast'), 'ab') as ballast:
            while (taken := self.free_bytes() - free_bytes) > 0:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), taken)
                except OSError as error:  # Somebody else has taken some of it meanwhile.
                    if error.errno != errno.ENOSPC:
                        raise

    def make_room(self):
        os.remove(os.path.join(self.outside, 'ballast'))

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()


class DiskTest(ClusterTest):
    def setUp(self):
        super().setUp()
        if shutil.which('unshare') is None or shutil.which('nsenter') is None:
            self.skipTest('needs unshare and nsenter (util-linux)')
        self.write('steps.py', STEPS)
        self.write('script.bue', SCRIPT)
        self.write('small.bue', SMALL)

    def small_disk(self, mib):
        disk = SmallDisk(self.path('disk'), mib)
        self.addCleanup(disk.close)
        self.disk = disk
        if not disk.works:
            self.skipTest(f'mounting a tmpfs in a namespace is not permitted: {disk.error}')
        return disk

    def start_bucket_on(self, disk, *arguments, binding='127.0.0.1:0'):
        self.bucket = self.start('bucket', '-b', binding, '--data', self.path('disk', 'bucket'),
                                 *arguments, prefix=disk.prefix)
        return self.bucket

    def start_hub_on(self, disk, *arguments, binding='127.0.0.1:0'):
        self.hub = self.start('hub', '-b', binding, '-k', self.bucket.address, '--data',
                              self.path('disk', 'hub'), *arguments, prefix=disk.prefix)
        self.hub_address = self.hub.address
        return self.hub

    def done(self, run):
        return self.status(run)['tasks']['done']

    def end_of(self, run):
        """Waits for the run; it must have succeeded, each task once."""
        try:
            self.bue('wait', run, '--reconnect', 120, limit_s=120)
        except subprocess.TimeoutExpired:
            logs = '\n'.join(role.log()[-1500:] for role in self.roles)
            self.fail(f'the run does not end: {self.status(run)}, {self.disk.free_bytes() / MIB} MiB '
                      f'are free\n{logs}')
        self.assertEqual(self.json_lines('errors', run), [])

    def said(self, role, text):
        return [line for line in role.log().splitlines() if text in line]

    def test_values_wait_for_room_and_go_on(self):
        disk = self.small_disk(256)
        self.start_bucket_on(disk)
        self.start_hub()
        worker = self.start_worker('--slots', 4, cwd=self.path('w'))
        disk.leave(100 * MIB)  # 36 MiB above the low-water mark; the run makes 120 MB.
        run = self.upload('script.bue')
        wait_for(lambda: self.said(worker, 'bucket takes no values'), 'the worker says it waits')
        line = self.said(worker, 'bucket takes no values')[0]
        for part in (self.path('disk', 'bucket'), 'MiB are free', 'new values need 64 MiB',
                     'make room', 'action=wait'):
            self.assertIn(part, line)
        self.assertTrue(self.said(self.bucket, 'bucket is full'))
        # Reads go on, and there is room for what must still be written.
        logs = wait_for(lambda: self.json_lines('logs', run), 'what was printed is listed')
        self.assertTrue(logs[0]['text'].startswith('value'))
        self.assertGreater(disk.free_bytes(), 20 * MIB)
        self.assertEqual(self.status(run)['tasks']['failed'], 0)
        disk.make_room()
        self.end_of(run)
        # Not always once: the database may have freed a little meanwhile.
        self.assertEqual(len(self.said(worker, 'bucket takes values again')),
                         len(self.said(worker, 'bucket takes no values')))
        self.assertEqual(self.done(run), 401)

    def test_deleting_runs_makes_room(self):
        # Room for one run and a half, and beyond that for what the database does behind them: it may
        # be far behind, and ends where others take the disk meanwhile, or where a compaction finds no
        # room: a bucket that writes 300 MiB a second passes the low water by 60 MiB.
        disk = self.small_disk(384)
        self.start_bucket_on(disk, '--low-water', '192MiB')
        self.start_hub()
        worker = self.start_worker('--slots', 4, cwd=self.path('w'))
        first = self.upload('script.bue')
        self.end_of(first)
        second = self.upload('script.bue')
        wait_for(lambda: self.said(worker, 'bucket takes no values'), 'the worker says it waits')
        self.bue('delete', first)
        self.end_of(second)

    def test_what_a_cancelled_run_has_waiting_is_given_up(self):
        disk = self.small_disk(256)
        self.start_bucket_on(disk)
        self.start_hub()
        worker = self.start_worker('--slots', 4, cwd=self.path('w'))
        disk.leave(70 * MIB)
        run = self.upload(self.write('quiet.bue', QUIET))
        wait_for(lambda: self.said(worker, 'bucket takes no values'), 'the worker says it waits')
        self.bue('cancel', run)
        # Needs no room, and once it has run the worker knows of the cancel.
        self.end_of(self.upload(self.write('nothing.bue', NOTHING)))

        def idle():
            (one,) = json.loads(self.bue('workers', '--json').stdout)
            return one['running'] == 0 and one['ghosts'] == 0
        wait_for(idle, 'nothing of it is left, though there is no room')
        self.bue('delete', run)
        disk.make_room()
        small = self.upload('small.bue')
        self.end_of(small)
        self.bue('delete', small)
        wait_for(lambda: self.objects(disk) == 0, 'only what is deleted had been stored')

    def objects(self, disk):
        looked = subprocess.run(
            [*disk.prefix, BUE, 'bucket', '--verify', '--json', '--data',
             self.path('disk', 'bucket')], capture_output=True, text=True, check=True)
        return json.loads(looked.stdout)['looked_at']['objects']

    def test_uploads_are_refused_and_what_runs_goes_on(self):
        disk = self.small_disk(128)
        self.start_bucket()
        self.start_hub_on(disk)
        self.start_worker('--slots', 4, cwd=self.path('w'))
        run = self.upload(self.write('held.bue', SMALL.replace('small', 'small_then_held')))
        self.wait_done(run, 1000)
        disk.leave(40 * MIB)
        refused = self.bue('upload', '-f', 'small.bue', code=2)
        for part in (self.path('disk', 'hub'), 'MiB are free', 'needs 64 MiB', 'free some space'):
            self.assertIn(part, refused.stderr)
        self.write('w/go', '')
        self.end_of(run)
        disk.make_room()
        self.end_of(self.upload('small.bue'))

    def test_a_hub_whose_disk_is_full_ends_and_waits_when_it_starts(self):
        disk = self.small_disk(128)
        self.start_bucket()
        self.start_hub_on(disk, '--low-water', '0')
        self.start_worker('--slots', 4, cwd=self.path('w'))
        run = self.upload('small.bue')
        disk.leave(0)
        # A file that has no room is what shows it, at the latest.
        self.write('large.py', '# ' + 'x' * (8 * MIB) + '\ndef small(x):\n    return x\n')
        self.write('large.bue', SMALL.replace('steps.py', 'large.py'))
        for _ in range(20):
            # RocksDB may go on without room for files, waiting for it by itself: a commit tells.
            for script in ('large.bue', 'small.bue'):
                self.bue('upload', '-f', script, '--timeout', '2', code=None)
            if not self.hub.alive():
                break
        self.assertEqual(self.hub.process.wait(60), 1, self.hub.log())
        (line,) = self.said(self.hub, 'hub cannot go on')
        self.assertIn('No space left', line)
        address = self.hub.address

        waiting = subprocess.Popen(
            [*disk.prefix, BUE, 'hub', '-b', address, '-k', self.bucket.address, '--data',
             self.path('disk', 'hub')], cwd=self.folder, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(waiting.stderr.close)
        self.addCleanup(waiting.stdout.close)
        self.addCleanup(waiting.kill)
        line = ''
        while 'hub cannot start yet' not in line:
            line = waiting.stderr.readline()
            self.assertTrue(line, 'the hub ended instead of waiting')
        self.assertIn('action=wait', line)
        waiting.terminate()
        self.assertEqual(waiting.wait(60), 0)  # Waiting, it can be stopped.

        disk.make_room()
        self.start_hub_on(disk, binding=address)
        self.end_of(run)

    def test_a_bucket_whose_disk_is_full_ends_and_comes_back(self):
        # Room for the whole run above the low water, which the bucket minds in its second life.
        disk = self.small_disk(288)
        self.start_bucket_on(disk, '--low-water', '0')
        self.start_hub()
        self.start_worker('--slots', 4, cwd=self.path('w'))
        disk.leave(30 * MIB)
        run = self.upload('script.bue')
        self.assertEqual(self.bucket.process.wait(120), 1)
        (line,) = self.said(self.bucket, 'bucket stops')
        self.assertIn(self.path('disk', 'bucket'), line)
        self.assertIn('No space left', line)
        address = self.bucket.address
        disk.make_room()
        self.start_bucket_on(disk, binding=address)
        self.end_of(run)


if __name__ == '__main__':
    main()
