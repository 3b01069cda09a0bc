"""Write files so that a reader never sees half of one; hash them by content."""

import csv
import errno
import glob
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ensemble.errors import EnsembleError
from ensemble.paths import cache_root

PNG_MARK = b"Software\0ens"  # in every figure that ens writes
# errors whose cause is the disk or its permissions, not the content of a file
ENVIRONMENT = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary file that replaces `path` when the block succeeds. Raises EnsembleError."""
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
        with temporary.open("r+b") as stored:  # Windows flushes only files open for writing
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
        with _claimed(staging):
            yield staging
            staging.chmod(0o777 & ~_umask())
            _publish(staging, target)
    except EnsembleError as error:  # about a file under the name that the folder has for now
        raise type(error)(str(error).replace(str(staging), str(target))) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def remove_unfinished(target: Path) -> None:
    """Remove what killed processes left beside `target`, not what another process fills."""
    for staging in target.parent.glob(f"{glob.escape(_unfinished_prefix(target))}*"):
        with _claimed(staging) as is_free:
            if is_free:
                shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Hold a folder for this process; yields False where another one holds it.

    The kernel frees it when its process ends. On Windows, and where the file system has no locks,
    every folder is free.
    """
    if sys.platform == "win32":
        yield True
        return
    import fcntl

    handle, is_free = None, True
    try:
        handle = os.open(folder, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        is_free = error.errno not in (errno.EAGAIN, errno.EACCES)
    try:
        yield is_free
    finally:
        if handle is not None:
            os.close(handle)


def _unfinished_prefix(target: Path) -> str:
    """What the names of a target's unfinished folders begin with; no other target shares it."""
    name = target.name
    if len(name) > 40:  # with the rest of the name the path could be too long
        name = f"{name[:40]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    return f".{name}.unfinished-"


def _publish(staging: Path, target: Path) -> None:
    """Give a folder its final name once its files are on the disk. Raises OSError.

    A power cut leaves the whole folder under that name, or none.
    """
    if sys.platform == "linux":
        os.sync()  # 0.1 s for 2,000 files of 20 kB; an fsync for each takes 7.5 s
    else:
        for path in staging.rglob("*"):
            if path.is_file():
                with path.open("r+b") as stored:
                    os.fsync(stored.fileno())
    staging.rename(target)
    sync_folder(target.parent)


@contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file; yields False if another process holds it and wait is off.

    The kernel frees the lock when its process ends, in whatever way. Raises OSError, and
    NotImplementedError where the file system has no locks.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def sync_folder(folder: Path) -> None:
    """Write a folder's new names to disk, where the system can."""
    if hasattr(os, "O_DIRECTORY"):  # not on Windows
        with suppress(OSError):  # some network file systems refuse
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def make_folder(folder: Path) -> Path:
    """The folder, created with its parents if it does not exist. Raises EnsembleError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnsembleError(not_written(folder, error)) from None
    return folder


def not_written(path: Path | str, error: OSError, problem: str = "cannot be written") -> str:
    """The error text for a path that cannot be written: the reason, then ways out."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        fix = "free space on that disk"
    elif isinstance(error, NotADirectoryError | FileExistsError):
        fix = "a file is in the way: move it"
    elif error.errno == errno.ENOTEMPTY:
        fix = "another process has written it meanwhile: use that one, or remove it"
    elif error.errno == errno.EROFS:
        fix = "that disk is only for reading"
    elif isinstance(error, IsADirectoryError):
        fix = "a folder has this name: choose another name"
    elif error.errno == errno.ENAMETOOLONG:
        fix = "choose a shorter name"
    else:
        fix = "give this user permission to write there"
    options = (
        "--runs DIR (ENS_RUNS) for runs, --out for other files; or run `ens` in another folder"
    )
    if _is_cached(Path(path)):
        options = (
            "set ENS_CACHE to a writable folder with free space; the cache can be rebuilt any time"
        )
    reason = error.strerror or error
    return f"{str(path)[:300]}: {problem} ({reason})\n{fix}, or choose another folder:\n{options}"


def not_used(path: Path | str, error: OSError) -> str:
    """The error text for a path without permission, be it to read or to write."""
    reason = error.strerror or error
    fix = "give this user permission to read and write it, or use another folder"
    return f"{str(path)[:300]}: cannot be used ({reason})\n{fix}"


def not_read(path: Path | str, error: OSError) -> str:
    """The error text for a file or folder that the system does not read: the reason, a way out."""
    fix = {
        errno.EACCES: "give this user permission to read it, or move it away",
        errno.ENOENT: "put it back and run the command again",
        errno.EMFILE: "allow this shell more open files: ulimit -n 4096",
    }.get(error.errno or 0, "run the command again; if that fails, replace the file or remove it")
    return f"{str(path)[:300]}: cannot be read ({error.strerror or error})\n{fix}"


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, without the names of Python's errors."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "damaged"


def _is_cached(path: Path) -> bool:
    """Whether a path is in the cache."""
    return path.absolute().is_relative_to(cache_root().absolute())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_replaceable(path: Path, mark: bytes) -> None:
    """Refuse to replace a file without the mark that ens leaves in the first 2 KB of its own files.

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
            f"{path}: exists, and ens did not write it\nmove it away, or choose another path"
        )


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file atomically. Raises EnsembleError."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Replace a text file atomically, always with plain newlines. Raises EnsembleError."""
    write_bytes(path, text.encode())


def as_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Rows as a CSV with plain newlines."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file atomically by `finite` plain values. Raises EnsembleError."""
    write_text(path, json.dumps(finite(value), indent=1, ensure_ascii=False) + "\n")


def finite(value: Any) -> Any:
    """Plain values as JSON reads them back, with null for NaN and infinite numbers, which it lacks."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex. Raises OSError."""
    with path.open("rb") as stored:
        return hashlib.file_digest(stored, "sha256").hexdigest()
