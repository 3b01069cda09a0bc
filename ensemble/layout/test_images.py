"""Which images are the test set: those that the sample submission names, else a test folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ensemble.dataset.column_names import same_name
from ensemble.dataset.match import Names
from ensemble.dataset.split_names import split_of_file
from ensemble.dataset.tables import short_names
from ensemble.layout.labeling import Labeling
from ensemble.layout.placement import Placed, Placement, placements, smallest
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles, one_of
from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Column, Table
from ensemble.layout.validation import Splits

MANY_IDS = 20  # numbers that no other column has by chance


@dataclass(frozen=True)
class TestImages:
    """The test images: all of a folder, or those in it that a table's id column names.

    names_sample says that the sample submission's ids are among them; ids are those of the test
    images where no table names them that a recipe could; rule says how they fit, where not plainly;
    partial, the doubt where a list names some images of a test folder. row_column is the column of
    the table that has the sample's ids where they are not the images' names, rows those ids; labels
    are the classes of ids, where tables state them.
    """

    folder: Folder
    n_images: int
    table: Table | None = None
    id_column: str = ""
    names_sample: bool = False
    ids: tuple[str, ...] = ()
    rule: str = ""
    partial: str = ""
    row_column: str = ""
    rows: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        """The rows of a submission about them."""
        return len(set(self.rows)) or self.n_images

    @property
    def is_averaged(self) -> bool:
        """Whether a row of a submission is about several of them."""
        return self.n_rows < self.n_images


def test_images(
    surveyed: Survey,
    roles: Roles,
    labeling: Labeling,
    sample: Table | None,
    placed: Placed,
    valid: Folder | None,
    inquiry: Inquiry,
) -> TestImages | None:
    """The test set, None if there is none."""
    labeled = {labeling.folder.path_of(image) for image in labeling.labels}
    listing = _listing(surveyed, roles, labeled, sample, placed, inquiry)
    folders = [
        folder
        for folder in roles["test"]
        if (valid is None or folder.name != valid.name) and not _is_labeled(folder, labeled)
    ]
    if listing is None:
        if not folders:
            return None
        folder = one_of(surveyed, folders, "test", inquiry)
        return TestImages(folder, len(folder.images))
    table, placement, row = listing
    if row is not None:
        return _numbered(table, placement, row)
    folder, is_sample, rule = placement.folder, table is sample, placement.match.rule
    n_images = len(folder.images)
    partial = ""
    if folder.name in {outer.name for outer in folders} or not _shares(folder, labeled):
        whole = TestImages(folder, n_images, names_sample=is_sample, rule=rule)
        if is_sample or len(table) == n_images:
            return whole
        partial = f"{table.file} lists {len(table):,} images, {folder.name} has {n_images:,}"
        if _names_any(table[placement.column], labeling):
            return replace(whole, partial=f"{partial}: all are used")
        partial += ": the others are not used"
    ids = () if _is_plain(table) else table[placement.column].cells
    return TestImages(folder, len(table), table, placement.column, is_sample, ids, rule, partial)


def _is_plain(table: Table) -> bool:
    """Whether a recipe can name the table's columns."""
    return table.has_header and table.form == "rows"


def _numbered(table: Table, placement: Placement, row: Column) -> TestImages:
    """The test images of a table that has the sample's ids in a column of their own."""
    ids = table[placement.column].cells
    n_images = row.counts[row.cells[0]]
    of_first = f"{n_images} images such as " * (n_images > 1) + repr(ids[0][-60:])
    return TestImages(
        placement.folder,
        len(table),
        table,
        placement.column,
        names_sample=True,
        ids=() if _is_plain(table) else ids,
        rule=placement.match.rule or f"by {table.file}: {row.cells[0][:60]!r} is {of_first}",
        row_column=row.name,
        rows=row.cells,
    )


def images_of_test_rows(labeling: Labeling, splits: Splits) -> TestImages:
    """The test images that rows of the labels state, as a list."""
    images = [image for image, split in splits.split_of.items() if split == "test"]
    paths = sorted(map(labeling.folder.path_of, images))
    return TestImages(labeling.folder, len(paths), ids=tuple(paths))


