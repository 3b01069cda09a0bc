"""What choosing and weighing need of many members: small columns that stay, and margins by blocks of rows.

One member is open at a time, unless all of them together are small.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ensemble.blending.margins import Margins, Pairs
from ensemble.metrics import FLOOR, TIE, predicted
from ensemble.predictions import Array, Predictions, aligned

MEMORY = 512 << 20  # bytes that members or margins may take together

Members = Mapping[str, Callable[[], Predictions]]


@dataclass(frozen=True, eq=False)
class Pool:
    """Members about the same rows, sorted by id, rows by id and classes by name.

    targets is (rows,); groups (rows,) numbers of what belongs together, or None; labels (members, rows) the classes
    that members name; true (members, rows) what they give the true class.
    """

    classes: tuple[str, ...]
    targets: Array
    groups: Array | None
    labels: Array
    true: Array
    pairs: Pairs
    is_log: bool
    read: Callable[[], Iterator[Predictions]]

    @cached_property
    def hits(self) -> Array:
        """Where members are right, (members, rows) of bool."""
        return np.asarray(self.labels == self.targets)

    @property
    def margin_bytes(self) -> int:
        """What the margins of all rows would take."""
        return len(self.pairs.row) * len(self.true) * 8

    @property
    def n_blocks(self) -> int:
        """Into how many blocks of rows the margins must be cut to stay small."""
        return max(1, -(-self.margin_bytes // MEMORY))

    def blocks(self) -> Iterator[tuple[slice, Margins]]:
        """Ranges of rows with their margins; where it is one block it is built once."""
        if self.n_blocks == 1:
            yield slice(0, len(self.targets)), self._only_block
            return
        edges = np.linspace(0, len(self.targets), self.n_blocks + 1).astype(int).tolist()
        for start, end in zip(edges[:-1], edges[1:], strict=True):
            yield slice(start, end), self._margins(start, end)

    @cached_property
    def _only_block(self) -> Margins:
        return self._margins(0, len(self.targets))

    def sample(self) -> "Sample":
        """All rows and members, as weightings see them; without margins where those are large."""
        return Sample(
            self.hits,
            self.true,
            len(self.classes),
            self._only_block if self.n_blocks == 1 else None,
        )

    def _margins(self, start: int, end: int) -> Margins:
        pairs = self.pairs.of_rows(start, end)
        targets = self.targets[start:end]
        values = np.empty((len(self.true), len(pairs.row)))
        for m, member in enumerate(self.read()):
            probs = scale(member.probs[start:end], self.is_log)
            values[m] = probs[pairs.row, targets[pairs.row]] - probs[pairs.row, pairs.rival]
        bar = np.where(pairs.rival > targets[pairs.row], -TIE, TIE)
        return Margins(values, pairs.row, pairs.rank, bar, pairs.settled, self.is_log)

    def mixed(self, weights: Array) -> Array:
        """The blends' probabilities, added member by member. weights is (blends, members); (blends, rows, classes)."""
        return mix(self.read(), weights, self.is_log)[1]


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows to learn from. hits is (members, rows) of bool, true (members, rows), margins those of the same rows."""

    hits: Array
    true: Array
    n_classes: int
    margins: Margins | None

    @cached_property
    def accuracies(self) -> Array:
        """Each member's share of rows that are right, (members,)."""
        return np.asarray(np.count_nonzero(self.hits, axis=1) / max(1, self.hits.shape[1]))

    @property
    def log_losses(self) -> Array:
        """Each member's log loss in nats, (members,)."""
        return np.asarray(-np.log(self.true).mean(1))

    def take(self, rows: Array) -> "Sample":
        """Some rows, positions in rising order."""
        margins = self.margins and self.margins.take(rows)
        return Sample(
            self.hits.take(rows, axis=1), self.true.take(rows, axis=1), self.n_classes, margins
        )

    def of(self, members: Array) -> "Sample":
        """Some members."""
        if len(members) == len(self.hits):
            return self
        margins = self.margins and self.margins.of(members)
        return Sample(self.hits[members], self.true[members], self.n_classes, margins)


def open_pool(members: Members, is_log: bool = False) -> Pool:
    """Read every member once and keep what is small. Raises MismatchError, DamagedError."""
    read = _reader(members)
    labels, true = [], []
    first: Predictions | None = None
    groups: Array | None = None
    for member in read():
        groups = member.groups if groups is None else groups
        probs = scale(member.probs, is_log)
        if first is None:
            first = member
            assert first.targets is not None  # Run.valid refuses predictions without targets
            targets = first.targets
            may, must = np.zeros(probs.shape, bool), np.ones(probs.shape, bool)
        own = np.take_along_axis(probs, targets[:, None], axis=1)
        true.append(
            np.maximum(np.take_along_axis(member.probs, targets[:, None], axis=1)[:, 0], FLOOR)
        )
        labels.append(predicted(probs).astype(np.int32))
        may |= probs >= own
        must &= probs > own
    assert first is not None
    numbered = None if groups is None else np.unique(groups, return_inverse=True)[1]
    return Pool(
        first.classes,
        targets,
        numbered,
        np.stack(labels),
        np.stack(true),
        _open_pairs(may, must, targets, is_log),
        is_log,
        read,
    )


def _reader(members: Members) -> Callable[[], Iterator[Predictions]]:
    """Members in order, read again at each turn, or kept where all of them are small."""
    kept: list[Predictions] = []

    def read() -> Iterator[Predictions]:
        if kept:
            yield from kept
            return
        held: list[Predictions] = []
        for member in aligned(members):
            if member.probs.nbytes * len(members) <= MEMORY:
                held.append(member)
            yield member
        kept.extend(held)

    return read


def _open_pairs(may: Array, must: Array, targets: Array, is_log: bool) -> Pairs:
    """Rivals that may win against the true class but need not; in rows where one must, nothing is open."""
    rows = np.arange(len(targets))
    may[rows, targets] = False
    lost = must.any(1)
    if is_log:  # losses need every class
        may[:] = True
        may[rows, targets] = False
    else:
        may[lost] = False
    return Pairs.of(may, np.asarray(~lost))


def scale(probs: Array, is_log: bool) -> Array:
    """What is averaged: probabilities, or their logarithms for geometric means."""
    return np.log(np.maximum(probs, FLOOR)) if is_log else probs


def mix(
    members: Iterator[Predictions], weights: Array, is_log: bool = False
) -> tuple[Predictions, Array]:
    """Weighted means of probabilities, or of their logarithms made to sum to 1, added member by member in their order.

    weights is (blends, members); returns one of the members and the means, (blends, rows, classes).
    """
    total: Array | None = None
    for member, own in zip(members, weights.T, strict=True):
        if total is None:
            total = np.zeros((len(weights), *member.probs.shape))
        if own.any():
            probs = scale(member.probs, is_log)
            for blend, weight in zip(total, own, strict=True):
                if weight:
                    blend += weight * probs
    assert total is not None
    if is_log:
        np.exp(total - total.max(2, keepdims=True), out=total)
        total /= total.sum(2, keepdims=True)
    return member, total
