"""What one model predicts: the only value that training hands to blending.

Rows are joined by id and classes by name, never by position; only `aligned` brings members
together.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.errors import DamagedError, MismatchError
from ensemble.files import atomic_path, reason_of
from ensemble.npz import read_npz
from ensemble.targets import (
    IN_WORDS,
    STORED,
    TARGETS,
    Target,
    by_column,
    normalized,
    problem_of_probs,
    problem_of_targets,
    targets_read,
)

Array = npt.NDArray[Any]
_TRUTHS = {"class": "labels", "labels": "labels", "number": "values"}


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of named images, probabilities of their labels, or values.

    ids is (images,) text, classes the names of classes or labels, or that of the value alone.
    probs is (images, classes) float32; with the target `class` rows sum to 1. targets are positions
    in classes (images,), 0 and 1 (images, classes), or float64 values (images,); None if unknown.
    groups (images,) are texts, equal for rows that belong together, None if rows are independent.
    Raises DamagedError.
    """

    ids: Array
    classes: tuple[str, ...]
    probs: Array
    targets: Array | None = None
    groups: Array | None = None
    target: Target = "class"
    is_checked: InitVar[bool] = False

    def __post_init__(self, is_checked: bool) -> None:
        problem = None if is_checked else self._problem()
        if problem:
            raise DamagedError(problem)

    def _problem(self) -> str | None:
        """The first problem with the arrays, None if they are valid."""
        return (
            self._problem_of_names()
            or problem_of_probs(self.target, self.ids, self.probs, self.classes)
            or self._problem_of_rows()
            or self._problem_of_text()
        )

    def _problem_of_names(self) -> str | None:
        n, c = len(self.ids), len(self.classes)
        if self.ids.ndim != 1 or self.ids.dtype.kind != "U":
            return _no_texts("ids", self.ids)
        if self.probs.shape != (n, c) or self.probs.dtype.kind != "f":
            hint = "\nsave it by .astype(float)" if self.probs.dtype.kind in "biu" else ""
            return (
                f"probs is {self.probs.dtype} {self.probs.shape}, expected floats ({n}, {c}){hint}"
            )
        if not _is_rising(self.ids) and len(np.unique(self.ids)) != n:
            names, counts = np.unique(self.ids, return_counts=True)
            return f"id {str(names[counts.argmax()])!r} appears {counts.max()} times"
        if not c:
            return "no classes"
        return "a class name appears twice" if len(set(self.classes)) != c else None

    def _problem_of_rows(self) -> str | None:
        n, groups = len(self.ids), self.groups
        if groups is not None and (groups.shape != (n,) or groups.dtype.kind != "U"):
            return f"groups must be ({n},) texts, not {groups.dtype} {groups.shape}"
        if self.targets is None:
            return None
        return problem_of_targets(self.target, self.targets, n, len(self.classes))

    def _problem_of_text(self) -> str | None:
        columns = {"ids": self.ids, "classes": np.array(self.classes), "groups": self.groups}
        for name, texts in columns.items():
            if texts is not None and not _is_text(texts):
                return f"{name}: a character is not valid Unicode (out of range, or half of a pair)"
        return None

    @property
    def known_targets(self) -> Array:
        """The targets of rows that are labeled, as validation rows are."""
        assert self.targets is not None
        return self.targets

    @property
    def group_numbers(self) -> Array | None:
        """groups as whole numbers from 0, None without groups."""
        return None if self.groups is None else np.unique(self.groups, return_inverse=True)[1]

    def save(self, path: Path) -> None:
        """Write an .npz with the same bytes for the same content. Raises EnsembleError.

        The target `class` is not written: such a file is of format 1 and of format 2.
        """
        arrays = {
            "ids": self.ids,
            "classes": np.array(self.classes),
            "probs": self.probs.astype(np.float32),
        }
        if self.targets is not None:
            arrays["targets"] = self.targets.astype(STORED[self.target])
        if self.groups is not None:
            arrays["groups"] = self.groups
        if self.target != "class":
            arrays["target"] = np.array(self.target)
        with atomic_path(path) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)

    @classmethod
    def load(
        cls, path: Path, sha256: str | None = None, target: Target | None = None
    ) -> "Predictions":
        """Read and check an .npz from `save` or another program, and its hash if given.

        target is what it must be about; a file that does not say is taken to be about that, or
        about `class` where it is None. Raises DamagedError.
        """
        try:
            content = path.read_bytes()
            if sha256 and hashlib.sha256(content).hexdigest() != sha256:
                raise DamagedError("is not the file that run.json was written for")
            arrays = read_npz(content)
            missing = {"ids", "classes", "probs"} - arrays.keys()
            if missing:
                raise DamagedError(f"no array named {', '.join(sorted(missing))}")
            classes = arrays["classes"]
            if classes.ndim != 1 or classes.dtype.kind != "U":
                raise DamagedError(_no_texts("classes", classes))
            about = _target_of(arrays, target)
            rest = (targets_read(about, arrays.get("targets")), arrays.get("groups"), about)
            return cls(arrays["ids"], tuple(classes.tolist()), arrays["probs"], *rest)
        except FileNotFoundError:
            raise DamagedError(f"{path}: is missing") from None
        except DamagedError as error:
            raise DamagedError(f"{path}: {error}") from None
        except Exception as error:  # zipfile, zlib and numpy raise many types on a damaged file
            raise DamagedError(f"{path}: cannot be read ({reason_of(error)})") from None

    def by_group(self, is_counted: Array | None = None) -> "Predictions":
        """A row for each group, named by it: the mean of its rows, and the target of the first.

        Rows of which is_counted (rows,) is false count only where their group has no other. Rows
        are sorted by id and no longer grouped; without groups they are as they were.
        """
        if self.groups is None:
            return self
        names, first, group_of = np.unique(self.groups, return_index=True, return_inverse=True)
        weights = np.ones(len(group_of))
        if is_counted is not None:
            has_counted = np.bincount(group_of, is_counted)[group_of] > 0
            weights[~is_counted & has_counted] = 0
        sums = np.zeros((len(names), len(self.classes)))
        np.add.at(sums, group_of, self.probs * weights[:, None])
        probs = (sums / np.bincount(group_of, weights)[:, None]).astype(self.probs.dtype)
        targets = None if self.targets is None else self.targets[first]
        return Predictions(names, self.classes, probs, targets, target=self.target)

    def canonical(self) -> "Predictions":
        """The same predictions in float64, rows by id, classes by name, without rounding.

        Rows of the target `class` then sum to 1.
        """
        rows = slice(None) if _is_rising(self.ids) else np.argsort(self.ids, kind="stable")
        columns = np.argsort(np.array(self.classes), kind="stable")
        probs = normalized(self.target, self.probs[rows][:, columns])
        classes = tuple(self.classes[i] for i in columns)
        groups = None if self.groups is None else self.groups[rows]
        targets = None
        if self.targets is not None:
            targets = by_column(self.target, self.targets[rows], columns)
        names = self.ids[rows], classes
        return Predictions(*names, probs, targets, groups, self.target, is_checked=True)


