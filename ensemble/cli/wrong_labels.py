"""`ens inspect --labels`: likely wrong labels by the out-of-fold predictions of a blend or a run."""

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble.cli.options import if_elsewhere, same
from ensemble.errors import RunError

if TYPE_CHECKING:
    from ensemble.predictions import Predictions
    from ensemble.runs import Run, RunStore


def rank_labels(
    name: str, out: Path | None, submissions: Path, runs: Path | None, json: bool
) -> None:
    """Show the likely wrong labels and write them as a list. Raises EnsembleError."""
    from ensemble import display
    from ensemble.blending.label_errors import LIST_MARK, label_errors, label_errors_csv
    from ensemble.display.data import show_label_errors
    from ensemble.files import check_replaceable, write_text
    from ensemble.runs import RunStore

    members, predictions = _predictions_of(name, submissions, RunStore(runs))
    if any(run.data.n_valid_rows is not None for run in members):
        raise RunError(
            f"{name}: its predictions are means over the images of a row, so no single image can be "
            "ranked\ntrain without data.group once, then rank the images of that run"
        )
    errors = label_errors(predictions)
    path = (out or Path("inspect") / Path(name).stem) / "label_errors.csv"
    is_listed = all(run.n_folds or run.training is None for run in members)
    if is_listed and errors:
        check_replaceable(path, LIST_MARK)
        write_text(path, label_errors_csv(errors))
    written = path if is_listed and errors else None
    n_rows = len(predictions.ids)
    if json:
        listed = None if written is None else str(written)
        display.show_json(
            {"rows": n_rows, "list": listed, "labels": [asdict(error) for error in errors]}
        )
        return
    show_label_errors(name, errors, n_rows)
    report = f"ens report{if_elsewhere('--submissions', submissions)}{same(runs)}"
    if written is not None:
        display.say(f"list: {written}; read it and take out the images whose labels are right")
        option = shlex.quote(f"data.exclude={written.absolute()}")
        display.next_commands(f"ens train RECIPE --set {option}{same(runs)}", report)
    elif errors:
        display.say(
            "no list: these images were validated, and validation images are never changed; "
            "with data.valid: {folds: 5} every training image is ranked"
        )
        display.next_commands(report)


def _predictions_of(
    name: str, submissions: Path, store: "RunStore"
) -> "tuple[list[Run], Predictions]":
    """The members and the validation probabilities of a submission's blend, or of a run.

    Raises EnsembleError.
    """
    from ensemble.submission.manifest import members_of, read_manifest
    from ensemble.submission.stored_blends import contents_of, named_manifest

    is_path = name.endswith((".json", ".csv"))
    if not is_path and not os.path.isfile(submissions / f"{name}.json"):  # any length
        try:
            run = store.get(name)
        except RunError as error:
            raise RunError(f"{error}\nno blend has this name: {contents_of(submissions)}") from None
        return [run], run.valid().canonical()
    path = named_manifest(name, submissions)
    manifest = read_manifest(path)
    members = members_of(manifest, store, ["valid.npz"], f"{path}: cannot rank labels")
    return list(members.values()), manifest.mixture.of_probabilities.of_valid(members)
