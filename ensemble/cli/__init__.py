"""The commands: parse, call one function, show. Each command imports what it needs."""

import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, NoReturn

import typer

from ensemble import __version__
from ensemble.cli import (
    blending,
    comparing,
    competition,
    data,
    delivery,
    report,
    runs,
    training,
)
from ensemble.cli.streams import any_output
from ensemble.errors import EnsembleError, Stopped
from ensemble.torch_env import prepare_torch

app = typer.Typer(
    name="ens",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "quickstart": training.quickstart,
    "init": data.init,
    "recipes": data.recipes,
    "describe": data.describe,
    "inspect": data.inspect,
    "train": training.train,
    "lr-find": training.lr_find,
    "tune": training.tune,
    "runs": runs.list_runs,
    "compare": comparing.compare,
    "blend": blending.blend,
    "verify": competition.verify,
    "import": runs.import_run,
    "submit": competition.submit,
    "predict": competition.predict,
    "bundle": delivery.bundle,
    "export": delivery.export,
    "demo": delivery.demo,
    "report": report.report,
    "doctor": report.doctor,
}


_EMPTY_OPTION = re.compile(r"--[a-z-]+=")
_TRAINING = (["train"], ["tune"], ["quickstart"])  # resumed from the last stored epoch


def _show_version(is_asked: bool) -> None:
    if is_asked:
        from ensemble import display

        display.say(f"ens-images {__version__}")
        raise typer.Exit


@app.callback()
def _ens(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="show ens's version"),
    ] = False,
) -> None:
    """Train image classifiers from YAML recipes, blend them, write a checked submission."""
    _check_none_empty(sys.argv[1:])


def _check_none_empty(arguments: Sequence[str]) -> None:
    """Refuse empty arguments: as a path, one means the current folder. Raises BadParameter."""
    for before, argument in pairwise(["ens", *arguments]):
        option = before
        if _EMPTY_OPTION.fullmatch(argument):
            option, argument = argument[:-1], ""
        if not argument and option != "--message":
            raise typer.BadParameter(
                f"an argument is empty, after {option}: is a variable not set?"
            )


for _name, _command in COMMANDS.items():
    app.command(_name)(_command)

sets = typer.Typer(
    no_args_is_help=True, help="Download image sets, and list those on this machine."
)
sets.command("list")(data.list_data)
sets.command("get")(data.get_data)
sets.command("unpack")(data.unpack_data)
app.add_typer(sets, name="data")


def main() -> None:
    """Run a command; an EnsembleError is at most three lines on stderr and exit status 1."""
    prepare_torch()
    with any_output():
        _run()


def _run() -> None:
    try:
        app(prog_name="ens")
    except EnsembleError as error:
        _fail(error)
    except Stopped as stopped:
        from ensemble.display import show_stopped

        show_stopped(stopped.signal, is_training=sys.argv[1:2] in _TRAINING)
        raise SystemExit(128 + stopped.signal) from None
    except OSError as error:
        from ensemble.files import ENVIRONMENT, not_used, not_written

        if error.errno not in ENVIRONMENT:
            raise
        path = error.filename or "a temporary file"
        may_be_reading = isinstance(error, PermissionError)
        _fail(EnsembleError(not_used(path, error) if may_be_reading else not_written(path, error)))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _fail(error: EnsembleError) -> NoReturn:
    """Show an error and exit with status 1."""
    from ensemble.display import show_error

    show_error(error)
    raise SystemExit(1) from None
