"""Rows of a plain JSON file: a list of objects, JSON lines, or an object with a value for each image."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ensemble.dataset.separators import free_mark
from ensemble.dataset.split_names import split_of_name
from ensemble.layout.table import Column

LARGEST = 1 << 28  # bytes of a file
PLURALS = {"label": "labels", "tag": "tags", "class": "classes", "category": "categories"}
Names = Callable[[Sequence[str]], bool]  # whether these texts could name images


def json_columns(path: Path, may_name: Names) -> tuple[Column, ...] | None:
    """The columns of a file of labels, one row for each object; None for anything else.

    Lists become the texts in them with a mark between them. Objects of objects, and lists of
    anything but texts and whole numbers, are left out.
    """
    content = json_content(path, LARGEST)
    objects = _objects(content, may_name) if content else None
    if not objects:
        return None
    names = dict.fromkeys(name for fields in objects for name in fields)
    columns = [_column(name, [fields.get(name) for fields in objects]) for name in names]
    found = [column for column in columns if column is not None]
    is_clear = len({column.name for column in found}) == len(found) > 0
    return tuple(found) if is_clear else None


def json_content(path: Path, largest: int) -> Any:
    """What a JSON file holds, the lines of JSON lines as a list.

    None where it cannot be read, has more than so many bytes, or an object with a name twice.
    """
    try:
        if os.path.getsize(path) > largest:
            return None
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_fields)
        lines = [line for line in text.split("\n") if line.strip()]
        return [json.loads(line, object_pairs_hook=_fields) for line in lines]
    except (OSError, ValueError, RecursionError):
        return None


def _fields(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object's fields. Raises ValueError for a name that appears twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name appears twice")
    return fields


def _objects(content: Any, may_name: Names) -> list[Mapping[str, Any]] | None:
    """A map of fields for each row."""
    if isinstance(content, list):
        return content if all(isinstance(entry, dict) for entry in content) else None
    if not isinstance(content, dict):
        return None
    lists = [entries for entries in content.values() if _is_of_objects(entries)]
    if len(lists) == 1:
        return list(lists[0])
    if may_name(list(content)):
        return [_of_image(name, entry) for name, entry in content.items()]
    if all(isinstance(entry, dict) for entry in content.values()):
        return _of_columns(content)
    return _of_lists(content, may_name)


def _is_of_objects(entries: Any) -> bool:
    return isinstance(entries, list) and bool(entries) and all(isinstance(e, dict) for e in entries)


def _of_image(name: str, entry: Any) -> Mapping[str, Any]:
    """The fields of an image that has a label, labels or fields of its own."""
    fields = entry if isinstance(entry, dict) else {"label": entry}
    return {"file_name": name} | {key: text for key, text in fields.items() if key != "file_name"}


def _of_columns(content: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]] | None:
    """The rows of what pandas writes: for each column its cells by the rows' names."""
    rows = next(iter(content.values())).keys()
    if any(cells.keys() != rows for cells in content.values()):
        return None
    return [{name: cells[row] for name, cells in content.items()} for row in rows]


def _of_lists(content: Mapping[str, Any], may_name: Names) -> list[Mapping[str, Any]] | None:
    """The rows of lists of images by class or by split, or of one list for each column."""
    lists = list(content.values())
    if not all(isinstance(entries, list) for entries in lists):
        return None
    texts = [list(map(str, entries)) for entries in lists if entries]
    name_images = [len(set(names)) == len(names) and may_name(names) for names in texts]
    if not any(name_images):
        return None
    if all(name_images):
        column = "split" if all(map(split_of_name, content)) else "label"
        return [{"file_name": image, column: name} for name in content for image in content[name]]
    if len(set(map(len, lists))) > 1:
        return None
    return [dict(zip(content, cells, strict=True)) for cells in zip(*lists, strict=True)]


def _column(name: str, entries: Sequence[Any]) -> Column | None:
    lists = [entry for entry in entries if isinstance(entry, list)]
    parts = [part for entry in entries for part in (entry if isinstance(entry, list) else [entry])]
    if any(isinstance(part, dict | list) for part in parts):
        return None
    if any(isinstance(part, float) for entry in lists for part in entry):
        return None
    mark = free_mark(map(_text, parts))
    are_several = any(len(entry) != 1 for entry in lists)
    if are_several and not mark:
        return None
    cells = [
        mark.join(map(_text, entry)) if isinstance(entry, list) else _text(entry)
        for entry in entries
    ]
    return Column(PLURALS.get(name, name) if are_several else name, tuple(cells))


def _text(entry: Any) -> str:
    if isinstance(entry, bool):
        return str(entry).lower()
    return "" if entry is None else str(entry).strip()
