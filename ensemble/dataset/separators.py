"""What stands between the labels of a cell, by the names that it would leave."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

from ensemble.metrics.class_numbers import number

CLEAR = (",", ";", "|")  # marks that class names rarely hold
UNCLEAR = (" ", "/", "+", "&", "-", "_")
_BRACKETS = {"[": "]", "{": "}", "(": ")"}


def names_in_cell(cell: str, mark: str) -> list[str]:
    """The names between the marks, without blanks around them."""
    return [name for part in cell.split(mark) if (name := part.strip())]


def free_mark(texts: Iterable[str]) -> str:
    """The first clear mark that none of the texts holds, "" where each is in one of them."""
    held = "".join(texts)
    return next((mark for mark in CLEAR if mark not in held), "")


def is_list(cell: str) -> bool:
    """Whether a cell is a list as a program writes it, such as `['red', 'blue']`."""
    return len(cell) > 1 and _BRACKETS.get(cell[0]) == cell[-1]


@dataclass(frozen=True)
class Separator:
    """A mark between labels, and the different cells of a column that it would part."""

    mark: str
    cells: Collection[str]

    @cached_property
    def names(self) -> frozenset[str]:
        """All different names."""
        return frozenset(name for cell in self.cells for name in names_in_cell(cell, self.mark))

    @cached_property
    def parts(self) -> list[str]:
        """The names in the cells that have the mark, each as often as it is there."""
        joined = [cell for cell in self.cells if self.mark in cell]
        return [name for cell in joined for name in names_in_cell(cell, self.mark)]

    @property
    def has_single_names(self) -> bool:
        """Whether a name in one cell is all of another cell."""
        return not set(self.parts).isdisjoint(cell for cell in self.cells if self.mark not in cell)

    @property
    def is_repeated(self) -> bool:
        """Whether a name in one cell is all of another cell, or is in several cells."""
        return self.has_single_names or len(set(self.parts)) < len(self.parts)

    @property
    def has_fewer_names(self) -> bool:
        """Whether the names are fewer than the cells, as where few labels are combined."""
        return len(self.names) < sum(map(bool, self.cells))

    @property
    def is_combined(self) -> bool:
        """Whether the cells combine names: no more names than cells, not the words of one name."""
        if self.has_fewer_names or all(name.isdigit() for name in self.names):
            return True
        return self.has_single_names and len(self.names) <= len(self.cells)

    @property
    def is_likely(self) -> bool:
        """Whether the cells look combined: always for a clear mark, else by what the parts are."""
        if self.mark in CLEAR or self.mark == " ":
            return True
        return self.has_fewer_names and self.has_single_names


def separator_of(cells: Collection[str]) -> Separator | None:
    """The likely mark that leaves the fewest names, a clear one before others; None without one.

    cells are the different cells of a column.
    """
    found = [
        Separator(mark, cells)
        for mark in (*CLEAR, *UNCLEAR)
        if any(mark in cell.strip() for cell in cells if number(cell) is None)
    ]
    likely = [separator for separator in found if separator.is_likely]
    return min(likely, key=lambda separator: len(separator.names), default=None)
