"""Options that several commands take, and how the next command repeats them."""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from ensemble import answers

SUBMISSIONS = Path("submissions")
Runs = Annotated[
    Path | None,
    typer.Option("--runs", metavar="DIR", help="folder of the runs (ENS_RUNS, else runs)"),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="folder of the submissions")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a dotted recipe key; repeatable"),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--engine", metavar="local|ray", help="processes on this machine, or a Ray cluster"
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, help="number of local processes (default: GPUs, else 1)"
    ),
]
Hours = Annotated[
    float | None,
    typer.Option(
        "--hours",
        metavar="H",
        min=0,
        help="end within H hours: each run after the last epoch that fits, to be resumed",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="tensorboard|wandb",
        help="also log every epoch and run there; repeatable",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="the Ray cluster (default: one on this machine, else a new one)",
    ),
]
OneRecipe = Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe file")]
Patterns = Annotated[
    list[str] | None, typer.Argument(metavar="PATTERN", help="run ids or recipes, with * and ?")
]
Answer = Annotated[
    answers.Answer | None,
    typer.Option(
        "--answer",
        metavar="NAME",
        help="what a cell means, instead of data.answer: probabilities, positive_probability, "
        "class_name, class_index, class_number, labels, top_k or values",
    ),
]
Positive = Annotated[
    str | None,
    typer.Option(
        "--positive",
        metavar="CLASS",
        help="the class of a single column of probabilities and of f1, instead of data.positive",
    ),
]
Metric = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="what scores: accuracy, balanced_accuracy, "
        "log_loss, roc_auc, f1, f1_macro, f1_micro, f1_weighted, f1_min, quadratic_kappa, map@k or "
        "top_k_accuracy@k; of labels also f1_samples or f2_samples; of numbers rmse, mae or "
        "quadratic_kappa; default the runs' data.metric, else accuracy, f1_samples or rmse",
    ),
]


def _leave_stdout_to_json(is_json: bool) -> bool:
    from ensemble.display import leave_stdout_to_json

    if is_json:
        leave_stdout_to_json()
    return is_json


Json = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_leave_stdout_to_json,
        help="one JSON value on stdout; everything else on stderr",
    ),
]


def present_or_shipped(path: Path) -> list[Path]:
    """The recipe file, or the shipped recipes of that name, which a note then lists."""
    from ensemble import display
    from ensemble.recipe.shipped import recipe_files

    files = recipe_files(path)
    if files != [path]:
        names = ", ".join(file.stem for file in files)
        display.note(f"{path} does not exist: using {names} as shipped with ens")
    return files


def one_present_or_shipped(path: Path) -> Path:
    """As present_or_shipped, for a command that takes one recipe: a pattern matches none."""
    return path if "*" in path.name or "?" in path.name else present_or_shipped(path)[0]


def repeated(option: str, values: list[str] | None) -> str:
    """` --set KEY=VALUE` for each value that the user set: the next command must mean the same."""
    return "".join(f" {option} {shlex.quote(text)}" for text in values or ())


def engine_options(engine: str, jobs: int | None, address: str | None) -> str:
    """The options that say where to train: the next command must train there too."""
    options = {
        "--engine": None if engine == "local" else engine,
        "--jobs": jobs,
        "--address": address,
    }
    return "".join(
        f" {option} {shlex.quote(str(setting))}" for option, setting in options.items() if setting
    )


def same(runs: Path | None) -> str:
    """` --runs DIR` where the user set it: the next command must find the same runs."""
    return f" --runs {shlex.quote(str(runs))}" if runs else ""


def if_elsewhere(option: str, submissions: Path) -> str:
    """` --out DIR` where the submissions are not in the usual folder."""
    is_usual = submissions == SUBMISSIONS
    return "" if is_usual else f" {option} {shlex.quote(str(submissions))}"


def blend_name(manifest: Path) -> str:
    """How `--blend` names a blend: by its name in the usual folder, else by its manifest."""
    return shlex.quote(manifest.stem if manifest.parent == SUBMISSIONS else str(manifest))
