"""What is true of each image as an array, and the names of what is predicted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble.dataset.label_cells import joined_names, names_in, number_text
from ensemble.dataset.labels import Labelled
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, RecipeError
from ensemble.predictions import some
from ensemble.recipe import Data, LabelColumns, LabelsPattern
from ensemble.targets import Array, Target

VALUE = "value"  # what a number is called that no column names


def check_source(data: Data) -> None:
    """Raises RecipeError where the labels cannot be of data.target."""
    has_columns = isinstance(data.labels, LabelColumns)
    has_table = data.source != "folder" and not isinstance(data.labels, LabelsPattern)
    if data.target == "labels" and not has_table:
        raise RecipeError(
            "data.target: labels needs data.source: csv, a table with the labels of each image\n"
            "folders and file names give one label per image: data.target: class"
        )
    if has_columns and data.target != "labels":
        raise RecipeError(
            f"data.labels.columns belongs to data.target: labels, this is {data.target}\n"
            "set data.target: labels, or name one column: data.labels: {file:, id:, label:}"
        )
    for key, target, is_set in (
        ("separator", "labels", data.separator is not None),
        ("clip", "number", data.clip),
        ("rare", "class", data.rare == "keep"),
    ):
        if is_set and data.target != target:
            raise RecipeError(
                f"data.{key} belongs to data.target: {target}, this is {data.target}\n"
                f"leave data.{key} out"
            )


def checked_names(labelled: Labelled, data: Data) -> Labelled:
    """Images labeled by folders or file names. Raises DataError where these are not the numbers
    that data.target asks for.
    """
    if data.target == "number":
        wrong = sorted({text for text in labelled.images.classes if not number_text(text)})
        if wrong:
            raise DataError(
                f"{data.train}: {some(wrong)}: not a number\n"
                "data.target: number needs folders, or names, that are numbers"
            )
    return labelled


def names_of(images: Images, target: Target) -> set[str]:
    """The classes or labels of images."""
    if target == "labels":
        return {name for text in set(images.classes) for name in names_in(text)}
    return set(images.classes)


def renamed(images: Images, target: Target, new_name: Callable[[str], str]) -> Images:
    """The same with other names of their classes or labels, or with numbers as `repr` has them."""
    if images.labels is None:
        return images
    texts = {text: _renamed(text, target, new_name) for text in set(images.labels)}
    labels = tuple(texts[text] for text in images.labels)
    return images if labels == images.labels else replace(images, labels=labels)


def _renamed(text: str, target: Target, new_name: Callable[[str], str]) -> str:
    if target == "number":
        return number_text(text)
    if target == "labels":
        return joined_names(map(new_name, names_in(text)))
    return new_name(text)


def target_array(images: Images, classes: Sequence[str], target: Target) -> Array:
    """Positions in classes (images,) int64, labels (images, classes) uint8, or numbers (images,).

    Labels that are not among the classes, as in a test set, count as none.
    """
    if target == "number":
        return np.array(images.classes, np.float64)
    code_of = {name: code for code, name in enumerate(classes)}
    if target == "class":
        return np.array([code_of[name] for name in images.classes], np.int64)
    ones = np.zeros((len(images), len(classes)), np.uint8)
    for row, text in enumerate(images.classes):
        ones[row, [code_of[name] for name in names_in(text) if name in code_of]] = 1
    return ones


def predicted_names(
    train: Images, valid: Images, columns: Sequence[str], data: Data, root: Path
) -> tuple[str, ...]:
    """The sorted classes or labels, or the name of the number. Raises DataError without a choice."""
    if data.target == "number":
        if len(set(train.classes)) < 2:
            raise DataError(
                f"{root}: all {len(train):,} training images have the number {train.classes[0]}; "
                "nothing can be learned\nname another column in data.labels"
            )
        return (columns[0] if columns else VALUE,)
    names = names_of(train, data.target)
    if data.target == "class":
        if len(names) < 2:
            only = next(iter(names))
            raise DataError(f"{root}: only one class ({only!r}); a classifier needs at least two")
        return tuple(sorted(names))
    if not names:
        raise DataError(f"{root}: no training image has a label\ncorrect data.labels")
    if len(columns) > 1:
        return tuple(sorted(columns))
    return tuple(sorted(names | names_of(valid, "labels")))


def label_lines(
    train: Images, valid: Images, test: Images | None, classes: Sequence[str]
) -> list[str]:
    """Lines about labels that no training or no validation image has, and test labels unknown."""
    lines = []
    for split, images in {"training": train, "validation": valid}.items():
        missing = set(classes) - names_of(images, "labels")
        if missing:
            lines.append(f"labels of no {split} image: {some(missing)}")
    unknown = names_of(test, "labels") - set(classes) if test and test.labels else set()
    if unknown:
        lines.append(f"test labels that no training image has are left out: {some(unknown)}")
    return lines
