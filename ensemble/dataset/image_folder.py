"""The images of a folder as the ids of a table name them, and what is said about such ids."""

import os
from collections.abc import Sequence
from pathlib import Path

from ensemble.dataset.csvfile import CsvTable
from ensemble.dataset.filenames import contents, names_below
from ensemble.dataset.match import Match, Names
from ensemble.dataset.scan import image_files, passed_over_line, scan
from ensemble.errors import DataError
from ensemble.paths import candidates

N_EXAMPLES = 3  # ids or files that a message names


class ImageFolder:
    """The image files of a folder below a root, and their names in it, alike in order.

    Raises DataError without any.
    """

    def __init__(self, root: Path, folder: str) -> None:
        self.path = root / folder
        self.files = tuple(image_files(self.path))
        if not self.files:
            holds = passed_over_line(scan(self.path)) or contents(self.path)
            raise DataError(f"{self.path}: no image in this folder\n{holds}")
        self.names = Names(names_below(self.path, self.files), folder)


def table_path(root: Path, file: str) -> Path:
    """A table under the data's folder, else one beside the recipes, as `ens init` writes."""
    for path in (root / file, *candidates(file)):
        if os.path.isfile(path):  # Path.is_file raises for a name that is too long
            return path
    return root / file


def ids_in(table: CsvTable, column: str, folders: Sequence[Names]) -> list[str]:
    """The ids of a column; blanks around one stay only where a file's name has them too."""
    return [
        cell
        if cell == stripped or any(names.full_positions(cell) for names in folders)
        else stripped
        for cell, stripped in zip(table.raw_column(column), table.column(column), strict=True)
    ]


def examples(names: Sequence[str]) -> str:
    """The first names in quotes, for a message."""
    return ", ".join(repr(name[:60]) for name in names[:N_EXAMPLES])


def missing_lines(
    table: CsvTable, column: str, ids: Sequence[str], rows: Sequence[int], folder: ImageFolder
) -> str:
    """The rows without an image, counted, and in a second line an id beside a file's name."""
    first = f"{table.where(rows[0])}: {column} {ids[rows[0]][:100]!r} has no file in {folder.path}"
    if len(rows) > 1:
        first += f"; {len(rows):,} rows have none: {examples([ids[row] for row in rows])}"
    return f"{first}\nan id: {ids[rows[0]][:60]!r}, a file: {folder.names.names[0][-60:]!r}"


def rule_line(table: CsvTable, ids: Sequence[str], match: Match, names: Sequence[str]) -> str:
    """A line about the rule by which a table's ids are matched with names; "" without one."""
    if not match.rule:
        return ""
    name = names[match.positions[0][0]]
    return f"{table.path.name}: ids are matched {match.rule}: {ids[0][:60]!r} is {name[-60:]!r}"
