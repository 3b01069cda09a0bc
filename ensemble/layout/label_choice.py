"""Which labels the images have: what the sample submission asks for, else the only ones there are."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ensemble.dataset.column_names import same_name
from ensemble.errors import DataError
from ensemble.grouping import grouped
from ensemble.layout.column_labels import (
    FEW,
    are_columns_of,
    column_labelings,
    has_cells,
    is_asked_for,
    is_from_coco,
    is_usual,
    likeliest,
    same_texts,
)
from ensemble.layout.folder_groups import are_numbered, is_of_id
from ensemble.layout.groups import PEOPLE, is_group_name
from ensemble.layout.joined_tables import by_all_columns, merged, with_listed_splits
from ensemble.layout.labeling import (
    Labeling,
    by_column,
    by_names,
    by_subfolders,
)
from ensemble.layout.long_tables import with_all_labels
from ensemble.layout.placement import Placed, Placement
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles
from ensemble.layout.same_labels import with_best_names, without_repeats
from ensemble.layout.sample_file import is_submission
from ensemble.layout.survey import Folder, Survey
from ensemble.layout.table import Column, Table
from ensemble.layout.training_folders import class_folders, training_folders, without_tables

ALL_COLUMNS = "columns"  # what --label may be instead of one column


def labelings(
    surveyed: Survey, roles: Roles, placed: Placed, sample: Table | None, inquiry: Inquiry
) -> list[Labeling]:
    """The ways to label the training images that the evidence allows, the likeliest first."""
    from_tables = _of_training(column_labelings(placed, sample), roles)
    folders = class_folders(surveyed, roles, inquiry)
    of_sample = [labeling for labeling in from_tables if is_asked_for(labeling, sample)]
    is_wide = sample is not None and len(sample.header) > 2
    if folders and sample and is_wide:
        for labeling in filter(None, (folders, by_subfolders(folders.folder))):
            if are_columns_of(labeling.classes, sample.header[1:]):
                return [labeling]
    if not of_sample and not (folders and has_cells(folders, sample)):
        of_sample = [labeling for labeling in from_tables if has_cells(labeling, sample)]
    if of_sample:
        of_sample = _with_training(of_sample, from_tables, sample)
        differing = [folders] if folders and any(_differ(folders, lab) for lab in of_sample) else []
        return without_repeats([*of_sample, *differing], folders)
    _check_no_target_elsewhere(surveyed, placed, sample)
    explicit = [labeling for labeling in from_tables if is_from_coco(labeling)]
    if explicit:
        return without_repeats(explicit, folders)
    if folders is not None and not (from_tables and are_numbered(folders.classes)):
        return _with_folders(folders, from_tables, sample)
    is_of_tables = not all(_is_about_tests(labeling, roles) for labeling in from_tables)
    likely = likeliest(from_tables, sample) if is_of_tables else []
    if any(map(is_usual, likely)):
        return without_repeats(likely, folders)
    by_name = list(filter(None, map(by_names, training_folders(surveyed, roles))))
    if is_of_tables:
        words = [each for each in by_name if not re.search(r"\d", "".join(each.classes))]
        return without_repeats([*likely, *words], folders)
    if by_name or from_tables:
        return by_name or likeliest(from_tables, sample)
    return without_tables(surveyed, roles)


def _with_folders(
    folders: Labeling, from_tables: list[Labeling], sample: Table | None
) -> list[Labeling]:
    """The ways to label the training images where they lie in class folders."""
    usual = [labeling for labeling in from_tables if is_usual(labeling) or _is_list(labeling)]
    is_of_one = any(_is_of_one_class(labeling, folders) for labeling in from_tables)
    if not usual and from_tables and (_are_of_ids(folders) or is_of_one):
        return without_repeats([*likeliest(from_tables, sample), folders], folders)
    inner_folders = list(filter(None, [by_subfolders(folders.folder)]))
    fitting = [each for each in (folders, *inner_folders) if has_cells(each, sample)]
    if inner_folders and len(fitting) == 1:
        return fitting
    named = None if usual or inner_folders or fitting else _named_inside(folders)
    if named is not None:
        return [named, folders]
    of_rows = [labeling for labeling in from_tables if _describes_folders(labeling)]
    return without_repeats([folders, *inner_folders, *usual, *of_rows], folders)


def _describes_folders(labeling: Labeling) -> bool:
    """Whether the labels are from a table with a row for each folder, in few texts, or 0 and 1."""
    table = labeling.table
    if table is None or not table.row:
        return False
    pairs = zip(table[table.row].cells, table[labeling.columns[0]].cells, strict=True)
    return _describes(Column("", tuple(dict(pairs).values())))


def _is_list(labeling: Labeling) -> bool:
    """Whether the labels are from a list without a header: an image and its label in each row."""
    table = labeling.table
    return table is not None and not table.has_header and len(table.columns) == 2


def _differ(folders: Labeling, labeling: Labeling) -> bool:
    """Whether class folders give images another one of the classes that a table gives them."""
    labels = labeling.by_path
    return same_texts(folders.classes, labeling.classes) and any(
        labels.get(path, label) != label for path, label in folders.by_path.items()
    )


def _is_about_tests(labeling: Labeling, roles: Roles) -> bool:
    return roles.split_of(labeling.folder) == "test"


def _with_training(
    labelings: list[Labeling], from_tables: list[Labeling], sample: Table | None
) -> list[Labeling]:
    """The labelings; where all are about validation or testing, those about training too."""
    if {labeling.named_split for labeling in labelings} <= {"valid", "test"}:
        training = [labeling for labeling in from_tables if labeling.named_split == "train"]
        return likeliest(training, sample) + labelings if training else labelings
    return labelings


def _named_inside(folders: Labeling) -> Labeling | None:
    """The labeling by file names of most images, where those of one class folder alone have classes."""
    by_class = grouped((name, image.partition("/")[2]) for image, name in folders.labels.items())
    by_name = [
        by_names(Folder(folders.folder.path_of(name), tuple(images)))
        for name, images in by_class.items()
    ]
    named = list(filter(None, by_name))
    if len(named) != 1:
        return None
    n_images, n_classes = len(named[0].labels), len(named[0].classes)
    is_clear = 2 * n_images > len(folders.labels) and n_classes <= FEW * n_images
    return named[0] if is_clear else None


def _is_of_one_class(labeling: Labeling, folders: Labeling) -> bool:
    """Whether a table labels the images of one class folder alone, several labels in it."""
    classes = {folders.by_path.get(path) for path in labeling.by_path}
    return len(classes) == 1 < len(labeling.classes)


def _are_of_ids(folders: Labeling) -> bool:
    """Whether folders are named by how the ids in them begin: a/b/c/abc12.jpg, 07/07123.jpg."""
    return all(is_of_id(image, name) for image, name in folders.labels.items())


def _check_no_target_elsewhere(surveyed: Survey, placed: Placed, sample: Table | None) -> None:
    """Raises DataError where the sample's columns are in a table whose ids are not images."""
    if sample is None or len(sample.columns) < 2:
        return
    name_of_id, name = sample.header[:2]
    for table in surveyed.tables:
        if is_submission(table, sample) or table.file in placed:
            continue
        ids = [column for column in table.columns if same_name(column.name, name_of_id)]
        labels = [column for column in table.columns if same_name(column.name, name)]
        if ids and ids[0].counts.keys() <= sample.columns[0].counts.keys():
            continue  # a solution
        if ids and labels and 1 < len(labels[0].counts) < len(table):
            problem = surveyed.folders["."].names.problem_of(ids[0].cells, "image")
            raise DataError(
                f"{table.file}: the sample submission asks for {labels[0].name}, but its rows are "
                f"not images: {ids[0].name} {problem}\n"
                "add a table with a row for each image: its file name and its label"
            )


