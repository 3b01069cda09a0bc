"""Options that several commands take, and how the next command repeats them."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

Runs = Annotated[Path | None, typer.Option("--runs", metavar="DIR", help="where runs are stored (ENS_RUNS, else runs)")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="where submissions go")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a recipe key, dotted; repeatable")
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option("--engine", metavar="local|ray", help="processes of this machine, or a Ray cluster"),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", metavar="N", min=1, help="local processes at once (the number of GPUs, else 1)")
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="the Ray cluster (the one here, else a new one)")
]
OneRecipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe file")]
Patterns = Annotated[list[str] | None, typer.Argument(metavar="PATTERN", help="run ids or recipes, with * and ?")]
Json = Annotated[bool, typer.Option("--json", help="one JSON value on stdout")]


def said(option: str, values: list[str] | None) -> str:
    """` --set KEY=VALUE` for each that was given: the next command must mean the same."""
    return "".join(f" {option} {shlex.quote(value)}" for value in values or ())


def placed(engine: str, jobs: int | None, address: str | None) -> str:
    """What was said about where to train: the next command must train there too."""
    where = {"--engine": None if engine == "local" else engine, "--jobs": jobs, "--address": address}
    return "".join(f" {option} {shlex.quote(str(value))}" for option, value in where.items() if value)


def same(runs: Path | None) -> str:
    """` --runs DIR` where it was given: the next command must find the same runs."""
    return f" --runs {shlex.quote(str(runs))}" if runs else ""
