"""Train one run: phases of a strategy, the rate from a range test, the best epoch restored, predictions by row id."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import AMPMode, MixedPrecision
from fastai.callback.mixup import CutMix, MixUp
from fastai.callback.progress import ProgressCallback
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import OptimWrapper
from torch import nn

from ensemble.dataset.load import DataSet, load
from ensemble.dataset.pixels import open_store
from ensemble.dataset.tables import Images
from ensemble.errors import RecipeError, TrainingError
from ensemble.events import Emit, EpochEnded, Note, Step, ignore
from ensemble.learn import callbacks, models
from ensemble.learn.checkpoint import save_weights
from ensemble.learn.data import Catalog, catalog, loaders, normalisation, part_loader
from ensemble.learn.device import device, device_name, precision, seed_everything
from ensemble.learn.lr import RangeTest, n_steps_for, range_test
from ensemble.learn.predict import probabilities, with_unreadable
from ensemble.learn.preprocess import Preprocess, weights_config
from ensemble.learn.weights import find_weights, load_exactly
from ensemble.predictions import Predictions
from ensemble.recipe import Find, Fit, Recipe
from ensemble.runs import Run, RunStore

LR_MULT = 100.0  # fastai's fine_tune: the first stage trains at a hundredth of the last one's rate


@dataclass(frozen=True)
class Phase:
    """A stretch of epochs that train the same layer groups, from first_group on (0: the stem, -1: the head alone)."""

    name: str
    n_epochs: int
    first_group: int
    pct_start: float = 0.25
    div: float = 25.0
    share_of_rate: float = 1.0
    is_unfrozen: bool = False


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


def learner(recipe: Recipe | Path | str, seed: int | None = None) -> Learner:
    """The plain fastai Learner of a recipe: same data, network, loss, optimiser and groups as `ens train`.

    Raises EnsembleError. Images are decoded on the first call.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    return _setup(recipe, load(recipe.data), recipe.seeds[0] if seed is None else seed, ignore, RunStore()).learn


def trained_learner(run: Run) -> Learner:
    """The Learner of a finished run with its weights. Raises EnsembleError."""
    recipe = Recipe.load(run.folder / "recipe.yaml")
    random_start = recipe.model.model_copy(update={"pretrained": False})
    config = weights_config(recipe)  # the run's own weights replace the ones it started from, not their preprocessing
    recipe = recipe.model_copy(update={"model": random_start})
    learn = _setup(recipe, load(recipe.data), run.seed, ignore, RunStore(run.folder.parent), config=config).learn
    load_exactly(learn.model, run.folder / "model.safetensors")
    return learn


@dataclass
class _Setup:
    """What the phases work on; start says which weights the network began with."""

    learn: Learner
    start: str
    images: Catalog
    preprocess: Preprocess
    precision: str


def train(recipe: Recipe, data: DataSet, seed: int, run_id: str, store: RunStore, emit: Emit = ignore) -> Trained:
    """Train, store `model.safetensors` in the run's folder, and predict. Raises EnsembleError."""
    try:
        return _train(recipe, data, seed, run_id, store, emit)
    except (torch.OutOfMemoryError, MemoryError):
        raise TrainingError(
            f"out of memory on {device_name()} at batch size {recipe.fit.batch_size}\n"
            "set a smaller fit.batch_size or data.size"
        ) from None


