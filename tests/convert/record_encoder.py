"""Writes TFRecords of tf.train.Examples: independent of the reader, for its tests."""

import struct


def _table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = tuple(_table())


def crc32c(content):
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def masked(content):
    crc = crc32c(content)
    rotated = (crc >> 15) | ((crc & 0x7FFF) << 17)
    return struct.pack("<I", (rotated + 0xA282EAD8) % (1 << 32))


def framed(content):
    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)


def varint(number):
    number %= 1 << 64
    encoded = bytearray()
    while number > 127:
        encoded.append(number % 128 + 128)
        number //= 128
    return bytes([*encoded, number])


def chunk(field, content):
    """A field of bytes, of text, or of another message."""
    return varint(field * 8 + 2) + varint(len(content)) + content


def feature(values, packed=True):
    """A Feature of the type of its values; bytes cannot be packed."""
    if not values:
        return b""
    if isinstance(values[0], bytes):
        return chunk(1, b"".join(chunk(1, value) for value in values))
    if isinstance(values[0], float):
        parts = [struct.pack("<f", value) for value in values]
        body = chunk(1, b"".join(parts)) if packed else b"".join(b"\x0d" + part for part in parts)
        return chunk(2, body)
    parts = [varint(value) for value in values]
    body = chunk(1, b"".join(parts)) if packed else b"".join(b"\x08" + part for part in parts)
    return chunk(3, body)


def example(features, packed=True):
    """An Example of {name: values}, or of {name: a single value}."""
    entries = []
    for name, values in features.items():
        values = list(values) if isinstance(values, list | tuple) else [values]
        entries.append(chunk(1, chunk(1, name.encode()) + chunk(2, feature(values, packed))))
    return chunk(1, b"".join(entries))


def tfrecord(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(framed(example(row)) for row in rows))
    return path
