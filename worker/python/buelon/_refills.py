"""Steps with `!refill`: sources that are asked for items again and again.

    def orders(count, cursor):            # cursor: None at first, then what was returned last
        rows = fetch(after=cursor or 0, limit=count)
        return rows, rows[-1]['id'] if rows else cursor

What goes to the bucket is one list: the items, and last the cursor. So neither is there without
the other.
"""
import inspect

from buelon._errors import StepError
from buelon.core.step import Result, StepStatus


def giving_batches(call, is_async):
    """`call`, with what it returns as such a list."""
    if is_async:
        async def asked_async(*args):
            value = call(*args)
            return _batch(await value if inspect.isawaitable(value) else value)
        return asked_async

    def asked(*args):
        value = call(*args)
        return _later(value) if inspect.isawaitable(value) else _batch(value)
    return asked


async def _later(value):
    return _batch(await value)


def _batch(value):
    if type(value) is tuple and 2 <= len(value) <= 5 and type(value[0]) is StepStatus:
        value = Result(status=value[0], data=value[-1])
    if not isinstance(value, Result):
        return _listed(value)
    if value.status is StepStatus.success or value.status == StepStatus.success.value:
        return Result(status=value.status, data=_listed(value.data), id=value.id,
                      total=value.total)
    return value


def _listed(value):
    if isinstance(value, list) and not value:
        return [None]  # The end: nobody needs a cursor.
    if not isinstance(value, tuple) or len(value) != 2:
        raise StepError('run', 'a !refill step returns (items, cursor), or [] when there are no '
                               f'more; this one returned {_shown(value)}. A source that needs no '
                               'cursor returns (items, None)')
    items, cursor = value
    if not isinstance(items, (list, tuple)):
        raise StepError('run', 'the items that a !refill step returns are a list, not '
                               f'{_shown(items)}')
    return [*items, cursor]


def _shown(value):
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return 'a generator (it has `yield`)'
    if isinstance(value, tuple):
        return f'a tuple of {len(value)}'
    return f'a {type(value).__name__}'