def aligned(members: Mapping[str, Callable[[], Predictions]]) -> Iterator[Predictions]:
    """Members one at a time, sorted by id, with the same rows and classes in the same order.

    Raises MismatchError.
    """
    first: Predictions | None = None
    for name in sorted(members):
        member = members[name]().canonical()
        if first is None:
            first, first_name = member, name
        _check_alike(first_name, first, name, member)
        _check_same("rows", first_name, first.ids, name, member.ids)
        if not _same_targets(first.targets, member.targets):
            raise MismatchError(
                f"{first_name} and {name} disagree about the true {_TRUTHS[first.target]} "
                "of the same rows"
            )
        yield member


def joined(parts: Mapping[str, Predictions]) -> Predictions:
    """Predictions of different rows and the same classes, as one.

    Raises MismatchError, DamagedError.
    """
    ready = {name: part.canonical() for name, part in parts.items()}
    first_name, first = next(iter(ready.items()))
    for name, part in ready.items():
        _check_alike(first_name, first, name, part)
    members = list(ready.values())
    return Predictions(
        np.concatenate([part.ids for part in members]),
        first.classes,
        np.concatenate([part.probs for part in members]),
        _concatenated([part.targets for part in members]),
        _concatenated([part.groups for part in members]),
        first.target,
    )


def _concatenated(columns: Sequence[Array | None]) -> Array | None:
    """One column, None unless every part has it."""
    present = [column for column in columns if column is not None]
    return np.concatenate(present) if len(present) == len(columns) else None


def _no_texts(name: str, array: Array) -> str:
    hint = "\nsave them by .astype(str)" if array.dtype.kind in "Siu" else ""
    return f"{name} must be a list of texts, not {array.dtype} {array.shape}{hint}"


def _target_of(arrays: Mapping[str, Array], target: Target | None) -> Target:
    """What a file with these arrays is about. Raises DamagedError if that is another target."""
    if "target" not in arrays:
        return target or "class"
    name = str(arrays["target"])
    if name not in TARGETS:
        raise DamagedError(f"target is {name[:40]!r}, it can be {', '.join(TARGETS)}")
    if target is not None and name != target:
        raise DamagedError(f"is about {IN_WORDS[name]}, not about {IN_WORDS[target]}")
    return name


def _is_text(texts: Array) -> bool:
    """Whether UTF-8 can encode every character."""
    if not texts.dtype.itemsize:
        return True
    codes = np.ascontiguousarray(texts).view(f"{texts.dtype.byteorder}u4")
    return not ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any()


def _is_rising(ids: Array) -> bool:
    """Whether each id is greater than the one before, and so appears once."""
    return bool((ids[1:] > ids[:-1]).all())


def _same_targets(a: Array | None, b: Array | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)


def _check_alike(name_a: str, a: Predictions, name_b: str, b: Predictions) -> None:
    """Check that both predict the same target, and the same classes."""
    if a.target != b.target:
        raise MismatchError(
            f"{name_a} predicts {IN_WORDS[a.target]}, {name_b} {IN_WORDS[b.target]}: "
            "they cannot be averaged"
        )
    _check_same("classes", name_a, np.array(a.classes), name_b, np.array(b.classes))


def _check_same(what: str, name_a: str, a: Array, name_b: str, b: Array) -> None:
    if np.array_equal(a, b):
        return
    only_a, only_b = np.setdiff1d(a, b).tolist(), np.setdiff1d(b, a).tolist()
    raise MismatchError(
        f"{name_a} and {name_b} do not have the same {what}: {len(a):,} and {len(b):,}\n"
        f"only in the first: {some(only_a)}; only in the second: {some(only_b)}"
    )


def some(names: Iterable[str], longest: int = 60) -> str:
    """The first three names, each shortened if too long, and the number of all."""
    listed = sorted(names)
    shown = ", ".join(repr(name[:longest]) for name in listed[:3])
    return f"{shown}, … ({len(listed):,})" if len(listed) > 3 else shown or "none"