def choose_labeling(
    surveyed: Survey, roles: Roles, placed: Placed, sample: Table | None, inquiry: Inquiry
) -> Labeling | None:
    """The labels of the training images, None if there are none; several are a question.

    Raises DataError for an image with two labels.
    """
    likely = merged(surveyed, labelings(surveyed, roles, placed, sample, inquiry))
    likely = with_best_names(_of_training(likely, roles), sample, roles)
    by_option = _by_option(placed)
    if not likely and inquiry.options.label is None:
        return None
    named = {_option_of(labeling, by_option): labeling for labeling in likely}
    together = by_all_columns(surveyed, placed, likely)
    if together is not None:
        is_of_cells = sample is not None and has_cells(together, sample)
        named = {ALL_COLUMNS: together} | ({} if is_of_cells else named)
    meanings = {option: str(labeling) for option, labeling in named.items()}
    text = "several things could be the label of an image"
    table_of_names = _table_of_names(surveyed, placed, likely)
    if table_of_names:
        what = "folders are" if "folders" in named else "file names begin with"
        text = f"the {what} ids in {table_of_names}: is each a class?"
    group = _only_group(likely, sample)
    text = f"{group} says which images belong together: is it the label?" if group else text
    has_parts = any(labeling.part for labeling in likely)
    text = "parts of the file names repeat: which of them is the label?" if has_parts else text
    has_rows = any(labeling.table and labeling.table.row for labeling in likely)
    is_clear = not (table_of_names or group or has_parts or (has_rows and sample is None))
    option = inquiry.choose("label", text, meanings, list(by_option), may_take_first=is_clear)
    labeling = named.get(option)
    if labeling is None:
        table, placement, column = by_option[option]
        labeling = by_column(table, placement, column)
    evidence = _evidence(labeling, sample, len(named), inquiry)
    labeling = with_all_labels(replace(labeling, evidence=evidence), inquiry)
    if labeling.is_joined:
        return labeling
    return with_listed_splits(surveyed, roles, labeling, placed)


