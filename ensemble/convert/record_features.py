"""Which feature of TFRecords is the image, which the id and which the label: by evidence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ensemble.convert.example import Feature
from ensemble.convert.image_folder import suffix_of
from ensemble.convert.part_names import sample_tables
from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.filenames import without_suffix
from ensemble.errors import DataError

Features = dict[str, Feature]

IMAGE = ("image", "image_raw", "image/encoded", "img", "image/image", "image_bytes", "encoded")
ID = (
    *("image_id", "image_name", "id", "image/filename", "filename", "file_name", "image/id"),
    *("image/source_id", "img_id", "name"),
)
LABEL = (
    *("class", "label", "target", "image/class/label", "image/label", "labels"),
    *("image/class/text", "class_name", "label_name", "label_text"),
)
N_LISTED = 12  # features that a message names


@dataclass(frozen=True)
class Roles:
    """The names of the features; id is None where records have none, labels empty likewise.

    The first of labels is what is written; the others must mean the same class in every record.
    """

    image: str
    id: str | None
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Samples:
    """The features of some records of each split, and what a sample submission asks for."""

    where: str
    train: Sequence[Features]
    test: Sequence[Features]
    header: tuple[str, ...] = ()
    ids: frozenset[str] = frozenset()
    cells: frozenset[str] = frozenset()

    @property
    def all(self) -> list[Features]:
        return [*self.train, *self.test]

    def values(self, name: str, records: Sequence[Features]) -> list[Feature]:
        return [record[name] for record in records]


def roles_of(root: Path, where: str, train: Sequence[Features], test: Sequence[Features]) -> Roles:
    """The roles of features, from some records of each split. Raises DataError naming them."""
    header: tuple[str, ...] = ()
    ids: set[str] = set()
    cells: set[str] = set()
    for path in sample_tables(root):
        columns, rows = read_csv(path, LABEL_DELIMITERS)
        header += tuple(columns[1:])
        ids |= {without_suffix(row[columns[0]]) for row in rows}
        cells |= {row[column] for row in rows for column in columns[1:2]}
    samples = _Samples(where, train, test, header, frozenset(ids), frozenset(cells))
    image = _image(samples)
    id_name = _id(samples, image)
    labels, notes = _labels(samples, {image, id_name})
    return Roles(image, id_name, labels, notes)


def _shared(records: Sequence[Features]) -> list[str]:
    """The features that each of these records has with one value, sorted."""
    names = set.intersection(*(set(record) for record in records)) if records else set()
    return sorted(name for name in names if all(len(record[name]) == 1 for record in records))


def _image(samples: _Samples) -> str:
    shared = _shared(samples.all)
    images = [
        name
        for name in shared
        if all(_is_image(value) for value in samples.values(name, samples.all))
    ]
    usual = [name for name in images if name.lower() in IMAGE]
    candidates = usual or images
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise _ambiguous(samples, candidates, "the image")
    names = sorted(set().union(*samples.all))
    raise DataError(
        f"{samples.where}: no feature holds a JPEG, PNG or other image file in every record\n"
        f"the records have {_listed(names) or 'no feature'}"
    )


def _is_image(feature: Feature) -> bool:
    return isinstance(feature[0], bytes) and suffix_of(feature[0]) is not None


def _id(samples: _Samples, image: str) -> str | None:
    names = [name for name in _shared(samples.all) if name != image and name.lower() in ID]
    texts = {
        name: [without_suffix(checked_text(samples.where, name, record)) for record in samples.all]
        for name in names
        if not any(isinstance(record[name][0], float) for record in samples.all)
    }
    if len(texts) > 1:
        distinct = {name: ids for name, ids in texts.items() if len(set(ids)) == len(ids)}
        texts = distinct or texts
    if len(texts) > 1 and samples.ids and samples.test:
        n_train = len(samples.train)
        fitting = {
            name: ids for name, ids in texts.items() if samples.ids.issuperset(ids[n_train:])
        }
        texts = fitting or texts
    if len({tuple(ids) for ids in texts.values()}) > 1:
        raise _ambiguous(samples, sorted(texts), "the id")
    return min(texts, key=lambda name: ID.index(name.lower()), default=None)


def _labels(samples: _Samples, taken: set[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The label features, the one to write first, and notes."""
    in_all = set.intersection(*(set(record) for record in samples.train))
    asked_for = {column.lower() for column in samples.header}
    names = [name for name in sorted(in_all - taken) if name.lower() in {*LABEL, *asked_for}]
    several = [name for name in names if any(len(record[name]) != 1 for record in samples.train)]
    if several:
        raise DataError(
            f"{samples.where}: the label {several[0][:60]!r} has several values in a record, or none\n"
            "only records with one label per image can be read"
        )
    if len(names) < 2:
        return tuple(names), ()
    in_sample = [name for name in names if name.lower() in asked_for]
    if len(in_sample) == 1:
        first = in_sample[0]
        rest = [name for name in names if name != first and _agree(samples, first, name)]
        return (first, *rest), (f"label feature: {first}, as in the sample submission",)
    clash = next((name for name in names[1:] if not _agree(samples, names[0], name)), None)
    if clash:
        raise _ambiguous(samples, [names[0], clash], "the label")
    return _texts_or_numbers(samples, names)


def _texts_or_numbers(
    samples: _Samples, names: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of labels that mean the same classes, the texts; the numbers where the sample has numbers."""
    texts = [name for name in names if isinstance(samples.train[0][name][0], bytes)]
    numbers = [name for name in names if name not in texts]
    asks_for_numbers = bool(samples.cells) and len(samples.header) == 1
    asks_for_numbers &= all(cell.isascii() and cell.isdigit() for cell in samples.cells)
    preferred = (numbers or texts) if asks_for_numbers else (texts or numbers)
    labels = {tuple(samples.values(name, samples.train)) for name in preferred}
    if len(labels) > 1:
        raise _ambiguous(samples, preferred, "the label")
    rest = [name for name in names if name != preferred[0]]
    return (preferred[0], *rest), (f"label feature: {preferred[0]}; {_listed(rest)} agrees",)


def _agree(samples: _Samples, first: str, second: str) -> bool:
    """Whether two features stand for the same classes in these records, one to one."""
    pairs = set(
        zip(
            samples.values(first, samples.train), samples.values(second, samples.train), strict=True
        )
    )
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _ambiguous(samples: _Samples, names: Sequence[str], role: str) -> DataError:
    return DataError(
        f"{samples.where}: each of these features could be {role}: {_listed(names)}\n"
        "nothing in the records or a sample submission decides; convert them yourself"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - N_LISTED} more" if len(names) > N_LISTED else ""
    return ", ".join(ascii(name[:40])[1:-1] for name in names[:N_LISTED]) + more


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
        names = _listed(sorted(record)) or "none"
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
