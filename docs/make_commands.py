"""Write docs/commands.md from the commands' own help; a test keeps it up to date."""

from collections.abc import Callable
from inspect import Parameter, cleandoc, signature
from pathlib import Path
from typing import Any, get_args

from typer.models import ArgumentInfo

from ensemble.cli import app

PAGE = Path(__file__).parent / "commands.md"
KINDS = {float: "NUMBER", int: "N", str: "NAME"}
INTRO = """# Commands

Generated from the commands' own help by `python docs/make_commands.py`; `ens COMMAND --help` shows the same.
`ens --version` shows the version.

Commands that list something take `--json`: they print one JSON value on stdout and nothing else.
Exit status: 0 success; 1 an error that you can fix, explained in at most three lines; 2 wrong usage;
130 or 143 interrupted, 124 time is up (`ens train --hours`): run the same command to resume.
"""


def page() -> str:
    """The whole page."""
    commands = [(f"ens {command.name}", command.callback) for command in app.registered_commands]
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            commands.append((f"ens {group.name} {command.name}", command.callback))
    return "\n".join([INTRO, *(_section(name, function) for name, function in commands)])


def _section(name: str, function: Callable[..., None]) -> str:
    """A command's usage, its help, and a table of its arguments and options."""
    usage, rows = [name], []
    for parameter in signature(function).parameters.values():
        kind, info = get_args(parameter.annotation)
        if isinstance(info, ArgumentInfo):
            usage.append(info.metavar)
            rows.append((info.metavar, info.help or ""))
        else:
            rows.append((_option(parameter, kind, info), _help(parameter, info)))
    table = "".join(f"| `{option}` | {text} |\n" for option, text in rows)
    text = f"## `{' '.join(usage)}`\n\n{cleandoc(function.__doc__ or '')}\n"
    return text + (f"\n| | |\n|---|---|\n{table}" if rows else "")


def _option(parameter: Parameter, kind: Any, info: Any) -> str:
    """An option's flags and what follows them, such as `-o, --out FILE`."""
    declarations = (info.default, *(info.param_decls or ()))  # typer keeps the first as the default
    flags = [text for text in declarations if isinstance(text, str) and text.startswith("-")]
    flags = flags or [f"--{parameter.name.strip('_').replace('_', '-')}"]
    if kind is bool:
        return ", ".join(flags)
    metavar = info.metavar or KINDS.get(kind) or "|".join(get_args(kind))
    return f"{', '.join(flags)} {metavar}"


def _help(parameter: Parameter, info: Any) -> str:
    """An option's help, with its default where that says anything."""
    if parameter.default is parameter.empty or parameter.default in (None, False, "", 0):
        return info.help or ""
    return f"{info.help or ''}; default {parameter.default}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
