"""What a !refill step may return, and what becomes of it."""
import asyncio
import unittest

from buelon import _refills
from buelon._errors import StepError
from buelon.core.step import Result, StepStatus


def asked(value):
    return _refills.giving_batches(lambda *args: value, False)(9, None)


class RefillsTest(unittest.TestCase):
    def test_the_cursor_comes_behind_the_items(self):
        self.assertEqual(asked(([1, 2], 'next')), [1, 2, 'next'])
        self.assertEqual(asked(((1, 2), None)), [1, 2, None])
        self.assertEqual(asked(([], 7)), [7])
        self.assertEqual(asked([]), [None])

    def test_results_keep_what_else_they_say(self):
        result = asked(Result(status=StepStatus.success, data=([1], 2), total=10))
        self.assertEqual((result.status, result.data, result.total),
                         (StepStatus.success, [1, 2], 10))
        self.assertEqual(asked((StepStatus.success, ([1], 2))).data, [1, 2])
        pending = Result(status=StepStatus.pending)
        self.assertIs(asked(pending), pending)
        self.assertIs(asked((StepStatus.cancel, None)).status, StepStatus.cancel)

    def test_coroutines_are_awaited(self):
        async def items(count, cursor):
            return [count], cursor

        self.assertEqual(asyncio.run(_refills.giving_batches(items, True)(3, 'c')), [3, 'c'])
        self.assertEqual(asyncio.run(_refills.giving_batches(lambda *a: items(*a), False)(3, 'c')),
                         [3, 'c'])

    def test_anything_else_is_refused(self):
        for value, shown in (([1], 'a list'), (None, 'a NoneType'), ({'a': 1}, 'a dict'),
                             (([1], 2, 3), 'a tuple of 3'), ((n for n in []), 'a generator'),
                             (({1}, 2), 'a set'), (('text', 2), 'a str'), ((None, 2), 'a NoneType')):
            with self.assertRaisesRegex(StepError, shown) as raised:
                asked(value)
            self.assertEqual(raised.exception.action, 'run')


if __name__ == '__main__':
    unittest.main()
