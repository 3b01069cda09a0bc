"""The plain folder of what a competition ships: archives and records are unpacked once."""

from dataclasses import dataclass
from pathlib import Path

from ensemble.dataset.archives import folder_of
from ensemble.paths import find


@dataclass(frozen=True)
class Opened:
    """A folder of plain files; given is what the user named, an archive in the cache included."""

    root: Path
    given: Path
    is_archive: bool


def opened(path: str, name: str) -> Opened:
    """The plain folder of a folder or archive. Raises DataError."""
    given = find(path)
    root = folder_of(given)
    return Opened(root, root, given.is_file())
