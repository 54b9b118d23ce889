"""The socket to the worker: frames in, batches of messages out. protocol.md has the format.

Outgoing messages gather in Outbox.messages; whoever flushes sends all of them with one write, and
what arrives during that write is the next batch.
"""
import os
import struct
import threading

from msgpack import Packer

# Messages to the worker. A list of three is a plain success: [lease, microseconds, value].
OUTCOME, OUTPUT, WANT, CHUNK, INPUT_ACK, LEARNED, READY, NOTE, STUCK, BYE = range(1, 11)

# Frames from the worker.
CALLS, CONTROL, INPUT_CHUNK = 1, 2, 3

# Operations of CONTROL frames.
ADD_STEP, CANCEL, CREDIT, GRANT, FORGET, STOP, DROP_RESULT = range(1, 8)

# Kinds of outcomes: CallResult::Kind of worker/executor.h.
SUCCEEDED, FAILED, PENDING, RESET, CANCELLED, GIVEN_BACK = range(6)

# CHUNK's flags.
CONTINUED, FLUSH = 1, 2

_READ_BYTES = 1 << 20


def message(*fields):
    return Packer().pack(fields)


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
        except OSError:
            os._exit(0)  # The worker is gone.


def read_frames(sock, on_frame, on_idle):
    """Calls on_frame(type, memoryview) for each frame until the socket closes; on_idle() after
    those that one read brought."""
    buffer = bytearray(_READ_BYTES)
    view = memoryview(buffer)
    have = 0
    while True:
        try:
            got = sock.recv_into(view[have:])
        except OSError:
            return
        if got == 0:
            return
        have += got
        at = 0
        need = 0
        while have - at >= 5:
            size, kind = struct.unpack_from('<IB', buffer, at)
            if have - at < 4 + size:
                need = 4 + size
                break
            on_frame(kind, view[at + 5:at + 4 + size])
            at += 4 + size
        on_idle()
        if at == have:
            have = 0
        elif at or need > len(buffer):
            rest = bytes(view[at:have])
            if need > len(buffer):
                buffer = bytearray(need + _READ_BYTES)
                view = memoryview(buffer)
            view[:len(rest)] = rest
            have = len(rest)
