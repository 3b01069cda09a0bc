"""What a training will cost, estimated from a few real steps of it; nothing is stored."""

import sys
import time
from collections.abc import Sequence
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
from ensemble.runs import RunStore
from ensemble.runs.job import Job

N_STEPS, WARM_UP = 20, 3
# of the weights while training: the network's, two averages of AdamW, the kept epoch, the result
COPIES_IN_STATE = 5


@dataclass(frozen=True)
class PhaseCost:
    """A phase's epochs and the seconds of each.

    once_seconds is what filling the cached augmentations takes before the first epoch.
    """

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
    """Seconds of each part of a training; memory is the peak so far, disk what will be written.

    Decoding covers the n_decoded images that were not cached; now they are, so a training skips it.
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
        phase_seconds = sum(phase.seconds for phase in self.phases)
        run_seconds = self.rate_seconds + phase_seconds + self.predict_seconds
        return self.decode_seconds + run_seconds + self.refit_seconds


@dataclass(frozen=True)
class Sizes:
    """Images that are learned, readable ones of the other splits, and the batches of an epoch."""

    n_train: int
    n_valid: int
    n_test: int
    n_batches: int


@dataclass(frozen=True)
class PhaseTimes:
    """What was measured of a phase: seconds of a step of the optimizer.

    Where the head trains on cached augmentations, n_cached is how many each image has,
    augmented_seconds what an image of them takes, and the steps themselves take next to nothing.
    """

    name: str
    n_epochs: int
    step_seconds: float
    n_cached: int = 0
    augmented_seconds: float = 0.0


def phase_cost(times: PhaseTimes, sizes: Sizes, image_seconds: float) -> PhaseCost:
    """The cost of a phase; image_seconds is what predicting one image takes.

    The first of the cached augmentations is the plain image, also of the validation images.
    """
    if times.n_cached:
        plain = (sizes.n_train + sizes.n_valid) * image_seconds
        augmented = (times.n_cached - 1) * sizes.n_train * times.augmented_seconds
        return PhaseCost(times.name, times.n_epochs, 0.0, plain + augmented)
    train_seconds = times.step_seconds * sizes.n_batches
    return PhaseCost(times.name, times.n_epochs, train_seconds + sizes.n_valid * image_seconds)


def rate_seconds(times: Sequence[PhaseTimes], sizes: Sizes) -> float:
    """What the range test takes: its steps are those of the first phase."""
    n_run_steps = sum(phase.n_epochs for phase in times) * sizes.n_batches
    return n_steps_for(n_run_steps) * times[0].step_seconds


def refit_seconds(phases: Sequence[PhaseCost], sizes: Sizes) -> float:
    """What the refit takes: the phases again on train + valid."""
    growth = (sizes.n_train + sizes.n_valid) / sizes.n_train
    return sum(phase.seconds for phase in phases) * growth


def cost_of(job: Job, data: DataSet, store: RunStore, emit: Emit) -> Cost:
    """Decode the images, take at most 20 real steps of each phase, and estimate.

    Raises EnsembleError.
    """
    with device_errors_explained(job.recipe):
        return _cost_of(job, data, store, emit)


def _cost_of(job: Job, data: DataSet, store: RunStore, emit: Emit) -> Cost:
    recipe, decoding = job.recipe, _Decoding(emit)
    built = set_up(job, data, store, decoding)
    fitting = Fitting(built, job, emit)
    dls = built.learn.dls
    sizes = _sizes(built)
    image_seconds = _forward(
        built, split_loader(dls, built.images, "valid", dls.train.evaluation_bs)
    )
    times = [_phase_times(fitting, phase, emit) for phase in fitting.phases]
    phases = tuple(phase_cost(phase, sizes, image_seconds) for phase in times)
    is_rate_given = isinstance(recipe.fit.lr, float)
    n_views_shown = sum(1 for _ in all_views(torch.zeros(1, 3, 8, 8), recipe.views))
    return Cost(
        decode_seconds=decoding.seconds,
        n_decoded=decoding.n_images,
        phases=phases,
        rate_seconds=0.0 if is_rate_given else rate_seconds(times, sizes),
        predict_seconds=(sizes.n_valid + sizes.n_test) * n_views_shown * image_seconds,
        refit_seconds=refit_seconds(phases, sizes) if recipe.refit else 0.0,
        memory_bytes=_peak_memory(),
        disk_bytes=COPIES_IN_STATE * _n_bytes(built),
    )


def _sizes(built: BuiltLearner) -> Sizes:
    images = built.images
    n_valid, n_test = (
        len(images.readable(split)) if split in images.splits else 0 for split in ("valid", "test")
    )
    return Sizes(len(images.learned), n_valid, n_test, len(built.learn.dls.train))


def _n_bytes(built: BuiltLearner) -> int:
    """Bytes of the network's weights."""
    return sum(weight.numel() * weight.element_size() for weight in built.learn.model.parameters())


