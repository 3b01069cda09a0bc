"""Runs: the leaderboard, range tests, what failed and what is damaged."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble.blending.estimate import run_accuracy
from ensemble.display.charts import show_curve, show_losses
from ensemble.display.text import (
    LOG_WIDTH,
    count,
    err,
    escape,
    interval,
    minutes,
    out,
    percent,
    say,
    table,
)
from ensemble.errors import DamagedError
from ensemble.numbers import millions
from ensemble.runs import Damaged, Listing, Run, history_of
from ensemble.runs.groups import by_validation_rows

if TYPE_CHECKING:
    from ensemble.engines.jobs import Failure
    from ensemble.engines.tune import Search
    from ensemble.learn.cost import Cost, PhaseCost
    from ensemble.learn.lr import RangeTest
    from ensemble.runs.job import Job


def warn_left_out(found: Listing) -> None:
    """Runs that take no part because they cannot be trusted, or lack folds, on stderr."""
    for folder in found.damaged:
        err.print(f"[bold red]left out, damaged:[/] {escape(folder.reason)}", soft_wrap=True)
    for reason in found.incomplete:
        err.print(f"[bold]left out:[/] {escape(reason)}", soft_wrap=True)


def show_runs(
    runs: Sequence[Run], damaged: Sequence[Damaged] = (), incomplete: Sequence[str] = ()
) -> None:
    """The leaderboard: one table per data set and validation rows, best first, with the majority-class line."""
    for group in by_validation_rows(runs):
        _leaderboard(
            sorted(group, key=lambda run: (-run.scores.accuracy, run.scores.log_loss, run.id))
        )
    for folder in damaged:
        out.print(f"[bold red]damaged:[/] {escape(folder.reason)}", soft_wrap=True)
    for reason in incomplete:
        out.print(f"[bold]unfinished:[/] {escape(reason)}", soft_wrap=True)


def _leaderboard(runs: Sequence[Run]) -> None:
    data = runs[0].data
    n_classes = len(runs[0].classes)
    shown = table(f"{data.name}: {data.n_valid:,} validation images, {n_classes} classes", "run")
    shown.columns[0].no_wrap = (
        max(len(run.id) for run in runs) <= out.width - 48
    )  # a cut id cannot be copied
    is_wide = out.width >= LOG_WIDTH
    columns = ["accuracy (95 % interval)", "log loss", "time"]
    for name in (
        (["architecture"] if is_wide else [])
        + columns
        + (["epoch", "trained", "rate"] if is_wide else [])
    ):
        shown.add_column(name, justify="left" if name == "architecture" else "right", no_wrap=True)
    for run in runs:
        cells = [
            interval(run_accuracy(run)),
            f"{run.scores.log_loss:.4f}",
            minutes(run.total_seconds),
        ]
        wide = _training(run) if is_wide else []
        shown.add_row(escape(run.id), *([escape(run.arch)] if is_wide else []), *cells, *wide)
    blank = [""] if is_wide else []
    shown.add_row("[dim]most common class[/]", *blank, f"[dim]{percent(data.majority)}[/]")
    shown.add_row("[dim]chance[/]", *blank, f"[dim]{percent(1 / n_classes)}[/]")
    out.print(shown)
    for search, n_trials in Counter(run.search for run in runs if run.search).items():
        say(
            f"{n_trials} of these are trials of the search {search}: the best of many flatters itself"
        )


def show_search(search: "Search") -> None:
    """Every trial of a search, the best first, with what was varied."""
    keys = list(dict.fromkeys(key for trial in search.trials for key in trial.values))
    shown = table(f"search {search.name}: {count(len(search.trials), 'trial')}", "trial")
    for name in (
        "log loss" if search.metric == "log_loss" else "accuracy",
        *(key.split(".")[-1] for key in keys),
    ):
        shown.add_column(name, justify="right")
    sign = 1 if search.metric == "log_loss" else -1
    for one in sorted(
        search.trials, key=lambda one: (one.score is None, sign * (one.score or 0), one.number)
    ):
        score = (
            one.state
            if one.score is None
            else f"{one.score:.4f}"
            if sign == 1
            else percent(one.score)
        )
        number = f"{one.number}, the recipe's own" if one.number == 0 else str(one.number)
        shown.add_row(number, score, *(_value(one.values.get(key)) for key in keys))
    out.print(shown)


def _value(value: object) -> str:
    return (
        "" if value is None else f"{value:.3g}" if isinstance(value, float) else escape(str(value))
    )


def show_per_class(run: Run) -> None:
    """Precision, recall and F1 of every class, the weakest first."""
    shown = table(run.id, "class")
    for name in ("images", "precision", "recall", "F1"):
        shown.add_column(name, justify="right", no_wrap=True)
    for one in sorted(run.per_class(), key=lambda one: one.f1):
        cells = (percent(one.precision), percent(one.recall), percent(one.f1))
        shown.add_row(escape(one.name), f"{one.n_rows:,}", *cells)
    out.print(shown)


def _training(run: Run) -> list[str]:
    training = run.training
    if training is None:
        return ["–", "–", "–"]  # imported
    refit = f" × {run.n_folds} folds" if run.n_folds else ""
    refit += "" if run.refit_epochs is None else ", refit"
    return [
        f"{training.best_epoch} of {training.n_epochs}{refit}",
        millions(training.n_trainable),
        f"{training.lr:.1e}",
    ]


def show_range_test(found: "RangeTest") -> None:
    """What each rule suggests, the choice and why."""
    shown = table(f"range test, {found.n_steps} steps", "rule")
    shown.add_column("rate", justify="right")
    for rule, rate in found.suggestions.items():
        mark = " [bold]chosen[/]" if rule == found.rule else ""
        shown.add_row(
            rule + mark, "not available: too few points" if rate is None else f"{rate:.2e}"
        )
    out.print(shown)
    _curve(found)
    say(found.note or f"chosen: {found.chosen:.2e} by the {found.rule} rule")


def _curve(found: "RangeTest") -> None:
    """The curve from its first rate to where it leaves the picture, the rules' initials below."""
    if len(found.losses) < 2:
        return
    low, start = min(found.losses), found.losses[0]
    losses = [min(loss, start + 0.5 * abs(start - low)) for loss in found.losses]
    first, last = math.log(found.rates[0]), math.log(found.rates[-1])
    named = {rule: rate for rule, rate in found.suggestions.items() if rate is not None}
    marks = {rule: (math.log(rate) - first) / (last - first) for rule, rate in named.items()}
    show_curve(
        "smoothed loss by learning rate",
        losses,
        (f"{found.rates[0]:.0e}", f"{found.rates[-1]:.0e}"),
        marks,
    )


