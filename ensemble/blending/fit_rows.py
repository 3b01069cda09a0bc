"""The rows that weights are fitted on, and what is known of each member on them."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np

from ensemble.blending.folds import Folds
from ensemble.blending.margins import Margins
from ensemble.predictions import Array


@dataclass(frozen=True, eq=False)
class FitRows:
    """Rows to fit weights on: those of the kept folds, all where there are no folds.

    For a metric whose rows contribute to it, values (members,) are each member's, and pool_scores
    (members, classes, rows) is what is averaged, of all members and all rows, unless it is large.
    members are positions in it, () for all.
    """

    targets: Array
    n_members: int
    n_classes: int
    pool_scores: Array | None = None
    values: Array | None = None
    folds: Folds | None = None
    kept: tuple[int, ...] = (0,)
    members: tuple[int, ...] = ()

    @cached_property
    def scores(self) -> Array:
        """What is averaged, of these members and rows, (members, classes, rows)."""
        scores = self.pool_scores
        assert scores is not None
        if self.members:
            scores = scores[list(self.members)]
        if self.folds is None:
            return scores
        return scores.take(self.folds.positions(self.kept), axis=2)

    def of_folds(self, folds: Folds, kept: tuple[int, ...]) -> Self:
        """The rows of some folds of all rows; without the members' values on them."""
        targets = self.targets[folds.positions(kept)]
        return replace(self, targets=targets, folds=folds, kept=kept, values=None)

    def of(self, members: Array) -> Self:
        """Some of all members, by position."""
        return replace(
            self,
            n_members=len(members),
            members=tuple(members.tolist()),
            values=None if self.values is None else self.values[members],
        )


@dataclass(frozen=True, eq=False)
class ClassRows(FitRows):
    """Rows of one class each.

    hits is (members, rows) of bool, true (members, rows) the probability of the true class; margins
    are of the same rows.
    """

    hits: Array = field(kw_only=True)
    true: Array = field(kw_only=True)
    margins: Margins | None = field(kw_only=True)

    @cached_property
    def accuracies(self) -> Array:
        """Each member's share of rows that are right, (members,)."""
        return np.asarray(np.count_nonzero(self.hits, axis=1) / max(1, self.hits.shape[1]))

    @property
    def log_losses(self) -> Array:
        """Each member's log loss in nats, (members,)."""
        return np.asarray(-np.log(self.true).mean(1))

    def of_folds(self, folds: Folds, kept: tuple[int, ...]) -> Self:
        """The rows of some folds of all rows; without the members' values on them."""
        positions = folds.positions(kept)
        return replace(
            super().of_folds(folds, kept),
            hits=self.hits.take(positions, axis=1),
            true=self.true.take(positions, axis=1),
            margins=self.margins and self.margins.take(positions),
        )

    def of(self, members: Array) -> Self:
        """Some of all members, by position."""
        if len(members) == self.n_members:
            return self
        return replace(
            super().of(members),
            hits=self.hits[members],
            true=self.true[members],
            margins=self.margins and self.margins.of(members),
        )
