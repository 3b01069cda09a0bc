"""Runs: the leaderboard, range tests, searches, costs, failures, damaged runs."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble.blending.run_scores import baselines_of, rank, run_score
from ensemble.blending.scoring import ACCURACY, LOG_LOSS, leading_scoring
from ensemble.display.text import (
    LOG_WIDTH,
    count,
    err,
    escape,
    minutes,
    out,
    percent,
    say,
    table,
)
from ensemble.numbers import in_metric, interval_in_metric, metric_in_words, millions
from ensemble.runs import Damaged, Listing, Run
from ensemble.runs.groups import by_scores, by_validation_rows

if TYPE_CHECKING:
    from ensemble.engines.jobs import Failure
    from ensemble.engines.tune import Search, TrialSummary
    from ensemble.learn.cost import Cost, PhaseCost
    from ensemble.learn.lr import RangeTest
    from ensemble.runs.job import Job

WIDE = ("epoch", "trained", "rate")  # columns where the terminal has room


def warn_left_out(listing: Listing) -> None:
    """Runs that are left out because they are damaged or lack folds, on stderr."""
    for folder in listing.damaged:
        err.print(f"[bold red]left out, damaged:[/] {escape(folder.reason)}", soft_wrap=True)
    for reason in listing.incomplete:
        err.print(f"[bold]left out:[/] {escape(reason)}", soft_wrap=True)


def show_runs(
    runs: Sequence[Run], damaged: Sequence[Damaged] = (), incomplete: Sequence[str] = ()
) -> None:
    """The leaderboard: a table per data set and validation rows, the best run first."""
    for group in by_validation_rows(runs):
        _leaderboard(group)
    for folder in damaged:
        out.print(f"[bold red]damaged:[/] {escape(folder.reason)}", soft_wrap=True)
    for reason in incomplete:
        out.print(f"[bold]unfinished:[/] {escape(reason)}", soft_wrap=True)


def _leaderboard(runs: Sequence[Run]) -> None:
    data, classes = runs[0].data, sorted(runs[0].classes)
    scoring, note = leading_scoring(runs, classes)
    metric = scoring.metric
    images = f"{data.name}: {data.n_valid:,} validation images"
    if data.n_valid_rows is not None:
        images += f" in {count(data.n_rows, 'row')}"
    noun = {"class": "class", "labels": "label"}.get(data.target)
    title = f"{images}, {count(len(classes), noun)}" if noun else images
    is_wide = out.width >= LOG_WIDTH
    beside = [name for name in (ACCURACY, LOG_LOSS) if name != metric.name]
    beside = beside if data.target == "class" else []
    columns = [f"{metric_in_words(metric.name)} (95 % interval)", *map(metric_in_words, beside)]
    numbers = (*columns, "time", *(WIDE if is_wide else ()))
    shown = table(title, "run", *["architecture"] * is_wide, numbers=numbers)
    # a shortened id cannot be copied
    used = 24 + 12 * len(columns)
    shown.columns[0].no_wrap = max(len(run.id) for run in runs) <= out.width - used
    scores = {run.id: run_score(run, metric) for run in runs}
    for run in sorted(runs, key=lambda run: (*rank(scores[run.id].value, metric), *by_scores(run))):
        cells = [interval_in_metric(scores[run.id], metric.name)]
        cells += [in_metric(getattr(run.scores, name), name) for name in beside]
        cells.append(minutes(run.total_seconds))
        if is_wide:
            cells = [escape(run.arch), *cells, *_training(run)]
        shown.add_row(escape(run.id), *cells)
    blank = [""] * is_wide
    for name, level in baselines_of(runs[0], metric).items():
        shown.add_row(f"[dim]{name}[/]", *blank, f"[dim]{in_metric(level, metric.name)}[/]")
    out.print(shown)
    if note:
        say(note)
    for search, n_trials in Counter(run.search for run in runs if run.search).items():
        say(
            f"{n_trials} of these are trials of the search {search}: "
            "the best of many trials has a score that is too optimistic"
        )


def _training(run: Run) -> list[str]:
    """Best epoch, trained parameters and learning rate; dashes for an imported run."""
    training = run.training
    if training is None:
        return ["–", "–", "–"]
    folds = f" × {run.n_folds} folds" if run.n_folds else ""
    refit = "" if run.refit_epochs is None else ", refit"
    epochs = f"{training.best_epoch} of {training.n_epochs}{folds}{refit}"
    rate = f"{training.lr:.1e}" if training.lr else "–"  # a linear probe has none
    return [epochs, millions(training.n_trainable), rate]


def show_search(search: "Search") -> None:
    """Every trial of a search, the best first, with the values that it tried."""
    keys = list(dict.fromkeys(key for trial in search.trials for key in trial.values))
    shown = table(f"search {search.name}: {count(len(search.trials), 'trial')}", "trial")
    for name in (metric_in_words(search.metric), *(key.split(".")[-1] for key in keys)):
        shown.add_column(name, justify="right")

    def best_first(trial: "TrialSummary") -> tuple[bool, float, int]:
        score = trial.score or 0
        return trial.score is None, -score if search.is_higher_better else score, trial.number

    for trial in sorted(search.trials, key=best_first):
        number = f"{trial.number}, the recipe's own" if trial.number == 0 else str(trial.number)
        settings = [_setting(trial.values.get(key)) for key in keys]
        shown.add_row(number, _trial_score(trial, search.metric), *settings)
    out.print(shown)


def _trial_score(trial: "TrialSummary", metric: str) -> str:
    """The score, or why a trial has none."""
    if trial.score is None:
        return trial.state
    return in_metric(trial.score, metric)


def _setting(setting: object) -> str:
    """What a trial tried for a key; "" where it left the key alone."""
    if setting is None:
        return ""
    return f"{setting:.3g}" if isinstance(setting, float) else escape(str(setting))


def show_per_class(run: Run) -> None:
    """Precision, recall and F1 of every class or label, the weakest first."""
    if run.data.target == "number":
        say(f"{run.id}: no classes, it predicts a number per image")
        return
    noun = "label" if run.data.target == "labels" else "class"
    shown = table(run.id, noun, numbers=("images", "precision", "recall", "F1"))
    for score in sorted(run.per_class(), key=lambda score: score.f1):
        shares = (score.precision, score.recall, score.f1)
        shown.add_row(escape(score.name), f"{score.n_rows:,}", *map(percent, shares))
    out.print(shown)


def show_range_test(test: "RangeTest") -> None:
    """The rate that each rule suggests, and the chosen one with its reason."""
    shown = table(f"range test, {test.n_steps} steps", "rule")
    shown.add_column("rate", justify="right")
    for rule, rate in test.suggestions.items():
        mark = " [bold]chosen[/]" if rule == test.rule else ""
        shown.add_row(rule + mark, "none: too few points" if rate is None else f"{rate:.2e}")
    out.print(shown)
    say(test.note or f"chosen: {test.chosen:.2e} by the {test.rule} rule")


def show_curves(runs: Sequence[Run]) -> None:
    """Where the figure of each run's curves is."""
    for run in runs:
        figure = run.folder / "curves.png"
        if figure.is_file():
            say(f"curves: {figure}")


