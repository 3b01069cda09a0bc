"""What the terminal shows: tables, one live progress line, errors. The only module that knows rich."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from ensemble import events, metrics
from ensemble.blending import Blend
from ensemble.blending.blend import Scores
from ensemble.engines.local import Failure
from ensemble.errors import EnsembleError
from ensemble.metrics import Interval
from ensemble.runs import Damaged, Run
from ensemble.submission import Submission

if TYPE_CHECKING:
    from ensemble.learn.lr import RangeTest

LOG_WIDTH = 140  # a file or pipe has no width of its own


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, emoji=False)  # labels.csv:100: is a line, not a picture
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console


out, err = _console(stderr=False), _console(stderr=True)


def percent(share: float, digits: int = 2) -> str:
    """0.9472 as `94.72 %`."""
    return f"{100 * share:.{digits}f} %"


def interval(value: Interval) -> str:
    """`94.72 % (94.27–95.14)`."""
    return f"{percent(value.value)} ({100 * value.low:.2f}–{100 * value.high:.2f})"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def minutes(seconds: float) -> str:
    """A duration in the unit that fits."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def show_error(error: EnsembleError) -> None:
    """The message alone, at most three lines, on stderr."""
    lines = [line for line in str(error).splitlines() if line.strip()][:3]
    err.print(
        "\n".join(["[bold red]error:[/] " + escape(lines[0] if lines else ""), *map(escape, lines[1:])]), soft_wrap=True
    )


def say(text: str) -> None:
    """One line of result on stdout."""
    out.print(text, soft_wrap=True, markup=False)


def next_commands(*commands: str) -> None:
    """How to go on."""
    out.print("[dim]next:[/]  " + "\n       ".join(map(escape, commands)), soft_wrap=True)


def show_json(value: Any) -> None:
    """One JSON value on stdout, nothing else."""
    sys.stdout.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def progress() -> Iterator[events.Emit]:
    """A listener for training events: a live bar in a terminal, one line per epoch elsewhere."""
    if err.is_terminal:
        bar = Progress(
            TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[note]}"), TimeRemainingColumn(compact=True), console=err, transient=True,
        )  # fmt: skip
        with bar:
            yield _Live(bar)
    else:
        yield _Lines(err)


