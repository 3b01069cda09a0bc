"""The header and cells of a CSV, every cell kept as the text it is."""

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from ensemble.dataset.filenames import contents
from ensemble.errors import DataError

LABEL_DELIMITERS = ",;\t"  # what may separate the cells of a labels file


def read_csv(path: Path, delimiters: str = ",") -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV, every cell kept as the text it is. Raises DataError.

    The first of the delimiters that is in the header separates the cells.
    """
    try:
        with _open(path) as stored:
            first_line = stored.readline()
            stored.seek(0)
            delimiter = next((mark for mark in delimiters if mark in first_line), ",")
            reader = csv.reader(_without_nul(stored), strict=True, delimiter=delimiter)
            header = next(reader, [])
            cells = [row for row in reader if row]
    except FileNotFoundError:
        raise DataError(f"{path.absolute()}: no such file\n{contents(path.parent)}") from None
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        # ValueError: not UTF-8, or a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)[:200]}: not a readable CSV in UTF-8 ({reason})") from None
    if not header or not cells:
        raise DataError(f"{path}: a CSV needs a header and at least one row")
    if len(set(header)) != len(header):
        raise DataError(f"{path}: a column name appears twice in {', '.join(header)[:200]}")
    ragged = next((i for i, row in enumerate(cells) if len(row) != len(header)), None)
    if ragged is not None:
        raise DataError(
            f"{path}: row {ragged + 2} has {len(cells[ragged])} cells, the header {len(header)}"
        )
    return header, [dict(zip(header, row, strict=True)) for row in cells]


def _open(path: Path) -> TextIO:
    """The text of a CSV, which may be compressed, as a run's copy of the sample submission is."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """The same lines; numpy would drop a NUL at an id's end. Raises csv.Error."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("it contains a NUL")
        yield line
