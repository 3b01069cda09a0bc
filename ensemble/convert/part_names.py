"""Which part of the data a file holds, by the words of its path; how rows without an id are numbered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ensemble.dataset.csvfile import LABEL_DELIMITERS, read_csv
from ensemble.dataset.filenames import is_hidden
from ensemble.dataset.scan import one_line
from ensemble.dataset.split_names import USUAL, Split, split_of_name
from ensemble.errors import DataError

Candidate = TypeVar("Candidate")


def split_of_path(root: Path, path: Path, key: str = "") -> Split | None:
    """The split that the words of a path below root and of a key in that file mean.

    None where no word means one. Raises DataError where they mean different ones.
    """
    parts = [*path.relative_to(root).parts, key]
    splits = {split for split in map(split_of_part, parts) if split}
    if len(splits) > 1:
        raise DataError(
            f"{one_line(path)}{' ' + key if key else ''}: "
            f"its path names more than one part: {', '.join(sorted(splits))}\n"
            "move it into a folder train, valid or test"
        )
    return splits.pop() if splits else None


def split_of_part(name: str) -> Split | None:
    """The split that one name means; an x or y in front of the word is no part of it: Xtrain.

    MNIST's test files are called t10k.
    """
    split = "test" if name.startswith("t10k-") else split_of_name(name)
    return split_of_name(name[1:]) if split is None and name[:1] in "xXyY" else split


@dataclass(frozen=True)
class Numbering:
    """The names of rows that have no id: their number.

    Test rows count as the sample submission does, with its leading zeros if it has any. Training
    rows have more leading zeros, so that none is named like a test row.
    """

    first: dict[Split, int]
    width: int
    test_width: int = 1

    def name(self, split: Split, row: int) -> str:
        """The name of a row; rows count from 0 here."""
        number = row + self.first.get(split, 1)
        if split == "test":
            return f"{number:0{self.test_width}}"
        return f"{'valid-' if split == 'valid' else ''}{number:0{self.width}}"


@dataclass(frozen=True)
class _SampleIds:
    """The ids of a sample submission that are consecutive numbers: the smallest, their width."""

    file: str
    first: int
    width: int

    def name(self, number: int) -> str:
        return f"{number:0{self.width}}"


def numbering(root: Path, n_rows: dict[Split, int]) -> tuple[Numbering, tuple[str, ...]]:
    """How to number the rows of each split, and notes for the user. Raises DataError."""
    first: dict[Split, int] = {}
    notes: list[str] = []
    n_test = n_rows.get("test", 0)
    ids = _numbers_of_sample(root, n_test) if n_test else None
    if ids is not None:
        first["test"] = ids.first
        names = f"{ids.name(ids.first)} to {ids.name(ids.first + n_test - 1)}"
        notes.append(f"test images are named {names}, as in {ids.file}")
    elif n_test:
        notes.append(f"test images are named by their row: 1 to {n_test:,}")
    test_width = ids.width if ids is not None else 1
    last = max([count + first.get(split, 1) for split, count in n_rows.items()], default=0)
    return Numbering(first, max(len(str(last)), test_width) + 1, test_width), tuple(notes)


def _numbers_of_sample(root: Path, n_test: int) -> _SampleIds | None:
    """The ids of a sample submission of so many consecutive numbers; None without such a one.

    Raises DataError where two samples differ.
    """
    numbered: dict[tuple[int, int], _SampleIds] = {}
    for path, header, rows in sample_rows(root):
        ids = [row[header[0]] for row in rows]
        first = first_number(ids)
        width = number_width(ids)
        if first is not None and width is not None and len(rows) == n_test:
            numbered.setdefault((first, width), _SampleIds(path.name, first, width))
    if len(numbered) > 1:
        names = " and ".join(ids.file for ids in numbered.values())
        raise DataError(
            f"{root}: {names} count the test images differently\nmove the wrong one away"
        )
    return next(iter(numbered.values()), None)


def first_number(ids: Sequence[str]) -> int | None:
    """The smallest of ids that are consecutive whole numbers in any order, else None."""
    if not ids or not all(name.isascii() and name.isdigit() and len(name) < 16 for name in ids):
        return None
    numbers = sorted(map(int, ids))
    is_consecutive = numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return numbers[0] if is_consecutive else None


def number_width(ids: Sequence[str]) -> int | None:
    """To how many digits zeros fill up numbers: 1 without such zeros, None for no one width."""
    if not any(name.startswith("0") and len(name) > 1 for name in ids):
        return 1
    widths = {len(name) for name in ids}
    return widths.pop() if len(widths) == 1 else None


def asks_for_numbers(root: Path) -> bool:
    """Whether sample submissions have one column beside the ids, with whole numbers in every row."""
    cells: set[str] = set()
    columns: set[str] = set()
    for _, header, rows in sample_rows(root):
        columns |= set(header[1:])
        cells |= {row[column] for row in rows for column in header[1:]}
    are_numbers = all(cell.isascii() and cell.isdigit() for cell in cells)
    return len(columns) == 1 and bool(cells) and are_numbers


def sample_rows(root: Path) -> Iterator[tuple[Path, list[str], list[dict[str, str]]]]:
    """Each sample submission of a folder: its path, its header, its rows. Raises DataError."""
    for path in sample_tables(root):
        yield path, *read_csv(path, LABEL_DELIMITERS)


def sample_tables(root: Path) -> list[Path]:
    """The CSVs of a folder that are named like a sample submission, sorted."""
    words = ("sample", "submission")
    tables = [path for path in sorted(root.glob("[!.]*.csv")) if path.is_file()]
    return [path for path in tables if any(word in path.name.lower() for word in words)]


def is_below_hidden(root: Path, path: Path) -> bool:
    """Whether a path below root is hidden, or what macOS puts into archives."""
    return any(map(is_hidden, path.relative_to(root).parts))


def one_of_each_split(
    root: Path,
    candidates: Sequence[tuple[Split, Candidate]],
    name_of: Callable[[Candidate], str],
    content: str = "images",
) -> dict[Split, Candidate]:
    """The only candidate for each split. Raises DataError for two, and for no images to train on."""
    chosen: dict[Split, Candidate] = {}
    for split, candidate in candidates:
        if split in chosen:
            both = f"{name_of(chosen[split])} and {name_of(candidate)}"
            raise DataError(
                f"{root}: {both[:200]}: each could hold the {split} {content}\nmove one of them away"
            )
        chosen[split] = candidate
    if "train" not in chosen and content == "images":
        names = ", ".join(name_of(candidate) for _, candidate in candidates)
        raise DataError(
            f"{root}: no training images: {names[:200]}\n"
            "name the file, or its folder, with the word train"
        )
    return {split: chosen[split] for split in USUAL if split in chosen}


def posix_name(root: Path, path: Path) -> str:
    """A path below root as messages show it."""
    return one_line(Path(path.relative_to(root).as_posix()))
