"""What one model believes about named images: the one value that crosses from training to blending.

Rows are joined by id and classes by name, never by position; `aligned` is the only gate where members meet.
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
FREE_BYTES, MAX_SWELL = (
    1 << 30,
    100,
)  # beyond 1 GB, bytes of arrays for a byte of file: nothing else is a bomb
SUM_TOLERANCE = 1e-2  # float16 rows of 120 classes miss 1 by up to 0.004; more is another mistake


@dataclass(frozen=True, eq=False)
class Predictions:
    """Class probabilities of named images.

    ids is (images,) text, classes the class names, probs (images, classes) float32 with rows that sum to 1,
    targets (images,) positions in classes, or None where the labels are unknown; groups (images,) text, which rows
    belong together, or None where each stands alone. Raises DamagedError.
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
        n, c = len(self.ids), len(self.classes)
        if self.ids.ndim != 1 or self.ids.dtype.kind != "U":
            return f"ids must be a list of texts, not {self.ids.dtype} {self.ids.shape}"
        if self.probs.shape != (n, c) or self.probs.dtype.kind != "f":
            return f"probs is {self.probs.dtype} {self.probs.shape}, expected floats ({n}, {c})"
        if not _is_rising(self.ids) and len(np.unique(self.ids)) != n:
            names, counts = np.unique(self.ids, return_counts=True)
            return f"id {str(names[counts.argmax()])!r} stands {counts.max()} times"
        if not c or len(set(self.classes)) != c:
            return "a class name stands twice" if c else "no classes"
        if not np.isfinite(self.probs).all():
            return f"probabilities of {str(self.ids[~np.isfinite(self.probs).all(1)][0])!r} are not finite numbers"
        if n and (self.probs.min() < 0 or self.probs.max() > 1 + SUM_TOLERANCE):
            outside = (self.probs < 0).any(1) | (self.probs > 1 + SUM_TOLERANCE).any(1)
            return f"probabilities of {str(self.ids[outside][0])!r} are outside 0 to 1"
        sums = self.probs.sum(1, dtype=np.float64)
        if n and np.abs(sums - 1).max() > SUM_TOLERANCE:
            worst = int(np.abs(sums - 1).argmax())
            return f"probabilities of {str(self.ids[worst])!r} sum to {sums[worst]:.4f}, not 1"
        targets = self.targets
        if targets is not None and (targets.shape != (n,) or targets.dtype.kind not in "iu"):
            return f"targets is {targets.dtype} {targets.shape}, expected whole numbers ({n},)"
        if targets is not None and n and not (targets.min() >= 0 and targets.max() < c):
            return f"targets outside 0 to {c - 1}"
        if self.groups is not None and (self.groups.shape != (n,) or self.groups.dtype.kind != "U"):
            return f"groups must be ({n},) texts, not {self.groups.dtype} {self.groups.shape}"
        named = {"ids": self.ids, "classes": np.array(self.classes), "groups": self.groups}
        odd = [name for name, texts in named.items() if texts is not None and not _is_text(texts)]
        return (
            f"{odd[0]}: a letter there is no text (not in Unicode, or half of a pair)"
            if odd
            else None
        )

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
        """Read and check an .npz that `save` or another program wrote, of this hash if given. Raises DamagedError."""
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
        except Exception as error:  # whatever zipfile, zlib and numpy raise on a damaged file, it cannot be trusted
            raise DamagedError(f"{path}: cannot be read ({type(error).__name__})") from None

    def canonical(self) -> "Predictions":
        """The same beliefs in float64 with rows sorted by id, classes by name and sums made exactly 1."""
        rows = slice(None) if _is_rising(self.ids) else np.argsort(self.ids, kind="stable")
        columns = np.argsort(np.array(self.classes), kind="stable")
        probs = np.ascontiguousarray(self.probs[rows][:, columns], np.float64)
        targets = None if self.targets is None else np.argsort(columns)[self.targets[rows]]
        classes = tuple(self.classes[i] for i in columns)
        groups = None if self.groups is None else self.groups[rows]
        probs /= probs.sum(1, keepdims=True)
        return Predictions(self.ids[rows], classes, probs, targets, groups, is_checked=True)


def aligned(members: Mapping[str, Callable[[], Predictions]]) -> Iterator[Predictions]:
    """Members one at a time, sorted by id, about the same rows and classes in one order. Raises MismatchError."""
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
    """Predictions about different rows and the same classes as one. Raises MismatchError, DamagedError."""
    ready = {name: part.canonical() for name, part in parts.items()}
    first_name, first = next(iter(ready.items()))
    for name, part in ready.items():
        _check_same("classes", first_name, np.array(first.classes), name, np.array(part.classes))
    members = list(ready.values())
    return Predictions(
        np.concatenate([part.ids for part in members]),
        first.classes,
        np.concatenate([part.probs for part in members]),
        _together([part.targets for part in members]),
        _together([part.groups for part in members]),
    )


def _together(columns: Sequence[Array | None]) -> Array | None:
    there = [column for column in columns if column is not None]
    return np.concatenate(there) if len(there) == len(columns) else None


def _refuse_bomb(content: bytes) -> None:
    """Raises DamagedError for an .npz that would swell to more than memory may be asked for."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        n_bytes, limit = (
            sum(info.file_size for info in archive.infolist()),
            max(FREE_BYTES, MAX_SWELL * len(content)),
        )
    if n_bytes > limit:
        raise DamagedError(f"{n_bytes:,} bytes when unpacked, {limit:,} are allowed")


def _is_text(texts: Array) -> bool:
    """Whether every letter is one that UTF-8 can write."""
    if not texts.dtype.itemsize:
        return True
    codes = np.ascontiguousarray(texts).view(f"{texts.dtype.byteorder}u4")
    return not ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any()


def _is_rising(ids: Array) -> bool:
    """Whether each id is greater than the one before, and so stands once."""
    return bool((ids[1:] > ids[:-1]).all())


def _same_targets(mine: Array | None, others: Array | None) -> bool:
    if mine is None or others is None:
        return mine is others
    return np.array_equal(mine, others)


def _check_same(what: str, name: str, mine: Array, other_name: str, others: Array) -> None:
    if np.array_equal(mine, others):
        return
    only_mine, only_others = (
        np.setdiff1d(a, b).tolist() for a, b in ((mine, others), (others, mine))
    )
    raise MismatchError(
        f"{name} and {other_name} do not have the same {what}: {len(mine):,} against {len(others):,}\n"
        f"only in the first: {some(only_mine)}; only in the second: {some(only_others)}"
    )


def some(names: Iterable[str], longest: int = 60) -> str:
    """The first three names, each cut where it is too long, and how many there are."""
    listed = sorted(names)
    shown = ", ".join(repr(name[:longest]) for name in listed[:3])
    return f"{shown}, … ({len(listed):,})" if len(listed) > 3 else shown or "none"
