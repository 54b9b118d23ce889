"""A runner: the process that calls steps. Started by the worker, which feeds it over a socket.

The main thread runs the event loop (in a process-mode runner: the steps themselves); one thread
reads the socket; the pool's threads run plain functions, import modules and move large values. The
process ends at once when the socket closes, whatever its threads are doing.

A plain call that comes alone is run by the thread that read it, which saves waking another one. It
leaves reading to a second such thread, which waits for just that; while it has no second, it runs
nothing, so that the socket is always read.
"""
import contextvars
import faulthandler
import functools
import gc
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback

from msgpack import Unpacker

from buelon import _guards
from buelon import _loop
from buelon import _modules
from buelon import _output
from buelon import _pool
from buelon import _results
from buelon import _steps
from buelon import _streams
from buelon import _task
from buelon import _values
from buelon import _wire
from buelon._task import ARGS, FLAGS, LEASE, STEP, current_call

# As the worker gives them; see runner_process.cc.
SOCKET_FD = 3
TETHER_FD = 4
_HEADER_FIELDS = 8
_READABLE = select.EPOLLIN | select.EPOLLONESHOT


class Runner:
    def __init__(self, sock, threads_max, in_process):
        self._in_process = in_process
        self._sock = sock
        self._steps = {}       # Number -> Step
        self._in_streams = {}  # Number -> InStream
        self._outbox = _wire.Outbox(sock)
        self._pool = _pool.Pool(self._outbox, lambda: _Worker(self).run,
                                1 if in_process else threads_max)
        self._capture = _output.Capture(self._outbox, self._send_soon)
        self._lane = None if in_process else _guards.with_high_descriptors(
            lambda: _loop.AsyncLane(self._outbox, self._capture, self._pool, self._steps))
        self.returns = _results.Returns(self._outbox, self._capture, self._pool,
                                        self._lane and self._lane.run_for, self._steps)
        if self._lane:
            self._lane.returns = self.returns
        self._frames = _wire.Frames(sock, self._on_frame)
        # Calls of the frames being read, by where they run.
        self._for_pool = []
        self._for_loop = []
        # Whoever gets the one event that this is armed for is the reader, until it arms it again.
        self._reading = _guards.with_high_descriptors(select.epoll)
        self._reading.register(sock, _READABLE)
        self._waiting = []  # An entry for each thread that waits to be the reader.

    def run(self):
        faulthandler.enable(file=2, all_threads=False)  # A crash's last words.
        _modules.install()
        _output.install(self._capture)
        _guards.install(self._in_process)
        os.register_at_fork(after_in_child=self._after_fork)
        self._outbox.put(_wire.message(_wire.READY, os.getpid(), sys.version.split()[0], 0))
        self._outbox.flush()
        gc.freeze()
        for _ in range(1 if self._in_process else 2):
            threading.Thread(target=self._read, name='bue-read', daemon=True).start()
        if self._in_process:
            self._pool.run_here()
        else:
            self._lane.run_forever()

    # --- The reading threads

    def _read(self):
        worker = _Worker(self)
        try:
            while True:
                self._become_reader()
                call = self._read_until_alone()
                if call is None:
                    break
                self._leave_reading()
                self._pool.jobs.append(call)
                worker.run()
                self._outbox.flush()
                current_call.set(None)
        except BaseException:
            _wire.give_up(traceback.format_exc())
        _end()

    def _become_reader(self):
        self._waiting.append(None)
        try:
            self._reading.poll()
        except OSError as error:
            _wire.lost(error)
        self._waiting.pop()

    def _leave_reading(self):
        try:
            self._reading.modify(self._sock, _READABLE)
        except OSError as error:
            _wire.lost(error)

    def _read_until_alone(self):
        """Reads until a plain call comes alone while somebody else can read: that call. None: the
        socket has closed."""
        while self._frames.read():
            if (len(self._for_pool) == 1 and not self._for_loop and not self._pool.jobs
                    and self._waiting and not self._frames.partial()
                    and type(self._for_pool[0]) is list):
                return self._for_pool.pop()
            self._on_idle()
        return None

    def _on_frame(self, kind, frame):
        if kind == _wire.CALLS:
            self._on_calls(frame)
        elif kind == _wire.INPUT_CHUNK:
            self._on_chunk(frame)
        else:
            self._on_control(_values.decode(frame))

    def _on_idle(self):
        if self._for_pool:
            self._pool.submit_many(self._for_pool)
            self._for_pool = []
        if self._for_loop:
            self._lane.submit_many(self._for_loop)
            self._for_loop = []
        if self._outbox.messages:
            self._outbox.flush()

    def _on_calls(self, frame):
        count = int.from_bytes(frame[:4], 'little')
        start = 4 + 4 * count
        try:
            calls = _values.decode_fast(frame[start:])
        except Exception:  # Pickles, streams, odd keys: each call for itself, on a thread.
            at = start + 5
            for i in range(count):
                size = int.from_bytes(frame[4 + 4 * i:8 + 4 * i], 'little')
                data = bytes(frame[at:at + size])
                self._for_pool.append(functools.partial(self._prepare, data))
                at += size
        else:
            self._route(calls, self._for_pool, self._for_loop)

    def _route(self, calls, for_pool, for_loop):
        steps = self._steps
        for call in calls:
            step = steps[call[STEP]]
            lane = step.lane
            if lane is None:
                with step.lock:
                    lane = step.lane
                    if lane is None or step.loading:
                        step.waiting.append(call)
                        if not step.loading:
                            step.loading = True
                            for_pool.append(functools.partial(self._load, step))
                        continue
            if lane == _steps.THREAD:
                for_pool.append(call)
            else:
                for_loop.append(call)

    def _on_chunk(self, frame):
        number = int.from_bytes(frame[:4], 'little')
        stream = self._in_stream(number)
        if len(frame) > 5:
            stream.add(bytes(frame[5:]))
        if frame[4]:
            stream.add(None if frame[4] == 1 else _streams.Stopped())
            stream.ended = True
            if stream.claimed:
                self._in_streams.pop(number, None)

    def _in_stream(self, number):
        stream = self._in_streams.get(number)
        if stream is None:
            stream = self._in_streams.setdefault(number, _streams.InStream(self._outbox, number))
        return stream

    def _on_control(self, fields):
        operation, *rest = fields
        if operation == _wire.GRANT:
            self._on_grant(*rest)
        elif operation == _wire.ADD_STEP:
            step = _steps.Step(rest[0], self._in_process)
            self._steps[step.number] = step
            _task.run_of_step[step.number] = (step.run, step.name)
            if step.take_loaded():
                self._tell_mode(step)
        elif operation == _wire.CREDIT:
            self._on_credit(*rest)
        elif operation == _wire.CANCEL:
            self._on_cancel(*rest)
        elif operation == _wire.PROBE:
            self._on_probe(*rest)
        elif operation == _wire.DROP_RESULT:
            stream = self.returns.streams.pop(rest[0], None)
            if stream is not None:
                stream.stop()
        elif operation == _wire.FORGET:
            self._pool.submit(functools.partial(self._forget, rest[0]))
        elif operation == _wire.STOP:
            self._pool.submit(self._stop)

    def _on_grant(self, lease, size):
        stream = self.returns.streams.get(lease)
        if stream is not None and stream.grant(size):
            self.returns.streams.pop(lease, None)

    def _on_credit(self, lease, elements):
        stream = self.returns.streams.get(lease)
        if stream is None:
            self.returns.credits[lease] = elements
            stream = self.returns.streams.get(lease)  # Opened in between?
        if stream is not None:
            stream.allow(elements)

    def _on_cancel(self, lease, reason):
        self.returns.cancels[lease] = reason
        if self._lane and self._lane.cancel(lease):
            return
        stream = self.returns.streams.get(lease)
        if stream is not None:
            stream.stop()
        else:
            # Not begun, or a function, which can not be interrupted.
            self._on_probe(lease)

    def _on_probe(self, lease):
        """Says who is in the way of a call that does not end: itself, or another one."""
        blocker = self._lane.blocker(lease) if self._lane else 0
        self._outbox.put(_wire.message(_wire.STUCK, lease, blocker, 0))

    # --- On the pool's threads

    def _load(self, step):
        """Loads a step, then lets its calls go."""
        started = time.monotonic()
        if step.waiting:
            current_call.set(step.waiting[0])
        error = None
        try:
            self._load_now(step)
        except BaseException as caught:
            error = caught
        finally:
            current_call.set(None)
        with step.lock:
            waiting, step.waiting = step.waiting, []
            step.loading = False
        if error is not None:
            for call in waiting:
                self.returns.fail(call, error, started, action='load')
            return
        self._submit(waiting)

    def _load_now(self, step):
        step.load(self._wait_for)
        self._tell_mode(step)

    def _tell_mode(self, step):
        """A step without a mode is taken for a plain function until it says otherwise."""
        if step.mode == 'auto' and step.lane == _steps.ASYNC:
            self._outbox.put(_wire.message(_wire.LEARNED, step.number, step.lane, 0))

    def _submit(self, calls):
        for_pool, for_loop = [], []
        self._route(calls, for_pool, for_loop)
        if for_pool:
            self._pool.submit_many(for_pool)
        if for_loop:
            self._lane.submit_many(for_loop)

    def _wait_for(self, awaitable):
        if self._lane:
            self._lane.wait_for(awaitable)
        else:
            _steps.run_here(awaitable)

    def _prepare(self, data):
        """Decodes a call whose arguments need care, then lets it go."""
        started = time.monotonic()
        reader = Unpacker(raw=False, max_buffer_size=len(data) + 1)
        reader.feed(data)
        fields = reader.read_array_header()
        call = [reader.unpack() for _ in range(_HEADER_FIELDS)]
        current_call.set(call)
        try:
            at = reader.tell()
            wrong = None
            for i in range(fields - _HEADER_FIELDS):
                reader.skip()
                end = reader.tell()
                try:
                    call.append(_values.decode(data[at:end], self._argument))
                except BaseException as error:  # The others are claimed nevertheless.
                    error.buelon_input = i + 1
                    wrong = wrong or error
                at = end
            if wrong is not None:
                raise wrong
            self._complete(call)
        except BaseException as error:
            self.returns.fail(call, error, started, action='input')
            return
        finally:
            current_call.set(None)
        self._submit([call])

    def _argument(self, code, data):
        if code != _values.STREAM:
            return _values.from_ext(code, data)
        number, kind = _values.decode(data)
        stream = self._in_stream(number)
        stream.claimed = True
        if stream.ended:
            self._in_streams.pop(number, None)
        return _Streamed(stream, kind)

    def _complete(self, call):
        """Waits for arguments that arrive in chunks."""
        for i in range(ARGS, len(call)):
            argument = call[i]
            if type(argument) is not _Streamed:
                continue
            fan_in = call[FLAGS] >> _results.FAN_IN_SHIFT >> (i - ARGS) & 1
            try:
                if (fan_in and argument.kind == _streams.LIST
                        and self._takes_iterator(call, i - ARGS)):
                    call[i] = _streams.read_elements(argument.stream)
                else:
                    call[i] = _streams.read_whole(argument.stream, argument.kind)
            except BaseException as error:
                error.buelon_input = i - ARGS + 1
                raise

    def _takes_iterator(self, call, position):
        """Whether the parameter is an iterator of a plain function: only those may block on it."""
        step = self._steps[call[STEP]]
        try:
            self._load_now(step)
        except BaseException:
            return False  # The call's own attempt to load the step will say why.
        return step.lane == _steps.THREAD and step.wants_iterator(position)

    def _forget(self, numbers):
        for number in numbers:
            step = self._steps.pop(number, None)
            _task.run_of_step.pop(number, None)
            if step is not None and _modules.leave(step.files, number):
                _steps.finalize(step.files, self._wait_for,
                                functools.partial(self._note, step))

    def _stop(self):
        for files, step in {step.files: step for step in self._steps.values()}.items():
            _steps.finalize(files, self._wait_for, functools.partial(self._note, step))
        self._outbox.put(_wire.message(_wire.BYE, 0, 0, 0))
        self._outbox.flush()
        sys.stdout.flush()
        os._exit(0)

    def _note(self, step, error):
        kind, message, trace = _results.describe(error, step)
        self._outbox.put(_wire.message(_wire.NOTE, step.run, step.index, 'finalize',
                                       kind, message, trace))

    # --- Anywhere

    def _send_soon(self):
        if not self._pool.waking and not self._pool.wake():
            self._outbox.flush()

    def _after_fork(self):
        """A step forked: the child is no runner, runs nothing but the rest of that step, ends where
        a runner would go on, and its output is nobody's attempt."""
        self._outbox.abandon()
        self._capture.abandon()
        self._pool.abandon()
        if self._lane:
            self._lane.abandon()
        _guards.after_fork()
        current_call.set(None)


