"""Labelings by columns of tables, and what speaks for each: the sample submission, names, cells."""

from collections.abc import Collection, Sequence

from ensemble.dataset.class_columns import matched_columns
from ensemble.dataset.column_names import FACTS, is_usual_label, letters, same_name
from ensemble.dataset.filenames import folded_form
from ensemble.dataset.label_cells import YES_NO
from ensemble.dataset.split_names import is_list_of_parts
from ensemble.layout.groups import is_group_name
from ensemble.layout.labeling import Labeling, by_column, by_columns
from ensemble.layout.placement import Placed, Placement
from ensemble.layout.regions import region_of, region_reason
from ensemble.layout.table import Column, Table
from ensemble.layout.validation import is_of_splits
from ensemble.numbers import is_number

FEW = 0.5  # a label column has fewer different cells than this share of the rows


def column_labelings(placed: Placed, sample: Table | None) -> list[Labeling]:
    """The labelings by a column, or by a column for each class, that tables allow."""
    candidates: list[Labeling] = []
    for table, placement in placed.values():
        one_hot = _one_hot_columns(table, placement, sample)
        if one_hot:
            candidates.append(by_columns(table, placement, one_hot))
            continue
        candidates += [
            by_column(table, placement, column.name)
            for column in table.others(placement.column)
            if _may_label(column, table, placement)
            and (_is_in(column, sample) or not _is_coordinate(column, table, placement))
        ]
    return candidates


def _one_hot_columns(table: Table, placement: Placement, sample: Table | None) -> tuple[str, ...]:
    """The columns that say 0 or 1 for each class: the sample's, else all where each row has one 1."""
    binary = [column for column in table.others(placement.column) if column.is_one is not None]
    if table.form == "wide":
        return tuple(column.name for column in binary)
    if sample is not None:
        return _asked_for(sample.header[1:], [column.name for column in binary])
    if len(binary) < 2 or any(is_usual_label(name) for name in table.header):
        return ()
    sums = map(sum, zip(*[column.is_one or () for column in binary], strict=True))
    are_classes = sum(len(column.counts) > 1 for column in binary) > 1 and set(sums) == {1}
    return tuple(column.name for column in binary) if are_classes else ()


