"""Images in arrays: which array is which split, which labels belong to it."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.convert.array_files import StoredArray, stored_arrays
from ensemble.convert.array_ids import row_names
from ensemble.convert.array_images import (
    ImageArray,
    flat_width,
    image_arrays,
    is_flat,
    scale_of_arrays,
)
from ensemble.convert.array_labels import (
    LabelArray,
    check_lengths,
    is_list,
    is_named_like_labels,
    is_one_hot,
    label_arrays,
)
from ensemble.convert.class_names import is_names
from ensemble.convert.image_folder import Images, NewImage, Source
from ensemble.convert.part_names import Numbering, numbering, one_of_each_split, split_of_path
from ensemble.convert.pixel_scale import Scale, scale_note
from ensemble.convert.png import SUFFIX, png_of, size_of_pngs
from ensemble.convert.row_labels import RowLabels, labels_by_row
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError


@dataclass(frozen=True)
class _ArraySet:
    """The images of each split, with their labels and names where there are any."""

    images: dict[Split, ImageArray]
    labels: dict[Split, LabelArray]
    row_labels: RowLabels | None  # of a CSV, for training
    scale: Scale
    names: dict[Split, tuple[str, ...]]
    numbers: Numbering  # of rows without a name

    def new_images(self) -> Images:
        """Every image as a PNG file, in the order of the arrays. Raises DataError."""
        for split, image_array in self.images.items():
            images, labels = image_array.images(self.scale), self._labels(split)
            with closing(images):
                for row, (where, image) in enumerate(images):
                    name = self._name(split, row)
                    yield NewImage(split, name, SUFFIX, png_of(image), next(labels), where)

    def _name(self, split: Split, row: int) -> str:
        return self.names[split][row] if split in self.names else self.numbers.name(split, row)

    def _labels(self, split: Split) -> Any:
        """The label of every row of a split, None for each where there are none."""
        if split == "train" and self.row_labels is not None:
            return iter(self.row_labels.labels)
        return self.labels[split].texts() if split in self.labels else repeat(None)


def array_source(root: Path, paths: Sequence[Path]) -> Source | None:
    """What the arrays in these files hold; None without arrays of images. Raises DataError."""
    arrays = [array for path in paths for array in stored_arrays(path)]
    one_hot = [array for array in arrays if is_one_hot(array)]
    stored_images = _by_split(root, _possible_images(root, arrays, one_hot))
    if not stored_images:
        return None
    images = dict(zip(stored_images, image_arrays([*stored_images.values()]), strict=True))
    n_rows = {split: len(array) for split, array in stored_images.items()}
    names, id_arrays = row_names(root, stored_images, arrays)
    class_names = [a for a in arrays if is_names(a) and len(a) not in n_rows.values()]
    lists = [a for a in arrays if is_list(a) and a not in class_names and a not in id_arrays]
    stored_labels = _stored_labels(root, [*lists, *one_hot])
    check_lengths(stored_images, stored_labels)
    labels, label_notes = label_arrays(root, stored_labels, class_names)
    row_labels = None
    if "train" not in labels:
        _check_unread_labels(arrays, n_rows["train"], one_hot)
        if "train" not in names:
            row_labels = labels_by_row(root, n_rows["train"])
    scale = scale_of_arrays(images.values())
    numbers, notes = numbering(root, {s: n for s, n in n_rows.items() if s not in names})
    notes = (*(f"{array.where}: the names of images" for array in id_arrays), *notes)
    if row_labels is not None:
        numbers.first["train"] = row_labels.first
        notes = (*notes, f"labels: {row_labels.file}, whose ids are the rows of the array")
    notes = (*_nameless_note(root, stored_images["train"], n_rows), *notes)
    used = {*stored_images.values(), *stored_labels.values(), *id_arrays}
    used |= {array for array in class_names if any(array.where in note for note in label_notes)}
    notes = (*notes, *label_notes, *_unused([array for array in arrays if array not in used]))
    return Source(
        kind="arrays",
        n_images=sum(n_rows.values()),
        n_bytes=sum(
            size_of_pngs(len(array), int(np.prod(array.shape[1:])))
            for array in stored_images.values()
        ),
        images=_ArraySet(images, labels, row_labels, scale, names, numbers).new_images,
        files=frozenset([*paths, *([root / row_labels.file] if row_labels else [])]),
        notes=(*notes, *scale_note(scale)),
    )


def _possible_images(
    root: Path, arrays: Sequence[StoredArray], one_hot: Sequence[StoredArray]
) -> list[StoredArray]:
    """The arrays that can be images.

    Flat rows beside others count where they are as long, or the only ones of a split: else they
    are features.
    """
    flat = [
        array
        for array in arrays
        if is_flat(array) and array not in one_hot and not is_named_like_labels(array)
    ]
    images = [array for array in arrays if len(array.shape) in (3, 4) and array not in flat]
    if not images:
        return flat
    widths = {int(np.prod(array.shape[1:], dtype=object)) for array in images}
    splits = {None, *(split_of_path(root, array.path, array.name) for array in images)}
    flat = [
        array
        for array in flat
        if flat_width(array) in widths or split_of_path(root, array.path, array.name) not in splits
    ]
    return [array for array in arrays if array in images or array in flat]


def _stored_labels(root: Path, candidates: Sequence[StoredArray]) -> dict[Split, StoredArray]:
    """The labels of each split. Raises DataError for two."""
    named = [array for array in candidates if is_named_like_labels(array)]
    return _by_split(root, named or candidates, "labels")


def _check_unread_labels(
    arrays: Sequence[StoredArray], n_rows: int, one_hot: Sequence[StoredArray]
) -> None:
    """Raises DataError for labels with several columns that do not name one class each."""
    for array in arrays:
        has_columns = len(array.shape) == 2 and array.shape[1] > 1 and len(array) == n_rows
        if has_columns and array not in one_hot and is_named_like_labels(array):
            raise DataError(
                f"{array.where}: labels in {array.shape[1]} columns, not one 1 among zeros a row\n"
                "only one class per image can be read; save an array of class numbers"
            )


def _nameless_note(root: Path, array: StoredArray, n_rows: dict[Split, int]) -> tuple[str, ...]:
    """A note where only the names of the others say that an array is for training."""
    is_nameless = split_of_path(root, array.path, array.name) is None and len(n_rows) > 1
    return (f"{array.where}: for training, since the others are not",) if is_nameless else ()


def _unused(arrays: Sequence[StoredArray]) -> tuple[str, ...]:
    listed = ", ".join(array.where for array in arrays)
    return (f"arrays that are not used: {listed[:300]}",) if listed else ()


def _by_split(
    root: Path, arrays: Sequence[StoredArray], content: str = "images"
) -> dict[Split, StoredArray]:
    """The array of each split by the names of file and member. Raises DataError for two."""
    if not arrays:
        return {}
    splits = {array: split_of_path(root, array.path, array.name) for array in arrays}
    if len(arrays) == 1 and splits[arrays[0]] is None:
        return {"train": arrays[0]}
    nameless = [array for array, split in splits.items() if split is None]
    if len(nameless) == 1 and "train" not in splits.values():
        splits[nameless[0]] = "train"  # X beside X_test
    elif nameless:
        raise DataError(
            f"{nameless[0].where}: its name does not say train, valid or test\n"
            "rename it, such as x_train or y_train"
        )
    named = [(split, array) for array, split in splits.items() if split]
    return one_of_each_split(root, named, lambda array: array.where, content)
