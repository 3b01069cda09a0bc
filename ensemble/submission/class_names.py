"""Class names in a sample submission: numbers as names, columns of classes, how names are spelled.

Numbers are compared by their exact value: `0.0`, `00` and `0` are one name.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal

from ensemble.dataset.class_columns import matched_columns
from ensemble.dataset.filenames import folded_form, same_form
from ensemble.metrics.class_numbers import TRUTH, are_zero_and_one, class_numbers, number
from ensemble.submission.choices import CLASS_NAME, LABELS, TOP_K, VALUES

_OTHER_NUMBER = re.compile(r"[+-]?(\d+,\d+|\d+([.,]\d+)?\s*%)", re.ASCII)
NAMED = (CLASS_NAME, LABELS, TOP_K)  # the answers that write classes by their names
_OF_PROBABILITY = {"p", "prob", "proba", "probability", "score", "pred", "prediction", "is", "has"}
NO_LABEL = frozenset({"", "-", "none", "nothing", "null", "no label", "no labels"})
_NOTHING = NO_LABEL | {"nan", "na", "n/a"}
_SPELLINGS_OF_TRUTH = (("false", "true"), ("False", "True"), ("FALSE", "TRUE"))

Spelling = Callable[[Decimal], str]


def is_other_number(text: str) -> bool:
    """Whether a text is a number that a competition would not read: `0,5` or `50 %`."""
    return _OTHER_NUMBER.fullmatch(text.strip()) is not None


def named_by_column(column: str, classes: Sequence[str]) -> str | None:
    """The class that a column is named by, perhaps with a word for probability: `prob_cat`."""
    if class_numbers(classes) is not None:
        return None
    words = [word for word in _words(column) if word not in _OF_PROBABILITY]
    forms = [form for form in (_words(column), words) if form]
    named = [name for name in classes if _words(name) in forms]
    return named[0] if len(named) == 1 else None


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", same_form(name).casefold())


def columns_problem(columns: Sequence[str], classes: Sequence[str]) -> str:
    """Why a sample's columns, the id first, are not one for each class; and what to do."""
    if columns[0].strip() in ("", "Unnamed: 0"):
        shown = ", ".join(map(repr, columns[1:4]))
        return (
            f"its first column has no name, as an index that pandas wrote, then come {shown}\n"
            "save it without the index (index=False), and give that file by --sample"
        )
    class_forms = {same_form(name) for name in classes}
    column_names = {same_form(name) for name in columns[1:]}
    missing, extra = sorted(class_forms - column_names), sorted(column_names - class_forms)
    differences = []
    if missing:
        differences.append(f"{len(missing)} classes have no column {missing[:3]}")
    if extra:
        differences.append(f"{len(extra)} columns are not classes {extra[:3]}")
    advice = "a sample has an id, then one column of answers or one for each class: save it so"
    if extra and not missing:
        advice = "train with images of these classes, or save it without these columns"
    return (
        f"its columns are not the classes: {', '.join(differences)}\n"
        f"{advice}, and give that file by --sample"
    )


def spelled_names(cells: Collection[str], classes: Sequence[str]) -> dict[str, str]:
    """How each class is written under a sample with these cells.

    As the sample spells it, where every cell is the name of a class and one spelling covers all
    classes: `0.0` for the class 0, `Cat` for cat where the sample also shows each other class,
    `sea_lion` for sea lion where it shows `polar_bear` for polar bear. Else as the class is.
    """
    as_they_are = {name: name for name in classes}
    if {same_form(cell) for cell in cells} <= {same_form(name) for name in classes}:
        return as_they_are
    return (
        _spelled_numbers(cells, classes)
        or _spelled_texts(cells, classes)
        or _spelled_between_words(cells, classes)
        or as_they_are
    )


def unknown_cell(cells: Collection[str], texts: Mapping[str, str], answer: str) -> str:
    """What to say about a sample's first cell that is no class as written, or no number; or "".

    texts are what is written for each class; cells that stand for nothing are not meant.
    """
    numbers = {number(text) for text in texts.values()} - {None}
    forms = {same_form(text) for text in texts.values()}
    for cell in sorted(cell for cell in cells if cell.strip().casefold() not in _NOTHING):
        if answer == VALUES and number(cell) is None:
            return f"the sample's {cell[:60]!r} is not a number; the CSV has numbers"
        is_known = same_form(cell) in forms or number(cell) in numbers
        if answer in NAMED and texts and not is_known:
            folded = folded_form(cell)
            near = [text for text in texts.values() if folded_form(text) == folded]
            example = (near or sorted(texts.values()))[0]
            shown = f"the sample's {cell[:60]!r} is not a name that the runs have"
            return f"{shown}; the CSV has names such as {example[:60]!r}"
    return ""


def _spelled_numbers(cells: Collection[str], classes: Sequence[str]) -> dict[str, str] | None:
    """Every class number as all cells write theirs; None where they do not, or it loses digits."""
    numbers = class_numbers(classes)
    if numbers is None:
        return None
    cell_numbers = {cell: _cell_number(cell, are_zero_and_one(classes)) for cell in cells}
    if not set(cell_numbers.values()) <= set(numbers.values()):
        return None
    for spelling in _spellings(cells):
        if any(n is None or spelling(n) != cell for cell, n in cell_numbers.items()):
            continue
        spelled = {name: spelling(amount) for name, amount in numbers.items()}
        has_all_digits = all(
            _cell_number(text, True) == numbers[name] for name, text in spelled.items()
        )
        return spelled if has_all_digits else None
    return None


def _cell_number(cell: str, may_be_truth: bool) -> Decimal | None:
    value_of_cell = number(cell)
    if value_of_cell is None and may_be_truth:
        return TRUTH.get(cell.casefold())
    return value_of_cell


def _spellings(cells: Collection[str]) -> Iterable[Spelling]:
    """How all cells may be written: 7, 7.00, 007, or true."""
    shortest = min(cells, key=len)
    n_decimals = len(shortest.partition(".")[2])
    width = len(shortest)
    yield lambda number: str(int(number))
    yield lambda number: f"{number:.{n_decimals}f}"
    yield lambda number: f"{int(number):0{width}d}"
    for words in _SPELLINGS_OF_TRUTH:
        yield lambda number, words=words: words[number == 1]  # type: ignore[misc]


def _spelled_texts(cells: Collection[str], classes: Sequence[str]) -> dict[str, str] | None:
    """The cell of each class, matched as columns are; None where one is not shown."""
    if class_numbers(classes) is not None:
        return None
    matched = matched_columns(sorted(cells), classes)
    return dict(zip(matched, sorted(cells), strict=True)) if matched else None


def _spelled_between_words(cells: Collection[str], classes: Sequence[str]) -> dict[str, str] | None:
    """Every class with another mark between its words, as all cells have it; None where they do not."""
    for old, new in ((" ", "_"), ("_", " "), (" ", "-"), ("-", " ")):
        spelled = {name: name.replace(old, new) for name in classes}
        forms = {same_form(text) for text in spelled.values()}
        if len(forms) == len(classes) and {same_form(cell) for cell in cells} <= forms:
            return spelled
    return None
