"""One folder and zip with all that predicting by a blend needs, for a notebook without internet."""

import csv
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.bundle.members import copy_members
from ensemble.bundle.notebook import notebook
from ensemble.bundle.wheels import pack_wheels
from ensemble.dataset.load import load
from ensemble.errors import DataError, EnsembleError, RecipeError, RunError, SubmissionError
from ensemble.events import ignore
from ensemble.files import (
    atomic_path,
    not_written,
    remove_unfinished,
    staged_folder,
    write_json,
    write_text,
)
from ensemble.inference import Predictor, predict
from ensemble.recipe import Recipe
from ensemble.runs import Run, RunStore
from ensemble.submission.manifest import Manifest, members_of, read_manifest

NOTEBOOK, RUNS, WHEELS = "inference.ipynb", "runs", "wheels"
N_COMPARED = 64  # images whose predictions by fp16 weights are compared


@dataclass(frozen=True)
class Change:
    """What fp16 weights change: probabilities (or values) by at most `largest`, and n_answers classes.

    Over n_images images of the training's data set; n_answers is None for labels and numbers.
    """

    n_images: int
    n_answers: int | None
    largest: float


@dataclass(frozen=True)
class Bundle:
    """A written bundle: bytes by part, wheels that could not be packed, and what fp16 changed.

    change is None with the weights as they are, and where the images are gone.
    """

    folder: Path
    archive: Path
    n_bytes: dict[str, int]
    unpacked: tuple[str, ...]
    change: Change | None


def make_bundle(manifest_path: Path, store: RunStore, folder: Path, fp16: bool = False) -> Bundle:
    """Write the bundle of a stored blend into a new folder, and beside it as `FOLDER.zip`.

    Raises EnsembleError.
    """
    archive = _archive_of(folder)
    manifest = read_manifest(manifest_path)
    problem = f"{manifest.path}: cannot be bundled"
    runs = members_of(manifest, store, manifest.files_to_predict, problem)
    unpacked = _write(folder, archive, manifest, runs, fp16)
    return Bundle(
        folder=folder,
        archive=archive,
        n_bytes={part: _n_bytes(folder / part) for part in (RUNS, WHEELS)},
        unpacked=tuple(unpacked),
        change=_change(folder / manifest.path.name, manifest, runs) if fp16 else None,
    )


def _archive_of(folder: Path) -> Path:
    """The zip beside a folder, where neither exists. Raises SubmissionError."""
    if not folder.exists():
        archive = folder.with_name(f"{folder.name}.zip")
        if not archive.exists():
            return archive
        folder = archive
    raise SubmissionError(f"{folder}: exists\nchoose another --out, or remove it first")


def _write(
    folder: Path, archive: Path, manifest: Manifest, runs: dict[str, Run], fp16: bool
) -> list[str]:
    """Write the folder and its zip, both whole or none; returns the wheels that could not be packed.

    Raises EnsembleError.
    """
    with atomic_path(archive) as temporary:
        try:
            remove_unfinished(folder)
            with staged_folder(folder) as staging:
                unpacked = _fill(staging, manifest, runs, fp16)
                _write_archive(staging, temporary)
        except OSError as error:
            raise EnsembleError(not_written(folder, error)) from None
    return unpacked


def _fill(folder: Path, manifest: Manifest, runs: dict[str, Run], fp16: bool) -> list[str]:
    """Write all parts; returns the names of wheels that could not be packed."""
    hashes = copy_members(manifest, runs, folder / RUNS, fp16)
    members = [member | {"sha256": hashes[member["run"]]} for member in manifest.content["members"]]
    content = {**manifest.content, "members": members}
    write_json(folder / manifest.path.name, content)
    write_text(folder / NOTEBOOK, notebook(manifest, _test_folder(runs)))
    return pack_wheels(folder / WHEELS)[1]


def _test_folder(runs: dict[str, Run]) -> str:
    """The name of the folder of test images, as the first member's recipe has it, else `test`."""
    test = _recipe_of(runs).data.test
    return Path(test).name if isinstance(test, str) else "test"


def _recipe_of(runs: dict[str, Run]) -> Recipe:
    first = next(iter(runs.values())).folds[0]
    return Recipe.load(first.folder / "recipe.yaml")


def _write_archive(folder: Path, archive: Path) -> None:
    """A zip without compression, which weights do not take."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as stored:
        for path in sorted(folder.rglob("*")):
            stored.write(path, path.relative_to(folder))


def _n_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _change(bundled: Path, manifest: Manifest, runs: dict[str, Run]) -> Change | None:
    """What the bundle predicts otherwise than the blend, on images of the data set; None without."""
    try:
        data = load(_recipe_of(runs).data)
    except (DataError, RecipeError, RunError):
        return None
    images = data.test or data.valid
    step = max(1, len(images) // N_COMPARED)
    files = images.files[::step][:N_COMPARED]
    before = _predicted(files, Predictor(runs, manifest.mixture))
    after = _predicted(files, Predictor.of_submission(bundled, RunStore(bundled.parent / RUNS)))
    n_answers = None
    if next(iter(runs.values())).data.target == "class":
        n_answers = int((before.argmax(axis=1) != after.argmax(axis=1)).sum())
    return Change(len(files), n_answers, float(np.abs(before - after).max()))


def _predicted(files: Sequence[Path], predictor: Predictor) -> Any:
    """(images, columns) of the CSV that a prediction writes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "predicted.csv"
        predict(files, predictor, out, ignore)
        with out.open(encoding="utf-8", newline="") as stored:
            rows = list(csv.reader(stored))[1:]
    return np.array([[float(cell) for cell in row[1:]] for row in rows])
