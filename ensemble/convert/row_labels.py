"""Labels of rows that have no id: a CSV whose ids are the numbers of the rows."""

from dataclasses import dataclass
from pathlib import Path

from ensemble.convert.part_names import first_number, sample_tables
from ensemble.dataset.column_names import LABELS
from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError


@dataclass(frozen=True)
class RowLabels:
    """The label of each row, in the order of the rows, and the number of the first: 0 or 1."""

    file: str
    first: int
    labels: tuple[str, ...]


def labels_by_row(root: Path, n_rows: int) -> RowLabels:
    """The labels of so many rows from a CSV of the folder. Raises DataError.

    A CSV in the same order is not enough: its ids must be the numbers of the rows, from 0 or 1.
    """
    samples = sample_tables(root)
    fitting: list[RowLabels] = []
    other_ids: list[Path] = []
    for path in [path for path in sorted(root.glob("[!.]*.csv")) if path not in samples]:
        header, rows = read_csv(path, LABEL_DELIMITERS)
        if len(rows) != n_rows or len(header) < 2:
            continue
        first = first_number([row[header[0]] for row in rows])
        if first not in (0, 1):
            other_ids.append(path)
            continue
        label = label_column(path, header[1:])
        by_number = {int(row[header[0]]): row[label] for row in rows}
        labels = tuple(by_number[number] for number in sorted(by_number))
        fitting.append(RowLabels(path.name, first, labels))
    if len(fitting) != 1:
        raise _unclear(root, n_rows, fitting, other_ids)
    return fitting[0]


def label_column(path: Path, columns: list[str]) -> str:
    """The column of a usual name for labels, else the only column. Raises DataError."""
    usual = [column for column in columns if column.strip().lower() in LABELS]
    candidates = usual or columns
    if len(candidates) > 1:
        raise DataError(
            f"{one_line(path)}: each of {', '.join(candidates)[:200]} could be the label\n"
            "name the label column label"
        )
    return candidates[0]


def _unclear(root: Path, n_rows: int, fitting: list[RowLabels], other_ids: list[Path]) -> DataError:
    if fitting:
        names = " and ".join(labels.file for labels in fitting)
        return DataError(f"{root}: {names[:200]}: each could be the labels\nmove one away")
    if other_ids:
        return DataError(
            f"{one_line(other_ids[0])}: {n_rows:,} rows, but its ids are not the rows' numbers\n"
            "nothing says which label belongs to which image; add a column of row numbers"
        )
    return DataError(
        f"{root}: no labels for the {n_rows:,} training images in arrays\n"
        "add an array such as y_train, or a CSV whose first column counts the rows"
    )
