"""Test images among others: those that the id column of a table names."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ensemble.dataset.class_folders import top_folders, unlabeled_line
from ensemble.dataset.csvfile import CsvTable, read_table
from ensemble.dataset.image_folder import (
    ImageFolder,
    examples,
    ids_in,
    missing_lines,
    rule_line,
    table_path,
)
from ensemble.dataset.labels import Labelled, labels_in_names
from ensemble.dataset.tables import Images, sorted_images
from ensemble.errors import DataError
from ensemble.recipe import Data, LabelsPattern, TestTable
from ensemble.targets import Target


@dataclass(frozen=True, eq=False)
class ListedImages:
    """The ids of a table with their files, and its lines for the user.

    The ids are those of the submission, where a column of their own has them, each once. Where it has
    one in several rows, rows has it for each image.
    """

    table: CsvTable
    ids: tuple[str, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]
    rows: tuple[str, ...] | None = None

    @cached_property
    def file_set(self) -> frozenset[Path]:
        """The files without order."""
        return frozenset(self.files)


def listed_images(root: Path, train: str, listed: TestTable) -> ListedImages:
    """The images that a table names: by whole names in the training folder, else anywhere.

    Raises DataError for rows that do not name one image each.
    """
    table = read_table(table_path(root, listed.file))
    inside = ImageFolder(root, train)
    ids, notes = ids_in(table, listed.id, [inside.names]), [table.stripped_line(listed.id)]
    choices = [[inside.files[i] for i in inside.names.full_positions(name)] for name in ids]
    folder = inside
    if not all(len(files) == 1 for files in choices):
        folder = ImageFolder(root, ".")
        ids = ids_in(table, listed.id, [inside.names, folder.names])
        choices = [_files_of(image_id, inside, folder) for image_id in ids]
        match = folder.names.match(ids)
        if match.is_complete and not all(len(files) == 1 for files in choices):
            choices = [[folder.files[position]] for (position,) in match.positions]
            notes.append(rule_line(table, ids, match, folder.names.names))
    _check_choices(table, listed.id, ids, choices, folder)
    files = tuple(path for (path,) in choices)
    rows = tuple(ids) if listed.row is None else _rows_of(table, listed.row)
    if len(set(rows)) < len(rows):
        notes.append(_several_line(rows, listed))
        return ListedImages(table, tuple(ids), files, tuple(filter(None, notes)), rows)
    return ListedImages(table, rows, files, tuple(filter(None, notes)))


def _rows_of(table: CsvTable, column: str) -> tuple[str, ...]:
    """The submission's ids. Raises DataError for an empty one."""
    ids = table.column(column)
    if "" in ids:
        raise DataError(
            f"{table.where(ids.index(''))}: {column} is empty\n"
            "name the column of the submission's ids in data.test.row"
        )
    return ids


def _several_line(rows: Sequence[str], listed: TestTable) -> str:
    """The line about rows of the submission of which there are several images."""
    sizes = Counter(rows).values()
    most = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else f"{max(sizes)}"
    return (
        f"{listed.file}: {len(rows):,} test images for {len(sizes):,} values of {listed.row}, "
        f"{most} each: the predictions of one value are averaged"
    )


def _files_of(image_id: str, inside: ImageFolder, anywhere: ImageFolder) -> list[Path]:
    positions = inside.names.full_positions(image_id)
    if positions:
        return [inside.files[position] for position in positions]
    return [anywhere.files[position] for position in anywhere.names.positions(image_id)]


def _check_choices(
    table: CsvTable,
    column: str,
    ids: Sequence[str],
    choices: Sequence[Sequence[Path]],
    folder: ImageFolder,
) -> None:
    """Raises DataError for ids without a file, with several, and for two ids of one file."""
    missing = [row for row, files in enumerate(choices) if not files]
    if missing:
        raise DataError(
            missing_lines(table, column, ids, missing, folder)
            + "; correct the ids, or name another column in data.test"
        )
    row_of: dict[Path, int] = {}
    for row, (image_id, files) in enumerate(zip(ids, choices, strict=True)):
        if len(files) > 1:
            names = f"{files[0].relative_to(folder.path)} and {files[1].relative_to(folder.path)}"
            problem = f"fits {len(files)} files: {names[:200]}"
        elif row_of.setdefault(files[0], row) != row:
            problem = "appears twice"
        else:
            continue
        raise DataError(f"{table.where(row)}: {column} {image_id[:100]!r} {problem}")


