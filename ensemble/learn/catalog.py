"""Every image of a run: its row in the pixel store, its class, its split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.dataset.load import DataSet
from ensemble.dataset.pixel_store import PixelStore
from ensemble.errors import DataError

Array = npt.NDArray[Any]
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Catalog:
    """Every image of a run, split after split.

    rows is (images,) rows of the store, -1 for an unreadable image; codes is (images,) positions in
    classes, -1 for an unknown label; splits has the positions of train, valid and test; files is
    (images,) paths, hashes their contents; unreadable has the reasons by split and id.
    """

    store: PixelStore
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    rows: Array
    codes: Array
    splits: dict[str, Array]
    unreadable: dict[str, dict[str, str]]
    hashes: dict[Path, str]

    def readable(self, split: str) -> Array:
        """The positions of a split's images that could be decoded."""
        positions: Array = self.splits[split]
        return positions[self.rows[positions] >= 0]

    @property
    def train_counts(self) -> Array:
        """How many training images of each class could be decoded, (classes,)."""
        return np.bincount(self.codes[self.readable("train")], minlength=len(self.classes))

    @property
    def class_counts(self) -> dict[str, int]:
        """The same by class name."""
        return dict(zip(self.classes, self.train_counts.tolist(), strict=True))


def catalog_of(data: DataSet, store: PixelStore, skip_unreadable: bool) -> Catalog:
    """The images of a run in their store.

    Raises DataError for an unreadable validation image (unless skipped), or where a split has no readable image.
    """
    code_of = {name: i for i, name in enumerate(data.classes)}
    files: list[Path] = []
    rows: list[int] = []
    codes: list[int] = []
    splits: dict[str, Array] = {}
    unreadable: dict[str, dict[str, str]] = {}
    for split, images in zip(SPLITS, data.tables, strict=False):
        splits[split] = np.arange(len(rows), len(rows) + len(images))
        files += images.files
        contents = [data.hashes[file] for file in images.files]
        rows += [-1 if c in store.unreadable else store.row_of[c] for c in contents]
        if images.labels is None:
            codes += [-1] * len(images)
        else:
            codes += [code_of[label] for label in images.labels]
        unreadable[split] = {
            images.ids[i]: store.unreadable[content]
            for i, content in enumerate(contents)
            if content in store.unreadable
        }
    _check_readable(unreadable, splits, skip_unreadable)
    paths = tuple(files)
    arrays = (np.array(rows), np.array(codes))
    return Catalog(store, paths, data.classes, *arrays, splits, unreadable, data.hashes)


def _check_readable(
    unreadable: dict[str, dict[str, str]], splits: dict[str, Array], skip_unreadable: bool
) -> None:
    """Raises DataError for unreadable validation images (unless skipped) and for a split without a readable one."""
    if unreadable["valid"] and not skip_unreadable:
        reason = next(iter(unreadable["valid"].values()))
        raise DataError(
            f"{len(unreadable['valid'])} unreadable validation images, the first: {reason}\n"
            "fix or remove them, or set data.skip_unreadable: true"
        )
    for split in ("train", "valid"):
        if len(unreadable[split]) == len(splits[split]):
            reason = next(iter(unreadable[split].values()))
            raise DataError(f"no {split} image is readable, the first: {reason}")
