"""Images that must stay together: copies, or those of one patient, driver or place."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ensemble.dataset.content import content_hashes
from ensemble.dataset.csvfile import CsvTable, read_table
from ensemble.dataset.duplicates import duplicate_groups
from ensemble.dataset.filenames import bare_name, names_below
from ensemble.dataset.image_folder import examples, ids_in, table_path
from ensemble.dataset.labels import Labelled
from ensemble.dataset.match import Names, last_part
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, RecipeError
from ensemble.recipe import Data, IdPattern, TableColumn, TestTable


def with_groups(pool: Labelled, data: Data, root: Path) -> Labelled:
    """The images with their groups, as data.group says. Raises DataError, RecipeError."""
    if data.group is None:
        return pool
    if isinstance(data.valid, str):
        raise RecipeError(
            f"data.group: {_written(data.group)}: the folder {data.valid} is the validation set, "
            "so nothing is split\n"
            "set data.valid to a fraction or to {folds: 5}, or leave data.group out"
        )
    images = pool.images
    if isinstance(data.group, TableColumn):
        groups, notes = _groups_of_table(images, data.group, root, data.train)
        return replace(
            pool, images=replace(images, groups=groups), notes=tuple([*pool.notes, *notes])
        )
    if isinstance(data.group, IdPattern):
        groups = _groups_of_names(images, data.group.pattern, root / data.train)
    elif data.group == "duplicates":
        groups = tuple(duplicate_groups(images.files, content_hashes(images.files)))
    else:
        groups = _groups_of_column(pool, data.group, data.source)
    return replace(pool, images=replace(images, groups=groups))


def _written(group: str | TableColumn | IdPattern) -> str:
    """data.group as the recipe has it."""
    if isinstance(group, str):
        return group
    cells = (f"{key}: {text}" for key, text in group.model_dump().items())
    return f"{{{', '.join(cells)}}}"[:200]


def _groups_of_column(pool: Labelled, name: str, source: str) -> tuple[str, ...]:
    if pool.table is None:
        labels = "class folders" if source == "folder" else "labels in file names"
        raise RecipeError(
            f"data.group: {name!r}: {labels} have no columns\n"
            "allowed here: duplicates, {file:, id:, column:} or {pattern:}"
        )
    groups = pool.column(name, "data.group")
    if not all(groups):
        image_id = pool.images.ids[groups.index("")]
        raise DataError(f"data.group: {image_id!r} has no {name}; every image needs one")
    return groups


def _groups_of_names(images: Images, pattern: str, folder: Path) -> tuple[str, ...]:
    """What the pattern's group finds in the files' names, or, with a slash, in their paths below the
    folder. Raises DataError where it finds nothing.
    """
    in_paths = "/" in pattern
    files = images.files
    names = names_below(folder, files) if in_paths else [file.name for file in files]
    matches = [re.search(pattern, name if in_paths else bare_name(name)) for name in names]
    unfit = [name for name, match in zip(names, matches, strict=True) if not match or not match[1]]
    if unfit:
        raise DataError(
            f"data.group: {len(unfit):,} of {len(images):,} file names do not fit: "
            f"{examples(unfit)}\nthe pattern is {pattern[:100]}"
        )
    return tuple(match[1] for match in matches if match)


def _groups_of_table(
    images: Images, column: TableColumn, root: Path, train: str
) -> tuple[tuple[str, ...], list[str]]:
    """The images' groups in a table that may list other images too, and notes for the user."""
    table = read_table(table_path(root, column.file))
    names = Names(names_below(root / train, images.files), train)
    ids, cells = ids_in(table, column.id, [names]), table.column(column.column)
    rows_of, rule = _rows_of_images(names, table, column.id, ids)
    missing = [name for i, name in enumerate(names.names) if i not in rows_of]
    if missing:
        raise DataError(
            f"{table.path}: {len(missing):,} of {len(images):,} images have no row: "
            f"{examples(missing)}\n"
            f"an id of {column.id}: {ids[0][:60]!r}; data.group needs a row for every image"
        )
    for i, name in enumerate(names.names):
        _check_one_group(table, column, name, rows_of[i], cells)
    line = f"{table.path.name}: ids are matched {rule}" if rule else ""
    notes = [table.stripped_line(column.id, column.column), line]
    return tuple(cells[rows_of[i][0]] for i in range(len(images))), list(filter(None, notes))


