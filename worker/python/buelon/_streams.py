"""Values too large for a frame, in both directions, and generators' elements.

Nothing here holds more than a few chunks of a result: the producer waits when QUEUED_BYTES_MAX are
on their way. A chunk is sent when the worker has granted room for it, so the worker's memory is
bounded whatever steps return.
"""
import _thread
import asyncio
import io
import queue
import threading
import time
from collections import deque

from buelon import _values
from buelon import _wire

CHUNK_BYTES = 256 << 10
SMALL_BYTES = 128 << 10      # kSmallValueBytes of worker/executor.h
QUEUED_BYTES_MAX = 1 << 20
FLUSH_AFTER_S = 0.005

# Kinds of objects, as in common/bucket_client/object.h.
VALUE, LIST, BYTES = 1, 2, 3


class Stopped(Exception):
    """Nobody wants the stream any more."""


# --- Results ------------------------------------------------------------------------------------


class OutStream:
    """One large or growing result on its way to the bucket. Thread-safe."""

    def __init__(self, outbox, lease, kind, credit=None):
        self.lease = lease
        self.opened = False    # Something was put.
        self.produced = 0      # Elements. Kept by the producer.
        self._outbox = outbox
        self._kind = kind
        self._credit = credit  # Elements that may be produced; None: no limit.
        self._lock = threading.Lock()
        self._queue = deque()  # (data, elements, flags); last: the closing message.
        self._queued = 0
        self._granted = 0
        self._stopped = False
        self._waiter = None

    def put(self, data, elements=0, flags=0):
        with self._lock:
            self.opened = True
            self._queue.append((data, elements, flags))
            self._queued += len(data)
        self._outbox.put(_wire.message(_wire.WANT, self.lease, len(data), self._kind))
        self._outbox.flush()

    def close(self, outcome):
        """Sends `outcome` after everything that was put. True if that is done: else grant() does
        it."""
        with self._lock:
            if self._queue:
                self._queue.append(outcome)
                return False
            self._outbox.put(outcome)
            return True

    def wait(self):
        """Blocks until more may be produced. Raises Stopped."""
        while not self.may_go():
            gate = _thread.allocate_lock()
            gate.acquire()
            if self._wait_with(gate.release):
                gate.acquire()

    async def wait_async(self):
        while not self.may_go():
            loop = asyncio.get_running_loop()
            gate = loop.create_future()

            def wake():
                loop.call_soon_threadsafe(lambda: gate.done() or gate.set_result(None))
            if self._wait_with(wake):
                await gate

    def may_go(self):
        if self._stopped:
            raise Stopped
        return self._queued < QUEUED_BYTES_MAX and (
            self._credit is None or self.produced < self._credit)

    # By the thread that reads the socket:

    def grant(self, size):
        """True if all was sent and the stream is closed."""
        closed = False
        with self._lock:
            self._granted += size
            while self._queue:
                if type(self._queue[0]) is bytes:
                    self._outbox.put(self._queue.popleft())
                    closed = True
                    break
                data, elements, flags = self._queue[0]
                if len(data) > self._granted:
                    break
                self._queue.popleft()
                self._granted -= len(data)
                self._queued -= len(data)
                self._outbox.put(_wire.message(_wire.CHUNK, self.lease, elements, flags, data))
        self._wake()
        return closed

    def allow(self, elements):
        self._credit = max(elements, self._credit or 0)
        self._wake()

    def stop(self):
        with self._lock:
            if self._queue and type(self._queue[-1]) is bytes:
                return  # Complete: the outcome waits behind the last chunks.
            self._stopped = True
            self._queue.clear()
        self._wake()

    def _wait_with(self, wake):
        with self._lock:
            if self._stopped or self.may_go():
                return False
            self._waiter = wake
            return True

    def _wake(self):
        with self._lock:
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter()


def send_bytes(stream, data):
    """Puts a long byte string. `stream` waits for room."""
    view = memoryview(data).cast('B')
    for at in range(0, len(view), CHUNK_BYTES):
        stream.wait()
        stream.put(view[at:at + CHUNK_BYTES])


