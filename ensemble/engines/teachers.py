"""Who labels test images for a training (fit.pseudo), and with what.

A network must not learn from anything that saw a row it is validated on. So a fold is taught by the
teachers' networks of that fold alone, averaged by weights and a calibration that were fitted
without its rows; where one part is held out, by the mean of the teachers.
"""

import hashlib
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ensemble.blending import Options
from ensemble.blending.mixture import Mixture
from ensemble.blending.unseen import mixture_without
from ensemble.dataset.load import DataSet
from ensemble.dataset.pseudo import PseudoLabels
from ensemble.errors import RecipeError, RunError
from ensemble.numbers import count
from ensemble.predictions import Array
from ensemble.recipe import Pseudo, Recipe
from ensemble.runs import Run, RunStore, StoredRun
from ensemble.runs.job import Job
from ensemble.submission.manifest import PREDICTIONS, members_of, read_manifest, read_options
from ensemble.submission.stored_blends import named_manifest

SUBMISSIONS = Path("submissions")


class Taught(Protocol):
    """What names teachers: labels to train on, or what a finished run holds of them."""

    @property
    def teachers(self) -> dict[str, str]:
        """A hash of each run's predictions, by run id."""

    @property
    def blend(self) -> str:
        """A hash of their weights, "" where those are equal."""


@dataclass(frozen=True)
class Teachers:
    """Finished runs by id; how they blend, None: all alike; a hash of what that was read from."""

    runs: Mapping[str, Run]
    options: Options | None = None
    positive: str | None = None
    blend: str = ""

    @property
    def hashes(self) -> dict[str, str]:
        """A hash of each run's predictions, by run id."""
        return {run_id: _hash(_predictions(run)) for run_id, run in self.runs.items()}


def teachers_of(taught: Taught | None) -> tuple[dict[str, str], str] | None:
    """What may not change between a finished run and its recipe."""
    return (taught.teachers, taught.blend) if taught else None


def taught(data: DataSet, job: Job, store: RunStore) -> DataSet:
    """The data set with labels of test images by the teachers that the recipe names.

    Raises EnsembleError where none may teach this recipe.
    """
    recipe, pseudo = job.recipe, job.recipe.fit.pseudo
    assert pseudo is not None
    _check_recipe(recipe, data)
    teachers = _named(pseudo.from_, job, data, store)
    networks = {run.id: _network(run, job, data) for run in teachers.runs.values()}
    mixture, how = _mixture(teachers, data, job.fold)
    parts = {run_id: networks[run_id].test for run_id in mixture.weights}
    blended = mixture.of(parts, {}).predictions
    row_of = {name: row for row, name in enumerate(blended.ids.tolist())}
    columns = [blended.classes.index(name) for name in data.classes]
    assert data.test is not None
    probs = blended.probs[[row_of[name] for name in data.test.ids]][:, columns]
    unreadable = {
        name for part in networks.values() for name in part.data.unreadable.get("test", ())
    }
    sure = [
        row
        for row, (name, confidence) in enumerate(zip(data.test.ids, probs.max(1), strict=True))
        if confidence >= pseudo.min_confidence and name not in unreadable
    ]
    rows = _drawn(sure, pseudo, len(data.train), job.seed, float(probs.max()))
    labels = PseudoLabels(
        rows=rows,
        probs=probs[rows].astype(np.float32),
        is_soft=pseudo.soft,
        source=pseudo.from_,
        teachers=teachers.hashes,
        blend=teachers.blend,
        n_confident=len(sure),
        line=_line(pseudo, len(rows), len(sure), len(data.test), teachers, how),
    )
    return replace(data, pseudo=labels, notes=(*data.notes, labels.line))


def _check_recipe(recipe: Recipe, data: DataSet) -> None:
    problem = ""
    if data.target != "class":
        problem = f"is for one class per image; data.target is {data.target}\nleave it out"
    elif data.test is None:
        problem = "needs test images\nset data.test, or leave it out"
    elif data.test.rows is not None:
        problem = (
            "is for one image per row of the submission; here there are several images of one\n"
            "leave it out"
        )
    elif recipe.refit:
        problem = (
            "and refit exclude each other: no fold's teachers may teach all rows\n"
            "blend the folds, or leave one of the two out"
        )
    if problem:
        raise RecipeError(f"recipe {recipe.name}: fit.pseudo {problem}")


def _named(name: str, job: Job, data: DataSet, store: RunStore) -> Teachers:
    """The teachers that a submission, a recipe or a run id names. Raises EnsembleError."""
    key = f"recipe {job.recipe.name}: fit.pseudo.from: {name[:100]}"
    is_file = name.endswith((".csv", ".json"))
    is_submission = is_file or os.path.isfile(SUBMISSIONS / f"{name}.json")
    listing = store.all()
    runs = [run for run in listing.runs if name in (run.recipe, run.id)]
    unfinished = [text for text in listing.incomplete if text.startswith(f"{name}-")]
    if name == job.recipe.name:
        raise RecipeError(f"{key} is this recipe itself\nname a submission or another recipe")
    if is_submission and runs:
        raise RecipeError(
            f"{key} is a submission and a recipe\n"
            f"write {SUBMISSIONS / name}.csv, or a run's id: {runs[0].id}"
        )
    if is_submission:
        return _of_submission(named_manifest(name, SUBMISSIONS), store)
    if len({run.digest for run in runs}) > 1:  # such as one for each data.split_seed
        runs = [run for run in runs if not _problem(run, job, data)] or runs
    if len({run.digest for run in runs}) > 1:
        ids = ", ".join(run.id for run in runs[:4])
        raise RecipeError(f"{key} is ambiguous: {ids}\nwrite the id of one, or blend them")
    if unfinished and not runs:
        raise RunError(f"{key} is not finished: {unfinished[0]}\ntrain it first")
    if not runs:
        raise RunError(
            f"{key} is no submission in {SUBMISSIONS} and no finished recipe or run in {store.root}\n"
            "train it first; `ens runs` lists what is finished"
        )
    return Teachers({run.id: run for run in runs})


