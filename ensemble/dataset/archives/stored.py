"""Archives as they lie in a tree: whole files, split ones, and stored members of other archives."""

import errno
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from ensemble.dataset.archives.names import Z_NUMBERED, part_of
from ensemble.errors import DataError
from ensemble.files import not_used


@dataclass(frozen=True)
class Archive:
    """An archive, or a part of one, at its place in a tree.

    `label` names it in messages: the outer archive and the path inside it. `open` gives its bytes;
    they can be sought where the format needs it. `files` are the paths that its parts have.
    """

    path: Path
    label: str
    n_bytes: int
    open: Callable[[], IO[bytes]]
    files: tuple[Path, ...]


def archive_file(path: Path, place: Path | None = None) -> Archive:
    """An archive that is a file; its content belongs at `place`. Opening it raises DataError."""

    def opened() -> IO[bytes]:
        try:
            return path.open("rb")
        except OSError as error:
            raise DataError(not_used(path, error)) from None

    return Archive(place or path, str(path), path.stat().st_size, opened, (path,))


def with_parts(path: Path) -> Archive:
    """The archive that a path names, with its other parts where it is split. Raises DataError."""
    part = part_of(path.name)
    whole = path.with_name(part[0]) if part else path
    is_z = part is None or Z_NUMBERED.fullmatch(path.name) is not None
    try:
        children = list(path.parent.iterdir())
    except OSError:  # the folder's names are secret, the file itself is not
        children = [path]
    files = [child for child in children if _is_part(child.name, whole.name, is_z)]
    if is_z and whole.is_file():
        files.append(whole)
    (archive,) = joined(archive_file(file) for file in files)
    return archive


def _is_part(name: str, whole: str, is_z: bool) -> bool:
    part = part_of(name)
    is_of_whole = part is not None and part[0] == whole
    return is_of_whole and is_z == (Z_NUMBERED.fullmatch(name) is not None)


def joined(archives: Iterable[Archive]) -> list[Archive]:
    """The whole archives, sorted, each with its parts in order. Raises DataError for missing parts.

    Parts such as train.zip.001 are passed over where train.zip, whole, is beside them.
    """
    wholes: dict[Path, Archive] = {}
    parts: dict[Path, dict[int, Archive]] = {}
    for archive in archives:
        part = part_of(archive.path.name)
        if part is None:
            wholes[archive.path] = archive
        else:
            parts.setdefault(archive.path.with_name(part[0]), {})[part[1]] = archive
    for path, by_number in parts.items():
        is_z = Z_NUMBERED.fullmatch(by_number[min(by_number)].path.name) is not None
        if is_z or path not in wholes:
            wholes[path] = _join(path, by_number, wholes.get(path), is_z)
    return [wholes[path] for path in sorted(wholes)]


def _join(path: Path, parts: dict[int, Archive], last: Archive | None, is_z: bool) -> Archive:
    """One archive of numbered parts; a .zip is the last of those called .z01, .z02 and so on."""
    numbers = sorted(parts)
    start = min(numbers[0], 1)  # `split -d` counts from 0
    named = parts[numbers[0]]
    missing = sorted({*range(start, numbers[-1] + 1)} - {*numbers})
    if missing or (is_z and last is None):
        ending = named.path.name.rpartition(".")[2]
        number = ending.lstrip("zZ")
        prefix = ending.removesuffix(number)
        stem = named.path.name.removesuffix(ending)
        names = [f"{stem}{prefix}{n:0{len(number)}}" for n in missing[:3]] or [path.name]
        raise DataError(
            f"{named.label}: a part of a split archive; missing: {', '.join(names)}\n"
            "put all parts into one folder, with the names that they were given"
        )
    ordered = [*(parts[n] for n in numbers), *([last] if last else [])]
    return replace(
        last or named,
        path=path,
        n_bytes=sum(part.n_bytes for part in ordered),
        open=lambda: io.BufferedReader(Joined([part.open() for part in ordered])),
        files=tuple(file for part in ordered for file in part.files),
    )


class Section(io.RawIOBase):
    """Some bytes of a file that others read as well, as a file of its own."""

    def __init__(self, base: IO[bytes], start: int, n_bytes: int) -> None:
        self.base, self.start, self.n_bytes, self.position = base, start, n_bytes, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """The new position, as in any file."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.n_bytes}[whence]
        if origin + offset < 0:
            raise OSError(errno.EINVAL, "negative position")  # as files do; zipfile relies on it
        self.position = origin + offset
        return self.position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer as far as the bytes go; their number."""
        length = min(len(buffer), max(self.n_bytes - self.position, 0))
        self.base.seek(self.start + self.position)
        block = self.base.read(length)
        buffer[: len(block)] = block
        self.position += len(block)
        return len(block)


class Joined(Section):
    """The parts of a split archive as one file; `starts` are their positions in it."""

    def __init__(self, files: Sequence[IO[bytes]]) -> None:
        self.parts = files
        self.starts = [0]
        for part in files:
            self.starts.append(self.starts[-1] + part.seek(0, io.SEEK_END))
        super().__init__(files[0], 0, self.starts.pop())

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the part at this position; the number of bytes."""
        index = max(i for i, start in enumerate(self.starts) if start <= self.position)
        part = self.parts[index]
        part.seek(self.position - self.starts[index])
        block = part.read(min(len(buffer), max(self.n_bytes - self.position, 0)))
        buffer[: len(block)] = block
        self.position += len(block)
        return len(block)

    def close(self) -> None:
        """Close all parts."""
        for part in self.parts:
            part.close()
        super().close()