def _train(recipe: Recipe, data: DataSet, seed: int, run_id: str, store: RunStore, emit: Emit) -> Trained:
    clock = _Clock()
    with clock.measure("data"):
        setup = _setup(recipe, data, seed, emit, store, run_id)
    emit(Note(run_id, setup.start))
    _say_what_was_dropped(setup.images, run_id, emit)
    phases = plan(recipe.fit, len(setup.learn.opt.param_lists))
    best = callbacks.Best(recipe.fit.monitor, recipe.fit.early_stop)
    fitting = _Fitting(setup, recipe.fit, seed, run_id, emit, best)
    found = None
    if not isinstance(recipe.fit.lr, float):
        with clock.measure("lr_find"):
            found = fitting.find_rate(phases)
    rate = recipe.fit.lr if found is None else found.chosen
    assert isinstance(rate, float)
    for phase in phases:
        with clock.measure(phase.name):
            fitting.run(phase, rate)
    with clock.measure("predict"):
        state, folder = fitting.keep_epoch(), store.folder(run_id)
        (folder / "run.json").unlink(missing_ok=True)  # --force: unfinished until all files are new
        save_weights(state, folder / "model.safetensors")
        valid, test = _predict(setup, recipe, data)
    fitted = sum(clock.seconds[phase.name] for phase in phases)
    n_images = len(setup.images.readable("train")) * len(fitting.history)
    return Trained(
        valid, test, fitting.history, found, rate, setup.preprocess,
        best_epoch=best.best_epoch if recipe.fit.keep == "best" else best.n_seen,
        n_parameters=models.count_parameters(setup.learn.model),
        n_trainable=fitting.n_trainable,
        phases=tuple(f"{phase.name} {phase.n_epochs}" for phase in phases),
        start=setup.start,
        device=device_name(), precision=setup.precision, threads=torch.get_num_threads(),
        batch_size=setup.learn.dls.train.bs,
        seconds={name: round(seconds, 2) for name, seconds in clock.seconds.items()},
        images_per_second=round(n_images / fitted, 1) if fitted else 0.0,
        unreadable={part: sorted(bad) for part, bad in setup.images.unreadable.items() if bad},
    )  # fmt: skip


def find_lr(recipe: Recipe, data: DataSet, seed: int, emit: Emit = ignore) -> RangeTest:
    """The range test alone, with fastai's valley where the recipe names a number. Raises EnsembleError."""
    setup = _setup(recipe, data, seed, emit, RunStore(), recipe.name)
    best = callbacks.Best(recipe.fit.monitor, None)
    phases = plan(recipe.fit, len(setup.learn.opt.param_lists))
    return _Fitting(setup, recipe.fit, seed, recipe.name, emit, best).find_rate(phases)


def plan(fit: Fit, n_groups: int) -> list[Phase]:
    """The phases of a strategy; fine_tune's shapes are fastai's own (frozen, then unfrozen at half the rate).

    gradual spreads its epochs over the stages, from the last to the first; with unfreeze_from there is one step.
    """
    if fit.strategy == "scratch":
        phases = [Phase("scratch", fit.epochs, 0)]
    elif fit.strategy == "feature_extract":
        phases = [Phase("frozen", fit.epochs, -1)]
    elif fit.strategy == "fine_tune":
        phases = [
            Phase("frozen", fit.frozen_epochs, -1, pct_start=0.99),
            _unfrozen("unfrozen", fit.epochs, 0),
        ]
    else:
        phases = [Phase("frozen", fit.frozen_epochs, -1, pct_start=0.99), *_opening(fit, n_groups)]
    phases = [phase for phase in phases if phase.n_epochs]
    if not phases:
        raise RecipeError("fit.epochs: nothing to train: no phase has an epoch")
    return phases


def _unfrozen(name: str, n_epochs: int, first_group: int) -> Phase:
    return Phase(name, n_epochs, first_group, pct_start=0.3, div=5.0, share_of_rate=0.5, is_unfrozen=True)


