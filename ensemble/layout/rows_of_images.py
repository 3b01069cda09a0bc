"""Tables whose rows are each about several images: of a patient, an observation, a video.

They get a row for each image: by the folders that the ids name, by names that begin with the ids, or
by another table that has both the images and the ids.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ensemble.dataset.column_names import same_name
from ensemble.dataset.images_of_rows import ImagesOf, beginning, by_beginning, by_folder, by_path
from ensemble.dataset.match import Match, Names
from ensemble.layout.id_column import placed_table
from ensemble.layout.labeling import Labeling
from ensemble.layout.placement import Placed, Placement, placements
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles
from ensemble.layout.sample_file import is_submission, sample_images
from ensemble.layout.survey import ENOUGH, Folder, Survey
from ensemble.layout.table import Column, Table
from ensemble.layout.test_images import TestImages, row_column

WRITTEN = ("id", "label", "split")  # columns of the labels that `ens init` writes
IMAGE, ROW = "image", "row"


def tables_of_rows(
    surveyed: Survey, roles: Roles, sample: Table | None, inquiry: Inquiry
) -> Placed:
    """The tables whose rows are images, those of several made into rows of one.

    Without a sample these are tables of folders that could be its classes, or patients.
    """
    if sample is None:
        placed = _placed_tables(surveyed, roles, sample, inquiry)
        rest = [table for table in surveyed.tables if table.file not in placed]
        return placed | {expanded[0].file: expanded for expanded in _of_folders(surveyed, rest)}
    if not _has_other_ids(surveyed, sample):
        return _placed_tables(surveyed, roles, sample, inquiry)
    ids = sample.columns[0]
    labels = [table for table in surveyed.tables if _may_label_rows(table, sample)]
    lists = [table for table in surveyed.tables if _lists_rows(table, sample)]
    is_test = {image: roles.split_of_image(image) == "test" for image in surveyed.images}
    of_training = [image for image in surveyed.images if not is_test[image]]
    of_test = [image for image in surveyed.images if is_test[image]] or surveyed.images
    rows = [
        *(_by_images(surveyed, of_training, table, _key(table, ids)) for table in labels),
        *(_by_column_of_folders(surveyed, table, _key(table, ids)) for table in labels + lists),
    ]
    expanded = {table.file: (table, placement) for table, placement in filter(None, rows)}
    rest_of_survey = replace(
        surveyed, tables=tuple(table for table in surveyed.tables if table.file not in expanded)
    )
    placed = _placed_tables(rest_of_survey, roles, sample, inquiry) | expanded
    for table in labels:
        of_rows = _by_table(table, _key(table, ids), placed)
        if table.file not in expanded and of_rows:
            placed[table.file] = of_rows
    if any(row_column(table, placement, ids) for table, placement in placed.values()):
        return placed
    of_sample = Table(f"images of {sample.file}", (ids,))
    listed = _by_table(of_sample, ids, placed) or _by_images(surveyed, of_test, of_sample, ids)
    return placed | {of_sample.file: listed} if listed else placed


def _placed_tables(
    surveyed: Survey, roles: Roles, sample: Table | None, inquiry: Inquiry
) -> Placed:
    """The tables whose rows are images, without the sample submission and tables of its images.

    One that has the sample's ids beside the images' names stays.
    """
    placed: Placed = {}
    for table in surveyed.tables:
        if not is_submission(table, sample):
            placement = placed_table(surveyed, roles, table, sample, inquiry)
            if placement is not None:
                placed[table.file] = table, placement
    of_sample = sample_images(surveyed, roles, sample)
    rest = {
        file: (table, placement)
        for file, (table, placement) in placed.items()
        if not of_sample.issuperset(placement.paths)
        or (sample and row_column(table, placement, sample.columns[0]))
    }
    return rest if rest or roles["test"] else placed


def with_rows_of_classes(labeling: Labeling, test: TestImages | None) -> Labeling:
    """Class folders, or classes in names, as a table of which images are of one row: those in a folder
    inside the class folder, or whose names begin alike.

    The same where the test images' rows are one image each, and where nothing says it of all images
    or it is the class: cat_1, cat_2.
    """
    if test is None or not test.is_averaged or labeling.source not in ("folders", "names"):
        return labeling
    images = tuple(sorted(labeling.labels))
    depth = 2 if labeling.source == "folders" else 1
    row_of = {image: image.rpartition("/")[0] for image in images if image.count("/") >= depth}
    if len(row_of) < len(images):
        row_of = {image: start for image in images if (start := beginning(image))}
    pairs = {(labeling.labels[image], row) for image, row in row_of.items()}
    n_rows = Counter(label for label, _ in pairs)
    if len(row_of) < len(images) or min(n_rows.values()) < 2:
        return labeling
    position = {image: i for i, image in enumerate(labeling.folder.images)}
    match = Match(tuple((position[image],) for image in images))
    columns = (
        Column(IMAGE, images),
        Column("label", tuple(labeling.labels[image] for image in images)),
        Column(test.row_column, tuple(row_of[image] for image in images)),
    )
    table = Table(str(labeling), columns, form="folders", row=test.row_column)
    placement = Placement(IMAGE, labeling.folder, match)
    return replace(labeling, source="column", table=table, placement=placement, columns=("label",))


def _of_folders(surveyed: Survey, tables: Sequence[Table]) -> Iterator[tuple[Table, Placement]]:
    """The tables that have a row for each of some folders, and for nothing else."""
    if not tables:
        return
    images_of = by_folder(surveyed.images)
    folders = Names(images_of)
    for table in tables:
        for key in table.columns:
            is_key = key.is_unique and len(table) > 1
            match = folders.match(key.cells) if is_key else None
            is_complete = match is not None and match.is_complete
            expanded = match and is_complete and _expanded(surveyed, table, key, images_of, match)
            if expanded:
                yield expanded
                break


def _has_other_ids(surveyed: Survey, sample: Table) -> bool:
    """Whether a sample's ids are not the names of images in one folder."""
    placed = placements(sample.columns[0], surveyed.folders.values())
    return all(placement.n_missing for placement in placed)


