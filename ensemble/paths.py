"""Where data lie: under ENS_DATA or here; and the cache, for what can be made again: ENS_CACHE."""

import os
from pathlib import Path

from ensemble.errors import DataError


def cache_root() -> Path:
    """The folder of files that ens can make again: ENS_CACHE, else .ens_cache here."""
    return Path(os.environ.get("ENS_CACHE") or ".ens_cache")


def data_root() -> Path | None:
    """The folder that ENS_DATA names, None where it is not set."""
    folder = os.environ.get("ENS_DATA")
    return Path(folder) if folder else None


def candidates(path: str | Path) -> list[Path]:
    """What a recipe's path may mean, in this order: under ENS_DATA, under the current folder."""
    root = data_root()
    if root is None or Path(path).is_absolute():
        return [Path(path)]
    return [root / path, Path(path)]


def find(path: str, get: str | None = None, key: str = "data.path") -> Path:
    """The file or folder that a key of the recipe names; `get` is what fetches it.

    Raises DataError: `data.path: birds does not exist; looked at …`.
    """
    found = _existing(path)
    if found is not None:
        return found
    fetch = f"`ens data get {get}` fetches it; or " if get else ""
    raise DataError(
        f"{key}: {path[:200]} does not exist; looked at {_searched(path)}\n"
        f"{fetch}put {'the images' if key == 'data.path' else 'it'} there, or --set {key}=…"
    )


def find_argument(path: str) -> Path:
    """The file or folder that a command was given. Raises DataError."""
    found = _existing(path)
    if found is not None:
        return found
    raise DataError(
        f"{path[:200]}: no such file or folder; looked at {_searched(path)}\n"
        "check the path, or set ENS_DATA to the folder that it is in"
    )


def _existing(path: str) -> Path | None:
    # Path.exists raises for a name that is too long
    return next(filter(os.path.exists, candidates(path)), None)


def _searched(path: str) -> str:
    return ", ".join(str(candidate.absolute())[:200] for candidate in candidates(path))
