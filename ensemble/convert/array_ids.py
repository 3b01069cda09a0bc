"""Arrays of ids beside arrays of images: an image is called by its id, not by its row."""

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath

import numpy as np

from ensemble.convert.array_files import StoredArray
from ensemble.convert.array_labels import is_list, is_named_like_labels
from ensemble.convert.part_names import split_of_path
from ensemble.dataset.filenames import without_suffix
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

_ID_WORD = re.compile(
    r"(?:^|[^a-z])(?:(?:image|img|file)[_ -]?)?(?:ids?|names?|paths?|files)(?:[^a-z]|$)",
    re.IGNORECASE,
)
ID_KINDS = "iuUS"  # of a dtype: whole numbers, texts


def is_ids(array: StoredArray) -> bool:
    """Whether an array is named like ids, and can be: one whole number or text for each image."""
    is_named = _ID_WORD.search(array.name) is not None and not is_named_like_labels(array)
    return is_named and is_list(array) and array.dtype.kind in ID_KINDS


def row_names(
    root: Path, images: Mapping[Split, StoredArray], arrays: Sequence[StoredArray]
) -> tuple[dict[Split, tuple[str, ...]], list[StoredArray]]:
    """The names of the rows of each split that has an array of ids, and those arrays.

    An array with an id twice, such as one of patients, names no rows. Raises DataError where two
    arrays name the rows of a split, or none of that number of images.
    """
    names: dict[Split, tuple[str, ...]] = {}
    used: dict[Split, StoredArray] = {}
    for array in filter(is_ids, arrays):
        split = split_of_path(root, array.path, array.name) or "train"
        if split not in images:
            continue
        ids = _ids(array)
        if len(set(ids)) < len(ids):
            continue
        if len(ids) != len(images[split]):
            raise DataError(
                f"{array.where}: {len(ids):,} ids, and {len(images[split]):,} {split} images\n"
                "every image needs its id, in the same order"
            )
        if names.setdefault(split, ids) != ids:
            raise DataError(
                f"{used[split].where} and {array.where}: each could name the {split} images\n"
                "move one of them away"
            )
        used[split] = array
    return names, list(used.values())


def _ids(array: StoredArray) -> tuple[str, ...]:
    """The id of each row: the last part of a path, without an image's suffix."""
    with closing(array.rows()) as rows:
        return tuple(_id(row, f"{array.where}: row {n}") for n, row in enumerate(rows))


def _id(row: np.ndarray, where: str) -> str:
    (cell,) = np.asarray(row).ravel().tolist()
    try:
        text = cell.decode() if isinstance(cell, bytes) else str(cell)
    except ValueError:
        raise DataError(f"{where}: the id {cell!r} is no text\nrepair the data") from None
    return without_suffix(PurePosixPath(text).name)
