"""Which files below a folder are images: by suffix, else by first bytes. Follows links."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from ensemble.dataset.filenames import (
    OTHER_FILES,
    SUFFIXES,
    TEXTS,
    UNREAD_PHOTOS,
    contents,
    is_hidden,
)
from ensemble.dataset.own_folders import is_written_by_ens
from ensemble.errors import DataError
from ensemble.files import not_read
from ensemble.grouping import grouped

SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"8BPS", b"qoif", b"DDS "),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"SIMPLE  ="),
    *(b"\0\0\0\x0cjP  \r\n", b"\xff\x4f\xff\x51"),
)
# so short, or of a container so general, that only a decoder can say whether an image follows
WEAK_SIGNATURES = (
    *(b"BM", b"RIFF", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"icns", b"/* XPM"),
    *(b"\0\0\1\0", b"\0\0\2\0", b"\x01\xda", b"\x59\xa6\x6a\x95", b"\x0a"),
)
NOT_IMAGES = TEXTS | OTHER_FILES
N_KINDS = 4  # of passed-over files that a message names


@dataclass(frozen=True)
class Scan:
    """The image files below a folder, sorted, and by kind the files passed over.

    Hidden files are in neither, nor are tables and texts.
    """

    images: tuple[Path, ...]
    passed_over: dict[str, tuple[Path, ...]]


Listing = list[tuple[Path, str | None]]  # every visible file; None for an image, else its kind

_listings: ContextVar[dict[Path, Listing] | None] = ContextVar("_listings", default=None)


@contextmanager
def each_folder_once() -> Iterator[None]:
    """In this block and thread, a folder is walked once, however often it or its folders are listed."""
    if _listings.get() is not None:
        yield
        return
    token = _listings.set({})
    try:
        yield
    finally:
        _listings.reset(token)


def scan(folder: Path) -> Scan:
    """Scan a folder and every folder in it. Raises DataError, also for links that form a circle."""
    if not os.path.isdir(folder):  # Path.is_dir raises for a name that is too long
        raise DataError(
            f"{str(folder.absolute())[:200]}: no such folder\n{contents(folder.parent)}"
        )
    files = grouped((kind or "", path) for path, kind in visible_files(folder))
    images = files.pop("", [])
    for path in images:
        if not _is_utf8(path):
            raise DataError(f"{one_line(path)}: its name is not text in UTF-8\nrename the file")
    by_kind = {kind: tuple(sorted(files[kind])) for kind in sorted(files.keys() - TEXTS)}
    return Scan(tuple(sorted(images, key=attrgetter("parts"))), by_kind)


def visible_files(folder: Path) -> Listing:
    """Every file below a folder that is not hidden, with None for an image and else its kind.

    Raises DataError.
    """
    listings = _listings.get()
    if listings is None:
        return list(_walk(folder, (os.path.realpath(folder),)))
    if folder not in listings:
        outer = next((known for known in folder.parents if known in listings), None)
        if outer is not None and not _is_left_out(folder, outer):
            inside = f"{folder}{os.sep}"
            listings[folder] = [
                (path, kind) for path, kind in listings[outer] if str(path).startswith(inside)
            ]
        else:
            listings[folder] = list(_walk(folder, (os.path.realpath(folder),)))
    return listings[folder]


def _is_left_out(folder: Path, outer: Path) -> bool:
    """Whether the listing of an outer folder does not have what is in this one."""
    parents = [folder, *folder.parents]
    inner = parents[: parents.index(outer)]
    return any(is_hidden(parent.name) or is_written_by_ens(parent) for parent in inner)


def image_files(folder: Path) -> list[Path]:
    """Every image file below a folder, hidden ones left out, sorted. Raises DataError."""
    return list(scan(folder).images)


def passed_over_line(*scans: Scan) -> str:
    """One line about files that are not images, each counted once; "" without any."""
    kinds: dict[str, set[Path]] = {}
    for scanned in scans:
        for kind, paths in scanned.passed_over.items():
            kinds.setdefault(kind, set()).update(paths)
    if not kinds:
        return ""
    by_count = sorted(kinds, key=lambda kind: (-len(kinds[kind]), kind))
    counts = ", ".join(f"{len(kinds[kind]):,} {kind}" for kind in by_count[:N_KINDS])
    if len(kinds) > N_KINDS:
        counts += f" and {len(kinds) - N_KINDS} more kinds"
    photos = " and ".join(sorted(UNREAD_PHOTOS & kinds.keys()))
    way_out = f"; save {photos} as .jpg to use them" if photos else ""
    return f"skipped: {counts}, such as {one_line(min(kinds[by_count[0]]))}{way_out}"


def is_image(path: Path) -> bool:
    """Whether a file is an image: by its suffix, or by its content if the suffix is unknown."""
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (suffix not in NOT_IMAGES and _has_image_content(str(path)))


def one_line(path: Path) -> str:
    """A path for a message: line ends and characters that are not printable are escaped."""
    return str(path) if str(path).isprintable() else ascii(str(path))


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[tuple[Path, str | None]]:
    """The visible files of a folder; above holds its real path and those that lead to it."""
    try:
        with os.scandir(folder) as opened:
            entries = [entry for entry in opened if not is_hidden(entry.name)]
    except OSError as error:
        raise DataError(not_read(one_line(folder), error)) from None
    for entry in entries:
        path = folder / entry.name
        if not _is_folder(entry):
            yield path, _kind(entry, path)
        elif is_written_by_ens(path):
            continue
        elif entry.is_symlink():
            target = os.path.realpath(path)
            if target in above:
                raise DataError(
                    f"{one_line(path)}: a circular link to {one_line(Path(target))}\n"
                    "remove the link"
                )
            yield from _walk(path, (*above, target))
        else:
            yield from _walk(path, (*above, os.path.join(above[-1], entry.name)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link to itself is not."""
    with suppress(OSError):
        return entry.is_dir()
    return False


def _kind(entry: os.DirEntry[str], path: Path) -> str | None:
    """None for an image, else what a message calls such files."""
    if entry.is_symlink() and not os.path.exists(path):
        return "broken links"
    is_file = os.path.isfile(path) if entry.is_symlink() else entry.is_file()
    if not is_file:
        return "no regular files"
    return None if is_image(path) else path.suffix.lower() or "without suffix"


def _has_image_content(path: str) -> bool:
    """Whether a file begins as an image that Pillow reads; cached by path, size and time."""
    with suppress(OSError):
        stat = os.stat(path)
        return _begins_as_image(path, stat.st_size, stat.st_mtime_ns)
    return False


@lru_cache(maxsize=500_000)
def _begins_as_image(path: str, n_bytes: int, changed_ns: int) -> bool:
    with suppress(OSError):
        with open(path, "rb") as stored:
            head = stored.read(16)
        if head.startswith(SIGNATURES) or head[4:12] in (b"ftypavif", b"ftypavis"):
            return True
        return head.startswith(WEAK_SIGNATURES) and _opens(Path(path))
    return False


def _opens(path: Path) -> bool:
    from ensemble.dataset.image_file import open_image

    with suppress(Exception), open_image(path):
        return True
    return False


def _is_utf8(path: Path) -> bool:
    return str(path) == str(path).encode(errors="replace").decode()
