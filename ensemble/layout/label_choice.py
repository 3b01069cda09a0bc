"""Which labels the images have: what the sample submission asks for, else the only ones there are."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from ensemble.dataset.column_names import LABELS, letters, same_name
from ensemble.dataset.filenames import same_form
from ensemble.dataset.split_names import split_of_name
from ensemble.errors import DataError
from ensemble.layout.groups import is_group_name
from ensemble.layout.id_column import placed_table
from ensemble.layout.labeling import (
    Labeling,
    by_column,
    by_columns,
    by_names,
    by_subfolders,
)
from ensemble.layout.placement import Placement
from ensemble.layout.questions import Inquiry
from ensemble.layout.roles import Roles
from ensemble.layout.sample_file import is_submission
from ensemble.layout.survey import Survey
from ensemble.layout.table import Column, Table
from ensemble.layout.training_folders import class_folders, training_folders
from ensemble.layout.validation import merged, with_listed_splits

_PART = re.compile(
    r"(?:part|batch|chunk|images?|imgs?|folder|set|disk|vol|volume|shard|zip)[ _-]*(\d+)$", re.I
)
FEW = 0.5  # a label column has fewer different cells than this share of the rows
Placed = dict[str, tuple[Table, Placement]]  # by file: the tables about images


def placed_tables(surveyed: Survey, roles: Roles, sample: Table | None, inquiry: Inquiry) -> Placed:
    """The tables whose rows are images, without the sample submission."""
    placed: Placed = {}
    for table in surveyed.tables:
        if not is_submission(table, sample):
            placement = placed_table(surveyed, roles, table, sample, inquiry)
            if placement is not None:
                placed[table.file] = table, placement
    return placed


def labelings(
    surveyed: Survey, roles: Roles, placed: Placed, sample: Table | None, inquiry: Inquiry
) -> list[Labeling]:
    """The ways to label the training images that the evidence allows, the likeliest first."""
    from_tables = _from_tables(placed, sample)
    folders = class_folders(surveyed, roles, inquiry)
    of_sample = [labeling for labeling in from_tables if _is_asked_for(labeling, sample)]
    if folders is not None and sample and len(sample.header) > 2:
        same = _same_texts(folders.classes, sample.header[1:])
        if same:
            return [folders]
    if of_sample:
        return _without_repeats(_with_training(of_sample, from_tables), folders)
    explicit = [labeling for labeling in from_tables if _is_from_json(labeling)]
    if explicit:
        return _without_repeats(explicit, folders)
    if folders is not None and not (from_tables and _are_numbered(folders.classes)):
        usual = [labeling for labeling in from_tables if _is_usual(labeling)]
        inner_folders = filter(None, [by_subfolders(folders.folder)])
        return _without_repeats([folders, *inner_folders, *usual], folders)
    of_training = [labeling for labeling in from_tables if not _is_about_tests(labeling, roles)]
    if of_training:
        return _likeliest(of_training)
    by_name = [by_names(folder) for folder in training_folders(surveyed, roles)]
    names = [labeling for labeling in by_name if labeling is not None]
    return names or (_likeliest(from_tables) if from_tables else [])


def _is_about_tests(labeling: Labeling, roles: Roles) -> bool:
    return roles.split_of(labeling.folder) == "test"


def _with_training(labelings: list[Labeling], from_tables: list[Labeling]) -> list[Labeling]:
    """The labelings; where all are about validation or testing, those about training too."""
    if {_split_of(labeling) for labeling in labelings} <= {"valid", "test"}:
        training = [labeling for labeling in from_tables if _split_of(labeling) == "train"]
        return _likeliest(training) + labelings if training else labelings
    return labelings


def _split_of(labeling: Labeling) -> str | None:
    return split_of_name(PurePosixPath(labeling.table.file).stem) if labeling.table else None


def _are_numbered(names: Sequence[str]) -> bool:
    """Whether names are equal but for a number, and say that they are parts of a set."""
    parts = {name[: match.start(1)] for name in names if (match := _PART.search(name))}
    return len(parts) == 1 and all(map(_PART.search, names))


def _from_tables(placed: Placed, sample: Table | None) -> list[Labeling]:
    candidates: list[Labeling] = []
    for table, placement in placed.values():
        one_hot = _one_hot_columns(table, placement, sample)
        if one_hot:
            candidates.append(by_columns(table, placement, one_hot))
            continue
        candidates += [
            by_column(table, placement, column.name)
            for column in table.others(placement.column)
            if _may_label(column, table, placement)
        ]
    return candidates


def _one_hot_columns(table: Table, placement: Placement, sample: Table | None) -> tuple[str, ...]:
    """The columns that say 0 or 1 for each class: the sample's, else all where each row has one 1."""
    binary = [column for column in table.others(placement.column) if column.is_binary]
    if sample is not None:
        of_sample = [
            column
            for column in binary
            if any(same_name(column.name, name) for name in sample.header[1:])
        ]
        return tuple(column.name for column in of_sample) if len(of_sample) > 1 else ()
    if len(binary) < 2 or any(_is_usual_name(name) for name in table.header):
        return ()
    sums = map(sum, zip(*[column.numbers or () for column in binary], strict=True))
    return tuple(column.name for column in binary) if set(sums) == {1} else ()


def _may_label(column: Column, table: Table, placement: Placement) -> bool:
    """Whether a column is neither an id nor a count of the rows, nor the same everywhere."""
    if len(column.counts) < 2 or column.is_counter:
        return False
    ids = table[placement.column].cells
    is_repeated = len(column.counts) < len(column.cells)
    return column.cells != ids and (is_repeated or column.numbers is not None)


