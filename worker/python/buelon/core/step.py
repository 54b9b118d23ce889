"""What a step may return besides plain data: a Result, with a StepStatus.

    from buelon.core.step import Result, StepStatus

    def download(report):
        if not ready(report):
            return Result(status=StepStatus.pending)   # ask again after !poll seconds
        return fetch(report)
"""
import enum


class StepStatus(enum.Enum):
    """success, pending, cancel, reset and error may be returned by a step; the others fail it."""
    success = 1
    queued = 2
    pending = 3
    cancel = 4
    reset = 5
    working = 6
    error = 7
    unknown = 8


class Result:
    """A step's answer: a status, and the data that goes on.

    `id` names the loop's item that the step works on: a second item with the same one fails. `total`
    says how many items a `!refill` source will give in all. `env`, `priority` and `velocity` are
    accepted for older step files and mean nothing.
    """
    __slots__ = ('status', 'env', 'priority', 'velocity', 'data', 'id', 'total')

    def __init__(self, status=None, env=None, priority=None, velocity=None, data=None, id=None,
                 total=None):
        self.status = status
        self.env = env
        self.priority = priority
        self.velocity = velocity
        self.data = data
        self.id = id
        self.total = total

    def __repr__(self):
        return f'Result(status={self.status}, data={self.data!r})'
