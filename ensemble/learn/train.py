"""Train one run: phases of a strategy, the rate from a range test, the best epoch restored, predictions by row id."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ensemble.dataset.audit import leak_warnings
from ensemble.dataset.image_info import Progress
from ensemble.dataset.load import DataSet
from ensemble.dataset.tables import Images
from ensemble.events import Emit, EpochEnded, Event, Note, Step, ignore
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
from ensemble.learn.weights import MODEL
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.runs import Run, RunStore

STATE, REFIT_STATE = "state", "refit-state"
LEAKS_WAIT = 2.0  # seconds; 60,000 images take some 40, for which a GPU would wait


@dataclass(frozen=True)
class Trained:
    """What training leaves behind besides the weights it stored."""

    valid: Predictions
    test: Predictions | None
    history: list[EpochEnded]
    range_test: RangeTest | None
    lr: float
    preprocess: Preprocess
    best_epoch: int
    n_parameters: int
    n_trainable: int
    phases: tuple[str, ...]
    start: str
    note: str
    feature_views: int | None
    kept_by_phase: dict[str, int]
    device: str
    precision: str
    threads: int
    batch_size: int
    micro_batch: int
    seconds: dict[str, float]
    images_per_second: float
    class_counts: dict[str, int]
    unreadable: dict[str, list[str]]


def train(
    recipe: Recipe,
    data: DataSet,
    seed: int,
    run_id: str,
    store: RunStore,
    emit: Emit = ignore,
    force: bool = False,
) -> Trained:
    """Train, store `model.safetensors` in the run's folder, and predict; goes on where a killed training stopped.

    Raises EnsembleError.
    """
    with device_errors_explained(recipe):
        return _train(recipe, data, seed, run_id, store, force, emit)


def _train(
    recipe: Recipe, data: DataSet, seed: int, run_id: str, store: RunStore, force: bool, emit: Emit
) -> Trained:
    folder = store.folder(run_id)
    states = StateFolder(folder / STATE, _key(recipe, data, seed, force))
    saved = states.read()
    clock = Clock()
    with clock.measure("data"):
        setup = set_up(
            recipe, data, seed, emit, store, run_id, start=saved.start if saved else None
        )
    emit(Note(run_id, setup.start))
    for line in (*_dropped(setup.images), data.passed_over, str(data.ranges)):
        if line:
            emit(Note(run_id, line))
    with_leaks = _WithLeaks(data, run_id, emit)
    with_leaks.tell(LEAKS_WAIT)
    fitting = Fitting(setup, recipe, seed, run_id, with_leaks, states=states)
    rate = fitting.train(recipe.fit.lr if isinstance(recipe.fit.lr, float) else None, saved)
    with clock.measure("predict"):
        state, watch = fitting.keep_epoch(), _watch(run_id, emit)
        (folder / "run.json").unlink(missing_ok=True)  # --force: unfinished until all files are new
        save_weights(state, folder / MODEL)
        valid, test = _valid(setup, recipe, data, watch), _test(setup, recipe, data, watch)
    with_leaks.tell(None)
    fitted = sum(fitting.clock.seconds.get(phase.name, 0.0) for phase in fitting.phases)
    n_images = len(setup.images.readable("train")) * len(fitting.history)
    return Trained(
        valid,
        test,
        fitting.history,
        fitting.range_test,
        rate,
        setup.preprocess,
        best_epoch=fitting.keeper.kept_epoch,
        n_parameters=models.count_parameters(setup.learn.model),
        n_trainable=fitting.n_trainable,
        phases=tuple(f"{phase.name} {phase.n_epochs}" for phase in fitting.phases),
        start=setup.start,
        note=fitting.note,
        feature_views=fitting.n_cached,
        kept_by_phase=fitting.kept_by_phase,
        device=device_name(),
        precision=setup.precision,
        threads=torch.get_num_threads(),
        batch_size=fitting.micro_batch.batch,
        micro_batch=fitting.micro_batch.size,
        seconds=clock.rounded | fitting.clock.rounded,
        images_per_second=round(n_images / fitted, 1) if fitted else 0.0,
        class_counts=setup.images.class_counts,
        unreadable={part: sorted(bad) for part, bad in setup.images.unreadable.items() if bad},
    )


class _WithLeaks:
    """Passes events on, and tells of images with copies across the parts once the search beside the training ends."""

    def __init__(self, data: DataSet, run_id: str, emit: Emit) -> None:
        self.search = Background(partial(leak_warnings, data))
        self.run_id, self.emit = run_id, emit

    def __call__(self, event: Event) -> None:
        self.emit(event)
        self.tell(0.0)

    def tell(self, wait: float | None) -> None:
        """The warnings, if they are there after so many seconds; None waits for them. Raises EnsembleError."""
        for warning in self.search.take(wait) or ():
            self.emit(Note(self.run_id, warning))


def forget(folder: Path) -> None:
    """Remove what a run stored to go on from, once it is finished or given up."""
    for name in (STATE, REFIT_STATE):
        StateFolder(folder / name, "").remove()


def _key(recipe: Recipe, data: DataSet, *more: object) -> str:
    """What a state belongs to: the same recipe and images, and numbers that come out the same."""
    return repr((recipe.digest, data.fingerprint, torch.__version__, device_name(), *more))


@dataclass(frozen=True)
class Refitted:
    """What training again on train + valid gives: the test predictions of the stored `refit.safetensors`."""

    test: Predictions | None
    seconds: float


def refit(
    recipe: Recipe,
    data: DataSet,
    run: Run,
    by_phase: dict[str, int],
    store: RunStore,
    emit: Emit = ignore,
) -> Refitted:
    """Train a finished run's recipe again on train + valid, at its rate and on its schedule.

    by_phase says for how many epochs each phase trains.

    Nothing is validated: no row is left that was not trained on. Raises EnsembleError.
    """
    clock = Clock()
    mean_std = tuple(tuple(run.preprocessing[key]) for key in ("mean", "std"))
    pinned = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"normalize": mean_std})}
    )
    with clock.measure("refit"), device_errors_explained(recipe):
        test = _refit(pinned, recipe, data, run, by_phase, store, emit)
    return Refitted(test, clock.rounded["refit"])


def _refit(
    pinned: Recipe,
    recipe: Recipe,
    data: DataSet,
    run: Run,
    by_phase: dict[str, int],
    store: RunStore,
    emit: Emit,
) -> Predictions | None:
    """The refit itself; pinned has the run's own normalisation."""
    states = StateFolder(store.folder(run.id) / REFIT_STATE, _key(recipe, data, run.seed, by_phase))
    saved = states.read()
    start = saved.start if saved else None
    setup = set_up(pinned, data.joined(), run.seed, emit, store, run.id, start=start)
    n_images = len(setup.images.readable("train"))
    told = ", then ".join(f"{n} epochs {name}" for name, n in by_phase.items())
    emit(Note(run.id, f"refit: {n_images:,} images of train + valid, {told}"))
    fitting = Fitting(setup, recipe, run.seed, run.id, emit, EndAt(by_phase), states)
    fitting.train(run.lr, saved)
    state = fitting.keep_epoch()
    save_weights(state, store.folder(run.id) / "refit.safetensors")
    return _test(setup, recipe, data, _watch(run.id, emit))


