"""From what a step returned, or raised, to the message that says so.

A plain small value is packed by the lanes themselves; everything else comes here: Result and status
tuples, errors, large values, generators, awaitables that a plain function returned.
"""
import asyncio
import contextvars
import importlib
import inspect
import os
import time
import traceback

from buelon import _steps
from buelon import _streams
from buelon import _values
from buelon import _wire
from buelon._errors import StepError
from buelon._task import FLAGS, LEASE, STEP
from buelon.core.step import Result, StepStatus

PLAIN = frozenset((type(None), bool, int, float, str, bytes, list, dict))

IS_SOURCE = 1       # Of a call's flags.
TELLS_START = 2     # Cleared by who calls the step, once it is told.
FAN_IN_SHIFT = 8    # Above: one bit for each argument that is a fan-in.

_ID_BYTES_MAX = 1024
_MESSAGE_MAX = 8 << 10
_TRACEBACK_MAX = 32 << 10
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_IMPORTLIB = os.path.dirname(importlib.__file__) + os.sep

_KINDS = {
    StepStatus.success: _wire.SUCCEEDED,
    StepStatus.pending: _wire.PENDING,
    StepStatus.reset: _wire.RESET,
    StepStatus.cancel: _wire.CANCELLED,
}


class Failure(Exception):
    """An attempt that failed without an exception of the step's own."""

    def __init__(self, action, message):
        super().__init__(message)
        self.action = action


