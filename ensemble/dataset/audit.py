"""The audit of a data set: what it holds, what is odd or unreadable, which images are copies."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.dataset.duplicates import near_duplicates
from ensemble.dataset.image_info import ImageInfo, image_infos
from ensemble.dataset.label_counts import alike, labels_together, shown_label, split_counts
from ensemble.dataset.overlaps import known_overlap
from ensemble.errors import EnsembleError
from ensemble.events import Progress
from ensemble.files import write_text
from ensemble.paths import cache_root
from ensemble.targets import Target

if TYPE_CHECKING:
    from ensemble.dataset.load import DataSet

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".webp": "WEBP",
}
DARK = 16  # of 255: an image whose brightest value is below shows nothing
FLAT = 3  # of 255: an image whose channels all span at most this is of one color
ODDITIES: dict[str, Callable[[ImageInfo], bool]] = {
    "palette": lambda info: info.mode in ("P", "PA"),
    "CMYK": lambda info: info.mode == "CMYK",
    "16 bits or more": lambda info: info.mode in ("I", "F") or ";16" in info.mode,
    "alpha": lambda info: info.has_alpha,
    "turned by EXIF": lambda info: info.orientation != 1,
    "several frames, the first is used": lambda info: info.is_animated,
    "black or nearly black": lambda info: info.brightest < DARK,
    "a single color": lambda info: info.contrast <= FLAT and info.brightest >= DARK,
}


@dataclass(frozen=True)
class AuditedImage:
    """One image of the data set; split is train, valid or test, label None if unknown."""

    split: str
    id: str
    label: str | None
    file: Path


@dataclass(frozen=True)
class Copy:
    """Two images with the same decoded pixels (is_exact), or nearly the same."""

    first: AuditedImage
    second: AuditedImage
    is_exact: bool

    @property
    def is_across(self) -> bool:
        """Whether the two are in different splits."""
        return self.first.split != self.second.split

    @property
    def has_two_labels(self) -> bool:
        """Whether the two have different labels."""
        labels = {self.first.label, self.second.label}
        return len(labels) == 2 and None not in labels


@dataclass(frozen=True)
class Leak:
    """The images of a split of n_images that have a copy among the training images, each once."""

    split: str
    n_images: int
    copies: tuple[Copy, ...]

    def __str__(self) -> str:
        n_copies, example = len(self.copies), self.copies[0]
        n_exact = sum(copy.is_exact for copy in self.copies)
        return (
            f"{n_copies:,} of {self.n_images:,} {self.split} images have a copy among the training "
            f"images ({n_exact:,} exact, {n_copies - n_exact:,} near), "
            f"such as {example.second.file} of {example.first.file}"
        )


@dataclass(frozen=True)
class SplitSummary:
    """What a split holds: images by class, (width, height), format and mode.

    counts, by class, is empty without labels.
    """

    name: str
    n_images: int
    counts: dict[str, int]
    sizes: dict[tuple[int, int], int]
    formats: dict[str, int]
    modes: dict[str, int]

    @property
    def size_range(self) -> list[tuple[int, int]]:
        """The smallest, median and largest (width, height) by area; empty if none is readable."""
        if not self.sizes:
            return []
        by_area = sorted(self.sizes, key=lambda size: (size[0] * size[1], size))
        n_up_to = list(accumulate(self.sizes[size] for size in by_area))
        half = n_up_to[-1] / 2
        median = next(size for size, n in zip(by_area, n_up_to, strict=True) if n >= half)
        return [by_area[0], median, by_area[-1]]


@dataclass(frozen=True)
class Audit:
    """What an audit finds. copies pairs every further image, once, with the first one like it.

    notes are lines about the whole set: files passed over, how labels were joined with images, and
    the scaling of more than 8 bits.
    """

    name: str
    splits: tuple[SplitSummary, ...]
    leaks: tuple[Leak, ...]
    copies: tuple[Copy, ...]
    unreadable: tuple[tuple[AuditedImage, str], ...]
    odd: dict[str, tuple[AuditedImage, ...]]
    alike_classes: tuple[tuple[str, ...], ...]
    overlap: str | None
    target: Target = "class"
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images by class, label or range of numbers, then by labeled split; the largest first,
        but ranges in their order.
        """
        splits = [split for split in self.splits if split.counts]
        classes = dict.fromkeys(label for split in splits for label in split.counts)
        counts = {
            label: {split.name: split.counts.get(label, 0) for split in splits} for label in classes
        }
        if self.target == "number":
            return counts
        largest_first = sorted(classes, key=lambda label: (-sum(counts[label].values()), label))
        return {label: counts[label] for label in largest_first}


def audit(data: "DataSet", progress: Progress = lambda done, total: None) -> Audit:
    """Examine every image. progress is called for files that are decoded. Raises DataError."""
    infos, reasons = image_infos(data.hashes, progress, data.ranges)
    images = _images(data)
    readable = _readable(data, images, infos)
    unreadable = [image for image in images if image not in readable]
    by_pixels = _by_pixels(readable)
    train, held_out = _sides(by_pixels, infos.values())
    leaking = near_duplicates(held_out, train)
    near = [*leaking, *near_duplicates(train), *near_duplicates(held_out)]
    splits = dict.fromkeys(image.split for image in images)
    counts = split_counts(data)
    folders = data.train.files[0].parts[-5:-1]
    notes = [data.passed_over, *data.notes, *labels_together(data), str(data.ranges)]
    return Audit(
        name=data.name,
        splits=tuple(_summary(split, images, readable, counts.get(split, {})) for split in splits),
        leaks=_leaks(images, by_pixels, leaking),
        copies=tuple(_copies(by_pixels, near)),
        unreadable=tuple((image, reasons[data.hashes[image.file]]) for image in unreadable),
        odd=_odd(readable),
        alike_classes=alike(sorted({name for names in counts.values() for name in names})),
        overlap=known_overlap([data.name, *folders]),
        target=data.target,
        notes=tuple(filter(None, notes)),
    )


