"""The format of MNIST's files, IDX: the shape and type of an array at its beginning, then its numbers.

LeCun, Cortes and Burges describe it with MNIST (1998): two zeros, a byte for the type, one for the
number of axes, and the length of each axis in four bytes, the highest first.
"""

import gzip
import re
import struct
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

_NAME = re.compile(r".*idx[1-4]-(ubyte|byte|short|int|float|double)(\.gz)?", re.IGNORECASE)
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
CHUNK = 1 << 20  # bytes read at a time


def is_idx(path: Path) -> bool:
    """Whether a file is named like those of MNIST: train-images-idx3-ubyte, perhaps with .gz."""
    return _NAME.fullmatch(path.name) is not None


def without_packed(paths: list[Path]) -> list[Path]:
    """The files without a .gz beside the same file unpacked."""
    return [path for path in paths if path.suffix != ".gz" or path.with_suffix("") not in paths]


def opened(path: Path) -> IO[bytes]:
    """The content of a file, unpacked."""
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def header(stored: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order (never Fortran's) and type of an array, read from the beginning of its file. Raises ValueError."""
    start = stored.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or not start[3]:
        raise ValueError("it does not begin as IDX does")
    lengths = stored.read(4 * start[3])
    if len(lengths) < 4 * start[3]:
        raise ValueError("it is cut off")
    return struct.unpack(f">{start[3]}I", lengths), False, np.dtype(_TYPES[start[2]])


def n_bytes_left(stored: IO[bytes]) -> int:
    """How many bytes follow."""
    return sum(map(len, iter(lambda: stored.read(CHUNK), b"")))