def _is_asked_for(labeling: Labeling, sample: Table | None) -> bool:
    """Whether the sample has this column, or columns for its values."""
    if sample is None:
        return False
    columns = sample.header[1:]
    if labeling.source == "columns":
        return _same_texts(labeling.columns, columns)
    if len(columns) > 1:
        return _same_texts(labeling.classes, columns)
    name, of_sample = letters(labeling.columns[0]), letters(columns[0])
    shorter, longer = sorted((name, of_sample), key=len)
    return name == of_sample or (len(shorter) > 3 and longer.startswith(shorter))


def _same_texts(a: Sequence[str], b: Sequence[str]) -> bool:
    return {same_form(text).strip().casefold() for text in a} == {
        same_form(text).strip().casefold() for text in b
    }


def _is_usual(labeling: Labeling) -> bool:
    return any(map(_is_usual_name, labeling.columns))


def _is_usual_name(name: str) -> bool:
    words = letters(name)
    return words in LABELS or any(
        words == f"{label}{ending}" for label in LABELS for ending in ("id", "ids", "name", "idx")
    )


def _likeliest(candidates: Sequence[Labeling]) -> list[Labeling]:
    """Those with the best evidence: a usual name, then few texts, then few numbers."""
    candidates = [labeling for labeling in candidates if not labeling.conflict] or list(candidates)
    candidates = [labeling for labeling in candidates if not _is_group(labeling)] or candidates
    for is_likely in (_is_usual, _has_column_per_class, _has_few_texts, _has_few):
        likely = [labeling for labeling in candidates if is_likely(labeling)]
        if likely:
            return likely
    return candidates


def _is_from_json(labeling: Labeling) -> bool:
    return labeling.table is not None and labeling.table.file.lower().endswith(".json")


def _is_group(labeling: Labeling) -> bool:
    return labeling.source == "column" and is_group_name(labeling.columns[0])


def _has_column_per_class(labeling: Labeling) -> bool:
    return labeling.source == "columns"


def _has_few(labeling: Labeling) -> bool:
    return len(labeling.counts) <= max(2, FEW * labeling.counts.total())


def _has_few_texts(labeling: Labeling) -> bool:
    assert labeling.table is not None
    is_text = labeling.table[labeling.columns[0]].numbers is None
    return _has_few(labeling) and (is_text or labeling.source == "columns")


def _without_repeats(candidates: Sequence[Labeling], folders: Labeling | None) -> list[Labeling]:
    """The labelings that differ; one that repeats the class folders is these folders."""
    distinct: list[Labeling] = []
    for labeling in candidates:
        if folders is not None and _agree(labeling, folders):
            labeling = folders
        if not any(_agree(labeling, earlier) for earlier in distinct):
            distinct.append(labeling)
    return distinct


def _agree(a: Labeling, b: Labeling) -> bool:
    """Whether two labelings give all images the same labels."""
    if a is b:
        return True
    labels_a = {a.folder.path_of(image): label for image, label in a.labels.items()}
    labels_b = {b.folder.path_of(image): label for image, label in b.labels.items()}
    return labels_a == labels_b


def choose_labeling(
    surveyed: Survey, roles: Roles, placed: Placed, sample: Table | None, inquiry: Inquiry
) -> Labeling | None:
    """The labels of the training images, None if there are none; several are a question.

    Raises DataError for a row without a label.
    """
    likely = merged(surveyed, labelings(surveyed, roles, placed, sample, inquiry))
    by_option = _by_option(placed)
    if not likely and inquiry.options.label is None:
        return None
    named = {_option_of(labeling, by_option): labeling for labeling in likely}
    meanings = {option: str(labeling) for option, labeling in named.items()}
    text = "several things could be the label of an image"
    option = inquiry.choose("label", text, meanings, allowed=list(by_option))
    labeling = named.get(option)
    if labeling is None:
        table, placement, column = by_option[option]
        labeling = by_column(table, placement, column)
    _check_labels(labeling)
    evidence = _evidence(labeling, sample, len(named), inquiry)
    labeling = replace(labeling, evidence=evidence)
    if labeling.is_joined:
        return labeling
    return with_listed_splits(surveyed, roles, labeling, placed.values())


def _evidence(labeling: Labeling, sample: Table | None, n_likely: int, inquiry: Inquiry) -> str:
    """Why these are the labels, in words."""
    if inquiry.options.label is not None:
        return "as --label says"
    if sample is not None and labeling.table is not None and _is_asked_for(labeling, sample):
        return f"what {sample.file} asks for"
    if n_likely > 1:
        return "the first of several choices"
    return "" if labeling.source == "folders" else "nothing else looks like labels"


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
        return labeling.source
    for option, (table, _, column) in by_option.items():
        if table is labeling.table and column == labeling.columns[0]:
            return option
    raise AssertionError(labeling)


def _check_labels(labeling: Labeling) -> None:
    """Raises DataError for an image with two labels, or with none."""
    if labeling.conflict and labeling.table is not None:
        raise DataError(
            f"{labeling.table.file}: column {labeling.columns[0]}: an image has two labels, "
            f"{labeling.conflict}\n"
            "leave one row for each image, or name another column with --label"
        )
    unlabeled = [image for image, label in labeling.labels.items() if not label]
    if unlabeled and labeling.source == "column" and labeling.table is not None:
        raise DataError(
            f"{labeling.table.file}: {len(unlabeled):,} images have an empty "
            f"{labeling.columns[0]}, the first: {unlabeled[0]}\n"
            "add the labels, or remove these rows"
        )
