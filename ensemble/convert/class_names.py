"""Names of classes that labels give as the number of a column: in an array or a text file."""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ensemble.convert.array_files import StoredArray
from ensemble.convert.part_names import asks_for_numbers
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError

NAMES_WORD = re.compile(
    r"(?:list_)?(?:classes|categories)|(?:(?:class|label|category|target)s?[_ -]?)?names",
    re.IGNORECASE,
)
MAX_BYTES = 1 << 20  # of a text file with names
NUMBER_BEFORE = re.compile(r"\d+\W")  # a line such as `0 cat` or `0,cat` is more than a name


def is_names(array: StoredArray) -> bool:
    """Whether an array is named like a list of class names: label_names, classes."""
    return len(array.shape) == 1 and bool(NAMES_WORD.fullmatch(array.name))


def class_names(
    root: Path, arrays: Sequence[StoredArray], n_classes: int
) -> tuple[tuple[str, ...], str] | None:
    """The names of so many classes, and the file that says them; None where nothing does clearly.

    A sample submission that is filled with numbers asks for numbers: no names then. Raises
    DataError for an array that cannot be read.
    """
    if asks_for_numbers(root):
        return None
    candidates = {array.where: _texts(array) for array in arrays if len(array) == n_classes}
    for path in sorted(root.glob("[!.]*.txt")):
        if NAMES_WORD.fullmatch(path.stem) or path.stem.lower() == "labels":
            candidates[one_line(path)] = _lines(path)
    fitting = {where: names for where, names in candidates.items() if _are_names(names, n_classes)}
    if len(set(fitting.values())) != 1:
        return None
    where, names = next(iter(fitting.items()))
    return names, where


def _are_names(names: tuple[str, ...], n_classes: int) -> bool:
    are_whole = all(name.strip() and name.isprintable() for name in names)
    return len(names) == len(set(names)) == n_classes and are_whole


def _texts(array: StoredArray) -> tuple[str, ...]:
    """The texts of a list of names, () for anything else. Raises DataError."""
    if not is_names(array) or array.dtype.kind not in "US":
        return ()
    texts: list[str] = []
    with closing(array.rows()) as rows:
        for row, text in enumerate(rows):
            cell = text.item()
            try:
                texts.append(cell.decode() if isinstance(cell, bytes) else cell)
            except UnicodeDecodeError:
                raise DataError(
                    f"{array.where}: row {row}: the name {cell!r} is not UTF-8\nrepair the data"
                ) from None
    return tuple(texts)


def _lines(path: Path) -> tuple[str, ...]:
    """The lines of a text file, () where they are more than names."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return ()
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError):
        return ()
    names = tuple(line.strip() for line in lines if line.strip())
    return () if any(NUMBER_BEFORE.match(name) or "\t" in name for name in names) else names
