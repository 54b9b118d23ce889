"""Peers that behave badly: floods of large uploads, readers that do not read, calls that say nothing.

The server's memory stays bounded, the bad peer learns why its call ended, and others are served.
"""
import os
import subprocess
import threading

from cluster import BUE, SLOWER, ClusterTest, clean_environment, main, rss_bytes, wait_for

BAD_PEER = os.path.join(os.path.dirname(BUE), 'tests', 'cluster', 'bad_peer')
MIB = 1 << 20
# Codes of gRPC.
RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED = 8, 9, 10

MANY = """
import python (same) steps.py
pipe = | same
for x in range(10000):
    pipe(x)
"""
STEPS = 'def same(x):\n    return x\n'
ONE = 's:\n    python\n    f\n    `\ndef f():\n    pass\n    `\np = | s\np()\n'


class Growth(threading.Thread):
    """How much more memory a process has had than when this began."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.idle = self.peak = rss_bytes(pid)
        self.stopped = threading.Event()
        self.start()

    def run(self):
        while not self.stopped.wait(0.02):
            self.peak = max(self.peak, rss_bytes(self.pid))

    def stop(self):
        self.stopped.set()
        self.join()
        return self.peak - self.idle


class PeersTest(ClusterTest):
    def peer(self, *arguments):
        """Runs a bad peer in the background."""
        words = [BAD_PEER, *(str(argument) for argument in arguments)]
        process = subprocess.Popen(words, env=clean_environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def watch(self, role):
        growth = Growth(role.pid)
        self.addCleanup(growth.stop)
        return growth

    def await_ready(self, process):
        self.assertEqual(process.stdout.readline(), 'ready\n')

    def ends(self, process, limit_s=120):
        """How its calls ended: (code, message) of each."""
        out, _ = process.communicate(timeout=limit_s * SLOWER)
        self.assertEqual(process.returncode, 0)
        lines = [line.split(' ', 1) for line in out.splitlines()]
        return [(int(code), message) for code, message in lines]

    def good_peer(self, *arguments):
        process = self.peer(*arguments)
        out, _ = process.communicate(timeout=120 * SLOWER)
        self.assertEqual(process.returncode, 0)
        return int(out)


class StalledReadersTest(PeersTest):
    def test_readers_that_do_not_read_hold_up_nobody(self):
        bucket = self.start_bucket()
        value = self.good_peer('put', bucket.address, 32 * MIB)
        self.good_peer('get', bucket.address, value)
        growth = self.watch(bucket)
        stalled = self.peer('stall-get', bucket.address, value, 40)
        self.await_ready(stalled)
        for _ in range(3):
            self.assertEqual(self.good_peer('get', bucket.address, value), 32 * MIB)
        # gRPC takes some of what nobody reads, so they stall one after the other.
        wait_for(lambda: bucket.log().count('get stream not read') >= 5, 'streams are ended')
        self.assert_grew_less(growth.stop(), 128 * MIB)

    def test_any_number_of_them_is_held_in_bounded_memory(self):
        bucket = self.start_bucket()
        value = self.good_peer('put', bucket.address, 32 * MIB)
        growth = self.watch(bucket)
        stalled = self.peer('stall-get', bucket.address, value, 100)
        self.await_ready(stalled)
        self.assertEqual(self.good_peer('get', bucket.address, value), 32 * MIB)
        self.assert_grew_less(growth.stop(), 192 * MIB)


class UploadsTest(PeersTest):
    def setUp(self):
        super().setUp()
        self.start_cluster(0)
        self.write('one.bue', ONE)
        self.upload('one.bue')

    def test_flood_of_large_programs_is_taken_in_turn(self):
        growth = self.watch(self.hub)
        flood = self.peer('upload', self.hub.address, 8, 50 * MIB)
        # Somebody with a small one does not wait for them.
        while flood.poll() is None:
            self.upload('one.bue')
        ends = self.ends(flood)
        self.assertEqual(len(ends), 8)
        for code, message in ends:
            self.assertIn(code, (FAILED_PRECONDITION, RESOURCE_EXHAUSTED), message)
            self.assertIn('missing.py' if code == FAILED_PRECONDITION else 'try again', message)
        self.assertIn(FAILED_PRECONDITION, [code for code, _ in ends])
        # One such program takes 350 MiB; a few MiB of each that waits lie in gRPC.
        self.assert_grew_less(growth.stop(), 900 * MIB)

    def test_uploads_that_stop_in_the_middle_are_ended(self):
        growth = self.watch(self.hub)
        halves = self.peer('half-upload', self.hub.address, 100, 4 * MIB)
        self.await_ready(halves)
        self.upload('one.bue')
        for code, message in self.ends(halves):
            self.assertIn(code, (ABORTED, RESOURCE_EXHAUSTED), message)
            self.assertIn('try again', message)
        self.assert_grew_less(growth.stop(), 400 * MIB)

    def test_calls_that_say_nothing_are_ended(self):
        growth = self.watch(self.hub)
        idle = self.peer('idle-calls', self.hub.address, 5, 900)
        self.await_ready(idle)
        self.upload('one.bue')
        ends = self.ends(idle)
        self.assertEqual(len(ends), 4500)
        self.assertEqual({code for code, _ in ends}, {ABORTED})
        self.assert_grew_less(growth.stop(), 200 * MIB)


class SlowReadersTest(PeersTest):
    def test_results_that_nobody_reads_wait_in_bounded_memory(self):
        self.start_cluster()
        self.write('steps.py', STEPS)
        self.write('many.bue', MANY)
        run = self.upload('many.bue')
        self.bue('wait', run)
        growth = self.watch(self.hub)
        slow = self.peer('stall-results', self.hub.address, run[1:], 200)
        self.await_ready(slow)
        for _ in range(3):
            self.assertEqual(len(self.json_lines('results', run)), 10000)
        self.assert_grew_less(growth.stop(), 200 * MIB)


if __name__ == '__main__':
    main()
