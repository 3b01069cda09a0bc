"""Labels of pixel rows in a CSV of their own, joined by an id, or row by row where both say so."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ensemble.convert.part_names import sample_tables, split_of_path
from ensemble.convert.pixel_roles import ID, PixelTable, is_unnamed
from ensemble.convert.row_labels import label_column
from ensemble.convert.table_rows import table_rows
from ensemble.dataset.column_names import LABELS
from ensemble.dataset.filenames import without_suffix
from ensemble.dataset.scan import one_line
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

LABEL_FILE = re.compile(r"label|target|class|(?:^|[\W_])y(?:$|[\W_]|tr|te|va)", re.IGNORECASE)


@dataclass(frozen=True)
class TableLabels:
    """The label of each row: by the cell of one of its columns, or by the number of the row.

    by_key is keyed by the text of that cell without a suffix, or by the number of the row from 0.
    """

    path: Path
    key_column: int | None
    by_key: Mapping[str, str]

    def lookup(self) -> Callable[[int, Sequence[str], str], str]:
        """label(number, row, where): every label once. Raises DataError for a row without one."""
        labels = dict(self.by_key)

        def label(number: int, row: Sequence[str], where: str) -> str:
            column = self.key_column
            key = str(number) if column is None else without_suffix(row[column].strip())
            if key not in labels:
                problem = "appears twice" if key in self.by_key else f"is not in {self.path.name}"
                raise DataError(
                    f"{where}: the id {key[:60]!r} {problem}\nevery row needs a label of its own"
                )
            return labels.pop(key)

        return label


def label_table(
    root: Path, table: PixelTable, split: Split | None, paths: Sequence[Path]
) -> TableLabels | None:
    """The labels of a pixel table among other CSVs; None without such a CSV.

    split is what the name of the pixel table says: the names of its labels say the same. Raises
    DataError for two CSVs, and for one that does not fit.
    """
    samples = set(sample_tables(root))
    candidates = [
        path
        for path in paths
        if path not in samples
        and split_of_path(root, path) == split
        and path.parent in (root, table.path.parent)
    ]
    n_rows = table.n_rows()
    bodies = {path: body for path in candidates if (body := _body(path, table, n_rows))}
    as_many = {path: body for path, body in bodies.items() if len(body[1]) == n_rows}
    if len(as_many) > 1:
        names = " and ".join(path.name for path in as_many)
        raise DataError(f"{root}: {names[:200]}: each could be the labels\nmove one away")
    if bodies and not as_many:
        path, (_, rows) = next(iter(bodies.items()))
        raise DataError(
            f"{one_line(path)}: {len(rows):,} rows of labels, {table.path.name} has {n_rows:,}\n"
            "every image needs its label"
        )
    return next((_labels(path, table, *body) for path, body in as_many.items()), None)


def _body(
    path: Path, table: PixelTable, n_rows: int
) -> tuple[list[str], list[tuple[int, list[str]]]] | None:
    """Names of columns and (line number, cells) of the rows; None where no name says labels."""
    lines = list(table_rows(path))
    names = [name.strip() for name in lines[0][1]] if lines else []
    is_label_file = bool(LABEL_FILE.search(path.name.split(".")[0]))
    if not is_label_file and not {name.lower() for name in names} & set(LABELS):
        return None
    has_header = len(names) != 1 or _is_header([row[0] for _, row in lines], table, n_rows)
    return names, lines[int(has_header) :]


def _is_header(cells: list[str], table: PixelTable, n_rows: int) -> bool:
    """Whether the first cell of a single column is its name, not a label like those below it.

    pandas names a nameless column 0, which can be a label too: then the number of rows decides, and
    pixels without a header make it a label. A label that is lost never shifts the others.
    """
    first = cells[0].strip()
    if first.lower() in LABELS or first not in {cell.strip() for cell in cells[1:]}:
        return True
    return first == "0" and (table.has_header or len(cells) != n_rows)


def _labels(
    path: Path, table: PixelTable, names: list[str], body: list[tuple[int, list[str]]]
) -> TableLabels:
    uneven = next((line for line, row in body if len(row) != len(names)), None)
    if uneven is not None:
        raise DataError(f"{one_line(path)}:{uneven}: not {len(names)} cells\nrepair the line")
    rows = [[cell.strip() for cell in row] for _, row in body]
    if len(names) == 1:
        return TableLabels(path, None, {str(i): row[0] for i, row in enumerate(rows)})
    return _joined(path, table, names, rows)


def _joined(path: Path, table: PixelTable, names: list[str], rows: list[list[str]]) -> TableLabels:
    """Labels of rows with a key: that of the pixel rows, or their numbers in order."""
    keys = [i for i, name in enumerate(names) if name.lower() in ID or is_unnamed(name)]
    key = keys[0] if keys else 0
    columns = [name for i, name in enumerate(names) if i != key and not is_unnamed(name)]
    label = names.index(label_column(path, columns))
    by_key = {without_suffix(row[key]): row[label] for row in rows}
    pixel_key = table.key_column()
    counted = [str(i) for i in range(len(rows))], [str(i + 1) for i in range(len(rows))]
    if pixel_key is None and [*by_key] in counted:
        return TableLabels(path, None, {str(i): row[label] for i, row in enumerate(rows)})
    if pixel_key is None or len(by_key) != len(rows):
        problem = "repeat" if pixel_key is not None else "are not the numbers of the rows, in order"
        raise DataError(
            f"{one_line(path)}: its ids in {names[key] or '(unnamed)'!r} {problem}\n"
            f"nothing says which label belongs to which row of {table.path.name}"
        )
    return TableLabels(path, pixel_key, by_key)
