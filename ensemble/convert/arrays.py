"""Images in arrays: which array is which split, which labels belong to it."""

import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.convert.array_files import StoredArray, stored_arrays
from ensemble.convert.image_folder import Images, NewImage, Source, size_on_disk
from ensemble.convert.part_names import Numbering, numbering, one_of_each_split, split_of_path
from ensemble.convert.pixel_scale import N_HEAD, Scale, as_bytes, scale_note, scale_of
from ensemble.convert.png import SUFFIX, png_of
from ensemble.convert.row_labels import RowLabels, labels_by_row
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

CHANNELS = (1, 3, 4)
N_HEAD_VALUES = 1_000_000
PNG_BYTES = 100
LABEL_WORD = re.compile(r"label|target|class|(?:^|[\s_])y(?:$|[\s_]|tr|te|va)", re.IGNORECASE)
LABEL_KINDS = "iubfUS"  # of a dtype: numbers, truth values, texts


@dataclass(frozen=True)
class _ArraySet:
    """The images of each split, with their labels where there are any."""

    images: dict[Split, StoredArray]
    labels: dict[Split, StoredArray]
    row_labels: RowLabels | None  # of a CSV, for training
    scale: Scale
    numbers: Numbering

    def new_images(self) -> Images:
        """Every image as a PNG file, in the order of the arrays. Raises DataError."""
        for split, array in self.images.items():
            is_planes = _channel_axis(array) == 1
            with closing(array.rows()) as rows, closing(self._labels(split)) as labels:
                for row, pixels in enumerate(rows):
                    where = f"{array.where}: row {row}"
                    image = as_bytes(pixels, self.scale, where)
                    if is_planes:
                        image = image.transpose(1, 2, 0)
                    content = png_of(np.ascontiguousarray(image))
                    name = self.numbers.name(split, row)
                    yield NewImage(split, name, SUFFIX, content, next(labels), where)

    def _labels(self, split: Split) -> Any:
        """The label of every row of a split, None for each where there are none."""
        if split == "train" and self.row_labels is not None:
            yield from self.row_labels.labels
        elif split in self.labels:
            with closing(self.labels[split].rows()) as rows:
                for row, label in enumerate(rows):
                    yield _label_text(label, f"{self.labels[split].where}: row {row}")
        else:
            while True:
                yield None


def array_source(root: Path, paths: Sequence[Path]) -> Source | None:
    """What the arrays in these files hold; None without arrays of images. Raises DataError."""
    arrays = [array for path in paths for array in stored_arrays(path)]
    images = _by_split(root, [array for array in arrays if len(array.shape) in (3, 4)])
    if not images:
        return None
    for array in images.values():
        _check_images(array)
    labels, unused = _label_arrays(root, arrays)
    _check_lengths(images, labels)
    row_labels = None if "train" in labels else labels_by_row(root, len(images["train"]))
    scale = scale_of(_head(array) for array in images.values())
    numbers, notes = numbering(root, {split: len(array) for split, array in images.items()})
    if row_labels is not None:
        numbers.first["train"] = row_labels.first
        notes = (*notes, f"labels: {row_labels.file}, whose ids are the rows of the array")
    return Source(
        kind="arrays",
        n_images=sum(map(len, images.values())),
        n_bytes=sum(_size_on_disk(array) for array in images.values()),
        images=_ArraySet(images, labels, row_labels, scale, numbers).new_images,
        files=frozenset(paths),
        notes=(*notes, *unused, *scale_note(scale)),
    )


def _label_arrays(
    root: Path, arrays: Sequence[StoredArray]
) -> tuple[dict[Split, StoredArray], tuple[str, ...]]:
    """The labels of each split, and a note about lists that are not. Raises DataError for two."""
    lists = [array for array in arrays if _is_list(array)]
    named = [array for array in lists if LABEL_WORD.search(f"{array.path.stem} {array.name}")]
    unused = ", ".join(array.where for array in lists if named and array not in named)
    labels = _by_split(root, named or lists, "labels")
    return labels, (f"arrays that are not used: {unused[:300]}",) if unused else ()


