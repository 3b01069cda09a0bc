"""The plain folder of what a competition ships: archives, records and arrays are unpacked once."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ensemble.convert.plan import Conversion, conversion_of
from ensemble.dataset.archives.cached import folder_of
from ensemble.dataset.archives.nested import inner_archives, sizes_of_archives, unpack_all
from ensemble.dataset.own_folders import UNPACKED
from ensemble.dataset.scan import visible_files
from ensemble.errors import DataError
from ensemble.events import Emit, Note, ignore, steps
from ensemble.files import ENVIRONMENT, not_written, remove_unfinished, staged_folder
from ensemble.numbers import count, gigabytes
from ensemble.paths import find_argument


@dataclass(frozen=True)
class Opened:
    """A folder of image files and tables; is_archive: in the cache, from the archive itself.

    given is the folder that the user named; root differs from it where it was unpacked.
    """

    root: Path
    given: Path
    is_archive: bool


def opened(path: str, target: Path, emit: Emit = ignore) -> Opened:
    """The plain folder of a folder or archive: itself, or `target`, where it is unpacked once.

    Raises DataError.
    """
    given = find_argument(path)
    root = folder_of(given)
    is_archive = given.is_file()
    archives = () if is_archive else inner_archives(root)
    conversion = None if archives else conversion_of(root)
    if not archives and conversion is None:
        return Opened(root, root, is_archive)
    if not _is_unpacked(root, target):
        remove_unfinished(target)
        _unpack(root, target, len(archives), conversion, emit)
    return Opened(target, root, is_archive=False)


def unpacked_folder(path: str, target: Path | None, emit: Emit = ignore) -> Path:
    """The folder of image files and tables for a folder or archive of anything else.

    Without a target it is NAME_images in the current folder. Raises DataError, also where there is
    nothing to unpack.
    """
    given = find_argument(path)
    target = target or Path(f"{default_name(path)}_images")
    folder = opened(path, target, emit)
    if folder.root == given:
        raise DataError(f"{path}: holds plain files already; nothing to unpack")
    if not folder.is_archive:
        return folder.root
    if not _is_unpacked(folder.root, target):
        remove_unfinished(target)
        _copy(folder.root, target)
    return target


def default_name(path: str) -> str:
    """A name for recipes from a folder's or archive's name."""
    stem = Path(path).absolute().name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9-]+", "_", stem).strip("_-")[:60] or "images"


def _is_unpacked(root: Path, target: Path) -> bool:
    """Whether the target is there, from this content. Raises DataError for any other target."""
    if not os.path.lexists(target) or _is_empty(target):
        return False
    try:
        source = json.loads((target / UNPACKED).read_text(encoding="utf-8"))["source"]
    except (OSError, ValueError, KeyError, TypeError):
        source = None
    if source != _fingerprint(root):
        raise DataError(
            f"{target}: exists, but not with what is in {root} now\n"
            "remove it, or choose another --name (`ens data unpack`: --to)"
        )
    return True


def _is_empty(folder: Path) -> bool:
    """Whether a path is a real folder without anything in it."""
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())


def _fingerprint(root: Path) -> str:
    """A hash of the names, sizes and times of a folder's files, without what ens wrote there."""
    paths = sorted(path for path, _ in visible_files(root) if path.is_file())
    stats = [(path.relative_to(root).as_posix(), path.stat()) for path in paths]
    lines = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _unpack(
    root: Path, target: Path, n_archives: int, conversion: Conversion | None, emit: Emit
) -> None:
    n_bytes = conversion.n_bytes if conversion else sizes_of_archives(root)
    source = conversion.kind if conversion else count(n_archives, "archive")
    _check_space(target, n_bytes)
    emit(Note(target.name, f"unpacking {source} into {target}: {gigabytes(n_bytes)}"))
    with _filled(root, target) as staging:
        if conversion is not None:
            _convert(conversion, staging, target, emit)
        else:
            _open_archives(root, staging, target, emit)


def _copy(root: Path, target: Path) -> None:
    """Fill the target with the plain files of an archive that is unpacked in the cache."""
    _check_space(target, sum(path.stat().st_size for path, _ in visible_files(root)))
    with _filled(root, target) as staging:
        shutil.copytree(root, staging, dirs_exist_ok=True)


@contextmanager
def _filled(root: Path, target: Path) -> Iterator[Path]:
    """A folder to fill that becomes the target, marked with what it is from. Raises DataError."""
    try:
        with staged_folder(target) as staging:
            yield staging
            marker = {"source": _fingerprint(root), "from": str(root)}
            (staging / UNPACKED).write_text(json.dumps(marker), encoding="utf-8")
    except OSError as error:
        if error.errno not in ENVIRONMENT:
            raise
        raise DataError(not_written(target, error)) from None


def _check_space(target: Path, n_bytes: int) -> None:
    """Raises DataError where the disk is too small."""
    parent = next(folder for folder in target.absolute().parents if folder.is_dir())
    n_free = shutil.disk_usage(parent).free
    if n_bytes > n_free:
        raise DataError(
            f"{target}: {gigabytes(n_bytes)} are needed, {gigabytes(n_free)} are free on that disk\n"
            "free space, or run `ens` in a folder on another disk"
        )


def _open_archives(root: Path, staging: Path, target: Path, emit: Emit) -> None:
    """Fill a folder with the images that archives hold, or that their tables and records hold."""
    with TemporaryDirectory(dir=staging, prefix=".opened-") as temporary:
        folder = Path(temporary)
        unpack_all(root, folder, steps(emit, target.name, "unpacking"))
        conversion = conversion_of(folder)
        if conversion is not None:
            _convert(conversion, staging, target, emit)
            return
        for child in folder.iterdir():
            child.rename(staging / child.name)


def _convert(conversion: Conversion, staging: Path, target: Path, emit: Emit) -> None:
    conversion.write(staging, steps(emit, target.name, "writing images"))
    for note in conversion.notes:
        emit(Note(target.name, note))
