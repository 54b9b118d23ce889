"""What users import, outside a runner."""
import unittest

import buelon
from buelon.core.step import Result, StepStatus


class StepTest(unittest.TestCase):
    def test_the_statuses_have_their_numbers(self):
        self.assertEqual([(s.name, s.value) for s in StepStatus], [
            ('success', 1), ('queued', 2), ('pending', 3), ('cancel', 4), ('reset', 5),
            ('working', 6), ('error', 7), ('unknown', 8)])

    def test_results_take_the_old_positions(self):
        result = Result(StepStatus.success, {'ENV': 1}, 7, 1.5, 'data')
        self.assertEqual((result.status, result.env, result.priority, result.velocity, result.data),
                         (StepStatus.success, {'ENV': 1}, 7, 1.5, 'data'))

    def test_drop_is_a_cancel(self):
        self.assertIs(buelon.drop().status, StepStatus.cancel)

    def test_a_task_exists_only_in_a_step(self):
        with self.assertRaisesRegex(RuntimeError, 'outside a running step'):
            buelon.task()


if __name__ == '__main__':
    unittest.main()
