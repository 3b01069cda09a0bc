"""The class probabilities of one model: the only value that training hands to blending.

Rows are joined by id and classes by name, never by position; only `aligned` brings members
together.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.errors import DamagedError, MismatchError
from ensemble.files import atomic_path

Array = npt.NDArray[Any]
# a file is a zip bomb if its arrays take more than 1 GiB and more than 100 times its own bytes
FREE_BYTES = 1 << 30
MAX_RATIO = 100
SUM_TOLERANCE = 1e-2  # float16 rows of 120 classes miss 1 by up to 0.004; more is a mistake


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of named images.

    ids is (images,) text, classes the class names, probs (images, classes) float32 with rows that
    sum to 1; targets (images,) are positions in classes, or None if the labels are unknown; groups
    (images,) are texts, equal for rows that belong together, or None if rows are independent.
    Raises DamagedError.
    """

    ids: Array
    classes: tuple[str, ...]
    probs: Array
    targets: Array | None = None
    groups: Array | None = None
    is_checked: InitVar[bool] = False

    def __post_init__(self, is_checked: bool) -> None:
        problem = None if is_checked else self._problem()
        if problem:
            raise DamagedError(problem)

    def _problem(self) -> str | None:
        """The first problem with the arrays, None if they are valid."""
        return (
            self._problem_of_names()
            or self._problem_of_probs()
            or self._problem_of_targets()
            or self._problem_of_text()
        )

    def _problem_of_names(self) -> str | None:
        n, c = len(self.ids), len(self.classes)
        if self.ids.ndim != 1 or self.ids.dtype.kind != "U":
            return f"ids must be a list of texts, not {self.ids.dtype} {self.ids.shape}"
        if self.probs.shape != (n, c) or self.probs.dtype.kind != "f":
            return f"probs is {self.probs.dtype} {self.probs.shape}, expected floats ({n}, {c})"
        if not _is_rising(self.ids) and len(np.unique(self.ids)) != n:
            names, counts = np.unique(self.ids, return_counts=True)
            return f"id {str(names[counts.argmax()])!r} appears {counts.max()} times"
        if not c:
            return "no classes"
        return "a class name appears twice" if len(set(self.classes)) != c else None

    def _problem_of_probs(self) -> str | None:
        if not len(self.ids):
            return None
        is_finite = np.isfinite(self.probs).all(1)
        if not is_finite.all():
            return f"probabilities of {str(self.ids[~is_finite][0])!r} are NaN or infinite"
        if self.probs.min() < 0 or self.probs.max() > 1 + SUM_TOLERANCE:
            is_outside = (self.probs < 0).any(1) | (self.probs > 1 + SUM_TOLERANCE).any(1)
            return f"probabilities of {str(self.ids[is_outside][0])!r} are outside 0 to 1"
        sums = self.probs.sum(1, dtype=np.float64)
        worst = int(np.abs(sums - 1).argmax())
        if abs(sums[worst] - 1) > SUM_TOLERANCE:
            return f"probabilities of {str(self.ids[worst])!r} sum to {sums[worst]:.4f}, not 1"
        return None

    def _problem_of_targets(self) -> str | None:
        n, c = len(self.ids), len(self.classes)
        targets, groups = self.targets, self.groups
        if targets is not None and (targets.shape != (n,) or targets.dtype.kind not in "iu"):
            return f"targets is {targets.dtype} {targets.shape}, expected whole numbers ({n},)"
        if targets is not None and n and not (targets.min() >= 0 and targets.max() < c):
            return f"targets outside 0 to {c - 1}"
        if groups is not None and (groups.shape != (n,) or groups.dtype.kind != "U"):
            return f"groups must be ({n},) texts, not {groups.dtype} {groups.shape}"
        return None

    def _problem_of_text(self) -> str | None:
        columns = {"ids": self.ids, "classes": np.array(self.classes), "groups": self.groups}
        for name, texts in columns.items():
            if texts is not None and not _is_text(texts):
                return f"{name}: a character is not valid Unicode (out of range, or half of a pair)"
        return None

    def save(self, path: Path) -> None:
        """Write an .npz with the same bytes for the same content. Raises EnsembleError."""
        arrays = {
            "ids": self.ids,
            "classes": np.array(self.classes),
            "probs": self.probs.astype(np.float32),
        }
        if self.targets is not None:
            arrays["targets"] = self.targets.astype(np.int64)
        if self.groups is not None:
            arrays["groups"] = self.groups
        with atomic_path(path) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path, sha256: str | None = None) -> "Predictions":
        """Read and check an .npz from `save` or another program, and its hash if given.

        Raises DamagedError.
        """
        try:
            content = path.read_bytes()
            if sha256 and hashlib.sha256(content).hexdigest() != sha256:
                raise DamagedError("is not the file that run.json was written for")
            _refuse_bomb(content)
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            missing = {"ids", "classes", "probs"} - arrays.keys()
            if missing:
                raise DamagedError(f"no array named {', '.join(sorted(missing))}")
            classes = arrays["classes"]
            if classes.ndim != 1 or classes.dtype.kind != "U":
                raise DamagedError(
                    f"classes must be a list of texts, not {classes.dtype} {classes.shape}"
                )
            rest = (arrays.get("targets"), arrays.get("groups"))
            return cls(arrays["ids"], tuple(classes.tolist()), arrays["probs"], *rest)
        except FileNotFoundError:
            raise DamagedError(f"{path}: is missing") from None
        except DamagedError as error:
            raise DamagedError(f"{path}: {error}") from None
        except Exception as error:  # zipfile, zlib and numpy raise many types on a damaged file
            raise DamagedError(f"{path}: cannot be read ({type(error).__name__})") from None

    def canonical(self) -> "Predictions":
        """The same predictions in float64, rows by id, classes by name, rows summing to 1."""
        rows = slice(None) if _is_rising(self.ids) else np.argsort(self.ids, kind="stable")
        columns = np.argsort(np.array(self.classes), kind="stable")
        probs = np.ascontiguousarray(self.probs[rows][:, columns], np.float64)
        targets = None if self.targets is None else np.argsort(columns)[self.targets[rows]]
        classes = tuple(self.classes[i] for i in columns)
        groups = None if self.groups is None else self.groups[rows]
        probs /= probs.sum(1, keepdims=True)
        return Predictions(self.ids[rows], classes, probs, targets, groups, is_checked=True)


