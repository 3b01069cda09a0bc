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
        raise SelectionError("no finished run matches\n`ens runs` lists what there is; `ens train RECIPE` makes one")
    wanted = [run for run in runs if data is None or run.data.name == data]
    if not wanted:
        names = ", ".join(sorted({run.data.name for run in runs}))
        raise SelectionError(f"--data {data}: no finished run on it\nthere are runs on {names}")
    newest = max(wanted, key=lambda run: (run.created, run.id))
    group = tuple(sorted((run for run in runs if _key(run) == _key(newest)), key=lambda run: run.id))
    others = Counter(run.data.name for run in runs if _key(run) != _key(newest))
    return Group(group, dict(sorted(others.items())))


def _key(run: Run) -> tuple[str, str]:
    return run.data.name, run.data.valid


def short_arch(arch: str) -> str:
    """A timm name without its weights tag."""
    return arch.split(".")[0]


def chosen(accuracies: Array, archs: Sequence[str], min_acc: float, per_arch: int) -> Mapping[int, str]:
    """Positions of the members that are in, each with why a threshold did not decide it ("" where it did).

    accuracies is (members,); ties in a quota go to the earlier member.
    """
    kept: dict[int, str] = {i: "" for i in range(len(archs)) if accuracies[i] >= min_acc}
    for arch in sorted(set(archs)) if per_arch else ():
        own = [i for i, other in enumerate(archs) if other == arch]
        for i in sorted(own, key=lambda i: -accuracies[i])[:per_arch]:
            kept.setdefault(i, f"kept for {arch}")
    return dict(sorted(kept.items()))


def nothing_reaches(runs: Sequence[Run], accuracies: Array, min_acc: float) -> SelectionError:
    """The error that names the best run there is."""
    best = int(np.argmax(accuracies))
    return SelectionError(
        f"no run reaches --min-acc {min_acc:g}; the best is {runs[best].id} at {accuracies[best]:.6g}\n"
        f"lower --min-acc, or keep one of each architecture with --per-arch 1"
    )
