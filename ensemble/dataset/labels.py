"""Labels that a table lists, or that the files' names hold, joined with the image files."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from ensemble.dataset.csvfile import CsvTable, read_table
from ensemble.dataset.filenames import bare_name, without_suffix
from ensemble.dataset.image_folder import (
    ImageFolder,
    examples,
    ids_in,
    missing_lines,
    rule_line,
    table_path,
)
from ensemble.dataset.label_cells import CLASSES, ZERO_ONE, CellReading, names_in, read_cells
from ensemble.dataset.match import Match, match_in_folders
from ensemble.dataset.tables import Images, ids_of, sorted_images
from ensemble.errors import DataError
from ensemble.recipe import LabelColumns, LabelsFile
from ensemble.targets import Target

MISSING_VALUES = {  # a class of this name is a doubt
    *("nan", "null", "none", "na", "n/a", "?", "unknown", "unlabeled", "unlabelled", "missing"),
}
_MINUS_ONE = ("-1", "-1.0")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with labels, and the table that lists them, if there is one.

    rows is (images,): the table's row for each image; columns are those with the labels. unlisted
    are images of the folder without a row; n_missing rows without an image are left out. notes are
    lines for the user. separator is the mark between labels in the table's cells, None without.
    """

    images: Images
    table: CsvTable | None = None
    rows: tuple[int, ...] = ()
    columns: tuple[str, ...] = ()
    unlisted: tuple[Path, ...] = ()
    n_missing: int = 0
    notes: tuple[str, ...] = ()
    separator: str | None = None

    def column(self, name: str, key: str) -> tuple[str, ...]:
        """The images' cells in a column of the table, (images,).

        key is the recipe's key that names the column. Raises DataError without such a column.
        """
        assert self.table is not None
        if name not in self.table.header:
            raise DataError(
                f"{key}: the labels file has no column {name!r}; "
                f"it has {', '.join(self.table.header)}"
            )
        cells = self.table.column(name)
        return tuple(cells[row] for row in self.rows)


def labelled_files(
    root: Path,
    folder: str,
    labels: str | LabelsFile | LabelColumns,
    elsewhere: str | None = None,
    skip_missing: bool = False,
    reading: CellReading = CLASSES,
) -> Labelled:
    """The files of a folder that a labels table names.

    Rows about files in the folder `elsewhere` are passed over, and with skip_missing rows about no
    file. Raises DataError naming file, line and id.
    """
    folders = [ImageFolder(root, name) for name in (folder, elsewhere) if name is not None]
    table, id_column, columns = _labels_table(root, labels, folders[0], reading)
    names_of = [each.names for each in folders]
    ids = ids_in(table, id_column, names_of)
    match = match_in_folders(names_of, ids)
    missing = [row for row, positions in enumerate(match.positions) if not positions]
    if missing and not (skip_missing and len(missing) < len(ids)):
        raise DataError(
            missing_lines(table, id_column, ids, missing, folders[0])
            + "; correct the ids, or leave such rows out: data.skip_missing: true"
        )
    row_of = _rows_of_files(table, id_column, ids, match, folders)
    cells = read_cells(table, columns, ids, list(row_of.values()), reading)
    images, rows = _sorted_by_id(row_of, ids, cells.texts)
    names = [name for each in names_of for name in each.names]
    notes = [
        table.stripped_line(id_column, *columns),
        rule_line(table, ids, match, names),
        _missing_line(table, ids, missing),
        *cells.lines,
        *missing_value_lines(counts_of(images, reading.target)),
    ]
    return Labelled(
        images=images,
        table=table,
        rows=rows,
        columns=columns,
        unlisted=tuple(file for file in folders[0].files if file not in row_of),
        n_missing=len(missing),
        notes=tuple(filter(None, notes)),
        separator=cells.separator,
    )


def counts_of(images: Images, target: Target) -> Counter[str]:
    """How many images have each class or label; empty for numbers."""
    if target == "number":
        return Counter()
    if target == "labels":
        return Counter(name for text in images.classes for name in names_in(text))
    return Counter(images.classes)


def _labels_table(
    root: Path,
    labels: str | LabelsFile | LabelColumns,
    folder: ImageFolder,
    reading: CellReading,
) -> tuple[CsvTable, str, tuple[str, ...]]:
    """A labels table, its id column and its columns of labels. Raises DataError."""
    if isinstance(labels, str):
        labels = LabelsFile(file=labels, id="", label="")
    table = read_table(table_path(root, labels.file))
    header = table.header
    if len(header) < 2:
        raise DataError(
            f"{table.path}: needs two columns, id and label; it has only {header[0][:100]!r}"
        )
    _check_header(table, folder)
    columns = labels.columns if isinstance(labels, LabelColumns) else (labels.label or header[1],)
    is_named = isinstance(labels, LabelColumns) or labels.label
    if header[0] == "" and not is_named and len(header) > 2:
        raise DataError(
            f"{table.path}: the first of {len(header)} columns has no name: an index, or the ids?\n"
            f"name the columns: data.labels: {{file: {labels.file}, id: …, label: …}}"
        )
    id_column = labels.id or header[0]
    if not is_named and reading.target == "class":
        _check_one_label(table, columns[0])
    for column in (id_column, *columns):
        table.raw_column(column)
    return table, id_column, columns


