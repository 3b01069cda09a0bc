"""JSON files of labels, as COCO has them or plain ones, as tables: a row for each image."""

import os
from pathlib import Path

from ensemble.convert.coco import CocoLabels, coco_labels
from ensemble.dataset.own_folders import is_written_by_ens
from ensemble.grouping import grouped
from ensemble.layout.json_rows import json_columns
from ensemble.layout.survey import MAX_TABLES, Survey
from ensemble.layout.table import Column, Table

DEPTH = 2  # folders below the root in which JSON files are read
N_SNIFFED = 1 << 16  # bytes at both ends of a file in which its lists are named
KEYS = (b'"images"', b'"annotations"', b'"categories"')


def json_tables(surveyed: Survey, sample: Table | None) -> tuple[Table, ...]:
    """The JSON files below a folder that list images with their labels. Raises DataError.

    Of COCO's, the columns are file_name and category, or category_id where the sample submission
    has numbers. Of images with several categories, a cell holds all of them, joined by commas under
    a plural name. A file about test images has file_name, and id where ids are not those names.
    """
    tables: list[Table] = []
    for path in _json_files(surveyed.root):
        file = path.relative_to(surveyed.root).as_posix()
        if path.suffix.lower() == ".json" and _is_about_images(path):
            tables.append(_table(file, coco_labels(path), _asks_for_numbers(sample)))
        elif columns := json_columns(path, surveyed.folders["."].may_name):
            tables.append(Table(file, columns, form="made"))
    return tuple(tables)


def _asks_for_numbers(sample: Table | None) -> bool:
    """Whether the sample's answers are category ids: numbers in its cells or over its columns."""
    if sample is None:
        return False
    _, *answers = sample.columns
    texts = [column.name for column in answers] if len(answers) > 1 else answers[0].cells
    return all(text.isdigit() for part in texts for text in part.split())


def _json_files(root: Path) -> list[Path]:
    files: list[Path] = []
    for parent, folders, names in os.walk(root):
        folder = Path(parent)
        depth = len(folder.relative_to(root).parts)
        folders[:] = [
            name
            for name in sorted(folders)
            if depth < DEPTH and name[0] not in "._" and not is_written_by_ens(folder / name)
        ]
        inside = [name for name in sorted(names) if name.lower().endswith((".json", ".jsonl"))]
        files += [folder / name for name in inside] if len(inside) <= MAX_TABLES else []
    return files


def _is_about_images(path: Path) -> bool:
    """Whether a file names at least two of the lists near its beginning or its end."""
    try:
        with path.open("rb") as stored:
            ends = stored.read(N_SNIFFED)
            stored.seek(max(0, os.fstat(stored.fileno()).st_size - N_SNIFFED))
            ends += stored.read()
    except OSError:
        return False
    return KEYS[0] in ends and sum(key in ends for key in KEYS) > 1


def _table(file: str, labels: CocoLabels, has_numbers: bool) -> Table:
    categories = grouped(
        (image, number if has_numbers else name) for image, number, name in labels.rows
    )
    if not categories:
        ids = Column("id", labels.unlabelled_ids)
        files = Column("file_name", labels.unlabelled)
        return Table(file, (files,) if ids.cells == files.cells else (files, ids), form="coco")
    name, plural = ("category_id", "category_ids") if has_numbers else ("category", "categories")
    are_several = any(len(names) > 1 for names in categories.values())
    cells = tuple(",".join(names) for names in categories.values())
    column = Column(plural if are_several else name, cells)
    return Table(file, (Column("file_name", tuple(categories)), column), form="coco")
