"""Members of a 7z archive: py7zr unpacks it whole, into numbered files and within the limits."""

import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ensemble.dataset.archives.limits import Limits
from ensemble.dataset.archives.members import UNLOCK, Member, encrypted, not_a_file
from ensemble.errors import DataError

if TYPE_CHECKING:
    from py7zr.io import WriterFactory
    from py7zr.py7zr import ArchiveFile

INSTALL = "pip install 'py7zr>=1.1'"


def seven_zip_members(
    source: IO[bytes], label: str, limits: Limits, folder: Path
) -> Iterator[Member]:
    """The files of a 7z archive, unpacked into an empty folder.

    Raises DataError and what py7zr raises.
    """
    py7zr = _import_py7zr(label)
    try:
        with py7zr.SevenZipFile(source) as opened:
            files = _checked_files(opened.files, label)
            limits.check(sum(file.uncompressed for file, _ in files), label)
            for number, (file, _) in enumerate(files):
                file.file_properties()["filename"] = _numbered(number)  # py7zr changes some names
            with _numbered_files(folder, label, limits) as factory:
                opened.extractall(factory=factory)
    except py7zr.PasswordRequired:
        raise DataError(
            f"{label}: encrypted, even the names of its files; refused\n{UNLOCK}"
        ) from None
    for number, (file, name) in enumerate(files):
        path = folder / _numbered(number)
        if path.stat().st_size != file.uncompressed:
            raise DataError(f"{label}: damaged archive ({name[:200]!r} is not whole)")
        yield _member(name, path)


def seven_zip_bytes(source: IO[bytes], label: str) -> int:
    """The bytes that a 7z archive's header declares. Raises DataError and what py7zr raises."""
    with _import_py7zr(label).SevenZipFile(source) as opened:
        return sum(file.uncompressed for file in opened.files)


def _member(name: str, path: Path) -> Member:
    return Member(name, path.stat().st_size, lambda: path.open("rb"), file=path)


def _import_py7zr(label: str) -> Any:
    try:
        import py7zr
    except ImportError:
        raise DataError(
            f"{label}: 7z archives need py7zr, which is not installed\n{INSTALL}"
        ) from None
    return py7zr


def _checked_files(files: "Iterable[ArchiveFile]", label: str) -> "list[tuple[ArchiveFile, str]]":
    """Every file with its name. Raises DataError for links, devices and encryption."""
    from py7zr.compressor import SupportedMethods

    checked = []
    for file in files:
        name = file.filename
        kind = stat.S_IFMT(file.st_fmt or 0)
        if kind == stat.S_IFDIR or (file.is_directory and not kind):
            continue
        if kind not in (0, stat.S_IFREG) or file.is_junction or file.is_symlink:
            raise not_a_file(label, name)
        if file.folder is not None and SupportedMethods.needs_password(file.folder.coders):
            raise encrypted(label, name)
        checked.append((file, name))
    return checked


def _numbered(number: int) -> str:
    return f".ens-member-{number}"


@contextmanager
def _numbered_files(folder: Path, label: str, limits: Limits) -> "Iterator[WriterFactory]":
    """What py7zr asks for a file to write: each is in the folder, and its bytes are counted."""
    from py7zr.io import Py7zIO, WriterFactory

    class CountedFile(Py7zIO):
        def __init__(self, path: Path) -> None:
            self.stored = path.open("xb")

        def write(self, s: bytes | bytearray) -> int:
            limits.count(len(s), label)
            return self.stored.write(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def flush(self) -> None:
            self.stored.flush()

        def size(self) -> int:
            return self.stored.tell()

        def close(self) -> None:
            self.stored.close()

    class CountedFiles(WriterFactory):
        last: CountedFile | None = None

        def create(self, filename: str) -> Py7zIO:
            self.last = CountedFile(folder / filename)
            return self.last

    factory = CountedFiles()
    try:
        yield factory
    finally:
        if factory.last:  # py7zr closes a file only where it is whole
            factory.last.close()
