"""The value codec: every type survives, or says why not."""
import collections
import dataclasses
import datetime
import decimal
import enum
import threading
import unittest
import uuid
import zoneinfo

from buelon import _values


class Colour(enum.Enum):
    RED = 1
    PAIR = (1, 2)


@dataclasses.dataclass
class Point:
    x: int
    y: object


Row = collections.namedtuple('Row', 'a b')


def there_and_back(value):
    return _values.decode(_values.Encoder().encode(value))


class ValuesTest(unittest.TestCase):
    def assert_survives(self, value):
        back = there_and_back(value)
        self.assertEqual(back, value)
        self.assertIs(type(back), type(value))

    def test_every_type_survives(self):
        for value in [
            None, True, 1, -1, 2**63, 2**64 - 1, 2**64, -2**63, -2**63 - 1, 2**70, -2**70,
            255 << 64,
            1.5, float('inf'), '', 'a', '\ud800x', b'', b'a', [], [1, [2]], {}, {'a': 1},
            {1: 2, None: 3, b'x': 4, 1.5: 5, 'k': 6, datetime.date(2024, 1, 1): 7},
            datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
            datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
            datetime.date(2024, 1, 2), datetime.time(1, 2, 3, 4),
            datetime.time(1, tzinfo=datetime.timezone(datetime.timedelta(hours=-5))),
            datetime.timedelta(days=-1, microseconds=5), decimal.Decimal('1.10'),
            uuid.UUID(int=5), {1, 2}, set(), frozenset([1, (2, (3,))]), {(1, 2): 3},
            {'\ud800': {(1, (2,)): 4}}, {frozenset([1]): 2}, 3j, range(5),
        ]:
            with self.subTest(value=value):
                self.assert_survives(value)

    def test_nan_stays_nan(self):
        self.assertNotEqual(*[there_and_back(float('nan'))] * 2)

    def test_a_zone_keeps_its_name_and_fold(self):
        zone = zoneinfo.ZoneInfo('Europe/Berlin')
        value = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=zone, fold=1)
        back = there_and_back(value)
        self.assertEqual(back.utcoffset(), value.utcoffset())
        self.assertEqual(back.tzinfo.key, 'Europe/Berlin')

    def test_what_has_a_plain_form_takes_it(self):
        class Text(str):
            pass
        for value, plain in [
            ((1, (2,)), [1, [2]]), (Colour.RED, 1), (Colour.PAIR, [1, 2]),
            ({Colour.RED: 1}, {1: 1}),
            (Point(1, (2,)), {'x': 1, 'y': [2]}),
            (Point(1, {(1, 2): 3}), {'x': 1, 'y': {(1, 2): 3}}),
            (Row(1, 2), [1, 2]), (collections.OrderedDict(a=1), {'a': 1}),
            (collections.Counter('aa'), {'a': 2}), (bytearray(b'x'), b'x'),
            (memoryview(b'x'), b'x'),
            (Text('t'), 't'),
        ]:
            with self.subTest(value=value):
                self.assertEqual(there_and_back(value), plain)

    def test_foreign_objects_are_pickled_one_by_one(self):
        back = there_and_back({'at': [complex(1, 2)], 'n': 1})
        self.assertEqual(back, {'at': [complex(1, 2)], 'n': 1})

    def test_what_can_not_be_stored_is_named_with_its_place(self):
        loop = []
        loop.append(loop)
        for value, said in [
            ({'a': [1, threading.Lock()]}, "_thread.lock can not be stored (at value['a'][1])"),
            (Point(1, threading.Lock()), '(at value.y)'),
            ((i for i in []), 'an object of type generator can not be stored'),
            (loop, 'nested too deeply, or contains itself'),
        ]:
            with self.assertRaises(_values.Unstorable) as caught:
                _values.Encoder().encode(value)
            self.assertIn(said, str(caught.exception))

    def test_an_encoder_can_be_used_after_a_failure(self):
        encoder = _values.Encoder()
        with self.assertRaises(_values.Unstorable):
            encoder.encode([1, threading.Lock()])
        self.assertEqual(_values.decode(encoder.encode([1])), [1])

    def test_the_fast_decoder_refuses_pickles(self):
        with self.assertRaises(_values.NeedsCare):
            _values.decode_fast(_values.Encoder().encode([range(3)]))

    def test_elements_are_read_however_they_are_cut(self):
        data = b''.join(_values.Encoder().encode(v) for v in [1, 'abc' * 100, {'a': [2]}, None])
        for size in (1, 7, 1000):
            reader = _values.ElementReader()
            found = []
            for at in range(0, len(data), size):
                reader.feed(data[at:at + size])
                found.extend(reader)
            self.assertEqual(found, [1, 'abc' * 100, {'a': [2]}, None])


if __name__ == '__main__':
    unittest.main()
