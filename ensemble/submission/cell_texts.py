"""What the texts in a sample's cells are beside the classes: names, several of them, other words."""

from collections.abc import Sequence

from ensemble.dataset.filenames import same_form
from ensemble.dataset.labels import MISSING_VALUES
from ensemble.metrics.class_numbers import class_numbers, number
from ensemble.submission.listing import SEPARATORS

FEW_WORDS = 3  # of a text that stands for an answer, such as "class name"


def are_names(cells: set[str], classes: Sequence[str]) -> bool:
    """Whether all cells are classes."""
    return {same_form(cell) for cell in cells} <= {same_form(name) for name in classes}


def names_any(cells: set[str], classes: Sequence[str]) -> bool:
    """Whether a cell is a class, in any case of its letters, or empty."""
    names = {same_form(name).casefold() for name in classes}
    return any(not cell.strip() or same_form(cell.strip()).casefold() in names for cell in cells)


def lists_classes(cell: str, classes: Sequence[str]) -> bool:
    """Whether a cell is several words, a class among them, and not itself a class."""
    return cell not in classes and any(
        not {*classes}.isdisjoint(cell.split(mark)) for mark in SEPARATORS if mark in cell
    )


def has_more_words(cell: str, classes: Sequence[str]) -> bool:
    """Whether a cell is several words and more than any class."""
    n_most = max(len(name.split()) for name in classes)
    return len(cell.split()) > max(FEW_WORDS, n_most)


def is_word(cell: str) -> bool:
    """Whether a cell says something: it is neither empty nor `nan`."""
    return cell.strip().casefold() not in ("", *MISSING_VALUES)


def has_fraction(cell: str, classes: Sequence[str]) -> bool:
    """Whether a part of a cell is a number with decimals and no class."""
    parts = [
        number(part) for mark in SEPARATORS for part in cell.split(mark) if part not in classes
    ]
    return any(amount is not None and amount != int(amount) for amount in parts)


def lists_only_classes(cell: str, classes: Sequence[str]) -> bool:
    """Whether a cell is class names with a mark between them, or as many numbers where those are."""
    are_numbers = class_numbers(classes) is not None
    return any(
        all(part in classes or (are_numbers and number(part) is not None) for part in parts)
        for parts in (cell.split(mark) for mark in SEPARATORS)
    )
