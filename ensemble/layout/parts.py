"""Which images are for training, which for validation and which for testing."""

from collections.abc import Sequence
from dataclasses import dataclass

from ensemble.dataset.split_names import is_list_of_parts, split_of_file
from ensemble.layout.labeling import Labeling
from ensemble.layout.placement import Placed
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles
from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Table
from ensemble.layout.test_images import (
    TestImages,
    images_of_sample_rows,
    images_of_test_rows,
    test_images,
    with_labels,
)
from ensemble.layout.validation import (
    Splits,
    is_of_splits,
    may_be_of_splits,
    splits_of,
    unused_validation,
    validation_folder,
    without_test_rows,
)


@dataclass(frozen=True)
class Parts:
    """The labels of all labeled images but those in the folder `valid`, and what they are for.

    splits says which of them are for validation or testing, test where the other test images are.
    """

    labeling: Labeling
    splits: Splits
    valid: Folder | None
    test: TestImages | None

    @property
    def has_test(self) -> bool:
        """Whether there are test images, labeled or not."""
        return self.test is not None or self.splits.count("test") > 0


def parts_of(
    surveyed: Survey,
    roles: Roles,
    labeling: Labeling,
    sample: Table | None,
    placed: Placed,
    inquiry: Inquiry,
) -> Parts:
    """The parts that columns, lists, folders and the sample submission state."""
    splits = splits_of(labeling, roles)
    test_labels = _test_labels(labeling, splits)
    has_unlabeled = not splits.split_of.keys() <= labeling.labels.keys()
    stated_test = images_of_test_rows(labeling, splits) if splits.count("test") else None
    of_sample = images_of_sample_rows(stated_test, sample) if stated_test else None
    of_rows = stated_test if has_unlabeled or not splits.count("valid") else None
    if splits and not splits.count("valid"):
        labeling, splits = without_test_rows(labeling, splits)
    valid = None if splits else validation_folder(roles, labeling)
    others = _without_stated(roles, of_rows) if labeling.source == "folders" else roles
    test = of_sample if test_labels else None
    test = test or test_images(surveyed, others, labeling, sample, placed, valid, inquiry)
    test = test or of_sample or of_rows
    if test is not None and splits.count("test"):
        labeling, splits = without_test_rows(labeling, splits)
    stated = set(test_labels.values())
    if test is not None and len(stated) > 1 and stated <= set(labeling.classes):
        test = with_labels(test, test_labels)
    return Parts(labeling, splits, valid, test)


def _without_stated(roles: Roles, of_rows: TestImages | None) -> Roles:
    """The folders of splits without test folders whose images are all stated to be for testing."""
    stated = set(of_rows.ids) if of_rows else set()
    rest = (f for f in roles["test"] if not stated.issuperset(map(f.path_of, f.images)))
    return Roles({**roles.folders, "test": tuple(rest)})


def _test_labels(labeling: Labeling, splits: Splits) -> dict[str, str]:
    """The classes of the images that tables state to be for testing, by path."""
    if labeling.target != "class":
        return {}
    images = [image for image, split in splits.split_of.items() if split == "test"]
    labels = labeling.labels
    return {labeling.folder.path_of(i): labels[i] for i in images if labels.get(i)}


def unused_parts(surveyed: Survey, roles: Roles, placed: Placed, parts: Parts) -> list[str]:
    """The doubts about validation folders and lists of parts that are not used."""
    if parts.splits:
        return []
    used = parts.test.table if parts.test else None
    has_columns = parts.valid is None  # beside a validation folder the split is not a new one
    return [
        *unused_validation(roles, parts.labeling, parts.valid),
        *(_unused_columns(parts.labeling) if has_columns else ()),
        *_unused_lists(surveyed.tables, placed, parts.labeling, used, has_columns),
    ]


def _unused_columns(labeling: Labeling) -> list[str]:
    """The doubts about columns beside the labels that may say splits in words of their own."""
    if labeling.table is None or labeling.placement is None:
        return []
    others = labeling.table.others(labeling.placement.column, *labeling.columns)
    return [
        f"{labeling.table.file}: column {column.name} may say which images are for what: not used, "
        "the split is a new one"
        for column in others
        if may_be_of_splits(column) and not is_of_splits(column)
    ]


def _unused_lists(
    tables: Sequence[Table],
    placed: Placed,
    labeling: Labeling,
    used: Table | None,
    has_columns: bool,
) -> list[str]:
    """The doubt about lists that say which labeled images are for what, but no recipe can use.

    There are several that overlap, or they name images otherwise than by their files. has_columns:
    columns of splits count.
    """
    labeled = labeling.by_path.keys()

    def is_unused(table: Table) -> bool:
        if table is used or table is labeling.table:
            return False
        if table.file not in placed or is_list_of_parts(table.file):
            return is_list_of_parts(table.file)
        columns = table.columns if has_columns else ()
        has_column = any(is_of_splits(column) or may_be_of_splits(column) for column in columns)
        says_so = has_column or split_of_file(table.file) in ("valid", "test")
        return says_so and not labeled.isdisjoint(placed[table.file][1].paths)

    files = [table.file for table in tables if is_unused(table)]
    if not files:
        return []
    lists = f"{files[0]} says" if len(files) == 1 else f"{len(files)} lists such as {files[0]} say"
    return [f"{lists} which images are for what: not used, the split is a new one"]
