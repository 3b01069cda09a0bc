"""Read and compute everything that the report shows; the page only writes it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from ensemble import __version__, metrics
from ensemble.blending import Options, make_blend
from ensemble.blending.compare import Side, compare, recipe_sides
from ensemble.blending.run_scores import baselines_of, mean_score, rank, run_score
from ensemble.blending.scoring import Scoring, leading_scoring, scoring_of
from ensemble.errors import DamagedError, EnsembleError, SelectionError
from ensemble.reporting.explained import Explain, explained
from ensemble.reporting.images import Progress, images_of, thumbnails_of, view_of
from ensemble.reporting.mistakes import N_SHOWN, mistakes_of
from ensemble.reporting.thumbnails import Thumbnails
from ensemble.reporting.values import BlendView, GroupView, RecipeView, Report, RunView
from ensemble.runs import Damaged, Listing, Run, StoredRun, history_of, range_test_of
from ensemble.runs.grades import with_grades
from ensemble.runs.groups import by_scores, by_validation_rows

MAX_COMPARED = 12  # recipes; with more, Holm's correction leaves hardly any difference
MAX_WITH_IMAGES = 16  # runs whose misclassified images are shown, for the page's size
# by fingerprint of the validation rows: a submission, its blend's options and its members
Submissions = Mapping[str, tuple[str, Options, frozenset[str]]]


def collect(
    listing: Listing, submissions: Submissions, progress: Progress, explain: Explain | None = None
) -> Report:
    """Everything that a report of these runs shows, the group with the newest run first.

    With explain, the most confident mistakes have heat maps by the best run or the blend's member
    of the largest weight. Raises SelectionError without a run, EnsembleError without heat maps.
    """
    listing = _without_mismatched_folds(listing)
    if not listing.runs:
        raise SelectionError(
            "no finished run to report on\n"
            "`ens runs` lists finished and unfinished runs; `ens quickstart` trains four"
        )
    by_key = sorted(listing.runs, key=lambda run: run.blend_key)
    newest = sorted(by_validation_rows(by_key), key=_newest, reverse=True)
    groups = tuple(_group(runs, listing.runs, submissions, progress, explain) for runs in newest)
    views = [view for group in groups for view in group.runs]
    return Report(
        groups=groups,
        damaged=(*listing.damaged, *(damaged for view in views for damaged in view.damaged)),
        incomplete=tuple(listing.incomplete),
        created=_newest(listing.runs),
        version=__version__,
    )


def _newest(runs: Sequence[Run]) -> str:
    return max(run.created for run in runs)


def _without_mismatched_folds(listing: Listing) -> Listing:
    """The listing without runs whose folds do not fit together; each is named as damaged."""
    runs, damaged = [], list(listing.damaged)
    for run in listing.runs:
        try:
            if len(run.folds) > 1:
                run.valid()
            runs.append(run)
        except EnsembleError as error:
            damaged.append(Damaged(run.folder, f"{run.id}: {str(error).splitlines()[0]}"))
    return Listing(runs, damaged, listing.incomplete)


def _group(
    runs: Sequence[Run],
    every_run: Sequence[Run],
    submissions: Submissions,
    progress: Progress,
    explain: Explain | None,
) -> GroupView:
    """Runs on the same rows; on numbers, runs on classes are in the blend alone."""
    images = images_of(runs)
    thumbnails = thumbnails_of(images, runs)
    is_number = runs[0].data.target == "number"
    blended = with_grades(every_run, runs[0]) if is_number else runs
    blend, why_no_blend = _blend(blended, submissions, thumbnails)
    metric = _metric(runs, blend)
    scores = {run.id: run_score(run, metric) for run in runs}
    best_first = sorted(
        runs, key=lambda run: (*rank(scores[run.id].value, metric), *by_scores(run))
    )
    views = tuple(
        _run(number, run, scores[run.id], thumbnails)
        for number, run in enumerate(best_first, start=1)
    )
    if explain:
        blend, views = explained(blend, views, images, thumbnails, explain)
    return GroupView(
        name=runs[0].data.name,
        metric=metric,
        baselines=baselines_of(best_first[0], metric),
        runs=views,
        n_rows=views[0].mistakes.n_rows,
        recipes=_recipes(best_first, metric),
        blend=blend,
        why_no_blend=why_no_blend,
        data=view_of(images, thumbnails, progress),
    )


def _metric(runs: Sequence[Run], blend: BlendView | None) -> metrics.Metric:
    """What the runs are sorted and shown by: the blend's metric, else that of the runs."""
    classes = sorted(runs[0].classes)
    if blend is not None:
        return scoring_of(runs, blend.blend.valid.metric, classes)[0].metric
    return leading_scoring(runs, classes)[0].metric


