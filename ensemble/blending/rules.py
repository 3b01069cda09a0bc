"""Every rule of the table, as one function from rows to weights."""

from collections.abc import Sequence

import numpy as np

from ensemble.blending.options import Options
from ensemble.blending.pool import MEMORY, FitRows, Pool
from ensemble.blending.weighting import weightings
from ensemble.errors import SelectionError
from ensemble.predictions import Array

BEST_MEMBER = "best member"


class Rules:
    """Every rule in the table, as one function from rows to weights.

    First the best member, then the weightings, simplest first, then an anchor: equal weights for
    every run, whatever the rows.
    """

    def __init__(self, pool: Pool, options: Options, archs: Sequence[str]) -> None:
        self.options, self.archs = options, archs
        self.fit_rows = pool.fit_rows()
        has_margins = self.fit_rows.margins is not None
        self.weightings = weightings(options.metric, options.is_log, has_margins)
        self.names = (BEST_MEMBER, *self.weightings)
        self.missing = self._missing(pool.margin_bytes)
        if options.weights not in (*self.names, "best"):
            raise SelectionError(
                f"--weights {options.weights} is not available here\n{self.missing}"
            )

    def _missing(self, margin_bytes: int) -> str:
        if "logloss" not in self.names:
            return "logloss weights are the optimum of an arithmetic mean: --average arithmetic"
        if "greedy" not in self.names:
            return (
                f"greedy by accuracy needs {margin_bytes / 2**30:.1f} GiB, "
                f"more than {MEMORY / 2**30:.1f}: "
                "--metric log_loss needs less, --min-acc leaves out runs"
            )
        return ""

    def fit(self, rows: FitRows) -> Array:
        """Weights by every rule fitted on these rows, (rules and the anchor, members)."""
        n_members, n_rows = rows.hits.shape
        weights = np.full((len(self.names) + 1, n_members), 1 / n_members)
        if not n_rows:
            return weights
        is_log_loss = self.options.metric == "log_loss"
        losses = rows.log_losses if is_log_loss else np.zeros(n_members)
        scores = -losses if is_log_loss else rows.accuracies
        selected = list(self.options.selection.chosen(rows.accuracies, losses, self.archs))
        if not selected:
            selected = [int(np.argmax(scores))]
        best = selected[int(np.argmax(scores[selected]))]
        selected_rows = rows.of(np.array(selected))
        weights[:-1] = 0
        weights[0, best] = 1
        for rule_weights, weighting in zip(weights[1:-1], self.weightings.values(), strict=True):
            rule_weights[selected] = weighting(selected_rows)
        return weights
