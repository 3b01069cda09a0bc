"""Whether a column holds a class, several labels, or a number for each image."""

import re
from dataclasses import replace

from ensemble.dataset.column_names import is_usual_label, letters
from ensemble.dataset.label_cells import YES_NO
from ensemble.dataset.separators import CLEAR, Separator, is_list, names_in_cell, separator_of
from ensemble.errors import DataError
from ensemble.layout.column_labels import are_columns_of
from ensemble.layout.labeling import Labeling
from ensemble.layout.questions import Inquiry
from ensemble.layout.regions import check_no_regions
from ensemble.layout.table import Column, Table
from ensemble.layout.validation import without_unlabeled_tests
from ensemble.numbers import is_number

PLURAL = ("labels", "tags", "classes", "attributes", "attributeids", "categories", "categoryids")
FEW_AMOUNTS, MANY_AMOUNTS = 10, 20  # different whole numbers that may be amounts
_CLASS_WORDS = re.compile(
    r"(?:^|[^a-z])(?:id|ids|code|type|kind|species|breed|family|group)(?:$|[^a-z])", re.I
)
_WITH_UNIT = re.compile(r"[$€£]? ?[-+]?\d+(?:[.,]\d+)* ?(%|[a-zA-Z°$€£]{1,4}|)")
MOST_CLASSES = 50  # whole numbers of more different values, most of them single, are a quantity


def with_target(labeling: Labeling, sample: Table | None, inquiry: Inquiry) -> Labeling:
    """The labeling with what its labels are: classes, several labels, or numbers.

    Raises DataError for cells that hold lists, for a sample that asks for several columns that are
    not 0 and 1, and for an image with an empty cell where each has a class or a number.
    """
    is_column = labeling.source == "column" and labeling.target == "class"
    if not is_column or labeling.table is None:
        return labeling
    _check_one_column(labeling, sample)
    column = labeling.table[labeling.columns[0]]
    check_no_regions(labeling.table.file, column, next_step="name another column by --label")
    cells = _sample_cells(sample)
    column = Column(column.name, tuple(labeling.labels.values()))
    _check_plain_numbers(labeling, column, inquiry)
    if _is_quantity(column, cells) or _may_be_quantity(column, cells, inquiry):
        return replace(labeling, target="number")
    separator = separator_of(set(labeling.labels.values()))
    _check_no_lists(labeling)
    if separator is not None and (
        _are_columns(separator, sample) or _are_labels(column, cells, separator, inquiry)
    ):
        return replace(labeling, target="labels", separator=separator.mark)
    if not inquiry.questions:
        labeling = without_unlabeled_tests(labeling)
        _check_filled(labeling)
    return labeling


def _check_one_column(labeling: Labeling, sample: Table | None) -> None:
    """Raises DataError where the sample asks for several columns of the table beside this one."""
    table, column = labeling.table, labeling.columns[0]
    if sample is None or table is None or column not in sample:
        return
    asked = [name for name in sample.header[1:] if name in table]
    if len(asked) < 2:
        return
    columns = f"{sample.file}: asks for the columns {', '.join(asked)[:100]}"
    cells = {name: [cell for cell in table[name].counts if not _is_yes_no(cell)] for name in asked}
    odd = [name for name in asked if not _are_amounts(table[name]) and cells[name]]
    if odd:
        cell = cells[odd[0]][0]
        raise DataError(
            f"{columns}; in {table.file}, {odd[0]} is {cell[:40]!r} in "
            f"{table[odd[0]].counts[cell]:,} rows\n"
            "columns of labels hold 0 and 1: correct the cells; of several classes or numbers per "
            f"image one can be predicted: --sample none --label {odd[0]}"
        )
    raise DataError(
        f"{columns}, which are numbers in {table.file}: one number per image can be predicted\n"
        "name another file with --sample, or --sample none --label "
        f"{asked[0]} for a CSV of one of them"
    )


def _are_amounts(column: Column) -> bool:
    return column.numbers is not None and not set(column.numbers) <= {-1, 0, 1}


def _is_yes_no(cell: str) -> bool:
    return cell.lower() in YES_NO


def _check_no_lists(labeling: Labeling) -> None:
    assert labeling.table is not None
    example = max(labeling.counts, key=len)
    if all(is_list(cell) for cell in labeling.counts if cell):
        raise DataError(
            f"{labeling.table.file}: cells of column {labeling.columns[0]} are lists: "
            f"{example[:60]!r}\nwrite an image's labels with one mark between them: red;blue"
        )


