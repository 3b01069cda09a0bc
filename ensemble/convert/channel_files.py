"""Images whose channels are files of their own: a_red.png, a_green.png and a_blue.png are one image."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ensemble.convert.image_folder import Images, NewImage, Source, size_on_disk
from ensemble.convert.part_names import posix_name, split_of_path
from ensemble.convert.png import SUFFIX, png_of
from ensemble.dataset.decode import UnreadableImage, decode_image
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

_NAME = re.compile(r"(.+)[_-]([A-Za-z]+)")
_RGB = (("red", "green", "blue"), ("r", "g", "b"))
_GRAY = "L"  # Pillow's mode of 8 bits; files in color are photos of red and blue things
N_OPENED = 20

Channels = dict[str, Path]  # the files of an image by channel


def channel_source(root: Path, files: Sequence[Path]) -> Source | None:
    """The images of a folder of gray files for each channel, None where the files are images.

    Every image must have the same channels, red, green and blue among them, or r, g and b.
    """
    images = _channels_of(files)
    if images is None:
        return None
    words = set(next(iter(images.values())))
    rgb = next((names for names in _RGB if words.issuperset(names)), None)
    splits = _splits_of(root, {folder for folder, _ in images})
    if rgb is None or splits is None or not _are_gray(files):
        return None
    left_out = sorted(words - set(rgb))
    note = f"{len(images):,} images of the channels {', '.join(rgb)}"
    note += f"; left out: {', '.join(left_out)}" if left_out else ""

    def merged() -> Images:
        for (folder, name), channels in sorted(images.items()):
            yield _merged(root, splits[folder], name, [channels[channel] for channel in rgb])

    n_bytes = sum(channels[name].stat().st_size for channels in images.values() for name in rgb)
    return Source(
        kind=f"{len(files):,} files of single channels",
        n_images=len(images),
        n_bytes=size_on_disk(len(images), -(-n_bytes // len(images))),
        images=merged,
        files=frozenset(files),
        notes=(note,),
    )


def _channels_of(files: Sequence[Path]) -> dict[tuple[Path, str], Channels] | None:
    """The files by folder and image, None unless all images have the same two channels or more."""
    images: dict[tuple[Path, str], Channels] = defaultdict(dict)
    for file in files:
        match = _NAME.fullmatch(file.stem)
        if match is None:
            return None
        channels = images[file.parent, match[1]]
        if channels.setdefault(match[2].lower(), file) != file:
            return None
    words = {frozenset(channels) for channels in images.values()}
    return images if len(words) == 1 and len(words.pop()) > 1 else None


def _splits_of(root: Path, folders: set[Path]) -> dict[Path, Split] | None:
    """The split of each folder; None where folders could be classes. Raises DataError."""
    splits = {folder: split_of_path(root, folder) for folder in folders}
    if len(folders) == 1:
        return {folder: split or "train" for folder, split in splits.items()}
    named = {folder: split for folder, split in splits.items() if split is not None}
    return named if len(set(named.values())) == len(folders) else None


def _are_gray(files: Sequence[Path]) -> bool:
    """Whether some of the files, spread over all, are gray images of 8 bits."""
    try:
        some = files[:: max(1, len(files) // N_OPENED)]
        return {decode_image(file).mode for file in some} == {_GRAY}
    except UnreadableImage:
        return False


def _merged(root: Path, split: Split, name: str, files: Sequence[Path]) -> NewImage:
    """One image in color; where a channel cannot be read its file, which training then reports.

    Raises DataError for channels of different sizes.
    """
    where = posix_name(root, files[0])
    channels = []
    for file in files:
        try:
            channels.append(np.asarray(decode_image(file).image)[:, :, 0])
        except UnreadableImage:
            return NewImage(split, name, file.suffix, file.read_bytes(), None, where)
    shapes = [channel.shape for channel in channels]
    if len(set(shapes)) > 1:
        sizes = ", ".join(f"{width}×{height}" for height, width in shapes)
        raise DataError(
            f"{where}: the channels of {name[:60]!r} have sizes {sizes}\nrepair the data"
        )
    return NewImage(split, name, SUFFIX, png_of(np.dstack(channels)), None, where)
