"""Values <-> MessagePack, with extension types for what MessagePack lacks.

The table of extension codes is shared with common/value/extensions.h. Plain data goes through
msgpack's C code alone; everything else comes to Encoder._default, one call per odd object. Tuples
become lists, enums their value, dataclasses dicts; foreign objects are pickled one by one.
"""
import dataclasses
import datetime
import decimal
import enum
import io
import pickle
import sys
import uuid

from msgpack import ExtType, Packer, Unpacker, unpackb

BIG_INT, DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, UUID, SET, FROZENSET, TUPLE = range(1, 11)
PICKLE = 12
STREAM = 127  # Only on the socket, never stored: an argument that arrives in chunks.


class Unstorable(Exception):
    """A value, or something in it, that can not be stored. The message says what and where."""


class NeedsCare(Exception):
    """The fast decoder met something that must be decoded in the call's own context."""


# --- Encoding ---------------------------------------------------------------------------------


class Encoder:
    """Packs values. Not thread-safe: every thread has its own.

    `pack` is the fast way for plain data; whoever uses it checks `odd` afterwards and calls
    `encode` if it is set, or if pack raised. `encode` does all of this.
    """

    def __init__(self):
        self.odd = False  # pack() met a tuple: there may be one among a dict's keys.
        self.pack = Packer(default=self._default, strict_types=True).pack
        self._careful = None

    def encode(self, value):
        """The MessagePack bytes of `value`. Raises Unstorable."""
        self.odd = False
        try:
            data = self.pack(value)
            if not self.odd:
                return data
            self.odd = False
            if not _has_tuple_key(value):
                return data
            return self._encode_carefully(_with_tuple_keys(value, self))
        except UnicodeEncodeError:  # Lone surrogates.
            return self._encode_carefully(_with_tuple_keys(value, self))
        except Unstorable:
            raise
        except Foreign as foreign:
            raise Unstorable(foreign.describe(value)) from None
        except RecursionError:
            raise Unstorable('the value is nested too deeply, or contains itself') from None
        except (ValueError, TypeError, OverflowError, BufferError) as error:
            if 'recursion limit' in str(error):
                raise Unstorable('the value is nested too deeply, or contains itself') from None
            raise Unstorable(f'the value can not be stored: {error}') from error

    def _encode_carefully(self, value):
        if self._careful is None:
            self._careful = Packer(default=self._default, strict_types=True,
                                   unicode_errors='surrogatepass')
        try:
            return self._careful.pack(value)
        except Foreign as foreign:
            raise Unstorable(foreign.describe(value)) from None

    def _default(self, o):
        kind = type(o)
        if kind is tuple:
            self.odd = True
            return list(o)
        if kind is int:
            size = (o + (o < 0)).bit_length() // 8 + 1
            return ExtType(BIG_INT, o.to_bytes(size, 'big', signed=True))
        convert = _CONVERT.get(kind)
        if convert is not None:
            return convert(o, self)
        return self._subclass(o)

    def _subclass(self, o):
        if isinstance(o, enum.Enum):
            return self._settle(o.value)
        if dataclasses.is_dataclass(o) and not isinstance(o, type):
            return {field.name: getattr(o, field.name) for field in dataclasses.fields(o)}
        for base in (str, int, float, bytes):
            if isinstance(o, base):
                return self._settle(base.__str__(o) if base is str else base(o))
        if isinstance(o, dict):
            return dict(o)
        if isinstance(o, tuple):
            self.odd = True
            return list(o)
        if isinstance(o, list):
            return list(o)
        if isinstance(o, frozenset):
            return _set(FROZENSET, o, self)
        if isinstance(o, set):
            return _set(SET, o, self)
        return ExtType(PICKLE, _pickled(o))

    def _settle(self, o):
        # msgpack asks only once per object, so what is handed back must need no further asking.
        if type(o) in _PLAIN and not (type(o) is int and not -2**63 <= o < 2**64):
            return o
        return self._default(o)


_PLAIN = frozenset((type(None), bool, int, float, str, bytes, bytearray, list, dict))


