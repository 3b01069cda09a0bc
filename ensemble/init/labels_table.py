"""The labels as one plain CSV beside the recipes, where the data set has no such table."""

import csv
import io
from collections.abc import Sequence

from ensemble.dataset.tables import short_names
from ensemble.layout.labeling import BETWEEN, Labeling
from ensemble.layout.placement import is_inside
from ensemble.layout.survey import Folder
from ensemble.layout.table import SIGNS
from ensemble.layout.test_images import TestImages
from ensemble.layout.understanding import Understanding

SPLIT = "split"  # the column that says train, valid or test


def needs_table(understanding: Understanding) -> bool:
    """Whether the labels have to be written: a recipe can name folders, one column, a pattern."""
    labeling = understanding.labeling
    if labeling.source == "subfolders" or labeling.is_renamed or labeling.is_joined:
        return True
    if labeling.source == "columns" and labeling.target == "class":
        return True
    if understanding.splits and not understanding.splits.recipe_column:
        return True
    if labeling.source == "folders":
        n_listed = _n_listed_among(labeling.folder, understanding.test)
        return len(labeling.labels) + n_listed < understanding.n_in_folder
    return labeling.source in ("column", "columns") and not _is_plain(labeling)


def _n_listed_among(folder: Folder, test: TestImages | None) -> int:
    """How many test images a list names in this folder, or around it."""
    if test is None or not (test.table or test.ids):
        return 0
    is_around = folder.name == test.folder.name or is_inside(folder, test.folder)
    is_around = is_around or is_inside(test.folder, folder)
    return test.n_images if is_around else 0


def _is_plain(labeling: Labeling) -> bool:
    """Whether the labels are in one column of one table with a header, one row for each image."""
    assert labeling.table is not None
    is_repeated = len(labeling.labels) + labeling.n_missing < len(labeling.table)
    has_signs = labeling.source == "columns" and any(
        set(labeling.table[name].counts) in SIGNS for name in labeling.columns
    )
    is_of_file = labeling.table.form == "rows" and not has_signs
    return is_of_file and labeling.table.has_header and not labeling.is_joined and not is_repeated


def test_columns(test: TestImages | None) -> dict[str, tuple[str, ...]]:
    """The columns of that table by their key in data.test; {} without a table."""
    if test is None or not test.ids:
        return {}
    columns = {"id": test.ids, "row": test.rows, "label": test.labels}
    return {key: cells for key, cells in columns.items() if cells}


def test_names(test: TestImages | None) -> dict[str, str]:
    """The names of these columns by their key: that of the rows as groups of the labels have it."""
    names = {key: key for key in test_columns(test)}
    if test is not None and test.is_averaged and "row" in names:
        names["row"] = test.row_column
    return names


def test_table(understanding: Understanding) -> str:
    """The CSV's text: the ids of the test images, those of the submission where it has others, and
    the classes where they are known; "" where the data set has such a table.
    """
    columns = test_columns(understanding.test)
    if not columns:
        return ""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(test_names(understanding.test).values())
    writer.writerows(zip(*columns.values(), strict=True))
    return written.getvalue()


def labels_table(understanding: Understanding) -> str:
    """The CSV's text: id, label, the split where the data set says it, and columns of groups.

    Labels that columns of 0 and 1 state keep these columns.
    """
    split_of = understanding.splits.split_of
    groups = group_cells(understanding)
    columns = label_columns(understanding.labeling)
    header = ["id", *(columns or ["label"]), *([SPLIT] if split_of else []), *groups]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    images = sorted(understanding.labeling.labels)
    for image, image_id in zip(images, _ids(understanding, images), strict=True):
        split = [split_of[image]] if split_of else []
        cells = [group_of[image] for group_of in groups.values()]
        labels = [ones[image] for ones in columns.values()]
        if not columns:
            labels = [understanding.labeling.labels[image]]
        writer.writerow([image_id, *labels, *split, *cells])
    return written.getvalue()


def label_columns(labeling: Labeling) -> dict[str, dict[str, str]]:
    """By column of 0 and 1, each image's; empty where labels are not several columns."""
    if labeling.source != "columns" or labeling.target != "labels":
        return {}
    names_of = {image: label.split(BETWEEN) for image, label in labeling.labels.items()}
    return {
        column: {image: str(int(column in names)) for image, names in names_of.items()}
        for column in labeling.columns
    }


def _ids(understanding: Understanding, images: Sequence[str]) -> list[str]:
    """The images' paths in their folder, without suffix where that stays unique there."""
    folder = understanding.labeling.folder
    ids = dict(zip(folder.images, short_names(folder.images), strict=True))
    return [ids[image] for image in images]


def group_cells(understanding: Understanding) -> dict[str, dict[str, str]]:
    """By column of the labels' own table, the group of each image."""
    labeling = understanding.labeling
    if labeling.table is None or labeling.placement is None or labeling.is_joined:
        return {}
    table, images = labeling.table, labeling.placement.images
    return {
        group.column: {
            image: cell
            for image, cell in zip(images, table[group.column].cells, strict=True)
            if image is not None
        }
        for group in understanding.groups
        if group.table is table and group.column not in ("id", "label", SPLIT)
    }
