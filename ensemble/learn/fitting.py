"""The phases of a strategy and how they are trained on one Learner."""

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.schedule import ParamScheduler, combined_cos
from fastai.learner import Learner

from ensemble.errors import RecipeError, TrainingError
from ensemble.events import Emit, EpochEnded, Note, Step
from ensemble.learn import callbacks, models
from ensemble.learn.amp import clean_on_error
from ensemble.learn.build_learner import Setup
from ensemble.learn.clock import Clock
from ensemble.learn.device import device
from ensemble.learn.features import feature_learner, n_views
from ensemble.learn.graphs import recorded
from ensemble.learn.lr import RangeTest, n_steps_for, range_test
from ensemble.learn.micro_batch import MicroBatch
from ensemble.learn.resume import Restore, Saved, StateFolder, optimiser_tensors
from ensemble.recipe import Find, Fit
from ensemble.runs.job import Job

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
    return Phase(
        name, n_epochs, first_group, pct_start=0.3, div=5.0, share_of_rate=0.5, is_unfrozen=True
    )


def _opening(fit: Fit, n_groups: int) -> list[Phase]:
    """The steps of gradual unfreezing: the body's stages open from the end, at most one step per epoch."""
    if fit.unfreeze_from is not None:
        return [_unfrozen(f"from {fit.unfreeze_from}", fit.epochs, n_groups - 2)]
    n_stages = n_groups - 1
    n_steps = min(n_stages, fit.epochs)
    epochs = [fit.epochs * (i + 1) // n_steps - fit.epochs * i // n_steps for i in range(n_steps)]
    first = [n_stages - n_stages * (i + 1) // n_steps for i in range(n_steps)]
    return [
        _unfrozen(f"from stage {g + 1} of {n_stages}", n, g)
        for n, g in zip(epochs, first, strict=True)
    ]


def schedule(learn: Learner, name: str, phase: Phase, rates: float | slice) -> list[Callback]:
    """fastai's schedule of rates and momentum as a callback, rates set by layer group; none for constant.

    fastai's own fit_flat_cos could not begin at a later epoch.
    """
    learn.opt.set_hyper("lr", rates)
    peak = np.array([group["lr"] for group in learn.opt.hypers])
    if name == "constant":
        return [ParamScheduler({"lr": lambda _: peak})]
    if name == "flat_cosine":
        return [ParamScheduler({"lr": combined_cos(0.75, peak, peak, peak / 1e5)})]
    rise = combined_cos(phase.pct_start, peak / phase.div, peak, peak / 1e5)
    return [ParamScheduler({"lr": rise, "mom": combined_cos(phase.pct_start, *learn.moms)})]


def freeze(learn: Learner, phase: Phase) -> int:
    """A fresh optimiser, and the layer groups that a phase trains; how many parameters do."""
    learn.create_opt()
    learn.freeze_to(phase.first_group)
    return sum(p.numel() for p in learn.model.parameters() if p.requires_grad)


class Fitting:
    """The phases of one run on one Learner; the keeper decides which epoch's weights are kept.

    With a folder for its state, training goes on from what is there, and stores it after epochs.
    """

    def __init__(
        self,
        setup: Setup,
        job: Job,
        emit: Emit,
        keeper: callbacks.Keeper | None = None,
        states: StateFolder | None = None,
    ) -> None:
        self.setup, self.emit = setup, emit
        self.recipe, self.seed, self.run_id = job.recipe, job.seed, job.run_id
        self.fit = fit = job.recipe.fit
        self.network, self.states = setup.learn.model, states
        self.keeper = keeper or callbacks.Best(fit.monitor, fit.early_stop, fit.keep)
        self.average = callbacks.Averaged(self.network, fit.ema) if fit.ema else None
        self.phases = plan(fit, len(setup.learn.opt.param_lists))
        self.history: list[EpochEnded] = []
        self.n_trainable = 0
        self.clock = Clock()
        self.range_test: RangeTest | None = None
        self.note = ""
        self.micro_batch = MicroBatch(setup.learn, self._note)
        self.n_views: int | None = None  # of the frozen phase, once there was one
        self.head_learner: Learner | None = None

    def train(self, rate: float | None, saved: Saved | None = None) -> float:
        """Find the rate where none is given, and train all phases, or what is left of them; returns the rate.

        Raises TrainingError.
        """
        if saved is not None:
            rate = self._go_on(saved)
        else:
            if self.fit.batch_size == "auto":
                self.micro_batch.probe(self.setup.precision)
            if rate is None:
                with self.clock.measure("lr_find"):
                    self.range_test = self.find_rate()
                rate = self.range_test.chosen
        assert rate is not None
        for number, phase in enumerate(self.phases):
            n_done = 0 if saved is None or number > saved.phase else saved.n_epochs
            is_over = saved is not None and (number < saved.phase or n_done >= phase.n_epochs)
            if is_over or self.note or self.keeper.is_over:
                continue
            with self.clock.measure(phase.name):
                self._run_in_memory(number, rate, saved if n_done else None)
        return rate

    def _run_in_memory(self, number: int, rate: float, saved: Saved | None) -> None:
        """A phase; where memory runs out it goes on from its last stored epoch with fewer images at a time."""
        begun, history = callbacks.copy_of(self.network), list(self.history)
        memory, kept = self.keeper.memory(), self.keeper.state
        average = self.average and (
            callbacks.copy_of(self.average.average.module),
            self.average.n_steps,
        )

        def put_back() -> None:
            nonlocal saved
            stored = self.states.read() if self.states else None
            if stored is not None and stored.phase == number:
                saved = stored
                self._restore(stored)
                return
            self.network.load_state_dict(begun)
            self.keeper.recall(memory, kept)
            self.history = list(history)
            if self.average is not None and average is not None:
                weights, self.average.n_steps = average
                self.average.average.module.load_state_dict(weights)

        self.micro_batch.fit(
            lambda: self.run(number, rate, saved.n_epochs if saved else 0, saved), put_back
        )

    def _go_on(self, saved: Saved) -> float:
        self._restore(saved)
        self.range_test = saved.range_test
        self.n_trainable, self.clock.seconds = (
            saved.told["n_trainable"],
            dict(saved.told["seconds"]),
        )
        self.micro_batch.shrink(saved.told["micro_batch"])
        self.n_views = saved.told["n_views"]
        if device().type == "cpu":
            torch.set_num_threads(
                saved.told["threads"]
            )  # another number of threads computes other bytes
        self._note(f"going on after epoch {self.keeper.n_seen}, stored when training was cut off")
        return float(saved.told["rate"])

    def _restore(self, saved: Saved) -> None:
        self.network.load_state_dict(saved.named("model."))
        self.history = list(saved.history)
        self.keeper.recall(saved.keeper, saved.kept)
        if self.average is not None:
            self.average.average.module.load_state_dict(saved.named("ema."))
            self.average.n_steps = saved.told["n_averaged"]

    def _save(self, states: StateFolder, learn: Learner, number: int, rate: float) -> None:
        tensors = {f"model.{name}": own for name, own in callbacks.copy_of(self.network).items()}
        tensors |= optimiser_tensors(learn.opt)
        told = {
            "rate": rate,
            "n_trainable": self.n_trainable,
            "start": self.setup.start,
            "seconds": self.clock.seconds,
            "micro_batch": self.micro_batch.size,
            "n_views": self.n_views,
            "smooth_count": learn.recorder.smooth_loss.count,
            "threads": torch.get_num_threads(),
        }
        tensors["smooth"] = learn.recorder.smooth_loss.val.detach().cpu()
        if self.average is not None:
            tensors |= {
                f"ema.{name}": own
                for name, own in callbacks.copy_of(self.average.average.module).items()
            }
            told["n_averaged"] = self.average.n_steps
        if getattr(learn, "scaler", None) is not None:  # a head on cached views trains without
            told["scaler"] = learn.scaler.state_dict()
        keeper = self.keeper
        states.write(
            Saved(
                number,
                learn.epoch + 1,
                self.history,
                keeper.memory(),
                told,
                self.range_test,
                tensors,
                keeper.state,
            )
        )

    def find_rate(self) -> RangeTest:
        """The range test on the network as the first phase trains it."""
        begun = callbacks.copy_of(self.network)
        return self.micro_batch.fit(self._range_test, lambda: self.network.load_state_dict(begun))

    def _range_test(self) -> RangeTest:
        rule = self.fit.lr.find if isinstance(self.fit.lr, Find) else "valley"
        learn = self._learner(self.phases[0])
        n_batches = len(learn.dls.train)
        n_run = sum(phase.n_epochs for phase in self.phases) * n_batches
        n_steps = n_steps_for(n_run)
        self._freeze(learn, self.phases[0])
        watch = callbacks.Watch(
            lambda done, total, loss: self._step("lr_find", min(done, n_steps), n_steps, loss),
            callbacks.nothing,
        )
        streams = [callbacks.SeedEpochs(self.seed, "lr_find"), callbacks.FrozenInEval(), watch]
        with clean_on_error(learn):
            found = range_test(learn, rule, n_steps, streams)
        self._note(
            found.note
            or f"rate {found.chosen:.2g} by the {found.rule} rule, from {n_steps} steps "
            f"({n_steps / n_run:.0%} of the {n_run} steps of training)"
        )
        return found

    def run(self, number: int, rate: float, n_done: int = 0, saved: Saved | None = None) -> None:
        """One phase, or what is left of it, with fastai's schedule. Raises TrainingError."""
        fit, phase = self.fit, self.phases[number]
        learn = self._learner(phase)
        self.keeper.begin(phase.name, n_done)
        self.keeper.whole = None if learn is self.setup.learn else self.network
        n_trained = self._freeze(learn, phase)
        total = models.count_parameters(self.network)
        self._note(
            f"phase {phase.name}: {phase.n_epochs} epochs, {n_trained:,} of {total:,} parameters train"
        )
        peak = rate * phase.share_of_rate
        if phase.is_unfrozen and fit.lr_unfrozen is not None:
            peak = fit.lr_unfrozen
        finite = callbacks.FiniteLoss(phase.name, 1 if learn.dls.device.type == "cpu" else 50)
        cbs = [
            callbacks.SeedEpochs(self.seed, phase.name),
            callbacks.FrozenInEval(),
            finite,
            self.keeper,
        ]
        cbs += [self.average] if self.average else []
        cbs += [
            callbacks.Watch(
                partial(self._step, phase.name), partial(self._epoch, learn, number, rate)
            )
        ]
        cbs += [Restore(saved, self.keeper)] if saved else []
        cbs += schedule(
            learn, fit.schedule, phase, slice(peak / LR_MULT, peak) if phase.is_unfrozen else peak
        )
        with clean_on_error(learn), self.recorded(learn):
            learn.fit(phase.n_epochs, cbs=cbs, start_epoch=n_done)
        if finite.problem:
            self._stop(finite.problem)

    def recorded(self, learn: Learner) -> AbstractContextManager[None]:
        """CUDA graphs where the recipe wants them; not of parts of a batch, whose gradients would overwrite."""
        is_whole = learn is self.setup.learn and self.micro_batch.size == self.micro_batch.batch
        if self.fit.cuda_graphs and is_whole and device().type == "cuda":
            return recorded(learn, self.setup.precision)
        return nullcontext()

    def _stop(self, problem: str) -> None:
        """A loss that is no number ends training; what was good before it is kept. Raises TrainingError."""
        if not self.keeper.state:
            raise TrainingError(problem)
        self.note = f"{problem.splitlines()[0]}; epoch {self.keeper.kept_epoch} was kept"
        self._note(self.note)

    @property
    def kept_by_phase(self) -> dict[str, int]:
        """The epochs of each phase up to the kept one."""
        return dict(Counter(row.phase for row in self.history[: self.keeper.kept_epoch]))

    def keep_epoch(self) -> callbacks.State:
        """Put the kept epoch's weights into the network. Raises TrainingError when no epoch had a finite loss."""
        if not self.keeper.state:
            raise TrainingError(
                f"no epoch ended with a finite {self.fit.monitor}; set a smaller fit.lr"
            )
        self.network.load_state_dict(self.keeper.state)
        return self.keeper.state

    def _learner(self, phase: Phase) -> Learner:
        """The Learner that a phase trains on: of the head alone, on cached views, where the body is frozen."""
        if phase.first_group != -1:
            return self.setup.learn
        if self.head_learner is None:
            wanted = n_views(self.fit, self.recipe.augmentation, phase.n_epochs)
            watch = partial(self._step, "features", loss=None)
            made = (
                feature_learner(self.setup, self.recipe.model, wanted, self.seed, watch)
                if wanted
                else None
            )
            self.head_learner = made or self.setup.learn
            self.n_views = len(made.dls.train.features) if made else 0
            views = f"{self.n_views} cached views" if made else "images pass the body every epoch"
            self._note(f"frozen phase: {views}, batch norm in eval")
        return self.head_learner

    def _freeze(self, learn: Learner, phase: Phase) -> int:
        trained = freeze(learn, phase)
        self.n_trainable = max(self.n_trainable, trained)
        return trained

    def _step(self, phase: str, done: int, total: int, loss: float | None) -> None:
        self.emit(Step(self.run_id, phase, done, total, loss))

    def _note(self, text: str) -> None:
        self.emit(Note(self.run_id, text))

    def _epoch(self, learn: Learner, number: int, rate: float, seconds: float) -> None:
        """An epoch was trained: tell of it, unless it is a refit's, which validates nothing; store the state."""
        train_loss, *validated = learn.recorder.values[-1]
        if validated:
            phase, n, is_best = self.phases[number], len(self.history) + 1, self.keeper.is_best
            row = EpochEnded(
                self.run_id, phase.name, n, phase.n_epochs, train_loss, *validated, seconds, is_best
            )
            self.history.append(row)
            self.emit(row)
        if self.states is not None and self.states.is_due:
            with self.states.paced():
                self._save(self.states, learn, number, rate)