def send_list(stream, values, encoder):
    """Puts a long list, packing as it goes."""
    at, count = 0, 256
    while at < len(values):
        part = values[at:at + count]
        data = encoder.encode(part)
        head = 1 if len(part) < 16 else 3 if len(part) < 1 << 16 else 5
        if len(data) - head > CHUNK_BYTES and len(part) > 1:
            count = max(1, min(len(part) - 1, len(part) * CHUNK_BYTES // len(data)))
            continue
        stream.wait()
        put_elements(stream, memoryview(data)[head:], len(part))
        at += len(part)
        if len(data) < CHUNK_BYTES // 2:
            count = min(count * 2, 1 << 16)


def put_elements(stream, data, elements, flags=0):
    """Puts whole elements; a single one may be longer than a chunk."""
    if len(data) <= CHUNK_BYTES:
        stream.put(data, elements, flags)
        return
    data = memoryview(data)
    for at in range(0, len(data), CHUNK_BYTES):
        last = at + CHUNK_BYTES >= len(data)
        stream.put(data[at:at + CHUNK_BYTES], elements if at == 0 else 0,
                   (_wire.CONTINUED if at else 0) | (flags if last else 0))


class ElementStream:
    """A generator's elements on their way: gathered for a few milliseconds, then sent."""

    def __init__(self, stream, encoder, ticker, is_source):
        self.stream = stream
        self._encoder = encoder
        self._ticker = ticker
        self._is_source = is_source
        self._bytes_max = SMALL_BYTES if is_source else CHUNK_BYTES
        self._flags = _wire.FLUSH if is_source else 0
        self._lock = threading.Lock()
        self._elements = []
        self._bytes = 0

    def add(self, element):
        data = self._encoder.encode(element)
        with self._lock:
            self.stream.produced += 1
            if self._bytes and self._bytes + len(data) > CHUNK_BYTES:
                self._put()
            self._elements.append(data)
            self._bytes += len(data)
            if self._bytes >= self._bytes_max:
                self._put()
        if self._is_source and self._elements:
            self._ticker.arm(self)

    def flush(self):
        with self._lock:
            if self._elements:
                self._put()

    def take_small(self):
        """At the end: (count, bytes) of all elements if nothing was sent and they are small."""
        with self._lock:
            if self.stream.opened or self._bytes > SMALL_BYTES:
                return None
            # Taken: the ticker must not send them a second time.
            elements, self._elements, self._bytes = self._elements, [], 0
            return len(elements), b''.join(elements)

    def _put(self):
        put_elements(self.stream, b''.join(self._elements), len(self._elements), self._flags)
        self._elements = []
        self._bytes = 0


class Ticker:
    """Flushes the elements of slow generators after FLUSH_AFTER_S."""

    def __init__(self):
        self._armed = []
        self._wake = threading.Event()
        self._running = False
        self._lock = threading.Lock()

    def arm(self, elements):
        with self._lock:
            if elements in self._armed:
                return
            self._armed.append(elements)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name='bue-flush', daemon=True).start()
        self._wake.set()

    def _run(self):
        while True:
            self._wake.wait()
            self._wake.clear()
            time.sleep(FLUSH_AFTER_S)
            with self._lock:
                due, self._armed = self._armed, []
            for elements in due:
                elements.flush()


# --- Arguments ----------------------------------------------------------------------------------


class InStream:
    """The chunks of one large argument. Filled by the thread that reads the socket."""

    def __init__(self, outbox, number):
        self.claimed = False  # The call knows it.
        self.ended = False    # Nothing more will be added.
        self._outbox = outbox
        self._number = number
        self._chunks = queue.SimpleQueue()

    def add(self, chunk):
        """bytes; None at the end; an exception if the rest will not come."""
        self._chunks.put(chunk)

    def __iter__(self):
        while True:
            chunk = self._chunks.get()
            if chunk is None:
                return
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk
            self._outbox.put(_wire.message(_wire.INPUT_ACK, self._number, len(chunk), 0))
            self._outbox.flush()


def read_whole(stream, kind):
    """The value that arrives on `stream`."""
    if kind == LIST:
        return list(read_elements(stream))
    buffer = io.BytesIO()
    for chunk in stream:
        buffer.write(chunk)
    if kind == BYTES:
        return buffer.getvalue()
    return _values.decode(buffer.getbuffer())


def read_elements(stream):
    """The elements of a list that arrives on `stream`, as they come."""
    reader = _values.ElementReader()
    for chunk in stream:
        reader.feed(chunk)
        yield from reader
