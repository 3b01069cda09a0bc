"""From finished runs to what the report shows: everything is read and reckoned here, the page only writes it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ensemble import __version__, metrics
from ensemble.blending import Options, make_blend
from ensemble.blending.compare import Side, compare, recipe_sides
from ensemble.blending.estimate import accuracy_interval, seed_from
from ensemble.errors import DamagedError, EnsembleError, SelectionError
from ensemble.predictions import Predictions
from ensemble.report.images import Progress, images_of, thumbnails_of, view_of
from ensemble.report.mistakes import mistakes_of
from ensemble.report.pictures import Thumbnails
from ensemble.report.values import BlendView, Report, RunView, SetView, Strategy
from ensemble.runs import Damaged, Listing, Run, StoredRun, history_of, range_test_of
from ensemble.runs.groups import by_validation_rows

MAX_COMPARED = 12  # recipes; beyond, Holm's correction leaves little to tell apart
MAX_PICTURED = 16  # runs whose mistakes are shown as pictures, for the page's size
# by validation rows: the submission that was made, with which options, and its members
Asked = Mapping[str, tuple[str, Options, frozenset[str]]]


def collect(found: Listing, asked: Asked, progress: Progress) -> Report:
    """Everything that a report of these runs shows, the newest set first. Raises SelectionError without a run."""
    found = _readable(found)
    if not found.runs:
        raise SelectionError(
            "no finished run to report on\n`ens runs` lists what there is; `ens quickstart` makes four"
        )
    groups = by_validation_rows(sorted(found.runs, key=lambda run: run.blend_key))
    newest = sorted(groups, key=lambda runs: max(run.created for run in runs), reverse=True)
    return Report(
        sets=tuple(_set(runs, asked, progress) for runs in newest),
        damaged=(*found.damaged, *_damaged_curves(found.runs)),
        incomplete=tuple(found.incomplete),
        created=max(run.created for run in found.runs),
        version=__version__,
    )


def _readable(found: Listing) -> Listing:
    """The listing without sets of folds that do not fit together; each is named as damaged."""
    damaged = {}
    for run in found.runs:
        try:
            if len(run.folds) > 1:
                run.valid()
        except EnsembleError as error:
            damaged[run.id] = Damaged(run.folder, f"{run.id}: {str(error).splitlines()[0]}")
    kept = [run for run in found.runs if run.id not in damaged]
    return Listing(kept, [*found.damaged, *damaged.values()], found.incomplete)


def _set(runs: Sequence[Run], asked: Asked, progress: Progress) -> SetView:
    images = images_of(runs)
    thumbnails = thumbnails_of(images, runs)
    best_first = sorted(runs, key=lambda run: (-run.scores.accuracy, run.scores.log_loss, run.id))
    views = tuple(_run(i, run, thumbnails) for i, run in enumerate(best_first, start=1))
    blend, why_not = _blend(runs, asked, thumbnails)
    return SetView(
        name=runs[0].data.name,
        runs=views,
        n_rows=views[0].mistakes.n_rows,
        strategies=_strategies(best_first),
        blend=blend,
        why_no_blend=why_not,
        data=view_of(images, thumbnails, progress),
    )


def _run(number: int, run: Run, thumbnails: Thumbnails) -> RunView:
    valid = run.valid()
    n_pictures = 12 if number <= MAX_PICTURED else 0
    first = run.folds[0]
    return RunView(
        number=number,
        run=run,
        accuracy=_accuracy([valid], run),
        history=_curves(first, history_of),
        rate_test=_curves(first, range_test_of),
        recipe=first.text("recipe.yaml"),
        mistakes=mistakes_of(valid.canonical(), thumbnails, n_pictures),
    )


def _accuracy(valids: Sequence[Predictions], run: Run) -> metrics.Interval:
    """The mean accuracy of predictions about the same rows, with its interval over rows or groups."""
    ready = [valid.canonical() for valid in valids]
    hits = np.mean(
        [metrics.hits(one.probs, one.targets) for one in ready if one.targets is not None], axis=0
    )
    groups = None if ready[0].groups is None else np.unique(ready[0].groups, return_inverse=True)[1]
    return accuracy_interval(hits, 1.0, seed_from(run.data.valid), groups)


def _curves(run: StoredRun, read: Callable[[StoredRun], tuple[Any, ...]]) -> tuple[Any, ...]:
    """The rows of a curve; none where its file is damaged, which `_damaged_curves` names."""
    with suppress(DamagedError):
        return read(run)
    return ()


def _damaged_curves(runs: Sequence[Run]) -> list[Damaged]:
    """The files of curves that cannot be trusted."""
    damaged = []
    for run in runs:
        first = run.folds[0]
        for read in (history_of, range_test_of):
            try:
                read(first)
            except DamagedError as error:
                damaged.append(Damaged(first.folder, str(error)))
    return damaged


def _strategies(runs: Sequence[Run]) -> tuple[Strategy, ...]:
    """One for each recipe, best first, with the paired test beside the best where there are few enough."""
    sides = recipe_sides(sorted(runs, key=lambda run: run.seed))
    sides.sort(key=lambda side: (-_mean_accuracy(side), side.name))
    beside: dict[str, str] = {}
    if 1 < len(sides) <= MAX_COMPARED:
        with suppress(EnsembleError):
            differences = [
                one
                for one in compare(sides)
                if one.metric == "accuracy" and one.first == sides[0].name
            ]
            beside = {one.second: _as_second(one.verdict) for one in differences}
    return tuple(
        Strategy(
            name=side.name,
            runs=side.runs,
            accuracy=_accuracy([run.valid() for run in side.runs], side.runs[0]),
            log_loss=float(np.mean([run.scores.log_loss for run in side.runs])),
            seconds=float(np.mean([run.total_seconds for run in side.runs])),
            beside=beside.get(side.name, ""),
        )
        for side in sides
    )


def _mean_accuracy(side: Side) -> float:
    return float(np.mean([run.scores.accuracy for run in side.runs]))


def _as_second(verdict: str) -> str:
    """What a verdict on the first side says of the second."""
    return (
        verdict.replace("better", "worse")
        if verdict.startswith("better")
        else verdict.replace("worse", "better")
    )


def _blend(
    runs: Sequence[Run], asked: Asked, thumbnails: Thumbnails
) -> tuple[BlendView | None, str]:
    """The blend of these runs as the newest submission about them asked for it, or in words why there is none."""
    if len(runs) < 2:
        return None, "a blend needs a second run on the same validation rows"
    submission, options, members = asked.get(runs[0].data.valid, ("", Options(), frozenset()))
    try:
        blend = make_blend(runs, options)
        now = {member.run.id: member.run for member in blend.members}
        mistakes = mistakes_of(blend.mixture.of_valid(now), thumbnails)
        return BlendView(blend, mistakes, submission, members == now.keys()), ""
    except EnsembleError as error:
        return None, str(error).splitlines()[0]
