"""From a recipe's data section to the train, valid and test images of one run."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ensemble.dataset.archives import folder_of
from ensemble.dataset.content import content_hashes
from ensemble.dataset.depth import Ranges, measured
from ensemble.dataset.filenames import same_form
from ensemble.dataset.sample import PackedSample, packed_sample
from ensemble.dataset.scan import each_folder_once, passed_over_line, scan
from ensemble.dataset.split import Parts, cut
from ensemble.dataset.tables import Images, digits_folder
from ensemble.errors import DataError, RecipeError
from ensemble.paths import find
from ensemble.recipe import Data


@dataclass(frozen=True, eq=False)
class DataSet:
    """The images of one run: disjoint tables, the class names sorted, the fingerprints that tell data sets apart.

    valid_fingerprint is about all rows that the folds validate, where there are folds. passed_over is a line about
    files in the same folders that are no images, "" where there are none.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    valid: Images
    test: Images | None
    sample_submission: Path | None
    sample: PackedSample | None
    hashes: dict[Path, str]
    fingerprint: str
    valid_fingerprint: str
    passed_over: str = ""

    @property
    def majority(self) -> float:
        """The validation accuracy of always naming the most common training class."""
        train, valid = self.train.classes, self.valid.classes
        most_common = min(Counter(train).items(), key=lambda item: (-item[1], item[0]))[0]
        return valid.count(most_common) / len(valid)

    @cached_property
    def ranges(self) -> Ranges:
        """How values of more than 8 bits a pixel become 0 to 255: by the labelled images, the same for all folds."""
        labelled = {
            file: self.hashes[file] for images in (self.train, self.valid) for file in images.files
        }
        return measured(
            labelled, {file: self.hashes[file] for file in self.test.files} if self.test else None
        )

    @property
    def tables(self) -> list[Images]:
        """train, valid and, where there is one, test."""
        return [self.train, self.valid] + ([self.test] if self.test else [])

    def joined(self) -> "DataSet":
        """The same with the validation images among the training images too, for a last fit."""
        return replace(self, train=self.train.and_(self.valid))


def load(data: Data, fold: int = 0) -> DataSet:
    """Find the images a recipe means, label and split them; with folds, validate on this one.

    Raises DataError, RecipeError.
    """
    root = _root(data)
    with each_folder_once():
        parts = _same_spelling(cut(data, root, fold), root)
        passed_over = _passed_over(data, root)
    classes = tuple(sorted(set(parts.train.classes)))
    _check_classes(classes, parts, root)
    tables = [parts.train, parts.valid] + ([parts.test] if parts.test else [])
    hashes = _hashes(tables)
    valid_fingerprint = _fingerprint(classes, {"valid": parts.validated}, hashes)
    sample = _sample(data, root)
    whole = {"train": parts.train, "valid": parts.valid, "test": parts.test}
    return DataSet(
        name=data.get or Path(data.path or "").name.split(".")[0] or data.source,
        classes=classes,
        train=parts.train,
        valid=parts.valid,
        test=parts.test,
        sample_submission=sample,
        sample=packed_sample(sample) if sample else None,
        hashes=hashes,
        fingerprint=_fingerprint(classes, whole, hashes),
        valid_fingerprint=valid_fingerprint,
        passed_over=passed_over,
    )


def _passed_over(data: Data, root: Path) -> str:
    """What lies in the folders of the parts and is no image."""
    folders = dict.fromkeys(
        part for part in (data.train, data.valid, data.test) if isinstance(part, str)
    )
    return passed_over_line(*[scan(root / folder) for folder in folders])


def _root(data: Data) -> Path:
    if data.source == "digits":
        return digits_folder()
    if data.path is None:
        raise RecipeError(
            f"data.path is missing: source {data.source} needs a folder or an archive"
        )
    return folder_of(find(data.path, data.get), inside=data.train)


def _same_spelling(parts: Parts, root: Path) -> Parts:
    """Class names of all parts as the training images spell them. Raises DataError for one name in two forms."""
    spelt: dict[str, str] = {}
    for name in sorted(set(parts.train.classes)):
        if spelt.setdefault(same_form(name), name) != name:
            raise DataError(
                f"{root}: two classes look the same, {name!r} and {ascii(name)}: another Unicode form\n"
                "rename one of them"
            )

    def respelt(images: Images) -> Images:
        labels = tuple(spelt.get(same_form(name), name) for name in images.labels or ())
        return images if labels == (images.labels or ()) else replace(images, labels=labels)

    return Parts(
        parts.train,
        respelt(parts.valid),
        parts.test and respelt(parts.test),
        respelt(parts.validated),
    )


def _check_classes(classes: tuple[str, ...], parts: Parts, root: Path) -> None:
    if len(classes) < 2:
        raise DataError(f"{root}: only one class ({classes[0]!r}); a classifier needs at least two")
    labelled = {"validation": parts.valid, "test": parts.test}
    for part, images in labelled.items():
        unknown = sorted(set(images.classes if images and images.labels else ()) - set(classes))
        if unknown:
            raise DataError(
                f"{root}: {part} has classes without training images: {', '.join(unknown[:5])}"
            )


def _sample(data: Data, root: Path) -> Path | None:
    if data.sample_submission is None:
        return None
    path = root / data.sample_submission
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise DataError(f"data.sample_submission: {str(path.absolute())[:200]} is not there")
    return path


def _hashes(parts: list[Images]) -> dict[Path, str]:
    files = sorted({file for images in parts for file in images.files})
    return dict(zip(files, content_hashes(files), strict=True))


def _fingerprint(
    classes: tuple[str, ...], parts: dict[str, Images | None], hashes: dict[Path, str]
) -> str:
    """A hash of which images, by content, stand under which id and label in which part."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr(classes).encode())
    for name, images in parts.items():
        if images is not None:
            labels = images.labels or ("",) * len(images)
            rows = zip(images.ids, labels, images.files, strict=True)
            digest.update(
                repr([name, [(key, label, hashes[file]) for key, label, file in rows]]).encode()
            )
    return digest.hexdigest()