def _check_filled(labeling: Labeling) -> None:
    unlabeled = [image for image, label in labeling.labels.items() if not label]
    if unlabeled and labeling.table is not None:
        raise DataError(
            f"{labeling.table.file}: {len(unlabeled):,} images have an empty "
            f"{labeling.columns[0]}, the first: {unlabeled[0]}\n"
            "add the labels, or remove these rows"
        )


def _sample_cells(sample: Table | None) -> Column | None:
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


def _may_be_quantity(column: Column, cells: Column | None, inquiry: Inquiry) -> bool:
    """Whether many different whole numbers are amounts: a question unless the name says class."""
    if not column.is_whole or column.is_binary:
        return False
    n_values = len(column.counts)
    of_sample = set() if cells is None else set(cells.counts)
    is_other = (
        cells is not None and cells.numbers is not None and of_sample.isdisjoint(column.counts)
    )
    if inquiry.options.answer is not None:
        return inquiry.options.answer == "values"
    fewest = FEW_AMOUNTS if is_other else MANY_AMOUNTS
    if n_values < fewest or _CLASS_WORDS.search(column.name) or is_usual_label(column.name):
        return False
    example = next(iter(column.counts))
    choices = {
        "values": f"{example[:40]} is an amount, and another one can be predicted",
        "class_name": f"{example[:40]} is one of {n_values:,} classes",
    }
    text = f"column {column.name}: is a whole number an amount or a class?"
    return inquiry.choose("answer", text, choices) == "values"


def _check_plain_numbers(labeling: Labeling, column: Column, inquiry: Inquiry) -> None:
    """Raises DataError for numbers with a decimal comma, a thousands mark or a unit."""
    assert labeling.table is not None
    cells = [cell for cell in column.counts if cell]
    is_said = inquiry.options.answer is not None
    if is_said or column.numbers is not None or len(cells) < FEW_AMOUNTS or _is_plural(column):
        return
    units = {match[1] if (match := _WITH_UNIT.fullmatch(cell)) else None for cell in cells}
    if None in units or len(units) > 2:
        return
    example = next(cell for cell in cells if not is_number(cell))
    raise DataError(
        f"{labeling.table.file}: column {column.name} holds {example[:40]!r}: not a plain number\n"
        "write 3.5 for 3,5, 1500 for 1,500, and no unit; --answer labels, or class_name, where "
        "these are names"
    )


def _is_plural(column: Column) -> bool:
    return letters(column.name).endswith(PLURAL)


def _are_labels(
    column: Column, cells: Column | None, separator: Separator, inquiry: Inquiry
) -> bool:
    """By what the cells have in common: labels appear in several combinations."""
    if inquiry.options.answer is not None:
        return inquiry.options.answer == "labels"
    if _combines(cells, separator, column):
        return True
    if _is_plural(column) and (separator.mark in CLEAR or separator.is_combined):
        return True
    if not separator.is_repeated:
        return False
    example = next(cell for cell in column.counts if separator.mark in cell)
    choices = {
        "class_name": f"{example[:40]!r} is one class",
        "labels": f"{example[:40]!r} is several labels",
    }
    text = f"column {column.name}: is a cell one class or several labels?"
    return inquiry.choose("answer", text, choices) == "labels"


def _are_columns(separator: Separator, sample: Table | None) -> bool:
    """Whether the sample has a column for each name that is between the marks."""
    columns = sample.header[1:] if sample is not None else ()
    return len(columns) > 1 and are_columns_of(sorted(separator.names), columns)


def _combines(cells: Column | None, separator: Separator, column: Column) -> bool:
    """Whether the sample joins labels in a way that is no cell of the column.

    Cells whose parts are in no other cell are names such as `sea lion`, several of which in a cell of
    the sample are several classes.
    """
    if cells is None:
        return False
    joined = [cell for cell in cells.counts if separator.mark in cell and cell not in column.counts]
    if not separator.is_repeated:
        cell_texts = "|".join(map(re.escape, sorted(column.counts, key=len, reverse=True)))
        of_whole = re.compile(rf"(?:{cell_texts})(?:{re.escape(separator.mark)}(?:{cell_texts}))*")
        joined = [cell for cell in joined if not of_whole.fullmatch(cell)]
    names = {name for cell in joined for name in names_in_cell(cell, separator.mark)}
    return not names.isdisjoint(separator.names)