def _of_submission(path: Path, store: RunStore) -> Teachers:
    manifest, (_, options, _) = read_manifest(path), read_options(path)
    problem = f"fit.pseudo.from: {path}: cannot teach"
    runs = members_of(manifest, store, PREDICTIONS, problem)
    decides = {key: manifest.content.get(key) for key in ("options", "members")}
    positive = manifest.meaning.positive if manifest.meaning else None
    return Teachers(runs, options, positive, _hash(json.dumps(decides, sort_keys=True)))


def _network(run: Run, job: Job, data: DataSet) -> StoredRun:
    """The run of the one network that did not see the rows validated here. Raises RunError."""
    problem = _problem(run, job, data)
    if problem:
        raise RunError(f"recipe {job.recipe.name}: fit.pseudo.from: {run.id} {problem}")
    return _part(run, job)


def _part(run: Run, job: Job) -> StoredRun:
    return run.folds[job.fold or 0]


def _problem(run: Run, job: Job, data: DataSet) -> str:
    """Why a run may not teach here, "" where it may."""
    n_folds = job.recipe.data.n_folds
    if run.training is None:
        return (
            "was imported: what its test predictions learned from is not known\n"
            "name runs that ens trained"
        )
    if run.n_folds != n_folds:
        problem = f"has {run.n_folds or 'no'} folds, this recipe has {n_folds or 'none'}"
    elif _part(run, job).data.fingerprint == data.fingerprint:
        return ""
    elif run.data.valid != data.valid_fingerprint:
        problem = "was validated on other images or labels"
    elif set(_part(run, job).valid().ids.tolist()) != _validated(_part(run, job), data):
        problem = "was split into other folds (data.split_seed, data.group)"
    else:
        problem = "was trained on other images or labels, or has other test images"
    return (
        f"{problem}: its networks may have seen rows that are validated here\n"
        "give both recipes the same data section, without size, resize and normalize"
    )


def _validated(part: StoredRun, data: DataSet) -> set[str]:
    return set(data.valid.ids) - set(part.data.unreadable.get("valid", ()))


def _mixture(teachers: Teachers, data: DataSet, fold: int | None) -> tuple[Mixture, str]:
    """How the teachers are averaged here, and that in words. Raises EnsembleError."""
    runs, options = list(teachers.runs.values()), teachers.options
    words = [f"networks of fold {fold or 0}"] if runs[0].n_folds else []
    if options is not None and runs[0].n_folds:
        mixture = mixture_without(runs, options, data.valid.ids, teachers.positive)
        return mixture, ", ".join([*words, f"{options.weights} weights without its rows"])
    if options is not None and len(runs) > 1:
        words.append("equal weights, as others were fitted on the validation rows")
    is_log = options is not None and options.is_log
    return Mixture({run.id: 1 / len(runs) for run in runs}, is_log, None), ", ".join(words)


def _drawn(sure: Sequence[int], pseudo: Pseudo, n_train: int, seed: int, most: float) -> Array:
    """The positions to train on: of those that are sure enough, as many as the share allows."""
    if not sure:
        raise RunError(
            f"fit.pseudo.min_confidence: {pseudo.min_confidence:g}: no test image reaches it; "
            f"the surest has {most:.3f}\nset a smaller one, or leave fit.pseudo out"
        )
    n_most = int(n_train * pseudo.share / (1 - pseudo.share) + 1e-9)
    if not n_most:
        raise RecipeError(
            f"fit.pseudo.share: {pseudo.share:g} of {n_train:,} training images is not one image\n"
            "set a larger one, or leave fit.pseudo out"
        )
    drawn = random.Random(f"pseudo {seed}").sample(sure, min(n_most, len(sure)))
    return np.array(sorted(drawn), np.int64)


def _line(
    pseudo: Pseudo, n_rows: int, n_sure: int, n_test: int, teachers: Teachers, how: str
) -> str:
    runs = list(teachers.runs.values())
    n_chosen = sum(run.is_epoch_chosen for run in runs)
    chosen = f"epoch chosen on the validation rows: {n_chosen} of {len(runs)}" if n_chosen else ""
    described = ", ".join(filter(None, (count(len(runs), "run"), how, chosen)))
    return (
        f"fit.pseudo: {n_rows:,} of {n_test:,} test images are learned too "
        f"({n_sure:,} reach {pseudo.min_confidence:g}), labeled by {pseudo.from_}: {described}"
    )


def _predictions(run: Run) -> str:
    """The names and hashes of what a run predicts, with folds of all of them."""
    files = run.files.items()
    return repr(sorted((name, sha) for name, sha in files if Path(name).name in PREDICTIONS))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
