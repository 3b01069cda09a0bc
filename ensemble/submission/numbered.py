"""Numbers that a submission writes for classes: positions among the names, or those in the names."""

import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal

from ensemble.metrics.class_numbers import class_numbers, numbers_in_names
from ensemble.numbers import count

CLASS_INDEX, CLASS_NUMBER = "class_index", "class_number"
NUMBERED = (CLASS_INDEX, CLASS_NUMBER)  # the answers that write a class as its number
SHOWN = 4  # classes that a line lists


def numbers_of(answer: str, classes: Sequence[str]) -> dict[str, int] | None:
    """The number of each class: its position by text, so that class_10 comes before class_2, or the
    one in its name; None without such numbers.
    """
    if answer == CLASS_NUMBER:
        return numbers_in_names(classes)
    return {name: position for position, name in enumerate(sorted(classes))}


def possible_numbers(cells: set[Decimal], classes: Sequence[str]) -> tuple[str, ...]:
    """The answers that these cells can be: numbers in the names first, then positions that differ."""
    in_names = numbers_in_names(classes)
    if in_names is None or (len(cells) > 1 and not cells <= set(map(Decimal, in_names.values()))):
        return (CLASS_INDEX,)
    is_same = in_names == numbers_of(CLASS_INDEX, classes)
    return (CLASS_NUMBER,) if is_same else (CLASS_NUMBER, CLASS_INDEX)


def problem_of_numbers(answer: str, classes: Sequence[str], positive: str | None) -> str:
    """Why these classes cannot be written as numbers, or ""; positive is the larger of two."""
    numbers = numbers_of(answer, classes)
    if numbers is None and class_numbers(classes) is not None:
        return "class_number: the classes are numbers themselves\nadd `--answer class_name`"
    if numbers is None:
        return (
            f"class_number: there is no number of its own in each name: {listed(classes)}\n"
            "name the classes like 1_cat, or add `--answer class_index`: positions among the names"
        )
    first, last = min(numbers, key=numbers.__getitem__), max(numbers, key=numbers.__getitem__)
    if len(numbers) > 2 or positive != first:
        return ""
    return (
        f"{answer} means {listed_numbers(numbers)}, but positive is {positive!r}\n"
        f"add `--positive {shlex.quote(last)}`, or train on classes named 0 and 1"
    )


def number_in_words(answer: str, classes: Sequence[str]) -> str:
    """What number stands for a class."""
    shown = listed_numbers(numbers_of(answer, classes) or {})
    if answer == CLASS_NUMBER:
        return f"the number in its name, {shown}"
    other = "" if numbers_in_names(classes) else " (other numbers: name the classes like 1_cat)"
    return f"its position among the sorted names, {shown}{other}"


def listed_numbers(numbers: Mapping[str, int]) -> str:
    """`0 = cat, 1 = dog, …`: the first four."""
    names = sorted(numbers, key=numbers.__getitem__)
    shown = [f"{numbers[name]} = {name[:40]}" for name in names[:SHOWN]]
    return ", ".join(shown) + (", …" if len(names) > SHOWN else "")


def listed(classes: Sequence[str]) -> str:
    """`cat, dog`, or the first four `and 10 others`."""
    shown = ", ".join(name[:40] for name in classes[:SHOWN])
    n_left = len(classes) - SHOWN
    return shown + (f" and {count(n_left, 'other')}" if n_left > 0 else "")
