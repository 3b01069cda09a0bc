"""Names in files and folders: which files are images, ids without a suffix, the header and cells of a CSV."""

import csv
from pathlib import Path

from ensemble.errors import DataError

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def without_suffix(name: str) -> str:
    """An id without an image file's suffix; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def read_csv(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV, every cell kept as the text it is. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stored:
            reader = csv.reader(stored, strict=True)
            header = next(reader, [])
            cells = [row for row in reader if row]
    except FileNotFoundError:
        raise DataError(f"{path.absolute()}: no such file\n{contents(path.parent)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not a readable CSV in UTF-8 ({type(error).__name__})") from None
    if not header or not cells:
        raise DataError(f"{path}: a CSV needs a header and at least one row")
    if len(set(header)) != len(header):
        raise DataError(f"{path}: a column name stands twice in {', '.join(header)[:200]}")
    ragged = next((i for i, row in enumerate(cells) if len(row) != len(header)), None)
    if ragged is not None:
        raise DataError(f"{path}: row {ragged + 2} has {len(cells[ragged])} cells, the header {len(header)}")
    return header, [dict(zip(header, row, strict=True)) for row in cells]


def contents(folder: Path) -> str:
    """What stands in a folder, for an error message."""
    if not folder.is_dir():
        return f"{folder.absolute()} is not there either"
    names = sorted(child.name for child in folder.iterdir())[:8]
    return f"{folder} holds: {', '.join(names) or 'nothing'}"
