"""Names in files and folders: which files are images, ids without a suffix, the header and cells of a CSV."""

import csv
import gzip
import os
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TextIO

from ensemble.errors import DataError

# of images that Pillow reads; a file with another suffix, or none, is one where its content is
SUFFIXES = {
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".avif", ".avifs", ".tga",
    ".ico", ".psd", ".qoi", ".dds", ".sgi", ".pcx", ".fits",
}  # fmt: skip
# tables, texts and what systems leave: no images, and no news
TEXTS = {
    ".csv", ".tsv", ".txt", ".md", ".rst", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".html", ".htm", ".pdf",
    ".ini", ".db", ".log", ".py", ".ipynb", ".sh", ".url", ".lnk", ".names", ".sqlite", ".xlsx", ".docx",
}  # fmt: skip
# no images either, but somebody may have taken them for some
OTHERS = {
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mp3", ".wav", ".zip", ".tar", ".tgz", ".gz", ".7z", ".rar",
    ".npy", ".npz", ".pkl", ".pt", ".pth", ".h5", ".hdf5", ".parquet", ".safetensors", ".onnx", ".svg", ".eps", ".dcm",
    ".nii",
}  # fmt: skip
BETWEEN_LABELS = ",;\t"  # what may stand between the cells of a labels file


def without_suffix(name: str) -> str:
    """An id without an image file's suffix; other dots stay."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else name


def bare_name(name: str) -> str:
    """A POSIX path without the suffix of its last part, whatever that is; a number behind a dot is none."""
    stem, dot, suffix = name.rpartition(".")
    is_suffix = dot and "/" not in suffix and not suffix.isdigit() and not stem.endswith("/")
    return stem if is_suffix and stem else name


def matcher(stored: Iterable[str]) -> Callable[[str], list[int]]:
    """A function from an id to the places of the stored ids that it may mean; more than one is never a match.

    Equal texts first, then equal letters in other Unicode, then without a suffix: of any kind on one side, of an image
    that is known on both.
    """
    exact, composed, short = dict[str, list[int]](), dict[str, list[int]](), dict[str, list[int]]()
    for place, name in enumerate(stored):
        exact.setdefault(name, []).append(place)
        composed.setdefault(same_form(name), []).append(place)
        for form in {bare_name(name), without_suffix(name)} - {name}:
            short.setdefault(same_form(form), []).append(place)

    def places_of(name: str) -> list[int]:
        form = same_form(name)
        if name in exact or form in composed:
            return exact.get(name) or composed[form]
        bare, known = same_form(bare_name(name)), same_form(without_suffix(name))
        return sorted({*composed.get(bare, ()), *short.get(form, ()), *short.get(known, ())})

    return places_of


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
