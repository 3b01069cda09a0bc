"""Into a competition and out again: predict any images, submit, read the score."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.options import Runs, same
from ensemble.errors import EnsembleError


def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES...", help="a folder, image files, or a .txt with a path per line")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.csv", help="the CSV to write")],
    run: Annotated[str | None, typer.Option("--run", metavar="ID", help="by this run, all its folds together")] = None,
    blend: Annotated[
        str | None, typer.Option("--blend", metavar="NAME", help="by the blend of this submission or manifest")
    ] = None,
    refit: Annotated[bool, typer.Option("--refit", help="with --run: by its refit on train + validation")] = False,
    sample: Annotated[
        Path | None, typer.Option("--sample", metavar="FILE", help="write what this sample submission asks for")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace a file that is there")] = False,
    runs: Runs = None,
) -> None:
    """Predict a folder or list of images by a stored run or a whole blend: an id and a column for every class."""
    from ensemble import display
    from ensemble.display import competition, live
    from ensemble.engines import predict as predicting
    from ensemble.engines.stopping import stoppable
    from ensemble.runs import RunStore

    if (run is None) == (blend is None) or (refit and blend):
        raise EnsembleError("say who predicts: either --run ID (with --refit or without) or --blend NAME")
    store = RunStore(runs)
    source = predicting.of_run(run, store, refit) if run else predicting.of_blend(str(blend), store)
    with live.progress() as show, stoppable(show) as emit:
        predicted = predicting.predict(images, source, out, emit, sample, force)
    competition.show_predicted(predicted, list(source.runs))
    display.next_commands(f"ens compare {' '.join(map(shlex.quote, source.runs))}{same(runs)}" if len(source.runs) > 1
                          else f"ens runs{same(runs)}")  # fmt: skip
