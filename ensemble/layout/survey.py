"""What lies in a folder: its image folders as a tree, and its tables, read but not yet understood."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from ensemble.dataset.csvfile import check_names
from ensemble.dataset.filenames import bare_name, is_hidden
from ensemble.dataset.image_sizes import N_OPENED, sizes_of
from ensemble.dataset.match import Names, last_part, loosest_form, without_upload_mark
from ensemble.dataset.own_folders import is_written_by_ens
from ensemble.dataset.scan import Scan, each_folder_once, scan
from ensemble.dataset.split_names import is_list_of_parts, split_of_name, usual_split
from ensemble.grouping import grouped
from ensemble.layout.table import SUFFIXES, Column, Table, read_table
from ensemble.numbers import is_number

MAX_DEPTH = 4  # of folders that may be a split
MAX_CHILDREN = 40  # a folder with more image folders holds classes, not splits
ENOUGH = 0.5  # share of a column's cells that must name images; the others are missing files
TABLE_DEPTH = 2  # folders below the root in which tables are read
MAX_TABLES = 20  # of one folder; more are annotations of single images
LARGEST_TABLE = 1 << 30  # bytes


@dataclass(frozen=True)
class Folder:
    """A folder and the images below it, as sorted POSIX paths in it; its name is under the root."""

    name: str
    images: tuple[str, ...]

    @cached_property
    def names(self) -> Names:
        """The images, to look ids up."""
        return Names(self.images, "" if self.name == "." else self.name)

    @cached_property
    def _loose_names(self) -> set[str]:
        return {loosest_form(name) for image in self.images for name in (image, bare_name(image))}

    def may_name(self, ids: Sequence[str]) -> bool:
        """Whether enough of some ids could name images, by any rule: a quick look before a match."""
        forms = [
            {
                loosest_form(image_id),
                loosest_form(bare_name(image_id)),
                loosest_form(without_upload_mark(image_id)),
            }
            for image_id in ids
        ]
        return sum(map(bool, map(self._loose_names.intersection, forms))) >= ENOUGH * len(ids)

    @cached_property
    def subfolders(self) -> tuple[str, ...]:
        """The names of the folders in it that hold images."""
        return tuple(sorted({name.partition("/")[0] for name in self.images if "/" in name}))

    @cached_property
    def has_loose_images(self) -> bool:
        """Whether images lie in the folder itself."""
        return any("/" not in name for name in self.images)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names if this is a folder of class folders, else ()."""
        return () if self.has_loose_images else self.subfolders

    @property
    def last_name(self) -> str:
        """The folder's own name, without the folders around it."""
        return PurePosixPath(self.name).name or "."

    def path_of(self, image: str) -> str:
        """An image's path under the root."""
        return image if self.name == "." else f"{self.name}/{image}"


@dataclass(frozen=True)
class Survey:
    """The image folders below a root by name, `.` first, and the tables; scanned lists the rest."""

    root: Path
    folders: dict[str, Folder]
    tables: tuple[Table, ...]
    scanned: Scan

    @property
    def images(self) -> tuple[str, ...]:
        """The POSIX paths of all images under the root."""
        return self.folders["."].images

    def children(self, folder: Folder) -> list[Folder]:
        """The folders of a folder that hold images, as far down as splits may lie."""
        prefix = "" if folder.name == "." else f"{folder.name}/"
        names = [f"{prefix}{name}" for name in folder.subfolders]
        return [self.folders[name] for name in names if name in self.folders]


def survey(root: Path) -> Survey:
    """The images and tables below a folder. Raises DataError for a damaged table."""
    with each_folder_once():
        root = _unwrapped(root)
        scanned = scan(root)
    images = tuple(file.relative_to(root).as_posix() for file in scanned.images)
    images = _without_smaller_copy(root, images)
    folders = _folders(images)
    tables = [read_table(root, file) for file in table_files(root)]
    named = [_with_its_header(root, table, folders["."]) for table in tables if table]
    return Survey(root, folders, tuple(filter(None, named)), scanned)


