"""Which table is the sample submission, and which images its ids are."""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ensemble.dataset.class_columns import matched_columns
from ensemble.dataset.column_names import LABELS, letters, same_name
from ensemble.dataset.sample import is_id_last
from ensemble.dataset.split_names import split_of_file
from ensemble.errors import DataError
from ensemble.layout.id_column import INDEX_NAMES
from ensemble.layout.labeling import Labeling
from ensemble.layout.long_tables import check_not_long
from ensemble.layout.placement import placements, smallest
from ensemble.layout.questions import Inquiry, Question
from ensemble.layout.regions import check_no_regions
from ensemble.layout.roles import Roles
from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Column, Table
from ensemble.layout.test_images import TestImages

CHANCE = 0.01  # that as many images are of one class
NO_SAMPLE = "none"  # what --sample may be instead of a file
_SAMPLE = re.compile(
    r"submission|submit|(?:^|[^a-z])(?:benchmark|sample(?:[_ -]?(?:sub|entry|answers?|solution))?)(?:[^a-z]|$)",
    re.IGNORECASE,
)


def looks_like_sample(file: str) -> bool:
    """Whether a table is named like a sample submission: sampleEntry, all_zeros_benchmark."""
    return _SAMPLE.search(PurePosixPath(file).stem) is not None


def is_submission(table: Table, sample: Table | None) -> bool:
    """Whether a table is the sample submission, or another submission of its form."""
    if table is sample or sample is None:
        return table is sample
    return looks_like_sample(table.file) and table.header == sample.header


def with_ids_first(surveyed: Survey, inquiry: Inquiry) -> Survey:
    """The same with the ids of `Category,Id` in the first column of tables that may be the sample."""
    names = surveyed.folders["."].names

    def id_first(table: Table) -> Table:
        may_be_sample = looks_like_sample(table.file) or table.file == inquiry.options.sample
        is_last = may_be_sample and is_id_last([column.cells for column in table.columns])
        if is_last and all(map(names.positions, table.columns[-1].some_cells)):
            return replace(table, columns=table.columns[::-1])
        return table

    return replace(surveyed, tables=tuple(map(id_first, surveyed.tables)))


def choose_sample(
    surveyed: Survey, roles: Roles, inquiry: Inquiry
) -> tuple[Table | None, list[str]]:
    """The sample submission among the tables, and notes about the others. Raises DataError."""
    sample, notes = _chosen(surveyed, roles, inquiry)
    if sample is not None:
        check_not_long(sample, surveyed.folders["."])
        _check(sample)
        if not sample.has_header:
            notes.append(f"{sample.file} has no header, so the CSV will have none")
    return sample, notes


def with_folder_of_sample(surveyed: Survey, roles: Roles, sample: Table | None) -> Roles:
    """The roles with the only folder of the sample's images, and no others, as that of the test set.

    It lies beside other folders, no cell or column of the sample is called like it, so that it is no
    class, and no table but one of test images names what is in it.
    """
    if sample is None or roles["test"]:
        return roles
    names = {*sample.header, *(cell for column in sample.columns[1:] for cell in column.counts)}
    others = [
        table
        for table in surveyed.tables
        if not is_submission(table, sample) and split_of_file(table.file) != "test"
    ]
    holding = [
        folder
        for folder in surveyed.folders.values()
        if len(folder.images) == len(sample)
        and not folder.subfolders
        and roles.split_of(folder) is None
        and folder.last_name not in names
        and _is_beside_folders(surveyed, folder)
        and folder.names.match(sample.columns[0].cells).is_complete
        and not any(_names_images(surveyed, table, folder) for table in others)
    ]
    return Roles({**roles.folders, "test": tuple(holding)}) if len(holding) == 1 else roles


def _is_beside_folders(surveyed: Survey, folder: Folder) -> bool:
    """Whether other folders of images lie beside it, or beside folders that hold it alone."""
    parent = surveyed.folders.get(PurePosixPath(folder.name).parent.as_posix())
    if parent is None or folder.name == ".":
        return False
    is_alone = len(parent.images) == len(folder.images)
    return _is_beside_folders(surveyed, parent) if is_alone else len(surveyed.children(parent)) > 1


