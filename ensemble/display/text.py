"""Plain text and tables: results on stdout, errors on stderr."""

import json
import re
import signal
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape as escape_markup
from rich.table import Table

from ensemble.errors import EnsembleError
from ensemble.numbers import count, interval, minutes, percent

__all__ = [
    "LONGEST",
    "LOG_WIDTH",
    "count",
    "err",
    "escape",
    "interval",
    "minutes",
    "next_commands",
    "note",
    "out",
    "percent",
    "plain",
    "say",
    "show_error",
    "show_json",
    "show_stopped",
    "table",
]
LOG_WIDTH = 140  # a file or pipe has no width of its own
LONGEST = 600  # characters of a line of an error
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _console(stderr: bool) -> Console:
    console = Console(
        stderr=stderr, highlight=False, emoji=False
    )  # labels.csv:100: is a line, not a picture
    if not console.is_terminal:
        console.width = LOG_WIDTH
    return console


out, err = _console(stderr=False), _console(stderr=True)


def plain(text: str) -> str:
    """Text from a file without what a terminal would obey: control characters are shown as such."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def escape(text: str) -> str:
    """Text from a file as rich shows it: neither markup nor control characters act."""
    return escape_markup(plain(text))


def show_error(error: EnsembleError) -> None:
    """The message alone, at most three lines, on stderr."""
    lines = [line[:LONGEST] for line in str(error).splitlines() if line.strip()][:3] or [""]
    err.print(
        "\n".join(["[bold red]error:[/] " + escape(lines[0]), *map(escape, lines[1:])]),
        soft_wrap=True,
    )


def show_stopped(number: int) -> None:
    """That a signal ended the command, and how to go on."""
    name = signal.Signals(number).name
    err.print(
        f"[bold]stopped by {name}[/]: what is finished is stored; the same command goes on after the last whole epoch"
    )


def say(text: str) -> None:
    """One line of result on stdout."""
    out.print(plain(text), soft_wrap=True, markup=False)


def note(text: str) -> None:
    """One line beside the result, on stderr: what was assumed."""
    err.print(plain(text), soft_wrap=True, markup=False)


def warn_suspicious(warnings: Sequence[str]) -> None:
    """What looks suspicious about a submission of the right format."""
    for warning in warnings:
        out.print(f"[bold red]looks suspicious:[/] {escape(warning)}", soft_wrap=True)


def ask(question: str) -> bool:
    """Whether a person at the terminal says yes; no one there is no yes."""
    out.print(escape(f"{question} [y/N] "), end="", soft_wrap=True)
    try:
        return input().strip().lower() in ("y", "yes")
    except (EOFError, RuntimeError):  # RuntimeError: stdin or stdout is closed
        out.print()
        return False


def next_commands(*commands: str) -> None:
    """How to go on."""
    out.print("[dim]next:[/]  " + "\n       ".join(map(escape, commands)), soft_wrap=True)


def show_json(value: Any) -> None:
    """One JSON value on stdout, nothing else."""
    shown = json.dumps(value, indent=1, ensure_ascii=not out.encoding.startswith("utf"))
    out.file.write(
        shown + "\n"
    )  # sys.stdout, or where `>&-` closed it a file that takes everything


def table(title: str, *columns: str) -> Table:
    """An empty table whose named columns fold where they must."""
    made = Table(
        title=escape(title),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in columns:
        made.add_column(name, overflow="fold")
    return made
