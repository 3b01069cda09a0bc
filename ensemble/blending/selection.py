"""Which runs to blend: one group of runs, then a threshold and a quota per architecture."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ensemble.errors import MetricError, SelectionError
from ensemble.numbers import count
from ensemble.predictions import Array
from ensemble.runs import GradedRun, Run
from ensemble.runs.grades import with_grades


@dataclass(frozen=True)
class Group:
    """Runs with the same validation rows, by id; left_out counts the other runs by data set.

    Where any of them predicts numbers, those on classes are `GradedRun`s.
    """

    runs: tuple[Run, ...]
    left_out: dict[str, int]

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.runs[0].data.name

    @property
    def n_graded(self) -> int:
        """How many runs on classes are among runs on numbers."""
        return sum(isinstance(run, GradedRun) for run in self.runs)

    @contextmanager
    def saying_grades(self) -> Iterator[None]:
        """Adds to what numbers cannot have that runs on classes would, blended alone."""
        try:
            yield
        except (MetricError, SelectionError) as error:
            if not self.n_graded:
                raise
            graded = next(run for run in self.runs if isinstance(run, GradedRun))
            numbers = {run.recipe for run in self.runs if not isinstance(run, GradedRun)}
            is_shared = graded.recipe in numbers  # one recipe, with --set data.target=number too
            pattern = f"'{graded.recipe}-{graded.digest}*'" if is_shared else graded.recipe
            lines = "; ".join(str(error).splitlines())
            raise type(error)(
                f"{lines}\n{count(self.n_graded, 'run')} on classes would be blended as expected "
                f"grades; alone they are classes: `ens blend {pattern}`"
            ) from None


def choose_group(runs: Sequence[Run], data: str | None = None) -> Group:
    """The group of the newest run, on the data set of this name if one is given.

    Raises SelectionError, and DamagedError or MismatchError where rows are compared.
    """
    if not runs:
        raise SelectionError(
            "no finished run matches\n`ens runs` lists all runs; `ens train RECIPE` makes one"
        )
    candidates = [run for run in runs if data is None or run.data.name == data]
    if not candidates:
        names = ", ".join(sorted({run.data.name for run in runs}))
        raise SelectionError(
            f"--data {data}: no finished run uses this data set\nfinished runs use {names}"
        )
    newest = max(candidates, key=lambda run: (run.created, run.id))
    group = with_grades(runs, newest)
    ids = {run.id for run in group}
    left_out = Counter(run.data.name for run in runs if run.id not in ids)
    return Group(
        runs=tuple(sorted(group, key=lambda run: run.id)),
        left_out=dict(sorted(left_out.items())),
    )


def short_arch(arch: str) -> str:
    """The timm name without its weights tag."""
    return arch.split(".")[0]


@dataclass(frozen=True)
class Selection:
    """Thresholds, a quota per architecture and a limit.

    min_acc bounds the accuracy, min_score the score by the metric, -inf: no bound. The quota and
    the limit take the best members by the metric.
    """

    min_acc: float = 0.0
    per_arch: int = 0
    max_members: int = 0
    min_score: float = -np.inf

    def chosen(
        self, accuracies: Array | None, scores: Array, archs: Sequence[str]
    ) -> Mapping[int, str]:
        """The positions of the selected members, each with a reason.

        The reason is "" if the thresholds selected the member.

        accuracies, if there are any, and scores are (members,), higher is better; ties go to the
        earlier member.
        """
        order = np.argsort(-scores, kind="stable").tolist()
        passes = scores >= self.min_score
        if accuracies is not None:
            passes &= accuracies >= self.min_acc
        reasons = {i: "" for i in order if passes[i]}
        if self.per_arch:
            for arch in sorted(set(archs)):
                best_of_arch = [i for i in order if archs[i] == arch][: self.per_arch]
                for i in best_of_arch:
                    reasons.setdefault(i, f"kept for {arch}")
        best = [i for i in order if i in reasons][: self.max_members or None]
        return {i: reasons[i] for i in sorted(best)}


def nothing_reaches(
    runs: Sequence[Run], best: int, reached: Mapping[str, tuple[float, float]]
) -> SelectionError:
    """The error that names the best of these runs.

    reached holds, by option, the bound and what that run has.
    """
    bounds = " and ".join(f"{option} {bound:g}" for option, (bound, _) in reached.items())
    scores = " and ".join(f"{score:.6g}" for _, score in reached.values())
    looser = " or ".join(
        "lower --min-acc" if option == "--min-acc" else f"change {option}" for option in reached
    )
    return SelectionError(
        f"no run reaches {bounds}; the best is {runs[best].id} at {scores}\n"
        f"{looser}, or keep one of each architecture with --per-arch 1"
    )
