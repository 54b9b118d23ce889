"""Row: one thing that is measured, and how to tell whether it is good enough."""
import dataclasses
import os
import typing

from harness import stage
from harness.figures import Goal


@dataclasses.dataclass(frozen=True)
class Row:
    name: str   # What one types.
    title: str  # What is measured.
    how: str    # How, in one line: what runs, between which moments, what was checked.
    measure: typing.Callable  # Takes a Bench, does one round, returns a list of Figures.
    goals: typing.Tuple[Goal, ...] = ()
    rounds_max: int = 100     # Rows that measure many times themselves need few rounds.
    by_default: bool = True   # False: only by name or with --all, because it takes long.
    compare: typing.Optional['Comparison'] = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What peers do beside a row: `work` of peers/common.py, and the figure in which both are told
    apart. More of a rate is better, less of anything else."""
    work: str
    figure: str
    size: int  # What the peers are asked for: slow ones would take hours for what the row does.


class Bench:
    """What a row is given: where the programs are and how large to be."""

    def __init__(self, build, scale):
        self.build = build
        self.scale = scale

    @property
    def bue(self):
        return os.path.join(self.build, 'bue')

    @property
    def tools(self):
        return os.path.join(self.build, 'tests', 'bench')

    def scaled(self, count, least=1):
        return max(least, int(count * self.scale))

    def stage(self):
        return stage.new_stage(self.tools)


def check(condition, what):
    """A result that is wrong makes its figures worthless."""
    if not condition:
        raise AssertionError(what)
