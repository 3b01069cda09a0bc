"""Write files so that a reader never sees half of one, and name them by their content."""

import errno
import glob
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ensemble.errors import EnsembleError
from ensemble.paths import cache_root

PNG_MARK = b"Software\0ens"  # as in every figure of ens
ENVIRONMENT = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
)  # nothing in the files


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place, whole, when the block ends well. Raises EnsembleError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name[:40]}.", suffix=path.suffix
        )
        os.close(handle)
    except OSError as error:
        raise EnsembleError(not_written(path, error)) from None
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("r+b") as stored:  # Windows flushes only what may be written
            os.fsync(stored.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise EnsembleError(not_written(path, error)) from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def staged_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target` that takes its name, whole, when the block ends well.

    Raises OSError, also where `target` holds files by then. A process that is killed leaves
    `.NAME.unfinished-…` beside it, which `remove_unfinished` removes.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=_unfinished_prefix(target)))
    try:
        yield staging
        staging.chmod(0o777 & ~_umask())
        _publish(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_unfinished(target: Path) -> None:
    """Remove what killed processes left beside `target`; only where no other process fills it."""
    for staging in target.parent.glob(f"{glob.escape(_unfinished_prefix(target))}*"):
        shutil.rmtree(staging, ignore_errors=True)


def _unfinished_prefix(target: Path) -> str:
    return f".{target.name[:40]}.unfinished-"


def _publish(staging: Path, target: Path) -> None:
    """Give a folder its final name once its files are on the disk. Raises OSError.

    A power cut leaves the whole folder under that name, or none.
    """
    if sys.platform == "linux":
        os.sync()  # all files at once: 0.1 s for 2,000 files of 20 kB, one fsync each 7.5 s
    else:
        for path in staging.rglob("*"):
            if path.is_file():
                with path.open("r+b") as stored:
                    os.fsync(stored.fileno())
    staging.rename(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's new names to the disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):  # not on Windows
        with suppress(OSError):  # some network file systems refuse
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def make_folder(folder: Path) -> Path:
    """The folder, made with its parents where it is not there yet. Raises EnsembleError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnsembleError(not_written(folder, error)) from None
    return folder


def not_written(path: Path | str, error: OSError, problem: str = "cannot be written") -> str:
    """What to say of a file or folder that cannot be made: the reason, then the ways out, in three lines."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    is_taken = isinstance(error, NotADirectoryError | FileExistsError)
    remedy = (
        "make room on that disk"
        if is_full
        else "a file is in the way: move it"
        if is_taken
        else ("let this user write there")
    )
    ways = "--runs DIR (ENS_RUNS) for runs, --out for what else is written; or run `ens` in another folder"
    if _is_cached(Path(path)):
        ways = "set ENS_CACHE to a folder with room that you may write; it holds only what can be made again"
    return f"{str(path)[:300]}: {problem} ({error.strerror or error})\n{remedy}, or choose another folder:\n{ways}"


def not_used(path: Path | str, error: OSError) -> str:
    """What to say of a file or folder that this user may not read or write: which of both, the system does not say."""
    reason = error.strerror or error
    return f"{str(path)[:300]}: cannot be used ({reason})\nlet this user read it and write there, or use another folder"


def _is_cached(path: Path) -> bool:
    """Whether a path lies in the cache."""
    return path.absolute().is_relative_to(cache_root().absolute())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_replaceable(path: Path, mark: bytes) -> None:
    """Whether a file of this name may be replaced without asking: its first bytes hold the mark that ens leaves.

    Raises EnsembleError.
    """
    try:
        with path.open("rb") as stored:
            is_ours = mark in stored.read(2048)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EnsembleError(not_written(path, error)) from None
    if not is_ours:
        raise EnsembleError(
            f"{path}: exists, and ens did not write it\nmove it away, or name another place"
        )


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically, always with plain newlines. Raises EnsembleError."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex. Raises OSError."""
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()