def _phase_times(fitting: Fitting, phase: Phase, emit: Emit) -> PhaseTimes:
    n_copies = _n_cached(fitting, phase)
    if n_copies:
        seconds = _augmented(fitting.built, n_copies)
        return PhaseTimes(phase.name, phase.n_epochs, 0.0, n_copies, seconds)
    emit(Note(fitting.run_id, f"phase {phase.name}: timing {N_STEPS} steps"))
    seconds = fitting.micro_batch.fit(partial(_step, fitting, phase), callbacks.nothing)
    return PhaseTimes(phase.name, phase.n_epochs, seconds)


def _n_cached(fitting: Fitting, phase: Phase) -> int:
    """Cached augmentations of an image, 0 where images pass the body in every epoch."""
    recipe = fitting.recipe
    if phase.first_group != -1 or split_network(fitting.network, recipe.model) is None:
        return 0
    return n_cached(recipe.fit, recipe.augmentation, phase.n_epochs)


class _Decoding:
    """Passes events on and measures decoding: 0 seconds and images if all were cached."""

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


class StepTimer(Callback):
    """Ends a fit after some steps; seconds is the mean of one step, the first few left out."""

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
        """Of one step; 0 if there was only one."""
        first = min(WARM_UP, len(self.times) - 2)
        if first < 0:
            return 0.0
        return (self.times[-1] - self.times[first]) / (len(self.times) - 1 - first)


class _TrainOnly(Callback):
    """Skips validation."""

    def before_validate(self) -> None:  # noqa: D102
        raise CancelValidException


def _step(fitting: Fitting, phase: Phase) -> float:
    """Seconds of a step of the optimizer."""
    learn, seed, name = fitting.built.learn, fitting.seed, fitting.fit.schedule
    freeze(learn, phase)
    timer, n_epochs = StepTimer(), -(-N_STEPS // len(learn.dls.train)) + 1
    cbs = [callbacks.SeedEpochs(seed, phase.name), callbacks.FrozenInEval(), timer, _TrainOnly()]
    with clean_on_error(learn), fitting.recorded(learn):
        learn.fit(n_epochs, cbs=[*cbs, *schedule(learn, name, phase, 1e-6)])
    return timer.seconds * fitting.micro_batch.batch / fitting.micro_batch.size


def _augmented(built: BuiltLearner, n_copies: int) -> float:
    """Seconds to augment one image, decode it where it is cropped, and pass it through the network.

    0 where the plain image is the only one that is cached.
    """
    if n_copies == 1:
        return 0.0
    train = built.learn.dls.train
    return _forward(built, train.new(shuffle=False, drop_last=False, bs=train.evaluation_bs))


def _forward(built: BuiltLearner, loader: PixelDL) -> float:
    """Seconds to predict one image of a loader, from some batches."""
    times: list[float] = []

    def watch(done: int, total: int) -> None:
        times.append(time.perf_counter())
        if len(times) > N_STEPS:
            raise StopIteration

    n_images = min(len(loader) * loader.bs, loader.n)
    started = time.perf_counter()
    try:
        probabilities(built.learn.model, loader, (), built.precision, watch)
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
    try:
        import resource
    except ImportError:  # a Python built without it
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # macOS counts bytes, Linux KiB
