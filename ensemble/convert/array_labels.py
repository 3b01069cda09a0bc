"""Labels in arrays: a number or text for each row, or a column for each class (one-hot)."""

import re
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.convert.array_files import StoredArray
from ensemble.convert.array_images import head_of
from ensemble.convert.class_names import class_names
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

LABEL_WORD = re.compile(r"label|target|class|(?:^|[\s_])y(?:$|[\s_]|tr|te|va)", re.IGNORECASE)
LABEL_KINDS = "iubfUS"  # of a dtype: numbers, truth values, texts


@dataclass(frozen=True)
class LabelArray:
    """The labels of a split; names are those of the columns where each class has one."""

    array: StoredArray
    names: tuple[str, ...] = ()

    def texts(self) -> Generator[str, None, None]:
        """The label of every row. Raises DataError naming the row."""
        with closing(self.array.rows()) as rows:
            for row, label in enumerate(rows):
                where = f"{self.array.where}: row {row}"
                yield self._class_of(label, where) if self.names else _label_text(label, where)

    def _class_of(self, row: npt.NDArray[Any], where: str) -> str:
        if not _is_one_hot(row):
            raise DataError(
                f"{where}: not one 1 among zeros, as in the first rows\n"
                "only one class per image can be read; repair the data"
            )
        return self.names[int(np.argmax(row))]


def is_list(array: StoredArray) -> bool:
    """Whether an array can be labels: one number or text for each image."""
    is_column = len(array.shape) == 2 and array.shape[1] == 1
    return (len(array.shape) == 1 or is_column) and array.dtype.kind in LABEL_KINDS


def is_named_like_labels(array: StoredArray) -> bool:
    """Whether the name of a file or a member has a word for labels."""
    return bool(LABEL_WORD.search(f"{array.path.stem} {array.name}"))


def is_one_hot(array: StoredArray) -> bool:
    """Whether the first rows of an array have one 1 each and zeros: a column for each class."""
    has_columns = len(array.shape) == 2 and array.shape[1] > 1 and len(array)
    if not has_columns or array.dtype.kind not in "iubf":
        return False
    return all(map(_is_one_hot, head_of(array)))


def _is_one_hot(row: npt.NDArray[Any]) -> bool:
    return bool(((row == 0) | (row == 1)).all() and np.count_nonzero(row) == 1)


def label_arrays(
    root: Path, labels: dict[Split, StoredArray], arrays: Sequence[StoredArray]
) -> tuple[dict[Split, LabelArray], tuple[str, ...]]:
    """The labels of each split with the names of their classes, and a note where they are one-hot.

    Raises DataError for splits of different numbers of classes.
    """
    label_sets = {split: LabelArray(array) for split, array in labels.items()}
    n_columns = {split: _n_columns(array) for split, array in labels.items()}
    one_hot = [split for split in labels if n_columns[split] > 1]
    if not one_hot:
        return label_sets, ()
    n_classes = n_columns[one_hot[0]]
    unlike = next((split for split in one_hot if n_columns[split] != n_classes), None)
    if unlike is not None:
        raise DataError(
            f"{labels[unlike].where}: {n_columns[unlike]} classes, "
            f"{labels[one_hot[0]].where} has {n_classes}\nevery class needs its column in both"
        )
    names, origin = tuple(map(str, range(n_classes))), ""
    if len(one_hot) == len(labels):
        names, origin = class_names(root, arrays, n_classes) or (names, "")
    source = f"named by {origin}" if origin else "the numbers of their columns, from 0"
    note = f"{labels[one_hot[0]].where}: a column for each class; classes are {source}"
    for split in one_hot:
        label_sets[split] = replace(label_sets[split], names=names)
    return label_sets, (note,)


def _n_columns(array: StoredArray) -> int:
    return array.shape[1] if len(array.shape) == 2 else 1


def check_lengths(images: dict[Split, StoredArray], labels: dict[Split, StoredArray]) -> None:
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
