"""Which columns beside the pixels hold the id, the label and the split."""

from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ensemble.convert.part_names import sample_tables
from ensemble.convert.pixel_columns import PixelColumns
from ensemble.convert.table_rows import count_rows, table_rows
from ensemble.dataset.column_names import LABELS
from ensemble.dataset.scan import one_line
from ensemble.dataset.split_names import Split, split_of_name
from ensemble.errors import DataError

ID = {"id", "image_id", "imageid", "img_id", "image_name", "filename", "file_name", "file"}
SPLIT = {"usage", "split", "subset", "partition", "set"}
LABEL = {*LABELS, "emotion", "digit", "character", "letter"}
FER2013_COLUMN = "usage"
FER2013_NOTE = "PublicTest is for validation, PrivateTest the test set"
FER2013: dict[str, Split] = {"PublicTest": "valid", "PrivateTest": "test"}


@dataclass(frozen=True)
class PixelTable:
    """A CSV of images: its pixels and the positions of its other columns, None where it has none.

    split is that of all rows; None where a column says it for each. A table without a header has
    names here all the same.
    """

    path: Path
    header: tuple[str, ...]
    columns: PixelColumns
    split: Split | None = None
    split_column: int | None = None
    id_column: int | None = None
    label_column: int | None = None
    has_header: bool = True

    def rows(self) -> Generator[tuple[int, list[str]], None, None]:
        """(line number, cells) of every row of pixels. Raises DataError."""
        with closing(table_rows(self.path)) as rows:
            if self.has_header:
                next(rows, None)
            yield from rows

    def n_rows(self) -> int:
        """How many rows of pixels there are. Raises DataError."""
        return count_rows(self.path) + (not self.has_header)

    def key_column(self) -> int | None:
        """The column whose cells another table can repeat: the id, or the index of pandas."""
        if self.id_column is not None:
            return self.id_column
        columns = self.columns.besides(len(self.header))
        return next((i for i in columns if is_unnamed(self.header[i])), None)

    def pixel_names(self) -> tuple[str, ...]:
        """The names of the pixel columns, none for pixels in one text or without a header."""
        if self.columns.is_text or not self.has_header:
            return ()
        return tuple(self.columns.cells(self.header))

    def beside_pixels(self) -> list[int]:
        """The columns that are neither pixels nor id nor split, and have a name."""
        taken = (self.split_column, self.id_column)
        positions = self.columns.besides(len(self.header))
        return [i for i in positions if i not in taken and not is_unnamed(self.header[i])]


def is_unnamed(name: str) -> bool:
    """Whether a column is an index that pandas wrote."""
    return not name or name.lower().startswith("unnamed:")


def split_of_cell(cell: str) -> Split | None:
    """The split that a cell means: train, Training, PublicTest, …"""
    return FER2013.get(cell.strip()) or split_of_name(cell.strip())


def with_id_and_split(
    table: PixelTable, row: Sequence[str], asked_ids: Collection[str]
) -> PixelTable:
    """The table with its id column and its split column, known by name.

    asked_ids is what sample submissions call their ids, in lower case. Raises DataError.
    """
    columns = table.columns.besides(len(table.header))
    ids = [i for i in columns if table.header[i].lower() in asked_ids]
    ids = ids or [i for i in columns if table.header[i].lower() in ID]
    if len(ids) > 1:
        names = " and ".join(table.header[i] for i in ids)
        raise DataError(
            f"{one_line(table.path)}: each of the columns {names} could be the id\nremove one"
        )
    splits = [i for i in columns if table.header[i].lower() in SPLIT and i < len(row)]
    splits = [i for i in splits if split_of_cell(row[i])]
    return PixelTable(
        table.path,
        table.header,
        table.columns,
        split_column=splits[0] if splits else None,
        id_column=ids[0] if ids else None,
    )


def sample_headers(root: Path) -> list[list[str]]:
    """The names of the columns of each sample submission, in lower case."""
    headers = (next(table_rows(path), (0, [""]))[1] for path in sample_tables(root))
    return [[name.strip().lower() for name in header] for header in headers]


def unused_columns(table: PixelTable) -> tuple[str, ...]:
    """A note about the columns beside pixels that are neither id nor split nor label."""
    unused = [table.header[i] for i in table.beside_pixels() if i != table.label_column]
    if not unused:
        return ()
    return (f"{table.path.name}: columns that are not used: {', '.join(unused)[:200]}",)


def label_of(root: Path, train: PixelTable, test: PixelTable | None) -> tuple[int, tuple[str, ...]]:
    """The label column of the training table, and notes. Raises DataError where it is not clear.

    It is the one that the sample submission has too, else the only one of a usual name, else the
    only column that the test table lacks.
    """
    columns = train.beside_pixels()
    asked = {name for header in sample_headers(root) for name in header[1:]}
    in_sample = [i for i in columns if train.header[i].lower() in asked]
    usual = [i for i in columns if train.header[i].lower() in LABEL]
    test_names = {test.header[i] for i in test.beside_pixels()} if test else set()
    only_here = [i for i in columns if train.header[i] not in test_names]
    candidates = next((some for some in (in_sample, usual, only_here) if some), [])
    if len(candidates) != 1:
        names = ", ".join(train.header[i] for i in candidates or columns) or "no other column"
        problem = "each could be the label" if candidates else "none is a label"
        raise DataError(
            f"{one_line(train.path)}: beside the pixels it has {names[:200]}: {problem}\n"
            "name the label column label"
        )
    label = candidates[0]
    named = f"{train.path.name}: the label is {train.header[label]}"
    return label, () if label in usual else (named,)
