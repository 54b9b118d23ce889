"""Peers that behave badly: floods of large uploads, readers that do not read, calls that say nothing.

The server's memory stays bounded, the bad peer learns why its call ended, and others are served.
"""
import os
import subprocess
import threading

from cluster import BUE, ClusterTest, clean_environment, main, rss_bytes, wait_for

BAD_PEER = os.path.join(os.path.dirname(BUE), 'tests', 'cluster', 'bad_peer')
MIB = 1 << 20


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

    def good_peer(self, *arguments):
        process = self.peer(*arguments)
        out, _ = process.communicate(timeout=60)
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
        self.assertLess(growth.stop(), 128 * MIB)

    def test_any_number_of_them_is_held_in_bounded_memory(self):
        bucket = self.start_bucket()
        value = self.good_peer('put', bucket.address, 32 * MIB)
        growth = self.watch(bucket)
        stalled = self.peer('stall-get', bucket.address, value, 300)
        self.await_ready(stalled)
        self.assertEqual(self.good_peer('get', bucket.address, value), 32 * MIB)
        self.assertLess(growth.stop(), 192 * MIB)


if __name__ == '__main__':
    main()
