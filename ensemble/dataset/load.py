"""From a recipe's data section to the train, valid and test images of one run."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ensemble.dataset import places, tables
from ensemble.dataset.content import content_hashes
from ensemble.dataset.splits import held_out
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, RecipeError
from ensemble.recipe import ColumnSplit, Data, Folds


@dataclass(frozen=True, eq=False)
class DataSet:
    """The images of one run: disjoint tables, the class names sorted, the fingerprints that tell data sets apart."""

    name: str
    classes: tuple[str, ...]
    train: Images
    valid: Images
    test: Images | None
    sample_submission: Path | None
    hashes: dict[Path, str]
    fingerprint: str
    valid_fingerprint: str

    @property
    def majority(self) -> float:
        """The validation accuracy of always naming the most common training class."""
        train, valid = _labels(self.train), _labels(self.valid)
        most_common = min(Counter(train).items(), key=lambda item: (-item[1], item[0]))[0]
        return valid.count(most_common) / len(valid)

    @property
    def tables(self) -> list[Images]:
        """train, valid and, where there is one, test."""
        return [self.train, self.valid] + ([self.test] if self.test else [])

    def joined(self) -> "DataSet":
        """The same with the validation images among the training images too, for a last fit."""
        return replace(self, train=self.train.and_(self.valid))


def load(data: Data) -> DataSet:
    """Find the images a recipe means, label and split them. Raises DataError, RecipeError."""
    root = _root(data)
    pool = _pool(data, root)
    pool, test = _test(data, root, pool)
    if data.sample < 1:
        pool = pool.take(np.flatnonzero(held_out(pool.ids, _labels(pool), data.sample, data.split_seed, "sample")))
    train, valid = _valid(data, root, pool)
    classes = tuple(sorted(set(_labels(train))))
    _check_classes(classes, valid, root)
    hashes = _hashes([train, valid] + ([test] if test else []))
    return DataSet(
        name=data.get or Path(data.path or "").name.split(".")[0] or data.source,
        classes=classes,
        train=train,
        valid=valid,
        test=test,
        sample_submission=_sample(data, root),
        hashes=hashes,
        fingerprint=_fingerprint(classes, {"train": train, "valid": valid, "test": test}, hashes),
        valid_fingerprint=_fingerprint(classes, {"valid": valid}, hashes),
    )


def _root(data: Data) -> Path:
    if data.source == "digits":
        return tables.digits_folder()
    if data.path is None:
        raise RecipeError(f"data.path is missing: source {data.source} needs a folder or an archive")
    return places.find(data.path, data.get, data.train)


def _pool(data: Data, root: Path) -> Images:
    """The labelled images that train and, as fractions, valid and test come from."""
    if isinstance(data.valid, (ColumnSplit, Folds)) or data.group is not None:
        key = "data.group" if data.group is not None else "data.valid"
        raise RecipeError(f"{key}: folds, columns and groups are not in this version yet\nuse a folder or a fraction")
    if data.source == "folder":
        return tables.class_folders(root / data.train)
    others = data.valid if isinstance(data.valid, str) else None
    return tables.labelled_files(root, data.train, data.labels, others)[0]


def _test(data: Data, root: Path, pool: Images) -> tuple[Images, Images | None]:
    """The pool without the test images, and these."""
    if data.test is None:
        return pool, None
    if isinstance(data.test, str):
        return pool, tables.test_folder(root / data.test, sorted(set(_labels(pool))))
    mask = held_out(pool.ids, _labels(pool), data.test, data.split_seed, "test")
    return pool.take(np.flatnonzero(~mask)), pool.take(np.flatnonzero(mask))


def _valid(data: Data, root: Path, pool: Images) -> tuple[Images, Images]:
    if isinstance(data.valid, str):
        if data.source == "csv":
            return pool, tables.labelled_files(root, data.valid, data.labels, data.train)[0]
        return pool, tables.class_folders(root / data.valid)
    assert isinstance(data.valid, float)
    mask = held_out(pool.ids, _labels(pool), data.valid, data.split_seed, "valid")
    return pool.take(np.flatnonzero(~mask)), pool.take(np.flatnonzero(mask))


def _labels(images: Images) -> tuple[str, ...]:
    assert images.labels is not None
    return images.labels


def _check_classes(classes: tuple[str, ...], valid: Images, root: Path) -> None:
    if len(classes) < 2:
        raise DataError(f"{root}: only one class ({classes[0]!r}); a classifier needs at least two")
    unknown = sorted(set(_labels(valid)) - set(classes))
    if unknown:
        raise DataError(f"{root}: validation has classes without training images: {', '.join(unknown[:5])}")


def _sample(data: Data, root: Path) -> Path | None:
    if data.sample_submission is None:
        return None
    path = root / data.sample_submission
    if not path.is_file():
        raise DataError(f"data.sample_submission: {path.absolute()} is not there")
    return path


def _hashes(parts: list[Images]) -> dict[Path, str]:
    files = sorted({file for images in parts for file in images.files})
    return dict(zip(files, content_hashes(files), strict=True))


def _fingerprint(classes: tuple[str, ...], parts: dict[str, Images | None], hashes: dict[Path, str]) -> str:
    """A hash of which images, by content, stand under which id and label in which part."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(classes).encode())
    for name, images in parts.items():
        if images is not None:
            labels = images.labels or ("",) * len(images)
            rows = zip(images.ids, labels, images.files, strict=True)
            digest.update(repr([name, [(key, label, hashes[file]) for key, label, file in rows]]).encode())
    return digest.hexdigest()
