"""The commands: parse, call one function, show. Heavy imports wait for the command that needs them."""

from collections.abc import Callable

import typer

from ensemble.cli import blending, competition, data, report, training
from ensemble.cli.streams import any_output
from ensemble.errors import EnsembleError, Stopped
from ensemble.torch_env import prepare_torch

app = typer.Typer(
    name="ens",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a YAML recipe to an honest ensemble and a checked submission.",
)
COMMANDS: dict[str, Callable[..., None]] = {
    "quickstart": training.quickstart,
    "init": data.init,
    "recipes": data.recipes,
    "inspect": data.inspect,
    "train": training.train,
    "lr-find": training.lr_find,
    "tune": training.tune,
    "runs": blending.list_runs,
    "compare": blending.compare,
    "blend": blending.blend,
    "verify": blending.verify,
    "import": blending.import_run,
    "submit": competition.submit,
    "predict": competition.predict,
    "report": report.report,
    "doctor": report.doctor,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)

sets = typer.Typer(no_args_is_help=True, help="Get image sets, and see which are here.")
sets.command("list")(data.list_data)
sets.command("get")(data.get_data)
app.add_typer(sets, name="data")


def main() -> None:
    """Run a command; a problem the user can mend is told in at most three lines and exits with 1."""
    prepare_torch()
    with any_output():
        _run()


def _run() -> None:
    try:
        app(prog_name="ens")
    except EnsembleError as error:
        from ensemble.display import show_error

        show_error(error)
        raise SystemExit(1) from None
    except Stopped as stopped:
        from ensemble.display import show_stopped

        show_stopped(stopped.signal)
        raise SystemExit(128 + stopped.signal) from None
    except OSError as error:
        from ensemble.display import show_error
        from ensemble.files import ENVIRONMENT, not_used, not_written

        if error.errno not in ENVIRONMENT:
            raise
        path = error.filename or "a temporary file"
        is_forbidden = isinstance(error, PermissionError)  # to read it, perhaps
        show_error(
            EnsembleError(not_used(path, error) if is_forbidden else not_written(path, error))
        )
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
