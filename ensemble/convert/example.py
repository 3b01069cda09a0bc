"""tf.train.Example, read without TensorFlow: named features of bytes, whole numbers or floats.

Encoding: https://protobuf.dev/programming-guides/encoding/. The messages, with field numbers:
Example {1: Features}, Features {1: entry {1: name, 2: Feature}},
Feature {1: BytesList, 2: FloatList, 3: Int64List}; in each list {1: a value, or packed values}.
"""

import struct
from collections.abc import Iterator, Mapping

from ensemble.errors import DataError

Feature = tuple[bytes, ...] | tuple[int, ...] | tuple[float, ...]
Features = Mapping[str, Feature]  # of one record, by name
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # wire types; 3 and 4 are no longer used
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3
MAX_VARINT = 10  # bytes of a number of 64 bits


class _Malformed(Exception):
    """Bytes that are no such message."""


def parse_example(content: bytes, where: str) -> dict[str, Feature]:
    """The features of an Example by name. Raises DataError beginning with `where`."""
    try:
        return _features(content)
    except (_Malformed, UnicodeDecodeError) as error:
        reason = "a name is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise DataError(
            f"{where}: not a tf.train.Example ({reason})\n"
            "only records of Examples can be read; download the file again"
        ) from None


def only_value(record: Features, name: str) -> bytes | int | float | None:
    """The value of a feature that has one, None for none or several."""
    values = record.get(name, ())
    return values[0] if len(values) == 1 else None


def _features(content: bytes) -> dict[str, Feature]:
    features: dict[str, Feature] = {}
    for message in _messages(memoryview(content), 1):
        for entry in _messages(message, 1):
            names = [bytes(name).decode() for name in _messages(entry, 1)]
            values = list(_messages(entry, 2))
            if len(names) != 1 or len(values) > 1:
                raise _Malformed(f"a feature has {len(names)} names and {len(values)} values")
            if names[0] in features:
                raise _Malformed(f"the feature {names[0][:60]!r} appears twice")
            features[names[0]] = _feature(values[0]) if values else ()
    return features


def _feature(message: memoryview) -> Feature:
    """The values of one Feature, () for none."""
    lists: dict[int, list[memoryview]] = {}
    for number, wire_type, payload in _fields(message):
        if number in (BYTES_LIST, FLOAT_LIST, INT64_LIST):
            if wire_type != LENGTH:
                raise _Malformed(f"a list of values has the wire type {wire_type}")
            lists.setdefault(number, []).append(payload)
    if len(lists) > 1:
        raise _Malformed("a feature has values of more than one type")
    for number, messages in lists.items():
        fields = [field[1:] for message in messages for field in _fields(message) if field[0] == 1]
        if number == BYTES_LIST:
            return tuple(value for field in fields for value in _bytes(*field))
        if number == FLOAT_LIST:
            return tuple(value for field in fields for value in _floats(*field))
        return tuple(value for field in fields for value in _int64s(*field))
    return ()


def _bytes(wire_type: int, payload: memoryview) -> Iterator[bytes]:
    if wire_type != LENGTH:
        raise _Malformed("a list of bytes holds something else")
    yield bytes(payload)


def _floats(wire_type: int, payload: memoryview) -> Iterator[float]:
    if wire_type not in (LENGTH, FIXED32) or len(payload) % 4:
        raise _Malformed("a list of floats holds something else")
    for (value,) in struct.iter_unpack("<f", payload):
        yield value


def _int64s(wire_type: int, payload: memoryview) -> Iterator[int]:
    if wire_type not in (LENGTH, VARINT):
        raise _Malformed("a list of whole numbers holds something else")
    position = 0
    while position < len(payload):
        unsigned, position = _varint(payload, position)
        yield unsigned - (1 << 64) if unsigned >> 63 else unsigned


def _messages(message: memoryview, field: int) -> Iterator[memoryview]:
    """The payloads of one field that has bytes, a text or a message in it."""
    for number, wire_type, payload in _fields(message):
        if number == field:
            if wire_type != LENGTH:
                raise _Malformed(f"field {number} has the wire type {wire_type}")
            yield payload


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(field number, wire type, bytes) of every field of a message."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise _Malformed("a field has the number 0")
        if wire_type == VARINT:
            length = _varint(message, position)[1] - position
        elif wire_type == LENGTH:
            length, position = _varint(message, position)
        elif wire_type in (FIXED32, FIXED64):
            length = 4 if wire_type == FIXED32 else 8
        else:
            raise _Malformed(f"field {number} has the wire type {wire_type}")
        if length > len(message) - position:
            n_left = len(message) - position
            raise _Malformed(f"field {number} needs {length:,} bytes, {n_left:,} are left")
        yield number, wire_type, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number of 64 bits with 7 in each byte, and the position after it."""
    number = 0
    for i, byte in enumerate(message[position : position + MAX_VARINT]):
        number |= (byte & 127) << 7 * i
        if byte < 128:
            if number >> 64:
                raise _Malformed("a number has more than 64 bits")
            return number, position + i + 1
    raise _Malformed("a number never ends")
