"""Content hashes of files, remembered by path and stat (size, times, inode) so that a second look costs a stat."""

import hashlib
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from ensemble.errors import DataError
from ensemble.paths import cache_root

_Stat = tuple[int, int, int, int]
_NO_STAT = (-1, -1, -1, -1)


def content_hashes(files: Sequence[Path]) -> list[str]:
    """A 128-bit BLAKE2 hash of each file's bytes, as hex. Raises DataError."""
    index = cache_root() / "content.sqlite"
    paths = [str(file.resolve()) for file in files]
    try:
        stats = [_stat(file) for file in files]
        known = _recall(index)
        stale = [
            i for i, path in enumerate(paths) if known.get(path, (_NO_STAT, ""))[0] != stats[i]
        ]
        with ThreadPoolExecutor(8) as pool:
            fresh = dict(zip(stale, pool.map(_hash, [files[i] for i in stale]), strict=True))
        unchanged = [i for i in stale if _stat(files[i]) == stats[i]]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
    _remember(index, [(paths[i], *stats[i], fresh[i]) for i in unchanged])
    return [fresh[i] if i in fresh else known[path][1] for i, path in enumerate(paths)]


def content_hash(content: bytes) -> str:
    """The hash that `content_hashes` gives a file with this content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_hashed(file: Path, content: str) -> bytes:
    """A file's bytes, which must be those that have this hash. Raises DataError."""
    try:
        stored = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read any more ({error.strerror})\nput it back and run the command again"
        ) from None
    if content_hash(stored) != content:
        _forget(file)
        raise DataError(
            f"{file}: was changed while this command was using it\nput it back, or run the command again"
        )
    return stored


def _stat(file: Path) -> _Stat:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _hash(file: Path) -> str:
    with file.open("rb") as stored:
        return hashlib.file_digest(stored, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _recall(index: Path) -> dict[str, tuple[_Stat, str]]:
    if not index.exists():
        return {}
    with suppress(sqlite3.Error), closing(sqlite3.connect(index, timeout=30)) as db:
        rows = db.execute("SELECT path, size, mtime, ctime, inode, hash FROM files")
        return {
            path: ((size, mtime, ctime, int(inode)), digest)
            for path, size, mtime, ctime, inode, digest in rows
        }
    return {}


def _remember(index: Path, rows: list[tuple[str, int, int, int, int, str]]) -> None:
    """The index only saves time: where it cannot be written, files are hashed again."""
    if not rows:
        return
    with suppress(sqlite3.Error, OSError):
        index.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(index, timeout=30)) as db, db:
            db.execute(
                "CREATE TABLE IF NOT EXISTS files "
                "(path TEXT PRIMARY KEY, size INT, mtime INT, ctime INT, inode TEXT, hash TEXT)"
            )  # an inode of Windows may have 64 bits without a sign, an INT of SQLite has 63
            db.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (path, size, mtime, ctime, str(inode), digest)
                    for path, size, mtime, ctime, inode, digest in rows
                ],
            )


def _forget(file: Path) -> None:
    """Leave a file out of the index: what stands there about it is wrong."""
    index = cache_root() / "content.sqlite"
    if index.exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(index, timeout=30)) as db, db:
            db.execute("DELETE FROM files WHERE path = ?", (str(file.resolve()),))
