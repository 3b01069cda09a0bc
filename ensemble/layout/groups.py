"""Columns that look like patients, drivers, sites or sequences: rows that must not be split."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ensemble.dataset.column_names import same_name
from ensemble.dataset.filenames import bare_name
from ensemble.dataset.images_of_rows import SIDES
from ensemble.layout.labeling import Labeling
from ensemble.layout.placement import Placed
from ensemble.layout.table import Column, Table
from ensemble.layout.test_images import TestImages

WORDS = (
    *("patient", "subject", "driver", "person", "participant", "individual", "animal", "user"),
    *("site", "location", "hospital", "station", "camera", "seq", "sequence", "video", "clip"),
    *("scene", "session", "lesion", "slide", "case", "group", "cluster", "farm", "field", "plot"),
    *("burst", "track", "trap", "donor", "owner", "author", "series", "wsi", "plate", "well"),
)
PEOPLE = (  # of whom, and whose slides, there are several images: hardly ever a label
    *("patient", "subject", "driver", "participant", "donor", "owner", "session", "slide", "wsi"),
)
NOT_GROUPS = ("num", "count", "frame", "class", "type", "age", "width", "height", "size", "label")
LEAST_SIZE = 1.2  # images per group, on average
FEW_GROUPS = 10  # fewer can hardly be split, so they are offered and not used
LARGEST = 0.2  # of the images; a larger group cannot be put into one split


IN_NAMES = {  # groups in the names of files: two eyes of one patient, views and copies of one thing
    "sides": rf"^(.+?)[ _-](?:{SIDES}|front|back|top|bottom|side|frontal|lateral|cc|mlo|"
    r"rgb|depth|ir|nir|thermal)$",
    "patient": r"(?:^|[^a-z])((?:patient|subject|person|participant)[ _-]?[a-z]*\d+)",
    "original": r"^(.+?)(?:[ _-](?:(?:aug|augmented|flip|flipped|fliplr|flipud|fliptb|mirror|mirrored|"
    r"rot|rotated|copy)[ _-]?\d*|(?:new)?\d+deg[a-z]*)|\.rf\.[0-9a-f]{8,})*$",
}
_NUMBERED = re.compile(r"(.*\d.*)[._ -][a-z]*\d+$", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True)
class GroupColumn:
    """A column that could keep rows together; id is the table's column of images.

    Without a table the pattern finds the group in the files' names, or in their paths where it has a
    slash; largest is the number of images in the largest one then, example one of these folders.
    """

    table: Table | None
    id: str
    column: str
    n_groups: int
    pattern: str = ""
    largest: int = 0
    example: str = ""

    @property
    def source(self) -> str:
        """Where the groups stand, in words."""
        if self.example:
            return f"folders such as {self.example}"
        return (
            f"{self.column} in {self.table.file}"
            if self.table
            else f"{self.column} in the files' names"
        )


def group_columns(labeling: Labeling, placed: Placed, test: TestImages | None) -> list[GroupColumn]:
    """The columns of tables about the training images that look like groups.

    The test images' column of the submission's ids comes before any other: its groups are the rows
    that are predicted.
    """
    own = labeling.table
    row = (test.row_column if test else "") or (own.row if own else "")
    if own is not None and labeling.placement is not None:
        placed = {**placed, own.file: (own, labeling.placement)}
    images = {labeling.folder.path_of(image) for image in labeling.labels}
    groups: list[GroupColumn] = []
    for table, placement in placed.values():
        if not images <= set(placement.paths):
            continue
        taken = {placement.column, *(labeling.columns if labeling.table is table else ())}
        groups += [
            GroupColumn(table, placement.column, column.name, len(column.counts))
            for column in table.others(*taken)
            if _looks_like_group(column, row)
        ]
    rows = [group for group in groups if row and same_name(group.column, row)]
    return rows[:1] or groups


def groups_in_names(labeling: Labeling) -> list[GroupColumn]:
    """The first pattern that finds groups in the names of all files, several files in each.

    A class needs several groups, else it is one itself: a person, of whom there are photos.
    """
    stems = {image: bare_name(PurePosixPath(image).name) for image in labeling.labels}
    names = set(stems.values())
    for column, pattern in IN_NAMES.items():
        matches = {stem: re.search(pattern, stem, re.IGNORECASE) for stem in names}
        owners = {stem: match[1] for stem, match in matches.items() if match}
        counts = Counter(owners.get(stem, "") for stem in stems.values())
        if len(owners) < len(names) or len(counts) > len(names) / LEAST_SIZE:
            continue
        if column == "original" and not _are_originals(owners):
            continue
        pairs = {(label, owners[stems[image]]) for image, label in labeling.labels.items()}
        if labeling.target != "class" or min(Counter(label for label, _ in pairs).values()) > 1:
            largest = max(counts.values())
            return [GroupColumn(None, "", column, len(counts), f"(?i){pattern}", largest)]
    return []


def doubts_of_names(labeling: Labeling) -> list[str]:
    """The doubt about names that begin with a number which several have, each with one label: p7_s1."""
    if labeling.target != "class":
        return []
    stems = {image: bare_name(PurePosixPath(image).name) for image in labeling.labels}
    starts = {image: match[1] for image, stem in stems.items() if (match := _NUMBERED.match(stem))}
    n_labels = len({(starts.get(image), label) for image, label in labeling.labels.items()})
    n_starts = len(set(starts.values()))
    is_many = max(FEW_GROUPS, len(labeling.counts) + 1) <= n_starts <= len(stems) / 2
    if len(starts) < len(stems) or n_labels > n_starts or not is_many:
        return []
    return [
        f"{n_starts:,} beginnings of names such as {min(starts.values())!r} have one label each: if these "
        "are patients or the like, data.group: {pattern: '^(.+)[._ -]'} keeps them together"
    ]


def _are_originals(owners: Mapping[str, str]) -> bool:
    """Whether what is left of each name is a name, too: a class may be called `rotated`."""
    return all(owner in owners or f"{owner}.rf." in name for name, owner in owners.items())


def can_be_split(group: GroupColumn, n_train: int) -> bool:
    """Whether there are enough groups, and none too large, to set some apart for validation."""
    counts = group.table[group.column].counts if group.table else {}
    return (
        group.n_groups >= FEW_GROUPS
        and max(counts.values(), default=group.largest) <= LARGEST * n_train
    )


def _looks_like_group(column: Column, row: str) -> bool:
    n_groups = len(column.counts)
    is_of_rows = bool(row) and same_name(column.name, row) and n_groups < len(column.cells)
    is_repeated = 2 <= n_groups <= len(column.cells) / LEAST_SIZE
    return all(column.counts) and (is_of_rows or (is_repeated and is_group_name(column.name)))


def is_group_name(name: str, known: Collection[str] = WORDS) -> bool:
    """Whether a column is named like groups: `PatientID`, `seq_id`, but not `seq_num_frames`."""
    words = [word.lower() for word in _TOKEN.findall(name)]
    stems = {word.removesuffix("id").removesuffix("s") for word in words} | set(words)
    return bool(stems & set(known)) and not stems & set(NOT_GROUPS)
