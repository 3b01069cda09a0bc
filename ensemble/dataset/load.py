"""The data set of one run: the train, valid and test images that a recipe's data section names."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ensemble.dataset.archives.cached import folder_of
from ensemble.dataset.class_folders import spelling
from ensemble.dataset.content import content_hashes
from ensemble.dataset.corrections import Corrections, check_some_left, corrections_of
from ensemble.dataset.depth import Ranges, cached_ranges
from ensemble.dataset.filenames import same_form
from ensemble.dataset.groups import are_averaged
from ensemble.dataset.pseudo import PseudoLabels
from ensemble.dataset.sample import PackedSample, packed_sample
from ensemble.dataset.scan import each_folder_once, passed_over_line, scan
from ensemble.dataset.split import Splits, split_images
from ensemble.dataset.tables import Images, digits_folder
from ensemble.dataset.truth import (
    label_lines,
    names_of,
    predicted_names,
    renamed,
    target_array,
)
from ensemble.errors import DataError, MetricError, RecipeError
from ensemble.metrics import metric_named, positive_class
from ensemble.paths import find
from ensemble.recipe import Data
from ensemble.targets import Array, Target


@dataclass(frozen=True, eq=False)
class DataSet:
    """The images of one run: disjoint tables, sorted class names, hashes of content by file.

    classes are the labels where target is `labels`, and the name of the number alone for `number`.

    fingerprint identifies the data set and its split; valid_fingerprint the validation rows (with
    folds, those of all folds). passed_over is a line about files in the same folders that are not
    images, "" without such files; notes are lines about how labels and images were joined, and
    n_missing rows of the labels file have no image and are left out; separator is the mark between
    labels in its cells. corrections are applied to train;
    pseudo are labels of test images to train on as well. validates_rows says that the predictions of
    validation images are averaged by group, as those of test images are.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    valid: Images
    test: Images | None
    target: Target
    sample_submission: Path | None
    sample: PackedSample | None
    hashes: dict[Path, str]
    fingerprint: str
    valid_fingerprint: str
    passed_over: str = ""
    notes: tuple[str, ...] = ()
    n_missing: int = 0
    separator: str | None = None
    corrections: Corrections = Corrections()
    pseudo: PseudoLabels | None = None
    validates_rows: bool = False

    @property
    def majority(self) -> float | None:
        """The validation accuracy of always predicting the most common training class.

        None where images do not have one class each.
        """
        if self.target != "class":
            return None
        counts = Counter(self.train.classes)
        most_common = min(counts, key=lambda name: (-counts[name], name))
        classes = self.valid.classes
        if self.validates_rows:
            classes = tuple(dict(zip(self.valid.groups or (), classes, strict=True)).values())
        return classes.count(most_common) / len(classes)

    def truth(self, images: Images) -> Array:
        """What is true of labeled images: see `target_array`."""
        return target_array(images, self.classes, self.target)

    @cached_property
    def ranges(self) -> Ranges:
        """How more than 8 bits a pixel become 0 to 255: by train and valid, alike for all folds."""
        labeled = self._hashes_of(self.train) | self._hashes_of(self.valid)
        return cached_ranges(labeled, self._hashes_of(self.test) if self.test else {})

    def _hashes_of(self, images: Images) -> dict[Path, str]:
        return {file: self.hashes[file] for file in images.files}

    @property
    def tables(self) -> list[Images]:
        """train, valid and, if there is one, test."""
        return [self.train, self.valid] + ([self.test] if self.test else [])

    @property
    def pseudo_labeled(self) -> Images | None:
        """The test images to train on, each with its most probable class; None without any."""
        if self.pseudo is None or self.test is None:
            return None
        images = self.test.take(self.pseudo.rows)
        labels = tuple(self.classes[code] for code in self.pseudo.probs.argmax(1))
        return replace(images, labels=labels)

    def joined(self) -> "DataSet":
        """The same with the validation images, corrected, among the training images, for the refit."""
        return replace(self, train=self.train.and_(self.corrections.apply(self.valid)))


def load(data: Data, fold: int = 0) -> DataSet:
    """Find the images of a recipe, label and split them; with folds, this one is validated.

    Raises DataError, RecipeError, and MetricError for a metric or a positive class that these classes
    do not have.
    """
    root = _root(data)
    with each_folder_once():
        splits = _same_spelling(split_images(data, root, fold), data.target, root)
        passed_over = _passed_over(data, root)
    classes = predicted_names(splits.train, splits.validated, splits.columns, data, root)
    notes = splits.notes
    if data.target == "class":
        _check_classes(classes, splits, root)
        if data.positive is not None:
            positive_class("data.positive", classes, data.positive)
    elif data.target == "labels":
        notes = (*notes, *label_lines(splits.train, splits.valid, splits.test, classes))
    corrections, lines = corrections_of(data, splits.train, splits.valid, classes)
    train, notes = corrections.apply(splits.train), (*notes, *lines)
    if lines:
        check_some_left(train, classes)
    _check_metric(data, classes)
    tables = {"train": train, "valid": splits.valid, "test": splits.test}
    uncorrected = (splits.train, splits.valid, splits.test)  # a list may leave out validated rows
    hashes = _hashes([images for images in uncorrected if images])
    sample = _sample(data, root)
    validates_rows, line = are_averaged(data, splits.train, splits.valid, splits.test)
    return DataSet(
        name=data.get or Path(data.path or "").name.split(".")[0] or data.source,
        classes=classes,
        train=train,
        valid=splits.valid,
        test=splits.test,
        target=data.target,
        sample_submission=sample,
        sample=packed_sample(sample) if sample else None,
        hashes=hashes,
        fingerprint=_fingerprint(classes, tables, hashes, validates_rows),
        valid_fingerprint=_fingerprint(
            classes, {"valid": splits.validated}, hashes, validates_rows
        ),
        passed_over=passed_over,
        notes=(*notes, line) if line else notes,
        n_missing=splits.n_missing,
        separator=splits.separator,
        corrections=corrections,
        validates_rows=validates_rows,
    )


