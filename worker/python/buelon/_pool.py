"""The threads that run plain functions.

All threads pop from one deque. A thread that is about to run a call while there is more to do (or
results wait to be sent) first makes sure that one other thread is on its way: if the call blocks,
that thread takes over at once, and if calls are quick it hardly ever gets the interpreter. So a
call never waits for another one, and quick calls cost no hop each.
"""
import _thread
import threading
from collections import deque


class Pool:
    def __init__(self, outbox, make_worker, threads_max):
        self.jobs = deque()  # Calls (lists), and functions without arguments.
        self.waking = False  # A thread is on its way.
        self._outbox = outbox
        self._make_worker = make_worker  # Gives each thread its function that runs all jobs.
        self._idle = []      # Locks of sleeping threads; the last to sleep wakes first.
        self._threads = 0
        self._threads_max = threads_max

    def submit(self, job):
        self.jobs.append(job)
        self.wake()

    def submit_many(self, jobs):
        self.jobs.extend(jobs)
        self.wake()

    def wake(self):
        """Makes sure that a thread is on its way to look for work and to send what waits. False:
        all are busy and there may be no more."""
        if self.waking:
            return True
        try:
            lock = self._idle.pop()
        except IndexError:
            return self._grow()
        self.waking = True
        lock.release()
        return True

    def run_here(self):
        """The calling thread becomes the pool's, for good."""
        self._threads += 1
        self._run()

    def abandon(self):
        """In a forked child, which has no other thread: nothing more is run."""
        self.jobs.clear()
        self._idle.clear()
        self._threads_max = 0
        self.waking = False

    def _grow(self):
        if self._threads >= self._threads_max:
            return False
        self._threads += 1
        self.waking = True
        try:
            _thread.start_new_thread(self._run_new, ())
        except RuntimeError:  # The system allows no more threads.
            self._threads -= 1
            self.waking = False
            return False
        return True

    def _run_new(self):
        threading.current_thread()  # So that threading knows it.
        self._run()

    def _run(self):
        lock = _thread.allocate_lock()
        lock.acquire()
        work = self._make_worker()
        while True:
            self.waking = False
            work()
            self._outbox.flush()
            if self.jobs:
                continue
            self._idle.append(lock)
            if self.jobs:
                try:
                    self._idle.remove(lock)
                    continue
                except ValueError:
                    pass  # Somebody is just waking this thread.
            lock.acquire()
