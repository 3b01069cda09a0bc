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
        self.console, self.n_runs = console, 0

    def __call__(self, event: events.Event) -> None:
        match event:
            case events.RunStarted():
                self.n_runs = event.total
                self.line(f"[{event.number}/{event.total}] [bold]{escape(event.run)}[/]")
            case events.Note():
                self.line(f"  {escape(event.text)}")
            case events.EpochEnded():
                self.line(f"  {_epoch(event)}")
            case events.RunEnded():
                was = "finished before, skipped: " if event.skipped else "finished: "
                scores = f"accuracy {percent(event.accuracy)}, log loss {event.log_loss:.4f}, {minutes(event.seconds)}"
                self.line(f"  {was}{scores}")
            case events.RunFailed() if self.n_runs != 1:  # the only run's reason is the command's error
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
