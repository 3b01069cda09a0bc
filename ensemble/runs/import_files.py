"""Predictions of other tools, from an .npz or a CSV."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.errors import DamagedError, DataError
from ensemble.predictions import Array, Predictions
from ensemble.targets import SUM_TOLERANCE, Target

ID = "id"  # the CSV column of ids; without one of this name, the first is
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

    The CSV has ids, first or in a column `id`; one column of probabilities per class, and perhaps a
    column `label`; or one per label, and perhaps one `label:NAME` for each; or one of values, and
    perhaps `label`.
    """
    if path.suffix == ".npz":
        return _of_arrays(path, target)
    header, rows = read_csv(path, LABEL_DELIMITERS)
    target = target or "class"
    id_column = ID if ID in header else header[0]
    columns = [column for column in header if column != id_column]
    truths = [column for column in columns if _is_truth(column, header, target)]
    names = [column for column in columns if column not in truths]
    _check_columns(path, header, names, truths, target)
    ids = [row[id_column] for row in rows]
    probs = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        probs[i] = _numbers(path, row, id_column, names)
    targets = _truth(path, rows, id_column, names, target) if truths else None
    try:
        return Predictions(np.array(ids), tuple(names), probs, targets, target=target)
    except DamagedError as error:
        hint = _hint(names, probs) if target == "class" else ""
        raise DamagedError(f"{path}: {error}{hint}") from None


def _hint(names: Sequence[str], numbers: Array) -> str:
    """A line about what numbers (rows, classes) that are no probabilities seem to be, or ""."""
    sums = numbers.sum(1)
    is_sum = bool(np.abs(sums - 1).max() <= SUM_TOLERANCE)
    if not np.isfinite(numbers).all() or (is_sum and numbers.min() >= 0):
        return ""
    without_one = {name: sums - numbers[:, i] for i, name in enumerate(names)}
    other = [name for name, rest in without_one.items() if np.allclose(rest, 1, atol=SUM_TOLERANCE)]
    if other and len(names) > 2:
        return f"\nleave out column {other[0][:60]!r}, if it is no class"
    if np.allclose(sums, 100, atol=100 * SUM_TOLERANCE):
        return "\nthey look like per cent: divide them by 100"
    if (numbers < 0).mean() > 0.1:
        return "\nthey look like logits or logarithms: write probabilities, after the softmax"
    if np.allclose(sums, 1, atol=0.005 * len(names)):
        return "\nthey look rounded: write more digits"
    return ""


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
                f"{path}: {row[id_column]!r}: {column} is {row[column][:40]!r}, not a number\n"
                f"every column but `{id_column}` and `{LABEL}` is taken for predictions, with a "
                "decimal point: leave out the others"
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
        raise DataError(
            f"{path}: {unknown[0][:60]!r} in column {LABEL} has no column of probabilities\n"
            f"the columns are {', '.join(classes)[:200]}: name them as the classes"
        )
    return np.array([code[label] for label in labels])
