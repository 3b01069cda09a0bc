"""Which table of pixels is which split, and where its labels are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ensemble.convert.label_tables import TableLabels, label_table
from ensemble.convert.part_names import one_of_each_split, posix_name, split_of_path
from ensemble.convert.pixel_roles import FER2013_COLUMN, FER2013_NOTE, PixelTable, label_of
from ensemble.dataset.scan import one_line
from ensemble.dataset.split_names import Split
from ensemble.errors import DataError

Labels = dict[Path, TableLabels]  # by the path of the pixel table


def with_splits(
    root: Path, tables: Sequence[PixelTable], paths: Sequence[Path]
) -> tuple[tuple[PixelTable, ...], Labels, tuple[str, ...]]:
    """The tables to read with their splits, label columns or label tables, and notes.

    paths are the folder's other CSVs. Raises DataError.
    """
    if len(tables) == 1:
        return _only_table(root, tables[0], paths)
    splits = [(split_of_path(root, table.path), table) for table in tables]
    named = [(split, _of_split(table, split)) for split, table in splits if split]
    by_split = one_of_each_split(root, named, lambda table: posix_name(root, table.path))
    ignored = [posix_name(root, table.path) for split, table in splits if not split]
    left_out = f"{', '.join(ignored)[:200]}: left out, the name says no part"
    ignored_notes = (left_out,) if ignored else ()
    labels = _label_tables(root, by_split, paths)
    if labels:
        return tuple(by_split.values()), labels, (*_notes(labels), *ignored_notes)
    train, test = by_split["train"], by_split.get("test")
    label, notes = label_of(root, train, test)
    name = train.header[label]
    labelled = tuple(_with_label(table, name) for table in by_split.values())
    return labelled, {}, (*notes, *ignored_notes)


def _only_table(
    root: Path, table: PixelTable, paths: Sequence[Path]
) -> tuple[tuple[PixelTable, ...], Labels, tuple[str, ...]]:
    """The only table: all its rows are for training where no column says the split."""
    if table.split_column is not None:
        label, notes = label_of(root, table, None)
        column = table.header[table.split_column]
        more = f"; {FER2013_NOTE}" if column.lower() == FER2013_COLUMN else ""
        notes = (*notes, f"{table.path.name}: {column} says the part of each row{more}")
        return (replace(table, label_column=label),), {}, notes
    split = split_of_path(root, table.path)
    one_of_each_split(root, [(split or "train", table)], lambda table: table.path.name)
    train = replace(table, split="train")
    labels = None if table.beside_pixels() else label_table(root, table, split, paths)
    if labels is not None:
        by_path = {table.path: labels}
        return (train,), by_path, _notes(by_path)
    label, notes = label_of(root, table, None)
    return (replace(train, label_column=label),), {}, notes


def _label_tables(root: Path, by_split: dict[Split, PixelTable], paths: Sequence[Path]) -> Labels:
    """The label tables of pixel tables that have no other columns; empty without any.

    Raises DataError where the training rows have such labels and the validation rows have none.
    """
    if by_split["train"].beside_pixels() or by_split["train"].split is None:
        return {}
    labels = {
        table.path: labels
        for split, table in by_split.items()
        if not table.beside_pixels() and (labels := label_table(root, table, split, paths))
    }
    if by_split["train"].path not in labels:
        return {}
    valid = by_split.get("valid")
    if valid is not None and valid.path not in labels:
        raise DataError(
            f"{one_line(valid.path)}: no labels\n"
            f"add a CSV of them, as {labels[by_split['train'].path].path.name} for the training rows"
        )
    return labels


def _notes(labels: Labels) -> tuple[str, ...]:
    return tuple(
        f"{path.name}: the labels are in {table.path.name}, "
        f"{'row by row' if table.key_column is None else 'joined by the id'}"
        for path, table in labels.items()
    )


def _of_split(table: PixelTable, split: Split) -> PixelTable:
    """The table with this split; in training tables a column of splits counts."""
    is_mixed = split == "train" and table.split_column is not None
    return replace(table, split=None if is_mixed else split)


def _with_label(table: PixelTable, name: str) -> PixelTable:
    """The table with the label column of this name. Raises DataError where it must have one."""
    positions = [i for i in table.beside_pixels() if table.header[i].lower() == name.lower()]
    if not positions and table.split != "test":
        raise DataError(
            f"{one_line(table.path)}: no column {name!r}, which labels the training rows\n"
            f"it has {', '.join(table.header[i] for i in table.beside_pixels())[:200] or 'only pixels'}"
        )
    return replace(table, label_column=positions[0] if positions else None)
