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


def find(path: str, get: str | None = None) -> Path:
    """The file or folder that data.path names; `get` is what fetches it. Raises DataError."""
    paths = candidates(path)
    for candidate in paths:
        if os.path.exists(candidate):  # Path.exists raises for a name that is too long
            return candidate
    searched = ", ".join(str(candidate.absolute())[:200] for candidate in paths)
    fetch = f"`ens data get {get}` fetches it; or " if get else ""
    raise DataError(
        f"data.path: {path[:200]} does not exist; looked at {searched}\n"
        f"{fetch}put the images there, or --set data.path=…"
    )