class _Streamed:
    """An argument that arrives in chunks."""
    __slots__ = ('stream', 'kind')

    def __init__(self, stream, kind):
        self.stream = stream
        self.kind = kind


class _Worker:
    """What one thread of the pool needs to run calls."""

    def __init__(self, runner):
        self._runner = runner
        self._returns = runner.returns
        self._encoder = _values.Encoder()

    def run(self):
        """Runs calls and other jobs until there is none."""
        pool, outbox, capture = self._runner._pool, self._runner._outbox, self._runner._capture
        jobs, messages, steps = pool.jobs, outbox.messages, self._runner._steps
        encoder, pack = self._encoder, self._encoder.pack
        cancels, plain = self._returns.cancels, _results.PLAIN
        copy_context, now = contextvars.copy_context, time.monotonic
        disturbed = _guards.disturbed
        started = now()
        while True:
            try:
                call = jobs.popleft()
            except IndexError:
                return
            if (jobs or messages) and not pool.waking and not pool.wake():
                outbox.flush()  # This call may block: what is done leaves first.
            if type(call) is not list:
                call()
                started = now()
                continue
            if cancels and self._returns.stop_early(call):
                continue
            current_call.set(call)
            try:
                if call[FLAGS]:
                    if call[FLAGS] & _results.TELLS_START:
                        call[FLAGS] &= ~_results.TELLS_START
                        messages.append(pack([_wire.STARTING, call[LEASE], 0, 0]))
                        if not pool.waking and not pool.wake():
                            outbox.flush()
                    if call[FLAGS]:
                        self._iterate(call, steps[call[STEP]])
                value = copy_context().run(steps[call[STEP]].call, *call[ARGS:])
            except BaseException as error:
                if disturbed or sys.stdout is None or sys.stderr is None:
                    _guards.mend()
                self._returns.fail(call, error, started)
                started = now()
                continue
            if disturbed or sys.stdout is None or sys.stderr is None:
                _guards.mend()
            ended = now()
            if type(value) in plain and not call[FLAGS]:
                try:
                    data = pack([call[LEASE], int((ended - started) * 1e6), value])
                except Exception:
                    encoder.odd = True
                if not encoder.odd and len(data) <= _streams.SMALL_BYTES:
                    if capture.pending:
                        capture.collect(call[LEASE])
                    if cancels:
                        cancels.pop(call[LEASE], None)
                    messages.append(data)
                    started = ended
                    continue
            encoder.odd = False
            self._returns.finish(call, value, started, encoder)
            started = now()

    @staticmethod
    def _iterate(call, step):
        """Fan-ins become iterators where the parameter says so."""
        fan_ins = call[FLAGS] >> _results.FAN_IN_SHIFT
        for i in range(ARGS, len(call)):
            if fan_ins >> (i - ARGS) & 1 and step.wants_iterator(i - ARGS):
                call[i] = iter(call[i])


def _end():
    """The worker is gone: ends this process and those that steps started."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def main():
    threads = int(sys.argv[1].removeprefix('--threads='))
    # Where this package lies stays first; the worker's directory comes behind everything else.
    sys.path[:] = [entry for entry in sys.path if entry] + [os.getcwd()]
    sys.setswitchinterval(0.001)
    _guards.out_of_the_way(TETHER_FD)
    sock = socket.socket(fileno=_guards.out_of_the_way(SOCKET_FD))
    Runner(sock, threads, '--process' in sys.argv[2:]).run()
