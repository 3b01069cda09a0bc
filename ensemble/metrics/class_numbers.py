"""Classes whose names are numbers; the positive one of two that name themselves.

Numbers are compared by their exact value: `0.0`, `00` and `0` are one name.
"""

import re
from collections.abc import Sequence
from decimal import Decimal

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
TRUTH = {"false": Decimal(0), "true": Decimal(1)}
_LONGEST = 100  # characters of a number


def number(text: str) -> Decimal | None:
    """The value of a finite number in decimal digits, None for any other text."""
    digits = text.strip()
    if len(digits) > _LONGEST or not _NUMBER.fullmatch(digits):
        return None
    return Decimal(digits)


def class_numbers(classes: Sequence[str]) -> dict[str, Decimal] | None:
    """The number of each class where all are different numbers, or false and true; else None."""
    words = [name.strip().casefold() for name in classes]
    if set(words) == TRUTH.keys() and len(classes) == 2:
        return {name: TRUTH[word] for name, word in zip(classes, words, strict=True)}
    numbers: dict[str, Decimal] = {}
    for name in classes:
        value_of_name = number(name)
        if value_of_name is None or value_of_name in numbers.values():
            return None
        numbers[name] = value_of_name
    return numbers


def numbers_in_names(classes: Sequence[str]) -> dict[str, int] | None:
    """The number that each class's name begins with, as in 001.cat, or holds, as in c0.

    None where these are not different numbers, and where the names are numbers themselves.
    """
    if class_numbers(classes) is not None:
        return None
    for pattern in (r"\s*(\d+)\D.*", r"\D*(\d+)\D*"):
        found = [re.fullmatch(pattern, name, re.ASCII | re.DOTALL) for name in classes]
        numbers = [int(match[1]) for match in found if match and len(match[1]) < _LONGEST]
        if len(set(numbers)) == len(classes):
            return dict(zip(classes, numbers, strict=True))
    return None


def are_zero_and_one(classes: Sequence[str]) -> bool:
    """Whether the classes are 0 and 1, 0.0 and 1.0, or false and true."""
    numbers = class_numbers(classes)
    return numbers is not None and sorted(numbers.values()) == [0, 1]


def named_positive(classes: Sequence[str]) -> str | None:
    """The class 1 or true of two classes that name themselves, else None."""
    if not are_zero_and_one(classes):
        return None
    numbers = class_numbers(classes) or {}
    return next(name for name in classes if numbers[name] == 1)
