"""Write docs/commands.md from the commands' own help: `python docs/make_commands.py`; a test holds it fresh."""

from collections.abc import Callable
from inspect import cleandoc, signature
from pathlib import Path
from typing import get_args

from typer.models import ArgumentInfo

from ensemble.cli import app

PAGE = Path(__file__).parent / "commands.md"
KINDS = {float: "NUMBER", int: "N", str: "NAME"}
INTRO = """# Commands

Generated from the commands' own help by `python docs/make_commands.py`; `ens COMMAND --help` says the same.

Listing commands take `--json`: one JSON value on stdout, nothing else there. Exit status: 0 done; 1 a problem that you
can mend, told in at most three lines; 2 wrong usage; 130 or 143 interrupted, the same command goes on.
"""


def page() -> str:
    """The whole file."""
    found = [(f"ens {one.name}", one.callback) for one in app.registered_commands]
    for group in app.registered_groups:
        found += [(f"ens {group.name} {one.name}", one.callback) for one in group.typer_instance.registered_commands]
    return "\n".join([INTRO, *(_section(name, function) for name, function in found)])


def _section(name: str, function: Callable[..., None]) -> str:
    usage, rows = [name], []
    for own in signature(function).parameters.values():
        kind, said = get_args(own.annotation)
        declared = (said.default, *(said.param_decls or ()))  # typer keeps the first one as the default
        flags, text = [flag for flag in declared if isinstance(flag, str) and flag.startswith("-")], said.help or ""
        if isinstance(said, ArgumentInfo):
            usage.append(said.metavar)
            rows.append((said.metavar, text))
            continue
        flags = flags or [f"--{own.name.strip('_').replace('_', '-')}"]
        value = "" if kind is bool else f" {said.metavar or KINDS[kind]}"
        given = own.default in (None, False, "", 0) or own.default is own.empty
        rows.append((f"{', '.join(flags)}{value}", text if given else f"{text}; without it {own.default}"))
    table = "".join(f"| `{option}` | {text} |\n" for option, text in rows)
    return f"## `{' '.join(usage)}`\n\n{cleandoc(function.__doc__ or '')}\n" + (
        f"\n| | |\n|---|---|\n{table}" if rows else ""
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
