"""How a failed attempt is told to the worker."""
import unittest

import msgpack

from buelon import _results
from buelon import _streams
from buelon import _wire


class Sent(list):
    """Outbox and capture at once."""

    def put(self, message):
        self.append(msgpack.unpackb(message))

    def collect(self, lease):
        pass


class Step:
    def readable(self, text):
        return text


class ReturnsTest(unittest.TestCase):
    def setUp(self):
        self.sent = Sent()
        self.returns = _results.Returns(self.sent, self.sent, None, None, {5: Step()})
        self.call = [17, 5, 0, 0, 0, '', 1, 0]  # Lease 17, step 5.

    def told(self, error, **options):
        try:
            raise error
        except BaseException as raised:
            self.returns.fail(self.call, raised, 0, **options)
        (kind, lease, _, outcome, action, name, message, trace, *_), = self.sent
        self.assertEqual((kind, lease, outcome), (_wire.OUTCOME, 17, _wire.FAILED))
        return action, name, message, trace

    def test_an_exception_is_told_with_its_traceback(self):
        action, name, message, trace = self.told(ValueError('no'))
        self.assertEqual((action, name, message), ('run', 'ValueError', 'no'))
        self.assertIn('ValueError: no', trace)

    def test_time_that_runs_out_while_a_value_is_stored_tells_nothing_of_ours(self):
        self.returns.cancels[17] = 'timeout'
        self.assertEqual(self.told(_streams.Stopped(), action='store'), ('timeout', '', '', ''))


if __name__ == '__main__':
    unittest.main()
