"""What a user should check about tables that are not used and about the sample submission's cells."""

from collections.abc import Collection, Sequence
from pathlib import Path

from ensemble.dataset.class_columns import matched_with_unknown
from ensemble.dataset.filenames import folded_form
from ensemble.dataset.scan import visible_files
from ensemble.dataset.split_names import is_list_of_parts
from ensemble.layout.doubts import N_NAMED
from ensemble.layout.labeling import Labeling
from ensemble.layout.refusals import UNREAD_TABLES
from ensemble.layout.sample_file import is_submission, looks_like_sample
from ensemble.layout.table import Table
from ensemble.layout.test_images import TestImages
from ensemble.metrics.class_numbers import number
from ensemble.submission.choices import CLASS_NAME, PROBABILITIES
from ensemble.submission.class_names import spelled_names

MAX_PARTS = 3  # of the path of a table


def table_doubts(
    tables: Sequence[Table], placed: Collection[str], labeling: Labeling, sample: Table | None
) -> list[str]:
    """The doubt about tables as long as the labeled images are many, of which no column names images.

    placed are the files of those that do.
    """
    n_rows = labeling.counts.total() / 2
    unused = [
        table
        for table in tables
        if table.file not in placed
        and table is not labeling.table
        and not is_list_of_parts(table.file)
        and not (is_submission(table, sample) or looks_like_sample(table.file))
        and len(table.columns) > 1
        and len(table) >= n_rows
    ]
    return [
        f"{table.file} is not used: none of its columns names the images" for table in unused[:1]
    ]


def unread_table_doubts(root: Path, labeling: Labeling) -> list[str]:
    """The doubt about tables in formats that are not read, where no table says the labels."""
    if labeling.table is not None:
        return []
    files = [path.relative_to(root) for path, kind in visible_files(root) if kind in UNREAD_TABLES]
    unread = sorted(file.as_posix() for file in files if len(file.parts) <= MAX_PARTS)
    return [
        f"{file[:60]} is not read: where it holds labels or groups, save it as a CSV with a column of "
        "file names"
        for file in unread[:1]
    ]


def cell_doubts(labeling: Labeling, sample: Table | None, answer: str | None) -> list[str]:
    """The doubt about a sample of names of which none is a class, of numbers of which some are none, or
    about a column of none.
    """
    if sample is None or labeling.target != "class":
        return []
    if answer == PROBABILITIES:
        matched = matched_with_unknown(sample.header[1:], labeling.classes) or ()
        columns = zip(sample.header[1:], matched, strict=bool(matched))
        return [
            f"{sample.file} has a column {column!r}, of which there is no training image: its cells "
            "will be 0"
            for column, name in columns
            if not name
        ]
    if answer != CLASS_NAME:
        return []
    cells = sample.columns[1]
    values = {number(name) for name in labeling.classes}
    odd = [cell for cell in cells.counts if cell and number(cell) not in values]
    if None not in values and 0 < len(odd) < len(cells.counts):
        return [
            f"{sample.file} has cells such as {odd[0][:60]!r}, which is none of the classes "
            f"{', '.join(labeling.classes[:N_NAMED])}, …: are they numbered from another one?"
        ]
    names = [cell for cell in cells.counts if cell and number(cell) is None]
    texts = spelled_names(names, labeling.classes).values()
    if not names or not {folded_form(name) for name in names}.isdisjoint(map(folded_form, texts)):
        return []
    return [f"{sample.file} has cells such as {names[0][:60]!r}, which is none of the classes"]


def row_doubts(labeling: Labeling, test: TestImages | None) -> list[str]:
    """The doubt about rows of several images where nothing says which labeled images belong together."""
    if test is None or not test.is_averaged:
        return []
    return [
        f"a row of the sample is about several images, but nothing says which images in "
        f"{labeling.folder.name} belong together: where training and validation share what is in "
        "them, scores are too good"
    ]
