"""The socket to the worker: frames in, batches of messages out. protocol.md has the format.

Outgoing messages gather in Outbox.messages; whoever flushes sends all of them with one write, and
what arrives during that write is the next batch.
"""
import errno
import os
import struct
import threading

from msgpack import Packer

# Messages to the worker. A list of three is a plain success: [lease, microseconds, value].
OUTCOME, OUTPUT, WANT, CHUNK, INPUT_ACK, LEARNED, READY, NOTE, STUCK, BYE, STARTING = range(1, 12)

# Frames from the worker.
CALLS, CONTROL, INPUT_CHUNK = 1, 2, 3

# Operations of CONTROL frames.
ADD_STEP, CANCEL, CREDIT, GRANT, FORGET, STOP, DROP_RESULT, PROBE = range(1, 9)

# Kinds of outcomes: CallResult::Kind of worker/executor.h.
SUCCEEDED, FAILED, PENDING, RESET, CANCELLED, GIVEN_BACK = range(6)

# CHUNK's flags.
CONTINUED, FLUSH = 1, 2

_READ_BYTES = 1 << 20


# What the worker's end of the socket being gone looks like.
_GONE = (errno.EPIPE, errno.ECONNRESET)


def message(*fields):
    return Packer().pack(fields)


def give_up(words):
    """Ends this process; the worker finds the reason in its last words."""
    try:
        os.write(2, words.encode('utf-8', 'replace'))
    finally:
        os._exit(70)


def lost(error):
    """The socket does not work, or what waits for it."""
    if error.errno in _GONE:
        os._exit(0)  # The worker is gone.
    give_up(f'a step closed the descriptor that leads to the worker: {error}\n')


class Outbox:
    """Messages on their way to the worker. Any thread may put and flush."""

    def __init__(self, sock):
        self.messages = []  # Appended to by everybody; a list, because that is cheapest.
        self.before_send = lambda: None
        self._sock = sock
        self._sending = threading.Lock()

    def put(self, data):
        self.messages.append(data)

    def flush(self):
        """Sends what is there, unless somebody is sending: then they take it along."""
        while True:
            self.before_send()
            if not self.messages or not self._sending.acquire(False):
                return
            try:
                batch = self.messages[:]
                del self.messages[:len(batch)]
                if batch:
                    self._send(batch)
            finally:
                self._sending.release()

    def _send(self, batch):
        sizes = list(map(len, batch))
        head = struct.pack(f'<II{len(batch)}I', 4 + 4 * len(batch) + sum(sizes), len(batch), *sizes)
        try:
            self._sock.sendall(b''.join([head, *batch]))
        except OSError as error:
            lost(error)

    def abandon(self):
        """In a forked child: it has nothing to say, and ends where a runner would send."""
        self.messages.clear()
        self.before_send = lambda: None
        self._sending = threading.Lock()
        self._sock.close()
        self._send = lambda batch: os._exit(0)
        self.messages.append(b'')  # So that the next flush, which ends it, has something to send.


class Frames:
    """Frames from the worker. For one thread at a time."""

    def __init__(self, sock, on_frame):
        self._sock = sock
        self._on_frame = on_frame
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._have = 0

    def read(self):
        """Waits for bytes, and calls on_frame(type, memoryview) for each frame that is whole. False:
        the socket has closed."""
        try:
            got = self._sock.recv_into(self._view[self._have:])
        except OSError as error:
            if error.errno in _GONE:
                return False
            lost(error)
        if got == 0:
            return False
        have = self._have + got
        at = 0
        need = 0
        while have - at >= 5:
            size, kind = struct.unpack_from('<IB', self._buffer, at)
            if have - at < 4 + size:
                need = 4 + size
                break
            self._on_frame(kind, self._view[at + 5:at + 4 + size])
            at += 4 + size
        self._have = have - at
        if self._have and (at or need > len(self._buffer)):
            rest = bytes(self._view[at:have])
            if need > len(self._buffer):
                self._buffer = bytearray(need + _READ_BYTES)
                self._view = memoryview(self._buffer)
            self._view[:len(rest)] = rest
        return True

    def partial(self):
        """The rest of a frame is on its way."""
        return self._have > 0