def _evidence(labeling: Labeling, sample: Table | None, n_likely: int, inquiry: Inquiry) -> str:
    """Why these are the labels, in words."""
    if inquiry.options.label is not None:
        return "as --label says"
    if sample is not None and labeling.table is not None and is_asked_for(labeling, sample):
        return f"what {sample.file} asks for"
    if labeling.source == "subfolders" and sample is not None and has_cells(labeling, sample):
        return f"as the cells of {sample.file}"
    if n_likely > 1:
        return "the first of several choices"
    return "" if labeling.source == "folders" else "nothing else looks like labels"


def _only_group(likely: Sequence[Labeling], sample: Table | None) -> str:
    """The only column that could be the label, if it is called like patients, else ""."""
    if len(likely) != 1 or likely[0].source != "column" or likely[0].table is None:
        return ""
    is_asked = sample is not None and is_asked_for(likely[0], sample)
    is_group = is_group_name(likely[0].columns[0], PEOPLE) and not is_asked
    return f"column {likely[0].columns[0]} of {likely[0].table.file}" if is_group else ""


def _table_of_names(surveyed: Survey, placed: Placed, likely: Sequence[Labeling]) -> str:
    """The file of a table that describes each class of folders or file names, or "": patients with
    a diagnosis.
    """
    by_name = [labeling for labeling in likely if labeling.source in ("folders", "names")]
    names = {label for labeling in by_name for label in labeling.classes}
    for table in surveyed.tables:
        is_about = table.file not in placed and any(
            names and names <= column.counts.keys() and column.is_unique for column in table.columns
        )
        if is_about and any(_describes(column) for column in table.columns):
            return table.file
    return ""


def _describes(column: Column) -> bool:
    """Whether a column could be a label of what each row is about: few texts, or 0 and 1."""
    is_label = column.numbers is None or column.is_binary
    return (
        is_label
        and not column.is_unique
        and 1 < len(column.counts) <= max(2, FEW * len(column.cells))
    )


def _of_training(candidates: Sequence[Labeling], roles: Roles) -> list[Labeling]:
    """The labelings that are not of validation or test images alone, if there are any.

    One of such images stays beside one of a table with the same columns.
    """
    splits = [{roles.split_of_image(path) for path in labeling.by_path} for labeling in candidates]
    for split in ("train", None):
        kept = [lab for lab, names in zip(candidates, splits, strict=True) if split in names]
        kinds = {(lab.table.header, lab.columns) for lab in kept if lab.table}
        if kept:
            return [
                labeling
                for labeling in candidates
                if labeling in kept
                or (labeling.table and (labeling.table.header, labeling.columns) in kinds)
            ]
    return list(candidates)


def _by_option(placed: Placed) -> dict[str, tuple[Table, Placement, str]]:
    """Every column that may be named as the label: with its file where two tables have it."""
    columns = [
        (table, placement, column.name)
        for table, placement in placed.values()
        for column in table.others(placement.column)
    ]
    counts = Counter(name for _, _, name in columns)
    return {
        name if counts[name] == 1 else f"{table.file}:{name}": (table, placement, name)
        for table, placement, name in columns
    }


def _option_of(labeling: Labeling, by_option: Mapping[str, tuple[Table, Placement, str]]) -> str:
    """What --label would be for a labeling."""
    if labeling.table is None:
        return f"part{labeling.part}" if labeling.part else labeling.source
    for option, (table, _, column) in by_option.items():
        if table is labeling.table and column == labeling.columns[0]:
            return option
    raise AssertionError(labeling)
