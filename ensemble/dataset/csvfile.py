"""Tables of text: samples, whose cells stay as they are, and tables that people wrote by hand."""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TextIO

from ensemble.dataset.filenames import contents
from ensemble.errors import DataError

LABEL_DELIMITERS = ",;\t|"  # what may separate the cells of a labels file
N_SNIFFED = 50  # rows by which the delimiter is chosen
MAX_SEPARATOR_LINE = 20  # characters
MAX_BLANKS = 4  # between the cells of a row

_QUOTED = re.compile(r'\s+"')  # a quote after a blank: the blank belongs to the delimiter
_SEPARATOR_LINE = re.compile(r'"?sep=.?"?\s*', re.I)  # which Excel reads and writes before a header

Row = tuple[str, ...]


@dataclass(frozen=True)
class Dialect:
    """What separates the cells; is_spaced: blanks after it too. n_rows are read, None for all."""

    delimiter: str
    is_spaced: bool = False
    n_rows: int | None = None


@dataclass(frozen=True, eq=False)
class CsvTable:
    """A table beside the images; columns are named without surrounding blanks.

    cells is (rows, columns), as the file holds them; lines is (rows,): where each row begins in the
    file, from 1.
    """

    path: Path
    raw_header: Row
    cells: tuple[Row, ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def header(self) -> Row:
        """The names of the columns, without surrounding blanks."""
        return tuple(name.strip() for name in self.raw_header)

    def raw_column(self, name: str) -> Row:
        """A column's cells as they are, (rows,). Raises DataError without such a column."""
        if name not in self.header:
            raise DataError(
                f"{self.path}: no column {name!r}; it has {', '.join(self.header)[:200]}"
            )
        position = self.header.index(name)
        return tuple(row[position] for row in self.cells)

    def column(self, name: str) -> Row:
        """A column's cells without surrounding blanks, (rows,). Raises DataError."""
        return tuple(cell.strip() for cell in self.raw_column(name))

    def where(self, row: int) -> str:
        """A row's file and line, for a message."""
        return f"{self.path}:{self.lines[row]}"

    def stripped_line(self, *columns: str) -> str:
        """A line about blanks around these columns' cells and names; "" without any."""
        cells = [
            *(name for name in self.raw_header if name.strip() in columns),
            *(cell for name in columns for cell in self.raw_column(name)),
        ]
        changed = [cell for cell in cells if cell != cell.strip()]
        if not changed:
            return ""
        example = f"{changed[-1][:60]!r} is {changed[-1].strip()[:60]!r}"
        return f"{self.path.name}: blanks around {len(changed):,} cells are left out: {example}"


def read_csv(path: Path, delimiters: str = ",") -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of a CSV, every cell kept as the text it is. Raises DataError.

    The first of the delimiters that is in the header separates the cells.
    """
    header, *cells = read_cells(path, delimiters)
    check_names(path, header)
    return header, [dict(zip(header, row, strict=True)) for row in cells]


def read_cells(path: Path, delimiters: str = ",") -> list[list[str]]:
    """The lines of a CSV as cells, two or more, equally long. Raises DataError."""
    with _readable(path) as stored:
        _to_header(stored)
        first_line = stored.readline()
        n_before = _to_header(stored)
        delimiter = next((mark for mark in delimiters if mark in first_line), ",")
        reader = csv.reader(_without_nul(stored), strict=True, delimiter=delimiter)
        header = next(reader, [])
        cells = [row for row in reader if row]
    _check_rows(path, header, cells, range(n_before + 2, n_before + len(cells) + 2))
    return [header, *cells]


def read_table(path: Path, may_repeat_names: bool = False) -> CsvTable:
    """A table that somebody wrote by hand or with a spreadsheet. Raises DataError.

    The delimiter that splits the first rows evenly separates the cells: comma, semicolon, tab, bar,
    or in a .txt a blank between a few cells. Rows without text are left out, and so are columns
    without name and text. Columns of one name are an error, but where the first row may be no header.
    """
    with _readable(path) as stored:
        dialect = _dialect(stored, path.suffix.lower())
        lines, rows = _rows_with_text(stored, dialect)
    header, *cells = rows or [[]]
    cells = [_without_empty_tail(row, len(header)) for row in cells]
    _check_rows(path, header, cells, lines[1:])
    kept = [
        column
        for column, name in enumerate(header)
        if name.strip() or any(row[column].strip() for row in cells)
    ]
    if not may_repeat_names:
        check_names(path, [header[column].strip() for column in kept])
    return CsvTable(
        path=path,
        raw_header=tuple(header[column] for column in kept),
        cells=tuple(tuple(row[column] for column in kept) for row in cells),
        lines=tuple(lines[1:]),
    )


def _rows_with_text(stored: TextIO, dialect: Dialect) -> tuple[list[int], list[list[str]]]:
    """The line where each row begins, and its cells, from the header on."""
    n_before = _to_header(stored)
    reader = csv.reader(
        _without_nul(stored),
        strict=True,
        delimiter=dialect.delimiter,
        skipinitialspace=dialect.is_spaced,
    )
    lines: list[int] = []
    rows: list[list[str]] = []
    first_line = n_before + 1
    for row in reader:
        if any(cell.strip() for cell in row):
            lines.append(first_line)
            rows.append(row)
            if len(rows) == dialect.n_rows:
                break
        first_line = n_before + reader.line_num + 1
    return lines, rows


def _to_header(stored: TextIO) -> int:
    """Go to the header; returns how many lines are before it: `sep=;`, or none."""
    stored.seek(0)
    if _SEPARATOR_LINE.fullmatch(stored.readline(MAX_SEPARATOR_LINE)):
        return 1
    stored.seek(0)
    return 0


def _without_empty_tail(row: list[str], width: int) -> list[str]:
    """A row without cells beyond the header's width, where those hold no text."""
    return row if any(cell.strip() for cell in row[width:]) else row[:width]


def _dialect(stored: TextIO, suffix: str) -> Dialect:
    """How cells are separated, so that the first rows have as many as the header, two or more."""
    marks = {".tsv": "\t,;|", ".txt": ",;\t| "}.get(suffix, LABEL_DELIMITERS)
    for mark, is_spaced in product(marks, (False, True)):
        with suppress(csv.Error):
            _, rows = _rows_with_text(stored, Dialect(mark, is_spaced, N_SNIFFED))
            width = len(rows[0]) if rows else 0
            is_even = all(len(_without_empty_tail(row, width)) == width for row in rows)
            has_quotes = any(_QUOTED.match(cell) for row in rows for cell in row)
            is_wide = _are_parted_by_blanks(rows, width) if mark == " " else width > 1
            if is_even and is_wide and not has_quotes:
                return Dialect(mark, is_spaced)
    _to_header(stored)
    first_line = stored.readline()
    return Dialect(next((mark for mark in LABEL_DELIMITERS if mark in first_line), ","))


def _are_parted_by_blanks(rows: Sequence[Sequence[str]], width: int) -> bool:
    """Whether blanks part cells: two of them, or a few with names; boxes of numbers are no table."""
    has_names = width <= MAX_BLANKS + 1 and any(
        all(any(map(str.isalpha, cell)) for cell in column) for column in zip(*rows, strict=False)
    )
    return width == 2 or (has_names and width > 2)


@contextmanager
def _readable(path: Path) -> Iterator[TextIO]:
    """The text of a CSV, open for reading. Raises DataError for what is not readable in it."""
    try:
        with _open(path) as stored:
            yield stored
    except FileNotFoundError:
        raise DataError(f"{path.absolute()}: no such file\n{contents(path.parent)}") from None
    except (OSError, EOFError, ValueError, zlib.error, csv.Error) as error:
        # ValueError: not UTF-8, or a NUL in the path
        reason = getattr(error, "strerror", None) or error
        hint = _encoding_hint(path) if isinstance(error, UnicodeDecodeError) else ""
        raise DataError(
            f"{str(path)[:200]}: not a readable CSV in UTF-8 ({reason}){hint}"
        ) from None


def _encoding_hint(path: Path) -> str:
    """How to convert a text of another encoding; "" for what is no text."""
    with path.open("rb") as stored:
        head = stored.read(1 << 16)
    if path.suffix == ".gz" or b"\0" in head:
        return ""
    return (
        "\nsave it as `CSV UTF-8` in the spreadsheet, or convert it: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {path.name[:60]} > utf8_{path.name[:60]}"
    )


def _check_rows(
    path: Path, header: Sequence[str], cells: Sequence[Sequence[str]], lines: Sequence[int]
) -> None:
    """Raises DataError without header or rows, and for a row of another length."""
    if not header or not cells:
        raise DataError(f"{path}: a CSV needs a header and at least one row")
    for row, line in zip(cells, lines, strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{path}: row {line} has {len(row)} cells, the header {len(header)}\n"
                "correct that row: a cell that holds the mark between cells needs quotes around it"
            )


def check_names(path: Path, header: Sequence[str]) -> None:
    """Raises DataError for two columns of one name."""
    if len(set(header)) != len(header):
        raise DataError(f"{path}: a column name appears twice in {', '.join(header)[:200]}")


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    """The text of a CSV, which may be compressed, as a run's copy of the sample submission is.

    It is UTF-8, or UTF-16 where the file begins with its mark.
    """
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stored:
        is_utf_16 = stored.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        yield io.TextIOWrapper(stored, "utf-16" if is_utf_16 else "utf-8-sig", newline="")


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """The same lines; numpy would drop a NUL at an id's end. Raises csv.Error."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("it contains a NUL: save it as `CSV UTF-8`")
        yield line
