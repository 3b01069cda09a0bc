"""What a running training shows: one live line in a terminal, one line per epoch elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ensemble import events
from ensemble.display.text import err, escape, minutes, percent
from ensemble.numbers import in_metric, metric_in_words
from ensemble.signals import stoppable

FEWEST_SECONDS = 0.1  # between two updates of a bar


@contextmanager
def progress() -> Iterator[events.Emit]:
    """`listener`, which also raises Stopped at the first event after a signal."""
    with listener() as show, stoppable(show) as emit:
        yield emit


@contextmanager
def listener() -> Iterator[events.Emit]:
    """A listener for training events: live bars in a terminal, one line per epoch elsewhere."""
    if not err.is_terminal:
        yield _Lines(err)
        return
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(24),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
        console=err,
        transient=True,
    )
    with bars:
        yield _Bars(bars)


class _Lines:
    """What a log file should hold; while several runs train, each line names its run."""

    def __init__(self, console: Console) -> None:
        self.console, self.n_runs = console, 0
        self.running: dict[str, None] = {}  # an ordered set

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self.n_runs = event.total
                self.running[event.run] = None
                self.line(f"[{event.number}/{event.total}] [bold]{escape(event.run)}[/]")
            case events.Note():
                self.line(f"  {self.prefix(event.run)}{escape(event.text)}")
            case events.EpochEnded():
                self.line(f"  {self.prefix(event.run)}{_epoch(event)}")
            case events.RunEnded():
                self.line(f"  {self.prefix(event.run)}{_ended(event)}")
            # the reason of the only run is the command's error
            case events.RunFailed() if self.n_runs != 1:
                reason = escape(event.reason.replace(":\n", ": ").replace("\n", "; "))
                self.line(f"  {self.prefix(event.run)}[bold red]failed:[/] {reason}")
            case events.RunLeft():
                self.line(f"  {self.prefix(event.run)}{escape(event.reason)}")
            case events.Step():
                self.step(event)
        if isinstance(event, events.RunEnded | events.RunFailed | events.RunLeft):
            self.running.pop(event.run, None)

    def prefix(self, run: str) -> str:
        """The run's name while other runs train too."""
        return f"{escape(run)}: " if self.running.keys() - {run} else ""

    def line(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, soft_wrap=True)

    def step(self, event: events.Step) -> None:
        """A log file has no line for a batch."""


class _Bars(_Lines):
    """The same lines, and a bar for each run that trains."""

    def __init__(self, bars: Progress) -> None:
        super().__init__(bars.console)
        self.bars = bars
        self.rows: dict[str, tuple[str, TaskID]] = {}  # by run: the phase, its bar
        self.scores: dict[str, str] = {}
        self.updated: dict[str, float] = {}

    def __call__(self, event: events.Event) -> None:
        super().__call__(event)
        if isinstance(event, events.EpochEnded):
            self.scores[event.run] = f", {leading}" if (leading := _leading(event)) else ""
        has_ended = event.run not in self.running and not isinstance(event, events.Step)
        if has_ended and event.run in self.rows:
            _, bar = self.rows.pop(event.run)
            self.bars.remove_task(bar)

    def step(self, event: events.Step) -> None:
        """Move the run's bar, at most ten times a second."""
        bar, now = self.bar(event), time.monotonic()
        is_due = now - self.updated.get(event.run, 0.0) > FEWEST_SECONDS
        if not is_due and event.done < event.total:
            return
        self.updated[event.run] = now
        self.bars.update(bar, completed=event.done, total=event.total)
        if event.loss is not None:
            note = f"loss {event.loss:.3f}{self.scores.get(event.run, '')}"
            self.bars.update(bar, note=note)

    def bar(self, event: events.Step) -> TaskID:
        """The bar of the run's phase; a new phase replaces that of the phase before."""
        phase, bar = self.rows.get(event.run, ("", TaskID(-1)))
        if phase == event.phase:
            return bar
        if phase:
            self.bars.remove_task(bar)
        title = f"  {escape(self.prefix(event.run))}{event.phase}"
        bar = self.bars.add_task(title, total=event.total, note="")
        self.rows[event.run] = event.phase, bar
        return bar


def _ended(event: events.RunEnded) -> str:
    state = "finished before, skipped" if event.skipped else "finished"
    parts = [_leading(event)] if event.metric else []
    if event.accuracy is not None and event.metric != "accuracy":
        parts.append(f"accuracy {percent(event.accuracy)}")
    if event.log_loss is not None and event.metric != "log_loss":
        parts.append(f"log loss {event.log_loss:.4f}")
    return f"{state}: {', '.join([*parts, minutes(event.seconds)])}"


def _leading(event: events.EpochEnded | events.RunEnded) -> str:
    """The score by the metric, by accuracy without one."""
    if not event.metric:
        return f"accuracy {percent(event.accuracy)}" if event.accuracy is not None else ""
    score = "undefined" if event.score is None else in_metric(event.score, event.metric)
    return f"{metric_in_words(event.metric)} {score}"


def _epoch(event: events.EpochEnded) -> str:
    best = " [green]best[/]" if event.is_best else ""
    losses = f"train loss {event.train_loss:.4f}, valid loss {event.valid_loss:.4f}"
    has_accuracy = event.accuracy is not None
    accuracy = [f"accuracy {percent(event.accuracy)}"] if has_accuracy else []
    seconds = f"{event.seconds:.1f} s"
    parts = [losses, *accuracy, seconds]
    if event.metric:
        parts = [_leading(event), *accuracy * (event.metric != "accuracy"), losses, seconds]
    return f"{event.phase} epoch {event.epoch}: {', '.join(parts)}{best}"