class Returns:
    """Answers calls. Thread-safe; `encoder` is the calling thread's."""

    def __init__(self, outbox, capture, pool, run_async, steps):
        self.streams = {}   # lease -> OutStream
        self.credits = {}   # lease -> elements a source may produce at first
        self.cancels = {}   # lease -> 'timeout' or 'cancel': what the worker asked for
        self._outbox = outbox
        self._capture = capture
        self._pool = pool
        self._run_async = run_async
        self._steps = steps
        self._ticker = _streams.Ticker()

    def finish(self, call, value, started, encoder, may_block=True):
        """Answers with what the step returned. `may_block`: not on the event loop."""
        try:
            value, kind, extra = _unwrap(value)
            if kind == _wire.SUCCEEDED and self._hand_on(call, value, extra, started, may_block):
                return
            if kind != _wire.SUCCEEDED:
                value = None
            elif call[FLAGS] & IS_SOURCE and not isinstance(value, (list, tuple)):
                raise Failure('run', 'a loop iterates over this step\'s value, which must be a '
                                     f'list or a generator, not {type(value).__name__}')
            if type(value) is memoryview:
                value = value.tobytes()
            if type(value) in (bytes, bytearray) and len(value) > _streams.SMALL_BYTES:
                self._store(call, value, _streams.BYTES, None, started, extra, encoder, may_block)
                return
            data = encoder.encode(value)
            if len(data) > _streams.SMALL_BYTES:
                self._store(call, value, _streams.LIST if isinstance(value, (list, tuple))
                            else _streams.VALUE, data, started, extra, encoder, may_block)
                return
            self._send(call, _outcome(call, started, kind, extra=extra, value=data))
        except BaseException as error:
            self.fail(call, error, started, action='store')

    def fail(self, call, error, started, action='run'):
        """Answers with an error."""
        try:
            step = self._steps[call[STEP]]
            reason = self.cancels.get(call[LEASE])
            stopped = isinstance(error, (asyncio.CancelledError, _streams.Stopped))
            if reason == 'cancel' and stopped:
                self._send(call, _outcome(call, started, _wire.GIVEN_BACK))
                return
            kind, message, trace = describe(error, step)
            if action == 'input':
                message = f'input {getattr(error, "buelon_input", "")}: {message}'
            if isinstance(error, (Failure, StepError)):
                action, kind, trace = error.action, '', ''
            elif isinstance(error, _values.Unstorable):
                action, kind, trace = 'store', '', ''
            elif action == 'load':
                action = getattr(error, 'buelon_action', 'load')
            elif reason == 'timeout' and stopped:
                action, kind, message = 'timeout', '', ''
                if isinstance(error, _streams.Stopped):  # Ours: it was done, but for its value.
                    trace = ''
            self._send(call, _outcome(call, started, _wire.FAILED, (action, kind, message, trace)))
        except BaseException as bug:  # A call without an answer would be held for ever.
            message = f'the error can not be described: {type(bug).__name__}'
            self._send(call, _outcome(call, started, _wire.FAILED,
                                      (action, type(error).__name__, message, '')))

    def stop_early(self, call):
        """Answers a call that was cancelled before it began. False: it was not."""
        reason = self.cancels.get(call[LEASE])
        if reason is None:
            return False
        outcome = (_outcome(call, time.monotonic(), _wire.GIVEN_BACK) if reason == 'cancel' else
                   _outcome(call, time.monotonic(), _wire.FAILED, ('timeout', '', '', '')))
        self._send(call, outcome)
        return True

    # --- The longer ways

    def _hand_on(self, call, value, extra, started, may_block):
        """Values that take time: True if somebody else answers the call."""
        if type(value) in PLAIN:
            return False
        if inspect.isasyncgen(value) or inspect.isawaitable(value):
            if self._run_async is None:  # A process: no event loop beside this thread.
                value = _steps.run_here(value)
                self.finish(call, value, started, _values.Encoder())
            else:
                self._run_async(call, self._finish_async(call, value, extra, started))
            return True
        if inspect.isgenerator(value):
            context = contextvars.copy_context()

            def drain():
                self._drain(call, value, extra, started, context)
            if may_block:
                drain()
            else:
                self._pool.submit(drain)
            return True
        return False

    async def _finish_async(self, call, value, extra, started):
        try:
            if not inspect.isasyncgen(value):
                value = await value
                self.finish(call, value, started, _values.Encoder(), may_block=False)
                return
            elements = self._element_stream(call)
            try:
                async for element in value:
                    elements.add(element)
                    if not elements.stream.may_go():
                        elements.flush()
                        await elements.stream.wait_async()
            finally:
                await value.aclose()
            self._close(call, elements, extra, started)
        except BaseException as error:
            self.fail(call, error, started)

    def _drain(self, call, generator, extra, started, context):
        try:
            elements = self._element_stream(call)
            step = context.run
            end = object()
            try:
                while (element := step(next, generator, end)) is not end:
                    elements.add(element)
                    if not elements.stream.may_go():
                        elements.flush()
                        elements.stream.wait()
            finally:
                step(generator.close)
            self._close(call, elements, extra, started)
        except BaseException as error:
            self.fail(call, error, started)

    def _element_stream(self, call):
        lease = call[LEASE]
        is_source = bool(call[FLAGS] & IS_SOURCE)
        # Known before the credit is looked at: from then on credit reaches the stream itself.
        stream = _streams.OutStream(self._outbox, lease, _streams.LIST, 0 if is_source else None)
        self._open(lease, stream)
        if is_source:
            stream.allow(self.credits.pop(lease, 0))
        return _streams.ElementStream(stream, _values.Encoder(), self._ticker, is_source)

    def _open(self, lease, stream):
        self.streams[lease] = stream
        if lease in self.cancels:  # From now on a cancellation reaches the stream itself.
            stream.stop()

    def _close(self, call, elements, extra, started):
        small = elements.take_small()
        if small is not None:
            self._send(call, _outcome(call, started, _wire.SUCCEEDED, extra=extra,
                                      value=_array_header(small[0]) + small[1]))
            return
        elements.flush()
        self._close_stream(call, elements.stream, started, extra)

    def _store(self, call, value, kind, data, started, extra, encoder, may_block):
        if not may_block:
            self._pool.submit(lambda: self._store(call, value, kind, data, started, extra,
                                                  _values.Encoder(), True))
            return
        try:
            stream = _streams.OutStream(self._outbox, call[LEASE], kind)
            self._open(call[LEASE], stream)
            if kind == _streams.LIST:
                _streams.send_list(stream, value, encoder)
            else:
                _streams.send_bytes(stream, value if data is None else data)
            self._close_stream(call, stream, started, extra)
        except BaseException as error:
            self.fail(call, error, started, action='store')

    def _close_stream(self, call, stream, started, extra):
        self._capture.collect(call[LEASE])
        if stream.close(_outcome(call, started, _wire.SUCCEEDED, extra=extra)):
            self.streams.pop(call[LEASE], None)
        self._forget(call[LEASE])
        self._outbox.flush()

    def _send(self, call, outcome):
        self._capture.collect(call[LEASE])
        self._outbox.put(outcome)
        stream = self.streams.pop(call[LEASE], None)
        if stream is not None:
            stream.stop()
        self._forget(call[LEASE])

    def _forget(self, lease):
        self.credits.pop(lease, None)
        self.cancels.pop(lease, None)


