"""Predictions of other tools, from an .npz or a CSV."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble.dataset.csvfile import read_csv
from ensemble.errors import DamagedError, DataError
from ensemble.predictions import Array, Predictions
from ensemble.targets import Target

LABEL = "label"  # the CSV column that holds the true class or value
PREFIX = "label:"  # and before the name of a label that the column holds the truth of, 0 or 1
TRUTH_IN_CSV = {
    "class": f"classes: a column `{LABEL}`",
    "labels": f"labels: a column `{PREFIX}NAME` of 0 and 1 for each",
    "number": f"values: a column `{LABEL}`",
}
Row = Mapping[str, str]


def read_predictions(path: Path, target: Target | None = None) -> Predictions:
    """Predictions from an .npz (docs/formats.md) or a CSV. Raises DamagedError, DataError.

    The CSV has ids first; one column of probabilities per class, and perhaps a column `label`; or
    one per label, and perhaps one `label:NAME` for each; or one of values, and perhaps `label`.
    """
    if path.suffix == ".npz":
        return _of_arrays(path, target)
    header, rows = read_csv(path)
    target = target or "class"
    truths = [column for column in header[1:] if _is_truth(column, header, target)]
    names = [column for column in header[1:] if column not in truths]
    _check_columns(path, header, names, truths, target)
    ids = [row[header[0]] for row in rows]
    probs = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        probs[i] = _numbers(path, row, header[0], names)
    targets = _truth(path, rows, header[0], names, target) if truths else None
    try:
        return Predictions(np.array(ids), tuple(names), probs, targets, target=target)
    except DamagedError as error:
        raise DamagedError(f"{path}: {error}") from None


def _of_arrays(path: Path, target: Target | None) -> Predictions:
    stored = Predictions.load(path, target=target)
    if not len(stored.ids):
        raise DataError(f"{path}: has no rows")
    if stored.target == "class" and len(stored.classes) < 2:
        raise DataError(f"{path}: has one class, {stored.classes[0][:100]!r}; needs two at least")
    return stored


def _is_truth(column: str, header: Sequence[str], target: Target) -> bool:
    """Whether a column holds true labels; a class may be called `label:…`, too."""
    stem = column.removeprefix(PREFIX)
    return column == LABEL or (stem != column and (target == "labels" or stem in header))


def _check_columns(
    path: Path, header: Sequence[str], names: Sequence[str], truths: Sequence[str], target: Target
) -> None:
    """Check that the columns are those of the target. Raises DataError."""
    columns = ", ".join(header)[:200]
    if target == "labels":
        expected = [PREFIX + name for name in names]
        if LABEL in truths or (truths and sorted(truths) != sorted(expected)):
            odd = sorted(set(truths) ^ set(expected))[0]
            raise DataError(
                f"{path}: the true labels are in columns `{PREFIX}NAME`, one for each column of "
                f"probabilities or none at all; {odd[:60]!r} has no counterpart"
            )
        if not names:
            raise DataError(
                f"{path}: needs an id column and one column per label; it has {columns}"
            )
        return
    if truths and truths != [LABEL]:
        raise DataError(
            f"{path}: columns such as {truths[-1][:60]!r} hold true labels of several labels per "
            "image\nadd --target labels, or keep one column `label`"
        )
    if target == "number" and len(names) != 1:
        raise DataError(f"{path}: needs an id column and one column of values; it has {columns}")
    if target == "class" and len(names) < 2:
        raise DataError(f"{path}: needs an id column and one column per class; it has {columns}")


def _numbers(path: Path, row: Row, id_column: str, columns: Sequence[str]) -> list[float]:
    numbers = []
    for column in columns:
        try:
            numbers.append(float(row[column]))
        except ValueError:
            raise DataError(
                f"{path}: {row[id_column]!r}: {column} is {row[column][:40]!r}, not a number"
            ) from None
    return numbers


def _truth(
    path: Path, rows: Sequence[Row], id_column: str, names: Sequence[str], target: Target
) -> Array:
    """The targets of rows, as `Predictions` has them. Raises DataError."""
    if target == "class":
        return _classes(path, [row[LABEL] for row in rows], names)
    columns = [LABEL] if target == "number" else [PREFIX + name for name in names]
    numbers = np.array([_numbers(path, row, id_column, columns) for row in rows])
    if target == "number":
        return np.asarray(numbers[:, 0])
    is_odd = (numbers != 0) & (numbers != 1)
    if is_odd.any():
        i, column = np.argwhere(is_odd)[0]
        raise DataError(
            f"{path}: {rows[i][id_column]!r}: {columns[column]} is "
            f"{rows[i][columns[column]][:40]!r}, neither 0 nor 1"
        )
    return numbers.astype(np.uint8)


def _classes(path: Path, labels: Sequence[str], classes: Sequence[str]) -> Array:
    code = {name: i for i, name in enumerate(classes)}
    unknown = sorted(set(labels) - code.keys())
    if unknown:
        raise DataError(f"{path}: {unknown[0]!r} in column {LABEL} has no column of probabilities")
    return np.array([code[label] for label in labels])
