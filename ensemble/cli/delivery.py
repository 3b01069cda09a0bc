"""Commands that carry runs and blends elsewhere: `ens bundle`, `ens export`, `ens demo`."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.competition import BlendName, RunId
from ensemble.cli.options import SUBMISSIONS, Json, Runs, blend_name, same
from ensemble.errors import EnsembleError

Submissions = Annotated[
    Path, typer.Option("--submissions", metavar="DIR", help="folder of the submissions")
]


def bundle(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="a submission's name, CSV or manifest")
    ],
    runs: Runs = None,
    submissions: Submissions = SUBMISSIONS,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="the folder to write (NAME-bundle)"),
    ] = None,
    fp16: Annotated[
        bool, typer.Option("--fp16", help="store weights as fp16, and say what that changes")
    ] = False,
    json: Json = False,
) -> None:
    """Write a folder and a zip that predict in a notebook without internet: weights, wheels, notebook."""
    from ensemble import display
    from ensemble.bundle.bundle import make_bundle
    from ensemble.display.delivery import bundle_json, show_bundle
    from ensemble.runs import RunStore
    from ensemble.submission.stored_blends import named_manifest

    manifest = named_manifest(name, submissions)
    written = make_bundle(manifest, RunStore(runs), out or Path(f"{manifest.stem}-bundle"), fp16)
    if json:
        display.show_json(bundle_json(written))
        return
    show_bundle(written, fp16)
    folder = shlex.quote(str(written.folder))
    display.next_commands(
        f"ens predict IMAGES --blend {folder}/{shlex.quote(manifest.name)} --runs {folder}/runs --out new.csv"
    )


def export(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="a run's id, with all its folds")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="PATH", help="the .onnx to write; with --blend a folder"),
    ] = None,
    blend: Annotated[
        str | None,
        typer.Option("--blend", metavar="NAME", help="the blend of this submission or manifest"),
    ] = None,
    runs: Runs = None,
    submissions: Submissions = SUBMISSIONS,
    json: Json = False,
) -> None:
    """Write a run or a blend as ONNX, checked against torch: pixels in, probabilities out."""
    from ensemble import display
    from ensemble.bundle.export import export_blend, export_run
    from ensemble.display.delivery import exported_json, show_exported
    from ensemble.runs import RunStore
    from ensemble.submission.stored_blends import named_manifest

    if (run is None) == (blend is None) or to is None:
        raise EnsembleError(
            "choose what to export: `ens export RUN --to FILE.onnx` "
            "or `ens export --blend NAME --to FOLDER`"
        )
    store = RunStore(runs)
    if run is not None:
        exported = [export_run(store.get(run), to)]
        source = f"--run {shlex.quote(run)}"
    else:
        manifest = named_manifest(str(blend), submissions)
        exported = export_blend(manifest, store, to)
        source = f"--blend {blend_name(manifest)}"
    if json:
        display.show_json(exported_json(exported))
        return
    show_exported(exported)
    display.next_commands(f"ens predict IMAGES {source} --out new.csv{same(runs)}")


def demo(
    run: RunId = None,
    blend: BlendName = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="address of the page; 0.0.0.0: other machines can open it, too",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="N", min=1, max=65535, help="default: a free one from 7860 on"
        ),
    ] = None,
    runs: Runs = None,
    submissions: Submissions = SUBMISSIONS,
) -> None:
    """Open a page on this machine: drop images, see classes, how sure that is, and where it looks."""
    from threading import Event

    from ensemble import display
    from ensemble.demo.answers import Answers
    from ensemble.demo.page import LOOPBACK, check_installed, serve
    from ensemble.inference import Predictor
    from ensemble.runs import RunStore

    if (run is None) == (blend is None):
        raise EnsembleError("choose what predicts: either --run ID or --blend NAME")
    check_installed()
    store = RunStore(runs)
    if run is not None:
        predictor = Predictor.of_run(store.get(run))
    else:
        predictor = Predictor.of_submission(str(blend), store, submissions)
    page = serve(Answers(predictor), run or Path(str(blend)).stem, host, port)
    display.say(f"{page.local_url} (Ctrl-C ends it)")
    if host != LOOPBACK:
        display.note(f"--host {host}: whoever reaches this machine can open the page")
    with suppress(KeyboardInterrupt):
        Event().wait()
    page.close(verbose=False)
