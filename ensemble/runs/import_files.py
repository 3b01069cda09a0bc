"""Predictions of other tools, from an .npz or a CSV."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ensemble.dataset.class_columns import matched_columns
from ensemble.dataset.csvfile import CsvTable, read_table
from ensemble.errors import DamagedError, DataError
from ensemble.numbers import is_number
from ensemble.predictions import Array, Predictions
from ensemble.runs.import_columns import ID, LABEL, Columns, columns_of
from ensemble.targets import Target

_OTHER_FORMATS = (".npy", ".pkl", ".parquet", ".feather", ".xlsx", ".xls", ".json", ".h5", ".pt")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.I | re.ASCII)
_PER_CENT = re.compile(r"[+-]?[\d.,]+\s*%", re.ASCII)
_TRUTH = {"true", "false"}


def read_predictions(path: Path, target: Target | None = None) -> Predictions:
    """Predictions from an .npz (docs/formats.md) or a CSV. Raises DamagedError, DataError.

    The CSV has ids, first or in a column `id`; one column of probabilities per class, and perhaps a
    column `label`; or one per label, and perhaps one `label:NAME` for each; or one of values, and
    perhaps `label`. A column `group` says which rows belong together.
    """
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _of_arrays(path, target)
    if suffix in _OTHER_FORMATS:
        raise DataError(
            f"{path}: is neither a CSV nor an .npz\nwrite a CSV of an id and one column per class, "
            "or `np.savez(FILE, ids=…, classes=…, probs=…)`: docs/formats.md"
        )
    table, target = read_table(path), target or "class"
    columns = columns_of(table, target)
    probs = _numbers(table, columns, columns.names)
    names, targets = _with_truth(table, columns, target)
    ids = np.array(table.column(columns.id))
    groups = None if columns.group is None else np.array(table.column(columns.group))
    try:
        return Predictions(ids, names, probs, targets, groups, target)
    except DamagedError as error:
        raise DamagedError(f"{path}: {error}") from None


def _of_arrays(path: Path, target: Target | None) -> Predictions:
    stored = Predictions.load(path, target=target)
    if not len(stored.ids):
        raise DataError(f"{path}: has no rows")
    if stored.target == "class" and len(stored.classes) < 2:
        raise DataError(f"{path}: has one class, {stored.classes[0][:100]!r}; needs two at least")
    return stored


def _numbers(table: CsvTable, columns: Columns, names: Sequence[str]) -> Array:
    """The numbers of these columns, (rows, names) float64. Raises DataError."""
    numbers = np.empty((len(table), len(names)))
    for position, name in enumerate(names):
        cells = table.column(name)
        try:
            numbers[:, position] = [float(cell) for cell in cells]
        except ValueError:
            row = next(i for i, cell in enumerate(cells) if not is_number(cell))
            raise DataError(
                f"{table.path}: {table.column(columns.id)[row][:60]!r}: {name[:60]} "
                f"{_no_number(cells[row], columns.id)}"
            ) from None
    return numbers


def _no_number(cell: str, id_column: str) -> str:
    """What is wrong with a cell that is no number, and what to do."""
    if not cell:
        return "is empty\nevery row needs a number in each column"
    if _DECIMAL_COMMA.fullmatch(cell):
        return (
            f"is {cell[:40]!r}, with a decimal comma\nwrite numbers with a point: in pandas, "
            "`pd.read_csv(FILE, sep=';', decimal=',', dtype={'id': str}).to_csv(FILE, index=False)`"
        ).replace("'id'", repr(id_column))
    if _PER_CENT.fullmatch(cell):
        return f"is {cell[:40]!r}\nwrite shares from 0 to 1, without the sign"
    if cell.casefold() in _TRUTH:
        return f"is {cell[:40]!r}, not a number\nwrite probabilities, or 1 for True and 0 for False"
    return (
        f"is {cell[:40]!r}, not a number\nids are in `{id_column[:60]}`, the truth in `{LABEL}`, all else "
        f"is predictions: leave other columns out, or call that of the ids `{ID}`"
    )


def _with_truth(
    table: CsvTable, columns: Columns, target: Target
) -> tuple[tuple[str, ...], Array | None]:
    """The names of classes or labels, and the targets, as `Predictions` has them.

    Where true classes fit all columns one to one, the shorter name counts: 0 of prob_0, and of 0.0.
    Raises DataError.
    """
    if not any(cell for name in columns.truths for cell in table.column(name)):
        return columns.names, None
    if target == "class":
        return _classes(table, columns)
    numbers = _numbers(table, columns, columns.truths)
    if target == "number":
        return columns.names, np.asarray(numbers[:, 0])
    is_odd = (numbers != 0) & (numbers != 1)
    if is_odd.any():
        row, position = np.argwhere(is_odd)[0]
        name = columns.truths[position]
        raise DataError(
            f"{table.path}: {table.column(columns.id)[row]!r}: {name} is "
            f"{table.column(name)[row][:40]!r}, neither 0 nor 1"
        )
    return columns.names, numbers.astype(np.uint8)


def _classes(table: CsvTable, columns: Columns) -> tuple[tuple[str, ...], Array]:
    labels, names = table.column(columns.truths[0]), columns.names
    unknown = sorted(set(labels) - set(names))
    if unknown:
        named = matched_columns(names, sorted(set(labels)))
        if named is None:
            ids = table.column(columns.id)
            first = next(i for i, label in enumerate(labels) if label == unknown[0])
            raise DataError(
                f"{table.path}: {ids[first][:60]!r}: {unknown[0][:60]!r} in column "
                f"{columns.truths[0]} has no column of probabilities\n"
                f"the columns are {', '.join(names)[:200]}: name them as the classes"
            )
        code = {label: i for i, label in enumerate(named)}
        names = tuple(min(pair, key=len) for pair in zip(names, named, strict=True))
    else:
        code = {name: i for i, name in enumerate(names)}
    return names, np.array([code[label] for label in labels])
