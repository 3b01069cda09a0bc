"""What a running training shows: one live line in a terminal, one line per epoch elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ensemble import events
from ensemble.display.text import err, escape, minutes, percent


@contextmanager
def progress() -> Iterator[events.Emit]:
    """A listener for training events: a live bar in a terminal, one line per epoch elsewhere."""
    if err.is_terminal:
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(compact=True),
            console=err,
            transient=True,
        )
        with bar:
            yield _Live(bar)
    else:
        yield _Lines(err)


class _Lines:
    """Quiet, line-based: what a log file should hold. Where several runs are under way, each line says whose it is."""

    def __init__(self, console: Console) -> None:
        self.console, self.n_runs = console, 0
        self.open: dict[str, None] = {}  # an ordered set

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self.n_runs = event.total
                self.open[event.run] = None
                self.line(f"[{event.number}/{event.total}] [bold]{escape(event.run)}[/]")
            case events.Note():
                self.line(f"  {self.whose(event.run)}{escape(event.text)}")
            case events.EpochEnded():
                self.line(f"  {self.whose(event.run)}{_epoch(event)}")
            case events.RunEnded():
                was = "finished before, skipped: " if event.skipped else "finished: "
                scores = f"accuracy {percent(event.accuracy)}, log loss {event.log_loss:.4f}, {minutes(event.seconds)}"
                self.line(f"  {self.whose(event.run)}{was}{scores}")
            case events.RunFailed() if (
                self.n_runs != 1
            ):  # the only run's reason is the command's error
                reason = escape(event.reason.replace("\n", "; "))
                self.line(f"  {self.whose(event.run)}[bold red]failed:[/] {reason}")
            case events.RunLeft():
                self.line(f"  {self.whose(event.run)}{escape(event.reason)}")
            case events.Step():
                self.step(event)
        if isinstance(event, events.RunEnded | events.RunFailed | events.RunLeft):
            self.open.pop(event.run, None)

    def whose(self, run: str) -> str:
        """The run's name where it is not the only one under way."""
        return f"{escape(run)}: " if self.open.keys() - {run} else ""

    def line(self, text: str) -> None:
        """One line that stays."""
        self.console.print(text, soft_wrap=True)

    def step(self, event: events.Step) -> None:
        """Batches are not worth a line each."""


class _Live(_Lines):
    """The same lines, and a table with a bar for each run under way."""

    def __init__(self, bars: Progress) -> None:
        super().__init__(bars.console)
        self.bars = bars
        self.rows: dict[str, tuple[str, TaskID]] = {}  # by run: the phase, its bar
        self.accuracy: dict[str, str] = {}
        self.drawn: dict[str, float] = {}

    def __call__(self, event: events.Event) -> None:
        super().__call__(event)
        if isinstance(event, events.EpochEnded):
            self.accuracy[event.run] = f", accuracy {percent(event.accuracy)}"
        if (
            event.run not in self.open
            and event.run in self.rows
            and not isinstance(event, events.Step)
        ):
            self.bars.remove_task(self.rows.pop(event.run)[1])

    def step(self, event: events.Step) -> None:
        """Move the run's bar, at most ten times a second."""
        phase, row = self.rows.get(event.run, ("", TaskID(-1)))
        if phase != event.phase:
            if phase:
                self.bars.remove_task(row)
            name = f"  {escape(self.whose(event.run))}{event.phase}"
            row = self.bars.add_task(name, total=event.total, note="")
            self.rows[event.run] = event.phase, row
        now = time.monotonic()
        if now - self.drawn.get(event.run, 0.0) > 0.1 or event.done == event.total:
            self.drawn[event.run] = now
            self.bars.update(row, completed=event.done, total=event.total)
            if event.loss is not None:
                self.bars.update(
                    row, note=f"loss {event.loss:.3f}{self.accuracy.get(event.run, '')}"
                )


def _epoch(event: events.EpochEnded) -> str:
    star = " [green]best[/]" if event.is_best else ""
    return (
        f"{event.phase} epoch {event.epoch}: train loss {event.train_loss:.4f}, valid loss {event.valid_loss:.4f}, "
        f"accuracy {percent(event.accuracy)}, {event.seconds:.1f} s{star}"
    )
