"""CSVs whose rows are images: a column per pixel, or a column with a text of numbers."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ensemble.convert.image_folder import Images, NewImage, Source, size_on_disk
from ensemble.convert.part_names import (
    Numbering,
    numbering,
    one_of_each_split,
    posix_name,
    split_of_path,
)
from ensemble.convert.pixel_columns import PixelColumns, Shape, are_planes, pixel_columns
from ensemble.convert.pixel_roles import (
    FER2013_NOTE,
    PixelTable,
    label_of,
    split_of_cell,
    with_id_and_split,
)
from ensemble.convert.pixel_scale import N_HEAD, Scale, numbers_of, pixels_of, scale_note, scale_of
from ensemble.convert.png import SUFFIX, png_of
from ensemble.convert.table_rows import count_rows, table_rows
from ensemble.dataset.filenames import without_suffix
from ensemble.dataset.scan import one_line
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

N_HEAD_VALUES = 1_000_000  # numbers that decide scale and order of channels, at most
PNG_BYTES = 100  # of a PNG file beside its pixels

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _PixelSet:
    """The tables of a set, and what all of them have in common."""

    tables: tuple[PixelTable, ...]
    shape: Shape
    scale: Scale
    has_planes: bool
    numbers: Numbering

    def images(self) -> Images:
        """Every row as a PNG file, in the order of tables and rows. Raises DataError."""
        for table in self.tables:
            with closing(table_rows(table.path)) as rows:
                next(rows)  # the header
                for number, (line, row) in enumerate(rows):
                    where = f"{one_line(table.path)}:{line}"
                    yield self._image(table, number, row, where)

    def _image(self, table: PixelTable, number: int, row: list[str], where: str) -> NewImage:
        cells = _cells(table, row, self.shape, where)
        pixels = np.frombuffer(pixels_of(cells, self.scale, where), np.uint8)
        height, width, channels = self.shape
        if self.has_planes:
            image = pixels.reshape(channels, height, width).transpose(1, 2, 0)
        else:
            image = pixels.reshape(height, width, channels)
        split = _split_of_row(table, row, where)
        if table.id_column is not None:
            name = without_suffix(row[table.id_column])
        else:
            name = self.numbers.name(table.split or "train", number)
        label = None if table.label_column is None else row[table.label_column].strip()
        if split == "test" and not label:
            label = None
        return NewImage(split, name, SUFFIX, png_of(np.ascontiguousarray(image)), label, where)


def _split_of_row(table: PixelTable, row: Sequence[str], where: str) -> Split:
    """The split of a row. Raises DataError where its cell says none, or not that of its file."""
    if table.split_column is None:
        assert table.split is not None
        return table.split
    cell = row[table.split_column]
    split = split_of_cell(cell)
    if split is None or table.split not in (None, split):
        column = table.header[table.split_column]
        expected = table.split or "neither training, validation nor test"
        problem = f"is {expected}" if table.split is None else f"in a file of the {expected} images"
        raise DataError(f"{where}: {column} {cell[:60]!r} {problem}\nrepair the line")
    return split


def pixel_source(root: Path, paths: Sequence[Path]) -> Source | None:
    """What the pixel tables among these CSVs hold; None without any. Raises DataError."""
    all_tables = _pixel_tables(root, paths)
    if not all_tables:
        return None
    tables, notes = _with_splits(root, all_tables)
    n_rows = {table.path: count_rows(table.path) for table in tables}
    empty = next((path for path, count in n_rows.items() if count < 1), None)
    if empty is not None:
        raise DataError(f"{one_line(empty)}: no row below the header\ndownload the file again")
    heads = {table.path: _head(table) for table in tables}
    shape = _common_shape(tables, heads)
    has_planes = shape[2] == 3 and _are_planes(tables, heads, shape)
    scale = scale_of(heads.values())
    numbers, row_notes = _numbering(root, tables, n_rows)
    n_images, n_values = sum(n_rows.values()), int(np.prod(shape))
    return Source(
        kind=_kind(tables[0].columns, n_values),
        n_images=n_images,
        n_bytes=size_on_disk(n_images, n_values + PNG_BYTES),
        images=_PixelSet(tables, shape, scale, has_planes, numbers).images,
        files=frozenset(table.path for table in all_tables),
        notes=(*notes, *row_notes, *scale_note(scale)),
    )


def _kind(columns: PixelColumns, n_values: int) -> str:
    return f"a column of {n_values:,} numbers" if columns.is_text else f"{n_values:,} pixel columns"


def _pixel_tables(root: Path, paths: Sequence[Path]) -> list[PixelTable]:
    """The tables of pixels. Raises DataError where a CSV beside them is damaged or empty."""
    tables: list[PixelTable] = []
    damaged: dict[Path, DataError] = {}
    for path in paths:
        try:
            table = _pixel_table(path)
        except _NotRead as error:
            damaged[path] = error
        else:
            tables += [table] if table else []
    folders = {root, *(table.path.parent for table in tables)}
    beside = [path for path in damaged if path.parent in folders]
    if tables and beside:
        raise damaged[beside[0]]
    return tables


class _NotRead(DataError):
    """A CSV whose first lines cannot be read: a fault only where the others hold pixels."""


def _pixel_table(path: Path) -> PixelTable | None:
    try:
        with closing(table_rows(path)) as rows:
            lines = [row for _, row in islice(rows, 2)]
    except DataError as error:
        raise _NotRead(str(error)) from None
    if not lines:
        raise _NotRead(f"{one_line(path)}: the file is empty\ndownload it again")
    header, first = lines[0], lines[1] if len(lines) > 1 else []
    columns = pixel_columns(header, first, one_line(path))
    if columns is not None:
        names = tuple(name.strip() for name in header)
        return with_id_and_split(PixelTable(path, names, columns), first)
    if _has_no_header(header):
        raise DataError(
            f"{one_line(path)}:1: {len(header)} columns of numbers, and no header\n"
            "add a first line that names them: label,pixel0,pixel1,…"
        )
    return None


def _has_no_header(header: Sequence[str]) -> bool:
    """Whether the first line is a row of pixels, perhaps with a label."""
    n_numbers = sum(cell.strip().isdigit() for cell in header)
    return n_numbers >= 64 and n_numbers >= len(header) - 1


def _with_splits(
    root: Path, tables: Sequence[PixelTable]
) -> tuple[tuple[PixelTable, ...], tuple[str, ...]]:
    """The tables to read, with split and label column, and notes. Raises DataError."""
    if len(tables) == 1:
        (table,) = tables
        split = "train" if table.split_column is not None else split_of_path(root, table.path)
        one_of_each_split(root, [(split or "train", table)], lambda table: table.path.name)
        label, notes = label_of(root, table, None)
        if table.split_column is None:
            return (replace(table, split="train", label_column=label),), notes
        column = table.header[table.split_column]
        notes = (*notes, f"{table.path.name}: {column} says the part of each row; {FER2013_NOTE}")
        return (replace(table, label_column=label),), notes
    splits = [(split_of_path(root, table.path), table) for table in tables]
    named = [(split, _of_split(table, split)) for split, table in splits if split]
    by_split = one_of_each_split(root, named, lambda table: posix_name(root, table.path))
    train, test = by_split["train"], by_split.get("test")
    label, notes = label_of(root, train, test)
    ignored = [posix_name(root, table.path) for split, table in splits if not split]
    if ignored:
        notes = (*notes, f"{', '.join(ignored)[:200]}: left out, the name says no part")
    name = train.header[label]
    return tuple(_with_label(table, name) for table in by_split.values()), notes


def _of_split(table: PixelTable, split: Split) -> PixelTable:
    """The table with this split; in training tables a column of splits counts."""
    is_mixed = split == "train" and table.split_column is not None
    return replace(table, split=None if is_mixed else split)


def _with_label(table: PixelTable, name: str) -> PixelTable:
    """The table with the label column of this name. Raises DataError where it must have one."""
    positions = [i for i in table.beside_pixels() if table.header[i].lower() == name.lower()]
    if not positions and table.split != "test":
        raise DataError(
            f"{one_line(table.path)}: no column {name!r}, which labels the training rows\n"
            f"it has {', '.join(table.header[i] for i in table.beside_pixels())[:200] or 'only pixels'}"
        )
    return replace(table, label_column=positions[0] if positions else None)


def _head(table: PixelTable) -> Rows:
    """The numbers of a table's first rows, (rows, values). Raises DataError."""
    assert table.columns.shape is not None
    n_values = int(np.prod(table.columns.shape))
    with closing(table_rows(table.path)) as rows:
        next(rows)
        n_rows = min(N_HEAD, max(5, N_HEAD_VALUES // n_values))
        head = []
        for line, row in islice(rows, n_rows):
            where = f"{one_line(table.path)}:{line}"
            head.append(numbers_of(_cells(table, row, table.columns.shape, where), where))
    return np.array(head)


def _cells(table: PixelTable, row: Sequence[str], shape: Shape, where: str) -> Sequence[str]:
    """The pixels of a row as texts. Raises DataError where there are too many or too few."""
    if len(row) != len(table.header):
        raise DataError(
            f"{where}: {len(row):,} cells, the header has {len(table.header):,}\n"
            "repair the line, or download the file again"
        )
    cells = table.columns.cells(row)
    n_values = shape[0] * shape[1] * shape[2]
    if len(cells) != n_values:
        raise DataError(
            f"{where}: {len(cells):,} pixels, the first row has {n_values:,}\nrepair the line"
        )
    return cells


def _common_shape(tables: Sequence[PixelTable], heads: dict[Path, Rows]) -> Shape:
    first = tables[0]
    for table in tables:
        if heads[table.path].shape[1] != heads[first.path].shape[1]:
            raise DataError(
                f"{one_line(table.path)}: {heads[table.path].shape[1]:,} pixels in a row, "
                f"{first.path.name} has {heads[first.path].shape[1]:,}\n"
                "all images of a set need one size"
            )
    assert first.columns.shape is not None
    return first.columns.shape


def _are_planes(tables: Sequence[PixelTable], heads: dict[Path, Rows], shape: Shape) -> bool:
    rows = np.concatenate([heads[table.path] for table in tables])
    return are_planes(rows, shape, one_line(tables[0].path))


def _numbering(
    root: Path, tables: Sequence[PixelTable], n_rows: dict[Path, int]
) -> tuple[Numbering, tuple[str, ...]]:
    """How rows without an id are numbered, and notes about test rows. Raises DataError."""
    unnamed = {
        table.split or "train": n_rows[table.path] for table in tables if table.id_column is None
    }
    n_train = max(n_rows.values())
    return numbering(root, unnamed | {"train": n_train})
