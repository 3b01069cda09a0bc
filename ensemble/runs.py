"""Finished trainings on disk: one folder each, run.json written last.

A folder without run.json is unfinished and invisible to blending. Nothing here knows how a run was trained.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ensemble.errors import DamagedError, RunError
from ensemble.files import write_text
from ensemble.metrics import ClassScore, per_class
from ensemble.predictions import Predictions

FORMAT = 1


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class DataInfo(_Stored):
    """Which images a run saw. Two runs blend when name and valid agree."""

    name: str
    fingerprint: str = Field(description="content, label and split of every image used")
    valid: str = Field(description="content and label of the validation images")
    n_train: int
    n_valid: int
    n_test: int = 0
    majority: float = Field(description="accuracy on the validation rows of always naming the most common class")
    sample_submission: str | None = None
    positive: str | None = None
    unreadable: dict[str, list[str]] = {}


class Scores(_Stored):
    """How a run does on its validation rows; log loss positive, in nats."""

    accuracy: float
    log_loss: float


class LrFind(_Stored):
    """What the range test suggested and what was taken. A rule with too few points is null."""

    suggestions: dict[str, float | None]
    chosen: float
    rule: str
    steps: int
    share_of_run: float
    note: str = ""


class Run(_Stored):
    """One finished training, as its run.json tells it."""

    format: int
    id: str
    recipe: str
    digest: str
    arch: str
    strategy: str
    seed: int
    fold: int | None = None
    search: str = Field("", description="the `ens tune` that it is a trial of")
    scores: Scores
    classes: tuple[str, ...]
    data: DataInfo
    preprocessing: dict[str, Any]
    tta: tuple[str, ...] = ()
    batch_size: int
    lr: float
    lr_find: LrFind | None = None
    best_epoch: int = Field(description="the epoch whose weights were kept")
    n_epochs: int
    refit_epochs: int | None = Field(None, description="epochs of the refit on train + valid, None without one")
    n_parameters: int
    n_trainable: int
    phases: tuple[str, ...] = ()
    start: str = Field("", description="which weights the network began with")
    device: str
    precision: str
    threads: int
    seconds: dict[str, float]
    images_per_second: float
    versions: dict[str, str]
    files: dict[str, str] = Field(description="SHA-256 of each stored file by name")
    created: str = Field(description="when it finished, UTC, ISO 8601")
    folder: Path = Field(exclude=True)

    def valid(self) -> Predictions:
        """Its probabilities of the validation rows. Raises DamagedError."""
        predictions = self._load("valid.npz")
        if predictions.targets is None:
            raise DamagedError(f"{self.folder / 'valid.npz'}: has no targets")
        return predictions

    def test(self) -> Predictions:
        """Its probabilities of the test rows; there are none where data.n_test is 0. Raises DamagedError."""
        return self._load("test.npz")

    def test_refit(self) -> Predictions:
        """What the refit says about the test rows, where refit_epochs is not None. Raises DamagedError."""
        return self._load("test_refit.npz")

    def per_class(self) -> list[ClassScore]:
        """Precision, recall and F1 of every class on its validation rows. Raises DamagedError."""
        valid = self.valid()
        assert valid.targets is not None
        return per_class(valid.probs, valid.targets, valid.classes)

    def _load(self, name: str) -> Predictions:
        return Predictions.load(self.folder / name, self.files.get(name))

    @property
    def total_seconds(self) -> float:
        """Wall time of all phases."""
        return sum(self.seconds.values())

    def to_json(self) -> str:
        """The text of run.json."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def learner(self) -> Any:
        """The trained fastai Learner (imports torch and fastai; needs the recipe's images)."""
        from ensemble.learn import trained_learner

        return trained_learner(self)

    @classmethod
    def load(cls, run_id: str, runs: Path | str | None = None) -> "Run":
        """The finished run with this id. Raises RunError, DamagedError."""
        return RunStore(runs).get(run_id)


@dataclass(frozen=True)
class Damaged:
    """A run folder that cannot be trusted, and why."""

    folder: Path
    reason: str


class RunStore:
    """The folder of runs. Reading never needs a lock; training a run holds its lock."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or os.environ.get("ENS_RUNS") or "runs")

    def folder(self, run_id: str) -> Path:
        """Where a run is, or will be, stored."""
        return self.root / run_id

    def all(self, patterns: Sequence[str] = ()) -> tuple[list[Run], list[Damaged]]:
        """Finished runs whose id or recipe matches one of the shell patterns, all without patterns, sorted by id; and
        every folder whose run.json cannot be trusted.
        """
        runs: list[Run] = []
        damaged: list[Damaged] = []
        for path in sorted(self.root.glob("*/run.json")):
            try:
                runs.append(read_run(path))
            except DamagedError as error:
                damaged.append(Damaged(path.parent, str(error)))
        return [run for run in runs if not patterns or any(_matches(run, pattern) for pattern in patterns)], damaged

    def finished(self, patterns: Sequence[str] = ()) -> list[Run]:
        """The runs of `all` alone."""
        return self.all(patterns)[0]

    def get(self, run_id: str) -> Run:
        """One finished run. Raises RunError naming the nearest ids, DamagedError."""
        path = self.folder(run_id) / "run.json"
        if os.path.isfile(path) and "/" not in run_id and "\\" not in run_id:
            return read_run(path)
        from difflib import get_close_matches

        near = get_close_matches(run_id, [run.id for run in self.finished()], n=3, cutoff=0.4)
        hint = f"nearest: {', '.join(near)}" if near else f"`ens runs` lists what is in {self.root}"
        raise RunError(f"{run_id[:100]!r} is no finished run in {self.root}\n{hint}")

    @contextmanager
    def lock(self, run_id: str, wait: bool) -> Iterator[bool]:
        """Hold a run's lock while training it; yields False when another process holds it and `wait` is off.

        The kernel frees the lock when its process ends, however it ends. Raises RunError.
        """
        from filelock import FileLock, Timeout

        folder = self.root / ".locks"
        lock = FileLock(folder / f"{run_id}.lock", timeout=-1 if wait else 0)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            yield False
            return
        except (OSError, NotImplementedError) as error:
            raise RunError(f"{folder}: cannot lock {run_id} there ({error}); try --runs on a local disk") from None
        try:
            yield True
        finally:
            lock.release()


def publish(run: Run) -> None:
    """Write run.json, the last file of a finished run. Raises EnsembleError."""
    write_text(run.folder / "run.json", run.to_json())


def read_run(path: Path) -> Run:
    """The run that a run.json describes. Raises DamagedError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise DamagedError(f"{path}: not a run")
        if values.get("format") != FORMAT:
            raise DamagedError(
                f"{path}: format {str(values.get('format'))[:20]}, this version reads {FORMAT}; "
                "use the version of ens that wrote it, or train again"
            )
        run = Run.model_validate({**values, "folder": path.parent})
    except ValidationError as error:
        keys = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise DamagedError(f"{path}: {keys} is missing or wrong") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, a number of 5,000 digits
        raise DamagedError(f"{path}: cannot be read ({type(error).__name__})") from None
    if run.id != path.parent.name:
        raise DamagedError(f"{path}: says it is {run.id[:100]!r}; the folder was renamed")
    return run


def _matches(run: Run, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in (run.id, run.recipe))
