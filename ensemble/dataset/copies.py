"""Images that are copies of others, and those of valid and test that have a copy in train."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.dataset.duplicates import near_duplicates
from ensemble.dataset.image_info import ImageInfo, image_infos
from ensemble.dataset.label_counts import shown_label
from ensemble.errors import EnsembleError
from ensemble.events import Progress
from ensemble.files import write_text
from ensemble.grouping import grouped
from ensemble.paths import cache_root

if TYPE_CHECKING:
    from ensemble.dataset.load import DataSet


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


def leaks(data: "DataSet", progress: Progress = lambda done, total: None) -> tuple[Leak, ...]:
    """For valid and test, the images that have a copy among the training images.

    Cheap once the pixel store is filled, which fills the cache of infos too. Raises DataError.
    """
    infos, _ = image_infos(data.hashes, progress, data.ranges)
    images = images_of(data)
    readable = readable_of(data, images, infos)
    by_pixels = _by_pixels(readable)
    train, held_out = _sides(by_pixels, readable)
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


def leaks_and_copies(
    images: Sequence[AuditedImage], readable: Mapping[AuditedImage, ImageInfo]
) -> tuple[tuple[Leak, ...], tuple[Copy, ...]]:
    """The leaks, and every further image, once, with the first one like it."""
    by_pixels = _by_pixels(readable)
    train, held_out = _sides(by_pixels, readable)
    leaking = near_duplicates(held_out, train)
    near = [*leaking, *near_duplicates(train), *near_duplicates(held_out)]
    return _leaks(images, by_pixels, leaking), tuple(_copies(by_pixels, near))


def images_of(data: "DataSet") -> list[AuditedImage]:
    """Every image: those of train first, then valid, then test."""
    images = []
    for split, table in zip(("train", "valid", "test"), data.tables, strict=False):
        labels: tuple[str | None, ...] = (None,) * len(table)
        if table.labels is not None:
            labels = tuple(shown_label(text, data) for text in table.labels)
        rows = zip(table.ids, labels, table.files, strict=True)
        images += [AuditedImage(split, image_id, label, file) for image_id, label, file in rows]
    return images


def readable_of(
    data: "DataSet", images: Iterable[AuditedImage], infos: Mapping[str, ImageInfo]
) -> dict[AuditedImage, ImageInfo]:
    """The info of every image that could be read, in the order of the images."""
    digests = {image: data.hashes[image.file] for image in images}
    return {image: infos[digest] for image, digest in digests.items() if digest in infos}


def _by_pixels(readable: Mapping[AuditedImage, ImageInfo]) -> dict[str, list[AuditedImage]]:
    return grouped((info.pixels, image) for image, info in readable.items())


def _sides(
    by_pixels: Mapping[str, list[AuditedImage]], readable: Mapping[AuditedImage, ImageInfo]
) -> tuple[list[ImageInfo], list[ImageInfo]]:
    """An info for the pixels of each training image, and one for those only of other images."""
    train: list[ImageInfo] = []
    held_out: list[ImageInfo] = []
    for first, *_ in by_pixels.values():
        side = train if first.split == "train" else held_out
        side.append(readable[first])
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
