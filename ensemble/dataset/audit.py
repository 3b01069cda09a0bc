"""The audit of a data set: what it holds, what is odd or unreadable, which images are copies."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from ensemble.dataset.copies import (
    AuditedImage,
    Copy,
    Leak,
    images_of,
    leaks_and_copies,
    readable_of,
)
from ensemble.dataset.image_info import ImageInfo, image_infos
from ensemble.dataset.label_counts import alike, labels_together, split_counts
from ensemble.dataset.overlaps import known_overlap
from ensemble.events import Progress
from ensemble.grouping import grouped
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
    images = images_of(data)
    readable = readable_of(data, images, infos)
    unreadable = [image for image in images if image not in readable]
    leaks, copies = leaks_and_copies(images, readable)
    splits = dict.fromkeys(image.split for image in images)
    counts = split_counts(data)
    folders = data.train.files[0].parts[-5:-1]
    notes = [data.passed_over, *data.notes, *labels_together(data), str(data.ranges)]
    return Audit(
        name=data.name,
        splits=tuple(_summary(split, images, readable, counts.get(split, {})) for split in splits),
        leaks=leaks,
        copies=copies,
        unreadable=tuple((image, reasons[data.hashes[image.file]]) for image in unreadable),
        odd=_odd(readable),
        alike_classes=alike(sorted({name for names in counts.values() for name in names})),
        overlap=known_overlap([data.name, *folders]),
        target=data.target,
        notes=tuple(filter(None, notes)),
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
    odd = grouped((kind, image) for image, info in readable.items() for kind in _kinds(image, info))
    return {kind: tuple(images) for kind, images in sorted(odd.items())}


def _kinds(image: AuditedImage, info: ImageInfo) -> Iterator[str]:
    yield from (kind for kind, applies in ODDITIES.items() if applies(info))
    suffix = image.file.suffix.lower()
    if FORMATS.get(suffix, info.format) != info.format:
        yield f"{info.format} named {suffix}"