def leaks(data: "DataSet", progress: Progress = lambda done, total: None) -> tuple[Leak, ...]:
    """For valid and test, the images that have a copy among the training images.

    Cheap once the pixel store is filled, which fills the cache of infos too. Raises DataError.
    """
    infos, _ = image_infos(data.hashes, progress, data.ranges)
    images = _images(data)
    by_pixels = _by_pixels(_readable(data, images, infos))
    train, held_out = _sides(by_pixels, infos.values())
    return _leaks(images, by_pixels, near_duplicates(held_out, train))


def leak_warnings(data: "DataSet") -> list[str]:
    """A line for each split that leaks, cached by the data set's fingerprint. Raises DataError."""
    cached = cache_root() / "leaks" / f"2-{data.fingerprint}.json"
    with suppress(OSError, ValueError):
        return [str(line) for line in json.loads(cached.read_text(encoding="utf-8"))]
    lines = [str(leak) for leak in leaks(data)]
    with suppress(EnsembleError):  # the cache only saves time
        write_text(cached, json.dumps(lines, ensure_ascii=False))
    return lines


def _images(data: "DataSet") -> list[AuditedImage]:
    """Every image: those of train first, then valid, then test."""
    images = []
    for split, table in zip(("train", "valid", "test"), data.tables, strict=False):
        labels: tuple[str | None, ...] = (None,) * len(table)
        if table.labels is not None:
            labels = tuple(shown_label(text, data) for text in table.labels)
        rows = zip(table.ids, labels, table.files, strict=True)
        images += [AuditedImage(split, image_id, label, file) for image_id, label, file in rows]
    return images


def _readable(
    data: "DataSet", images: Iterable[AuditedImage], infos: Mapping[str, ImageInfo]
) -> dict[AuditedImage, ImageInfo]:
    digests = {image: data.hashes[image.file] for image in images}
    return {image: infos[digest] for image, digest in digests.items() if digest in infos}


def _by_pixels(readable: Mapping[AuditedImage, ImageInfo]) -> dict[str, list[AuditedImage]]:
    by_pixels: dict[str, list[AuditedImage]] = {}
    for image, info in readable.items():
        by_pixels.setdefault(info.pixels, []).append(image)
    return by_pixels


def _sides(
    by_pixels: Mapping[str, list[AuditedImage]], infos: Iterable[ImageInfo]
) -> tuple[list[ImageInfo], list[ImageInfo]]:
    """An info for the pixels of each training image, and one for those only of other images."""
    info_of = {info.pixels: info for info in infos}
    train: list[ImageInfo] = []
    held_out: list[ImageInfo] = []
    for pixels, images in by_pixels.items():
        side = train if images[0].split == "train" else held_out
        side.append(info_of[pixels])
    return train, held_out


def _copies(
    by_pixels: Mapping[str, list[AuditedImage]], near: Iterable[tuple[str, str]]
) -> Iterable[Copy]:
    order = {pixels: i for i, pixels in enumerate(by_pixels)}  # train first
    firsts = [images[0] for images in by_pixels.values()]
    for first, *rest in by_pixels.values():
        yield from (Copy(first, copy, is_exact=True) for copy in rest)
    for i, j in sorted(sorted(order[pixels] for pixels in pair) for pair in near):
        yield Copy(firsts[i], firsts[j], is_exact=False)


def _leaks(
    images: Sequence[AuditedImage],
    by_pixels: Mapping[str, list[AuditedImage]],
    near: Iterable[tuple[str, str]],
) -> tuple[Leak, ...]:
    """Each image once, as an exact copy if it is one; near pairs are (outside train, in train)."""
    sources = {pixels: group[0] for pixels, group in by_pixels.items() if group[0].split == "train"}
    exact = set(sources)
    for held_out, train in near:
        sources.setdefault(held_out, by_pixels[train][0])
    copies: dict[str, list[Copy]] = {image.split: [] for image in images}
    for pixels, group in by_pixels.items():
        for image in group:
            if pixels in sources and image.split != "train":
                copies[image.split].append(Copy(sources[pixels], image, pixels in exact))
    totals = Counter(image.split for image in images)
    return tuple(
        Leak(split, totals[split], tuple(leaking)) for split, leaking in copies.items() if leaking
    )


def _summary(
    split: str,
    images: Iterable[AuditedImage],
    readable: Mapping[AuditedImage, ImageInfo],
    counts: dict[str, int],
) -> SplitSummary:
    members = [image for image in images if image.split == split]
    infos = [readable[image] for image in members if image in readable]
    return SplitSummary(
        name=split,
        n_images=len(members),
        counts=counts,
        sizes=dict(Counter((info.width, info.height) for info in infos)),
        formats=dict(Counter(info.format for info in infos).most_common()),
        modes=dict(Counter(info.mode for info in infos).most_common()),
    )


def _odd(readable: Mapping[AuditedImage, ImageInfo]) -> dict[str, tuple[AuditedImage, ...]]:
    """Images by what is odd about them; an image may be odd in several ways."""
    odd: dict[str, list[AuditedImage]] = {}
    for image, info in readable.items():
        kinds = [kind for kind, applies in ODDITIES.items() if applies(info)]
        suffix = image.file.suffix.lower()
        if FORMATS.get(suffix, info.format) != info.format:
            kinds.append(f"{info.format} named {suffix}")
        for kind in kinds:
            odd.setdefault(kind, []).append(image)
    return {kind: tuple(images) for kind, images in sorted(odd.items())}
