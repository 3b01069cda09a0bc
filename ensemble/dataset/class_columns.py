"""Which class a column of probabilities is about: names are matched one to one.

Numbers are compared by their exact value: `0.0`, `00` and `0` are one name.
"""

import os.path
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from ensemble.dataset.filenames import folded_form, same_form
from ensemble.metrics.class_numbers import number

_UNKNOWN = {"unk", "unknown", "other", "others"}


def matched_columns(columns: Sequence[str], classes: Sequence[str]) -> tuple[str, ...] | None:
    """The class of each column, None where columns and classes do not fit one to one.

    Names are equal, else all of them are equal but for case, spaces around them, and how a number
    is written; else also but for the marks between words: `toy_poodle` is `toy-poodle`; else one side
    has the same text around every name, as in `prob_cat` and `p(cat)`.
    """
    return (
        _one_to_one(columns, classes, same_form)
        or _one_to_one(columns, classes, _loose_form)
        or _one_to_one(columns, classes, _words)
        or _one_to_one(_bare_names(columns, classes), classes, _loose_form)
        or _of_bare_classes(columns, classes)
    )


def matched_with_unknown(columns: Sequence[str], classes: Sequence[str]) -> tuple[str, ...] | None:
    """As matched_columns, with "" for one column called unknown or other, which no class is."""
    named = [column for column in columns if folded_form(column) not in _UNKNOWN]
    matched = matched_columns(columns, classes)
    if matched is not None or len(named) != len(columns) - 1:
        return matched
    class_of = dict(zip(named, matched_columns(named, classes) or (), strict=False))
    return tuple(class_of.get(column, "") for column in columns) if class_of else None


def _one_to_one(
    columns: Sequence[str], classes: Sequence[str], form: Callable[[str], str | Decimal]
) -> tuple[str, ...] | None:
    class_of = {form(name): name for name in classes}
    forms = [form(column) for column in columns]
    is_unique = len(class_of) == len(classes) == len(columns) == len(set(forms))
    if not is_unique or set(forms) != class_of.keys():
        return None
    return tuple(class_of[name] for name in forms)


def _of_bare_classes(columns: Sequence[str], classes: Sequence[str]) -> tuple[str, ...] | None:
    """The class of each column, where all classes but no columns have the same text around them."""
    class_of = dict(zip(_bare_names(classes, columns), classes, strict=True))
    if len(class_of) < len(classes):
        return None
    matched = _one_to_one(columns, list(class_of), _loose_form)
    return tuple(class_of[name] for name in matched) if matched else None


def _bare_names(longer: Sequence[str], shorter: Sequence[str]) -> list[str]:
    """The longer names without what they share before and after what the shorter names share.

    Numbers are not cut: of class_11 and class_12 beside 1 and 2, 11 and 12 are left.
    """
    texts = [folded_form(name) for name in longer]
    others = [folded_form(name) for name in shorter]
    before = _shared_beyond(texts, others)
    after = _shared_beyond([text[::-1] for text in texts], [other[::-1] for other in others])
    return [text[len(before) : len(text) - len(after)] for text in texts]


def _shared_beyond(texts: Sequence[str], others: Sequence[str]) -> str:
    """What all texts begin with, without what all others begin with; no digits at its end."""
    shared, of_others = os.path.commonprefix(texts), os.path.commonprefix(others)
    return shared.removesuffix(of_others).rstrip("0123456789") if shared else ""


def _words(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", folded_form(name))


def _loose_form(name: str) -> str | Decimal:
    value_of_name = number(name)
    return folded_form(name) if value_of_name is None else value_of_name
