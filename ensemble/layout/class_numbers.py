"""A file that numbers the classes, such as class_to_idx.json, beside a sample that asks for numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ensemble.dataset.filenames import folded_form
from ensemble.errors import DataError
from ensemble.layout.json_rows import json_content
from ensemble.layout.labeling import by_folders
from ensemble.layout.parts import Parts
from ensemble.layout.survey import Survey
from ensemble.layout.table import Column, Table
from ensemble.layout.validation import Splits
from ensemble.metrics.class_numbers import numbers_in_names

LARGEST = 1 << 24  # bytes of a JSON file that numbers classes


def numbers_in_files(surveyed: Survey, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """By file, the number of each class in it: a table's columns, or a JSON object, of both.

    Of files that say the same, one; none where the classes have these numbers in their names.
    """
    found: dict[str, dict[str, int]] = {}
    for table in surveyed.tables:
        found |= _from_table(table, classes) or _from_table(table.without_header(), classes)
    for path in sorted(surveyed.root.glob("[!.]*.json")):
        numbers = _from_json(path, classes)
        if numbers is not None:
            found[path.name] = numbers
    distinct: dict[str, dict[str, int]] = {}
    for file, numbers in found.items():
        if numbers not in (numbers_in_names(classes), *distinct.values()):
            distinct[file] = numbers
    return distinct


def _from_table(table: Table, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    if len(table) != len(classes):
        return {}
    numbers = [
        _numbered(names, column, classes) for names in table.columns for column in table.columns
    ]
    fitting = [found for found in numbers if found is not None]
    return {table.file: fitting[0]} if len(fitting) == 1 else {}


def _numbered(names: Column, numbers: Column, classes: Sequence[str]) -> dict[str, int] | None:
    return _by_class(dict(zip(names.cells, numbers.cells, strict=True)), classes)


def _from_json(path: Path, classes: Sequence[str]) -> dict[str, int] | None:
    content = json_content(path, LARGEST)
    if not isinstance(content, dict):
        return None
    texts = {str(key): str(cell) for key, cell in content.items()}
    return _by_class(texts, classes) or _by_class({b: a for a, b in texts.items()}, classes)


def _by_class(texts: Mapping[str, str], classes: Sequence[str]) -> dict[str, int] | None:
    """The number of each class, None where the names are not the classes or the numbers repeat."""
    class_of = {folded_form(name): name for name in classes}
    named = {folded_form(name): text.strip() for name, text in texts.items()}
    is_numbered = len(class_of) == len(classes) and named.keys() == class_of.keys()
    if not is_numbered or not all(text.isdecimal() and text.isascii() for text in named.values()):
        return None
    numbers = {class_of[name]: int(text) for name, text in named.items()}
    return numbers if len(set(numbers.values())) == len(classes) else None


def with_numbers(surveyed: Survey, parts: Parts) -> Parts:
    """The same with each class named by its number in the only file of such, as `1_cat`.

    The images of a validation folder are then among the labeled ones. Raises DataError where they
    are labeled by file names.
    """
    labeling, valid = parts.labeling, parts.valid
    files = numbers_in_files(surveyed, labeling.classes)
    if len(files) != 1 or numbers_in_names(labeling.classes) is not None:
        return parts
    ((file, numbers),) = files.items()
    names = {name: f"{n}_{name}" for name, n in numbers.items()}
    if valid is None:
        labels = {image: names[label] for image, label in labeling.labels.items()}
        return replace(parts, labeling=replace(labeling, labels=labels, is_renamed=True))
    of_valid = by_folders(valid)
    if of_valid is None:
        problem = f"{valid.name}: its images are labeled by their names"
        raise DataError(f"{problem}\nput them into class folders to write the numbers of {file}")
    spelled = {folded_form(name): text for name, text in names.items()}
    labels = {
        path: spelled[folded_form(label)]
        for part in (labeling, of_valid)
        for path, label in part.by_path.items()
    }
    split_of = {path: "valid" if path in of_valid.by_path else "train" for path in labels}
    labeling = replace(labeling, folder=surveyed.folders["."], labels=labels, is_renamed=True)
    return Parts(labeling, Splits(split_of), None, parts.test)