def _check_metric(data: Data, classes: tuple[str, ...]) -> None:
    """Raises MetricError where these classes do not have the metric."""
    if data.metric is None:
        return
    try:
        metric_named(data.metric, classes, data.positive, data.target)
    except MetricError as error:
        raise MetricError(f"data.metric: {error}") from None


def _passed_over(data: Data, root: Path) -> str:
    """A line about the files in the splits' folders that are not images."""
    names = [name for name in (data.train, data.valid, data.test) if isinstance(name, str)]
    return passed_over_line(*[scan(root / name) for name in dict.fromkeys(names)])


def _root(data: Data) -> Path:
    if data.source == "digits":
        return digits_folder()
    if data.path is None:
        raise RecipeError(
            f"data.path is missing: source {data.source} needs a folder or an archive"
        )
    return folder_of(find(data.path, data.get), inside=data.train)


def _same_spelling(splits: Splits, target: Target, root: Path) -> Splits:
    """The class names of all splits as train spells them, with a note where the case differs.

    Raises DataError for two spellings in train.
    """
    names = names_of(splits.train, target) if target != "number" else set()
    spellings: dict[str, str] = {}
    for name in sorted(names):
        if spellings.setdefault(same_form(name), name) != name:
            raise DataError(
                f"{root}: two classes look the same, {name!r} and {ascii(name)}: "
                "another Unicode form\nrename one of them"
            )
    class_of = spelling(names)

    def respelled(images: Images) -> Images:
        return renamed(images, target, lambda name: class_of(name) or name)

    valid, test = respelled(splits.valid), splits.test and respelled(splits.test)
    notes = list(splits.notes)
    if target == "class":
        notes.append(_respelled_line("validation", splits.valid, valid))
        notes.append(_respelled_line("test", splits.test, test))
    return replace(
        splits,
        train=respelled(splits.train),
        valid=valid,
        test=test,
        validated=respelled(splits.validated),
        notes=tuple(filter(None, notes)),
    )


def _respelled_line(split: str, before: Images | None, after: Images | None) -> str:
    """A line about labels whose case is not that of the training labels; "" without any."""
    if before is None or after is None or before.labels is None or after.labels is None:
        return ""
    pairs = sorted(set(zip(before.labels, after.labels, strict=True)))
    changed = [f"{old!r} is {new!r}" for old, new in pairs if same_form(old) != same_form(new)]
    return f"{split} classes in another case: {', '.join(changed[:3])}" if changed else ""


def _check_classes(classes: tuple[str, ...], splits: Splits, root: Path) -> None:
    for split, images in {"validation": splits.valid, "test": splits.test}.items():
        labels = images.labels if images and images.labels else ()
        unknown = sorted(set(labels) - set(classes))
        if unknown:
            listed = ", ".join(unknown[:5])
            raise DataError(f"{root}: {split} has classes without training images: {listed}")


def _sample(data: Data, root: Path) -> Path | None:
    if data.sample_submission is None:
        return None
    path = root / data.sample_submission
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise DataError(
            f"data.sample_submission: {str(path.absolute())[:200]} does not exist\n"
            "put it there, or --set data.sample_submission=…; null: without a sample"
        )
    return path


def _hashes(tables: Iterable[Images]) -> dict[Path, str]:
    files = sorted({file for images in tables for file in images.files})
    return dict(zip(files, content_hashes(files), strict=True))


def _fingerprint(
    classes: tuple[str, ...],
    tables: Mapping[str, Images | None],
    hashes: Mapping[Path, str],
    validates_rows: bool,
) -> str:
    """A hash of which images, by content, have which id and label in which split and row."""
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update(repr(classes).encode())
    for split, images in tables.items():
        if images is not None:
            labels = images.labels or ("",) * len(images)
            rows = zip(images.ids, labels, images.files, strict=True)
            content = [(image_id, label, hashes[file]) for image_id, label, file in rows]
            hasher.update(repr([split, content]).encode())
            rows_of = images.groups if validates_rows and split == "valid" else images.rows
            if rows_of is not None:
                hasher.update(repr(rows_of).encode())
    return hasher.hexdigest()
