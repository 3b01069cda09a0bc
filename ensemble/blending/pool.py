"""What selection and weighting need of many members, in little memory.

Small columns stay in memory, margins are built by blocks of rows. One member is in memory at a
time, unless all of them together are small.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble.blending.margins import Margins, Pairs
from ensemble.blending.ranks import ranked
from ensemble.metrics import FLOOR, TIE, predicted
from ensemble.predictions import Array, Predictions, aligned

MEMORY = 512 << 20  # bytes, for all members together and for margins

Members = Mapping[str, Callable[[], Predictions]]


@dataclass(frozen=True, eq=False)
class Pool:
    """Members with the same rows; members and rows sorted by id, classes by name.

    targets is (rows,); groups is (rows,) group numbers, or None; labels (members, rows) are the
    predicted classes; true (members, rows) the probabilities of the true class.
    """

    classes: tuple[str, ...]
    targets: Array
    groups: Array | None
    labels: Array
    true: Array
    pairs: Pairs
    is_log: bool
    is_rank: bool
    read: Callable[[], Iterator[Predictions]]

    def averaged(self) -> Iterator[Predictions]:
        """Members with what is averaged, up to `scale`: ranks in place of probabilities.

        Margins, and with them hits and losses, stay those of the mean of probabilities.
        """
        if not self.is_rank:
            return self.read()
        return ranked((member, np.sort(member.probs[:, 1])) for member in self.read())

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

    def fit_rows(self) -> "FitRows":
        """All rows and members, to fit weights on; without margins if those are large."""
        margins = self._only_block if self.n_blocks == 1 else None
        return FitRows(self.hits, self.true, len(self.classes), margins, self.targets)

    @property
    def score_bytes(self) -> int:
        """The size of the scores of all members."""
        return self.true.size * len(self.classes) * 8

    def scores(self) -> Array | None:
        """What is averaged, (members, classes, rows), if it is small."""
        if self.score_bytes > MEMORY:
            return None
        scores = np.empty((len(self.true), len(self.classes), len(self.targets)))
        for member_scores, member in zip(scores, self.averaged(), strict=True):
            member_scores[:] = scale(member.probs, self.is_log).T
        return scores

    def _margins(self, start: int, end: int) -> Margins:
        pairs = self.pairs.of_rows(start, end)
        targets = self.targets[start:end]
        values = np.empty((len(self.true), len(pairs.row)))
        for m, member in enumerate(self.read()):
            scores = scale(member.probs[start:end], self.is_log)
            values[m] = scores[pairs.row, targets[pairs.row]] - scores[pairs.row, pairs.rival]
        bar = np.where(pairs.rival > targets[pairs.row], -TIE, TIE)
        return Margins(values, pairs.row, pairs.rank, bar, pairs.settled, self.is_log)

    def mixed(self, weights: Array) -> Array:
        """The blends' probabilities, (blends, rows, classes), added up member by member.

        weights is (blends, members).
        """
        return mix(self.averaged(), weights, self.is_log, self.is_rank)[1]


@dataclass(frozen=True, eq=False)
class FitRows:
    """Rows to fit weights on.

    hits is (members, rows) of bool, true (members, rows) the probability of the true class; margins
    are of the same rows. For a metric other than accuracy and log loss, values (members,) are each
    member's, and scores (members, classes, rows) is what is averaged, unless it is large.
    """

    hits: Array
    true: Array
    n_classes: int
    margins: Margins | None
    targets: Array
    scores: Array | None = None
    values: Array | None = None

    @property
    def n_members(self) -> int:
        """The number of members."""
        return len(self.hits)

    @cached_property
    def accuracies(self) -> Array:
        """Each member's share of rows that are right, (members,)."""
        return np.asarray(np.count_nonzero(self.hits, axis=1) / max(1, self.hits.shape[1]))

    @property
    def log_losses(self) -> Array:
        """Each member's log loss in nats, (members,)."""
        return np.asarray(-np.log(self.true).mean(1))

    def take(self, rows: Array) -> "FitRows":
        """Some rows, by positions in rising order; without the members' values on them."""
        margins = self.margins and self.margins.take(rows)
        return FitRows(
            hits=self.hits.take(rows, axis=1),
            true=self.true.take(rows, axis=1),
            n_classes=self.n_classes,
            margins=margins,
            targets=self.targets[rows],
            scores=None if self.scores is None else self.scores.take(rows, axis=2),
        )

    def of(self, members: Array) -> "FitRows":
        """Some members, by position."""
        if len(members) == self.n_members:
            return self
        margins = self.margins and self.margins.of(members)
        return FitRows(
            hits=self.hits[members],
            true=self.true[members],
            n_classes=self.n_classes,
            margins=margins,
            targets=self.targets,
            scores=None if self.scores is None else self.scores[members],
            values=None if self.values is None else self.values[members],
        )


def open_pool(members: Members, is_log: bool = False, is_rank: bool = False) -> Pool:
    """Read every member once and keep what is small. Raises MismatchError, DamagedError."""
    read = _reader(members)
    labels, true = [], []
    first: Predictions | None = None
    groups: Array | None = None
    for member in read():
        groups = member.groups if groups is None else groups
        scores = scale(member.probs, is_log)
        if first is None:
            first = member
            assert first.targets is not None  # Run.valid refuses predictions without targets
            targets = first.targets
            may_win, must_win = np.zeros(scores.shape, bool), np.ones(scores.shape, bool)
        true_score = np.take_along_axis(scores, targets[:, None], axis=1)
        true_probs = np.take_along_axis(member.probs, targets[:, None], axis=1)[:, 0]
        true.append(np.maximum(true_probs, FLOOR))
        labels.append(predicted(scores).astype(np.int32))
        may_win |= scores >= true_score
        must_win &= scores > true_score
    assert first is not None
    return Pool(
        classes=first.classes,
        targets=targets,
        groups=None if groups is None else np.unique(groups, return_inverse=True)[1],
        labels=np.stack(labels),
        true=np.stack(true),
        pairs=_open_pairs(may_win, must_win, targets, is_log),
        is_log=is_log,
        is_rank=is_rank,
        read=read,
    )


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


def _open_pairs(may_win: Array, must_win: Array, targets: Array, is_log: bool) -> Pairs:
    """Rivals that may win against the true class but need not; none in rows where one must win."""
    rows = np.arange(len(targets))
    may_win[rows, targets] = False
    is_lost = must_win.any(1)
    if is_log:  # losses need every class
        may_win[:] = True
        may_win[rows, targets] = False
    else:
        may_win[is_lost] = False
    return Pairs.of(may_win, np.asarray(~is_lost))


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