class _Lines:
    """Quiet, line-based: what a log file should hold."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self.line(f"[{event.number}/{event.total}] [bold]{escape(event.run)}[/]")
            case events.Note():
                self.line(f"  {escape(event.text)}")
            case events.EpochEnded():
                self.line(f"  {_epoch(event)}")
            case events.RunEnded():
                was = "finished before, skipped: " if event.skipped else "finished: "
                scores = f"accuracy {percent(event.accuracy)}, log loss {event.log_loss:.4f}, {minutes(event.seconds)}"
                self.line(f"  {was}{scores}")
            case events.RunFailed():
                self.line("  [bold red]failed:[/] " + escape(event.reason.replace("\n", "; ")))
            case events.Step():
                self.step(event)

    def line(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, soft_wrap=True)

    def step(self, event: events.Step) -> None:
        """Batches are not worth a line each."""


class _Live(_Lines):
    """The same lines, and a bar for the work under way."""

    def __init__(self, bar: Progress) -> None:
        super().__init__(bar.console)
        self.bar, self.task, self.key, self.drawn = bar, TaskID(-1), ("", ""), 0.0

    def __call__(self, event: events.Event) -> None:
        super().__call__(event)
        if isinstance(event, events.RunEnded | events.RunFailed) and self.key != ("", ""):
            self.bar.remove_task(self.task)
            self.key = ("", "")

    def step(self, event: events.Step) -> None:
        """Move the bar, at most ten times a second."""
        if (event.run, event.phase) != self.key:
            if self.key != ("", ""):
                self.bar.remove_task(self.task)
            self.key = (event.run, event.phase)
            self.task = self.bar.add_task(f"  {event.phase}", total=event.total, note="")
        now = time.monotonic()
        if now - self.drawn > 0.1 or event.done == event.total:
            self.drawn = now
            self.bar.update(self.task, completed=event.done, total=event.total)
            if event.loss is not None:
                self.bar.update(self.task, note=f"loss {event.loss:.3f}")


def _epoch(event: events.EpochEnded) -> str:
    star = " [green]best[/]" if event.is_best else ""
    return (
        f"{event.phase} epoch {event.epoch}: train loss {event.train_loss:.4f}, valid loss {event.valid_loss:.4f}, "
        f"accuracy {percent(event.accuracy)}, {event.seconds:.1f} s{star}"
    )


def warn_damaged(folders: Sequence[Damaged]) -> None:
    """Runs that take no part because they cannot be trusted, on stderr."""
    for folder in folders:
        err.print(f"[bold red]left out, damaged:[/] {escape(folder.reason)}", soft_wrap=True)


def show_runs(runs: Sequence[Run], damaged: Sequence[Damaged] = ()) -> None:
    """The leaderboard: one table per data set and validation rows, best first, with the majority-class line."""
    for key in dict.fromkeys((run.data.name, run.data.valid) for run in runs):
        rows = [run for run in runs if (run.data.name, run.data.valid) == key]
        _leaderboard(sorted(rows, key=lambda run: (-run.scores.accuracy, run.scores.log_loss, run.id)))
    for folder in damaged:
        out.print(f"[bold red]damaged:[/] {escape(folder.reason)}", soft_wrap=True)


def _leaderboard(runs: Sequence[Run]) -> None:
    data = runs[0].data
    n_classes = len(runs[0].classes)
    table = _table(f"{data.name}: {data.n_valid:,} validation images, {n_classes} classes", "run")
    table.columns[0].no_wrap = max(len(run.id) for run in runs) <= out.width - 48  # a cut id cannot be copied
    is_wide = out.width >= LOG_WIDTH
    columns = ["accuracy (95 % interval)", "log loss", "time"]
    for name in (["architecture"] if is_wide else []) + columns + (["epoch", "trained", "rate"] if is_wide else []):
        table.add_column(name, justify="left" if name == "architecture" else "right", no_wrap=True)
    for run in runs:
        score = metrics.wilson(run.scores.accuracy, data.n_valid - len(run.data.unreadable.get("valid", ())))
        cells = [
            interval(score),
            f"{run.scores.log_loss:.4f}",
            minutes(run.total_seconds),
        ]
        wide = (
            [f"{run.best_epoch} of {run.n_epochs}", f"{run.n_trainable / 1e6:.1f} M", f"{run.lr:.1e}"]
            if is_wide
            else []
        )
        table.add_row(escape(run.id), *([escape(run.arch)] if is_wide else []), *cells, *wide)
    blank = [""] if is_wide else []
    table.add_row("[dim]most common class[/]", *blank, f"[dim]{percent(data.majority)}[/]")
    table.add_row("[dim]chance[/]", *blank, f"[dim]{percent(1 / n_classes)}[/]")
    out.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def show_blend(blend: Blend) -> None:
    """Which group, the members with their weights, and the honest scores."""
    say(group_line(blend))
    table = _table("", "member", "why")
    for name in ("valid accuracy", "weight"):
        table.add_column(name, justify="right", no_wrap=True)
    threshold = float(blend.options["min_acc"])
    for member in blend.members:
        why = member.reason or (f"≥ {percent(threshold)}" if threshold else "every run")
        table.add_row(escape(member.run.id), escape(why), percent(member.run.scores.accuracy), f"{member.weight:.4f}")
    out.print(table)
    for run in blend.passed_over:
        say(f"left out: {run.id} at {percent(run.scores.accuracy)}")
    valid = blend.valid
    kept = sum(member.run.n_epochs > 1 for member in blend.members)
    say(f"cross-fitted on {_count(valid.n_rows, 'validation row')}: {_scores(valid)}")
    say(
        "  members, weights and the best single were chosen on four fifths of the rows and scored on the rest, "
        "10 times over: slightly pessimistic"
    )
    say(
        f"  scored on the rows that fitted the weights: {percent(blend.fitted.value)}, log loss "
        f"{blend.fitted_log_loss:.4f} (optimism: {100 * blend.optimism:+.2f} points)"
    )
    say(f"  epoch chosen on these rows: {kept} of {len(blend.members)}")


def group_line(blend: Blend) -> str:
    """`9 runs on cifar10, 10,000 rows; 4 on digits left out: --data digits`."""
    group = blend.group
    line = f"{_count(len(group.runs), 'run')} on {group.name}, {_count(blend.valid.n_rows, 'row')}"
    for name, count in group.left_out.items():
        line += f"; {count} on {name} left out" + (f": --data {name}" if name != group.name else " (other rows)")
    return line


def _scores(scores: Scores) -> str:
    return (
        f"accuracy {interval(scores.blend)}, log loss {scores.log_loss.value:.4f} "
        f"({scores.log_loss.low:.4f}–{scores.log_loss.high:.4f}); best single {percent(scores.best_accuracy)}; "
        f"{scores.verdict}"
    )


def show_submission(submission: Submission) -> None:
    """Where the CSV is, what is in it, and what a reader should know about it."""
    shape = submission.shape
    say(f"{submission.path}: {len(shape.ids):,} rows, {shape.kind}, checked; {submission.manifest.name} explains it")
    if submission.n_unused:
        say(f"{submission.n_unused:,} test images are not in the sample submission and were left out")
    if submission.unreadable:
        images = _count(len(submission.unreadable), "unreadable test image")
        say(f"{images} got the class shares of the training set: {', '.join(submission.unreadable[:5])}")


def sentence(scores: Scores, noun: str) -> str:
    """`blend 98.9 % (97.2–99.6) on 360 test digits; best single 98.3 %; not distinguishable at n=360`."""
    low, high = 100 * scores.blend.low, 100 * scores.blend.high
    return (
        f"blend {percent(scores.blend.value, 1)} ({low:.1f}–{high:.1f}) on {scores.n_rows:,} {noun}; "
        f"best single {percent(scores.best_accuracy, 1)}; {scores.verdict}"
    )


def show_range_test(found: "RangeTest") -> None:
    """What each rule suggests, the choice and why."""
    table = _table(f"range test, {found.n_steps} steps", "rule")
    table.add_column("rate", justify="right")
    for rule, rate in found.suggestions.items():
        mark = " [bold]chosen[/]" if rule == found.rule else ""
        table.add_row(rule + mark, "not available: too few points" if rate is None else f"{rate:.2e}")
    out.print(table)
    say(found.note or f"chosen: {found.chosen:.2e} by the {found.rule} rule")


def blend_json(blend: Blend, submission: Submission | None) -> dict[str, Any]:
    """The blend as `--json` prints it."""
    return {
        "data": blend.group.name,
        "members": [{"run": m.run.id, "weight": m.weight, "reason": m.reason} for m in blend.members],
        "options": blend.options,
        "cross_fitted": asdict(blend.valid),
        "fitted": {"accuracy": asdict(blend.fitted), "log_loss": blend.fitted_log_loss, "optimism": blend.optimism},
        "test": asdict(blend.test) if blend.test else None,
        "submission": str(submission.path) if submission else None,
    }


def show_failures(failures: Sequence[Failure]) -> None:
    """A table of what failed in a sweep."""
    table = _table("failed", "run", "reason")
    for failure in failures:
        table.add_row(escape(failure.run_id), escape(failure.reason))
    err.print(table)