def _by_split(
    root: Path, arrays: Sequence[StoredArray], content: str = "images"
) -> dict[Split, StoredArray]:
    """The array of each split by the names of file and member. Raises DataError for two."""
    if not arrays:
        return {}
    splits = {array: split_of_path(root, array.path, array.name) for array in arrays}
    if len(arrays) == 1 and splits[arrays[0]] is None:
        return {"train": arrays[0]}
    nameless = next((array for array, split in splits.items() if split is None), None)
    if nameless is not None:
        raise DataError(
            f"{nameless.where}: its name does not say train, valid or test\n"
            "rename it, such as x_train or y_train"
        )
    named = [(split, array) for array, split in splits.items() if split]
    return one_of_each_split(root, named, lambda array: array.where, content)


def _check_images(array: StoredArray) -> None:
    """Raises DataError for a shape that is no images, or of which two readings fit."""
    if not all(array.shape):
        raise DataError(f"{array.where}: no image: its shape is {array.shape}\nsave it again")
    if array.dtype.kind not in "uifb":
        raise DataError(
            f"{array.where}: its type is {array.dtype}\nimages are numbers, such as uint8"
        )
    _channel_axis(array)


def _channel_axis(array: StoredArray) -> int | None:
    """The axis of the channels, 3 or 1; None for gray images. Raises DataError."""
    if len(array.shape) == 3:
        return None
    is_first = array.shape[1] in (1, 3)
    is_last = array.shape[3] in CHANNELS
    if is_first == is_last:
        both = "the channels can be its second or its last axis" if is_first else "no axis has them"
        raise DataError(
            f"{array.where}: its shape is {array.shape}: {both}\n"
            "images are (n, h, w), (n, h, w, 1, 3 or 4), or (n, 1 or 3, h, w)"
        )
    return 1 if is_first else 3


def _is_list(array: StoredArray) -> bool:
    """Whether an array can be labels: one number or text for each image."""
    is_column = len(array.shape) == 2 and array.shape[1] == 1
    return (len(array.shape) == 1 or is_column) and array.dtype.kind in LABEL_KINDS


def _check_lengths(images: dict[Split, StoredArray], labels: dict[Split, StoredArray]) -> None:
    """Raises DataError for labels of a split without images, or not as many as images."""
    for split, array in labels.items():
        n_images = len(images[split]) if split in images else 0
        if len(array) != n_images:
            raise DataError(
                f"{array.where}: {len(array):,} labels, and {n_images:,} {split} images\n"
                "every image needs its label, in the same order"
            )
    unlabelled = next((s for s in images if s == "valid" and s not in labels), None)
    if unlabelled:
        raise DataError(
            f"{images[unlabelled].where}: no labels for the validation images\n"
            "add an array such as y_valid"
        )


def _label_text(label: npt.NDArray[Any], where: str) -> str:
    """A label as text: 3.0 is 3. Raises DataError for NaN and for bytes that are no text."""
    (cell,) = np.asarray(label).ravel().tolist()
    try:
        if isinstance(cell, bytes):
            return cell.decode()
        return str(int(cell)) if isinstance(cell, float) and cell == int(cell) else str(cell)
    except (ValueError, OverflowError):  # NaN, infinity, or not UTF-8
        raise DataError(f"{where}: the label {cell!r} is no class\nrepair the data") from None


def _head(array: StoredArray) -> npt.NDArray[Any]:
    n_values = int(np.prod(array.shape[1:]))
    n_rows = min(N_HEAD, max(5, N_HEAD_VALUES // n_values))
    with closing(array.rows()) as rows:
        return np.array(list(islice(rows, n_rows)))


def _size_on_disk(array: StoredArray) -> int:
    return size_on_disk(len(array), int(np.prod(array.shape[1:])) + PNG_BYTES)
