"""Which runs to blend: one group of runs, then a threshold and a quota per architecture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.errors import SelectionError
from ensemble.predictions import Array
from ensemble.runs import Run


@dataclass(frozen=True)
class Group:
    """Runs with the same validation rows, by id; left_out counts the other runs by data set."""

    runs: tuple[Run, ...]
    left_out: dict[str, int]

    @property
    def name(self) -> str:
        """The name of the data set."""
        return self.runs[0].data.name


def choose_group(runs: Sequence[Run], data: str | None = None) -> Group:
    """The group of the newest run, on the data set of this name if one is given.

    Raises SelectionError.
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
    group = [run for run in runs if run.blend_key == newest.blend_key]
    left_out = Counter(run.data.name for run in runs if run.blend_key != newest.blend_key)
    return Group(
        runs=tuple(sorted(group, key=lambda run: run.id)),
        left_out=dict(sorted(left_out.items())),
    )


def short_arch(arch: str) -> str:
    """The timm name without its weights tag."""
    return arch.split(".")[0]


@dataclass(frozen=True)
class Selection:
    """An accuracy threshold, a quota per architecture and a limit.

    The quota and the limit take the best members by the metric.
    """

    min_acc: float = 0.0
    per_arch: int = 0
    max_members: int = 0
    metric: str = "accuracy"

    def chosen(self, accuracies: Array, losses: Array, archs: Sequence[str]) -> Mapping[int, str]:
        """The positions of the selected members, each with a reason.

        The reason is "" if the threshold selected the member.

        accuracies and losses are (members,); ties go to the earlier member.
        """
        errors = losses if self.metric == "log_loss" else -accuracies
        order = np.argsort(errors, kind="stable").tolist()
        reasons = {i: "" for i in order if accuracies[i] >= self.min_acc}
        if self.per_arch:
            for arch in sorted(set(archs)):
                best_of_arch = [i for i in order if archs[i] == arch][: self.per_arch]
                for i in best_of_arch:
                    reasons.setdefault(i, f"kept for {arch}")
        best = [i for i in order if i in reasons][: self.max_members or None]
        return {i: reasons[i] for i in sorted(best)}


def nothing_reaches(runs: Sequence[Run], accuracies: Array, min_acc: float) -> SelectionError:
    """The error that names the best of these runs."""
    best = int(np.argmax(accuracies))
    return SelectionError(
        f"no run reaches --min-acc {min_acc:g}; "
        f"the best is {runs[best].id} at {accuracies[best]:.6g}\n"
        f"lower --min-acc, or keep one of each architecture with --per-arch 1"
    )
