"""What an image is predicted to be: one class, several labels, or a number.

The probs of `Predictions` are (rows, classes) in each case: probabilities that sum to 1;
probabilities of each label by itself; or the values, in one column whose name is the only class.
"""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Target = Literal["class", "labels", "number"]
TARGETS: tuple[Target, ...] = get_args(Target)
IN_WORDS = {
    "class": "one class per image",
    "labels": "several labels per image",
    "number": "a number per image",
}
NOUNS = {  # what images are counted by
    "class": ("class", "classes"),
    "labels": ("label", "labels"),
    "number": ("range", "ranges"),
}
STORED = {"class": np.int64, "labels": np.uint8, "number": np.float64}  # targets in .npz files
SUM_TOLERANCE = 1e-2  # float16 rows of 120 classes miss 1 by up to 0.004; more is a mistake
ROUNDING = 1e-6  # a mean of probabilities of 1 in float32 may exceed 1 by this
_LARGEST = float(np.finfo(np.float32).max)  # of a value: .npz files hold float32


def problem_of_probs(
    target: Target, ids: Array, probs: Array, classes: tuple[str, ...]
) -> str | None:
    """The first problem with probs, floats (rows, classes), None if there is none."""
    if target == "number" and probs.shape[1] != 1:
        return f"a number per image is one column of values, not {probs.shape[1]}"
    if not len(ids):
        return None
    numbers = "values" if target == "number" else "probabilities"
    is_finite = np.isfinite(probs).all(1)
    if not is_finite.all():
        return f"{numbers} of {str(ids[~is_finite][0])!r} are NaN or infinite"
    if target == "number":
        is_outside = (np.abs(probs.astype(np.float64)) > _LARGEST).any(1)
        return (
            f"the value of {str(ids[is_outside][0])!r} is too large" if is_outside.any() else None
        )
    margin = SUM_TOLERANCE if target == "class" else ROUNDING
    if probs.min() < 0 or probs.max() > 1 + margin:
        is_outside = (probs < 0).any(1) | (probs > 1 + margin).any(1)
        hint = _hint_of_sums(classes, probs) if target == "class" else ""
        if target == "labels" and probs.min() >= 0 and 2 < probs.max() <= 100:
            hint = "\nthey look like per cent: divide them by 100"
        hint = hint or _hint_of_signs(probs)
        return f"probabilities of {str(ids[is_outside][0])!r} are outside 0 to 1{hint}"
    return _problem_of_sums(ids, probs, classes) if target == "class" else None


def _hint_of_sums(classes: tuple[str, ...], numbers: Array) -> str:
    """A line about what numbers (rows, classes) whose sums are not 1 seem to be, or ""."""
    sums = numbers.sum(1, dtype=np.float64)
    rests = ((name, sums - numbers[:, i]) for i, name in enumerate(classes))
    other = [name for name, rest in rests if np.allclose(rest, 1, atol=SUM_TOLERANCE)]
    if other and len(classes) > 2:
        return f"\nleave out column {other[0][:60]!r}, if it is no class"
    if np.allclose(sums, 100, atol=100 * SUM_TOLERANCE):
        return "\nthey look like per cent: divide them by 100"
    is_rounded = numbers.min() >= 0 and np.allclose(sums, 1, atol=0.005 * len(classes))
    return "\nthey look rounded: write more digits" if is_rounded else ""


def _hint_of_signs(numbers: Array) -> str:
    """A line about what numbers (rows, classes) that are partly below 0 seem to be, or ""."""
    if (numbers < -ROUNDING).mean() > 0.1:
        return "\nthey look like logits or logarithms: write probabilities, after the softmax or sigmoid"
    is_rounded = -ROUNDING <= numbers.min() < 0
    return "\nit is rounded below 0: write 0 where numbers are negative" if is_rounded else ""


def _problem_of_sums(ids: Array, probs: Array, classes: tuple[str, ...]) -> str | None:
    sums = probs.sum(1, dtype=np.float64)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > SUM_TOLERANCE:
        hint = _hint_of_sums(classes, probs)
        return f"probabilities of {str(ids[worst])!r} sum to {sums[worst]:.4f}, not 1{hint}"
    return None


def problem_of_targets(target: Target, targets: Array, n: int, c: int) -> str | None:
    """The first problem with the targets of n rows and c classes, None if there is none."""
    stated = f"targets is {targets.dtype} {targets.shape}"
    if target == "number":
        if targets.shape != (n,) or targets.dtype != np.float64:
            return f"{stated}, expected float64 ({n},)"
        return None if np.isfinite(targets).all() else "targets has values that are NaN or infinite"
    if target == "labels":
        if targets.shape != (n, c) or targets.dtype.kind not in "iu":
            return f"{stated}, expected whole numbers 0 and 1 ({n}, {c})"
        is_binary = ((targets == 0) | (targets == 1)).all()
        return None if is_binary else "targets has numbers other than 0 and 1"
    if targets.shape != (n,) or targets.dtype.kind not in "iu":
        return f"{stated}, expected whole numbers ({n},)"
    if n and not (targets.min() >= 0 and targets.max() < c):
        return f"targets outside 0 to {c - 1}"
    return None


def targets_read(target: Target, targets: Array | None) -> Array | None:
    """Targets of a file in our types: truth values are 0 and 1, whole numbers are values too."""
    if targets is None:
        return None
    if target == "labels" and targets.dtype.kind == "b":
        return targets.astype(np.uint8)
    return (
        targets.astype(np.float64)
        if target == "number" and targets.dtype.kind in "iuf"
        else targets
    )


def normalized(target: Target, probs: Array) -> Array:
    """probs (rows, classes) in float64 without their rounding: rows that sum to 1, labels up to 1."""
    exact = np.ascontiguousarray(probs, np.float64)
    if target == "class":
        return np.asarray(exact / exact.sum(1, keepdims=True))
    return np.minimum(exact, 1.0) if target == "labels" else exact


def by_column(target: Target, targets: Array, columns: Array) -> Array:
    """The targets of rows whose columns of probs are taken in this order, (classes,)."""
    if target == "labels":
        return np.ascontiguousarray(targets[:, columns])
    return np.argsort(columns)[targets] if target == "class" else targets


def sums_of(target: Target, targets: Array, n_classes: int) -> Array:
    """The rows of each class or label, or the sum of the values, (classes,) float64.

    Over the number of rows it is what a row that cannot be read is given.
    """
    if target == "class":
        return np.bincount(targets, minlength=n_classes).astype(np.float64)
    return np.atleast_1d(targets.sum(0, dtype=np.float64))