def _unwrap(returned):
    """(value, kind of outcome, (id, total)) of what a step returned."""
    kind = type(returned)
    if kind in PLAIN:
        return returned, _wire.SUCCEEDED, None
    if kind is tuple and 2 <= len(returned) <= 5 and type(returned[0]) is StepStatus:
        returned = Result(status=returned[0], data=returned[-1])
    elif not isinstance(returned, Result):
        return returned, _wire.SUCCEEDED, None
    status = returned.status
    if status is None:
        raise Failure('run', 'the step returned a Result without a status; say '
                             'Result(status=StepStatus.success, data=…)')
    if not isinstance(status, StepStatus):
        try:
            status = StepStatus(status)
        except ValueError:
            raise Failure('run', f'the step returned a Result with the status {status!r}, which is '
                                 'not a StepStatus') from None
    if status is StepStatus.error:
        raise Failure('run', f'the step returned StepStatus.error: {returned.data!r}')
    if status not in _KINDS:
        raise Failure('run', f'the step returned StepStatus.{status.name}; a step may return '
                             'success, pending, reset, cancel or error')
    return returned.data, _KINDS[status], _extra(returned)


def _extra(result):
    if result.id is None and result.total is None:
        return None
    if result.total is not None and (not isinstance(result.total, int) or result.total < 0):
        raise Failure('run', f'Result(total={result.total!r}): total is a number of items, 0 or '
                             'more')
    if result.id is None:
        return None, result.total
    item_id = str(result.id)
    if len(item_id.encode('utf-8', 'replace')) > _ID_BYTES_MAX:
        raise Failure('run', f'Result(id={item_id[:40]!r}…): an id has at most {_ID_BYTES_MAX} '
                             'bytes; a hash of what it is made from would do')
    return item_id, result.total


def _outcome(call, started, kind, error=('', '', '', ''), extra=None, value=b''):
    micros = min(int((time.monotonic() - started) * 1e6), 0xffffffff)
    item_id, total = extra or (None, None)
    return _wire.message(_wire.OUTCOME, call[LEASE], micros, kind, *error, item_id, total) + value


def _array_header(count):
    if count < 16:
        return bytes([0x90 | count])
    if count < 1 << 16:
        return b'\xdc' + count.to_bytes(2, 'big')
    return b'\xdd' + count.to_bytes(4, 'big')


# --- Errors -------------------------------------------------------------------------------------


def describe(error, step):
    """(type, message, traceback) of an exception, bounded, with the names that people know."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ('builtins', None):
        name = f'{kind.__module__}.{name}'
    try:
        message = str(error)
    except Exception as second:
        message = f'(its str() raised {type(second).__name__})'
    try:
        shown = traceback.TracebackException(kind, error, error.__traceback__)
        _drop_own_frames(shown)
        if not shown.stack:  # The call itself failed: the function takes other arguments, say.
            shown.stack.append(traceback.FrameSummary(step.place, step.line, step.relation, line=''))
        trace = ''.join(shown.format())
    except Exception as second:
        trace = f'(the traceback can not be shown: {type(second).__name__})'
    message, trace = step.readable(message), step.readable(trace)
    return step.readable(name), _bounded(message, _MESSAGE_MAX), _bounded(trace, _TRACEBACK_MAX)


def _drop_own_frames(shown):
    """Of a traceback and of those it followed from: the runner's frames, also where a step imports."""
    todo, seen = [shown], set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if not _is_ours(frame.filename)]
        todo += [one.__cause__, one.__context__, *(getattr(one, 'exceptions', None) or ())]


def _is_ours(file):
    return file.startswith((_PACKAGE, '<frozen importlib', _IMPORTLIB))


def _bounded(text, most):
    text = text.encode('utf-8', 'replace').decode()
    if len(text) <= most:
        return text
    half = most // 2
    return f'{text[:half]}\n… {len(text) - most} characters left out …\n{text[-half:]}'
