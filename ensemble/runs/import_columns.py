"""The columns of another tool's CSV: which holds ids, predictions, the truth, groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.dataset.column_names import FACTS, letters, same_name
from ensemble.dataset.csvfile import CsvTable
from ensemble.errors import DataError
from ensemble.metrics.class_numbers import number
from ensemble.targets import SUM_TOLERANCE, Target

ID = "id"  # the column of ids; without one of this name, the first is
LABEL = "label"  # the column that holds the true class or value
GROUP = "group"  # the column that says which rows belong together
PREFIX = "label:"  # and before the name of a label that the column holds the truth of, 0 or 1
TRUTH_IN_CSV = {
    "class": f"classes: a column `{LABEL}`",
    "labels": f"labels: a column `{PREFIX}NAME` of 0 and 1 for each",
    "number": f"values: a column `{LABEL}`",
}
_INDEX_NAMES = ("", "Unnamed: 0")  # of pandas's index
_ID_ENDINGS = ("id", "name", "file", "path", "image")  # of the name of a column of ids


@dataclass(frozen=True)
class Columns:
    """The column of ids, those of predictions, those of the truth, which may be none; that of groups.

    Of several labels, names[i] has its truth in truths[i].
    """

    id: str
    names: tuple[str, ...]
    truths: tuple[str, ...]
    group: str | None


def columns_of(table: CsvTable, target: Target) -> Columns:
    """What the columns of a table of predictions are. Raises DataError."""
    _check_header(table, target)
    id_column = _id_column(table)
    index = [name for name in table.header if name != id_column and _is_index(table, name)]
    others = [name for name in table.header if name not in (id_column, *index)]
    group = _named(GROUP, others)
    if group is not None and not all(map(_is_share, table.column(group))):
        others.remove(group)
    else:
        group = None
    label = _named(LABEL, others)
    truths = [name for name in others if name == label or _is_truth(name, others, target)]
    names = [name for name in others if name not in truths]
    _check_long(table, id_column, names, target)
    _check_columns(table, names, truths, label, target)
    # a column x may be the class of a letter
    facts = [name for name in names if letters(name) in FACTS and len(name) > 1]
    fact = next((name for name in facts if _is_zero(table, name)), None)
    if target == "class" and fact is not None:
        raise DataError(
            f"{table.path}: {fact!r} seems to be no class\nleave out this column of zeros"
        )
    if target == "labels" and truths:
        truths = [PREFIX + name for name in names]
    return Columns(id_column, tuple(names), tuple(truths), group)


def _named(name: str, header: Sequence[str]) -> str | None:
    """The column of this name, exactly or in another case; None where none or several are."""
    alike = [column for column in header if same_name(column, name)]
    return name if name in header else alike[0] if len(alike) == 1 else None


def _id_column(table: CsvTable) -> str:
    """`id`, else the first column, or the second where the first is pandas's index and that names rows."""
    header = table.header
    named = _named(ID, header)
    if named is not None:
        return named
    n_others = sum(name != _named(LABEL, header) for name in header[1:])
    if n_others < 2 or not _is_index(table, header[0]):
        return header[0]
    second = table.column(header[1])
    values = [value for value in map(number, second) if value is not None]
    is_name = len(set(second)) == len(second) and all(value % 1 == 0 for value in values)
    return header[1] if is_name else header[0]


def _is_index(table: CsvTable, name: str) -> bool:
    """Whether a column is the index that pandas wrote: whole numbers without a name."""
    cells = table.column(name) if name in _INDEX_NAMES else ()
    return bool(cells) and all(map(str.isdecimal, cells)) and len(set(cells)) == len(cells)


def _is_fraction(cell: str) -> bool:
    return number(cell) is not None and not cell.isdecimal()


def _is_zero(table: CsvTable, name: str) -> bool:
    return all(number(cell) == 0 for cell in table.column(name))


def _is_share(cell: str) -> bool:
    share = number(cell)
    return share is not None and 0 <= share <= 1


def _is_truth(column: str, header: Sequence[str], target: Target) -> bool:
    """Whether a column holds true labels; a class may be called `label:…`, too."""
    stem = column.removeprefix(PREFIX)
    return stem != column and (target == "labels" or stem in header)


def _check_header(table: CsvTable, target: Target) -> None:
    """Raises DataError where the first line is a row of probabilities."""
    first, *cells = table.header
    if first in _INDEX_NAMES or letters(first).endswith(_ID_ENDINGS):
        return  # classes may be called 0.0 and 1.0
    is_row = len(cells) > 1 and all(map(_is_share, cells)) and any(map(_is_fraction, cells))
    is_row = is_row and (target == "labels" or abs(sum(map(float, cells)) - 1) <= SUM_TOLERANCE)
    if target != "number" and is_row:
        raise DataError(
            f"{table.path}: the first line seems to be a row, not a header: "
            f"{', '.join(table.header)[:100]}\n"
            f"write `{ID}` and the names of the columns into a line before it"
        )


def _check_long(table: CsvTable, id_column: str, names: Sequence[str], target: Target) -> None:
    """Raises DataError for a row per image and class."""
    ids = table.column(id_column)
    texts = [name for name in names if not any(map(number, table.column(name)))]
    if target == "number" or len(set(ids)) == len(ids) or len(names) != 2 or len(texts) != 1:
        return
    values = next(name for name in names if name not in texts)
    raise DataError(
        f"{table.path}: has a row for each image and class\nwrite a column per class: in pandas, "
        f"`table.pivot(index={id_column!r}, columns={texts[0]!r}, values={values!r}).to_csv(FILE)`"
    )


def _check_columns(
    table: CsvTable,
    names: Sequence[str],
    truths: Sequence[str],
    label: str | None,
    target: Target,
) -> None:
    """Check that the columns are those of the target. Raises DataError."""
    path, columns = table.path, ", ".join(table.header)[:200]
    if target == "labels":
        expected = [PREFIX + name for name in names]
        if label or (truths and sorted(truths) != sorted(expected)):
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
    if truths and list(truths) != [label]:
        raise DataError(
            f"{path}: columns such as {truths[-1][:60]!r} hold true labels of several labels per "
            "image\nadd --target labels, or keep one column `label`"
        )
    if target == "number" and len(names) != 1:
        raise DataError(f"{path}: needs an id column and one column of values; it has {columns}")
    if target == "class" and len(names) < 2:
        raise DataError(
            f"{path}: needs an id column and one column per class; it has {columns}\n"
            "of two classes write both: one column is 1 minus the other; of a number per image add "
            "--target number"
        )
