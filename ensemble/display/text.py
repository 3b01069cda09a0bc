"""Plain text and tables: results on stdout, errors on stderr."""

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from typing import IO, Any, TextIO, cast

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape as escape_markup
from rich.table import Table

from ensemble.errors import EnsembleError
from ensemble.files import finite
from ensemble.numbers import count, minutes, percent

__all__ = [
    "LOG_WIDTH",
    "count",
    "err",
    "escape",
    "leave_stdout_to_json",
    "minutes",
    "next_commands",
    "note",
    "out",
    "percent",
    "say",
    "show_error",
    "show_json",
    "show_stopped",
    "table",
    "warn_suspicious",
]
LOG_WIDTH = 140  # columns, where stdout is a file or a pipe
_WIDEST = 10_000  # columns, more than any table needs
LONGEST = 600  # characters of a line of an error
IN_NOTEBOOK = "JPY_PARENT_PID"  # what a notebook's kernel sets for the commands that it starts
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _console(stderr: bool) -> Console:
    # a notebook claims to be a terminal, and then keeps every frame of a bar
    is_terminal = False if os.environ.get(IN_NOTEBOOK) else None
    # without emoji: `labels.csv:100:` is text, not an emoji's name
    console = Console(stderr=stderr, highlight=False, emoji=False, force_terminal=is_terminal)
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console


out, err = _console(stderr=False), _console(stderr=True)


def plain(text: str) -> str:
    """Text from a file, control characters escaped: a terminal would obey them."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def escape(text: str) -> str:
    """Text from a file for rich to print, with markup and control characters escaped."""
    return escape_markup(plain(text))


def show_error(error: EnsembleError) -> None:
    """The message alone, at most three lines, on stderr."""
    lines = [line[:LONGEST] for line in str(error).splitlines() if line.strip()]
    text = "\n".join(map(escape, lines[:3]))
    err.print(f"[bold red]error:[/] {text}", soft_wrap=True)


def show_stopped(number: int, is_training: bool) -> None:
    """That a signal stopped the command, and what it left; is_training: it stores its epochs."""
    name = signal.Signals(number).name
    left = (
        "finished runs are stored; the same command resumes from the last stored epoch"
        if is_training
        else "run the command again"
    )
    err.print(f"[bold]stopped by {name}[/]: {left}")


def say(text: str) -> None:
    """One line of result on stdout."""
    out.print(plain(text), soft_wrap=True, markup=False)


def note(text: str) -> None:
    """One line on stderr, apart from the result: what was assumed."""
    err.print(plain(text), soft_wrap=True, markup=False)


def warn_suspicious(warnings: Sequence[str]) -> None:
    """What looks suspicious about a submission of the right format."""
    for warning in warnings:
        out.print(f"[bold red]looks suspicious:[/] {escape(warning)}", soft_wrap=True)


def ask(question: str) -> bool:
    """Whether a person at the terminal answers yes; False without a person."""
    out.print(escape(f"{question} [y/N] "), end="", soft_wrap=True)
    try:
        return input().strip().lower() in ("y", "yes")
    except (EOFError, RuntimeError):  # RuntimeError: stdin or stdout is closed
        out.print()
        return False


def next_commands(*commands: str) -> None:
    """The commands that come next."""
    out.print("[dim]next:[/]  " + "\n       ".join(map(escape, commands)), soft_wrap=True)


class _JsonOnly:
    """stdout that only show_json may write to; what anything else prints goes to stderr."""

    def __init__(self, stdout: IO[str]) -> None:
        self.stdout = stdout

    def __getattr__(self, name: str) -> Any:
        return getattr(err.file, name)


def leave_stdout_to_json() -> None:
    """From now on stdout is show_json's alone: what anything else prints goes to stderr.

    `cli.streams.any_output` restores it when the command ends.
    """
    sys.stdout = cast(TextIO, _JsonOnly(out.file))


def show_json(value: Any) -> None:
    """One JSON value on stdout, made `finite`; nothing else."""
    # out.file is sys.stdout; where `>&-` closed that, a file that drops everything
    stream = out.file.stdout if isinstance(out.file, _JsonOnly) else out.file
    is_unicode = (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")
    stream.write(json.dumps(finite(value), indent=1, ensure_ascii=not is_unicode) + "\n")
    stream.flush()  # here, where a full disk is an error


class _Folding(Table):
    """A table whose cells all fold where the terminal is too narrow for whole numbers.

    rich would cut the numbers off and drop the columns that fold: names of runs and of weights.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = self.__rich_measure__(console, options.update_width(_WIDEST)).maximum
        if needed > options.max_width:
            for column in self.columns:
                column.no_wrap, column.overflow = False, "fold"
        return super().__rich_console__(console, options)


def table(title: str, *columns: str, numbers: Sequence[str] = ()) -> Table:
    """An empty table of these columns, then those of numbers, on the right and in one line.

    The cells of the first fold where the terminal is too narrow, those of numbers where it must be.
    """
    empty = _Folding(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in columns:
        empty.add_column(name, overflow="fold")
    for name in numbers:
        empty.add_column(name, justify="right", no_wrap=True)
    return empty