def images_of_sample_rows(of_rows: TestImages, sample: Table | None) -> TestImages | None:
    """The same images with the sample's ids, None where these are not exactly theirs."""
    if sample is None:
        return None
    match = Names(of_rows.ids).match(sample.columns[0].cells)
    if not match.is_complete or len({*match.positions}) != len(of_rows.ids):
        return None
    ids = tuple(of_rows.ids[position] for (position,) in match.positions)
    rows = sample.columns[0].cells
    return replace(of_rows, ids=ids, rows=rows, names_sample=True, rule=match.rule)


def with_labels(test: TestImages, labels: Mapping[str, str]) -> TestImages:
    """The test images with their labels, by path under the root, where all have one.

    They are all of a folder, or rows of the labels.
    """
    if test.table is not None or (test.names_sample and not test.ids):
        return test
    paths = test.ids or tuple(map(test.folder.path_of, test.folder.images))
    if not labels.keys() >= set(paths):
        return test
    rows = test.rows if test.ids else tuple(short_names(test.folder.images))
    return replace(test, ids=paths, rows=rows, labels=tuple(labels[path] for path in paths))


def _is_for_testing(table: Table, placement: Placement, roles: Roles) -> bool:
    """Whether a table lists test images: by its name, or by the folder that they are in."""
    by_name = split_of_file(table.file)
    return "test" in (by_name, roles.split_of(placement.folder)) and by_name in ("test", None)


def _is_labeled(folder: Folder, labeled: set[str]) -> bool:
    """Whether all images of a folder have labels."""
    return all(folder.path_of(image) in labeled for image in folder.images)


def _names_any(column: Column, labeling: Labeling) -> bool:
    """Whether ids name training images, too."""
    folder = labeling.folder
    found = folder.names.match(column.cells).positions
    return any(folder.images[i] in labeling.labels for positions in found for i in positions)


def _shares(folder: Folder, labeled: set[str]) -> bool:
    """Whether training images lie in a folder."""
    return any(folder.path_of(image) in labeled for image in folder.images)


def _listing(
    surveyed: Survey,
    roles: Roles,
    labeled: set[str],
    sample: Table | None,
    placed: Placed,
    inquiry: Inquiry,
) -> tuple[Table, Placement, Column | None] | None:
    """The table that names the test images: a test list, else the sample; None if none does.

    The column is that of the sample's ids, where they are not the names of the images.
    """
    of_others = [
        (table, placement)
        for table, placement in placed.values()
        if placement.n_missing == 0 and not labeled & set(placement.paths)
    ]
    if sample is not None:
        column = sample.columns[0]
        chosen = inquiry.options.test
        folders = (
            [surveyed.folders[chosen]] if chosen in surveyed.folders else surveyed.folders.values()
        )
        inside = [
            placement
            for placement in placements(column, folders)
            if placement.n_missing == 0 and not labeled & set(placement.paths)
        ]
        direct = dict(zip(column.cells, inside[0].paths, strict=True)) if inside else {}
        for table, placement in of_others:
            row = row_column(table, placement, column)
            if row and (
                row.is_unique
                and dict(zip(row.cells, placement.paths, strict=True)) != direct
                or not direct
            ):
                return table, placement, row
        if inside:
            placement = _in_test_folder(surveyed, roles, smallest(inside), inquiry)
            return sample, placement, None
    lists = [listed for listed in of_others if _is_for_testing(*listed, roles)]
    return (*lists[0], None) if lists else None


def row_column(table: Table, placement: Placement, ids: Column) -> Column | None:
    """The column that has the sample's ids beside the one that names images.

    Each id is in one row, or in several: in a column that is called as the sample's, or whose cells
    are texts, or many numbers.
    """
    others = table.others(placement.column)
    for column in others:
        if column.counts == ids.counts:
            return column
    for column in others:
        is_named = same_name(column.name, ids.name) or column.name == table.row
        is_no_chance = column.numbers is None or len(ids.cells) >= MANY_IDS
        if (is_named or is_no_chance) and column.counts.keys() == ids.counts.keys():
            return column
    return None


def _in_test_folder(
    surveyed: Survey, roles: Roles, placed: Sequence[Placement], inquiry: Inquiry
) -> Placement:
    """The placement in the test folder, if the ids fit several."""
    by_folder = {placement.folder.name: placement for placement in placed}
    folders = [placement.folder for placement in placed]
    testing = [folder for folder in folders if roles.split_of(folder) == "test"]
    folder = (
        one_of(surveyed, testing or folders, "test", inquiry) if len(placed) > 1 else folders[0]
    )
    return by_folder[folder.name]
