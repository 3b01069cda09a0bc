"""Columns that look like patients, drivers, sites or sequences: rows that must not be split."""

from collections.abc import Mapping
from dataclasses import dataclass

from ensemble.dataset.column_names import letters
from ensemble.layout.labeling import Labeling
from ensemble.layout.placement import Placement
from ensemble.layout.table import Column, Table

WORDS = (
    *("patient", "subject", "driver", "person", "participant", "individual", "animal", "user"),
    *("site", "location", "hospital", "station", "camera", "seq", "sequence", "video", "clip"),
    *("scene", "session", "lesion", "slide", "case", "group", "cluster", "farm", "field", "plot"),
    *("burst", "track", "trap", "donor", "owner", "author", "series", "wsi", "plate", "well"),
)
NOT_GROUPS = ("num", "count", "frames", "class", "type", "name", "age", "width", "height", "size")
LEAST_SIZE = 1.2  # images per group, on average


@dataclass(frozen=True)
class GroupColumn:
    """A column that could keep rows together; id is the table's column of images."""

    table: Table
    id: str
    column: str
    n_groups: int


def group_columns(
    labeling: Labeling, placed: Mapping[str, tuple[Table, Placement]]
) -> list[GroupColumn]:
    """The columns of tables about the training images that look like groups."""
    images = {labeling.folder.path_of(image) for image in labeling.labels}
    groups: list[GroupColumn] = []
    for table, placement in placed.values():
        if not images <= set(placement.paths):
            continue
        taken = {placement.column, *(labeling.columns if labeling.table is table else ())}
        groups += [
            GroupColumn(table, placement.column, column.name, len(column.counts))
            for column in table.others(*taken)
            if _looks_like_group(column)
        ]
    return groups


def _looks_like_group(column: Column) -> bool:
    n_groups = len(column.counts)
    is_repeated = 2 <= n_groups <= len(column.cells) / LEAST_SIZE and all(column.counts)
    return is_repeated and is_group_name(column.name)


def is_group_name(name: str) -> bool:
    """Whether a column is named like groups: `PatientID`, `seq_id`, but not `seq_num_frames`."""
    words = letters(name)
    return any(word in words for word in WORDS) and not any(word in words for word in NOT_GROUPS)
