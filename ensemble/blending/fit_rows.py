"""The rows that weights are fitted on, and what is known of each member on them."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np

from ensemble.blending.margins import Margins
from ensemble.predictions import Array


@dataclass(frozen=True, eq=False)
class FitRows:
    """Rows to fit weights on.

    For a metric whose rows contribute to it, values (members,) are each member's, and scores
    (members, classes, rows) is what is averaged, unless it is large.
    """

    targets: Array
    n_members: int
    n_classes: int
    scores: Array | None = None
    values: Array | None = None

    def take(self, rows: Array) -> Self:
        """Some rows, by positions in rising order; without the members' values on them."""
        scores = None if self.scores is None else self.scores.take(rows, axis=2)
        return replace(self, targets=self.targets[rows], scores=scores, values=None)

    def of(self, members: Array) -> Self:
        """Some members, by position."""
        return replace(
            self,
            n_members=len(members),
            scores=None if self.scores is None else self.scores[members],
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

    def take(self, rows: Array) -> Self:
        """Some rows, by positions in rising order; without the members' values on them."""
        return replace(
            super().take(rows),
            hits=self.hits.take(rows, axis=1),
            true=self.true.take(rows, axis=1),
            margins=self.margins and self.margins.take(rows),
        )

    def of(self, members: Array) -> Self:
        """Some members, by position."""
        if len(members) == self.n_members:
            return self
        return replace(
            super().of(members),
            hits=self.hits[members],
            true=self.true[members],
            margins=self.margins and self.margins.of(members),
        )