def _run(rank: int, run: Run, score: metrics.Interval, thumbnails: Thumbnails) -> RunView:
    valid, first = run.valid(), run.folds[0]
    history, damaged_history = _rows(first, history_of)
    range_test, damaged_range_test = _rows(first, range_test_of)
    n_shown = N_SHOWN if rank <= MAX_WITH_IMAGES else 0
    return RunView(
        rank=rank,
        run=run,
        score=score,
        history=history,
        range_test=range_test,
        damaged=(*damaged_history, *damaged_range_test),
        recipe=first.text("recipe.yaml"),
        mistakes=mistakes_of(valid.canonical(), thumbnails, n_shown),
    )


def _rows(
    run: StoredRun, read: Callable[[StoredRun], tuple[Any, ...]]
) -> tuple[tuple[Any, ...], tuple[Damaged, ...]]:
    """The rows of a curve, or the file that is damaged."""
    try:
        return read(run), ()
    except DamagedError as error:
        return (), (Damaged(run.folder, str(error)),)


def _recipes(runs: Sequence[Run], metric: metrics.Metric) -> tuple[RecipeView, ...]:
    """A view for each recipe, the best mean score first."""
    sides = recipe_sides(sorted(runs, key=lambda run: run.seed))
    views = [_recipe(side, metric) for side in sides]
    order = sorted(
        range(len(sides)), key=lambda i: (*rank(views[i].score.value, metric), views[i].name)
    )
    verdicts = _versus_first([sides[i] for i in order], metric)
    return tuple(replace(views[i], versus_best=verdicts.get(views[i].name, "")) for i in order)


def _recipe(side: Side, metric: metrics.Metric) -> RecipeView:
    return RecipeView(
        name=side.name,
        runs=side.runs,
        score=mean_score(side.runs, metric),
        seed_scores=tuple(run_score(run, metric).value for run in side.runs),
        log_loss=float(np.mean([run.scores.log_loss or 0.0 for run in side.runs])),
        seconds=float(np.mean([run.total_seconds for run in side.runs])),
        versus_best="",
    )


def _versus_first(sides: Sequence[Side], metric: metrics.Metric) -> dict[str, str]:
    """By name, the paired test's verdict on a side against the first; empty without a test."""
    verdicts: dict[str, str] = {}
    if 1 < len(sides) <= MAX_COMPARED:
        scoring = Scoring(metric, target=sides[0].runs[0].data.target)
        with suppress(EnsembleError):
            for difference in compare(sides, scoring):
                if difference.metric == metric.name and difference.first == sides[0].name:
                    verdicts[difference.second] = _reversed(difference.verdict)
    return verdicts


def _reversed(verdict: str) -> str:
    """A verdict on A against B, as one on B against A."""
    if verdict.startswith("better"):
        return verdict.replace("better", "worse")
    return verdict.replace("worse", "better")


def _blend(
    runs: Sequence[Run], submissions: Submissions, thumbnails: Thumbnails
) -> tuple[BlendView | None, str]:
    """The blend of these runs as in their newest submission, or None and the reason."""
    if len(runs) < 2:
        return None, "a blend needs a second run on the same validation rows"
    default = ("", Options(), frozenset[str]())
    submission, options, members = submissions.get(runs[0].data.valid, default)
    try:
        blend = make_blend(runs, options)
        by_id = {member.run.id: member.run for member in blend.members}
        mistakes = mistakes_of(blend.mixture.of_probabilities.of_valid(by_id), thumbnails)
        return BlendView(blend, mistakes, submission, members == by_id.keys()), ""
    except EnsembleError as error:
        return None, str(error).splitlines()[0]
