"""Every rule of the table, as one function from rows to weights."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ensemble.blending.fit_rows import ClassRows, FitRows
from ensemble.blending.options import Options
from ensemble.blending.pool import MEMORY, ClassPool, Pool
from ensemble.blending.scoring import ACCURACY, Scoring
from ensemble.blending.weighting import OF_CLASSES, Weighting, weightings
from ensemble.errors import SelectionError
from ensemble.predictions import Array

BEST_MEMBER = "best member"
_LESS_MEMORY = {
    "class": "--metric log_loss needs less, --min-acc leaves out runs",
    "labels": "--min-score leaves out runs",
    "number": "--min-score leaves out runs",
}


class Rules:
    """Every rule in the table, as one function from rows to weights.

    First the best member, then the weightings, simplest first, then an anchor: equal weights for
    every run, whatever the rows.
    """

    def __init__(
        self, pool: Pool, options: Options, archs: Sequence[str], scoring: Scoring
    ) -> None:
        self.options, self.archs, self.scoring = options, archs, scoring
        self.fit_rows = scoring.fit_rows(pool)
        if scoring.contributed is not None:
            self.fit_rows = replace(self.fit_rows, pool_scores=pool.scores())
        self.weightings: dict[str, Weighting] = weightings(
            scoring.metric, options.is_log, self.fit_rows, scoring.is_decision_learned
        )
        self.names = (BEST_MEMBER, *self.weightings)
        self.missing = self._missing(pool)
        if options.weights not in (*self.names, "best"):
            raise SelectionError(
                f"--weights {options.weights} is not available here\n{self.missing}"
            )

    def _missing(self, pool: Pool) -> str:
        missing = []
        if not isinstance(pool, ClassPool):
            missing.append(f"{' and '.join(OF_CLASSES)} weights: of classes, best replaces them")
        if self.options.is_log:
            optimum = "logloss weights are the optimum of an arithmetic mean"
            missing.append(f"{optimum}: --average arithmetic")
        elif "greedy" not in self.names:
            n_bytes = pool.score_bytes
            if isinstance(pool, ClassPool) and self.scoring.name == ACCURACY:
                n_bytes = pool.margin_bytes
            missing.append(
                f"greedy by {self.scoring.name} needs {n_bytes / 2**30:.1f} GiB, "
                f"more than {MEMORY / 2**30:.1f}: {_LESS_MEMORY[pool.target]}"
            )
        return "; ".join(missing)

    def fit(self, rows: FitRows) -> Array:
        """Weights by every rule fitted on these rows, (rules and the anchor, members)."""
        n_members = rows.n_members
        weights = np.full((len(self.names) + 1, n_members), 1 / n_members)
        if not len(rows.targets):
            return weights
        scores = self.scoring.member_scores(rows)
        accuracies = rows.accuracies if isinstance(rows, ClassRows) else None
        selected = list(self.options.selection.chosen(accuracies, scores, self.archs))
        if not selected:
            selected = [int(np.argmax(scores))]
        best = selected[int(np.argmax(scores[selected]))]
        selected_rows = rows.of(np.array(selected))
        weights[:-1] = 0
        weights[0, best] = 1
        for rule_weights, weighting in zip(weights[1:-1], self.weightings.values(), strict=True):
            rule_weights[selected] = weighting(selected_rows)
        return weights
