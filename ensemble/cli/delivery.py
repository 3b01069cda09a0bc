"""Commands that carry a blend elsewhere: `ens bundle`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.options import Runs

Submissions = Annotated[
    Path, typer.Option("--submissions", metavar="DIR", help="folder of the submissions")
]


def bundle(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="a submission's name, CSV or manifest")
    ],
    runs: Runs = None,
    submissions: Submissions = Path("submissions"),
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="the folder to write (NAME-bundle)"),
    ] = None,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="store weights as fp16, and say what that changes")
    ] = False,
) -> None:
    """Write a folder and a zip that predict in a notebook without internet: weights, wheels, notebook."""
    from ensemble import display
    from ensemble.bundle.bundle import make_bundle
    from ensemble.display.delivery import show_bundle
    from ensemble.runs import RunStore
    from ensemble.submission.stored_blends import named_manifest

    manifest = named_manifest(name, submissions)
    written = make_bundle(manifest, RunStore(runs), out or Path(f"{manifest.stem}-bundle"), fp16)
    show_bundle(written, fp16)
    folder = shlex.quote(str(written.folder))
    display.next_commands(
        f"ens predict IMAGES --blend {folder}/{shlex.quote(manifest.name)} --runs {folder}/runs --out new.csv"
    )
