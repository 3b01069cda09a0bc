"""The class of a record: a text, a number, or the position of the 1 in a list of 0 and 1."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ensemble.convert.example import Feature, Features
from ensemble.errors import DataError

N_LISTED = 12  # features that a message names


def listed(names: Sequence[str]) -> str:
    """The first of some names of features, for a message."""
    more = f" and {len(names) - N_LISTED} more" if len(names) > N_LISTED else ""
    return ", ".join(ascii(name[:40])[1:-1] for name in names[:N_LISTED]) + more


def is_one_hot(feature: Feature, n_classes: int) -> bool:
    """Whether a feature has so many numbers, one of them 1 and the others 0."""
    if len(feature) != n_classes or n_classes < 2:
        return False
    numbers = [number for number in feature if number in (0, 1)]
    return len(numbers) == n_classes and sum(map(bool, numbers)) == 1


def label_text(where: str, name: str, record: Features, n_columns: Mapping[str, int]) -> str:
    """The class that a feature of a record names: its text, its number, or that of its column.

    n_columns says for features that are one-hot how many classes they have. Raises DataError.
    """
    if name not in n_columns or name not in record:
        return checked_text(where, name, record)
    feature = record[name]
    if not is_one_hot(feature, n_columns[name]):
        raise DataError(
            f"{where}: the feature {name[:60]!r} is not one 1 among {n_columns[name]} zeros\n"
            "only one class per image can be read; repair the data"
        )
    return str(feature.index(1))


def text_of(feature: Feature) -> str:
    """The only value of a feature as text: 3.0 is 3. Raises ValueError."""
    if len(feature) != 1:
        raise ValueError(f"it has {len(feature)} values")
    (value,) = feature
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        raise ValueError(f"it is {value}")
    return str(int(value)) if value == int(value) else str(np.float32(value))


def checked_text(where: str, name: str, record: Features) -> str:
    """The only value of a record's feature as text. Raises DataError naming the feature."""
    if name not in record:
        names = listed(sorted(record)) or "none"
        raise DataError(f"{where}: has no feature {name!r}, unlike the first\nit has {names}")
    try:
        return text_of(record[name])
    except ValueError as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise DataError(
            f"{where}: the feature {name[:60]!r} is not one text or number: {reason}\n"
            "repair the data"
        ) from None


@dataclass
class LabelPairs:
    """What the first label feature has meant in the others so far: one class each, or an error."""

    pairs: dict[tuple[str, str], str] = field(default_factory=dict)

    def check(self, names: Sequence[str], labels: Sequence[str], where: str) -> None:
        """Remember the labels of a record. Raises DataError where they contradict earlier ones."""
        for name, label in zip(names[1:], labels[1:], strict=True):
            first_label = self.pairs.setdefault((name, label), labels[0])
            label_before = self.pairs.setdefault((f"\0{name}", labels[0]), label)
            if (first_label, label_before) != (labels[0], label):
                raise DataError(
                    f"{where}: {names[0]} {labels[0][:40]!r} comes with {name} {label[:40]!r}, "
                    "in an earlier record with another\nrepair the data"
                )