def _opening(fit: Fit, n_groups: int) -> list[Phase]:
    """The steps of gradual unfreezing: the body's stages open from the end, at most one step per epoch."""
    if fit.unfreeze_from is not None:
        return [_unfrozen(f"from {fit.unfreeze_from}", fit.epochs, n_groups - 2)]
    n_stages = n_groups - 1
    n_steps = min(n_stages, fit.epochs)
    epochs = [fit.epochs * (i + 1) // n_steps - fit.epochs * i // n_steps for i in range(n_steps)]
    first = [n_stages - n_stages * (i + 1) // n_steps for i in range(n_steps)]
    return [_unfrozen(f"from stage {g + 1} of {n_stages}", n, g) for n, g in zip(epochs, first, strict=True)]


class _Fitting:
    """The phases of one run on one Learner."""

    def __init__(self, setup: _Setup, fit: Fit, seed: int, run_id: str, emit: Emit, best: callbacks.Best) -> None:
        self.setup, self.fit, self.seed, self.run_id, self.emit = setup, fit, seed, run_id, emit
        self.best, self.learn = best, setup.learn
        self.history: list[EpochEnded] = []
        self.n_trainable = 0

    def find_rate(self, phases: Sequence[Phase]) -> RangeTest:
        """The range test on the network as the first phase trains it."""
        rule = self.fit.lr.find if isinstance(self.fit.lr, Find) else "valley"
        n_batches = len(self.learn.dls.train)
        n_run = sum(phase.n_epochs for phase in phases) * n_batches
        n_steps = n_steps_for(n_run)
        self._freeze(phases[0])
        watch = callbacks.Watch(
            lambda done, total, loss: self._step("lr_find", min(done, n_steps), n_steps, loss), _nothing
        )
        streams = [callbacks.SeedEpochs(self.seed, "lr_find"), callbacks.FrozenInEval(), watch]
        found = range_test(self.learn, rule, n_steps, streams)
        self._note(
            found.note
            or f"rate {found.chosen:.2g} by the {found.rule} rule, from {n_steps} steps "
            f"({n_steps / n_run:.0%} of the {n_run} steps of training)"
        )
        return found

    def run(self, phase: Phase, rate: float) -> None:
        """One phase with fastai's schedule; the optimiser starts afresh. Raises TrainingError."""
        learn, fit = self.learn, self.fit
        n_trained = self._freeze(phase)
        total = models.count_parameters(learn.model)
        self._note(f"phase {phase.name}: {phase.n_epochs} epochs, {n_trained:,} of {total:,} parameters train")
        peak = rate * phase.share_of_rate
        if phase.is_unfrozen and fit.lr_unfrozen is not None:
            peak = fit.lr_unfrozen
        rates: Any = slice(peak / LR_MULT, peak) if phase.is_unfrozen else peak
        watch = callbacks.Watch(partial(self._step, phase.name), partial(self._epoch, phase))
        every = 1 if learn.dls.device.type == "cpu" else 50
        finite = callbacks.FiniteLoss(phase.name, every)
        streams = callbacks.SeedEpochs(self.seed, phase.name)
        cbs: list[Callback] = [streams, callbacks.FrozenInEval(), finite, self.best, watch]
        if fit.schedule == "one_cycle":
            learn.fit_one_cycle(phase.n_epochs, rates, pct_start=phase.pct_start, div=phase.div, cbs=cbs)
        elif fit.schedule == "flat_cosine":
            learn.fit_flat_cos(phase.n_epochs, rates, cbs=cbs)
        else:
            learn.fit(phase.n_epochs, rates, cbs=cbs)
        if finite.problem:
            raise TrainingError(finite.problem)

    def keep_epoch(self) -> callbacks.State:
        """Put the kept epoch's weights into the network. Raises TrainingError when no epoch had a finite loss."""
        if self.fit.keep == "last":
            return callbacks.copy_of(self.learn.model)
        if not self.best.state:
            raise TrainingError(f"no epoch ended with a finite {self.fit.monitor}; set a smaller fit.lr")
        self.learn.model.load_state_dict(self.best.state)
        return self.best.state

    def _freeze(self, phase: Phase) -> int:
        self.learn.create_opt()
        self.learn.freeze_to(phase.first_group)
        trained = sum(p.numel() for p in self.learn.model.parameters() if p.requires_grad)
        self.n_trainable = max(self.n_trainable, trained)
        return trained

    def _step(self, phase: str, done: int, total: int, loss: float | None) -> None:
        self.emit(Step(self.run_id, phase, done, total, loss))

    def _note(self, text: str) -> None:
        self.emit(Note(self.run_id, text))

    def _epoch(self, phase: Phase, seconds: float) -> None:
        train_loss, valid_loss, share = self.learn.recorder.values[-1][:3]
        n = len(self.history) + 1
        row = EpochEnded(
            self.run_id,
            phase.name,
            n,
            phase.n_epochs,
            train_loss,
            valid_loss,
            share,
            seconds,
            self.best.best_epoch == n,
        )
        self.history.append(row)
        self.emit(row)


def _nothing(*_: object) -> None:
    return None


def _setup(
    recipe: Recipe,
    data: DataSet,
    seed: int,
    emit: Emit,
    runs: RunStore,
    run_id: str = "",
    config: Preprocess | None = None,
) -> _Setup:
    """Find the first weights, decode the images, build network and Learner. Raises EnsembleError."""
    _refuse_not_yet(recipe)
    models.check_arch(recipe.model.arch)
    weights = find_weights(recipe.model, runs)
    preprocess = config or weights_config(recipe)

    def progress(done: int, total: int) -> None:
        emit(Step(run_id, "decoding", done, total))

    store = open_store(data.hashes, preprocess.geometry, progress)
    images = catalog(data, store, recipe.data.skip_unreadable)
    mean, std = normalisation(recipe.data.normalize, (preprocess.mean, preprocess.std), images)
    preprocess = replace(preprocess, mean=mean, std=std)
    assert isinstance(recipe.fit.batch_size, int)
    dls = loaders(images, recipe.fit.batch_size, recipe.augmentation, (mean, std), seed)
    seed_everything(seed, "network")
    built = models.build(recipe.model, len(data.classes), preprocess.geometry.size, weights)
    network = built.network.to(device(), memory_format=torch.channels_last)
    chosen = precision(recipe.fit.precision)
    learn = Learner(
        dls,
        network,
        loss_func=_loss(recipe.fit, images),
        metrics=[accuracy],
        splitter=models.splitter(recipe.fit.unfreeze_from),
        opt_func=partial(OptimWrapper, opt=partial(torch.optim.AdamW, betas=(0.9, 0.99), fused=True)),
        wd=recipe.fit.weight_decay,
        train_bn=False,  # else fastai goes on training the batch norms of a frozen body
        cbs=[callbacks.ChannelsLast(), *_penalties(recipe.fit, network), *_mixing(recipe), *_amp(chosen)],
    )
    if run_id:
        learn.remove_cb(ProgressCallback)
        learn.logger = _nothing
    learn.create_opt()
    return _Setup(learn, built.start, images, preprocess, chosen)


def _refuse_not_yet(recipe: Recipe) -> None:
    """Keys of the contract that this version cannot honour: refused, never ignored. Raises RecipeError."""
    later = {
        "fit.batch_size: auto": recipe.fit.batch_size == "auto",
        "fit.feature_views above 0": recipe.fit.feature_views not in ("auto", 0),
        "refit: true": recipe.refit,
        "fit.unfreeze_from without strategy gradual": bool(recipe.fit.unfreeze_from)
        and recipe.fit.strategy != "gradual",
    }
    asked = [key for key, is_asked in later.items() if is_asked]
    if asked:
        raise RecipeError(f"recipe {recipe.name}: {', '.join(asked)}: not in this version")


def _loss(fit: Fit, images: Catalog) -> CrossEntropyLossFlat:
    weight = None
    if fit.class_weights == "balanced":
        counts = np.bincount(images.codes[images.readable("train")], minlength=len(images.classes))
        weight = torch.tensor(counts.sum() / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)
        weight = weight.to(device())
    return CrossEntropyLossFlat(weight=weight, label_smoothing=fit.label_smoothing)


def _penalties(fit: Fit, network: nn.Module) -> list[Callback]:
    parts = [
        (models.module_named(network, name, "fit.penalty"), cost.l1, cost.l2) for name, cost in fit.penalty.items()
    ]
    return [callbacks.Penalise(parts)] if parts else []


def _mixing(recipe: Recipe) -> list[Callback]:
    augment = recipe.augmentation
    if augment.mixup and augment.cutmix:
        return [callbacks.MixUpOrCutMix(augment.mixup, augment.cutmix)]
    return ([MixUp(augment.mixup)] if augment.mixup else []) + ([CutMix(augment.cutmix)] if augment.cutmix else [])


def _amp(chosen: str) -> list[Callback]:
    return [] if chosen == "fp32" else [MixedPrecision(amp_mode=AMPMode.BF16 if chosen == "bf16" else AMPMode.FP16)]


def _predict(setup: _Setup, recipe: Recipe, data: DataSet) -> tuple[Predictions, Predictions | None]:
    def part(name: str) -> Any:
        if not len(setup.images.readable(name)):
            return np.zeros((0, len(data.classes)), np.float32)
        loader = part_loader(setup.learn.dls, setup.images, name, 2 * setup.learn.dls.train.bs)
        return probabilities(setup.learn.model, loader, recipe.views, setup.precision)

    images = setup.images
    positions = images.readable("valid")
    ids = np.array(data.valid.ids)[positions - images.parts["valid"][0]]
    valid = Predictions(ids, data.classes, part("valid"), images.codes[positions])
    if data.test is None:
        return valid, None
    probs = with_unreadable(part("test"), data.test, images, "test")
    return valid, Predictions(np.array(data.test.ids), data.classes, probs, _targets(data.test, images))


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
