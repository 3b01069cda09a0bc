"""Arrays in .npy, .npz and IDX files: their shapes by the headers, their rows one at a time."""

import mmap
import os
import tokenize
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ensemble.convert import idx_files
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError

SUFFIXES = (".npy", ".npz")  # besides IDX
MAX_ROW = 1 << 28  # bytes of one image
MAX_MEMBERS = 10_000
UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, SyntaxError, MemoryError, RecursionError),
    *(NotImplementedError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error),
    tokenize.TokenError,
)


@dataclass(frozen=True)
class StoredArray:
    """One array in a file; member is its name in an .npz, "" in an .npy."""

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool

    @property
    def name(self) -> str:
        """The array's own name: its key in an .npz, or that of its file."""
        return self.member.removesuffix(".npy") or self.path.stem

    @property
    def where(self) -> str:
        """File and member for a message."""
        return _where(self.path, self.member)

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    def rows(self) -> Generator[npt.NDArray[Any], None, None]:
        """Each row of the array, read when it is asked for. Raises DataError."""
        with _errors_of(self.path, self.member):
            if self.is_fortran and not self.member:
                yield from self._mapped_rows()
                return
            with self._opened() as stored:
                _header(self.path, stored)
                n_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))
                for _ in range(len(self)):
                    content = stored.read(n_bytes)
                    if len(content) < n_bytes:
                        raise ValueError("the array is cut off")
                    yield np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        if not self.member:
            with idx_files.opened(self.path) as stored:
                yield stored
            return
        with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stored:
            yield stored

    def _mapped_rows(self) -> Iterator[npt.NDArray[Any]]:
        """The rows of an array whose first axis changes fastest: parts of a row lie far apart."""
        with self.path.open("rb") as stored:
            _header(self.path, stored)
            offset = stored.tell()
            with mmap.mmap(stored.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                array = np.frombuffer(mapped, self.dtype, offset=offset)
                try:
                    array = array.reshape(self.shape, order="F")
                    for row in range(len(self)):
                        yield array[row].copy()
                finally:
                    del array  # a map that is in use cannot be closed


def array_files(paths: Sequence[Path]) -> list[Path]:
    """Those of some files that hold arrays."""
    found = [path for path in paths if path.suffix.lower() in SUFFIXES or idx_files.is_idx(path)]
    return idx_files.without_packed(found)


def stored_arrays(path: Path) -> list[StoredArray]:
    """The arrays of a file, by their headers. Raises DataError naming file and member."""
    with _errors_of(path, ""):
        if idx_files.is_idx(path):
            with idx_files.opened(path) as stored:
                header = _header(path, stored)
                return [_checked(path, "", header, idx_files.n_bytes_left(stored))]
        if path.suffix.lower() == ".npy":
            with path.open("rb") as stored:
                return [_array(path, "", stored, os.fstat(stored.fileno()).st_size)]
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) > MAX_MEMBERS:
                raise ValueError(f"more than {MAX_MEMBERS:,} arrays")
            names = [info.filename for info in members]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise ValueError(f"the array {twice[:60]!r} appears twice")
            return [_member(archive, path, info) for info in members]


def _member(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> StoredArray:
    with _errors_of(path, info.filename), archive.open(info) as stored:
        array = _array(path, info.filename, stored, info.file_size)
        if array.is_fortran and len(array.shape) > 1 and array.shape[0] > 1:
            raise ValueError("its rows are not one after another; save it as .npy")
        return array


def _array(path: Path, member: str, stored: IO[bytes], n_bytes: int) -> StoredArray:
    """The array that a header describes. Raises ValueError."""
    header = _header(path, stored)
    return _checked(path, member, header, n_bytes - stored.tell())


def _checked(
    path: Path, member: str, header: tuple[tuple[int, ...], bool, np.dtype[Any]], n_left: int
) -> StoredArray:
    """The array that a header describes, with so many bytes after it. Raises ValueError."""
    shape, is_fortran, dtype = header
    if dtype.hasobject:
        raise ValueError("it holds pickled Python objects, which are never loaded")
    if any(not isinstance(side, int) or side < 0 for side in shape):
        raise ValueError(f"the shape {str(shape)[:60]} is none")
    size = dtype.itemsize * int(np.prod(shape, dtype=object))
    if size != n_left:
        raise ValueError(f"the shape {str(shape)[:60]} needs {size:,} bytes, it has {n_left:,}")
    if shape and shape[0] and size // shape[0] > MAX_ROW:
        raise ValueError(f"a row has more than {MAX_ROW:,} bytes")
    return StoredArray(path, member, tuple(shape), dtype, is_fortran)


def _header(path: Path, stored: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of an array, read from the beginning of its file."""
    if idx_files.is_idx(path):
        return idx_files.header(stored)
    version = np.lib.format.read_magic(stored)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stored)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stored)
    raise ValueError(f"version {version[0]}.{version[1]} of the format")


@contextmanager
def _errors_of(path: Path, member: str) -> Iterator[None]:
    """Whatever numpy and zipfile raise for a damaged file, as a DataError naming the array."""
    try:
        yield
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        shown = " ".join(str(reason).split())[:200]
        raise DataError(
            f"{_where(path, member)}: not a readable array ({shown})\n"
            "only plain arrays of numbers can be read; save it again with numpy"
        ) from None


def _where(path: Path, member: str) -> str:
    name = member.removesuffix(".npy")
    return f"{one_line(path)[:400]}{': ' + ascii(name[:60])[1:-1] if member else ''}"