def show_curves(runs: Sequence[Run]) -> None:
    """Where each run's curves are, and in a terminal its losses in a few lines."""
    for run in runs:
        if len(run.folds) == 1 and (run.folder / "curves.png").is_file():
            try:
                history = history_of(run.folds[0])
            except DamagedError as error:
                err.print(f"[bold red]left out, damaged:[/] {escape(str(error))}", soft_wrap=True)
                continue
            show_losses(
                run.id, [row.train_loss for row in history], [row.valid_loss for row in history]
            )
            say(f"curves: {run.folder / 'curves.png'}")


def show_costs(costs: "Sequence[tuple[Job, Cost]]") -> None:
    """What each run would take, phase by phase, and all of them together."""
    shown = table("reckoned from 20 real steps of each phase", "run", "phases")
    for name in ("decoding", "rate test", "prediction", "total", "memory now", "disk"):
        shown.add_column(name, justify="right", no_wrap=True)
    for job, cost in costs:
        phases = "; ".join(_phase(phase) for phase in cost.phases)
        seconds = (cost.decode_seconds, cost.rate_seconds, cost.predict_seconds, cost.seconds)
        times = map(minutes, seconds)
        sizes = (
            f"{n_bytes / 2**30:.1f} GiB" if n_bytes else "–"
            for n_bytes in (cost.memory_bytes, cost.disk_bytes)
        )
        shown.add_row(escape(job.run_id), escape(phases), *times, *sizes)
    out.print(shown)
    say(_decoding([cost for _, cost in costs]))
    say(f"all together: {minutes(sum(cost.seconds for _, cost in costs))}, decoding included")


def _decoding(costs: "Sequence[Cost]") -> str:
    n_images = sum(cost.n_decoded for cost in costs)
    if not n_images:
        return "decoding: nothing to do, every image is in the cache"
    seconds = sum(cost.decode_seconds for cost in costs)
    images = count(n_images, "image")
    return f"decoding: {images} took {minutes(seconds)} just now; they stay in the cache, a training skips this"


def _phase(phase: "PhaseCost") -> str:
    if phase.once_seconds:
        return f"{phase.name}: {minutes(phase.once_seconds)} to fill the views, then {phase.n_epochs} epochs in no time"
    return f"{phase.name}: {phase.n_epochs} × {phase.epoch_seconds:.1f} s"


def show_failures(failures: "Sequence[Failure]") -> None:
    """A table of what failed in a sweep."""
    shown = table("failed", "run", "reason")
    for failure in failures:
        shown.add_row(escape(failure.run_id), escape(failure.reason))
    err.print(shown)