def _without_smaller_copy(root: Path, images: tuple[str, ...]) -> tuple[str, ...]:
    """The images without those of a folder that repeats all others, and their folders, but smaller."""
    inside = grouped(
        (folder, rest) for folder, slash, rest in (name.partition("/") for name in images) if slash
    )
    for folder, names in inside.items():
        if 2 * len(names) != len(images):
            continue
        rest = [name for name in images if not name.startswith(f"{folder}/")]
        if (
            _bare_names(rest) == _bare_names(names)
            and all("/" in name for name in names)
            and split_of_name(folder) is None
        ):
            some = slice(None, None, max(1, len(rest) // N_OPENED))
            sides = [
                sizes_of([root / name for name in some_names])[0].side
                for some_names in (rest[some], [f"{folder}/{name}" for name in names[some]])
            ]
            return tuple(rest) if sides[1] < sides[0] else images
    return images


def _bare_names(names: Sequence[str]) -> set[str]:
    return set(map(bare_name, names))


def _unwrapped(root: Path) -> Path:
    """The folder inside folders that hold nothing but one folder, as downloads often do."""
    while True:
        children = [
            child
            for child in sorted(root.iterdir())
            if not is_hidden(child.name) and not is_written_by_ens(child)
        ]
        if len(children) != 1 or not os.path.isdir(children[0]) or usual_split(children[0].name):
            return root
        inside = [child for child in children[0].iterdir() if not is_hidden(child.name)]
        if not any(map(os.path.isdir, inside)) and not _tables_in(children[0]):
            return root  # a folder of images alone: a class, or the images of one split
        root = children[0]


def table_files(root: Path) -> list[str]:
    """The POSIX paths under the root of files that may be tables."""
    files: list[str] = []
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        files += [path.relative_to(root).as_posix() for path in _tables_in(folder)]
        if depth < TABLE_DEPTH:
            with os.scandir(folder) as entries:
                inside = [
                    Path(entry.path)
                    for entry in entries
                    if not is_hidden(entry.name)
                    and os.path.isdir(entry.path)
                    and not is_written_by_ens(Path(entry.path))
                ]
            if len(inside) <= MAX_CHILDREN:
                waiting += [(child, depth + 1) for child in inside]
    return sorted(files, key=lambda file: (file.count("/"), file))


def _tables_in(folder: Path) -> list[Path]:
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not is_hidden(path.name) and os.path.isfile(path)
    ]
    tables = [path for path in paths if path.suffix.lower() != ".txt"]
    paths = paths if len(paths) <= MAX_TABLES else tables
    return [path for path in paths if path.stat().st_size <= LARGEST_TABLE]


def _with_its_header(root: Path, table: Table, images: Folder) -> Table | None:
    """A table whose first row names an image, like the rows below it, has no header.

    A text whose first row is neither a header nor an image is no table, None, unless it is called as
    lists of parts are: `1 1`. Raises DataError for a .csv or .tsv of that kind.
    """
    if any(_is_headed(column, images) for column in table.columns if table.has_header):
        return table
    for column in table.columns:
        header = (column.name,) if table.has_header else ()
        first_cells = [last_part(cell) for cell in (*header, *column.cells[:3])]
        if images.may_name(first_cells[:1]) and all(map(images.names.positions, first_cells)):
            return table.without_header() if table.has_header else table
    if not table.has_header and not table.file.lower().endswith(".txt"):
        check_names(root / table.file, [column.cells[0] for column in table.columns])
    return table if table.has_header or is_list_of_parts(table.file) else None


def _is_headed(column: Column, images: Folder) -> bool:
    """Whether each cell names an image of its own, but the name of the column, a text, none."""
    first_cells = [last_part(cell) for cell in column.cells[:3]]
    return (
        column.is_unique
        and not is_number(column.name)
        and images.may_name(first_cells[:1])
        and all(map(images.names.positions, first_cells))
        and not images.names.positions(last_part(column.name))
    )


def _folders(images: tuple[str, ...]) -> dict[str, Folder]:
    """The folders that may be a split: not those below a folder of many folders."""
    folders = {".": Folder(".", images)}
    level = [folders["."]]
    for _ in range(MAX_DEPTH):
        below: list[Folder] = []
        for folder in level:
            if len(folder.subfolders) <= MAX_CHILDREN:
                below += _children(folder)
        folders |= {folder.name: folder for folder in below}
        level = below
    return folders


def _children(folder: Folder) -> list[Folder]:
    parts = (image.partition("/") for image in folder.images)
    inside = grouped((child, rest) for child, slash, rest in parts if slash)
    return [Folder(folder.path_of(name), tuple(inside[name])) for name in sorted(inside)]
