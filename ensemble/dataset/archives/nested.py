"""Folders whose images are in archives, at any depth: which archives, how large, all opened."""

import os
import shutil
from contextlib import closing, suppress
from pathlib import Path

from ensemble.dataset.archives.beside import content_is_beside
from ensemble.dataset.archives.limits import MAX_DEPTH, Limits
from ensemble.dataset.archives.members import Member, zip_members
from ensemble.dataset.archives.names import archive_format, part_of
from ensemble.dataset.archives.seven_zip import seven_zip_bytes
from ensemble.dataset.archives.stored import Archive, archive_file, joined
from ensemble.dataset.archives.unpacking import MIN_BYTES, Unpacking
from ensemble.dataset.scan import visible_files
from ensemble.errors import DataError
from ensemble.events import Progress
from ensemble.files import not_used


def inner_archives(root: Path) -> tuple[Path, ...]:
    """The archives below a folder that have to be opened, sorted; of a split one a single part.

    Hidden files and macOS's copies do not count, nor archives whose content lies beside them, nor
    files too small to be an archive. Raises DataError, also where a part is missing.
    """
    return tuple(archive.files[0] for archive in _closed(root))


def sizes_of_archives(root: Path) -> int:
    """The bytes of those archives when unpacked, as their headers say; else their own size.

    Raises DataError.
    """
    return sum(map(_unpacked_bytes, _closed(root)))


def unpack_all(root: Path, target: Path, progress: Progress) -> None:
    """Fill the empty folder `target` with the files of `root`, each archive replaced by its content.

    Files are linked where the disk can, else copied; hidden ones are left out. progress gets bytes.
    Raises DataError, and OSError where the disk or its permissions refuse; `target` then holds
    anything.
    """
    limits = Limits(progress, sizes_of_archives(root))
    archives: list[Archive] = []
    with closing(Unpacking(target, limits, nested=True)) as unpacking:
        for path, kind in visible_files(root):
            destination = target / path.relative_to(root)
            if _is_archive(path, kind):
                archives.append(archive_file(path, destination))
            elif kind != "no regular files":
                limits.count_file(str(root))
                _link(path, destination)
        unpacking.replace(joined(archives), depth=1)


def _closed(root: Path) -> list[Archive]:
    archives = [archive_file(path) for path, kind in visible_files(root) if _is_archive(path, kind)]
    return [archive for archive in joined(archives) if not content_is_beside(archive)]


def _is_archive(path: Path, kind: str | None) -> bool:
    is_named_so = archive_format(path.name) is not None and (kind or "").startswith(".")
    return is_named_so and (part_of(path.name) is not None or path.stat().st_size >= MIN_BYTES)


def _link(path: Path, destination: Path) -> None:
    """A second name for a file, or a copy. Raises DataError for one that cannot be read."""
    if not destination.parent.is_dir():
        destination.parent.mkdir(parents=True)
    file = str(path)
    if os.path.islink(path):
        file = os.path.realpath(path)
        if not os.path.exists(file):
            destination.symlink_to(file)  # a broken link stays one, and is counted as such
            return
    try:
        os.link(file, destination)
    except OSError:
        try:
            shutil.copyfile(file, destination)
        except OSError as error:
            if error.filename != file:
                raise
            raise DataError(not_used(path, error)) from None


def _unpacked_bytes(archive: Archive, depth: int = 1) -> int:
    kind = archive_format(archive.path.name)
    with suppress(Exception), archive.open() as source:  # damage is reported where it is opened
        if kind == "7z":
            return seven_zip_bytes(source, archive.label)
        if kind == "zip":
            with zip_members(source, archive.label) as members:
                return sum(_member_bytes(member, archive.label, depth) for member in members)
    return archive.n_bytes


def _member_bytes(member: Member, label: str, depth: int) -> int:
    if member.in_place is None or depth == MAX_DEPTH or archive_format(member.name) is None:
        return member.n_bytes
    inner = Archive(Path(member.name), label, member.n_bytes, member.in_place, ())
    return _unpacked_bytes(inner, depth + 1)
