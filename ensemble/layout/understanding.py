"""What a data set is, from the whole of its folders and tables, and what only the user can say."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ensemble.dataset.image_sizes import N_OPENED, Sizes, sizes_of
from ensemble.layout.cells import Cells, cells_of
from ensemble.layout.class_numbers import with_numbers
from ensemble.layout.doubts import doubts_of, folder_doubts, notes_of
from ensemble.layout.folder_groups import folder_groups
from ensemble.layout.groups import (
    GroupColumn,
    can_be_split,
    doubts_of_names,
    group_columns,
    groups_in_names,
)
from ensemble.layout.json_tables import json_tables
from ensemble.layout.label_choice import choose_labeling
from ensemble.layout.labeling import Labeling
from ensemble.layout.long_tables import with_wide_tables
from ensemble.layout.parts import Parts, parts_of, unused_parts
from ensemble.layout.placement import Placed
from ensemble.layout.questions import Inquiry, Options, Question
from ensemble.layout.refusals import no_label, nothing_to_learn, one_class
from ensemble.layout.roles import roles
from ensemble.layout.rows_of_images import tables_of_rows, with_rows_of_classes
from ensemble.layout.sample_file import (
    NO_SAMPLE,
    choose_sample,
    unfit_sample,
    with_folder_of_sample,
    with_ids_first,
    without_fillers,
)
from ensemble.layout.survey import Folder, Survey, survey
from ensemble.layout.table import Table
from ensemble.layout.table_doubts import (
    cell_doubts,
    row_doubts,
    table_doubts,
    unread_table_doubts,
)
from ensemble.layout.targets import with_target
from ensemble.layout.test_images import TestImages
from ensemble.layout.two_part_names import with_whole_names
from ensemble.layout.validation import Splits
from ensemble.submission.numbered import CLASS_NUMBER


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
    surveyed = with_ids_first(survey(root), inquiry)
    if not surveyed.images:
        raise nothing_to_learn(surveyed)
    split_folders = roles(surveyed, options)
    sample, sample_notes = choose_sample(surveyed, split_folders, inquiry)
    split_folders = with_folder_of_sample(surveyed, split_folders, sample)
    surveyed = replace(surveyed, tables=surveyed.tables + json_tables(surveyed, sample))
    surveyed = with_whole_names(with_wide_tables(surveyed, sample))
    placed = tables_of_rows(surveyed, split_folders, sample, inquiry)
    labeling = choose_labeling(surveyed, split_folders, placed, sample, inquiry)
    if labeling is None:
        raise one_class(surveyed, split_folders) or no_label(placed) or nothing_to_learn(surveyed)
    labeling = without_fillers(surveyed, split_folders, labeling, sample)
    labeling = with_target(labeling, sample, inquiry)
    parts = parts_of(surveyed, split_folders, labeling, sample, placed, inquiry)
    test = parts.test
    if not parts.splits and parts.valid is None:
        parts = replace(parts, labeling=with_rows_of_classes(parts.labeling, test))
    used_sample = sample if test and test.names_sample else None
    if used_sample is None and options.sample != NO_SAMPLE:
        question = unfit_sample(sample, parts.labeling, test, surveyed.tables)
        inquiry.questions += [question] if question else []
    parts, cells = _with_cells(surveyed, parts, used_sample, inquiry)
    labeling = parts.labeling
    groups = _groups(labeling, placed, test)
    sizes, unreadable = sizes_of(_some_files(surveyed, labeling, test))
    return Understanding(
        root=surveyed.root,
        n_in_folder=len(surveyed.folders[labeling.folder.name].images),
        labeling=labeling,
        splits=parts.splits,
        valid=parts.valid,
        test=test,
        sample=used_sample,
        cells=cells,
        groups=groups,
        sizes=sizes,
        questions=tuple(inquiry.questions),
        doubts=(
            *unused_parts(surveyed, split_folders, placed, parts),
            *doubts_of(labeling, sample, used_sample, test),
            *cell_doubts(labeling, used_sample, cells.answer),
            *table_doubts(surveyed.tables, placed.keys(), labeling, sample),
            *unread_table_doubts(surveyed.root, labeling),
            *([] if groups else folder_doubts(labeling) + row_doubts(labeling, test)),
            *([] if groups or parts.splits or parts.valid else doubts_of_names(labeling)),
            *unreadable,
        ),
        notes=(*inquiry.taken, *sample_notes, *notes_of(surveyed, labeling, parts.valid, test)),
    )


def _groups(labeling: Labeling, placed: Placed, test: TestImages | None) -> tuple[GroupColumn, ...]:
    """The groups in tables, else in folders, else in names: the first that can be split, else the first."""
    first: list[GroupColumn] = []
    for find in (partial(group_columns, placed=placed, test=test), folder_groups, groups_in_names):
        groups = find(labeling)
        if any(can_be_split(group, len(labeling.labels)) for group in groups):
            return tuple(groups)
        first = first or groups
    return tuple(first)


def _with_cells(
    surveyed: Survey, parts: Parts, sample: Table | None, inquiry: Inquiry
) -> tuple[Parts, Cells]:
    """The meaning of the cells; the classes have their numbers in their names where these are it."""
    if inquiry.options.answer == CLASS_NUMBER and sample is not None:
        parts = with_numbers(surveyed, parts)
    cells = cells_of(surveyed, parts.labeling, sample, parts.has_test, inquiry)
    if inquiry.options.yes and cells.answer == CLASS_NUMBER:
        parts = with_numbers(surveyed, parts)
    return parts, cells


def _some_files(surveyed: Survey, labeling: Labeling, test: TestImages | None) -> list[Path]:
    """Image files of a training and its test set, spread over all."""
    names = [labeling.folder.path_of(image) for image in labeling.labels]
    if test is not None:
        names += [test.folder.path_of(image) for image in test.folder.images]
    names = sorted(set(names))
    return [surveyed.root / name for name in names[:: max(1, len(names) // N_OPENED)]]