def show_costs(costs: "Sequence[tuple[Job, Cost]]") -> None:
    """What each run would take, phase by phase, and all of them together."""
    title = "estimated from 20 real steps of each phase"
    numbers = ("decoding", "range test", "prediction", "total", "memory now", "disk")
    shown = table(title, "run", "phases", numbers=numbers)
    for job, cost in costs:
        phases = "; ".join(_phase(phase) for phase in cost.phases)
        seconds = (cost.decode_seconds, cost.rate_seconds, cost.predict_seconds, cost.seconds)
        sizes = (cost.memory_bytes, cost.disk_bytes)
        cells = [*map(minutes, seconds), *map(_gibibytes, sizes)]
        shown.add_row(escape(job.run_id), escape(phases), *cells)
    out.print(shown)
    say(_decoding([cost for _, cost in costs]))
    total = sum(cost.seconds for _, cost in costs)
    say(f"total: {minutes(total)}, decoding included")


def _gibibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes else "–"


def _decoding(costs: "Sequence[Cost]") -> str:
    n_images = sum(cost.n_decoded for cost in costs)
    if not n_images:
        return "decoding: every image is in the cache already"
    images, time = count(n_images, "image"), minutes(sum(cost.decode_seconds for cost in costs))
    return f"decoding: {images} took {time} and are in the cache now, so training skips this"


def _phase(phase: "PhaseCost") -> str:
    if phase.once_seconds:
        fill = minutes(phase.once_seconds)
        epochs = f"{count(phase.n_epochs, 'epoch')} at almost no cost"
        return f"{phase.name}: {fill} to fill the cache, then {epochs}"
    return f"{phase.name}: {phase.n_epochs} × {phase.epoch_seconds:.1f} s"


def show_failures(failures: "Sequence[Failure]") -> None:
    """The runs that failed, on stderr."""
    shown = table("failed", "run", "reason")
    for failure in failures:
        shown.add_row(escape(failure.run_id), escape(failure.reason))
    err.print(shown)


def show_left(run_ids: Sequence[str], n_jobs: int, option: str) -> None:
    """The runs that a deadline left unfinished."""
    names = ", ".join(run_ids[:8]) + (", …" if len(run_ids) > 8 else "")
    say(f"time is up ({option}): {len(run_ids)} of {count(n_jobs, 'run')} left: {names}")
