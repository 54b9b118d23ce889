"""Which task the running code belongs to: `buelon.task()`, and where its output goes.

A context variable holds the call as it came off the wire; a Task is made only when asked for.
"""
import contextvars

# A call is the list that a CALLS frame holds (protocol.md), these are its fields.
LEASE, STEP, INDEX, INSTANCE, NODE, ITEM, ATTEMPT, FLAGS, ARGS = range(9)

current_call = contextvars.ContextVar('buelon_call', default=None)
run_of_step = {}  # Step number -> run number. Kept by the runner.


class Task:
    """The task that is being run. `key` is the same for every attempt of the task, and no other
    task of any run on this hub has it: use it to make effects idempotent."""
    __slots__ = ('run', 'step', 'item', 'attempt', 'key')

    def __init__(self, run, step, item, attempt, key):
        self.run = run          # 'r17'
        self.step = step        # The step's name in the script.
        self.item = item        # '4', '4.17' in nested loops, '' outside loops.
        self.attempt = attempt  # 1, 2, …
        self.key = key

    def __repr__(self):
        return (f'Task(run={self.run!r}, step={self.step!r}, item={self.item!r}, '
                f'attempt={self.attempt})')


def task():
    """The task this code runs for. Works in functions, coroutines and what they await; not in
    threads that a step started itself (call it before, or pass a copied context)."""
    call = current_call.get()
    step = run_of_step.get(call[STEP]) if call else None
    if step is None:
        raise RuntimeError('buelon.task() was called outside a running step')
    run, name = step
    key = f'r{run}-{call[NODE]}-{call[INSTANCE]}-{call[INDEX]}'
    return Task(f'r{run}', name, call[ITEM], call[ATTEMPT], key)
