"""Archives, unpacked once into the cache; hostile and damaged ones leave nothing behind."""

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ensemble.dataset.archives.limits import Limits
from ensemble.dataset.archives.names import ARCHIVES, archive_format
from ensemble.dataset.archives.nested import inner_archives, unpack_all
from ensemble.dataset.archives.stored import Archive, with_parts
from ensemble.dataset.archives.unpacking import Unpacking
from ensemble.dataset.filenames import is_hidden
from ensemble.errors import DataError
from ensemble.files import not_written, staged_folder
from ensemble.paths import cache_root


def folder_of(path: Path, inside: str = "") -> Path:
    """The folder itself, or the one that an archive holds, unpacked once. Raises DataError.

    `inside` is a folder that the recipe names; an archive that has it has no wrapper folder.
    """
    return unpacked(path, inside) if path.is_file() else path


def unpacked(archive: Path, inside: str = "") -> Path:
    """An archive's folder, unpacked once into the cache, named by its content. Raises DataError.

    Archives inside it are replaced by what they hold.
    """
    if archive_format(archive.name) is None:
        raise DataError(f"{archive}: not a folder and not an archive ({', '.join(ARCHIVES)})")
    whole = with_parts(archive)
    target = cache_root() / "unpacked" / f"{archive.name.split('.')[0]}-{_sha256(whole)[:12]}"
    if not target.exists():
        _fill(target, whole)
    elif inner_archives(target):  # unpacked by a version that did not open them
        target = _opened(target)
    return _without_wrapper(target, inside)


def unpack_into(archive: Path, target: Path) -> None:
    """Write an archive's files below a folder, and nothing outside it; archives inside it stay.

    Raises DataError for a bad archive, and OSError where the disk or its permissions refuse.
    """
    _unpack(with_parts(archive), target, nested=False)


def _unpack(archive: Archive, target: Path, nested: bool) -> None:
    with closing(Unpacking(target, Limits(), nested)) as unpacking:
        unpacking.unpack(archive, target)


def _fill(target: Path, archive: Archive) -> None:
    """Unpack an archive and all inside it, whole or not at all. Raises DataError."""
    with _cached(target, archive.label) as staging:
        _unpack(archive, staging, nested=True)


def _opened(folder: Path) -> Path:
    """The folder's copy in which the archives that it holds are opened. Raises DataError."""
    target = folder.with_name(f"{folder.name}-opened")
    if not target.exists():
        with _cached(target, str(folder)) as staging:
            unpack_all(folder, staging, lambda done, total: None)
    return target


@contextmanager
def _cached(target: Path, source: str) -> Iterator[Path]:
    """A staged folder of the cache. Raises DataError where it cannot be written."""
    try:
        with staged_folder(target) as staging:
            yield staging
    except OSError as error:
        if not target.exists():  # else another process was faster, with the same content
            problem = f"cannot hold what is in {source}"
            raise DataError(not_written(target.parent, error, problem)) from None


def _sha256(archive: Archive) -> str:
    with archive.open() as source:
        return hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]


def _without_wrapper(folder: Path, inside: str) -> Path:
    """The folder inside a single folder that wraps everything, as archives often have it."""
    if inside not in ("", ".") and (folder / inside).exists():
        return folder
    children = [child for child in folder.iterdir() if not is_hidden(child.name)]
    return children[0] if len(children) == 1 and children[0].is_dir() else folder