def _may_label_rows(table: Table, sample: Table) -> bool:
    """Whether a table has the sample's kind of ids, each once, and its column of labels, if one."""
    ids = sample.columns[0]
    keys = [column for column in table.columns if same_name(column.name, ids.name)]
    has_labels = any(same_name(column.name, sample.header[1]) for column in table.columns)
    return (
        not is_submission(table, sample)
        and len(keys) == 1
        and (has_labels or len(sample.header) > 2)
        and keys[0].is_unique
        and keys[0].counts.keys() != ids.counts.keys()
    )


def _lists_rows(table: Table, sample: Table) -> bool:
    """Whether a table has the sample's ids, each once."""
    ids = sample.columns[0]
    columns = [column for column in table.columns if same_name(column.name, ids.name)]
    is_other = not is_submission(table, sample)
    return is_other and len(columns) == 1 and columns[0].counts == ids.counts


def _key(table: Table, ids: Column) -> Column:
    """The column of the sample's kind of ids."""
    return next(column for column in table.columns if same_name(column.name, ids.name))


def _by_table(table: Table, key: Column, placed: Placed) -> tuple[Table, Placement] | None:
    """By the placed table that has the ids of the rows beside the images."""
    row_of = {cell: row for row, cell in enumerate(key.cells)}
    for listing, placement in placed.values():
        for column in listing.others(placement.column):
            n_known = len(row_of.keys() & column.counts.keys())
            if same_name(column.name, key.name) and n_known >= ENOUGH * len(row_of):
                ids, positions = listing[placement.column].cells, placement.match.positions
                kept = [i for i, cell in enumerate(column.cells) if cell in row_of]
                rows = [row_of[column.cells[i]] for i in kept]
                names = [ids[i] for i in kept]
                match = replace(placement.match, positions=tuple(positions[i] for i in kept))
                return _with_rows(table, key, names, rows, placement.folder, match)
    return None


def _by_images(
    surveyed: Survey, images: Sequence[str], table: Table, key: Column
) -> tuple[Table, Placement] | None:
    """By the folders that the ids name, else by file names that begin with them."""
    for index in (by_folder, by_beginning):
        images_of = index(images)
        match = Names(images_of).match(key.cells)
        if sum(len(positions) == 1 for positions in match.positions) >= ENOUGH * len(table):
            expanded = _expanded(surveyed, table, key, images_of, match)
            if expanded is not None:
                return expanded
    return None


def _by_column_of_folders(
    surveyed: Survey, table: Table, key: Column
) -> tuple[Table, Placement] | None:
    """By another column of the table that names a folder in each row, by its path or its end."""
    images_of = by_path(surveyed.images)
    for column in table.others(key.name):
        match = Names(images_of).match(column.cells)
        expanded = match.is_complete and _expanded(surveyed, table, key, images_of, match)
        if expanded:
            return expanded
    return None


def _expanded(
    surveyed: Survey, table: Table, key: Column, images_of: ImagesOf, match: Match
) -> tuple[Table, Placement] | None:
    """The table with a row for each image of those that match says; None where one has two rows."""
    names = tuple(images_of)
    images = [
        (image, row)
        for row, positions in enumerate(match.positions)
        for image in (images_of[names[positions[0]]] if len(positions) == 1 else ())
    ]
    paths = [image for image, _ in images]
    if len(set(paths)) < len(paths):
        return None
    folder = _folder_around(surveyed, paths)
    position = {folder.path_of(image): i for i, image in enumerate(folder.images)}
    return _with_rows(
        table,
        key,
        paths,
        [row for _, row in images],
        folder,
        Match(tuple((position[path],) for path in paths), match.rule),
    )


def _with_rows(
    table: Table,
    key: Column,
    names: Sequence[str],
    rows: Sequence[int],
    folder: Folder,
    match: Match,
) -> tuple[Table, Placement]:
    """The table with a row for each named image, then those without one; rows are of the table."""
    missing = sorted(set(range(len(table))) - set(rows))
    cells = (*names, *(key.cells[row] for row in missing))
    of_key = ROW if key.name in (*WRITTEN, IMAGE) else key.name
    columns = [
        Column(
            of_key if column is key else column.name,
            tuple(column.cells[row] for row in (*rows, *missing)),
        )
        for column in table.columns
        if column.name != IMAGE or column is key
    ]
    expanded = replace(table, columns=(Column(IMAGE, cells), *columns), form="made", row=of_key)
    match = replace(match, positions=(*match.positions, *((),) * len(missing)))
    return expanded, Placement(IMAGE, folder, match)


def _folder_around(surveyed: Survey, paths: Sequence[str]) -> Folder:
    """The innermost folder that images lie in."""
    above = set(PurePosixPath(paths[0]).parents).intersection(
        *(PurePosixPath(path).parents for path in paths)
    )
    inner = max(above, key=lambda folder: len(folder.parts))
    names = [str(folder) for folder in (inner, *inner.parents)]
    return next(surveyed.folders[name] for name in names if name in surveyed.folders)
