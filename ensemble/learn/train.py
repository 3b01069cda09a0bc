"""Train one run: find the rate, train the phases, restore the best epoch, predict by row id."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from ensemble.dataset.copies import leak_warnings
from ensemble.dataset.load import DataSet
from ensemble.events import Emit, Event, Note, Progress, ignore, steps
from ensemble.learn import models
from ensemble.learn.background import Background
from ensemble.learn.build_learner import BuiltLearner, set_up
from ensemble.learn.catalog import Catalog
from ensemble.learn.checkpoint import save_weights
from ensemble.learn.clock import Clock
from ensemble.learn.device import device_name
from ensemble.learn.fitting import Fitting
from ensemble.learn.keepers import EndAt
from ensemble.learn.lr import RangeTest
from ensemble.learn.micro_batch import at_a_size_that_fits, device_errors_explained
from ensemble.learn.predict import probabilities, with_unreadable
from ensemble.learn.preprocess import Preprocess
from ensemble.learn.resume import StateFolder
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.runs import LrFind, RunStore, StoredRun, Trained, TrainingRecord, writer
from ensemble.runs.job import Job

LEAKS_WAIT = 2.0  # seconds; 60,000 images take some 40, for which a GPU would wait


def train(
    job: Job, data: DataSet, store: RunStore, emit: Emit = ignore, force: bool = False
) -> Trained:
    """Train, store `model.safetensors` in the run's folder, and predict.

    A training that was killed resumes from its last stored epoch. Raises EnsembleError.
    """
    with device_errors_explained(job.recipe):
        return _train(job, data, store, emit, force)


def _train(job: Job, data: DataSet, store: RunStore, emit: Emit, force: bool) -> Trained:
    recipe, run_id, folder = job.recipe, job.run_id, store.folder(job.run_id)
    states = StateFolder(folder / writer.STATE, _key(recipe, data, job.seed, force))
    saved = states.read()
    clock = Clock()
    with clock.measure("data"):
        built = set_up(job, data, store, emit, start=saved.start if saved else None)
    emit(Note(run_id, built.start))
    for line in (*_dropped(built.images), data.passed_over, *data.notes, str(data.ranges)):
        if line:
            emit(Note(run_id, line))
    with_leaks = _WithLeaks(data, run_id, emit)
    with_leaks.report(LEAKS_WAIT)
    fitting = Fitting(built, job, with_leaks, states=states)
    rate = fitting.train(recipe.fit.lr if isinstance(recipe.fit.lr, float) else None, saved)
    with clock.measure("predict"):
        state, watch = fitting.keep_epoch(), steps(emit, run_id, "predicting")
        writer.begin(folder)
        save_weights(state, folder / writer.MODEL)
        valid, test = _valid(built, recipe, data, watch), _test(built, recipe, data, watch)
    with_leaks.report(None)
    return Trained(
        record=_record(built, fitting, recipe, rate, clock),
        valid=valid,
        test=test,
        history=fitting.history,
        range_test=_points(fitting.range_test),
        class_counts=built.images.class_counts,
        unreadable={part: sorted(bad) for part, bad in built.images.unreadable.items() if bad},
    )


def _points(curve: RangeTest | None) -> list[tuple[float, float]]:
    return list(zip(curve.rates, curve.losses, strict=True)) if curve else []


def _record(
    built: BuiltLearner, fitting: Fitting, recipe: Recipe, rate: float, clock: Clock
) -> TrainingRecord:
    train_seconds = sum(fitting.clock.seconds.get(phase.name, 0.0) for phase in fitting.phases)
    n_images = len(built.images.learned) * len(fitting.history)
    return TrainingRecord(
        preprocessing=built.preprocess.as_json(),
        scale=built.images.outputs.scale,
        tta=recipe.views,
        batch_size=fitting.micro_batch.batch,
        micro_batch=fitting.micro_batch.size,
        lr=rate,
        lr_find=_lr_find(fitting, len(built.images.learned)),
        best_epoch=fitting.keeper.kept_epoch,
        n_epochs=len(fitting.history),
        kept_by_phase=fitting.kept_by_phase,
        n_parameters=models.count_parameters(built.learn.model),
        n_trainable=fitting.n_trainable,
        phases=tuple(f"{phase.name} {phase.n_epochs}" for phase in fitting.phases),
        start=built.start,
        feature_views=fitting.n_cached,
        note=fitting.note,
        device=device_name(),
        precision=built.precision,
        threads=torch.get_num_threads(),
        seconds=clock.rounded | fitting.clock.rounded,
        images_per_second=round(n_images / train_seconds, 1) if train_seconds else 0.0,
    )


def _lr_find(fitting: Fitting, n_train: int) -> LrFind | None:
    range_test = fitting.range_test
    if range_test is None:
        return None
    n_batches = max(1, n_train // fitting.micro_batch.batch)
    n_run_steps = n_batches * len(fitting.history)
    return LrFind(
        suggestions=range_test.suggestions,
        chosen=range_test.chosen,
        rule=range_test.rule,
        steps=range_test.n_steps,
        share_of_run=round(range_test.n_steps / n_run_steps, 4),
        note=range_test.note,
    )


class _WithLeaks:
    """Passes events on, and warns of images with copies in other splits.

    The search for them runs in the background of the training.
    """

    def __init__(self, data: DataSet, run_id: str, emit: Emit) -> None:
        self.search = Background(partial(leak_warnings, data))
        self.run_id, self.emit = run_id, emit

    def __call__(self, event: Event) -> None:
        self.emit(event)
        self.report(0.0)

    def report(self, wait: float | None) -> None:
        """Report the warnings, waiting wait seconds for them, None: until they are there."""
        for warning in self.search.take(wait) or ():
            self.emit(Note(self.run_id, warning))


def _key(recipe: Recipe, data: DataSet, *more: object) -> str:
    """What a state belongs to; anything else would compute other numbers."""
    taught_by = (data.pseudo.teachers, data.pseudo.blend) if data.pseudo else ()
    key = (recipe.digest, data.fingerprint, torch.__version__, device_name(), *taught_by, *more)
    return repr(key)


@dataclass(frozen=True)
class Refitted:
    """A refit: its test predictions and its wall time."""

    test: Predictions | None
    seconds: float


def refit(
    job: Job, data: DataSet, run: StoredRun, by_phase: dict[str, int], emit: Emit = ignore
) -> Refitted:
    """Train the recipe of a finished run again on train + valid, at its rate and on its schedule.

    job is that of the run; by_phase says for how many epochs each phase trains. Nothing is
    validated: every labeled row is trained on. Raises EnsembleError.
    """
    clock = Clock()
    with clock.measure("refit"), device_errors_explained(job.recipe):
        test = _refit(job, data, run, by_phase, emit)
    return Refitted(test, clock.rounded["refit"])


def _refit(
    job: Job, data: DataSet, run: StoredRun, by_phase: dict[str, int], emit: Emit
) -> Predictions | None:
    states = StateFolder(
        run.folder / writer.REFIT_STATE, _key(job.recipe, data, job.seed, by_phase)
    )
    saved = states.read()
    start = saved.start if saved else None
    record = run.record()
    preprocess = Preprocess.of(record)
    mean_std = (preprocess.mean, preprocess.std)
    store = RunStore(run.folder.parent)
    built = set_up(job, data.joined(), store, emit, start, mean_std, record.scale)
    n_images = len(built.images.readable("train"))
    epochs = ", then ".join(f"{n} epochs {name}" for name, n in by_phase.items())
    emit(Note(run.id, f"refit: {n_images:,} images of train + valid, {epochs}"))
    fitting = Fitting(built, job, emit, EndAt(by_phase), states)
    fitting.train(record.lr, saved)
    state = fitting.keep_epoch()
    save_weights(state, run.folder / writer.REFIT_MODEL)
    return _test(built, job.recipe, data, steps(emit, run.id, "predicting"))


def find_lr(job: Job, data: DataSet, emit: Emit = ignore) -> RangeTest:
    """The range test; by the valley rule if the recipe sets a rate. Raises EnsembleError."""
    with device_errors_explained(job.recipe):
        built = set_up(job, data, RunStore(), emit)
        return Fitting(built, job, emit).find_rate()


def _valid(built: BuiltLearner, recipe: Recipe, data: DataSet, watch: Progress) -> Predictions:
    images = built.images
    positions = images.readable("valid")
    rows = positions - images.splits["valid"][0]
    ids = np.array(data.valid.ids)[rows]
    groups = None if data.valid.groups is None else np.array(data.valid.groups)[rows]
    probs = _probabilities(built, recipe, "valid", watch)
    truth = images.targets[positions]
    predictions = Predictions(ids, data.classes, probs, truth, groups, data.target)
    return predictions.by_group() if data.validates_rows else predictions


def _test(
    built: BuiltLearner, recipe: Recipe, data: DataSet, watch: Progress
) -> Predictions | None:
    if data.test is None:
        return None
    images = built.images
    probs = with_unreadable(_probabilities(built, recipe, "test", watch), images)
    truth = None if data.test.labels is None else images.targets[images.splits["test"]]
    ids = np.array(data.test.ids)
    if data.test.rows is None:
        return Predictions(ids, data.classes, probs, truth, target=data.target)
    rows = np.array(data.test.rows)
    by_image = Predictions(ids, data.classes, probs, truth, rows, data.target)
    return by_image.by_group(~np.isin(ids, list(images.unreadable.get("test", ()))))


def _probabilities(built: BuiltLearner, recipe: Recipe, part: str, watch: Progress) -> Any:
    rows = built.images.readable(part)
    if not len(rows):
        return np.zeros((0, len(built.images.classes)), np.float32)
    dls, network = built.learn.dls, built.learn.model

    def predict(size: int) -> Any:
        loader = dls.test_dl(rows.tolist(), bs=size)
        outputs = built.images.outputs
        return probabilities(network, loader, recipe.views, built.precision, watch, outputs)

    return at_a_size_that_fits(predict, dls.train.evaluation_bs)[0]


def _dropped(images: Catalog) -> Iterator[str]:
    prior = {"class": "class shares", "labels": "label shares", "number": "mean"}
    fate = {
        "train": "dropped",
        "valid": "dropped",
        "test": f"given the {prior[images.outputs.target]} of the training images",
    }
    for part, bad in images.unreadable.items():
        if bad:
            first = next(iter(bad.values()))
            yield f"{len(bad)} unreadable {part} images {fate[part]}, the first: {first}"
