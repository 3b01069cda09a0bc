"""Content hashes of files, remembered by path, size and time of change so that a second look costs a stat."""

import hashlib
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

from ensemble.dataset.places import cache_root
from ensemble.errors import DataError

_Stat = tuple[int, int]


def content_hashes(files: Sequence[Path]) -> list[str]:
    """A 128-bit BLAKE2 hash of each file's bytes, as hex. Raises DataError."""
    index = cache_root() / "content.sqlite"
    paths = [str(file.resolve()) for file in files]
    try:
        stats = [(stat.st_size, stat.st_mtime_ns) for stat in (file.stat() for file in files)]
        known = _recall(index)
        stale = [i for i, path in enumerate(paths) if known.get(path, ((-1, -1), ""))[0] != stats[i]]
        with ThreadPoolExecutor(8) as pool:
            fresh = dict(zip(stale, pool.map(_hash, [files[i] for i in stale]), strict=True))
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror})") from None
    _remember(index, [(paths[i], *stats[i], fresh[i]) for i in stale])
    return [fresh[i] if i in fresh else known[path][1] for i, path in enumerate(paths)]


def _hash(file: Path) -> str:
    with file.open("rb") as stored:
        return hashlib.file_digest(stored, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _recall(index: Path) -> dict[str, tuple[_Stat, str]]:
    if not index.exists():
        return {}
    with suppress(sqlite3.Error), closing(sqlite3.connect(index, timeout=30)) as db:
        rows = db.execute("SELECT path, size, mtime, hash FROM content")
        return {path: ((size, mtime), digest) for path, size, mtime, digest in rows}
    return {}


def _remember(index: Path, rows: list[tuple[str, int, int, str]]) -> None:
    """The index only saves time: where it cannot be written, files are hashed again."""
    if not rows:
        return
    with suppress(sqlite3.Error, OSError):
        index.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(index, timeout=30)) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS content (path TEXT PRIMARY KEY, size INT, mtime INT, hash TEXT)")
            db.executemany("INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)", rows)
