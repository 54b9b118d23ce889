"""The event loop that runs coroutines.

A task object and a trip through the loop cost more than a short coroutine does. So one task drives
call after call by hand, and only when a call suspends does that task become the call's own, and
another one goes on with the rest. The call sees a real current task from its first line on.
"""
import asyncio
import contextvars
import os
import sys
import time
import traceback
import types
from collections import deque

from buelon import _streams
from buelon import _values
from buelon import _wire
from buelon._results import PLAIN, TELLS_START
from buelon._task import ARGS, FLAGS, LEASE, STEP, current_call


_DRIVERS_MAX = 256
UNKNOWN = (1 << 64) - 1


class AsyncLane:
    """Runs the calls of async steps. submit_many and cancel: by any thread."""

    def __init__(self, outbox, capture, pool, steps):
        self.loop = asyncio.new_event_loop()
        self.returns = None  # Set by the runner before the first call.
        self.inbox = deque()
        self._outbox = outbox
        self._capture = capture
        self._pool = pool
        self._steps = steps
        self._encoder = _values.Encoder()
        self._tasks = {}     # lease -> task, of calls that suspended
        self._cancelled = set()  # Those of them that were told so; the loop's thread.
        self._abandoned = False
        self._scheduled = False
        self._drivers = 1
        self._flush_scheduled = False
        self._current = 0    # Lease of the call that has the loop's thread; 0: none.
        self._asked = 0      # Whether the loop goes on: what was asked of it last, and
        self._answered = 0   # what it answered.

    def submit_many(self, calls):
        self.inbox.extend(calls)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon_threadsafe(self._start)

    def cancel(self, lease):
        """False: the call is none of the loop's. One that has the loop's thread is cancelled when
        it lets go of it."""
        self._asked += 1
        self.loop.call_soon_threadsafe(self._answer, self._asked, lease)
        return self._has(lease)

    def blocker(self, lease):
        """Who keeps a call that was cancelled from ending: the lease of the call that has the
        loop's thread, be it this one; UNKNOWN, if something else has; 0: nobody, or the call is
        none of the loop's."""
        current = self._current
        if lease == current:
            return lease
        if self._answered == self._asked or not self._has(lease):
            return 0
        return current or UNKNOWN

    def _has(self, lease):
        # In the order in which a call passes them.
        return (any(call[LEASE] == lease for call in self.inbox.copy()) or lease == self._current
                or lease in self._tasks)

    def abandon(self):
        """In a forked child: the loop, whose epoll is the parent's too, does not go on."""
        self.inbox.clear()
        self._tasks.clear()
        self._abandoned = True
        selector = getattr(self.loop, '_selector', None)
        if selector is not None:
            selector.close()

    def run_for(self, call, coroutine):
        """Runs a coroutine that answers `call` itself."""
        async def run():
            # From within: a task that is cancelled before its first step never takes it.
            self._tasks[call[LEASE]] = asyncio.current_task()
            if call[LEASE] in self.returns.cancels:
                self._cancel_once(call[LEASE])
            await coroutine

        def start():
            current_call.set(call)
            self.loop.create_task(run()).add_done_callback(lambda _: self._ended(call[LEASE]))
        context = contextvars.copy_context()
        self.loop.call_soon_threadsafe(lambda: context.run(start))

    def wait_for(self, awaitable):
        """Awaits in the loop, blocking this thread (which is another one)."""
        async def awaited():
            return await awaitable
        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result()

    def run_forever(self):
        asyncio.set_event_loop(self.loop)
        while True:
            try:
                self.loop.run_forever()
            except Exception as error:  # The loop itself: it can not go on.
                if self._abandoned:
                    os._exit(0)
                _wire.give_up(f'a step broke the event loop, or closed its descriptors: {error}\n')
            except BaseException:  # SystemExit raised in a task that a step left behind.
                if self._abandoned:
                    raise
                traceback.print_exc(file=sys.stderr)

    # --- On the loop's thread

    def _start(self):
        self._scheduled = False
        # Where calls suspend, each needs a task: start as many as lately suspended, and double.
        for _ in range(min(self._drivers, len(self.inbox))):
            self.loop.create_task(self._drive())

    async def _drive(self):
        await self._run_calls()

    @types.coroutine
    def _run_calls(self):
        inbox, steps, messages = self.inbox, self._steps, self._outbox.messages
        encoder, capture, pool = self._encoder, self._capture, self._pool
        pack, cancels = encoder.pack, self.returns.cancels
        started = time.monotonic()
        while inbox:
            call = inbox[0]
            self._current = call[LEASE]  # First: a call is always in one of the two places.
            inbox.popleft()
            if messages and not pool.waking and not pool.wake():
                self._outbox.flush()  # This call may block the loop: what is done leaves first.
            if cancels and self.returns.stop_early(call):
                continue
            if call[FLAGS] & TELLS_START:
                call[FLAGS] &= ~TELLS_START
                messages.append(pack([_wire.STARTING, call[LEASE], 0, 0]))
                if not pool.waking and not pool.wake():
                    self._outbox.flush()
            current_call.set(call)
            context = contextvars.copy_context()
            try:
                coroutine = context.run(steps[call[STEP]].call, *call[ARGS:])
                if type(coroutine) is not types.CoroutineType:
                    self._finish(call, coroutine, started)
                    started = time.monotonic()
                    continue
                pending = context.run(coroutine.send, None)
            except StopIteration as stop:
                self._drivers = 1
                value = stop.value
                ended = time.monotonic()
                if type(value) in PLAIN and not call[FLAGS]:
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
                self._finish(call, value, started)
                started = ended
            except BaseException as error:
                self.returns.fail(call, error, started)
                started = time.monotonic()
            else:
                if inbox and not self._scheduled:
                    self._scheduled = True
                    self._drivers = min(2 * self._drivers, _DRIVERS_MAX)
                    self.loop.call_soon(self._start)
                self._flush_soon()
                yield from self._run_suspended(call, context, coroutine, pending, started)
                return
        self._current = 0
        self._outbox.flush()

    @types.coroutine
    def _run_suspended(self, call, context, coroutine, pending, started):
        lease = call[LEASE]
        self._tasks[lease] = asyncio.current_task()
        if lease in self.returns.cancels:
            self._cancel_once(lease)
        run, send = context.run, coroutine.send
        try:
            while True:
                self._current = 0
                try:
                    sent = yield pending
                except BaseException as error:
                    self._current = lease
                    pending = run(coroutine.throw, error)
                else:
                    self._current = lease
                    pending = run(send, sent)
        except StopIteration as stop:
            self._finish(call, stop.value, started)
        except BaseException as error:
            self.returns.fail(call, error, started)
        finally:
            self._current = 0
            self._ended(lease)

    def _finish(self, call, value, started):
        self.returns.finish(call, value, started, self._encoder, may_block=False)

    def _answer(self, number, lease):
        self._answered = number
        if lease in self._tasks:
            self._cancel_once(lease)

    def _cancel_once(self, lease):
        """What a coroutine does about its cancellation is not cancelled too."""
        if lease not in self._cancelled:
            self._cancelled.add(lease)
            self._tasks[lease].cancel()

    def _ended(self, lease):
        self._tasks.pop(lease, None)
        self._cancelled.discard(lease)
        self._flush_soon()

    def _flush_soon(self):
        if not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush)

    def _flush(self):
        self._flush_scheduled = False
        self._outbox.flush()