class Foreign(Exception):
    def __init__(self, o, why):
        super().__init__(why)
        self.object = o

    def describe(self, value):
        kind = type(self.object)
        name = kind.__qualname__ if kind.__module__ == 'builtins' else (
            f'{kind.__module__}.{kind.__qualname__}')
        path = _path_to(value, self.object)
        where = f' (at value{path})' if path else ''
        return f'an object of type {name} can not be stored{where}: {self}'


def _pickled(o):
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, protocol=5).dump(o)
    except Exception as error:  # Whatever an object's __reduce__ raises.
        raise Foreign(o, str(error) or type(error).__name__) from error
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    """Classes and functions of inline code travel with their source: another runner may never have
    seen it."""

    def reducer_override(self, o):
        module = getattr(o, '__module__', None)
        if type(module) is str and '.inline_' in module and hasattr(o, '__qualname__'):
            from buelon import _modules
            return _modules.reduce_inline(o)
        return NotImplemented


def _array(items, encoder):
    return Encoder()._encode_carefully([_key(item, encoder) for item in items])


def _key(o, encoder):
    """A set's element or dict's key, with tuples kept."""
    if isinstance(o, tuple):
        return ExtType(TUPLE, _array(o, encoder))
    return o


def _set(code, o, encoder):
    return ExtType(code, _array(o, encoder))


def _packed(code, fields):
    return ExtType(code, Packer().pack(fields))


def _offset(delta):
    seconds = delta.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


def _datetime(o, _):
    offset = o.utcoffset()
    return _packed(DATETIME, [
        o.year, o.month, o.day, o.hour, o.minute, o.second, o.microsecond, o.fold,
        None if offset is None else _offset(offset), _zone_key(o.tzinfo)])


def _zone_key(zone):
    # Slow to import, and seldom needed. Another thread may be importing it just now.
    kind = getattr(sys.modules.get('zoneinfo'), 'ZoneInfo', None)
    return zone.key if kind and isinstance(zone, kind) else None


def _time(o, _):
    offset = o.utcoffset()
    if offset is None and o.tzinfo is not None:
        return ExtType(PICKLE, _pickled(o))  # A zone whose offset depends on the day.
    return _packed(TIME, [o.hour, o.minute, o.second, o.microsecond, o.fold,
                          None if offset is None else _offset(offset)])


_CONVERT = {
    datetime.datetime: _datetime,
    datetime.date: lambda o, _: _packed(DATE, [o.year, o.month, o.day]),
    datetime.time: _time,
    datetime.timedelta: lambda o, _: _packed(TIMEDELTA, [o.days, o.seconds, o.microseconds]),
    decimal.Decimal: lambda o, _: ExtType(DECIMAL, str(o).encode()),
    uuid.UUID: lambda o, _: ExtType(UUID, o.bytes),
    set: lambda o, encoder: _set(SET, o, encoder),
    frozenset: lambda o, encoder: _set(FROZENSET, o, encoder),
}


def _has_tuple_key(value):
    todo = [value]
    while todo:
        o = todo.pop()
        if isinstance(o, dict):
            for key in o:
                if isinstance(key, tuple):
                    return True
            todo.extend(o.values())
        elif isinstance(o, (list, tuple)):
            todo.extend(o)
        elif dataclasses.is_dataclass(o) and not isinstance(o, type):
            todo.extend(getattr(o, field.name) for field in dataclasses.fields(o))
    return False


def _with_tuple_keys(o, encoder):
    """A copy of `o` in which dict keys that are tuples have their extension type."""
    if isinstance(o, dict):
        return {_key(key, encoder): _with_tuple_keys(v, encoder) for key, v in o.items()}
    if isinstance(o, (list, tuple)) and not isinstance(o, ExtType):
        return [_with_tuple_keys(v, encoder) for v in o]
    if dataclasses.is_dataclass(o) and not isinstance(o, type):
        return {field.name: _with_tuple_keys(getattr(o, field.name), encoder)
                for field in dataclasses.fields(o)}
    return o


