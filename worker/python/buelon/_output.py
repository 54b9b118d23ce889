"""What steps print, kept apart per attempt.

sys.stdout and sys.stderr are replaced once, before any step's module is loaded, by proxies that
find the running call through its context variable: so output from coroutines, pool threads and
logging handlers made at import all reaches the right attempt. Everything else (threads that a step
started, writes from C) goes to the runner's own standard error, which the worker logs.

Output leaves with the next batch that is sent, bounded: a call that prints faster than it is read
keeps the last PENDING_MAX bytes and a count of what fell out.
"""
import io
import os
import sys
import threading

from buelon import _wire
from buelon._task import LEASE, current_call

PENDING_MAX = 32 << 10


class Capture:
    """Collects output per lease until the outbox takes it."""

    def __init__(self, outbox, wake):
        self._outbox = outbox
        self._wake = wake    # Makes somebody send soon.
        self._pending = {}   # lease -> [pieces], bytes, dropped
        self._lock = threading.Lock()
        outbox.before_send = self.collect

    def write(self, lease, text):
        data = text.encode('utf-8', 'replace')
        with self._lock:
            entry = self._pending.get(lease)
            if entry is None:
                entry = self._pending[lease] = [[], 0, 0]
            entry[0].append(data)
            entry[1] += len(data)
            if entry[1] > 2 * PENDING_MAX:
                self._trim(entry)
        self._wake()

    def collect(self, lease=None):
        """Moves pending output (of one lease, or all) into the outbox: before its result."""
        if not self._pending:
            return
        with self._lock:
            leases = list(self._pending) if lease is None else [lease]
            for one in leases:
                entry = self._pending.pop(one, None)
                if entry is not None:
                    self._outbox.put(_wire.message(_wire.OUTPUT, one, entry[2], b''.join(entry[0])))

    def abandon(self):
        """In a forked child: what it prints goes to the runner's own output."""
        self._lock = threading.Lock()
        self._pending.clear()

    @property
    def pending(self):
        return bool(self._pending)

    @staticmethod
    def _trim(entry):
        data = b''.join(entry[0])
        entry[2] += len(data) - PENDING_MAX
        entry[0][:] = [data[-PENDING_MAX:]]
        entry[1] = PENDING_MAX


class StepStream(io.TextIOBase):
    """sys.stdout or sys.stderr as steps see it."""

    encoding = 'utf-8'
    errors = 'replace'

    def __init__(self, capture, fd, name):
        super().__init__()
        self._capture = capture
        self._fd = fd
        self.name = name
        self.buffer = _Bytes(self)

    def write(self, text):
        if type(text) is not str and not isinstance(text, str):
            raise TypeError(f'write() argument must be str, not {type(text).__name__}')
        if text:
            call = current_call.get()
            if call is None:
                _write_all(self._fd, text.encode('utf-8', 'replace'))
            else:
                self._capture.write(call[LEASE], text)
        return len(text)

    def fileno(self):
        return self._fd

    def writable(self):
        return True

    def isatty(self):
        return False

    def reconfigure(self, **_):
        """Accepted, as programs set line buffering or an encoding at start."""

    def close(self):
        """Does nothing: other steps go on printing."""


class _Bytes(io.RawIOBase):
    """sys.stdout.buffer"""

    def __init__(self, stream):
        super().__init__()
        self._stream = stream

    def writable(self):
        return True

    def write(self, data):
        self._stream.write(bytes(data).decode('utf-8', 'replace'))
        return len(data)

    def fileno(self):
        return self._stream.fileno()

    def close(self):
        """Does nothing, as its stream's."""


def _write_all(fd, data):
    try:
        while data:
            data = data[os.write(fd, data):]
    except OSError:
        pass  # Nobody reads the runner's log any more.


def install(capture):
    sys.stdout = sys.__stdout__ = StepStream(capture, 1, '<stdout>')
    sys.stderr = sys.__stderr__ = StepStream(capture, 2, '<stderr>')
