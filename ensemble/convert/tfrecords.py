"""The framing of TFRecord files: a length, its checksum, that many bytes, their checksum.

https://www.tensorflow.org/tutorials/load_data/tfrecord describes it: numbers are little-endian, the
length has 8 bytes, a checksum 4; checksums are CRC-32C, rotated and shifted.
"""

import gzip
import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from crc32c import crc32c

from ensemble.dataset.scan import one_line
from ensemble.errors import DataError

NAME = re.compile(r"\.tfrec(ords?)?(-\d+-of-\d+)?(\.gz)?$", re.IGNORECASE)
HEADER, CHECKSUM = 12, 4  # bytes before and after the content of a record
MAX_RECORD = 1 << 28  # bytes; an image with its labels has far fewer
# beyond 256 MB, records may have 100 times the bytes of a compressed file: images hardly shrink
FREE_BYTES, MAX_RATIO = 1 << 28, 100
BLOCK = 1 << 20


def is_record_file(path: Path) -> bool:
    """Whether a file is named like TFRecords, also one of several shards or compressed."""
    return bool(NAME.search(path.name))


def records(path: Path) -> Generator[bytes, None, None]:
    """The content of each record, both checksums checked. Raises DataError naming the record."""
    with _opened(path) as reader:
        while (length := reader.next_length()) is not None:
            yield reader.content(length)


def count_records(path: Path) -> int:
    """How many records a file holds, by its lengths alone. Raises DataError naming the record."""
    with _opened(path) as reader:
        while (length := reader.next_length()) is not None:
            reader.skip(length + CHECKSUM)
        return reader.number - 1


@contextmanager
def _opened(path: Path) -> Iterator["_Reader"]:
    try:
        n_bytes = path.stat().st_size
        with path.open("rb") as stored:
            head = stored.read(HEADER)
            stored.seek(0)
            if head.startswith(b"\x1f\x8b") and not _is_header(head):
                with gzip.open(stored) as unpacked:
                    limit = max(FREE_BYTES, MAX_RATIO * n_bytes)
                    yield _Reader(path, cast(BinaryIO, unpacked), limit, is_packed=True)
            else:
                yield _Reader(path, stored, n_bytes, is_packed=False)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{one_line(path)[:300]}: cannot be read ({reason})") from None


@dataclass
class _Reader:
    """A TFRecord file being read; n_left is how many bytes it can still hold."""

    path: Path
    stream: BinaryIO
    n_left: int
    is_packed: bool
    number: int = 0

    def next_length(self) -> int | None:
        """The length of the next record's content, None at the end. Raises DataError."""
        self.number += 1
        header = self._read(HEADER)
        if not header:
            return None
        if len(header) < HEADER:
            raise self._damaged(f"the file ends after {len(header)} bytes of its header")
        if not _is_header(header):
            raise self._damaged("the checksum of its length is wrong")
        length = int.from_bytes(header[:8], "little")
        if length + CHECKSUM > self.n_left:
            what = "may unpack to" if self.is_packed else "has"
            raise self._damaged(f"it needs {length:,} bytes, the file {what} {self.n_left:,} more")
        if length > MAX_RECORD:
            raise self._damaged(f"it needs {length:,} bytes; the limit is {MAX_RECORD:,}")
        return length

    def content(self, length: int) -> bytes:
        """The content of a record of this length. Raises DataError."""
        content = self._read(length)
        checksum = self._read(CHECKSUM)
        if len(checksum) < CHECKSUM:
            raise self._damaged("the file ends inside it")
        if masked_checksum(content) != int.from_bytes(checksum, "little"):
            raise self._damaged("the checksum of its content is wrong")
        return content

    def skip(self, n_bytes: int) -> None:
        """Pass over so many bytes. Raises DataError where the file ends before."""
        if not self.is_packed:  # next_length has compared them with the size of the file
            self.stream.seek(n_bytes, 1)
            self.n_left -= n_bytes
            return
        while n_bytes:
            block = self._read(min(n_bytes, BLOCK))
            if not block:
                raise self._damaged("the file ends inside it")
            n_bytes -= len(block)

    def _read(self, n_bytes: int) -> bytes:
        """So many bytes, fewer at the end of the file; never a buffer larger than what is there."""
        blocks = []
        while n_bytes and (block := self.stream.read(min(n_bytes, BLOCK))):
            blocks.append(block)
            n_bytes -= len(block)
            self.n_left -= len(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def _damaged(self, problem: str) -> DataError:
        return DataError(
            f"{one_line(self.path)}: record {self.number}: {problem}\n"
            "the file is damaged, or holds no TFRecords; download it again"
        )


def _is_header(header: bytes) -> bool:
    """Whether 12 bytes are a length and its checksum."""
    return masked_checksum(header[:8]) == int.from_bytes(header[8:], "little")


def masked_checksum(content: bytes) -> int:
    """The checksum that the framing stores for these bytes: their CRC-32C, rotated and shifted."""
    checksum = crc32c(content)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
