"""The audit of a data set: what is in it, what is odd, what cannot be read, and which pictures stand in it twice."""

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.dataset.duplicates import near_duplicates
from ensemble.dataset.image_info import ImageInfo, Progress, image_infos
from ensemble.errors import EnsembleError
from ensemble.files import write_text
from ensemble.paths import cache_root

if TYPE_CHECKING:
    from ensemble.dataset.load import DataSet

# What is known about data sets, by a piece of their name without signs; the first that fits counts
OVERLAPS = {
    "dogbreed": "the photos are those of Stanford Dogs, taken from ImageNet: weights pre-trained on ImageNet have seen "
    "the test images with their breeds, so scores flatter",
    "stanforddogs": "the photos are taken from ImageNet: weights pre-trained on ImageNet have seen the test images "
    "with their breeds, so scores flatter",
    "hymenoptera": "the photos come from ImageNet: weights pre-trained on ImageNet have probably seen the validation "
    "images, so scores flatter",
    "imagenette": "a part of ImageNet: weights pre-trained on ImageNet have learnt these very classes",
    "imagewoof": "a part of ImageNet: weights pre-trained on ImageNet have learnt these very classes",
    "cifar100": "10 % of the official test images have a near duplicate in the set (Barz and Denzler, 2020)",
    "cifar10": "3.3 % of the official test images have a near duplicate in the set (Barz and Denzler, 2020)",
}
FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
DARK, FLAT = (
    16,
    3,
)  # of 255: the brightest value of a picture that shows nothing, the widest span of one colour
ODDITIES: dict[str, Callable[[ImageInfo], bool]] = {
    "palette": lambda look: look.mode in ("P", "PA"),
    "CMYK": lambda look: look.mode == "CMYK",
    "16 bits or more": lambda look: look.mode in ("I", "F") or ";16" in look.mode,
    "alpha": lambda look: look.has_alpha,
    "turned by EXIF": lambda look: look.orientation != 1,
    "several frames, the first is used": lambda look: look.is_animated,
    "black, or nearly": lambda look: look.brightest < DARK,
    "one colour all over": lambda look: look.contrast <= FLAT and look.brightest >= DARK,
}


@dataclass(frozen=True)
class Item:
    """One image of the data set; label is None where it is unknown."""

    part: str
    id: str
    label: str | None
    file: Path


@dataclass(frozen=True)
class Copy:
    """Two images that show one picture: the same decoded pixels (exact), or nearly."""

    first: Item
    second: Item
    is_exact: bool

    @property
    def is_across(self) -> bool:
        """Whether the two stand in different parts."""
        return self.first.part != self.second.part

    @property
    def has_two_labels(self) -> bool:
        """Whether the two are labelled differently."""
        labels = {self.first.label, self.second.label}
        return len(labels) == 2 and None not in labels


@dataclass(frozen=True)
class Leak:
    """The images of a part that have a copy among the training images, each once, of n_images."""

    part: str
    n_images: int
    copies: tuple[Copy, ...]

    def __str__(self) -> str:
        n_exact, example = sum(copy.is_exact for copy in self.copies), self.copies[0]
        return (
            f"{len(self.copies):,} of {self.n_images:,} {self.part} images have a copy among the training images "
            f"({n_exact:,} exact, {len(self.copies) - n_exact:,} near), "
            f"such as {example.second.file} of {example.first.file}"
        )


@dataclass(frozen=True)
class Part:
    """What a part holds. counts is by class, empty without labels; sizes by (width, height), formats and modes too."""

    name: str
    n_images: int
    counts: dict[str, int]
    sizes: dict[tuple[int, int], int]
    formats: dict[str, int]
    modes: dict[str, int]

    @property
    def size_range(self) -> list[tuple[int, int]]:
        """The smallest, the median and the largest (width, height) by area; empty without readable images."""
        by_area = sorted(self.sizes, key=lambda size: (size[0] * size[1], size))
        seen = list(accumulate(self.sizes[size] for size in by_area))
        if not by_area:
            return []
        middle = next(size for size, n in zip(by_area, seen, strict=True) if n >= seen[-1] / 2)
        return [by_area[0], middle, by_area[-1]]


@dataclass(frozen=True)
class Audit:
    """Everything found in a data set. copies names every further image once with the first that shows the picture.

    notes are lines about the whole set: files passed over, and how values of more than 8 bits are scaled.
    """

    name: str
    parts: tuple[Part, ...]
    leaks: tuple[Leak, ...]
    copies: tuple[Copy, ...]
    unreadable: tuple[tuple[Item, str], ...]
    odd: dict[str, tuple[Item, ...]]
    alike_classes: tuple[tuple[str, ...], ...]
    overlap: str | None
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images by class, then by labelled part; the largest class first."""
        parts = [part for part in self.parts if part.counts]
        found = {
            label: {part.name: part.counts.get(label, 0) for part in parts}
            for part in parts
            for label in part.counts
        }
        return dict(sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0])))


def audit(data: "DataSet", progress: Progress = lambda done, total: None) -> Audit:
    """Look at every image. progress hears of files to decode that are not known yet. Raises DataError."""
    looks, reasons = image_infos(data.hashes, progress, data.ranges)
    items = _items(data)
    look_of = {
        item: looks[data.hashes[item.file]] for item in items if data.hashes[item.file] in looks
    }
    shown = _by_pixels(look_of)
    train, others = _sides(shown, looks.values())
    leaking = near_duplicates(others, train)
    near = [*leaking, *near_duplicates(train), *near_duplicates(others)]
    return Audit(
        name=data.name,
        parts=tuple(
            _part(name, items, look_of) for name in dict.fromkeys(item.part for item in items)
        ),
        leaks=_leaks(items, shown, leaking),
        copies=tuple(_copies(shown, near)),
        unreadable=tuple(
            (item, reasons[data.hashes[item.file]]) for item in items if item not in look_of
        ),
        odd=_odd(look_of),
        alike_classes=alike(sorted({item.label for item in items if item.label is not None})),
        overlap=known_overlap([data.name, *data.train.files[0].parts[-5:-1]]),
        notes=tuple(filter(None, [data.passed_over, str(data.ranges)])),
    )


def leaks(data: "DataSet", progress: Progress = lambda done, total: None) -> tuple[Leak, ...]:
    """For valid and test, where there are any, the images that have a copy among the training images.

    Cheap once the pixel cache is filled, which knows the looks. Raises DataError.
    """
    looks, _ = image_infos(data.hashes, progress, data.ranges)
    items = _items(data)
    shown = _by_pixels(
        {item: looks[data.hashes[item.file]] for item in items if data.hashes[item.file] in looks}
    )
    train, others = _sides(shown, looks.values())
    return _leaks(items, shown, near_duplicates(others, train))


def leak_warnings(data: "DataSet") -> list[str]:
    """A line for each part that leaks, remembered by the data set's fingerprint. Raises DataError."""
    memory = cache_root() / "leaks" / f"2-{data.fingerprint}.json"
    with suppress(OSError, ValueError):
        return [str(line) for line in json.loads(memory.read_text(encoding="utf-8"))]
    found = [str(leak) for leak in leaks(data)]
    with suppress(EnsembleError):  # it only saves time
        write_text(memory, json.dumps(found, ensure_ascii=False))
    return found


