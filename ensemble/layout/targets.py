"""Whether a column holds a class, several labels, or a number for each image."""

from collections.abc import Sequence
from dataclasses import replace

from ensemble.layout.labeling import Labeling, Target
from ensemble.layout.questions import Inquiry
from ensemble.layout.table import Column, Table

SEPARATORS = (" ", ",", ";", "|")
PLURAL = ("labels", "tags", "classes", "attributes", "attributeids", "categories", "categoryids")
MOST_CLASSES = 50  # whole numbers of more different values, most of them single, are a quantity


def with_target(labeling: Labeling, sample: Table | None, inquiry: Inquiry) -> Labeling:
    """The labeling with what its labels are: classes, several labels, or numbers."""
    if labeling.source != "column" or labeling.table is None:
        return labeling
    column = labeling.table[labeling.columns[0]]
    cells = _sample_cells(labeling, sample)
    if _is_quantity(column, cells):
        return replace(labeling, target="number")
    return replace(labeling, target=_class_or_labels(column, cells, inquiry))


def _sample_cells(labeling: Labeling, sample: Table | None) -> Column | None:
    """The sample's only column of answers, None if it has several."""
    if sample is None or len(sample.header) != 2:
        return None
    return sample.columns[1]


def _is_quantity(column: Column, cells: Column | None) -> bool:
    """Whether the numbers of a column are amounts: fractions, or as many as there are rows."""
    if column.numbers is None:
        return False
    if cells is not None and cells.numbers is not None:
        if any(number > 1 and not number.is_integer() for number in cells.numbers):
            return True
        if any(not number.is_integer() for number in cells.numbers):
            return not column.is_binary and not column.is_whole
    if not column.is_whole:
        return True
    n_rows, n_values = len(column.cells), len(column.counts)
    return n_values > MOST_CLASSES and n_values > n_rows / 2 and cells is None


def _class_or_labels(column: Column, cells: Column | None, inquiry: Inquiry) -> Target:
    """By what the cells have in common: labels appear in several combinations."""
    separator = _separator(column)
    if separator is None:
        return "class"
    if inquiry.options.answer is not None:
        return "labels" if inquiry.options.answer == "labels" else "class"
    is_plural = "".join(filter(str.isalnum, column.name)).lower() in PLURAL
    if is_plural or _combines(cells, separator, column):
        return "labels"
    if not _has_parts(column, separator):
        return "class"
    example = next(cell for cell in column.counts if separator in cell)
    choices = {
        "class_name": f"{example[:40]!r} is one class",
        "labels": f"{example[:40]!r} is several labels",
    }
    text = f"column {column.name}: is a cell one class or several labels?"
    return "labels" if inquiry.choose("answer", text, choices) == "labels" else "class"


def _separator(column: Column) -> str | None:
    """The mark between the labels of a cell, None where no cell has one."""
    return next((mark for mark in SEPARATORS if any(mark in cell for cell in column.counts)), None)


def _parts(cells: Sequence[str], separator: str) -> set[str]:
    return {part.strip() for cell in cells for part in cell.split(separator) if part.strip()}


def _combines(cells: Column | None, separator: str, column: Column) -> bool:
    """Whether the sample joins labels in a way that is no cell of the column."""
    if cells is None:
        return False
    joined = [cell for cell in cells.counts if separator in cell and cell not in column.counts]
    return bool(joined) and bool(_parts(joined, separator) & _parts(list(column.counts), separator))


def _has_parts(column: Column, separator: str) -> bool:
    """Whether a part of one cell is another cell, or appears in several cells."""
    joined = [cell for cell in column.counts if separator in cell]
    alone = set(column.counts) - set(joined)
    parts = [part.strip() for cell in joined for part in cell.split(separator)]
    return bool(set(parts) & alone) or len(set(parts)) < len(parts)
