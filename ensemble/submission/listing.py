"""Cells that list several names: what separates them, how many there are, what stands for none.

Or a column for each of the most probable classes: prediction1, prediction2, prediction3.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from ensemble.dataset.class_columns import matched_columns
from ensemble.dataset.filenames import folded_form, same_form
from ensemble.errors import SubmissionError
from ensemble.metrics.class_numbers import number
from ensemble.submission.choices import TOP_K
from ensemble.submission.class_names import NO_LABEL, spelled_names

_RANK = re.compile(r"(.*?)(\d+)")
SEPARATORS = (", ", "; ", " | ", ",", ";", "|", " ")


@dataclass(frozen=True)
class Listing:
    """How a cell lists names: what is between them, and the text of each name by class.

    k is the number of names in a cell, 0 where it is free; nothing is the cell of an image without
    a label; assumed says what the sample does not show. is_column_each: a row has k cells instead.
    """

    separator: str
    texts: Mapping[str, str]
    k: int
    nothing: str
    assumed: str
    is_column_each: bool = False

    def cells_of(self, names: Sequence[str]) -> list[str]:
        """The cells of a row that lists these classes or labels."""
        texts = [self.texts[name] for name in names]
        if self.is_column_each:
            return texts
        return [self.separator.join(texts) if texts else self.nothing]

    def names_in(self, cells: Sequence[str]) -> list[str]:
        """What the cells of a row list, as they spell it."""
        return list(cells) if self.is_column_each else cells[0].split(self.separator)


def are_ranks(
    columns: Sequence[str], rows: Sequence[Sequence[str]], classes: Sequence[str]
) -> bool:
    """Whether columns after the id are numbered and each row has different classes.

    Columns of the classes, one each, are ranks only where cells are no probabilities: 2 and above.
    """
    ranks = [_RANK.fullmatch(column.strip()) for column in columns[1:]]
    numbers = [int(rank[2]) for rank in ranks if rank]
    is_numbered = (
        len(ranks) > 1
        and all(ranks)
        and len({rank[1] for rank in ranks if rank}) == 1
        and numbers[0] in (0, 1)
        and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    )
    if not is_numbered:
        return False
    cells = {cell.strip() for row in rows for cell in row[1:]}
    is_column_per_class = matched_columns(columns[1:], classes) is not None
    if is_column_per_class and all((number(cell) or 0) <= 1 for cell in cells):
        return False
    names = {folded_form(name) for name in (*classes, *spelled_names(cells, classes).values())}
    return all(
        len(listed := {folded_form(cell.strip()) for cell in row[1:]}) == len(ranks)
        and listed <= names
        for row in rows
    )


def listing_in_columns(rows: Sequence[Sequence[str]], classes: Sequence[str]) -> Listing:
    """How a row of a sample lists classes in columns: spelled as its cells are."""
    cells = {cell.strip() for row in rows for cell in row[1:]}
    k = len(rows[0]) - 1
    return Listing("", spelled_names(cells, classes), k, "", "", is_column_each=True)


def separator_in(cells: Collection[str], classes: Sequence[str]) -> str | None:
    """What separates the names in these cells, None where no cell has several.

    A mark between names of classes comes before one between other words.
    """
    names = {same_form(name) for name in classes}
    others = [cell for cell in cells if same_form(cell) not in names and not _is_nothing(cell)]
    for is_name in (lambda part: same_form(part) in names, str.strip):
        for separator in SEPARATORS:
            lists = [cell.split(separator) for cell in others if separator in cell]
            if lists and all(all(map(is_name, parts)) for parts in lists):
                return separator
    return None


def listing_of(
    cells: AbstractSet[str],
    classes: Sequence[str],
    answer: str,
    separator: str | None = None,
    metric: str | None = None,
) -> Listing:
    """How cells list names: as the sample's cells do.

    separator is that of the training table, which counts where the sample shows none; a metric such
    as map@5 says how many names there are where the sample does not. Raises SubmissionError.
    """
    shown = separator_in(cells, classes)
    between = shown or separator or " "
    names = {same_form(name) for name in classes}
    nothing = next((cell for cell in sorted(cells) if _stands_for_none(cell, names)), "")
    parts = {part for cell in cells - {nothing} for part in cell.split(between)}
    texts = spelled_names(parts, classes) if parts else {name: name for name in classes}
    _check_readable(between, texts)
    assumed = (
        "" if shown or separator else f"names are joined by {between!r}: the sample shows none"
    )
    k = 0
    if answer == TOP_K:
        longest = max((len(cell.split(between)) for cell in cells if cell), default=0)
        k = min(_k_of(metric) if not shown and _k_of(metric) else longest, len(classes))
        if not k:
            raise SubmissionError(
                "top_k: no cell of the sample shows how many classes there are in a cell\n"
                "set data.metric to map@5, for example"
            )
    return Listing(between, texts, k, nothing, assumed if k != 1 else "")


def _k_of(metric: str | None) -> int:
    """The k of a metric such as map@5, 0 for another."""
    k = (metric or "").partition("@")[2]
    return int(k) if k.isascii() and k.isdigit() else 0


def _is_nothing(cell: str) -> bool:
    return cell.strip().casefold() in NO_LABEL


def _stands_for_none(cell: str, names: Collection[str]) -> bool:
    return bool(cell) and _is_nothing(cell) and same_form(cell) not in names


def _check_readable(separator: str, texts: Mapping[str, str]) -> None:
    """Refuse names that hold the separator: they could not be told apart in a cell."""
    for text in texts.values():
        if separator in text:
            raise SubmissionError(
                f"{text[:60]!r} holds {separator!r}, which is between the names in a cell\n"
                "give a sample whose cells show another mark between two names: --sample FILE"
            )