def _asked_for(columns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the names that a sample's columns are, perhaps with a text around all; () for one."""
    same = tuple(name for name in names if any(same_name(name, column) for column in columns))
    if len(same) > 1:
        return same
    alike = [name for name in names if any(_one_in_other(name, column) for column in columns)]
    return tuple(alike) if len(alike) > 1 and matched_columns(columns, alike) else ()


def _one_in_other(a: str, b: str) -> bool:
    return a.casefold() in b.casefold() or b.casefold() in a.casefold()


def _may_label(column: Column, table: Table, placement: Placement) -> bool:
    """Whether a column is neither an id nor a count of the rows, nor the same everywhere."""
    if len(column.counts) < 2 or column.is_counter or is_of_splits(column):
        return False
    if column.name == table.row:
        return False
    if letters(column.name) in FACTS or _is_of_parts(table) or region_of(column):
        return False
    ids = table[placement.column].cells
    is_repeated = len(column.counts) < len(column.cells)
    return column.cells != ids and (is_repeated or column.numbers is not None)


def _is_in(column: Column, sample: Table | None) -> bool:
    return sample is not None and column.name in sample


def _is_coordinate(column: Column, table: Table, placement: Placement) -> bool:
    """Whether a column is called y beside one called x that does not name the images."""
    beside = (letters(other.name) for other in table.others(placement.column))
    return letters(column.name) == "y" and "x" in beside


def _is_of_parts(table: Table) -> bool:
    """Whether a list without a header is called as one of an image's part of the set is."""
    return not table.has_header and is_list_of_parts(table.file)


def no_label_reason(column: Column, table: Table) -> str:
    """Why a column holds no labels, in words: odd cells among numbers, one cell, or all different."""
    name = column.name
    if len(column.counts) < 2:
        return f"{name} is the same in all rows"
    if letters(name) in FACTS or _is_of_parts(table):
        return f"{name} is no label by its name"
    if column.is_counter:
        return f"{name} counts the rows"
    if is_of_splits(column):
        return f"{name} says which images are for what"
    reason = region_reason(column)
    if reason:
        return reason
    odd = [cell for cell in column.counts if not is_number(cell)]
    if 0 < len(odd) <= len(column.counts) / 2 and len(column.counts) > 2:
        n_rows = sum(column.counts[cell] for cell in odd)
        return (
            f"{name} holds numbers, but {odd[0][:40]!r} in {n_rows:,} of {len(column.cells):,} rows"
        )
    is_amount = bool(odd) and all(cell[:1].isdigit() for cell in column.counts)
    example = f"such as {column.cells[0][:40]!r}"
    if is_amount:
        return f"{name} holds no plain numbers, {example}"
    return f"{name} differs from row to row, {example}"


def is_asked_for(labeling: Labeling, sample: Table | None) -> bool:
    """Whether the sample has this column, or columns for its values."""
    if sample is None:
        return False
    columns = sample.header[1:]
    if labeling.source == "columns":
        return are_columns_of(labeling.columns, columns)
    if len(columns) > 1:
        return are_columns_of(labeling.classes, columns)
    name, of_sample = letters(labeling.columns[0]), letters(columns[0])
    shorter, longer = sorted((name, of_sample), key=len)
    return name == of_sample or (len(shorter) > 3 and longer.startswith(shorter))


def has_cells(labeling: Labeling, sample: Table | None) -> bool:
    """Whether the sample's cells are texts that are classes, or lists of classes."""
    if sample is None or len(sample.columns) != 2:
        return False
    cells, classes = set(sample.columns[1].counts), set(labeling.classes)
    if not all(cells) or sample.columns[1].numbers is not None:
        return False
    return cells <= classes or are_lists_of(cells, classes) or _list_most_of(cells, classes)


def are_lists_of(cells: Collection[str], classes: set[str]) -> bool:
    """Whether each cell is several classes with blanks between them."""
    lists = [cell.split() for cell in cells]
    return all(len(names) > 1 and classes.issuperset(names) for names in lists)


def _list_most_of(cells: Collection[str], classes: set[str]) -> bool:
    """Whether each cell is several names of which most are classes: others may be new in the test."""
    names = {name for cell in cells for name in cell.split()}
    return all(len(cell.split()) > 1 for cell in cells) and 2 * len(names & classes) > len(names)


def same_texts(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether texts are the same but for their order and the case of their letters."""
    return {folded_form(text) for text in a} == {folded_form(text) for text in b}


def are_columns_of(classes: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a sample's columns are these classes, perhaps with a text around all of them."""
    return same_texts(classes, columns) or matched_columns(columns, classes) is not None


def is_usual(labeling: Labeling) -> bool:
    """Whether a column is named as labels usually are."""
    return any(map(is_usual_label, labeling.columns))


def likeliest(candidates: Sequence[Labeling], sample: Table | None) -> list[Labeling]:
    """Those with the best evidence: a usual name, then few texts, then few numbers, beside which any
    numbers may be meant; and columns of other labels from the same classes.

    Beside a sample submission that asks for another name, or another table, texts are no evidence.
    """
    candidates = _without_conflicts(candidates)
    candidates = [labeling for labeling in candidates if not _is_group(labeling)] or candidates
    is_of_one_table = len({labeling.table.file for labeling in candidates if labeling.table}) == 1
    by_texts = [_has_few_texts] if sample is None and is_of_one_table else []
    for is_likely in (is_usual, _has_column_per_class, *by_texts, _has_few):
        likely = [labeling for labeling in candidates if is_likely(labeling)]
        if likely and is_likely is _has_few and all(map(_is_of_numbers, likely)):
            return [
                *likely,
                *(lab for lab in candidates if lab not in likely and _is_of_numbers(lab)),
            ]
        if likely:
            return [
                *likely,
                *(lab for lab in candidates if lab not in likely and _is_rival(lab, likely[0])),
            ]
    return candidates


def _is_rival(labeling: Labeling, likely: Labeling) -> bool:
    """Whether a column of the same table has the same classes in other rows: noisy and corrected
    labels. Numbers are the same classes where one name is in the other: `level`, `level_2`.
    """
    if labeling.table is not likely.table or "columns" in (labeling.source, likely.source):
        return False
    a, b = letters(labeling.columns[0]), letters(likely.columns[0])
    are_words = not any(is_number(name) or name.lower() in YES_NO for name in labeling.classes)
    few, many = sorted(({*labeling.classes}, {*likely.classes}), key=len)
    return (are_words or a in b or b in a) and len(few) > 1 and few <= many


def _without_conflicts(candidates: Sequence[Labeling]) -> list[Labeling]:
    """Those without an image with two labels, but one with such images that alone is named so."""
    clear = [labeling for labeling in candidates if not labeling.conflict]
    is_clear = any(map(is_usual, clear)) or not any(map(is_usual, candidates))
    return clear if clear and is_clear else list(candidates)


def is_from_coco(labeling: Labeling) -> bool:
    """Whether the labels are from a file as COCO has it, which says what they are."""
    return labeling.table is not None and labeling.table.form == "coco"


def _is_group(labeling: Labeling) -> bool:
    return labeling.source == "column" and is_group_name(labeling.columns[0])


def _has_column_per_class(labeling: Labeling) -> bool:
    return labeling.source == "columns"


def _has_few(labeling: Labeling) -> bool:
    return len(labeling.counts) <= max(2, FEW * labeling.counts.total())


def _is_of_numbers(labeling: Labeling) -> bool:
    assert labeling.table is not None
    return labeling.source == "column" and labeling.table[labeling.columns[0]].numbers is not None


def _has_few_texts(labeling: Labeling) -> bool:
    assert labeling.table is not None
    is_text = labeling.table[labeling.columns[0]].numbers is None
    return _has_few(labeling) and (is_text or labeling.source == "columns")
