"""What a training will cost, reckoned from some real steps of it; nothing is stored."""

import sys
import time
from dataclasses import dataclass
from functools import partial

import torch
from fastai.callback.core import Callback, CancelFitException, CancelValidException

from ensemble.dataset.load import DataSet
from ensemble.events import Emit, Event, Note, Step
from ensemble.learn import callbacks
from ensemble.learn.amp import clean_on_error
from ensemble.learn.build_learner import BuiltLearner, set_up
from ensemble.learn.features import n_cached, split_network
from ensemble.learn.fitting import Fitting
from ensemble.learn.loaders import split_loader
from ensemble.learn.lr import n_steps_for
from ensemble.learn.micro_batch import device_errors_explained
from ensemble.learn.phases import Phase, freeze, schedule
from ensemble.learn.pixel_loader import PixelDL
from ensemble.learn.predict import all_views, probabilities
from ensemble.recipe import Recipe
from ensemble.runs import RunStore

N_STEPS, WARM_UP = 20, 3
COPIES_IN_STATE = 5  # of the weights while training: the network's, two averages of AdamW, the kept epoch, the result


@dataclass(frozen=True)
class PhaseCost:
    """A phase's epochs and the seconds that one takes; cached augmentations pass the body once, before all epochs."""

    name: str
    n_epochs: int
    epoch_seconds: float
    once_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """The whole phase."""
        return self.once_seconds + self.n_epochs * self.epoch_seconds


@dataclass(frozen=True)
class Cost:
    """Decoding, the phases, the rate test and prediction; memory is the peak so far, disk what will be written.

    Decoding is that of the n_decoded images that were not in the cache yet; now they are, and a training skips it.
    """

    decode_seconds: float
    n_decoded: int
    phases: tuple[PhaseCost, ...]
    rate_seconds: float
    predict_seconds: float
    refit_seconds: float
    memory_bytes: int
    disk_bytes: int

    @property
    def seconds(self) -> float:
        """Everything, decoding included."""
        phases = sum(phase.seconds for phase in self.phases)
        return (
            self.decode_seconds
            + phases
            + self.rate_seconds
            + self.predict_seconds
            + self.refit_seconds
        )


def cost_of(
    recipe: Recipe, data: DataSet, seed: int, run_id: str, store: RunStore, emit: Emit
) -> Cost:
    """Decode the images, take at most 20 real steps of each phase, and estimate. Raises EnsembleError."""
    with device_errors_explained(recipe):
        return _cost_of(recipe, data, seed, run_id, store, emit)


def _cost_of(
    recipe: Recipe, data: DataSet, seed: int, run_id: str, store: RunStore, emit: Emit
) -> Cost:
    decoding = _Decoding(emit)
    setup = set_up(recipe, data, seed, decoding, store, run_id)
    fitting = Fitting(setup, recipe, seed, run_id, emit)
    image_seconds = _forward(
        setup, split_loader(setup.learn.dls, setup.images, "valid", 2 * setup.learn.dls.train.bs)
    )
    n_train, n_valid, n_test = (
        len(setup.images.readable(part)) if part in setup.images.splits else 0
        for part in ("train", "valid", "test")
    )
    n_batches = len(setup.learn.dls.train)
    phases, steps = [], []
    for phase in fitting.phases:
        kept = (
            n_cached(recipe.fit, recipe.augmentation, phase.n_epochs)
            if phase.first_group == -1
            else 0
        )
        if kept and split_network(setup.learn.model, recipe.model):
            once = (n_train + n_valid) * image_seconds + (kept - 1) * n_train * _augmented(
                setup, kept
            )
            phases.append(PhaseCost(phase.name, phase.n_epochs, 0.0, once))
            steps.append(0.0)
        else:
            emit(Note(run_id, f"phase {phase.name}: {N_STEPS} steps to see what they take"))
            steps.append(fitting.micro_batch.fit(partial(_step, fitting, phase), callbacks.nothing))
            phases.append(
                PhaseCost(
                    phase.name, phase.n_epochs, steps[-1] * n_batches + n_valid * image_seconds
                )
            )
    is_found = not isinstance(recipe.fit.lr, float)
    n_run = sum(phase.n_epochs for phase in fitting.phases) * n_batches
    n_shown = sum(1 for _ in all_views(torch.zeros(1, 3, 8, 8), recipe.views))
    return Cost(
        decoding.seconds,
        decoding.n_images,
        tuple(phases),
        n_steps_for(n_run) * steps[0] if is_found else 0.0,
        (n_valid + n_test) * n_shown * image_seconds,
        sum(phase.seconds for phase in phases) * (n_train + n_valid) / n_train
        if recipe.refit
        else 0.0,
        _peak_memory(),
        COPIES_IN_STATE
        * sum(weight.numel() * weight.element_size() for weight in setup.learn.model.parameters()),
    )


class _Decoding:
    """Passes events on; seconds and n_images are what decoding took, 0 where every image was in the cache."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.started: float | None = None
        self.seconds, self.n_images = 0.0, 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step) and event.phase == "decoding":
            now = time.perf_counter()
            self.started = now if self.started is None else self.started
            self.seconds, self.n_images = now - self.started, event.total
        self.emit(event)


class _Timed(Callback):
    """Ends a fit after some steps; seconds are those of one, the first ones left out."""

    order = 80

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_batch(self) -> None:  # noqa: D102
        if self.dls.device.type == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())
        if len(self.times) > N_STEPS:
            raise CancelFitException

    @property
    def seconds(self) -> float:
        """Of one step; 0 where there was only one."""
        first = min(WARM_UP, len(self.times) - 2)
        return (
            (self.times[-1] - self.times[first]) / (len(self.times) - 1 - first)
            if first >= 0
            else 0.0
        )


class _TrainOnly(Callback):
    """Passes validation over."""

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException


def _step(fitting: Fitting, phase: Phase) -> float:
    """Seconds of a step of the optimiser."""
    learn, seed, name = fitting.built.learn, fitting.seed, fitting.fit.schedule
    freeze(learn, phase)
    timed, n_epochs = _Timed(), -(-N_STEPS // len(learn.dls.train)) + 1
    cbs = [callbacks.SeedEpochs(seed, phase.name), callbacks.FrozenInEval(), timed, _TrainOnly()]
    with clean_on_error(learn), fitting.recorded(learn):
        learn.fit(n_epochs, cbs=[*cbs, *schedule(learn, name, phase, 1e-6)])
    return timed.seconds * fitting.micro_batch.batch / fitting.micro_batch.size


def _augmented(setup: BuiltLearner, n_views: int) -> float:
    """Seconds that one image of a cached view takes: augmented, and decoded where it is cropped. 0 for one view."""
    if n_views == 1:
        return 0.0
    train = setup.learn.dls.train
    return _forward(setup, train.new(shuffle=False, drop_last=False, bs=2 * train.bs))


def _forward(setup: BuiltLearner, loader: PixelDL) -> float:
    """Seconds that one image of a loader takes in prediction, from some batches."""
    times: list[float] = []

    def watch(done: int, total: int) -> None:
        times.append(time.perf_counter())
        if len(times) > N_STEPS:
            raise StopIteration

    n_images = min(len(loader) * loader.bs, loader.n)
    started = time.perf_counter()
    try:
        probabilities(setup.learn.model, loader, (), setup.precision, watch)
    except StopIteration:
        n_images = N_STEPS * loader.bs
    seconds = time.perf_counter() - started
    return seconds / int(n_images)


def _peak_memory() -> int:
    """Bytes; 0 on Windows, which does not report them."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB
