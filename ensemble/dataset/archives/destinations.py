"""Where members of archives are written: inside the folder, and no two to one path."""

import os
import posixpath
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from ensemble.dataset.archives.names import content_name
from ensemble.dataset.archives.stored import Archive
from ensemble.dataset.filenames import TEXTS, is_hidden
from ensemble.errors import DataError

OTHERWISE = "unpack it yourself and give data.path the folder, or pack it again without one of them"


class Destinations:
    """The paths below a folder that an archive's members get."""

    def __init__(self, folder: Path, label: str) -> None:
        self.folder, self.label = folder, label
        self.parents: set[Path] = set()  # that exist
        self.renamed: dict[Path, str] = {}  # the names of members that are written under another

    def add(self, name: str) -> Path:
        """A new path, whose folder exists. Raises DataError, and OSError where a file is in the way."""
        path = safe_path(name, self.label)
        destination = self.folder / path
        if destination.parent not in self.parents:
            destination.parent.mkdir(parents=True, exist_ok=True)
            self.parents.add(destination.parent)
        _check_is_new(destination, name, self.folder, self.label, self.renamed)
        if path.as_posix() != name:
            self.renamed[destination] = name
        return destination


def _check_is_new(
    destination: Path, name: str, target: Path, label: str, renamed: Mapping[Path, str]
) -> None:
    """Raises DataError where an earlier member has this destination, in any case of its name."""
    if not os.path.isfile(destination):
        return
    files = destination.parent.iterdir()
    first = next(file for file in files if file.samefile(destination))
    first_name = renamed.get(first, first.relative_to(target).as_posix())
    raise DataError(
        f"{label}: {first_name[:200]!r} and {name[:200]!r} would be one file; refused\n{OTHERWISE}"
    )


def safe_path(name: str, label: str) -> PurePosixPath:
    """A member's path below the folder; `a/../b` is b. Raises DataError for one outside of it."""
    with_slashes = name.replace("\\", "/")  # as Windows reads it; on Linux a name may hold \\
    for normal in map(posixpath.normpath, (with_slashes, name)):
        path = PurePosixPath(normal)
        if path.is_absolute() or path.parts[:1] in ((), ("..",)) or PureWindowsPath(normal).drive:
            raise DataError(f"{label}: {name[:200]!r} would be written outside the folder; refused")
    return PurePosixPath(posixpath.normpath(with_slashes if os.name == "nt" else name))


class Placement:
    """Puts the content of archives beside them.

    Raises DataError where it meets files of another origin under the same name, in any case.
    """

    def __init__(self) -> None:
        self.names: dict[Path, dict[str, str]] = {}  # in each folder, by their case-folded form

    def place(self, content: Path, archive: Archive) -> None:
        """Move what `content` holds to the archive's place: train/1.jpg for both train.zip with
        train/1.jpg and train.zip with 1.jpg; a table alone goes beside it.
        """
        children = [child for child in content.iterdir() if not is_hidden(child.name)]
        if not children:
            raise DataError(
                f"{archive.label}: an archive without files\n"
                "remove it, or get it again; data.path may also name a folder"
            )
        folder, stem = archive.path.parent, content_name(archive.path.name)
        if len(children) == 1 and _stands_alone(children[0], stem):
            self._move(children[0], folder / children[0].name, archive.label)
        else:
            self._move(content, folder / stem, archive.label)

    def _move(self, source: Path, destination: Path, label: str) -> None:
        names = self._names(destination.parent)
        present = names.setdefault(destination.name.casefold(), destination.name)
        are_folders = source.is_dir() and destination.is_dir()
        if present != destination.name or (os.path.lexists(destination) and not are_folders):
            shown = destination.with_name(present).name
            raise DataError(
                f"{label}: what it holds as {destination.name[:200]!r} would be one file or folder "
                f"with {shown[:200]!r} beside it; refused\n{OTHERWISE}"
            )
        if not are_folders:
            destination.parent.mkdir(parents=True, exist_ok=True)
            source.rename(destination)
            return
        for child in sorted(source.iterdir()):
            if not is_hidden(child.name):
                self._move(child, destination / child.name, label)

    def _names(self, folder: Path) -> dict[str, str]:
        if folder not in self.names:
            children = os.listdir(folder) if folder.is_dir() else []
            self.names[folder] = {name.casefold(): name for name in children}
        return self.names[folder]


def _stands_alone(child: Path, stem: str) -> bool:
    """Whether an archive's only content takes the archive's place, without a folder around it."""
    if child.is_dir():
        return child.name.casefold() == stem.casefold()
    return child.suffix.lower() in TEXTS