def find_lr(recipe: Recipe, data: DataSet, seed: int, emit: Emit = ignore) -> RangeTest:
    """The range test alone, with fastai's valley where the recipe names a number. Raises EnsembleError."""
    with device_errors_explained(recipe):
        setup = set_up(recipe, data, seed, emit, RunStore(), recipe.name)
        return Fitting(setup, recipe, seed, recipe.name, emit).find_rate()


def _watch(run_id: str, emit: Emit) -> Progress:
    return lambda done, total: emit(Step(run_id, "predicting", done, total))


def _valid(setup: BuiltLearner, recipe: Recipe, data: DataSet, watch: Progress) -> Predictions:
    images = setup.images
    positions = images.readable("valid")
    rows = positions - images.splits["valid"][0]
    ids = np.array(data.valid.ids)[rows]
    groups = None if data.valid.groups is None else np.array(data.valid.groups)[rows]
    probs = _probabilities(setup, recipe, "valid", watch)
    return Predictions(ids, data.classes, probs, images.codes[positions], groups)


def _test(
    setup: BuiltLearner, recipe: Recipe, data: DataSet, watch: Progress
) -> Predictions | None:
    if data.test is None:
        return None
    probs = with_unreadable(
        _probabilities(setup, recipe, "test", watch), data.test, setup.images, "test"
    )
    return Predictions(
        np.array(data.test.ids), data.classes, probs, _targets(data.test, setup.images)
    )


def _probabilities(setup: BuiltLearner, recipe: Recipe, part: str, watch: Progress) -> Any:
    return _of_rows(setup, recipe, setup.images.readable(part), watch)


def _of_rows(setup: BuiltLearner, recipe: Recipe, rows: np.ndarray, watch: Progress) -> Any:
    if not len(rows):
        return np.zeros((0, len(setup.images.classes)), np.float32)
    dls, network = setup.learn.dls, setup.learn.model

    def predict(size: int) -> Any:
        loader = dls.test_dl(rows.tolist(), bs=size)
        return probabilities(network, loader, recipe.views, setup.precision, watch)

    return at_a_size_that_fits(predict, 2 * dls.train.bs)[0]


def _targets(test: Images, images: Catalog) -> np.ndarray | None:
    return None if test.labels is None else images.codes[images.splits["test"]]


def _dropped(images: Catalog) -> Iterator[str]:
    fate = {
        "train": "dropped",
        "valid": "dropped",
        "test": "given the class shares of the training images",
    }
    for part, bad in images.unreadable.items():
        if bad:
            yield f"{len(bad)} unreadable {part} images {fate[part]}, the first: {next(iter(bad.values()))}"
