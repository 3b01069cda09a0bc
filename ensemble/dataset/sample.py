"""The copy of a sample submission that a run keeps, so that blending needs no data folder.

It holds the CSV's bytes, compressed: 100,000 rows of 120 equal cells take 0.6 MB instead of 109.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble.errors import DataError

COPY = "sample.csv.gz"
MAX_BYTES = 1 << 30  # of a CSV; more is a decompression bomb
BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class PackedSample:
    """A sample submission's bytes, compressed, and the SHA-256 of the uncompressed bytes."""

    content: bytes
    sha256: str


def packed_sample(sample: Path) -> PackedSample:
    """The copy of a sample submission that a run keeps. Raises DataError."""
    digest = hashlib.sha256()
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=6, fileobj=packed, mtime=0) as archive:
        for block in _blocks(sample):
            digest.update(block)
            archive.write(block)
    return PackedSample(packed.getvalue(), digest.hexdigest())


def is_id_last(columns: Sequence[Sequence[str]]) -> bool:
    """Whether the answers of a sample stand before its ids, as in `Category,Id`.

    Of the two columns the last has no cell twice, and the first has most of them more than once.
    """
    if len(columns) != 2:
        return False
    answers, ids = map(list, columns)
    return len(set(ids)) == len(ids) and 2 * len(set(answers)) <= len(answers)


def sample_sha256(sample: Path) -> str:
    """The SHA-256 of a sample submission's uncompressed bytes. Raises DataError."""
    digest = hashlib.sha256()
    for block in _blocks(sample):
        digest.update(block)
    return digest.hexdigest()


def _blocks(sample: Path) -> Iterator[bytes]:
    n_bytes = 0
    try:
        with gzip.open(sample) if sample.suffix == ".gz" else sample.open("rb") as stored:
            while block := stored.read(BLOCK):
                n_bytes += len(block)
                if n_bytes > MAX_BYTES:
                    raise DataError(f"{sample}: more than {MAX_BYTES:,} bytes; refused")
                yield block
    except (OSError, EOFError, ValueError, zlib.error) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(sample)[:200]}: cannot be read ({reason})") from None
