"""Write what archives hold below a folder, and nothing outside it."""

import errno
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ensemble.dataset.archives.beside import content_is_beside
from ensemble.dataset.archives.destinations import Destinations, Placement
from ensemble.dataset.archives.limits import Limits
from ensemble.dataset.archives.members import Member, members_of
from ensemble.dataset.archives.names import archive_format, format_by_content, part_of
from ensemble.dataset.archives.stored import Archive, archive_file, joined
from ensemble.dataset.filenames import is_hidden
from ensemble.errors import DataError
from ensemble.files import ENVIRONMENT

MIN_BYTES = 18  # of an archive: gzip's smallest; a smaller file is a placeholder
BLOCK = 1 << 20  # bytes that are copied at once
RANDOM_ACCESS = ("zip", "7z")  # formats whose list of members is at the end


class Unpacking:
    """Unpacks archives below `target`, with `nested` those inside them as well.

    Its own files are in a folder inside `target`, which `close` removes.
    """

    def __init__(self, target: Path, limits: Limits, nested: bool) -> None:
        self.target, self.limits, self.nested = target, limits, nested
        self.placement = Placement()
        self.scratch: Path | None = None
        self.n_folders = 0

    def close(self) -> None:
        """Remove the files of its own."""
        if self.scratch:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def _new_folder(self) -> Path:
        """A new folder on the disk of `target`, removed at the end."""
        if self.scratch is None:
            self.scratch = Path(tempfile.mkdtemp(dir=self.target, prefix=".unpacking-"))
        self.n_folders += 1
        folder = self.scratch / str(self.n_folders)
        folder.mkdir()
        return folder

    def unpack(self, archive: Archive, folder: Path, depth: int = 1) -> None:
        """Write an archive's files below an empty folder. Raises DataError, and the disk's OSError."""
        if depth == 1:
            self.limits.begin(archive.n_bytes)
        inner: list[Archive] = []
        destinations = Destinations(folder, archive.label)
        with (
            _damage_named(archive, self.target),
            archive.open() as source,
            members_of(archive, source, self.limits, self._new_folder) as members,
        ):
            for member in members:
                self.limits.count_file(archive.label)
                destination = destinations.add(member.name)
                if self.nested and _is_archive(member, destination, folder):
                    inner.append(self._kept(member, destination, archive.label))
                else:
                    self._write(member, destination, archive.label)
            self.replace(joined(inner), depth + 1)
        for part in inner:
            self._remove(part)

    def replace(self, archives: Sequence[Archive], depth: int) -> None:
        """Put into the place of each archive what it holds, unless that is beside it already.

        depth is the number of archives around each, and 1. Raises DataError, and the disk's
        OSError.
        """
        closed = [archive for archive in archives if not content_is_beside(archive)]
        for archive in closed:
            self.limits.check_depth(depth, archive.label)
            content = self._new_folder()
            self.unpack(archive, content, depth)
            self.placement.place(content, archive)
            self._remove(archive)

    def _kept(self, member: Member, destination: Path, label: str) -> Archive:
        """An archive inside an archive; written only where it cannot be read where it is."""
        needs_seeking = archive_format(destination.name) in RANDOM_ACCESS
        opener = member.in_place if needs_seeking else member.stream if member.waits else None
        if part_of(destination.name) or opener is None:
            self._write(member, destination, label)
            opener = archive_file(destination).open
        else:
            destination.touch()  # no other member gets its path
        name = f"{label}: {member.name[:200]}"
        return Archive(destination, name, member.n_bytes, opener, (destination,))

    def _remove(self, archive: Archive) -> None:
        """Remove what was written of an archive inside another."""
        for file in archive.files:
            if file.is_relative_to(self.target):
                file.unlink(missing_ok=True)

    def _write(self, member: Member, destination: Path, label: str) -> None:
        if member.file:
            member.file.replace(destination)
            return
        with member.stream() as source, destination.open("wb") as out:
            while block := source.read(BLOCK):
                self.limits.count(len(block), label)
                out.write(block)


def _is_archive(member: Member, destination: Path, folder: Path) -> bool:
    if archive_format(destination.name) is None:
        return False
    is_visible = not any(map(is_hidden, destination.relative_to(folder).parts))
    return is_visible and (member.n_bytes >= MIN_BYTES or part_of(destination.name) is not None)


@contextmanager
def _damage_named(archive: Archive, target: Path) -> Iterator[None]:
    """Raises DataError for whatever damage makes the libraries raise."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        if error.errno in ENVIRONMENT:
            raise
        if error.errno in (None, errno.EINVAL):  # a decompressor's; a position before the start
            raise _damaged(archive, error) from None
        reason = error.strerror or error
        raise DataError(
            f"{archive.label}: cannot be unpacked into {target.parent} ({reason})"
        ) from None
    except Exception as error:  # zipfile, tarfile and py7zr raise many types, IndexError among them
        raise _damaged(archive, error) from None


def _damaged(archive: Archive, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:150]  # tarfile has a line for every compression it tried
    with suppress(Exception), archive.open() as source:
        suffix = format_by_content(source.read(512))
        kind = archive_format(f"a{suffix}")
        if kind not in (None, archive_format(archive.path.name)):
            reason = f"its content is that of a {suffix} archive"
    return DataError(f"{archive.label}: damaged or unsupported archive ({reason})")
