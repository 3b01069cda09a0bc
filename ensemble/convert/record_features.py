"""Which feature of TFRecords is the image, which the id and which the label: by evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ensemble.convert.example import Feature, Features
from ensemble.convert.image_folder import suffix_of
from ensemble.convert.part_names import sample_rows
from ensemble.convert.raw_image import RawImages, raw_images
from ensemble.convert.record_labels import checked_text, is_one_hot, label_text, listed
from ensemble.dataset.filenames import without_suffix
from ensemble.errors import DataError

IMAGE = ("image", "image_raw", "image/encoded", "img", "image/image", "image_bytes", "encoded")
ID = (
    *("image_id", "image_name", "id", "image/filename", "filename", "file_name", "image/id"),
    *("image/source_id", "img_id", "name"),
)
LABEL = (
    *("class", "label", "target", "image/class/label", "image/label", "labels"),
    *("image/class/text", "class_name", "label_name", "label_text"),
)


@dataclass(frozen=True)
class Roles:
    """The names of the features; id is None where records have none, labels empty likewise.

    The first of labels is what is written; the others must mean the same class in every record.
    raw says how images are read that are plain pixels, n_columns how many classes a one-hot label
    has.
    """

    image: str
    id: str | None
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()
    raw: RawImages | None = None
    n_columns: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Samples:
    """The features of some records of each split, and what a sample submission asks for."""

    where: str
    train: Sequence[Features]
    test: Sequence[Features]
    header: tuple[str, ...] = ()
    id_names: frozenset[str] = frozenset()  # in lower case
    ids: frozenset[str] = frozenset()
    cells: frozenset[str] = frozenset()
    n_columns: Mapping[str, int] = field(default_factory=dict)  # of one-hot labels

    @property
    def all(self) -> list[Features]:
        return [*self.train, *self.test]

    def values(self, name: str, records: Sequence[Features]) -> list[Feature]:
        return [record[name] for record in records]

    def classes(self, name: str) -> list[str]:
        """What a label feature says in the training records. Raises DataError."""
        return [label_text(self.where, name, record, self.n_columns) for record in self.train]


def roles_of(root: Path, where: str, train: Sequence[Features], test: Sequence[Features]) -> Roles:
    """The roles of features, from some records of each split. Raises DataError naming them."""
    header: tuple[str, ...] = ()
    id_names: set[str] = set()
    ids: set[str] = set()
    cells: set[str] = set()
    for _, columns, rows in sample_rows(root):
        header += tuple(columns[1:])
        id_names.add(columns[0].lower())
        ids |= {without_suffix(row[columns[0]]) for row in rows}
        cells |= {row[column] for row in rows for column in columns[1:2]}
    named = frozenset(id_names), frozenset(ids), frozenset(cells)
    samples = _Samples(where, train, test, header, *named)
    image, raw = _image(samples)
    id_name = _id(samples, image)
    size = {raw.height, raw.width, raw.depth} if raw is not None else set()
    labels, notes, n_columns = _labels(samples, {image, id_name} | size)
    if raw is not None:
        notes = (*notes, f"image feature: {image}, plain pixels of {raw.height} × {raw.width}")
    return Roles(image, id_name, labels, notes, raw, n_columns)


def _shared(records: Sequence[Features]) -> list[str]:
    """The features that each of these records has with one value, sorted."""
    names = set.intersection(*(set(record) for record in records)) if records else set()
    return sorted(name for name in names if all(len(record[name]) == 1 for record in records))


def _image(samples: _Samples) -> tuple[str, RawImages | None]:
    """The feature of image files, else that of plain pixels and how these are read."""
    shared = _shared(samples.all)
    images: dict[str, RawImages | None] = {
        name: None
        for name in shared
        if all(_is_image(feature) for feature in samples.values(name, samples.all))
    }
    if not images:
        pixels = {name: raw_images(samples.where, name, samples.all) for name in shared}
        images = {name: raw for name, raw in pixels.items() if raw is not None}
    usual = [name for name in images if name.lower() in IMAGE]
    candidates = usual or [*images]
    if len(candidates) == 1:
        return candidates[0], images[candidates[0]]
    if candidates:
        raise _ambiguous(samples, candidates, "the image")
    names = sorted(set().union(*samples.all))
    raise DataError(
        f"{samples.where}: no feature holds a JPEG, PNG or other image file in every record, "
        "or height × width pixels\n"
        f"the records have {listed(names) or 'no feature'}"
    )


def _is_image(feature: Feature) -> bool:
    return isinstance(feature[0], bytes) and suffix_of(feature[0]) is not None


def _id(samples: _Samples, image: str) -> str | None:
    usual = [*ID, *sorted(samples.id_names)]
    names = [name for name in _shared(samples.all) if name != image and name.lower() in usual]
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
    return min(texts, key=lambda name: usual.index(name.lower()), default=None)


def _labels(
    samples: _Samples, taken: set[str | None]
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, int]]:
    """The label features, the one to write first, notes, and the columns of one-hot labels."""
    in_all = set.intersection(*(set(record) for record in samples.train))
    asked_for = {column.lower() for column in samples.header}
    names = [name for name in sorted(in_all - taken) if name.lower() in {*LABEL, *asked_for}]
    several = [name for name in names if any(len(record[name]) != 1 for record in samples.train)]
    n_columns = {name: len(samples.train[0][name]) for name in several}
    for name in several:
        if not _are_one_hot(samples.values(name, samples.train), n_columns[name]):
            raise DataError(
                f"{samples.where}: the label {name[:60]!r} has several values in a record, or none\n"
                "only records with one label per image can be read"
            )
    notes = tuple(
        f"label feature: {name} has a number for each of {n_columns[name]} classes"
        for name in several
    )
    labels, choice_notes = _chosen(replace(samples, n_columns=n_columns), names, asked_for)
    return labels, (*choice_notes, *notes), n_columns


def _are_one_hot(features: Sequence[Feature], n_columns: int) -> bool:
    """Whether each feature is one 1 among zeros; 0, 1 alone could be a list of two classes."""
    is_certain = n_columns > 2 or len(set(features)) > 1
    return is_certain and all(is_one_hot(feature, n_columns) for feature in features)


def _chosen(
    samples: _Samples, names: list[str], asked_for: set[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The label features, the one to write first, and notes. Raises DataError."""
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
    if len({tuple(samples.classes(name)) for name in preferred}) > 1:
        raise _ambiguous(samples, preferred, "the label")
    rest = [name for name in names if name != preferred[0]]
    return (preferred[0], *rest), (f"label feature: {preferred[0]}; {listed(rest)} agrees",)


def _agree(samples: _Samples, first: str, second: str) -> bool:
    """Whether two features stand for the same classes in these records, one to one."""
    pairs = set(zip(samples.classes(first), samples.classes(second), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _ambiguous(samples: _Samples, names: Sequence[str], role: str) -> DataError:
    return DataError(
        f"{samples.where}: each of these features could be {role}: {listed(names)}\n"
        "nothing in the records or a sample submission decides; convert them yourself"
    )
