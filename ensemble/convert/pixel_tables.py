"""CSVs whose rows are images: a column per pixel, or a column with a text of numbers."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ensemble.convert.image_folder import Images, NewImage, Source
from ensemble.convert.part_names import Numbering, numbering
from ensemble.convert.pixel_columns import PixelColumns, Shape, are_planes, image_of
from ensemble.convert.pixel_files import pixel_tables
from ensemble.convert.pixel_index import with_sample_ids
from ensemble.convert.pixel_roles import PixelTable, split_of_cell, unused_columns
from ensemble.convert.pixel_scale import (
    Scale,
    n_head_rows,
    numbers_of,
    pixels_of,
    scale_note,
    scale_of,
)
from ensemble.convert.pixel_splits import Labels, with_splits
from ensemble.convert.png import SUFFIX, png_of, size_of_pngs
from ensemble.dataset.filenames import without_suffix
from ensemble.dataset.scan import one_line
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _PixelSet:
    """The tables of a set, and what all of them have in common."""

    tables: tuple[PixelTable, ...]
    labels: Labels  # of tables without a label column
    shape: Shape
    scale: Scale
    has_planes: bool
    numbers: Numbering

    def images(self) -> Images:
        """Every row as a PNG file, in the order of tables and rows. Raises DataError."""
        for table in self.tables:
            label_set = self.labels.get(table.path)
            label_of_row = label_set.lookup() if label_set else None
            with closing(table.rows()) as rows:
                for number, (line, row) in enumerate(rows):
                    where = f"{one_line(table.path)}:{line}"
                    image = self._image(table, number, row, where)
                    if label_of_row is not None:
                        image = replace(image, label=label_of_row(number, row, where))
                    yield image

    def _image(self, table: PixelTable, number: int, row: list[str], where: str) -> NewImage:
        cells = _cells(table, row, self.shape, where)
        pixels = np.frombuffer(pixels_of(cells, self.scale, where), np.uint8)
        content = png_of(image_of(pixels, self.shape, self.has_planes))
        split = _split_of_row(table, row, where)
        if table.id_column is not None:
            name = without_suffix(row[table.id_column])
        else:
            name = self.numbers.name(table.split or "train", number)
        label = None if table.label_column is None else row[table.label_column].strip()
        if split == "test" and not label:
            label = None
        return NewImage(split, name, SUFFIX, content, label, where)


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
    all_tables, header_notes = pixel_tables(root, paths)
    if not all_tables:
        return None
    pixel_paths = {table.path for table in all_tables}
    beside = [path for path in paths if path not in pixel_paths]
    split_tables, labels, notes = with_splits(root, all_tables, beside)
    tables = tuple(with_sample_ids(root, table) for table in split_tables)
    n_rows = {table.path: table.n_rows() for table in tables}
    empty = next((path for path, count in n_rows.items() if count < 1), None)
    if empty is not None:
        raise DataError(f"{one_line(empty)}: no row below the header\ndownload the file again")
    heads = {table.path: _head(table) for table in tables}
    shape = _common_shape(tables, heads)
    has_planes = shape[2] == 3 and _are_planes(tables, heads, shape)
    scale = scale_of(heads.values())
    numbers, row_notes = _numbering(root, tables, n_rows)
    row_notes = (*(note for table in tables for note in unused_columns(table)), *row_notes)
    n_images, n_values = sum(n_rows.values()), int(np.prod(shape))
    return Source(
        kind=_kind(tables[0].columns, n_values),
        n_images=n_images,
        n_bytes=size_of_pngs(n_images, n_values),
        images=_PixelSet(tables, labels, shape, scale, has_planes, numbers).images,
        files=frozenset(pixel_paths | {label_set.path for label_set in labels.values()}),
        notes=(*header_notes, *notes, *row_notes, *scale_note(scale)),
    )


def _kind(columns: PixelColumns, n_values: int) -> str:
    return f"a column of {n_values:,} numbers" if columns.is_text else f"{n_values:,} pixel columns"


def _head(table: PixelTable) -> Rows:
    """The numbers of a table's first rows, (rows, values). Raises DataError."""
    assert table.columns.shape is not None
    n_values = int(np.prod(table.columns.shape))
    with closing(table.rows()) as rows:
        head = []
        for line, row in islice(rows, n_head_rows(n_values)):
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
