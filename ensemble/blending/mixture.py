"""The blend of stored or fresh predictions, computed from nothing but what a manifest holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ensemble.blending.calibration import Calibration
from ensemble.blending.pool import mix
from ensemble.blending.ranks import ranked, sorted_columns
from ensemble.errors import MismatchError
from ensemble.metrics.decision import MOST_PROBABLE, Decision
from ensemble.predictions import Array, Predictions, aligned
from ensemble.runs import Run


@dataclass(frozen=True, eq=False)
class Answered:
    """A blend's predictions, calibrated, and its answers as `Decision.apply` gives them.

    Positions of classes (rows,); 0 and 1 (rows, labels); or values (rows, 1).
    """

    predictions: Predictions
    answers: Array


@dataclass(frozen=True)
class Mixture:
    """How members are averaged, and how the average answers.

    Weights by run id, whether logarithms are averaged, the calibration of the average, whether the
    members' refits predict, whether ranks among the validation rows are averaged, and the decision,
    made before any calibration.
    """

    weights: Mapping[str, float]
    is_log: bool
    calibration: Calibration | None
    of_refits: bool = False
    is_rank: bool = False
    decision: Decision = MOST_PROBABLE

    @property
    def of_probabilities(self) -> "Mixture":
        """The same without ranks, for what needs probabilities."""
        return replace(self, is_rank=False)

    def of_test(self, runs: Mapping[str, Run]) -> Answered | None:
        """The blend of these runs on the test rows, None without a test set.

        Raises MismatchError, DamagedError.
        """
        names = sorted(self.weights)
        with_test = [name for name in names if runs[name].data.n_test]
        if not with_test:
            return None
        if len(with_test) < len(names):
            without_test = min(set(names) - set(with_test))
            raise MismatchError(
                f"{without_test} has no test predictions, {with_test[0]} has\n"
                "blend the runs that have some: `ens blend PATTERN`"
            )
        return self.of(
            {name: runs[name].test_refit if self.of_refits else runs[name].test for name in names},
            self.references(runs),
        )

    def of_valid(self, runs: Mapping[str, Run]) -> Predictions:
        """The blended validation probabilities of these runs before any refit.

        Raises MismatchError, DamagedError.
        """
        return self.of(
            {name: runs[name].valid for name in self.weights}, self.references(runs)
        ).predictions

    def references(self, runs: Mapping[str, Run]) -> dict[str, Array]:
        """By run id the validation distribution that gives ranks, nothing where none are averaged.

        Raises DamagedError.
        """
        names = self.weights if self.is_rank else ()
        return {name: sorted_columns(runs[name].valid().canonical()) for name in names}

    def of(
        self,
        members: Mapping[str, Callable[[], Predictions]],
        references: Mapping[str, Array],
    ) -> Answered:
        """The blend of the members' predictions, by run id, for the same rows.

        Raises MismatchError, DamagedError.
        """
        names = sorted(self.weights)
        weights = np.array([[self.weights[name] for name in names]])
        averaged = aligned(members)
        if self.is_rank:
            averaged = ranked(zip(averaged, [references[name] for name in names], strict=True))
        member, (probs,) = mix(averaged, weights, self.is_log, self.is_rank)
        decision = self.decision
        classes = getattr(decision, "classes", member.classes)
        if classes != member.classes:
            raise MismatchError(
                f"the decision is about the classes {', '.join(classes)[:200]}, "
                f"the members' are {', '.join(member.classes)[:200]}"
            )
        answers = decision.apply(probs)
        blend = replace(member, probs=self.calibrated(probs), groups=None, is_checked=True)
        return Answered(blend, answers)

    def calibrated(self, probs: Array) -> Array:
        """The average's probabilities (rows, classes) as the blend answers with them."""
        return self.calibration.apply(probs) if self.calibration else probs
