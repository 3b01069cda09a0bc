"""Labels in a JSON file as COCO has them: lists of images, of annotations and of categories."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble.dataset.scan import one_line
from ensemble.errors import DataError

MAX_BYTES = 2 << 30  # of a JSON file; the largest that are known have 0.5 GB

# how competitions spell what COCO calls id, file_name, image_id, category_id and name
IMAGE = ("id", "image_id", "imageId")
FILE = ("file_name", "filename", "fileName", "path")
OF_IMAGE = ("image_id", "imageId")
CATEGORY = ("category_id", "label_id", "labelId")
OF_CATEGORY = ("id", *CATEGORY)
NAME = ("name", "scientificName", "scientific_name", "label_name")


@dataclass(frozen=True)
class CocoLabels:
    """The categories of images by file name.

    rows holds (file name, category id, category name), once per image and category, in the order of
    the images; an image without a file name is named by its id. unlabelled holds the images without
    an annotation, all of them in a file about test images, and unlabelled_ids their ids.
    """

    rows: tuple[tuple[str, str, str], ...]
    unlabelled: tuple[str, ...]
    unlabelled_ids: tuple[str, ...]


def coco_labels(path: Path) -> CocoLabels:
    """The labels of a COCO-style JSON file. Raises DataError naming the entry."""
    content = _content(path)
    names = _names(path, _entries(path, content, "categories", is_needed=False))
    files = _files(path, _entries(path, content, "images"))
    category_ids = _category_ids(path, content, files, names)
    unlabelled = tuple(image for image, ids in category_ids.items() if not ids)
    return CocoLabels(
        rows=tuple(
            (files[image], category, names.get(category, category))
            for image, categories in category_ids.items()
            for category in categories
        ),
        unlabelled=tuple(files[image] for image in unlabelled),
        unlabelled_ids=unlabelled,
    )


def _category_ids(
    path: Path, content: dict[str, Any], files: dict[str, str], names: dict[str, str]
) -> dict[str, dict[str, None]]:
    """By image its category ids, as an ordered set. Raises DataError for one that is not listed.

    Without a list of categories, every id is one.
    """
    category_ids: dict[str, dict[str, None]] = {image: {} for image in files}
    for i, entry in enumerate(_entries(path, content, "annotations", is_needed=False)):
        where = f"{one_line(path)}: annotations[{i}]"
        image = _id(where, entry, OF_IMAGE)
        if image not in files:
            raise DataError(f"{where}: image_id {image[:60]!r} is not in images\nrepair the file")
        for category in _ids(where, entry, CATEGORY):
            if names and category not in names:
                raise DataError(
                    f"{where}: category_id {category[:60]!r} is not in categories\nrepair the file"
                )
            category_ids[image][category] = None
    return category_ids


def _content(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, RecursionError):
            reason = "it is nested too deeply"
        raise DataError(
            f"{one_line(path)[:300]}: not a readable JSON file ({str(reason)[:150]})\n"
            "download it again"
        ) from None
    if not isinstance(content, dict):
        raise DataError(
            f"{one_line(path)}: it holds {_kind(content)}, not an object with images\n"
            "labels as COCO has them are needed: images, annotations, categories"
        )
    return content


def _entries(
    path: Path, content: dict[str, Any], key: str, is_needed: bool = True
) -> list[dict[str, Any]]:
    """The objects in one of the lists. Raises DataError."""
    entries = content.get(key) if is_needed else content.get(key, [])
    if not isinstance(entries, list):
        problem = "is missing" if key not in content else f"is {_kind(entries)}, not a list"
        raise DataError(
            f"{one_line(path)}: {key} {problem}\n"
            "labels as COCO has them are needed: images, annotations, categories"
        )
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise DataError(
                f"{one_line(path)}: {key}[{i}] is {_kind(entry)}, not an object\nrepair the file"
            )
    return entries


def _names(path: Path, entries: list[dict[str, Any]]) -> dict[str, str]:
    """The category names by id. Raises DataError for an id or a name that appears twice."""
    names: dict[str, str] = {}
    for i, entry in enumerate(entries):
        where = f"{one_line(path)}: categories[{i}]"
        category = _id(where, entry, OF_CATEGORY)
        if category in names:
            raise DataError(f"{where}: id {category[:60]!r} appears twice\nrepair the file")
        names[category] = _text(where, entry, _spelling(entry, NAME))
    name, count = Counter(names.values()).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DataError(
            f"{one_line(path)}: {count} categories have the name {name[:60]!r}\nrepair the file"
        )
    return names


def _files(path: Path, entries: list[dict[str, Any]]) -> dict[str, str]:
    """The file names by image id. Raises DataError for an id or a file that appears twice."""
    files: dict[str, str] = {}
    file_names: set[str] = set()
    for i, entry in enumerate(entries):
        where = f"{one_line(path)}: images[{i}]"
        image, key = _id(where, entry, IMAGE), _spelling(entry, FILE)
        file_name = _text(where, entry, key) if key in entry or "url" not in entry else image
        if image in files or file_name in file_names:
            key = f"id {image[:60]!r}" if image in files else f"file_name {file_name[:60]!r}"
            raise DataError(f"{where}: {key} appears twice\nrepair the file")
        files[image] = file_name
        file_names.add(file_name)
    if not files:
        raise DataError(f"{one_line(path)}: images is empty\ndownload the file again")
    return files


def _spelling(entry: dict[str, Any], keys: Sequence[str]) -> str:
    """The first of some keys that an entry has, the first of all where it has none."""
    return next((key for key in keys if key in entry), keys[0])


def _id(where: str, entry: dict[str, Any], keys: Sequence[str]) -> str:
    """An id as text. Raises DataError for anything but a whole number or a text."""
    key = _spelling(entry, keys)
    identifier = entry.get(key)
    is_id = isinstance(identifier, int | str) and not isinstance(identifier, bool)
    if not is_id or identifier == "":
        raise _unusable(where, entry, key, "a whole number or a text")
    return str(identifier)


def _ids(where: str, entry: dict[str, Any], keys: Sequence[str]) -> list[str]:
    """The ids in a list, or the only one. Raises DataError."""
    key = _spelling(entry, keys)
    listed = entry.get(key)
    if isinstance(listed, list):
        return [_id(where, {key: identifier}, [key]) for identifier in listed]
    return [_id(where, entry, keys)]


def _text(where: str, entry: dict[str, Any], key: str) -> str:
    text = entry.get(key)
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise _unusable(where, entry, key, "a text in one line")
    return text


def _unusable(where: str, entry: dict[str, Any], key: str, expected: str) -> DataError:
    problem = f"is {ascii(entry[key])[:60]}" if key in entry else "is missing"
    return DataError(f"{where}: {key} {problem}\nit must be {expected}; repair the file")


def _kind(content: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(content), "nothing" if content is None else "a number")