def test_images(
    listed: ListedImages, pool: Labelled, data: Data, root: Path
) -> tuple[Images, tuple[str, ...]]:
    """The listed images for the test, labeled where all lie in class folders or their names say so.

    Also lines for the user.
    """
    labels, line = _labels_of(listed, pool, data, root)
    cells = [
        (image_id, path, labels.get(path))
        for image_id, path in zip(listed.ids, listed.files, strict=True)
    ]
    images = sorted_images(cells)
    if listed.rows is not None:
        row_of = dict(zip(listed.ids, listed.rows, strict=True))
        images = replace(images, rows=tuple(row_of[image_id] for image_id in images.ids))
        _check_one_label(images)
    return images, tuple(filter(None, [*listed.notes, line]))


def _check_one_label(images: Images) -> None:
    """Raises DataError where images of one row of the submission have several labels."""
    first: dict[str, str] = {}
    for row, label in zip(images.rows or (), images.labels or (), strict=False):
        if first.setdefault(row, label) != label:
            raise DataError(
                f"data.test.label: the images of {row[:60]!r} have two labels, "
                f"{first[row][:60]!r} and {label[:60]!r}\n"
                "a row of the submission has one; leave data.test.label out"
            )


def check_not_labeled(listed: ListedImages, pool: Labelled) -> None:
    """Raises DataError where a labels table lists images of the test table too."""
    labeled = set(pool.images.files)
    rows = [row for row, path in enumerate(listed.files) if path in labeled]
    if rows and pool.table is not None:
        raise DataError(
            f"{listed.table.where(rows[0])}: {len(rows):,} test images have a label in "
            f"{pool.table.path.name}: {examples([listed.ids[row] for row in rows])}\n"
            "remove these rows from one of the two tables"
        )


def _labels_of(
    listed: ListedImages, pool: Labelled, data: Data, root: Path
) -> tuple[Mapping[Path, str | None], str]:
    """The listed images' labels, empty without, and a line where only some of them have one."""
    classes = set(pool.images.classes)
    if isinstance(data.test, TestTable) and data.test.label is not None:
        return _labels_in_table(listed, data.test.label, classes, data.target), ""
    if data.source == "folder":
        folders = [_class_folder(path, root / data.train) for path in listed.files]
        line = unlabeled_line(folders, classes)
        return (
            ({}, line) if line is not None else (dict(zip(listed.files, folders, strict=True)), "")
        )
    if not isinstance(data.labels, LabelsPattern):
        return {}, ""
    labels = labels_in_names(listed.files, data.labels.pattern)
    n_labeled = sum(label in classes for label in labels.values())
    if n_labeled == len(labels):
        return labels, ""
    line = f"test images are used without labels: {n_labeled:,} of {len(labels):,} names hold one"
    return {}, line if n_labeled else ""


def _labels_in_table(
    listed: ListedImages, column: str, classes: Set[str], target: Target
) -> Mapping[Path, str | None]:
    """The classes that a column states. Raises DataError for another target and an unknown class."""
    cells = listed.table.column(column)
    if target != "class":
        raise DataError(
            f"data.test.label: {listed.table.path.name} can state classes alone, the target is "
            f"{target}\nleave data.test.label out"
        )
    for row, cell in enumerate(cells):
        if cell not in classes:
            raise DataError(
                f"{listed.table.where(row)}: {column} {cell[:60]!r} is no class of the training "
                "images\ncorrect it, or leave data.test.label out"
            )
    return dict(zip(listed.files, cells, strict=True))


def _class_folder(path: Path, train: Path) -> str | None:
    """The folder that could be an image's class: the top one in train, elsewhere the last one."""
    return top_folders(train, [path])[0] if path.is_relative_to(train) else path.parent.name
