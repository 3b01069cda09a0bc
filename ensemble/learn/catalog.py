"""Every image of a run: its row in the pixel store, its class, its split."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ensemble.dataset.load import DataSet
from ensemble.dataset.pixel_store import PixelStore
from ensemble.errors import DataError
from ensemble.learn.outputs import Outputs, scale_of
from ensemble.targets import Array, sums_of

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False)
class Catalog:
    """Every image of a run, split after split; test images that are learned too come once more.

    rows is (images,) rows of the store, -1 for an unreadable image; targets are what is true of each
    image (`target_array`), outputs what the network learns of it; splits has the positions of train,
    valid and test, and of pseudo, the test images that teachers labeled; files is (images,) paths,
    hashes their contents; unreadable has the reasons by split and id; groups has the names of the
    training images' groups, (images of train,), or None where there are none. taught is what
    teachers say of pseudo, (images of pseudo, classes), None where classes alone are learned.
    """

    store: PixelStore
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    rows: Array
    targets: Array
    splits: dict[str, Array]
    unreadable: dict[str, dict[str, str]]
    hashes: dict[Path, str]
    outputs: Outputs = Outputs()
    groups: Array | None = None
    taught: Array | None = None

    @cached_property
    def encoded(self) -> Array:
        """What the loss compares with, for every image, (images,) or (images, labels)."""
        return self.outputs.encoded(self.targets)

    @cached_property
    def soft_targets(self) -> Array | None:
        """What the loss compares training images with where that is probabilities, for every image.

        (images, classes) float32: those of teachers, else 1 for the class.
        """
        if self.taught is None:
            return None
        targets = np.eye(len(self.classes), dtype=np.float32)[self.targets]
        targets[self.splits["pseudo"]] = self.taught
        return targets

    @property
    def learned(self) -> Array:
        """The positions of the images that train the network: train's, then those of pseudo."""
        labeled = self.readable("train")
        if "pseudo" not in self.splits:
            return labeled
        return np.concatenate([labeled, self.readable("pseudo")])

    def readable(self, split: str) -> Array:
        """The positions of a split's images that could be decoded."""
        positions: Array = self.splits[split]
        return positions[self.rows[positions] >= 0]

    @property
    def train_sums(self) -> Array:
        """How many readable training images have each class or label, (classes,), or the sum of
        their numbers, (1,).
        """
        targets = self.targets[self.readable("train")]
        return sums_of(self.outputs.target, targets, len(self.classes))

    @property
    def prior(self) -> Array:
        """The shares of classes or labels among the readable training images, or the mean number."""
        return np.asarray(self.train_sums / len(self.readable("train")), np.float32)

    @property
    def class_counts(self) -> dict[str, int]:
        """How many readable training images have each class or label; empty for numbers."""
        if self.outputs.target == "number":
            return {}
        return dict(zip(self.classes, self.train_sums.astype(int).tolist(), strict=True))


def catalog_of(data: DataSet, store: PixelStore, skip_unreadable: bool) -> Catalog:
    """The images of a run in their store.

    Raises DataError for an unreadable validation image (unless skipped), or where a split has no readable image.
    """
    files: list[Path] = []
    rows: list[int] = []
    targets: list[Array] = []
    splits: dict[str, Array] = {}
    unreadable: dict[str, dict[str, str]] = {}
    tables = dict(zip(SPLITS, data.tables, strict=False))
    if data.pseudo_labeled:
        tables["pseudo"] = data.pseudo_labeled
    for split, images in tables.items():
        splits[split] = np.arange(len(rows), len(rows) + len(images))
        files += images.files
        contents = [data.hashes[file] for file in images.files]
        rows += [-1 if c in store.unreadable else store.row_of[c] for c in contents]
        targets.append(_unknown(data, len(images)) if images.labels is None else data.truth(images))
        if split == "pseudo":
            continue  # its unreadable images are those of test
        unreadable[split] = {
            images.ids[i]: store.unreadable[content]
            for i, content in enumerate(contents)
            if content in store.unreadable
        }
    _check_readable(unreadable, splits, skip_unreadable)
    paths, truth = tuple(files), np.concatenate(targets)
    catalog = Catalog(
        store, paths, data.classes, np.array(rows), truth, splits, unreadable, data.hashes
    )
    scale = scale_of(truth[catalog.readable("train")]) if data.target == "number" else None
    groups = None if data.train.groups is None else np.array(data.train.groups)
    taught = data.pseudo.probs if data.pseudo and data.pseudo.is_soft else None
    return replace(catalog, outputs=Outputs(data.target, scale), groups=groups, taught=taught)


def _unknown(data: DataSet, n: int) -> Array:
    """Targets of n images without labels, which nothing reads."""
    if data.target == "labels":
        return np.zeros((n, len(data.classes)), np.uint8)
    return np.full(n, np.nan) if data.target == "number" else np.full(n, -1)


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