def _names_images(surveyed: Survey, table: Table, folder: Folder) -> bool:
    """Whether a column of a table names images, some in this folder alone."""
    names, inside = surveyed.folders["."].names, f"{folder.name}/"

    def is_inside(cell: str) -> bool:
        return all(names.names[i].startswith(inside) for i in names.positions(cell))

    return any(
        all(map(names.positions, column.some_cells)) and any(map(is_inside, column.some_cells))
        for column in table.columns
    )


def _check(sample: Table) -> None:
    """Raises DataError for a sample without header or answers, of masks, or with an id twice."""
    ids = sample.columns[0]
    repeated, n_rows = max(ids.counts.items(), key=lambda counted: counted[1])
    if not sample.has_header and len(sample.columns) != 2:
        problem = f"its first row, {ids.cells[0][:60]!r}, names an image, so it has no header"
        next_step = "write the names of its columns above it, as the competition spells them"
    elif len(sample.header) < 2:
        problem = f"needs an id column and at least one more; it has only {ids.name[:60]!r}"
        next_step = "add the column of answers, or name another file with --sample"
    elif len(sample.header) > 2 and ids.is_counter and ids.name.lower() in INDEX_NAMES:
        problem = (
            f"its first column, {ids.name or 'without a name'}, counts the rows: pandas' index"
        )
        next_step = "remove it (to_csv with index=False), and give that file by --sample"
    elif n_rows > 1:
        problem = f"its first column, {ids.name[:60]}, has {repeated[:60]!r} in {n_rows:,} rows"
        next_step = "put the ids there, each in one row, or name another file with --sample"
    else:
        next_step = "name another file by --sample, or go without one: --sample none"
        check_no_regions(sample.file, *sample.columns[1:], next_step=next_step)
        return
    raise DataError(f"{sample.file}: {problem}\n{next_step}")


def unfit_sample(
    sample: Table | None, labeling: Labeling, test: TestImages | None, tables: Sequence[Table]
) -> Question | None:
    """The question where a sample's ids are no test images, or where a table seems to be one."""
    if test is None:
        return _without_test(sample, labeling, tables)
    plain = (f"--sample {NO_SAMPLE}", f"a CSV of id,label for all {test.n_images:,} test images")
    if sample is not None:
        return Question(_without_image(sample, test.folder), (plain,))
    for table in tables:
        if _could_be_sample(table, labeling, test):
            text = f"{table.file} lists test images: is it the sample submission?"
            meaning = f"{len(table):,} rows: {', '.join(table.header)[:60]}"
            return Question(text, ((f"--sample {shlex.quote(table.file)}", meaning), plain))
    return None


def _without_image(sample: Table, folder: Folder) -> str:
    """Which of a sample's ids are no images of a folder, nor folders of images in it."""
    names, ids = folder.names, sample.columns[0].cells
    folders = {part for image in folder.images for part in image.split("/")[:-1]}
    positions = names.match(ids).positions
    missing = [
        cell
        for cell, fitting in zip(ids, positions, strict=True)
        if not fitting and cell not in folders
    ]
    if 0 < 2 * len(missing) < len(ids):
        return (
            f"{len(missing):,} of {len(ids):,} ids in {sample.file} have no image in {folder.name}, "
            f"such as {missing[0][:60]!r}: are some files missing? Add them, or go without the sample"
        )
    problem = names.problem_of(missing or ids, "test image")
    return (
        f"{sample.file} asks for ids such as {problem}; they are called such as "
        f"{names.names[0][:60]!r}: correct the file, or go without it"
    )


def _without_test(
    sample: Table | None, labeling: Labeling, tables: Sequence[Table]
) -> Question | None:
    """The question about a sample without test images, beside images that have no label."""
    labeled = labeling.labels.keys()
    rest = tuple(image for image in labeling.folder.images if image not in labeled)
    plain = (f"--sample {NO_SAMPLE}", "no test images")
    if not rest:
        return None
    if sample is not None:
        text = (
            f"{sample.file} asks for ids such as {sample.columns[0].cells[0][:60]!r}, which no "
            f"image has; images without a label are called such as {rest[0][:60]!r}: correct the "
            "file, or go without it"
        )
        return Question(text, (plain,))
    unlabeled = TestImages(Folder(labeling.folder.name, rest), len(rest))
    return unfit_sample(None, labeling, unlabeled, tables)


