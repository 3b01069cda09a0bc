"""The ways to label the training images: class folders, a column, a column per class, file names."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal

from ensemble.dataset.filenames import without_suffix
from ensemble.dataset.separators import names_in_cell
from ensemble.dataset.split_names import split_of_file, split_of_name
from ensemble.layout.placement import Placement
from ensemble.layout.survey import Folder
from ensemble.layout.table import Table

Target = Literal["class", "labels", "number"]
BETWEEN = "\n"  # the labels of an image that columns state, which no name of a column holds

# class and number in a file name, with what stands between them; the first that fits is taken
NAME_PATTERNS = (
    r"^(.+?)[._ -]+\(?\d+\)?$",  # cat.0, 3_100, great_pyrenees_12, "cat (1)"
    r"^\d+[._ -]+([^\d]+)$",  # 12_cat
    r"^([^\W\d_]{2,})\d+$",  # cat12
    r"^(.+?)[._ -]+(?=[a-f-]*\d)[0-9a-f-]{6,}$",  # cat_03e0552454f1
)
_SEVERAL_NUMBERS = re.compile(r"\d+(?:[._ -]+\d+)+")
_CAMERA_WORDS = {
    *("img", "image", "dsc", "dscn", "dscf", "photo", "pic", "picture", "scan", "frame", "p"),
    *("screenshot", "file", "id", "sample"),
}


@dataclass(frozen=True)
class Labeling:
    """A way to label the images of a folder: the label of each image by its path in the folder.

    source says where the labels are from: class folders, the folders inside them, one column of a
    table, a column per class, or the file names by `pattern`, part counting their parts from 1.
    separator is the mark between several labels in a cell. splits says train, valid or test by image
    where several tables do; is_joined, that the labels are from several tables; is_renamed, that the
    classes have other names there; conflict, which image has two labels; evidence, why these are the
    labels.
    """

    source: Literal["folders", "subfolders", "column", "columns", "names"]
    folder: Folder
    labels: Mapping[str, str]
    table: Table | None = None
    placement: Placement | None = None
    columns: tuple[str, ...] = ()
    pattern: str = ""
    part: int = 0
    target: Target = "class"
    separator: str = ""
    splits: Mapping[str, str] = field(default_factory=dict)
    is_joined: bool = False
    is_renamed: bool = False
    conflict: str = ""
    evidence: str = ""

    @cached_property
    def counts(self) -> Counter[str]:
        """The number of images of each label."""
        return Counter(self.labels.values())

    @cached_property
    def by_path(self) -> dict[str, str]:
        """The label of each image by its path under the root."""
        return {self.folder.path_of(image): label for image, label in self.labels.items()}

    @property
    def classes(self) -> tuple[str, ...]:
        """The sorted labels."""
        return tuple(sorted(self.counts))

    @property
    def label_names(self) -> tuple[str, ...]:
        """The sorted names of all classes or labels, () for numbers."""
        if self.target == "number":
            return ()
        if self.target == "class":
            return self.classes
        if self.source == "columns":
            return tuple(sorted(self.columns))
        return tuple(
            sorted({name for cell in self.counts for name in names_in_cell(cell, self.separator)})
        )

    @property
    def named_split(self) -> str | None:
        """The split that the table's name means, None for no split and without a table."""
        return split_of_file(self.table.file) if self.table else None

    @property
    def n_missing(self) -> int:
        """Rows of the table without an image."""
        return self.placement.n_missing if self.placement else 0

    def __str__(self) -> str:
        if self.source == "folders":
            return f"the class folders in {self.folder.name}"
        if self.source == "subfolders":
            return f"the folders inside those in {self.folder.name}"
        if self.part:
            examples = " and ".join(self.classes[:2])
            return (
                f"part {self.part} of the file names in {self.folder.name}, such as {examples[:60]}"
            )
        if self.source == "names":
            return f"the file names in {self.folder.name}"
        assert self.table is not None
        if self.table.form == "folders":
            return self.table.file
        return f"{self.table.file}: {', '.join(self.columns)[:80]}"


def by_folders(folder: Folder) -> Labeling | None:
    """The labeling by class folders, None where a folder has none or a single one."""
    if len(folder.classes) < 2:
        return None
    return Labeling("folders", folder, {image: image.partition("/")[0] for image in folder.images})


def by_subfolders(folder: Folder) -> Labeling | None:
    """The labeling by the folders inside the class folders, where all images are in such ones.

    A class folder has several, or, as with patients, all have some of the same few.
    """
    parents = {image: PurePosixPath(image).parent for image in folder.images}
    inside = {parent.parts[0]: set[str]() for parent in parents.values() if parent.parts}
    for parent in parents.values():
        if len(parent.parts) < 2:
            return None
        inside[parent.parts[0]].add(parent.name)
    n_names = len(set().union(*inside.values()))
    if all(len(names) < 2 for names in inside.values()) and not 1 < n_names < len(inside):
        return None
    return Labeling("subfolders", folder, {image: path.name for image, path in parents.items()})


def by_column(table: Table, placement: Placement, column: str) -> Labeling:
    """The labeling by one column; rows without an image are left out."""
    labels: dict[str, str] = {}
    conflict = ""
    for image, cell in zip(placement.images, table[column].cells, strict=True):
        if image is not None and labels.setdefault(image, cell) != cell:
            conflict = conflict or f"{image}: {labels[image][:60]!r} and {cell[:60]!r}"
    return Labeling(
        "column", placement.folder, labels, table, placement, (column,), conflict=conflict
    )


def by_columns(table: Table, placement: Placement, columns: tuple[str, ...]) -> Labeling:
    """The labeling by a column for each class: its name where the cell is 1 or true.

    Where a row has not exactly one, the target is several labels, in lines of their own.
    """
    ones = [table[column].is_one for column in columns]
    labels: dict[str, str] = {}
    is_single = True
    for row, image in enumerate(placement.images):
        names = [name for name, is_one in zip(columns, ones, strict=True) if is_one and is_one[row]]
        is_single = is_single and len(names) == 1
        if image is not None:
            labels[image] = BETWEEN.join(names)
    target: Target = "class" if is_single else "labels"
    return Labeling("columns", placement.folder, labels, table, placement, columns, target=target)


def by_names(folder: Folder) -> Labeling | None:
    """The labeling by a pattern in the file names, None where they hold no classes."""
    stems = {image: without_suffix(PurePosixPath(image).name) for image in folder.images}
    for pattern in NAME_PATTERNS:
        matched = {image: re.search(pattern, stem) for image, stem in stems.items()}
        labels = {image: match[1] for image, match in matched.items() if match}
        if len(labels) == len(stems) and _are_classes(Counter(labels.values())):
            return Labeling("names", folder, labels, pattern=pattern)
    return None


def _are_classes(counts: Counter[str]) -> bool:
    """Whether texts from file names are classes: some, repeated, no splits, no camera's words.

    Several numbers, such as an age and a sex, are none.
    """
    if not 2 <= len(counts) <= counts.total() / 2 or all(map(_SEVERAL_NUMBERS.fullmatch, counts)):
        return False
    return not any(split_of_name(word) or _is_cameras(word) for word in map(str.lower, counts))


def _is_cameras(name: str) -> bool:
    """Whether a text consists of a camera's words and numbers, such as img_20210110."""
    words = {word for word in re.split(r"[._ -]+", name) if word and not word.isdigit()}
    return bool(words) and words <= _CAMERA_WORDS
