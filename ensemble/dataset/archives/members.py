"""The members of an open archive, format by format. Names and kinds are checked, sizes are not."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple, cast

from ensemble.dataset.archives.limits import Limits
from ensemble.dataset.archives.names import archive_format, content_name
from ensemble.dataset.archives.stored import Archive, Section
from ensemble.errors import DataError

END_RECORD = struct.Struct("<4s4H2LH")  # of a zip
UNKNOWN = 0xFFFF  # where a field of 16 bits is too small, and zip64 has the number
UNLOCK = "unpack it yourself, with its password, and give data.path the folder"
DECOMPRESSORS: dict[bytes, Callable[..., object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
}


class _EndOfZip(NamedTuple):
    """The numbers of the last part and of the part with the table, of members, the table's start."""

    disk: int
    table_disk: int
    n_entries: int
    table: int


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name, its declared size, and its content.

    `stream` reads it from start to end and then verifies its checksum; where `waits` it can be
    opened after later members too. `in_place` opens it for seeking, without a copy. `file` is where
    it is already unpacked.
    """

    name: str
    n_bytes: int
    stream: Callable[[], IO[bytes]]
    waits: bool = False
    in_place: Callable[[], IO[bytes]] | None = None
    file: Path | None = None


@contextmanager
def members_of(
    archive: Archive, source: IO[bytes], limits: Limits, new_folder: Callable[[], Path]
) -> Iterator[Iterable[Member]]:
    """The files of an archive whose bytes are `source`; in the block, they can be read.

    A format that cannot be read member by member is unpacked first, into a new folder. Raises
    DataError for links, devices and encryption, and what the libraries raise for damage.
    """
    match archive_format(archive.path.name):
        case "zip":
            with zip_members(source, archive.label) as members:
                yield members
        case "tar":
            yield _tar_members(source, archive.label)
        case "7z":
            from ensemble.dataset.archives.seven_zip import seven_zip_members

            yield seven_zip_members(source, archive.label, limits, new_folder())
        case "table":
            name = content_name(archive.path.name)
            yield [Member(name, archive.n_bytes, lambda: _decompressed(source))]
        case _:
            raise DataError(
                f"{archive.label}: a rar archive, which ens does not open\n"
                "unpack it yourself, or pack it again as .zip"
            )


def not_a_file(label: str, name: str) -> DataError:
    """The error for a member that is a link, a device, a pipe or a socket."""
    return DataError(f"{label}: {name[:200]!r} is a link or device; refused")


def encrypted(label: str, name: str) -> DataError:
    """The error for a member that needs a password."""
    return DataError(f"{label}: {name[:200]!r} is encrypted; refused\n{UNLOCK}")


@contextmanager
def zip_members(source: IO[bytes], label: str) -> Iterator[Iterable[Member]]:
    """The files of a zip, also of a joined one. Raises DataError and what zipfile raises."""
    end = _end_of_zip(source, label)
    with zipfile.ZipFile(source) as opened:
        infos = opened.infolist()
        if end is None or end.n_entries not in (UNKNOWN, len(infos) % (UNKNOWN + 1)):
            raise zipfile.BadZipFile(f"{len(infos)} members, and not as many as at its end")
        if end.disk:
            _check_parts(source, end.disk, label)
            starts = source.raw.starts  # type: ignore[attr-defined]
            for info in infos:  # offsets count from the start of a part
                info.header_offset += starts[info.volume] - starts[end.table_disk]
        elif end.table != opened.start_dir:
            # zipfile takes a zip inside a stored, cut one for the whole, without a word
            raise zipfile.BadZipFile("cut off, or other bytes before its start")
        yield _zip_members(opened, source, label)


def _zip_members(opened: zipfile.ZipFile, source: IO[bytes], label: str) -> Iterator[Member]:
    for info in opened.infolist():
        name = _decoded_name(info)
        if name.endswith("/"):
            if info.file_size:
                raise zipfile.BadZipFile(f"{name[:60]!r} is a folder with content")
            continue
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise not_a_file(label, name)
        if info.flag_bits & 1:
            raise encrypted(label, name)
        yield Member(name, info.file_size, *_zip_content(opened, source, info))


def _zip_content(
    opened: zipfile.ZipFile, source: IO[bytes], info: zipfile.ZipInfo
) -> tuple[Callable[[], IO[bytes]], bool, Callable[[], IO[bytes]] | None]:
    """How a member is streamed, that it waits, and how it is read in place where it is stored."""

    def in_place() -> IO[bytes]:
        opened.open(info).close()  # its header is checked
        source.seek(info.header_offset + 26)
        n_name, n_extra = struct.unpack("<2H", source.read(4))
        start = info.header_offset + 30 + n_name + n_extra
        return io.BufferedReader(Section(source, start, info.file_size))

    is_stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
    return lambda: opened.open(info), True, in_place if is_stored else None


def _end_of_zip(source: IO[bytes], label: str) -> _EndOfZip | None:
    """What the end of a zip says, None for another file. Raises DataError for a large split zip."""
    n_bytes = source.seek(0, io.SEEK_END)
    source.seek(max(n_bytes - END_RECORD.size - UNKNOWN, 0))
    tail = source.read()
    start = tail.rfind(b"PK\5\6")
    if start < 0 or len(tail) - start < END_RECORD.size:
        return None
    _, disk, table_disk, _, n_entries, _, table, _ = END_RECORD.unpack_from(tail, start)
    is_large = tail[max(start - 20, 0) : start].startswith(b"PK\6\7")
    if is_large and int.from_bytes(tail[start - 4 : start], "little") > 1:
        stem = label.rpartition("/")[2].rpartition(": ")[2].removesuffix(".zip")
        raise DataError(
            f"{label}: a split zip of more than 4 GB, which ens does not join\n"
            f"`zip -s 0 {stem}.zip --out {stem}_joined.zip` joins it"
        )
    if is_large and table == 0xFFFFFFFF:
        table = int.from_bytes(tail[start - 28 : start - 20], "little")
    return _EndOfZip(disk, table_disk, n_entries, table)


def _check_parts(source: IO[bytes], last: int, label: str) -> None:
    n_parts = len(getattr(getattr(source, "raw", None), "starts", [0]))
    if n_parts != last + 1:
        raise DataError(
            f"{label}: the last of {last + 1} parts of a split zip; beside it are {n_parts - 1}\n"
            "put all parts (.z01, .z02, …) into its folder, with the names that they were given"
        )


def _decoded_name(info: zipfile.ZipInfo) -> str:
    """A member's name with / between folders, and in UTF-8 where its bytes are UTF-8.

    Old Windows tools write \\ between folders. Old tools for macOS and Linux write UTF-8
    without the flag that says so, and zipfile takes it for code page 437.
    """
    name = info.filename.replace("\\", "/")
    if info.flag_bits & 0x800:
        return name
    with suppress(UnicodeError):
        return name.encode("cp437").decode("utf-8")
    return name


class _Header(tarfile.TarInfo):
    """A header of a tar; tarfile takes a damaged or missing one for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """The header in a block. Raises ReadError."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}: the archive is cut off or damaged") from None


def _tar_members(source: IO[bytes], label: str) -> Iterator[Member]:
    stream = _decompressed(source)
    in_place = source if stream is source and isinstance(source, io.BufferedReader) else None
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as opened:
        while info := opened.next():
            opened.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
            if info.isdir():
                continue
            if not info.isfile():
                raise not_a_file(label, info.name)
            yield _tar_member(opened, info, in_place)
    while stream.read(1 << 20):
        pass  # gzip and zip verify a checksum at the very end


def _tar_member(opened: tarfile.TarFile, info: tarfile.TarInfo, source: IO[bytes] | None) -> Member:
    def streamed() -> IO[bytes]:
        content = opened.extractfile(info)
        assert content is not None
        return content

    if source is None or info.issparse():
        return Member(info.name, info.size, streamed)
    start, base = info.offset_data, source
    return Member(
        info.name,
        info.size,
        streamed,
        in_place=lambda: io.BufferedReader(Section(base, start, info.size)),
    )


def _decompressed(source: IO[bytes]) -> IO[bytes]:
    """The stream itself, or what it decompresses to, by its first bytes."""
    head: bytes = source.peek(2)[:2]  # type: ignore[attr-defined]
    opener = DECOMPRESSORS.get(head)
    return cast(IO[bytes], opener(source)) if opener else source
