"""Training the phases of a run on one Learner: rate, schedule, kept epoch, resuming, smaller batches."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from fastai.callback.core import Callback
from fastai.learner import Learner

from ensemble.errors import TrainingError
from ensemble.events import Emit, EpochEnded, Note, Step
from ensemble.learn import callbacks, models
from ensemble.learn.amp import clean_on_error
from ensemble.learn.averages import MovingAverage
from ensemble.learn.build_learner import BuiltLearner
from ensemble.learn.clock import Clock
from ensemble.learn.device import device
from ensemble.learn.features import feature_learner, n_cached
from ensemble.learn.graphs import recorded
from ensemble.learn.keepers import Best, Keeper, State, copy_of
from ensemble.learn.lr import RangeTest, n_steps_for, range_test
from ensemble.learn.micro_batch import MicroBatch
from ensemble.learn.phases import LR_MULT, Phase, freeze, plan, schedule
from ensemble.learn.probe import check_head, probe_of
from ensemble.learn.resume import Restore, StateFolder, TrainingState, optimizer_tensors
from ensemble.recipe import Find
from ensemble.runs.job import Job


class Fitting:
    """The phases of one run on one Learner; the keeper decides which epoch's weights are kept.

    With a folder for its state, training resumes from what is stored there, and stores it after epochs.
    """

    def __init__(
        self,
        built: BuiltLearner,
        job: Job,
        emit: Emit,
        keeper: Keeper | None = None,
        states: StateFolder | None = None,
    ) -> None:
        self.built, self.emit = built, emit
        self.recipe, self.seed, self.run_id = job.recipe, job.seed, job.run_id
        self.fit = fit = job.recipe.fit
        self.network, self.states = built.learn.model, states
        self.keeper = keeper or Best(fit.monitor, fit.early_stop, fit.keep, built.metric)
        self.average = MovingAverage(self.network, fit.ema) if fit.ema else None
        self.phases = plan(fit, len(built.learn.opt.param_lists))
        self.history: list[EpochEnded] = []
        self.n_trainable = 0
        self.clock = Clock()
        self.range_test: RangeTest | None = None
        self.note = ""
        self.micro_batch = MicroBatch(built.learn, self._note)
        self.n_cached: int | None = None  # augmentations of the frozen phase, once it began
        self.head_learner: Learner | None = None
        self.probe = probe_of(job.recipe, built.images, self._note)

    def train(self, rate: float | None, state: TrainingState | None = None) -> float:
        """Train all phases, or the rest of them after a state, and return the rate; None finds it first.

        Raises TrainingError.
        """
        if state is not None:
            rate = self._resume(state)
        else:
            if self.fit.batch_size == "auto":
                self.micro_batch.probe(self.built.precision)
            if self.probe is not None:
                rate = 0.0
            if rate is None:
                with self.clock.measure("lr_find"):
                    self.range_test = self.find_rate()
                rate = self.range_test.chosen
        for number, phase in enumerate(self.phases):
            n_done = 0 if state is None or number > state.phase else state.n_epochs
            is_over = state is not None and (number < state.phase or n_done >= phase.n_epochs)
            if is_over or self.note or self.keeper.is_over:
                continue
            with self.clock.measure(phase.name):
                self._run_in_memory(number, rate, state if n_done else None)
        return rate

    def _run_in_memory(self, number: int, rate: float, state: TrainingState | None) -> None:
        """A phase; where memory runs out, it resumes from its last stored epoch with fewer images at a time."""
        restart = self._restart_point()

        def undo() -> None:
            nonlocal state
            stored = self.states.read() if self.states else None
            if stored is not None and stored.phase == number:
                state = stored
                self._restore(stored)
            else:
                restart()

        self.micro_batch.fit(lambda: self.run(number, rate, state), undo)

    def _restart_point(self) -> Callable[[], None]:
        """A function that puts weights, average, keeper and history back to what they are now."""
        weights, history = copy_of(self.network), list(self.history)
        keeper_state, kept = self.keeper.state_dict(), self.keeper.kept
        average = self.average
        averaged = average.state_dict() if average else None

        def restart() -> None:
            self.network.load_state_dict(weights)
            self.keeper.load_state_dict(keeper_state, kept)
            self.history = list(history)
            if average is not None and averaged is not None:
                average.load_state_dict(*averaged)

        return restart

    def _resume(self, state: TrainingState) -> float:
        """Continue from a stored state; returns its rate."""
        info = state.info
        self._restore(state)
        self.range_test = state.range_test
        self.n_trainable, self.clock.seconds = info["n_trainable"], dict(info["seconds"])
        self.micro_batch.shrink(info["micro_batch"])
        self.n_cached = info["n_cached"]
        if device().type == "cpu":  # another number of threads computes other bytes
            torch.set_num_threads(info["threads"])
        self._note(f"resuming from epoch {self.keeper.n_seen}, the last stored one")
        return float(info["rate"])

    def _restore(self, state: TrainingState) -> None:
        self.network.load_state_dict(state.tensors_of("model."))
        self.history = list(state.history)
        self.keeper.load_state_dict(state.keeper, state.kept)
        if self.average is not None:
            self.average.load_state_dict(state.tensors_of("ema."), state.info["n_averaged"])

    def _state(self, learn: Learner, number: int, rate: float) -> TrainingState:
        """What resuming after the current epoch needs."""
        smooth_loss = learn.recorder.smooth_loss
        tensors = {f"model.{name}": weight for name, weight in copy_of(self.network).items()}
        tensors |= optimizer_tensors(learn.opt)
        tensors["smooth"] = smooth_loss.val.detach().cpu()
        info = {
            "rate": rate,
            "n_trainable": self.n_trainable,
            "start": self.built.start,
            "seconds": self.clock.seconds,
            "micro_batch": self.micro_batch.size,
            "n_cached": self.n_cached,
            "smooth_count": smooth_loss.count,
            "threads": torch.get_num_threads(),
        }
        if self.average is not None:
            weights, info["n_averaged"] = self.average.state_dict()
            tensors |= {f"ema.{name}": weight for name, weight in weights.items()}
        if getattr(learn, "scaler", None) is not None:  # a head on cached features trains without
            info["scaler"] = learn.scaler.state_dict()
        keeper, position = self.keeper, (number, learn.epoch + 1, self.history)
        kept = keeper.kept
        return TrainingState(*position, keeper.state_dict(), info, self.range_test, tensors, kept)

    def find_rate(self) -> RangeTest:
        """The range test on the network as the first phase trains it."""
        weights = copy_of(self.network)
        return self.micro_batch.fit(self._range_test, lambda: self.network.load_state_dict(weights))

    def _range_test(self) -> RangeTest:
        rule = self.fit.lr.find if isinstance(self.fit.lr, Find) else "valley"
        learn = self._learner(self.phases[0])
        n_run = sum(phase.n_epochs for phase in self.phases) * len(learn.dls.train)
        n_steps = n_steps_for(n_run)
        self._freeze(learn, self.phases[0])
        watch = callbacks.Watch(
            lambda done, total, loss: self._step("lr_find", min(done, n_steps), n_steps, loss),
            callbacks.nothing,
        )
        cbs = [callbacks.SeedEpochs(self.seed, "lr_find"), callbacks.FrozenInEval(), watch]
        with clean_on_error(learn):
            test = range_test(learn, rule, n_steps, cbs)
        share = f"{n_steps / n_run:.0%} of the {n_run} training steps"
        summary = f"range test: rate {test.chosen:.2g} ({test.rule} rule, {n_steps} steps, {share})"
        self._note(test.note or summary)
        return test

    def run(self, number: int, rate: float, state: TrainingState | None = None) -> None:
        """One phase, or the rest of it after a state, with fastai's schedule. Raises TrainingError."""
        fit, phase = self.fit, self.phases[number]
        n_done = state.n_epochs if state else 0
        learn = self._learner(phase)
        self.keeper.begin(phase.name, n_done)
        self.keeper.whole_network = None if learn is self.built.learn else self.network
        n_trained = self._freeze(learn, phase)
        total = models.count_parameters(self.network)
        self._note(
            f"phase {phase.name}: {phase.n_epochs} epochs, {n_trained:,} of {total:,} parameters trainable"
        )
        peak = rate * phase.share_of_rate
        if phase.is_unfrozen and fit.lr_unfrozen is not None:
            peak = fit.lr_unfrozen
        rates = slice(peak / LR_MULT, peak) if phase.is_unfrozen else peak
        finite = callbacks.FiniteLoss(phase.name, 1 if learn.dls.device.type == "cpu" else 50)
        cbs = [finite, *self._callbacks(learn, number, rate)]
        cbs += [Restore(state, self.keeper)] if state else []
        cbs += schedule(learn, fit.schedule, phase, rates)
        cbs += [self.probe] if self.probe else []
        with clean_on_error(learn), self.recorded(learn):
            learn.fit(phase.n_epochs, cbs=cbs, start_epoch=n_done)
        if finite.problem:
            self._stop(finite.problem)

    def _callbacks(self, learn: Learner, number: int, rate: float) -> list[Callback]:
        """Seeds, frozen statistics, the kept epoch, the average, the report."""
        phase = self.phases[number]
        on_epoch = partial(self._epoch, learn, number, rate)
        cbs = [callbacks.SeedEpochs(self.seed, phase.name), callbacks.FrozenInEval(), self.keeper]
        cbs += [self.average] if self.average else []
        return [*cbs, callbacks.Watch(partial(self._step, phase.name), on_epoch)]

    @contextmanager
    def recorded(self, learn: Learner) -> Iterator[None]:
        """CUDA graphs if the recipe asks for them; not for micro-batches, whose gradients they would overwrite.

        A network that cannot be captured trains without them: a night is worth more than its speed.
        """
        is_whole = learn is self.built.learn and self.micro_batch.size == self.micro_batch.batch
        with ExitStack() as recording:
            if self.fit.cuda_graphs and is_whole and device().type == "cuda":
                try:
                    recording.enter_context(recorded(learn, self.built.precision))
                except TrainingError as error:
                    self._note(f"{error}: it trains without")
            yield

    def _stop(self, problem: str) -> None:
        """A NaN or infinite loss ends training; the epoch kept before it stays. Raises TrainingError."""
        if not self.keeper.kept:
            raise TrainingError(problem)
        self.note = f"{problem.splitlines()[0]}; epoch {self.keeper.kept_epoch} was kept"
        self._note(self.note)

    @property
    def kept_by_phase(self) -> dict[str, int]:
        """The epochs of each phase up to the kept one."""
        return dict(Counter(row.phase for row in self.history[: self.keeper.kept_epoch]))

    def keep_epoch(self) -> State:
        """Put the kept epoch's weights into the network. Raises TrainingError when no epoch had a finite loss."""
        if not self.keeper.kept:
            problem = f"no epoch ended with a finite {self.fit.monitor}"
            raise TrainingError(f"{problem}; set a smaller fit.lr")
        self.network.load_state_dict(self.keeper.kept)
        return self.keeper.kept

    def _learner(self, phase: Phase) -> Learner:
        """The Learner that a phase trains: of the head alone, on cached features, where the body is frozen."""
        if phase.first_group != -1:
            return self.built.learn
        if self.head_learner is None:
            n_wanted = n_cached(self.fit, self.recipe.augmentation, phase.n_epochs)
            watch = partial(self._step, "features", loss=None)
            learn, images = None, "images pass through the body in every epoch"
            if n_wanted:
                learn = feature_learner(self.built, self.recipe.model, n_wanted, self.seed, watch)
            self.n_cached = 0
            if learn is not None:
                self.n_cached = len(learn.dls.train.features)
                images = f"{self.n_cached} cached augmentations"
            self._note(f"frozen phase: {images}, batch norm in eval")
            self.head_learner = learn or self.built.learn
            if self.probe is not None:
                check_head(learn)
        return self.head_learner

    def _freeze(self, learn: Learner, phase: Phase) -> int:
        n_trained = freeze(learn, phase)
        self.n_trainable = max(self.n_trainable, n_trained)
        return n_trained

    def _step(self, phase: str, done: int, total: int, loss: float | None) -> None:
        self.emit(Step(self.run_id, phase, done, total, loss))

    def _note(self, text: str) -> None:
        self.emit(Note(self.run_id, text))

    def _epoch(self, learn: Learner, number: int, rate: float, seconds: float) -> None:
        """An epoch has trained: report it, unless it is a refit's, which validates nothing; store the state."""
        train_loss, *validated = learn.recorder.values[-1]
        if validated:
            phase = self.phases[number]
            valid_loss, *scores = validated
            accuracy = scores.pop(0) if self.recipe.data.target == "class" else None
            row = EpochEnded(
                run=self.run_id,
                phase=phase.name,
                epoch=len(self.history) + 1,
                n_epochs=phase.n_epochs,
                train_loss=train_loss,
                valid_loss=valid_loss,
                accuracy=accuracy,
                seconds=seconds,
                is_best=self.keeper.is_best,
                metric=self.built.metric.name if self.built.metric else "",
                score=next((score for score in scores if not math.isnan(score)), None),
            )
            self.history.append(row)
            self.emit(row)
        if self.states is not None and self.states.is_due:
            with self.states.paced():
                self.states.write(self._state(learn, number, rate))
