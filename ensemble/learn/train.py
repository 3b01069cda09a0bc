"""Train one run: phases of a strategy, the rate from a range test, the best epoch restored, predictions by row id."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from ensemble.dataset.load import DataSet
from ensemble.dataset.tables import Images
from ensemble.errors import TrainingError
from ensemble.events import Emit, EpochEnded, Note, ignore
from ensemble.learn import models
from ensemble.learn.callbacks import EndAt
from ensemble.learn.checkpoint import save_weights
from ensemble.learn.data import Catalog, part_loader
from ensemble.learn.device import device_name
from ensemble.learn.fitting import Fitting
from ensemble.learn.lr import RangeTest
from ensemble.learn.predict import probabilities, with_unreadable
from ensemble.learn.preprocess import Preprocess
from ensemble.learn.setup import Setup, set_up
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.runs import Run, RunStore


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
    device: str
    precision: str
    threads: int
    batch_size: int
    seconds: dict[str, float]
    images_per_second: float
    unreadable: dict[str, list[str]]


def train(recipe: Recipe, data: DataSet, seed: int, run_id: str, store: RunStore, emit: Emit = ignore) -> Trained:
    """Train, store `model.safetensors` in the run's folder, and predict. Raises EnsembleError."""
    with _told_when_out_of_memory(recipe):
        return _train(recipe, data, seed, run_id, store, emit)


def _train(recipe: Recipe, data: DataSet, seed: int, run_id: str, store: RunStore, emit: Emit) -> Trained:
    clock = _Clock()
    with clock.measure("data"):
        setup = set_up(recipe, data, seed, emit, store, run_id)
    emit(Note(run_id, setup.start))
    _say_what_was_dropped(setup.images, run_id, emit)
    fitting = Fitting(setup, recipe.fit, seed, run_id, emit)
    found = None
    if not isinstance(recipe.fit.lr, float):
        with clock.measure("lr_find"):
            found = fitting.find_rate()
    rate = recipe.fit.lr if found is None else found.chosen
    assert isinstance(rate, float)
    for phase in fitting.phases:
        with clock.measure(phase.name):
            fitting.run(phase, rate)
    with clock.measure("predict"):
        state, folder = fitting.keep_epoch(), store.folder(run_id)
        (folder / "run.json").unlink(missing_ok=True)  # --force: unfinished until all files are new
        save_weights(state, folder / "model.safetensors")
        valid, test = _valid(setup, recipe, data), _test(setup, recipe, data)
    fitted = sum(clock.seconds[phase.name] for phase in fitting.phases)
    n_images = len(setup.images.readable("train")) * len(fitting.history)
    return Trained(
        valid, test, fitting.history, found, rate, setup.preprocess,
        best_epoch=fitting.keeper.kept_epoch,
        n_parameters=models.count_parameters(setup.learn.model),
        n_trainable=fitting.n_trainable,
        phases=tuple(f"{phase.name} {phase.n_epochs}" for phase in fitting.phases),
        start=setup.start,
        device=device_name(), precision=setup.precision, threads=torch.get_num_threads(),
        batch_size=setup.learn.dls.train.bs,
        seconds=clock.rounded,
        images_per_second=round(n_images / fitted, 1) if fitted else 0.0,
        unreadable={part: sorted(bad) for part, bad in setup.images.unreadable.items() if bad},
    )  # fmt: skip


@dataclass(frozen=True)
class Refitted:
    """What training again on train + valid gives: the test predictions of the stored `refit.safetensors`."""

    test: Predictions | None
    seconds: float


def refit(recipe: Recipe, data: DataSet, run: Run, n_epochs: int, store: RunStore, emit: Emit = ignore) -> Refitted:
    """Train a finished run's recipe again on train + valid, at its rate and on its schedule, for the first n epochs.

    Nothing is validated: no row is left that was not trained on. Raises EnsembleError.
    """
    clock = _Clock()
    mean_std = tuple(tuple(run.preprocessing[key]) for key in ("mean", "std"))
    pinned = recipe.model_copy(update={"data": recipe.data.model_copy(update={"normalize": mean_std})})
    with _told_when_out_of_memory(recipe), clock.measure("refit"):
        setup = set_up(pinned, data.joined(), run.seed, emit, store, run.id)
        n_images = len(setup.images.readable("train"))
        emit(Note(run.id, f"refit: {n_images:,} images of train + valid, the schedule's first {n_epochs} epochs"))
        fitting = Fitting(setup, recipe.fit, run.seed, run.id, emit, EndAt(n_epochs))
        for phase in fitting.phases:
            if not fitting.keeper.is_done:
                fitting.run(phase, run.lr)
        save_weights(fitting.keep_epoch(), store.folder(run.id) / "refit.safetensors")
        test = _test(setup, recipe, data)
    return Refitted(test, clock.rounded["refit"])


def find_lr(recipe: Recipe, data: DataSet, seed: int, emit: Emit = ignore) -> RangeTest:
    """The range test alone, with fastai's valley where the recipe names a number. Raises EnsembleError."""
    setup = set_up(recipe, data, seed, emit, RunStore(), recipe.name)
    return Fitting(setup, recipe.fit, seed, recipe.name, emit).find_rate()


@contextmanager
def _told_when_out_of_memory(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise TrainingError(
            f"out of memory on {device_name()} at batch size {recipe.fit.batch_size}\n"
            "set a smaller fit.batch_size or data.size"
        ) from None


def _valid(setup: Setup, recipe: Recipe, data: DataSet) -> Predictions:
    images = setup.images
    positions = images.readable("valid")
    ids = np.array(data.valid.ids)[positions - images.parts["valid"][0]]
    return Predictions(ids, data.classes, _probabilities(setup, recipe, "valid"), images.codes[positions])


def _test(setup: Setup, recipe: Recipe, data: DataSet) -> Predictions | None:
    if data.test is None:
        return None
    probs = with_unreadable(_probabilities(setup, recipe, "test"), data.test, setup.images, "test")
    return Predictions(np.array(data.test.ids), data.classes, probs, _targets(data.test, setup.images))


def _probabilities(setup: Setup, recipe: Recipe, part: str) -> Any:
    if not len(setup.images.readable(part)):
        return np.zeros((0, len(setup.images.classes)), np.float32)
    loader = part_loader(setup.learn.dls, setup.images, part, 2 * setup.learn.dls.train.bs)
    return probabilities(setup.learn.model, loader, recipe.views, setup.precision)


def _targets(test: Images, images: Catalog) -> np.ndarray | None:
    return None if test.labels is None else images.codes[images.parts["test"]]


def _say_what_was_dropped(images: Catalog, run_id: str, emit: Emit) -> None:
    fate = {"train": "dropped", "valid": "dropped", "test": "given the class shares of the training images"}
    for part, bad in images.unreadable.items():
        if bad:
            emit(
                Note(run_id, f"{len(bad)} unreadable {part} images {fate[part]}, the first: {next(iter(bad.values()))}")
            )


@dataclass
class _Clock:
    """Wall seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    @property
    def rounded(self) -> dict[str, float]:
        """The seconds as run.json states them."""
        return {name: round(seconds, 2) for name, seconds in self.seconds.items()}
