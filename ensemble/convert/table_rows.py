"""The rows of large CSVs, one at a time: memory stays flat however many there are."""

import csv
import gzip
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from ensemble.dataset.csvfile import LABEL_DELIMITERS
from ensemble.dataset.scan import one_line
from ensemble.errors import DataError

MAX_LINE = 1 << 26  # bytes; 50 times an image of 640 × 640 in decimal numbers
SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
EMPTY_CELLS = b' \t\r\n,;"'  # a line of these alone is no row


def is_table(path: Path) -> bool:
    """Whether a file is named like a CSV."""
    return path.name.lower().endswith(SUFFIXES)


def table_rows(path: Path) -> Generator[tuple[int, list[str]], None, None]:
    """(line number, cells) of the header and of every row that is not empty.

    The delimiter is the first of , ; and tab that is in the header. Raises DataError.
    """
    lines = 0
    try:
        with _opened(path) as stored, _long_cells():
            delimiter = _delimiter(next(_lines(path, stored), b"")).decode()
            stored.seek(0)
            reader = csv.reader(_text_lines(path, stored), strict=True, delimiter=delimiter)
            for row in reader:
                lines = reader.line_num
                if any(cell and not cell.isspace() for cell in row):
                    yield lines, row
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{one_line(path)}:{lines + 1}: not a readable CSV in UTF-8 ({str(reason)[:150]})\n"
            "repair the line, or download the file again"
        ) from None


def count_rows(path: Path) -> int:
    """The number of rows below the header, without empty ones. Raises DataError."""
    return sum(1 for _ in _filled_lines(path)) - 1


def end_cells(path: Path) -> Iterator[tuple[str, str]]:
    """The first and the last cell of every line that is not empty, the header's too.

    Ten times as fast as table_rows; only for lines of numbers, which have no quoted delimiters.
    Raises DataError.
    """
    delimiter = b""
    for line in _filled_lines(path):
        delimiter = delimiter or _delimiter(line)
        cells = line.partition(delimiter)[0], line.rpartition(delimiter)[2]
        first, last = (cell.decode("ascii", "replace").strip(' "\r\n') for cell in cells)
        yield first.lstrip("\ufffd"), last


def _filled_lines(path: Path) -> Iterator[bytes]:
    """The lines that are not empty. Raises DataError."""
    try:
        with _opened(path) as stored:
            yield from (line for line in _lines(path, stored) if line.strip(EMPTY_CELLS))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{one_line(path)}: cannot be read ({reason})") from None


def _delimiter(line: bytes) -> bytes:
    return next((mark.encode() for mark in LABEL_DELIMITERS if mark.encode() in line), b",")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as stored:
        if not path.name.lower().endswith(".gz"):
            yield stored
            return
        with gzip.open(stored) as unpacked:
            yield cast(BinaryIO, unpacked)


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be as long as lines: 131,072 characters are 180 × 180 pixels."""
    before = csv.field_size_limit(MAX_LINE)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _text_lines(path: Path, stored: BinaryIO) -> Iterator[str]:
    for number, line in enumerate(_lines(path, stored), start=1):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        if "\0" in text:
            raise csv.Error("it contains a NUL")
        yield text


def _lines(path: Path, stored: BinaryIO) -> Iterator[bytes]:
    """The lines of a file. Raises DataError for one that is too long."""
    number = 1
    while line := stored.readline(MAX_LINE):
        if len(line) >= MAX_LINE:
            raise DataError(
                f"{one_line(path)}:{number}: the line is longer than {MAX_LINE:,} bytes\n"
                "the file is damaged, or no CSV"
            )
        yield line
        number += 1