def _could_be_sample(table: Table, labeling: Labeling, test: TestImages) -> bool:
    """Whether a table lists test images alone, with the labels' column or one for each class."""
    if table is labeling.table or len(table.header) < 2:
        return False
    answers = table.columns[1:]
    has_classes = matched_columns(table.header[1:], labeling.classes) is not None
    is_labels = len(answers) == 1 and _could_be_labels(answers[0], labeling)
    may_be_true = split_of_file(table.file) and len(answers[0].counts) > 1
    if not (has_classes or (is_labels and not may_be_true)):
        return False
    return test.folder.names.match(table.columns[0].cells).is_complete


def _could_be_labels(column: Column, labeling: Labeling) -> bool:
    """Whether a column is called like the labels, or holds classes."""
    is_named = any(same_name(column.name, name) for name in labeling.columns)
    return is_named or letters(column.name) in LABELS or set(column.counts) <= set(labeling.classes)


def sample_images(surveyed: Survey, roles: Roles, sample: Table | None) -> frozenset[str | None]:
    """The paths of the images that the sample submission names, none where its ids are not images."""
    if sample is None:
        return frozenset()
    folders = roles["test"] or tuple(surveyed.folders.values())
    named = smallest(placements(sample.columns[0], folders))
    return frozenset(
        path for placement in named if not placement.n_missing for path in placement.paths
    )


def without_fillers(
    surveyed: Survey, roles: Roles, labeling: Labeling, sample: Table | None
) -> Labeling:
    """The labeling without what it says of the sample's images, where all have one text, but not by
    chance: `unknown`, -1 or nothing.
    """
    asked, labels = sample_images(surveyed, roles, sample), labeling.by_path
    cells = {labels.get(str(path)) for path in asked}
    rest = {
        image: label
        for image, label in labeling.labels.items()
        if labeling.folder.path_of(image) not in asked
    }
    counts = Counter(rest.values())
    if labeling.table is None or len(cells) != 1 or None in cells or len(counts) < 2:
        return labeling
    share = counts[str(cells.pop())] / counts.total()
    return replace(labeling, labels=rest) if share ** len(asked) < CHANCE else labeling


def _chosen(surveyed: Survey, roles: Roles, inquiry: Inquiry) -> tuple[Table | None, list[str]]:
    by_file = {table.file: table for table in surveyed.tables}
    named = [table for table in surveyed.tables if looks_like_sample(table.file)]
    named = [table for table in named if "benchmark" not in table.file.lower()] or named
    if inquiry.options.sample == NO_SAMPLE:
        return None, []
    if inquiry.options.sample is not None:
        meanings = {table.file: "" for table in surveyed.tables}
        return by_file[inquiry.choose("sample", "", meanings)], []
    if len(named) < 2:
        return (named[0] if named else None), []
    named = _about_images(surveyed, named)
    complete = [table for table in named if _has_all_rows(table, roles)]
    if len(complete) == 1 < len(named):
        note = f"sample submissions: {_listed(named)}; {complete[0].file} has all test images"
        return complete[0], [note]
    shapes = {table.columns for table in named}
    if len(shapes) > 1:
        meanings = {
            table.file: f"{len(table):,} rows: {', '.join(table.header)[:60]}" for table in named
        }
        text = "several files could be the sample submission"
        return by_file[inquiry.choose("sample", text, meanings)], []
    note = f"sample submissions with the same ids: {_listed(named)}; the first is used"
    return named[0], [note] if len(named) > 1 else []


def _about_images(surveyed: Survey, tables: Sequence[Table]) -> list[Table]:
    """Those tables whose ids are images, if any are."""
    names = surveyed.folders["."].names
    about = [table for table in tables if all(map(names.positions, table.columns[0].some_cells))]
    return about or list(tables)


def _has_all_rows(table: Table, roles: Roles) -> bool:
    """Whether a sample has as many rows as a test folder, or all of them, have images."""
    sizes = [len(folder.images) for folder in roles["test"]]
    return len(table) in (*sizes, sum(sizes))


def _listed(tables: Sequence[Table]) -> str:
    return ", ".join(table.file for table in tables)
