"""Options that several commands take, and how the next command repeats them."""

import os
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

Runs = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="where runs are stored (ENS_RUNS, else runs)"),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="where submissions go")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a recipe key, dotted; repeatable"),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--engine", metavar="local|ray", help="processes of this machine, or a Ray cluster"
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, help="local processes at once (the number of GPUs, else 1)"
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", metavar="HOST:PORT", help="the Ray cluster (the one here, else a new one)"
    ),
]
OneRecipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe file")]
Patterns = Annotated[
    list[str] | None, typer.Argument(metavar="PATTERN", help="run ids or recipes, with * and ?")
]
Json = Annotated[bool, typer.Option("--json", help="one JSON value on stdout")]


def present_or_shipped(path: Path) -> list[Path]:
    """The recipe file; where it does not exist, the recipes of that name that come with ens, and a line that says so.

    A pattern that no shell expanded (`recipes/cifar10_*.yaml` in an empty folder) means all that match.
    """
    if os.path.lexists(path):
        return [path]
    from ensemble import display
    from ensemble.recipe.shipped import shipped_matching

    shipped = shipped_matching(path)
    if shipped:
        names = ", ".join(recipe.stem for recipe in shipped)
        display.note(f"{path} is not here: taking {names} as shipped with ens")
    return shipped or [path]


def one_present_or_shipped(path: Path) -> Path:
    """As present_or_shipped, for a command that takes one recipe: a pattern means none."""
    return path if "*" in path.name or "?" in path.name else present_or_shipped(path)[0]


def said(option: str, values: list[str] | None) -> str:
    """` --set KEY=VALUE` for each that was given: the next command must mean the same."""
    return "".join(f" {option} {shlex.quote(value)}" for value in values or ())


def placed(engine: str, jobs: int | None, address: str | None) -> str:
    """What was said about where to train: the next command must train there too."""
    where = {
        "--engine": None if engine == "local" else engine,
        "--jobs": jobs,
        "--address": address,
    }
    return "".join(
        f" {option} {shlex.quote(str(value))}" for option, value in where.items() if value
    )


def same(runs: Path | None) -> str:
    """` --runs DIR` where it was given: the next command must find the same runs."""
    return f" --runs {shlex.quote(str(runs))}" if runs else ""
