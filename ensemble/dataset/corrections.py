"""Training images that a list leaves out or gives another label: data.exclude and data.relabel.

Validation images are never changed, so that scores stay about all of them; a refit, which trains on
them too, corrects them as well.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ensemble.dataset.csvfile import CsvTable, read_table
from ensemble.dataset.match import Names
from ensemble.dataset.tables import Images
from ensemble.errors import DataError, RecipeError
from ensemble.paths import find
from ensemble.recipe import Data

ID, LABEL, NEW_LABEL = "id", "label", "new_label"  # columns of a list


@dataclass(frozen=True)
class Corrections:
    """What to do with training images, by id: a new label, or None to leave them out."""

    label_of: Mapping[str, str | None] = field(default_factory=dict)

    def apply(self, images: Images) -> Images:
        """The images without those left out, the others with their labels."""
        if not self.label_of:
            return images
        kept = [i for i, name in enumerate(images.ids) if self.label_of.get(name, "") is not None]
        rest = images.take(np.array(kept, np.int64))
        pairs = zip(rest.ids, rest.classes, strict=True)
        labels = tuple(self.label_of.get(name) or label for name, label in pairs)
        return Images(rest.ids, rest.files, labels, rest.groups)


def corrections_of(
    data: Data, train: Images, valid: Images, classes: Sequence[str]
) -> tuple[Corrections, tuple[str, ...]]:
    """The corrections that a recipe names, and lines about them.

    Images that a list names must be among train and, with folds, among valid. Raises DataError,
    RecipeError.
    """
    keys = {"exclude": data.exclude, "relabel": data.relabel}
    named = {key: path for key, path in keys.items() if path is not None}
    if named and data.target != "class":
        raise RecipeError(
            f"data.{next(iter(named))} is for one class per image; data.target is {data.target}\n"
            "correct the labels in the table itself"
        )
    label_of: dict[str, str | None] = {}
    lines = []
    for key, path in named.items():
        table = read_table(find(path, key=f"data.{key}"))
        labels = _listed(table, key, data, train, valid, classes)
        twice = sorted(labels.keys() & label_of.keys())
        if twice:
            raise DataError(
                f"{table.path}: {twice[0]!r} is in data.exclude and in data.relabel\n"
                "take it out of one of them"
            )
        label_of |= labels
        n_train = len(labels.keys() & set(train.ids))
        verb = "left out" if key == "exclude" else "relabeled"
        kept = f"; {len(labels) - n_train:,} are validated here and stay" if data.n_folds else ""
        lines.append(f"data.{key}: {n_train:,} of {len(train):,} training images are {verb}{kept}")
    return Corrections(label_of), tuple(lines)


def check_some_left(train: Images, classes: Sequence[str]) -> None:
    """Raises DataError where a class has no training image left."""
    empty = sorted(set(classes) - Counter(train.classes).keys())
    if empty:
        raise DataError(
            f"data.exclude and data.relabel leave no training image of {empty[0]!r}\n"
            "take some of its images out of the list"
        )


def _listed(
    table: CsvTable,
    key: str,
    data: Data,
    train: Images,
    valid: Images,
    classes: Sequence[str],
) -> dict[str, str | None]:
    """By the images' ids, their new labels, or None for exclude. Raises DataError."""
    images = train.and_(valid) if data.n_folds else train
    ids = table.column(ID)
    names, names_of_valid = Names(images.ids), Names(valid.ids)
    new_labels: Sequence[str | None] = [None] * len(ids)
    if key == "relabel":
        new_labels = table.column(NEW_LABEL)
    stated = table.column(LABEL) if LABEL in table.header else None
    label_of: dict[str, str | None] = {}
    for row, image_id in enumerate(ids):
        positions = names.full_positions(image_id)  # a looser rule could mean another image
        where = f"{table.where(row)}: data.{key}: {image_id[:100]!r}"
        if not positions and names_of_valid.full_positions(image_id):
            raise DataError(f"{where} is a validation image, which stays\ntake it out of the list")
        if len(positions) != 1:
            problem = f"fits {len(positions)} images" if positions else "is no training image"
            raise DataError(f"{where} {problem}\nwrite the ids as `ens inspect --labels` does")
        name, label = images.ids[positions[0]], images.classes[positions[0]]
        if name in label_of:
            raise DataError(f"{where} is listed twice\ntake one of its rows out")
        if stated is not None and stated[row] != label:
            raise DataError(
                f"{where} has the label {label[:60]!r}, the list says {stated[row][:60]!r}\n"
                "make the list again, or take its column `label` out"
            )
        if new_labels[row] is not None and new_labels[row] not in classes:
            listed = ", ".join(classes[:10])
            raise DataError(
                f"{where}: new_label {str(new_labels[row])[:60]!r} is not one of {listed}"
            )
        label_of[name] = new_labels[row]
    return label_of
