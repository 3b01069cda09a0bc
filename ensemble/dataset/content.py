"""Content hashes of files, cached by path and stat: an unchanged file is not read again."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ensemble.dataset.cache_table import CacheTable
from ensemble.errors import DataError
from ensemble.files import not_read
from ensemble.paths import cache_root

_Stat = tuple[int, int, int, str]
COLUMNS = (
    "path TEXT PRIMARY KEY",
    "size INT",
    "mtime INT",
    "ctime INT",
    "inode TEXT",  # 64 bits without a sign on Windows; an INT of SQLite has 63
    "hash TEXT",
)


def content_hashes(files: Sequence[Path]) -> list[str]:
    """A 128-bit BLAKE2 hash of each file's bytes, as hex. Raises DataError."""
    paths = [str(file.resolve()) for file in files]
    try:
        stats = [_stat(file) for file in files]
        hashes = _cached_hashes(paths, stats)
        stale = [i for i, path in enumerate(paths) if path not in hashes]
        with ThreadPoolExecutor(8) as pool:
            fresh = list(pool.map(_hash, [files[i] for i in stale]))
        unchanged = [_stat(files[i]) == stats[i] for i in stale]
    except OSError as error:
        raise DataError(not_read(error.filename, error)) from None
    hashes |= {paths[i]: digest for i, digest in zip(stale, fresh, strict=True)}
    stored = [i for i, is_unchanged in zip(stale, unchanged, strict=True) if is_unchanged]
    _table().store([(paths[i], *stats[i], hashes[paths[i]]) for i in stored])
    return [hashes[path] for path in paths]


def files_by_content(hashes: Mapping[Path, str]) -> dict[str, Path]:
    """A file for each content hash, both in an order that depends on hashes and names alone."""
    by_hash = {digest: file for file, digest in sorted(hashes.items(), reverse=True)}
    return dict(sorted(by_hash.items()))


def content_hash(content: bytes) -> str:
    """The hash that `content_hashes` gives a file with this content."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def read_hashed(file: Path, digest: str) -> bytes:
    """A file's bytes, which must have this content hash. Raises DataError."""
    try:
        stored = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"{file}: can no longer be read ({error.strerror})\n"
            "put it back and run the command again"
        ) from None
    if content_hash(stored) != digest:
        _table().remove(str(file.resolve()))
        raise DataError(
            f"{file}: was changed while this command was using it\n"
            "put it back, or run the command again"
        )
    return stored


def _table() -> CacheTable:
    return CacheTable(cache_root() / "content.sqlite", "files", COLUMNS)


def _cached_hashes(paths: Sequence[str], stats: Sequence[_Stat]) -> dict[str, str]:
    """The hashes of the files whose stat is the cached one, by path."""
    current = dict(zip(paths, stats, strict=True))
    rows = _table().rows(current)
    return {path: digest for path, *stat, digest in rows if tuple(stat) == current[path]}


def _stat(file: Path) -> _Stat:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, str(stat.st_ino)


def _hash(file: Path) -> str:
    with file.open("rb") as stored:
        return hashlib.file_digest(stored, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
