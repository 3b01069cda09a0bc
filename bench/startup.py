"""How long `ens --help` takes beside an empty typer app with as many commands: `python bench/startup.py`."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ensemble.cli import app


def bare_app(n_commands: int) -> str:
    """The source of a typer app with so many commands that do nothing."""
    commands = "".join(
        f'@app.command()\ndef command_{i}() -> None:\n    """Command {i}."""\n\n\n'
        for i in range(n_commands)
    )
    return f"import typer\n\napp = typer.Typer(add_completion=False)\n\n\n{commands}app()\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10)
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(bare_app(len(app.registered_commands)))
        commands = {"ens": ["-m", "ensemble", "--help"], "bare": [str(bare), "--help"]}
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(turns + 1):
            for name, command in commands.items():
                start = time.perf_counter()
                environment = os.environ | {"COLUMNS": "80"}
                subprocess.run(
                    [sys.executable, *command], check=True, capture_output=True, env=environment
                )
                seconds[name].append(time.perf_counter() - start)
    ens, typer = (
        median(times[1:]) for times in seconds.values()
    )  # the first turn fills the disk cache
    print(f"ens --help {ens:.3f} s, an empty app {typer:.3f} s, ratio {ens / typer:.2f}")


if __name__ == "__main__":
    main()
