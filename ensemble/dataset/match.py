"""Which file an id of a table means: ids are matched as text, and a loose rule must fit them all."""

import os.path
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from ensemble.dataset.filenames import SUFFIXES, bare_name, same_form, without_suffix
from ensemble.grouping import grouped

_UPLOAD_MARK = re.compile(r"^[0-9a-f]{8}-(?=.)")
N_LOOKED_AT = 20  # ids without a name, for a message
Positions = tuple[int, ...]
Index = dict[str, list[int]]


@dataclass(frozen=True)
class Match:
    """For each id the positions of the names that it may mean; only a single one is a match.

    rule says how the ids fit, where that is not plain from their text; "" otherwise.
    """

    positions: tuple[Positions, ...]
    rule: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every id means exactly one name."""
        return all(len(positions) == 1 for positions in self.positions)


class Names:
    """Names of files, or stored ids, in which ids are looked up.

    An id means the equal name; else the name with equal letters in another Unicode form; else the
    one that is equal without a suffix; else the one that ends in it, folder by folder. folder is
    where the files are: an id may begin with it. Where this finds not every id of a column, the
    same looser rule must find exactly one name for each: without the id's leading path, or the
    folders that all ids begin with, in any case, without `.0`, or without leading zeros.
    """

    def __init__(self, names: Iterable[str], folder: str = "") -> None:
        self.names = tuple(names)
        self._prefixes = _prefixes(folder)
        self._forms: dict[Callable[[str], str], Index] = {}
        self._full = _Lookup((name, position) for position, name in enumerate(self.names))

    @cached_property
    def _tails(self) -> "_Lookup":
        return _Lookup(
            (tail, position)
            for position, name in enumerate(self.names)
            for tail in _tails(name)[1:]
        )

    def positions(self, image_id: str) -> Positions:
        """The positions of the names that one id may mean by itself."""
        return self.full_positions(image_id) or self._tails(image_id.removeprefix("./"))

    def full_positions(self, image_id: str) -> Positions:
        """The same for an id that is a whole name, the folder before it or not."""
        name = image_id.removeprefix("./")
        positions = self._full(image_id) or self._full(name)
        for prefix in self._prefixes:
            if not positions and name.startswith(prefix):
                positions = self._full(name[len(prefix) :])
        return positions

    def match(self, ids: Sequence[str]) -> Match:
        """The names that the ids of one column mean."""
        match = Match(tuple(map(self.positions, ids)))
        if match.is_complete:
            return match
        bare = [self.positions(last_part(image_id)) for image_id in ids]
        if _is_one_to_one(ids, bare):
            return Match(tuple(bare), WITHOUT_PATH)
        for shorter in _without_shared_folders(ids):
            whole = list(map(self.positions, shorter))
            if _is_one_to_one(ids, whole):
                return Match(tuple(whole), WITHOUT_PATH)
        for rule, form in _LOOSE_RULES.items():
            by_form = self._by_form(form)
            loose = [tuple(by_form.get(form(image_id), ())) for image_id in ids]
            if _is_one_to_one(ids, loose):
                return Match(tuple(loose), rule)
        return match

    def problem_of(self, ids: Sequence[str], what: str) -> str:
        """The first id that means no name, or several, and which: what they are names of."""
        for row, positions in enumerate(self.match(ids).positions):
            if not positions:
                return self._missing(ids[row:], what)
            if len(positions) > 1:
                several = " and ".join(repr(self.names[i][:60]) for i in positions[:2])
                return f"{ids[row][:60]!r}, which fits {len(positions)} {what}s: {several}"
        return f"{ids[0][:60]!r}"

    def _missing(self, ids: Sequence[str], what: str) -> str:
        """The first of some ids with which several names begin, else the first."""
        for image_id in ids[:N_LOOKED_AT]:
            begun = self.begun(image_id)
            if len(begun) > 1:
                return (
                    f"{image_id[:60]!r}, with which the names of {len(begun)} {what}s begin, "
                    f"such as {begun[0][:60]!r}"
                )
        return f"{ids[0][:60]!r}, which no {what} has"

    def begun(self, image_id: str) -> list[str]:
        """The names that begin with an id and then have a mark: 12_red.png and 12-2.png for 12."""
        n_letters = len(image_id)
        return [
            name
            for name in self.names
            if (last := last_part(name)).startswith(image_id)
            and last != image_id
            and not last[n_letters].isalnum()
            and bare_name(last) != image_id
        ]

    def _by_form(self, form: Callable[[str], str]) -> Index:
        """The positions of the names by a looser form of their text, computed once."""
        if form not in self._forms:
            self._forms[form] = grouped((form(name), i) for i, name in enumerate(self.names))
        return self._forms[form]


def match_in_folders(folders: Sequence[Names], ids: Sequence[str]) -> Match:
    """The names that the ids of one column mean, in several folders.

    Positions count on from folder to folder. A whole name in one folder comes before the end of a
    name in another.
    """
    if len(folders) == 1:
        return folders[0].match(ids)
    match = Match(tuple(_positions_in_folders(folders, image_id) for image_id in ids))
    if match.is_complete:
        return match
    loose_match = Names(name for folder in folders for name in folder.names).match(ids)
    return loose_match if loose_match.is_complete else match


def _positions_in_folders(folders: Sequence[Names], image_id: str) -> Positions:
    positions: list[int] = []
    for find in (Names.full_positions, Names.positions):
        first = 0
        for folder in folders:
            positions += [first + position for position in find(folder, image_id)]
            first += len(folder.names)
        if positions:
            break
    return tuple(positions)


def _is_one_to_one(ids: Sequence[str], positions: Sequence[Positions]) -> bool:
    """Whether every id has exactly one name, and different ids have different names."""
    id_of: dict[int, str] = {}
    return all(
        len(candidates) == 1 and id_of.setdefault(candidates[0], image_id) == image_id
        for image_id, candidates in zip(ids, positions, strict=True)
    )


class _Lookup:
    """Names by their text, then by their Unicode form, then without a suffix."""

    def __init__(self, names: Iterable[tuple[str, int]]) -> None:
        self._exact, self._composed = Index(), Index()
        self._short, self._short_exact = Index(), Index()  # the second where the form matters
        for name, position in names:
            self._exact.setdefault(name, []).append(position)
            self._composed.setdefault(same_form(name), []).append(position)
            bare, without = bare_name(name), without_suffix(name)
            for form in (bare,) if bare == without else (bare, without):
                if form != name:
                    self._short.setdefault(same_form(form), []).append(position)
                    if not form.isascii():
                        self._short_exact.setdefault(form, []).append(position)

    def __call__(self, name: str) -> Positions:
        form = same_form(name)
        if name in self._exact or form in self._composed:
            return tuple(self._exact.get(name) or self._composed[form])
        if len(self._short_exact.get(name, ())) == 1:
            return tuple(self._short_exact[name])
        bare, without = same_form(bare_name(name)), same_form(without_suffix(name))
        positions = {
            *self._composed.get(bare, ()),
            *self._short.get(form, ()),
            *self._short.get(without, ()),
        }
        return tuple(sorted(positions))


def _prefixes(folder: str) -> list[str]:
    """What an id may begin with: a/b/ and b/ for the folder a/b."""
    parts = [part for part in folder.replace("\\", "/").split("/") if part not in ("", ".")]
    return ["/".join(parts[start:]) + "/" for start in range(len(parts))]


def _tails(name: str) -> list[str]:
    """a/b/c, b/c and c for the name a/b/c."""
    parts = name.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def last_part(name: str) -> str:
    """The part after the last folder of a path of any system."""
    return name.replace("\\", "/").rpartition("/")[2]


def _without_shared_folders(ids: Sequence[str]) -> Iterator[list[str]]:
    """The ids without the first of the folders that all begin with, then without two, and so on."""
    parts = [image_id.replace("\\", "/").split("/") for image_id in ids]
    n_shared = len(os.path.commonprefix([path[:-1] for path in parts]))
    for n_left_out in range(1, n_shared + 1):
        yield ["/".join(path[n_left_out:]) for path in parts]


def _file_name(name: str) -> str:
    """The last part of a path of any system, without an image's suffix."""
    last = same_form(last_part(name))
    stem, dot, suffix = last.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in SUFFIXES else last


def without_upload_mark(name: str) -> str:
    """A file name without what Label Studio puts before it: 3f9a01bc-cat.jpg is cat.jpg."""
    return _UPLOAD_MARK.sub("", _file_name(name))


def _without_point_zero(name: str) -> str:
    return _file_name(name).casefold().removesuffix(".0")


def loosest_form(name: str) -> str:
    """What is left of an id or a file name under all looser rules together."""
    stem = _without_point_zero(name)
    return stem.lstrip("0") or "0" if stem.isascii() and stem.isdigit() else stem


WITHOUT_ZEROS = "without leading zeros"
WITHOUT_PATH = "without the ids' leading path"
_LOOSE_RULES: dict[str, Callable[[str], str]] = {
    "in any case of their letters": lambda name: _file_name(name).casefold(),
    "without the ids' `.0`": _without_point_zero,
    WITHOUT_ZEROS: loosest_form,
    "without the ids' letters and digits that Label Studio puts first": without_upload_mark,
}
