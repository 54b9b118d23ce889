"""Failures that are no exception of the step's own code."""


class StepError(Exception):
    """A step can not be called, or did not do what it must. `action`: load, start or run."""

    def __init__(self, action, message):
        super().__init__(message)
        self.action = action