def alike(classes: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of class names that differ only by case, spaces, - and _, or Unicode form."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        key = unicodedata.normalize("NFKC", name).casefold()
        groups.setdefault(
            "".join(sign for sign in key if not sign.isspace() and sign not in "-_"), []
        ).append(name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def known_overlap(names: Iterable[str]) -> str | None:
    """What is known about a data set that goes by one of these names, such as its folders'."""
    bare = ["".join(filter(str.isalnum, name.casefold())) for name in names]
    return next(
        (said for piece, said in OVERLAPS.items() if any(piece in name for name in bare)), None
    )


def _items(data: "DataSet") -> list[Item]:
    """Every image, those of train first, then valid, then test."""
    return [
        Item(part, images.ids[i], images.labels[i] if images.labels else None, images.files[i])
        for part, images in zip(("train", "valid", "test"), data.tables, strict=False)
        for i in range(len(images))
    ]


def _by_pixels(look_of: Mapping[Item, ImageInfo]) -> dict[str, list[Item]]:
    shown: dict[str, list[Item]] = {}
    for item, look in look_of.items():
        shown.setdefault(look.pixels, []).append(item)
    return shown


def _sides(
    shown: Mapping[str, list[Item]], looks: Iterable[ImageInfo]
) -> tuple[list[ImageInfo], list[ImageInfo]]:
    """One look for each picture that training images show, and one for each that only the others do."""
    by_pixels = {look.pixels: look for look in looks}
    is_train = {pixels: group[0].part == "train" for pixels, group in shown.items()}
    train = [by_pixels[pixels] for pixels in shown if is_train[pixels]]
    return train, [by_pixels[pixels] for pixels in shown if not is_train[pixels]]


def _copies(shown: Mapping[str, list[Item]], near: Iterable[tuple[str, str]]) -> Iterable[Copy]:
    order = {pixels: i for i, pixels in enumerate(shown)}  # train first
    firsts = [group[0] for group in shown.values()]
    for first, *others in shown.values():
        yield from (Copy(first, other, is_exact=True) for other in others)
    for one, other in sorted(sorted(order[pixels] for pixels in pair) for pair in near):
        yield Copy(firsts[one], firsts[other], is_exact=False)


def _leaks(
    items: Sequence[Item], shown: Mapping[str, list[Item]], near: Iterable[tuple[str, str]]
) -> tuple[Leak, ...]:
    """Each image once, as an exact copy where it is one; near pairs pictures outside train with some of train."""
    source = {pixels: group[0] for pixels, group in shown.items() if group[0].part == "train"}
    exact = set(source)
    for other, trained in near:
        source.setdefault(other, shown[trained][0])
    found = [
        Copy(source[pixels], item, pixels in exact)
        for pixels, group in shown.items()
        for item in group
        if pixels in source and item.part != "train"
    ]
    totals = Counter(item.part for item in items)
    parts = {part: tuple(copy for copy in found if copy.second.part == part) for part in totals}
    return tuple(Leak(part, totals[part], copies) for part, copies in parts.items() if copies)


def _part(name: str, items: Sequence[Item], look_of: Mapping[Item, ImageInfo]) -> Part:
    own = [item for item in items if item.part == name]
    looks = [look_of[item] for item in own if item in look_of]
    return Part(
        name=name,
        n_images=len(own),
        counts=dict(sorted(Counter(item.label for item in own if item.label is not None).items())),
        sizes=dict(Counter((look.width, look.height) for look in looks)),
        formats=dict(Counter(look.format for look in looks).most_common()),
        modes=dict(Counter(look.mode for look in looks).most_common()),
    )


def _odd(look_of: Mapping[Item, ImageInfo]) -> dict[str, tuple[Item, ...]]:
    """Images by what is odd about them; an image may be odd in several ways."""
    found: dict[str, list[Item]] = {}
    for item, look in look_of.items():
        kinds = [kind for kind, applies in ODDITIES.items() if applies(look)]
        suffix = item.file.suffix.lower()
        if FORMATS.get(suffix, look.format) != look.format:
            kinds.append(f"{look.format} named {suffix}")
        for kind in kinds:
            found.setdefault(kind, []).append(item)
    return {kind: tuple(items) for kind, items in sorted(found.items())}
