"""What a data set is, from the whole of its folders and tables, and what only the user can say."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ensemble.dataset.filenames import contents
from ensemble.dataset.image_sizes import N_OPENED, Sizes, sizes_of
from ensemble.dataset.match import N_LOOKED_AT
from ensemble.dataset.scan import passed_over_line
from ensemble.errors import DataError
from ensemble.layout.cells import Cells, cells_of
from ensemble.layout.class_numbers import with_numbers
from ensemble.layout.column_labels import Placed, no_label_reason
from ensemble.layout.doubts import doubts_of, notes_of
from ensemble.layout.groups import GroupColumn, can_be_split, group_columns
from ensemble.layout.json_tables import json_tables
from ensemble.layout.label_choice import choose_labeling, placed_tables
from ensemble.layout.labeling import Labeling
from ensemble.layout.long_tables import with_wide_tables
from ensemble.layout.questions import Inquiry, Options, Question
from ensemble.layout.roles import Roles, roles
from ensemble.layout.sample_file import (
    NO_SAMPLE,
    choose_sample,
    looks_like_sample,
    unfit_sample,
)
from ensemble.layout.survey import MAX_TABLES, Folder, Survey, survey
from ensemble.layout.table import Table
from ensemble.layout.targets import with_target
from ensemble.layout.test_images import TestImages, images_of_test_rows, test_images
from ensemble.layout.validation import (
    Splits,
    splits_of,
    unused_lists,
    unused_validation,
    validation_folder,
    without_test_rows,
)
from ensemble.submission.numbered import CLASS_NUMBER

# formats of tables that competitions ship beside images
OTHER_TABLES = (
    *(".xlsx", ".xls", ".ods", ".json", ".jsonl", ".parquet", ".feather", ".pkl", ".xml", ".mat"),
    *(".h5", ".hdf5"),
)
OF_ONE_IMAGE = (".xml", ".json", ".txt", ".cls")  # formats of annotations of a single image


@dataclass(frozen=True)
class Understanding:
    """A data set as `ens init` understands it, before any recipe is written.

    labeling has the labels of all labeled images but those in the folder `valid`; splits says which
    of them are for validation or testing. n_in_folder images are in the folder of the labels, with
    or without one. Without questions it can be written into recipes.
    """

    root: Path
    n_in_folder: int
    labeling: Labeling
    splits: Splits
    valid: Folder | None
    test: TestImages | None
    sample: Table | None
    cells: Cells
    groups: tuple[GroupColumn, ...]
    sizes: Sizes
    questions: tuple[Question, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """The number of training images by class, in the order of the names."""
        split_of = self.splits.split_of
        labels = self.labeling.labels.items()
        counts = Counter(
            label for image, label in labels if split_of.get(image, "train") == "train"
        )
        return dict(sorted(counts.items()))

    @property
    def n_train(self) -> int:
        """Labeled images that are neither for validation nor for testing."""
        return sum(self.counts.values())

    @property
    def n_valid(self) -> int:
        """The images that the data set itself sets apart for validation."""
        in_folder = len(self.valid.images) if self.valid else 0
        return in_folder + self.splits.count("valid")

    @property
    def n_test(self) -> int:
        """The test images, labeled or not."""
        return (self.test.n_images if self.test else 0) + self.splits.count("test")

    @property
    def used_group(self) -> GroupColumn | None:
        """The column that keeps rows together: the only one whose groups can be split."""
        if self.splits or self.valid is not None:
            return None
        usable = [group for group in self.groups if can_be_split(group, self.n_train)]
        return usable[0] if len(usable) == 1 else None


def understand(root: Path, options: Options = Options()) -> Understanding:  # noqa: B008
    """What is in a folder of images and tables. Raises DataError where nothing fits together."""
    inquiry = Inquiry(options)
    surveyed = survey(root)
    if not surveyed.images:
        raise _nothing(surveyed)
    split_folders = roles(surveyed, options)
    sample, sample_notes = choose_sample(surveyed, split_folders, inquiry)
    surveyed = replace(surveyed, tables=surveyed.tables + json_tables(surveyed, sample))
    surveyed = with_wide_tables(surveyed, sample)
    placed = placed_tables(surveyed, split_folders, sample, inquiry)
    labeling = choose_labeling(surveyed, split_folders, placed, sample, inquiry)
    if labeling is None:
        raise _one_class(surveyed, split_folders) or _no_label(placed) or _nothing(surveyed)
    labeling = with_target(labeling, sample, inquiry)
    splits = splits_of(labeling, split_folders)
    of_rows = None
    has_unlabeled = not splits.split_of.keys() <= labeling.labels.keys()
    if splits.count("test") and (has_unlabeled or not splits.count("valid")):
        of_rows = images_of_test_rows(labeling, splits)
    if splits and not splits.count("valid"):
        labeling, splits = without_test_rows(labeling, splits)
    valid = None if splits else validation_folder(split_folders, labeling)
    test = test_images(surveyed, split_folders, labeling, sample, placed, valid, inquiry) or of_rows
    if test is not None and splits.count("test"):
        labeling, splits = without_test_rows(labeling, splits)
    used_sample = sample if test and test.names_sample else None
    if used_sample is None and options.sample != NO_SAMPLE:
        question = unfit_sample(sample, labeling, test, surveyed.tables)
        inquiry.questions += [question] if question else []
    has_test = test is not None or splits.count("test") > 0
    if options.answer == CLASS_NUMBER and used_sample is not None:
        labeling, splits, valid = with_numbers(surveyed, labeling, splits, valid)
    cells = cells_of(surveyed, labeling, used_sample, has_test, inquiry)
    if options.yes and cells.answer == CLASS_NUMBER:
        labeling, splits, valid = with_numbers(surveyed, labeling, splits, valid)
    sizes, unreadable = sizes_of(_some_files(surveyed, labeling, test))
    return Understanding(
        root=surveyed.root,
        n_in_folder=len(surveyed.folders[labeling.folder.name].images),
        labeling=labeling,
        splits=splits,
        valid=valid,
        test=test,
        sample=used_sample,
        cells=cells,
        groups=tuple(group_columns(labeling, placed)),
        sizes=sizes,
        questions=tuple(inquiry.questions),
        doubts=(
            *([] if splits else unused_validation(split_folders, labeling, valid)),
            *(
                []
                if splits
                else unused_lists(surveyed.tables, placed, labeling, test.table if test else None)
            ),
            *doubts_of(labeling, sample, used_sample, test),
            *unreadable,
        ),
        notes=(*inquiry.taken, *sample_notes, *notes_of(surveyed, labeling, valid, test)),
    )


def _some_files(surveyed: Survey, labeling: Labeling, test: TestImages | None) -> list[Path]:
    """Image files of a training and its test set, spread over all."""
    names = [labeling.folder.path_of(image) for image in labeling.labels]
    if test is not None:
        names += [test.folder.path_of(image) for image in test.folder.images]
    names = sorted(set(names))
    return [surveyed.root / name for name in names[:: max(1, len(names) // N_OPENED)]]


def _one_class(surveyed: Survey, split_folders: Roles) -> DataError | None:
    """The error for a training folder with a single class folder, None for any other."""
    for folder in split_folders["train"]:
        if len(folder.classes) == 1:
            return DataError(
                f"{surveyed.root / folder.name}: {folder.classes[0]!r} would be the only class\n"
                + (
                    _other_tables_line(surveyed)
                    or "class folders need two or more; a table must name the images of its folder"
                )
            )
    return None


def _no_label(placed: Placed) -> DataError | None:
    """The error for tables about images without a column of labels, None without such tables."""
    if not placed:
        return None
    by_sample = sorted(placed.values(), key=lambda about: looks_like_sample(about[0].file))
    table, placement = by_sample[0]
    why = [no_label_reason(column, table) for column in table.others(placement.column)[:5]]
    found = "; ".join(why) or "it has no other column"
    return DataError(
        f"{table.file}: its {placement.column} names the images, but no column holds labels: {found}\n"
        "labels are classes that repeat, several labels with a mark between them, 0 and 1 in a column "
        "for each label, or numbers; fix the column, or name it with --label"
    )


def _other_tables_line(surveyed: Survey) -> str:
    """A line about files that may hold labels, in formats that are not read; "" without any."""
    folders = [surveyed.root, *sorted(surveyed.root.glob("*/"))]
    next_step = "a CSV with a column of file names and one of labels"
    for folder in (*folders, *sorted(surveyed.root.glob("*/*/"))):
        files = sorted(folder.glob("[!.]*"))
        of_images = [path for path in files if path.suffix.lower() in OF_ONE_IMAGE]
        tables = [path for path in files if path.suffix.lower() in OTHER_TABLES]
        if len(of_images) > 1 and surveyed.folders["."].may_name([p.name for p in of_images]):
            name = of_images[0].relative_to(surveyed.root).as_posix()
            return f"{name[:60]}: a file for each image is not read as labels: write {next_step}"
        if 0 < len(tables) <= MAX_TABLES and folder in folders:
            name = tables[0].relative_to(surveyed.root).as_posix()
            return f"{name[:60]} is not read as labels: save it as {next_step}"
    return ""


def _several_images(surveyed: Survey) -> str:
    """The lines about a table with several images for each row, "" without one."""
    names = surveyed.folders["."].names
    for table in sorted(surveyed.tables, key=lambda table: looks_like_sample(table.file)):
        for column in table.columns:
            some = column.cells[:N_LOOKED_AT]
            is_id = len(column.counts) == len(table)
            if is_id and any(len(names.begun(cell)) > 1 for cell in some):
                problem = names.problem_of(column.cells, "image")
                return (
                    f"{table.file}: its rows are not images: {column.name} {problem}\n"
                    "write a table with a row for each image: its file name and its label"
                )
    return ""


def _nothing(surveyed: Survey) -> DataError:
    """The error for a folder without anything to learn from."""
    several = _several_images(surveyed)
    if several:
        return DataError(several)
    lines = [
        f"{surveyed.root}: neither class folders (train/<class>/… or <class>/…), nor a table whose "
        "ids are images, nor classes in the file names",
        contents(surveyed.root),
        _other_tables_line(surveyed) or passed_over_line(surveyed.scanned),
    ]
    return DataError("\n".join(filter(None, lines)))
