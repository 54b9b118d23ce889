"""Whether anything else uses this machine's cores."""
import sys
import time

from harness import processes

LOOK_S = 2
WAIT_S = 600
FOREIGN_MAX = 0.1  # Cores.


class Foreign:
    """CPU that others use, from construction on. Exact only while nothing of ours runs."""

    def __init__(self):
        self._began = time.monotonic()
        self._busy = self._foreign_s()

    def cores(self):
        seconds = max(1e-9, time.monotonic() - self._began)
        return max(0.0, (self._foreign_s() - self._busy) / seconds)

    @staticmethod
    def _foreign_s():
        return processes.machine_busy_s() - processes.ours_busy_s()


def look():
    foreign = Foreign()
    time.sleep(LOOK_S)
    return foreign.cores()


def wait_until_quiet(noisy):
    """Waits until others use next to nothing; with `noisy` it only says how much. False if they did
    not stop in time."""
    deadline = time.monotonic() + WAIT_S
    while True:
        cores = look()
        if cores <= FOREIGN_MAX:
            return True
        if noisy:
            say(f'others use {cores:.2f} cores: figures are worse than they could be')
            return True
        if time.monotonic() > deadline:
            say(f'others still use {cores:.2f} cores; --noisy measures all the same')
            return False
        say(f'others use {cores:.2f} cores: waiting for quiet (--noisy: go on)')


def say(text):
    print(text, file=sys.stderr, flush=True)
