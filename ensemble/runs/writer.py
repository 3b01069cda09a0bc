"""The one writer of run folders.

A folder without run.json is unfinished. `begin` removes run.json before the first file of a forced
training is replaced, and `publish` writes it last, so a finished run is never half new.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble import __version__
from ensemble.dataset.sample import COPY
from ensemble.events import EpochEnded
from ensemble.files import sha256, write_bytes, write_text
from ensemble.predictions import Predictions
from ensemble.runs.data_info import DataInfo, PseudoInfo
from ensemble.runs.history import history_csv, range_test_csv
from ensemble.runs.record import Trained
from ensemble.runs.run import StoredRun
from ensemble.runs.scores import scores_of

if TYPE_CHECKING:
    from ensemble.dataset.load import DataSet
    from ensemble.recipe import Recipe
    from ensemble.runs.job import Job

MODEL, REFIT_MODEL = "model.safetensors", "refit.safetensors"
STATE, REFIT_STATE = "state", "refit-state"  # folders that an unfinished training resumes from
STATES = (STATE, REFIT_STATE)
FILES = ("recipe.yaml", "history.csv", MODEL, "valid.npz", "test.npz", COPY)
REFIT_FILES = ("recipe.yaml", REFIT_MODEL, "test_refit.npz")
LIBRARIES = ("torch", "fastai", "timm", "numpy", "pillow")  # whose versions run.json holds


def begin(folder: Path) -> None:
    """Make a run unfinished before the first of its files is replaced."""
    (folder / "run.json").unlink(missing_ok=True)


def write_recipe(folder: Path, recipe: "Recipe") -> None:
    """recipe.yaml. Raises EnsembleError."""
    write_text(folder / "recipe.yaml", recipe_text(recipe))


def recipe_text(recipe: "Recipe") -> str:
    """The resolved recipe as YAML that `Recipe.load` reads back to the same recipe."""
    import yaml

    return yaml.safe_dump(json.loads(recipe.model_dump_json()), sort_keys=False, allow_unicode=True)


def write_history(folder: Path, history: Sequence[EpochEnded]) -> None:
    """history.csv. Raises EnsembleError."""
    write_text(folder / "history.csv", history_csv(history))


def write_range_test(folder: Path, points: Sequence[tuple[float, float]]) -> None:
    """lr_find.csv. Raises EnsembleError."""
    write_text(folder / "lr_find.csv", range_test_csv(points))


def write_predictions(folder: Path, valid: Predictions, test: Predictions | None) -> None:
    """valid.npz, and test.npz where there is a test set. Raises EnsembleError."""
    valid.save(folder / "valid.npz")
    if test is not None:
        test.save(folder / "test.npz")


def write_sample(folder: Path, content: bytes | None) -> None:
    """The copy of the sample submission; None removes an earlier one. Raises EnsembleError."""
    if content is None:
        (folder / COPY).unlink(missing_ok=True)
        return
    write_bytes(folder / COPY, content)


def finish(folder: Path, job: "Job", data: "DataSet", trained: Trained) -> StoredRun:
    """Publish a trained run whose files are all written. Raises EnsembleError."""
    run = _trained_run(folder, job, data, trained)
    publish(run)
    discard_states(folder)
    return run


def finish_refit(
    run: StoredRun, recipe: "Recipe", test: Predictions | None, n_epochs: int, seconds: float
) -> StoredRun:
    """Add a refit, whose weights are stored already, to a finished run. Raises EnsembleError."""
    if test is not None:
        test.save(run.folder / "test_refit.npz")
    write_recipe(run.folder, recipe)
    record = run.record()
    changes = {
        "refit_epochs": n_epochs,
        "training": record.model_copy(update={"seconds": record.seconds | {"refit": seconds}}),
        "files": run.files | hashes(run.folder, REFIT_FILES),
    }
    run = run.model_copy(update=changes)
    publish(run)
    discard_states(run.folder)
    return run


def receive(folder: Path, files: Mapping[str, bytes], is_refit: bool) -> None:
    """Store a run that was trained on another machine. Raises EnsembleError."""
    if not is_refit:
        begin(folder)
    write_files(folder, files)
    discard_states(folder)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of a run, each atomically, run.json last. Raises EnsembleError."""
    for name in sorted(files, key=lambda name: (name == "run.json", name)):
        write_bytes(folder / name, files[name])


def publish(run: StoredRun) -> None:
    """Write run.json, the last file of a finished run. Raises EnsembleError."""
    write_text(run.folder / "run.json", run.to_json())


def discard_states(folder: Path) -> None:
    """Remove what a training stored to resume from, once it is finished or given up."""
    for name in STATES:
        shutil.rmtree(folder / name, ignore_errors=True)


def hashes(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The SHA-256 of those of these files that the folder has."""
    return {name: sha256(folder / name) for name in names if (folder / name).exists()}


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _trained_run(folder: Path, job: "Job", data: "DataSet", trained: Trained) -> StoredRun:
    recipe, info = job.recipe, _data_info(job.recipe, data, trained)
    return StoredRun(
        id=job.run_id,
        recipe=recipe.name,
        digest=recipe.digest,
        arch=recipe.model.arch,
        strategy=recipe.fit.strategy,
        seed=job.seed,
        search=job.search,
        fold=job.fold,
        n_folds=recipe.data.n_folds,
        scores=scores_of(trained.valid, info),
        classes=data.classes,
        data=info,
        training=trained.record,
        versions={"ens": __version__} | {name: version(name) for name in LIBRARIES},
        files=hashes(folder, FILES),
        created=now(),
        folder=folder,
    )


def _data_info(recipe: "Recipe", data: "DataSet", trained: Trained) -> DataInfo:
    return DataInfo(
        name=data.name,
        fingerprint=data.fingerprint,
        valid=data.valid_fingerprint,
        target=trained.valid.target,
        majority=data.majority,
        n_train=len(data.train),
        n_valid=len(data.valid),
        n_test=len(data.test or ()),
        n_valid_rows=len(trained.valid.ids) if data.validates_rows else None,
        n_missing=data.n_missing,
        sample_submission=str(data.sample_submission) if data.sample_submission else None,
        sample_sha256=data.sample and data.sample.sha256,
        answer=recipe.data.answer,
        metric=recipe.data.metric,
        positive=recipe.data.positive,
        separator=data.separator,
        class_counts=trained.class_counts,
        mean=trained.record.scale and trained.record.scale.mean,
        is_grouped=trained.valid.groups is not None,
        pseudo=_pseudo_info(data),
        unreadable=trained.unreadable,
    )


def _pseudo_info(data: "DataSet") -> PseudoInfo | None:
    pseudo = data.pseudo
    if pseudo is None:
        return None
    return PseudoInfo(
        source=pseudo.source,
        teachers=pseudo.teachers,
        blend=pseudo.blend,
        n_rows=len(pseudo.rows),
        n_confident=pseudo.n_confident,
    )
