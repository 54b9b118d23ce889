"""The Python side of bue: what step files import, and the runner that calls them.

    from buelon import task, drop
    from buelon.core.step import Result, StepStatus
"""
from buelon._task import Task, task
from buelon.core.step import Result, StepStatus

__all__ = ['Result', 'StepStatus', 'Task', 'drop', 'task']


def drop():
    """Drops the rest of this item: it counts as filtered, not as failed."""
    return Result(status=StepStatus.cancel)
