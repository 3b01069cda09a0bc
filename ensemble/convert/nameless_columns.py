"""Tables of pixels whose columns have no names: no header at all, or one that only counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ensemble.convert.part_names import first_number
from ensemble.convert.pixel_columns import N_SHORT, PixelColumns, Shape, shape_of
from ensemble.convert.pixel_roles import PixelTable
from ensemble.convert.pixel_scale import is_number
from ensemble.convert.table_rows import end_cells
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError

MAX_CLASSES = 1000


@dataclass
class _End:
    """The cells of the first or last column: their number, and the different ones while few."""

    n_cells: int = 0
    texts: set[str] = field(default_factory=set)

    def add(self, text: str) -> None:
        self.n_cells += 1
        if len(self.texts) <= MAX_CLASSES:
            self.texts.add(text)

    @property
    def n_classes(self) -> int:
        """How many classes these can be the labels of: 2 or more, counted from 0 or 1, else 0."""
        are_few = 2 <= len(self.texts) <= min(MAX_CLASSES, self.n_cells // 2)
        are_counted = are_few and first_number(sorted(self.texts)) in (0, 1)
        return len(self.texts) if are_counted else 0


def nameless_table(
    path: Path, first_line: Sequence[str], second_line: Sequence[str]
) -> tuple[PixelTable, str] | None:
    """A table whose first line is numbers, and a note; None where the first line has names.

    With as many columns as an image has pixels, all are pixels. With one more, the label is at the
    end where all rows have few classes, counted from 0 or 1; the other end must not look so too.
    Raises DataError where that does not decide.
    """
    cells = [cell.strip() for cell in first_line]
    n_numbers = sum(map(is_number, cells))
    n_whole = sum(cell.isdigit() for cell in cells)
    whole, labelled = shape_of(len(cells)), shape_of(len(cells) - 1)
    are_features = n_whole < len(cells) - 1 and whole is None and labelled is None
    if n_numbers < max(N_SHORT, len(cells) - 1) or are_features:
        return None
    has_header = _counts(cells) and not _counts([cell.strip() for cell in second_line])
    if n_numbers < len(cells) or (whole is None) == (labelled is None):
        raise _unclear(path, len(cells))
    header = "no names of columns" if has_header else "no header"
    if whole is not None:
        names = [f"pixel{i}" for i in range(len(cells))]
        columns = PixelColumns(0, len(cells), whole)
        table = PixelTable(path, tuple(names), columns, has_header=has_header)
        return table, f"{path.name}: {header}; all {len(cells):,} columns are pixels"
    assert labelled is not None
    return _labelled_table(path, len(cells) - 1, labelled, header)


def _counts(cells: Sequence[str]) -> bool:
    return first_number(cells) in (0, 1) and [int(cell) for cell in cells] == sorted(
        map(int, cells)
    )


def _labelled_table(path: Path, n_pixels: int, shape: Shape, header: str) -> tuple[PixelTable, str]:
    has_header = header != "no header"
    ends = islice(end_cells(path), int(has_header), None)
    firsts, lasts = _End(), _End()
    for first, last in ends:
        firsts.add(first)
        lasts.add(last)
    if bool(firsts.n_classes) == bool(lasts.n_classes):
        raise _unclear(path, n_pixels + 1)
    pixels = tuple(f"pixel{i}" for i in range(n_pixels))
    names = ("label", *pixels) if firsts.n_classes else (*pixels, "label")
    columns = PixelColumns(1 if firsts.n_classes else 0, n_pixels, shape)
    end, n_classes = "first" if firsts.n_classes else "last", firsts.n_classes or lasts.n_classes
    note = f"{path.name}: {header}; the label is the {end} column, which has {n_classes} classes"
    return PixelTable(path, names, columns, has_header=has_header), note


def _unclear(path: Path, n_columns: int) -> DataError:
    return DataError(
        f"{one_line(path)}:1: {n_columns} columns of numbers, and no header; "
        "nothing says which is the label\n"
        "add a first line that names them: label,pixel0,pixel1,…"
    )
