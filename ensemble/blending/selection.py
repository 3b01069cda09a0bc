"""Which runs blend together: one group of runs about the same rows, then a threshold and a quota per architecture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.errors import SelectionError
from ensemble.predictions import Array
from ensemble.runs import Run


@dataclass(frozen=True)
class Group:
    """Runs about the same validation rows, sorted by id, and how many runs of other data stand aside."""

    runs: tuple[Run, ...]
    left_out: dict[str, int]

    @property
    def name(self) -> str:
        """The data set."""
        return self.runs[0].data.name


def choose_group(runs: Sequence[Run], data: str | None = None) -> Group:
    """The only group, else the one named, else that of the newest run. Raises SelectionError."""
    if not runs:
        raise SelectionError(
            "no finished run matches\n`ens runs` lists what there is; `ens train RECIPE` makes one"
        )
    wanted = [run for run in runs if data is None or run.data.name == data]
    if not wanted:
        names = ", ".join(sorted({run.data.name for run in runs}))
        raise SelectionError(f"--data {data}: no finished run on it\nthere are runs on {names}")
    newest = max(wanted, key=lambda run: (run.created, run.id))
    group = [run for run in runs if run.blend_key == newest.blend_key]
    left_out = Counter(run.data.name for run in runs if run.blend_key != newest.blend_key)
    return Group(
        runs=tuple(sorted(group, key=lambda run: run.id)),
        left_out=dict(sorted(left_out.items())),
    )


def short_arch(arch: str) -> str:
    """A timm name without its weights tag."""
    return arch.split(".")[0]


@dataclass(frozen=True)
class Selection:
    """An accuracy threshold, a quota per architecture, a greatest number; the last two take the best by the metric."""

    min_acc: float = 0.0
    per_arch: int = 0
    max_members: int = 0
    metric: str = "accuracy"

    def chosen(self, accuracies: Array, losses: Array, archs: Sequence[str]) -> Mapping[int, str]:
        """Positions of the members that are in, each with why a threshold did not decide it ("" where it did).

        accuracies and losses are (members,); ties go to the earlier member.
        """
        order = np.argsort(
            losses if self.metric == "log_loss" else -accuracies, kind="stable"
        ).tolist()
        kept = {i: "" for i in order if accuracies[i] >= self.min_acc}
        for arch in sorted(set(archs)) if self.per_arch else ():
            for i in [i for i in order if archs[i] == arch][: self.per_arch]:
                kept.setdefault(i, f"kept for {arch}")
        best = [i for i in order if i in kept][: self.max_members or None]
        return {i: kept[i] for i in sorted(best)}


def nothing_reaches(runs: Sequence[Run], accuracies: Array, min_acc: float) -> SelectionError:
    """The error that names the best run there is."""
    best = int(np.argmax(accuracies))
    return SelectionError(
        f"no run reaches --min-acc {min_acc:g}; the best is {runs[best].id} at {accuracies[best]:.6g}\n"
        f"lower --min-acc, or keep one of each architecture with --per-arch 1"
    )
