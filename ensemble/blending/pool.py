"""What selection and weighting need of many members, in little memory.

Small columns stay in memory, margins are built by blocks of rows. One member is in memory at a
time, unless all of them together are small.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble.blending.fit_rows import ClassRows, FitRows
from ensemble.blending.margins import Margins, Pairs
from ensemble.blending.ranks import ranked, sorted_columns
from ensemble.metrics import FLOOR, TIE, predicted
from ensemble.predictions import Array, Predictions, aligned
from ensemble.targets import Target

MEMORY = 512 << 20  # bytes, for all members together and for margins

Members = Mapping[str, Callable[[], Predictions]]


@dataclass(frozen=True, eq=False)
class Pool:
    """Members with the same rows; members and rows sorted by id, classes by name.

    targets are as `Predictions` has them; groups is (rows,) group numbers, or None.
    """

    classes: tuple[str, ...]
    target: Target
    targets: Array
    groups: Array | None
    n_members: int
    is_log: bool
    is_rank: bool
    read: Callable[[], Iterator[Predictions]]

    def averaged(self) -> Iterator[Predictions]:
        """Members with what is averaged, up to `scale`: ranks in place of probabilities.

        Margins, and with them hits and losses, stay those of the mean of probabilities.
        """
        if not self.is_rank:
            return self.read()
        return ranked((member, sorted_columns(member)) for member in self.read())

    def fit_rows(self) -> FitRows:
        """All rows and members, to fit weights on."""
        return FitRows(self.targets, self.n_members, len(self.classes))

    @property
    def score_bytes(self) -> int:
        """The size of the scores of all members."""
        return self.n_members * len(self.targets) * len(self.classes) * 8

    def scores(self) -> Array | None:
        """What is averaged, (members, classes, rows), if it is small."""
        if self.score_bytes > MEMORY:
            return None
        scores = np.empty((self.n_members, len(self.classes), len(self.targets)))
        for member_scores, member in zip(scores, self.averaged(), strict=True):
            member_scores[:] = scale(member.probs, self.is_log).T
        return scores

    def mixed(self, weights: Array) -> Array:
        """The blends' predictions, (blends, rows, classes), added up member by member.

        weights is (blends, members).
        """
        return mix(self.averaged(), weights, self.is_log, self.is_rank)[1]


@dataclass(frozen=True, eq=False)
class ClassPool(Pool):
    """Members that predict one class per row.

    labels (members, rows) are the predicted classes; true (members, rows) the probabilities of the
    true class.
    """

    labels: Array
    true: Array
    pairs: Pairs

    @cached_property
    def hits(self) -> Array:
        """Where members are right, (members, rows) of bool."""
        return np.asarray(self.labels == self.targets)

    @property
    def margin_bytes(self) -> int:
        """The size of the margins of all rows."""
        return len(self.pairs.row) * len(self.true) * 8

    @property
    def n_blocks(self) -> int:
        """How many blocks of rows keep the margins small."""
        return max(1, -(-self.margin_bytes // MEMORY))

    def blocks(self) -> Iterator[tuple[slice, Margins]]:
        """Ranges of rows with their margins; a single block is built only once."""
        if self.n_blocks == 1:
            yield slice(0, len(self.targets)), self._only_block
            return
        edges = np.linspace(0, len(self.targets), self.n_blocks + 1).astype(int).tolist()
        for start, end in zip(edges[:-1], edges[1:], strict=True):
            yield slice(start, end), self._margins(start, end)

    @cached_property
    def _only_block(self) -> Margins:
        return self._margins(0, len(self.targets))

    def fit_rows(self) -> ClassRows:
        """All rows and members, to fit weights on; without margins if those are large."""
        margins = self._only_block if self.n_blocks == 1 else None
        sizes = self.n_members, len(self.classes)
        return ClassRows(self.targets, *sizes, hits=self.hits, true=self.true, margins=margins)

    def _margins(self, start: int, end: int) -> Margins:
        pairs = self.pairs.of_rows(start, end)
        targets = self.targets[start:end]
        values = np.empty((len(self.true), len(pairs.row)))
        for m, member in enumerate(self.read()):
            scores = scale(member.probs[start:end], self.is_log)
            values[m] = scores[pairs.row, targets[pairs.row]] - scores[pairs.row, pairs.rival]
        bar = np.where(pairs.rival > targets[pairs.row], -TIE, TIE)
        return Margins(values, pairs.row, pairs.rank, bar, pairs.settled, self.is_log)


def open_pool(members: Members, is_log: bool = False, is_rank: bool = False) -> Pool:
    """Read every member once and keep what is small. Raises MismatchError, DamagedError."""
    read = _reader(members)
    first: Predictions | None = None
    groups: Array | None = None
    columns: _ClassColumns | None = None
    for member in read():
        groups = member.group_numbers if groups is None else groups
        if first is None:
            first = member
            if member.target == "class":
                columns = _ClassColumns(first.known_targets, member.probs.shape, is_log)
        if columns:
            columns.add(member.probs)
    assert first is not None
    pool = Pool(
        classes=first.classes,
        target=first.target,
        targets=first.known_targets,
        groups=groups,
        n_members=len(members),
        is_log=is_log,
        is_rank=is_rank,
        read=read,
    )
    if columns is None:
        return pool
    labels, true = np.stack(columns.labels), np.stack(columns.true)
    return ClassPool(**vars(pool), labels=labels, true=true, pairs=columns.pairs())


class _ClassColumns:
    """What a `ClassPool` keeps of members that are added one by one; targets is (rows,)."""

    def __init__(self, targets: Array, shape: tuple[int, ...], is_log: bool) -> None:
        self.targets, self.is_log = targets, is_log
        self.labels: list[Array] = []
        self.true: list[Array] = []
        self.may_win, self.must_win = np.zeros(shape, bool), np.ones(shape, bool)

    def add(self, probs: Array) -> None:
        """probs is (rows, classes)."""
        scores, columns = scale(probs, self.is_log), self.targets[:, None]
        true_score = np.take_along_axis(scores, columns, axis=1)
        true_probs = np.take_along_axis(probs, columns, axis=1)[:, 0]
        self.true.append(np.maximum(true_probs, FLOOR))
        self.labels.append(predicted(scores).astype(np.int32))
        self.may_win |= scores >= true_score
        self.must_win &= scores > true_score

    def pairs(self) -> Pairs:
        """Rivals that may win against the true class but need not; none where one must win."""
        rows, may_win = np.arange(len(self.targets)), self.may_win
        may_win[rows, self.targets] = False
        is_lost = self.must_win.any(1)
        if self.is_log:  # losses need every class
            may_win[:] = True
            may_win[rows, self.targets] = False
        else:
            may_win[is_lost] = False
        return Pairs.of(may_win, np.asarray(~is_lost))


def _reader(members: Members) -> Callable[[], Iterator[Predictions]]:
    """Members in order, read again each time, or kept in memory if all of them are small."""
    kept: list[Predictions] = []

    def read() -> Iterator[Predictions]:
        if kept:
            yield from kept
            return
        small: list[Predictions] = []
        for member in aligned(members):
            if member.probs.nbytes * len(members) <= MEMORY:
                small.append(member)
            yield member
        kept.extend(small)

    return read


def scale(probs: Array, is_log: bool) -> Array:
    """What is averaged: probabilities, or their logarithms for geometric means."""
    return np.log(np.maximum(probs, FLOOR)) if is_log else probs


def mix(
    members: Iterator[Predictions], weights: Array, is_log: bool = False, is_rank: bool = False
) -> tuple[Predictions, Array]:
    """Weighted means, added member by member in order.

    Means of probabilities, or of their logarithms, normalized to sum to 1. weights is (blends,
    members); returns the last member and the means, (blends, rows, classes).
    """
    total: Array | None = None
    for member, member_weights in zip(members, weights.T, strict=True):
        if total is None:
            total = np.zeros((len(weights), *member.probs.shape))
        if member_weights.any():
            scores = scale(member.probs, is_log)
            for blend, weight in zip(total, member_weights, strict=True):
                if weight:
                    blend += weight * scores
    assert total is not None
    return member, finished(total, is_log, is_rank)


def finished(sums: Array, is_log: bool, is_rank: bool) -> Array:
    """What a blend answers with, from sums of what is averaged, (..., classes).

    Means of ranks are often equal, which rounding errors must not hide from the area under the ROC
    curve.
    """
    if is_rank:
        return np.round(sums, 12)
    return normalized(sums) if is_log else sums


def normalized(logs: Array) -> Array:
    """Probabilities from sums of logarithms, (..., classes); the sums are overwritten."""
    np.exp(logs - logs.max(-1, keepdims=True), out=logs)
    logs /= logs.sum(-1, keepdims=True)
    return logs