def _check_header(table: CsvTable, folder: ImageFolder) -> None:
    """Raises DataError where the first row names an image as the other rows do.

    A column's name counts as data if it has an image's suffix, or stands beside a label of others.
    """
    first, second = table.header[:2]
    suspects = [name for name in table.header if name != without_suffix(name)]
    if second in table.column(second):
        suspects.append(first)
    for name in suspects:
        if name not in table.column(name) and folder.names.positions(name):
            raise DataError(
                f"{table.path}: its first row names the image {name[:100]!r}, "
                "so it seems to have no header\n"
                "write the names of the columns above it, such as id,label"
            )


def _check_one_label(table: CsvTable, column: str) -> None:
    """Raises DataError where the column is one of several that mark each row's class with a 1."""
    columns = {name: table.column(name) for name in table.header}
    marks = {name: cells for name, cells in columns.items() if ZERO_ONE.issuperset(cells)}
    ones = [sum(float(cell) for cell in row) for row in zip(*marks.values(), strict=True)]
    if column in marks and len(marks) > 1 and all(n == 1 for n in ones):
        raise DataError(
            f"{table.path}: {', '.join(marks)[:200]}: a column for each class, "
            "but one label column is needed\n"
            "let `ens init` write one, or name the label column: data.labels: {file:, id:, label:}"
        )


def _rows_of_files(
    table: CsvTable,
    id_column: str,
    ids: Sequence[str],
    match: Match,
    folders: Sequence[ImageFolder],
) -> dict[Path, int]:
    """The row of each file in the first folder; rows about files in another are passed over."""
    row_of: dict[int, int] = {}
    for row, positions in enumerate(match.positions):
        if len(positions) > 1:
            problem = _several_files(positions, folders)
        elif positions and row_of.setdefault(positions[0], row) != row:
            problem = "appears twice"
        else:
            continue
        raise DataError(f"{table.where(row)}: {id_column} {ids[row][:100]!r} {problem}")
    files = folders[0].files
    listed = {files[i]: row for i, row in row_of.items() if i < len(files)}
    if not listed:
        raise DataError(f"{table.path}: no row names an image in {folders[0].path}")
    return listed


def _several_files(positions: Sequence[int], folders: Sequence[ImageFolder]) -> str:
    """Why an id is not one file's; positions count on from folder to folder."""
    in_first = [position < len(folders[0].files) for position in positions]
    if all(in_first) or not any(in_first):
        return f"fits {len(positions)} files in {folders[not in_first[0]].path}"
    return f"has a file in {folders[0].path} and in {folders[1].path}"


def _sorted_by_id(
    row_of: Mapping[Path, int], ids: Sequence[str], labels: Sequence[str]
) -> tuple[Images, tuple[int, ...]]:
    """The labelled images sorted by id, and the row of each."""
    by_id = sorted(row_of.items(), key=lambda listed: ids[listed[1]])
    images = Images(
        ids=tuple(ids[row] for _, row in by_id),
        files=tuple(file for file, _ in by_id),
        labels=tuple(labels[row] for _, row in by_id),
    )
    return images, tuple(row for _, row in by_id)


def _missing_line(table: CsvTable, ids: Sequence[str], missing: Sequence[int]) -> str:
    if not missing:
        return ""
    return (
        f"{table.path.name}: {len(missing):,} of {len(ids):,} rows have no image "
        f"and are left out: {examples([ids[row] for row in missing])}"
    )


def missing_value_lines(counts: Mapping[str, int]) -> list[str]:
    """A line for each class that is named as a missing value is; counts is images by class.

    So is -1 among numbers from 0 on.
    """
    others = [name for name in counts if name not in _MINUS_ONE]
    are_counted = len(others) > 1 and all(map(str.isdecimal, others))
    missing = {*MISSING_VALUES, *_MINUS_ONE} if are_counted else MISSING_VALUES
    return [
        f"{counts[name]:,} images are labeled {name!r}: a class, or a label that is missing?"
        for name in sorted(counts)
        if name.casefold() in missing
    ]


def labelled_by_name(
    root: Path, folder: str, pattern: str, test: Set[Path] = frozenset(), is_shared: bool = False
) -> Labelled:
    """The images of a folder whose names hold their labels, without those for the test.

    is_shared: images whose names do not fit are test images too. Raises DataError for such names.
    """
    files = ImageFolder(root, folder).files
    labels = labels_in_names(files, pattern)
    unfit = [file for file in files if labels[file] is None and file not in test]
    fit = len(files) - len(unfit) - sum(file in test for file in files)
    if unfit and not (is_shared and fit):
        raise DataError(
            f"{root / folder}: {len(unfit):,} of {len(files):,} file names do not fit "
            f"data.labels: {examples([file.name for file in unfit])}\n"
            f"the pattern is {pattern[:100]}"
        )
    rows = [
        (image_id, file, labels[file])
        for image_id, file in zip(ids_of(files, root / folder), files, strict=True)
        if labels[file] is not None and file not in test
    ]
    return Labelled(sorted_images(rows), notes=tuple(_shared_lines(unfit)))


def _shared_lines(unfit: Sequence[Path]) -> list[str]:
    if not unfit:
        return []
    names = examples([file.name for file in unfit])
    return [f"{len(unfit):,} images that data.labels does not fit are the test images: {names}"]


def labels_in_names(files: Iterable[Path], pattern: str) -> dict[Path, str | None]:
    """What a pattern's group finds in each file's name without suffix; None if it finds nothing."""
    search = re.compile(pattern).search
    matches = {file: search(bare_name(file.name)) for file in files}
    return {file: (match.group(1) or None) if match else None for file, match in matches.items()}
