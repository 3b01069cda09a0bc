"""Names in files and folders: which files are images, ids without a suffix, the header and cells of a CSV."""

import csv
import gzip
import os
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from ensemble.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
# what Pillow may decode, whatever the name says: for PostScript, which it knows too, it would start Ghostscript
BETWEEN_LABELS = ",;\t"  # what may stand between the cells of a labels file
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000")


def without_suffix(name: str) -> str:
    """An id without an image file's suffix; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def is_sample(name: str) -> bool:
    """Whether a file is called like a competition's sample submission, which nothing may write over."""
    return "sample" in name.lower() and "sub" in name.lower()


def same_form(name: str) -> str:
    """A name in Unicode's composed form: macOS writes é as two characters, a CSV mostly as one."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def read_csv(path: Path, marks: str = ",") -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV, every cell kept as the text it is. Raises DataError.

    Between cells stands the first of marks that is in the header.
    """
    try:
        with _opened(path) as stored:
            first = stored.readline()
            stored.seek(0)
            delimiter = next((mark for mark in marks if mark in first), ",")
            reader = csv.reader(_without_nul(stored), strict=True, delimiter=delimiter)
            header = next(reader, [])
            cells = [row for row in reader if row]
    except FileNotFoundError:
        raise DataError(f"{path.absolute()}: no such file\n{contents(path.parent)}") from None
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:  # ValueError: not UTF-8, a NUL in the path
        raise DataError(
            f"{str(path)[:200]}: not a readable CSV in UTF-8 ({getattr(error, 'strerror', None) or error})"
        ) from None
    if not header or not cells:
        raise DataError(f"{path}: a CSV needs a header and at least one row")
    if len(set(header)) != len(header):
        raise DataError(f"{path}: a column name stands twice in {', '.join(header)[:200]}")
    ragged = next((i for i, row in enumerate(cells) if len(row) != len(header)), None)
    if ragged is not None:
        raise DataError(f"{path}: row {ragged + 2} has {len(cells[ragged])} cells, the header {len(header)}")
    return header, [dict(zip(header, row, strict=True)) for row in cells]


def _opened(path: Path) -> TextIO:
    """The text of a CSV, which may be compressed: the copy of a sample submission."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """The same lines; numpy would drop a NUL at an id's end. Raises csv.Error."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("it holds a NUL")
        yield line


def contents(folder: Path) -> str:
    """What stands in a folder, for an error message."""
    if not os.path.isdir(folder):
        return f"{str(folder.absolute())[:200]} is not there either"
    names = sorted(child.name[:60] for child in folder.iterdir())[:8]
    return f"{folder} holds: {', '.join(names) or 'nothing'}"
