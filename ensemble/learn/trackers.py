"""`ens train --track`: what runs report, by TensorBoard's and Weights & Biases' own writers."""

import os
from collections.abc import Sequence
from typing import Any

from ensemble.events import EpochEnded, Event, RunEnded, RunFailed, RunLeft
from ensemble.runs import RunStore
from ensemble.runs.job import Job

SCORES = ("train_loss", "valid_loss", "accuracy", "log_loss", "seconds")


class Tracker:
    """An Emit with a log per run, from its first event; runs that are skipped add nothing."""

    def __init__(self, name: str, jobs: Sequence[Job], store: RunStore) -> None:
        self.log_type = {"tensorboard": _TensorBoard, "wandb": _WandB}[name]
        self.jobs, self.store = {job.run_id: job for job in jobs}, store
        self.logs: dict[str, Any] = {}  # by run, while it trains

    def __call__(self, event: Event) -> None:
        """Log an event."""
        if isinstance(event, EpochEnded):
            self._log(event.run, event.epoch).epoch(event.epoch, _scores(event))
        elif isinstance(event, RunEnded) and not event.skipped:
            self._log(event.run, None).row(_scores(event))
        if isinstance(event, RunEnded | RunFailed | RunLeft) and event.run in self.logs:
            self.logs.pop(event.run).close(isinstance(event, RunEnded))

    def _log(self, run: str, epoch: int | None) -> Any:
        if run not in self.logs:
            self.logs[run] = self.log_type(self.jobs[run], self.store, epoch)
        return self.logs[run]

    def close(self) -> None:
        """End the logs of runs that are not finished; the same command continues them."""
        while self.logs:
            self.logs.popitem()[1].close(False)


def _scores(event: EpochEnded | RunEnded) -> dict[str, float]:
    scores = {name: getattr(event, name, None) for name in SCORES} | {event.metric: event.score}
    return {name: score for name, score in scores.items() if name and score is not None}


class _TensorBoard:
    def __init__(self, job: Job, store: RunStore, epoch: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder, self.settings = store.root.parent / "tensorboard" / job.run_id, job.settings
        self.writer: Any = SummaryWriter(folder, purge_step=epoch)  # older ones from there on go
        losses = {"loss": ["Multiline", ["train_loss", "valid_loss"]]}
        self.writer.add_custom_scalars({"learning curves": losses})

    def epoch(self, number: int, scores: dict[str, float]) -> None:
        for name, score in scores.items():
            self.writer.add_scalar(name, score, number)
        self.writer.flush()

    def row(self, scores: dict[str, float]) -> None:
        final = {f"run/{name}": score for name, score in scores.items()}
        self.writer.add_hparams(self.settings, final, run_name=".")

    def close(self, is_finished: bool) -> None:
        self.writer.close()


class _WandB:
    def __init__(self, job: Job, store: RunStore, epoch: int | None) -> None:
        import wandb

        names = {"id": job.run_id, "name": job.run_id, "group": job.recipe.name}
        names["project"] = os.environ.get("WANDB_PROJECT", "ens")
        resume, quiet = None if epoch == 1 else "allow", wandb.Settings(console="off", silent=True)
        how = {"resume": resume, "reinit": "create_new", "settings": quiet}  # several at a time
        self.run = wandb.init(**names, **how, config=job.settings)
        self.run.define_metric("*", step_metric="epoch")

    def epoch(self, number: int, scores: dict[str, float]) -> None:
        self.run.log({"epoch": number, **scores})

    def row(self, scores: dict[str, float]) -> None:
        self.run.summary.update({f"run/{name}": score for name, score in scores.items()})

    def close(self, is_finished: bool) -> None:
        self.run.finish(exit_code=0 if is_finished else 1)