def aligned(members: Mapping[str, Callable[[], Predictions]]) -> Iterator[Predictions]:
    """Members one at a time, sorted by id, with the same rows and classes in the same order.

    Raises MismatchError.
    """
    first: Predictions | None = None
    for name in sorted(members):
        member = members[name]().canonical()
        if first is None:
            first, first_name = member, name
        _check_same("classes", first_name, np.array(first.classes), name, np.array(member.classes))
        _check_same("rows", first_name, first.ids, name, member.ids)
        if not _same_targets(first.targets, member.targets):
            raise MismatchError(
                f"{first_name} and {name} disagree about the true labels of the same rows"
            )
        yield member


def joined(parts: Mapping[str, Predictions]) -> Predictions:
    """Predictions of different rows and the same classes, as one.

    Raises MismatchError, DamagedError.
    """
    ready = {name: part.canonical() for name, part in parts.items()}
    first_name, first = next(iter(ready.items()))
    for name, part in ready.items():
        _check_same("classes", first_name, np.array(first.classes), name, np.array(part.classes))
    members = list(ready.values())
    return Predictions(
        np.concatenate([part.ids for part in members]),
        first.classes,
        np.concatenate([part.probs for part in members]),
        _concatenated([part.targets for part in members]),
        _concatenated([part.groups for part in members]),
    )


def _concatenated(columns: Sequence[Array | None]) -> Array | None:
    """One column, None unless every part has it."""
    present = [column for column in columns if column is not None]
    return np.concatenate(present) if len(present) == len(columns) else None


def _refuse_bomb(content: bytes) -> None:
    """Raises DamagedError for an .npz whose arrays are too large for its size."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        n_bytes = sum(info.file_size for info in archive.infolist())
    limit = max(FREE_BYTES, MAX_RATIO * len(content))
    if n_bytes > limit:
        raise DamagedError(f"{n_bytes:,} bytes when unpacked, {limit:,} are allowed")


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
