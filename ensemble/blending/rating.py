"""Every way of weighing side by side: its score on unseen rows, and how much the rows that it saw flatter it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ensemble import metrics
from ensemble.blending import estimate
from ensemble.blending.estimate import METRICS, N_PARTS, N_REPEATS, Outcomes
from ensemble.blending.pool import MEMORY, Pool, Sample
from ensemble.blending.selection import Selection
from ensemble.blending.weighting import CHOICES, weightings
from ensemble.errors import SelectionError
from ensemble.metrics import TIE, Interval
from ensemble.predictions import Array

BEST_MEMBER = "best member"


@dataclass(frozen=True)
class Options:
    """How members are chosen, weighed and averaged."""

    min_acc: float = 0.0
    per_arch: int = 0
    max_members: int = 0
    weights: str = "accuracy"
    metric: str = "accuracy"
    average: str = "arithmetic"
    calibrate: bool = False

    def __post_init__(self) -> None:
        allowed = {"weights": CHOICES, "metric": METRICS, "average": ("arithmetic", "geometric")}
        for key, values in allowed.items():
            if getattr(self, key) not in values:
                raise SelectionError(
                    f"--{key} {getattr(self, key)} is not one of {', '.join(values)}"
                )
        if not 0 <= self.min_acc <= 1:
            raise SelectionError(f"--min-acc {self.min_acc}: from 0 to 1 is allowed")
        for key in ("per_arch", "max_members"):
            if getattr(self, key) < 0:
                raise SelectionError(
                    f"--{key.replace('_', '-')} {getattr(self, key)}: 0 (no limit) or more is allowed"
                )

    @property
    def is_log(self) -> bool:
        """Whether logarithms are averaged."""
        return self.average == "geometric"

    @property
    def selection(self) -> Selection:
        """Those that choose members."""
        return Selection(self.min_acc, self.per_arch, self.max_members, self.metric)


@dataclass(frozen=True)
class Rating:
    """One way of weighing: its cross-fitted scores, those on the fitting rows, and its lead over the best member.

    difference is in the metric that was asked for, positive where it is better than the best member, chosen in the
    same way.
    """

    name: str
    n_rows: int
    metric: str
    accuracy: Interval
    log_loss: Interval
    fitted_accuracy: float
    fitted_log_loss: float
    difference: Interval

    @property
    def optimism(self) -> float:
        """How much the fitted score flatters in the metric: too high an accuracy, too low a log loss."""
        if self.metric == "accuracy":
            return self.fitted_accuracy - self.accuracy.value
        return self.log_loss.value - self.fitted_log_loss

    @property
    def verdict(self) -> str:
        """What the paired interval says of it beside the best member."""
        return verdict(self.difference, self.n_rows)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "optimism": self.optimism, "verdict": self.verdict}


def verdict(difference: Interval, n_rows: int) -> str:
    """Better, worse, or not distinguishable."""
    if difference.low > TIE:
        return f"better at n={n_rows}"
    return (
        f"worse at n={n_rows}" if difference.high < -TIE else f"not distinguishable at n={n_rows}"
    )


class Rules:
    """Every rule that the table shows, as one function from rows to weights.

    The best member, then simplest first, then an anchor: equal weights for every run, whatever the rows.
    """

    def __init__(self, pool: Pool, options: Options, archs: Sequence[str]) -> None:
        self.pool, self.options, self.archs, self.sample = pool, options, archs, pool.sample()
        self.weightings = weightings(
            options.metric, options.is_log, self.sample.margins is not None
        )
        self.names = (BEST_MEMBER, *self.weightings)
        self.missing = self._missing()
        if options.weights not in (*self.names, "best"):
            raise SelectionError(f"--weights {options.weights} cannot be had here\n{self.missing}")

    def _missing(self) -> str:
        if "logloss" not in self.names:
            return "logloss weights are the optimum of an arithmetic mean: --average arithmetic"
        if "greedy" not in self.names:
            return (
                f"greedy by accuracy would hold {self.pool.margin_bytes / 2**30:.1f} GiB, "
                f"more than {MEMORY / 2**30:.1f}: "
                "--metric log_loss searches without, --min-acc with fewer runs"
            )
        return ""

    def cross_fit(self, seed: int) -> tuple[Array, Outcomes]:
        """The weights from all rows, (rules and the anchor, members), and what they do on rows not seen."""
        learnt = self.learn(self.sample)
        return learnt, estimate.cross_fit(self.pool, self.sample, self.learn, seed)

    def learn(self, sample: Sample) -> Array:
        """Weights by every rule from these rows, (rules, members)."""
        n_members, n_rows = sample.hits.shape
        learnt = np.full((len(self.names) + 1, n_members), 1 / n_members)
        if not n_rows:
            return learnt
        is_log_loss = self.options.metric == "log_loss"
        losses = sample.log_losses if is_log_loss else np.zeros(n_members)
        scores = -losses if is_log_loss else sample.accuracies
        kept = list(self.options.selection.chosen(sample.accuracies, losses, self.archs)) or [
            int(np.argmax(scores))
        ]
        best = kept[int(np.argmax(scores[kept]))]
        inside = sample.of(np.array(kept))
        learnt[:-1] = 0
        learnt[0, best] = 1
        for own, weighting in zip(learnt[1:-1], self.weightings.values(), strict=True):
            own[kept] = weighting(inside)
        return learnt


def table_of(
    pool: Pool, rules: Rules, found: Outcomes, learnt: Array, seed: int
) -> tuple[tuple[Rating, ...], int]:
    """A rating of the best member, of every rule and of `best`, and the number of the rule that was asked for."""
    options, names = rules.options, rules.names
    metric = METRICS.index(options.metric)
    rows = found.rows[metric, :, 1:-1].mean(0)
    overall = 1 + estimate.simplest_near_best(metric, rows.sum(1), rows @ rows.T, rows.shape[1])
    on_all = {**{name: i for i, name in enumerate(names)}, "best": overall}
    choice = {name: np.full((N_REPEATS, N_PARTS), i) for i, name in enumerate(names)}
    choice["best"] = estimate.chosen_inside(found, metric, range(1, len(names)))
    fitted = _fitted(pool, learnt)
    single = estimate.rows_of(found, choice[BEST_MEMBER])
    table = []
    for name, own in choice.items():
        outcome = estimate.rows_of(found, own)
        lead = _lead(outcome, single, pool.groups, metric, seed)
        table.append(
            Rating(
                name=name,
                n_rows=len(pool.targets),
                metric=options.metric,
                accuracy=estimate.accuracy_interval(
                    outcome[0], estimate.widening(found, 0, own), seed, pool.groups
                ),
                log_loss=estimate.log_loss_interval(
                    outcome[1], estimate.widening(found, 1, own), seed, pool.groups
                ),
                fitted_accuracy=float(fitted[0, on_all[name]]),
                fitted_log_loss=float(fitted[1, on_all[name]]),
                difference=lead.widened(estimate.widening(found, metric, own, against=0)),
            )
        )
    return tuple(table), on_all[options.weights]


def _fitted(pool: Pool, learnt: Array) -> Array:
    """Mean outcomes on the rows that fitted the weights, (2, rules)."""
    each = [
        estimate.outcomes(pool, margins, np.arange(block.start, block.stop), learnt)
        for block, margins in pool.blocks()
    ]
    return np.asarray(np.concatenate(each, axis=2).mean(2))


def _lead(mine: Array, best: Array, groups: Array | None, metric: int, seed: int) -> Interval:
    """By how much the first is better, with its paired interval; both are (2, rows) of hits and losses."""
    if metric == 0 and groups is None:
        return metrics.paired_difference(mine[0], best[0])
    gain = mine[0] - best[0] if metric == 0 else best[1] - mine[1]
    return metrics.bootstrap_mean(metrics.by_group(gain, groups), seed)