def _path_to(value, wanted):
    """Where in `value` the object `wanted` is, as an index expression; '' if it is the value."""
    todo = [(value, '')]
    seen = set()
    while todo and len(seen) < 100_000:
        o, path = todo.pop()
        if o is wanted:
            return path
        if id(o) in seen:
            continue
        if isinstance(o, dict):
            todo.extend((v, f'{path}[{_short(k)}]') for k, v in o.items())
        elif isinstance(o, (list, tuple)):
            todo.extend((v, f'{path}[{i}]') for i, v in enumerate(o))
        elif dataclasses.is_dataclass(o) and not isinstance(o, type):
            todo.extend((getattr(o, f.name), f'{path}.{f.name}') for f in dataclasses.fields(o))
        else:
            continue
        seen.add(id(o))
    return ''


def _short(key):
    text = repr(key)
    return text if len(text) <= 60 else text[:57] + '…'


# --- Decoding ---------------------------------------------------------------------------------

_OPTIONS = {'raw': False, 'strict_map_key': False, 'unicode_errors': 'surrogatepass'}


def decode(data, hook=None):
    """The value in `data`, a whole MessagePack value. Pickles are loaded: only in a runner."""
    hook = hook or from_ext
    try:
        return unpackb(data, ext_hook=hook, **_OPTIONS)
    except TypeError:  # An array as a dict's key: what others write for a tuple.
        return unpackb(data, ext_hook=hook, object_pairs_hook=_pairs, **_OPTIONS)


def decode_fast(data):
    """The same, raising NeedsCare where foreign code would run."""
    return unpackb(data, ext_hook=_fast_ext, raw=False, strict_map_key=False,
                   unicode_errors='surrogatepass')


def _pairs(pairs):
    return {_frozen(key): value for key, value in pairs}


def _frozen(key):
    return tuple(map(_frozen, key)) if isinstance(key, list) else key


class ElementReader:
    """Takes a list's elements apart as their bytes arrive: feed(), then iterate."""

    def __init__(self):
        self._unpacker = Unpacker(ext_hook=from_ext, max_buffer_size=2**32 - 1, **_OPTIONS)

    def feed(self, data):
        self._unpacker.feed(data)

    def __iter__(self):
        return self._unpacker


def from_ext(code, data):
    """msgpack's ext_hook: the object of an extension type."""
    reader = _FROM_EXT.get(code)
    if reader is None:
        raise ValueError(f'unknown extension type {code} in a value')
    return reader(data)


def _fast_ext(code, data):
    if code >= PICKLE:
        raise NeedsCare
    return from_ext(code, data)


def _zone(offset, key):
    if key is not None:
        import zoneinfo
        try:
            return zoneinfo.ZoneInfo(key)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            pass  # This machine lacks the zone: its offset still tells the instant.
    if offset is None:
        return None
    if offset == 0:
        return datetime.timezone.utc
    return datetime.timezone(datetime.timedelta(seconds=offset))


def _to_datetime(data):
    *fields, fold, offset, key = unpackb(data)
    return datetime.datetime(*fields, tzinfo=_zone(offset, key), fold=fold)


def _to_time(data):
    *fields, fold, offset = unpackb(data)
    return datetime.time(*fields, tzinfo=_zone(offset, None), fold=fold)


_FROM_EXT = {
    BIG_INT: lambda data: int.from_bytes(data, 'big', signed=True),
    DATETIME: _to_datetime,
    DATE: lambda data: datetime.date(*unpackb(data)),
    TIME: _to_time,
    TIMEDELTA: lambda data: datetime.timedelta(*unpackb(data)),
    DECIMAL: lambda data: decimal.Decimal(data.decode()),
    UUID: lambda data: uuid.UUID(bytes=bytes(data)),
    SET: lambda data: set(decode(data)),
    FROZENSET: lambda data: frozenset(decode(data)),
    TUPLE: lambda data: tuple(decode(data)),
    PICKLE: pickle.loads,
}