def _rows_of_images(
    images: Names, table: CsvTable, column: str, ids: Sequence[str]
) -> tuple[dict[int, list[int]], str]:
    """The rows whose ids mean each image, and the rule where they mean it loosely.

    A row with the image's whole name comes before those with its end alone. Raises DataError where
    an image without another row could be meant by one that fits several images.
    """
    by_name: dict[int, list[int]] = {}
    by_end: dict[int, list[int]] = {}
    ambiguous: list[int] = []
    for row, image_id in enumerate(ids):
        whole = images.full_positions(image_id)
        positions = whole or images.positions(image_id)
        if len(positions) == 1:
            (by_name if whole else by_end).setdefault(positions[0], []).append(row)
        elif positions:
            ambiguous.append(row)
    rows_of = by_end | by_name
    if len(rows_of) == len(images.names):
        return rows_of, ""
    match = images.match(ids)
    if match.is_complete:
        pairs = enumerate(match.positions)
        return {position: [row] for row, (position,) in pairs}, match.rule
    # the table may list other images too, so that not each of its ids has a file
    match = Names(map(last_part, ids)).match(images.names)
    if match.is_complete:
        return dict(
            enumerate(map(list, match.positions))
        ), match.rule or "without the ids' leading path"
    if ambiguous:
        row = ambiguous[0]
        raise DataError(
            f"{table.where(row)}: {column} {ids[row][:100]!r} fits "
            f"{len(images.positions(ids[row]))} images\nwrite the images' folders into the ids"
        )
    return rows_of, ""


def _check_one_group(
    table: CsvTable, column: TableColumn, name: str, rows: Sequence[int], cells: Sequence[str]
) -> None:
    """Raises DataError for an image without a group, or with two."""
    for row in rows:
        if not cells[row]:
            raise DataError(f"{table.where(row)}: {name!r} has no {column.column}")
        if cells[row] != cells[rows[0]]:
            raise DataError(
                f"{table.where(row)}: {name!r} has {column.column} {cells[row][:60]!r}, "
                f"but {cells[rows[0]][:60]!r} in line {table.lines[rows[0]]}"
            )


def check_groups(pool: Images, split_of: Sequence[str]) -> None:
    """Raises DataError where a group is in two splits; split_of is (images,) names."""
    firsts: dict[str, tuple[str, str]] = {}
    groups = pool.groups or pool.ids
    for group, split, image_id in zip(groups, split_of, pool.ids, strict=True):
        first_split, first_id = firsts.setdefault(group, (split, image_id))
        if first_split != split:
            raise DataError(
                f"data.group: {group!r} is in {first_split} ({first_id!r}) "
                f"and in {split} ({image_id!r})\n"
                "correct the column, or let data.valid be a fraction or {folds: 5}"
            )


def are_averaged(data: Data, train: Images, valid: Images, test: Images | None) -> tuple[bool, str]:
    """Whether validation images are averaged by group as test images are by row of the submission,
    and a line for the user where only these are.

    The column of groups is called as that of rows, and images of one group have one label.
    """
    if test is None or test.rows is None:
        return False, ""
    assert isinstance(data.test, TestTable)
    column = data.group.column if isinstance(data.group, TableColumn) else data.group
    row = data.test.row
    if isinstance(data.valid, str):
        return False, f"scores are of single images: those in {data.valid} have no {row}"
    if column != row:
        return False, (
            f"scores are of single images: data.group: {row}, where the labels have this column, "
            "averages validation images too"
        )
    label_of: dict[str, str] = {}
    for images in (train, valid):
        for group, label in zip(images.groups or (), images.classes, strict=True):
            if label_of.setdefault(group, label) != label:
                return False, (
                    f"scores are of single images: images of {row} {group[:60]!r} have several labels"
                )
    return True, ""
