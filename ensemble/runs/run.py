"""One finished training as its folder tells it; run.json is written last and read with suspicion."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ensemble import metrics
from ensemble.dataset.sample import COPY
from ensemble.errors import DamagedError
from ensemble.files import sha256, write_text
from ensemble.metrics import ClassScore, per_class
from ensemble.predictions import Array, Predictions, some

FORMAT = 1
MAX_TEXT = 1 << 22  # bytes of a text beside run.json: some 50,000 epochs of history.csv


LARGEST = 2**53  # of a count: beyond, floats skip numbers
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Amount = Annotated[float, Field(ge=0, le=1e12)]  # seconds, rates, losses


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class DataInfo(_Stored):
    """Which images a run saw. Two runs blend when name and valid agree."""

    name: str
    fingerprint: str = Field(description="content, label and split of every image used")
    valid: str = Field(description="content and label of the validation images")
    n_train: Count
    n_valid: int = Field(ge=1, le=LARGEST)
    n_test: Count = 0
    majority: float = Field(
        ge=0,
        le=1,
        description="accuracy on the validation rows of always naming the most common class",
    )
    sample_submission: str | None = Field(None, description="where the sample submission was")
    sample_sha256: str | None = Field(
        None, description="hash of the sample's bytes; the run holds a copy of them"
    )
    positive: str | None = None
    class_counts: dict[str, Count] = Field(
        default_factory=dict, description="readable training images of each class"
    )
    is_grouped: bool = Field(
        False, description="whether validation rows belong to groups, such as patients"
    )
    unreadable: dict[str, list[str]] = {}

    @property
    def n_rows(self) -> int:
        """The validation rows that were predicted: those whose image could be read."""
        return self.n_valid - len(self.unreadable.get("valid", ()))

    @field_validator("sample_submission")
    @classmethod
    def _is_path(cls, path: str | None) -> str | None:
        if path is not None and "\0" in path:
            raise ValueError("data.sample_submission: a path holds no NUL")
        return path

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if self.n_rows < 1:
            raise ValueError("no validation image was readable")
        return self


class Scores(_Stored):
    """How a run does on its validation rows; log loss positive, in nats."""

    accuracy: float = Field(ge=0, le=1)
    log_loss: Amount


class LrFind(_Stored):
    """What the range test suggested and what was taken. A rule with too few points is null."""

    suggestions: dict[str, Amount | None]
    chosen: Amount
    rule: str
    steps: Count
    share_of_run: Amount
    note: str = ""


class Run(_Stored):
    """One finished training, as its run.json tells it."""

    format: int
    id: str
    recipe: str
    digest: str
    arch: str
    strategy: str
    seed: int = Field(ge=-LARGEST, le=LARGEST)
    fold: Count | None = None
    n_folds: int | None = Field(None, ge=2, le=LARGEST)
    search: str = Field("", description="the `ens tune` that it is a trial of")
    scores: Scores
    classes: tuple[str, ...] = Field(min_length=1)
    data: DataInfo
    preprocessing: dict[str, Any]
    tta: tuple[str, ...] = ()
    batch_size: Count = Field(description="images per step of the optimiser")
    micro_batch: Count | None = Field(
        None, description="images at a time, fewer where memory ran out"
    )
    lr: Amount
    lr_find: LrFind | None = None
    best_epoch: Count = Field(description="the epoch whose weights were kept")
    n_epochs: Count
    kept_by_phase: dict[str, Count] = Field(
        default_factory=dict, description="epochs of each phase up to the kept one"
    )
    refit_epochs: Count | None = Field(
        None, description="epochs of the refit on train + valid, None without one"
    )
    n_parameters: Count
    n_trainable: Count
    phases: tuple[str, ...] = ()
    start: str = Field("", description="which weights the network began with")
    feature_views: Count | None = Field(
        None, description="cached views of the frozen phase, 0: none, null: no such phase"
    )
    note: str = Field(
        "", description="what went wrong in training and was mended, such as a loss that became nan"
    )
    device: str
    precision: str
    threads: Count
    seconds: dict[str, Amount]
    images_per_second: Amount
    versions: dict[str, str]
    files: dict[str, str] = Field(description="SHA-256 of each stored file by name")
    created: str = Field(description="when it finished, UTC, ISO 8601")
    folder: Path = Field(exclude=True)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (
            (self.fold is None) != (self.n_folds is None)
            or self.fold is not None
            and self.fold >= (self.n_folds or 0)
        ):
            raise ValueError(f"fold {self.fold} of n_folds {self.n_folds}")
        if self.fold is not None and not self.id.endswith(f"-f{self.fold}"):
            raise ValueError(f"fold {self.fold} in a run that is called {self.id[:100]!r}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name appears twice")
        return self

    def valid(self) -> Predictions:
        """Its probabilities of the validation rows. Raises DamagedError."""
        predictions = self._load("valid.npz")
        if predictions.targets is None:
            raise DamagedError(f"{self.folder / 'valid.npz'}: has no targets")
        if len(predictions.ids) != self.data.n_rows:
            raise DamagedError(
                f"{self.folder / 'run.json'}: states {self.data.n_rows:,} readable validation images, valid.npz has "
                f"{len(predictions.ids):,} rows"
            )
        return predictions

    def test(self) -> Predictions:
        """Its probabilities of the test rows; there are none where data.n_test is 0. Raises DamagedError."""
        return self._load("test.npz")

    def test_refit(self) -> Predictions:
        """What the refit says about the test rows, where refit_epochs is not None. Raises DamagedError."""
        return self._load("test_refit.npz")

    def check(self) -> None:
        """Whether the stored predictions are whole and those that the scores are about. Raises DamagedError."""
        for name in self.files:
            if name.endswith(".npz"):
                self._load(name)
        valid = self.valid()
        assert valid.targets is not None
        self.check_score(metrics.accuracy(valid.probs, valid.targets))

    def check_score(self, accuracy: float) -> None:
        """Whether run.json states the accuracy that valid.npz has. Raises DamagedError."""
        if abs(accuracy - self.scores.accuracy) > 1e-6:
            raise DamagedError(
                f"{self.folder / 'run.json'}: states accuracy {self.scores.accuracy:.4f}, valid.npz has {accuracy:.4f}"
            )

    def check_file(self, name: str) -> None:
        """Whether a file of the folder is the one that run.json was written for. Raises DamagedError.

        A file whose hash run.json does not hold must lie in the folder: a link could lead to any file of this machine.
        """
        path, digest = self.folder / name, self.files.get(name)
        if not path.is_file():
            raise DamagedError(f"{path}: is missing")
        if digest is None and path.is_symlink():
            raise DamagedError(
                f"{path}: is a link, and run.json does not say to which content\nput the file itself there"
            )
        if digest is not None and _digest_of(path) != digest:
            raise DamagedError(
                f"{path}: is not the file that run.json was written for (SHA-256 differs)\n"
                "copy the run again from where it came from, or train it again with --force"
            )

    def sample_copy(self) -> Path | None:
        """Its copy of the sample submission; None where it had no sample, or is older than these copies."""
        return self.folder / COPY if COPY in self.files and self.data.sample_sha256 else None

    def per_class(self) -> list[ClassScore]:
        """Precision, recall and F1 of every class on its validation rows. Raises DamagedError."""
        valid = self.valid()
        assert valid.targets is not None
        return per_class(valid.probs, valid.targets, valid.classes)

    def class_shares(self, with_valid: bool = False) -> Array:
        """The shares of its training images by class, (classes,): what an unreadable test image gets.

        with_valid counts the validation images too, as a refit does; they stand in where run.json has no counts.
        Raises DamagedError.
        """
        counts = np.array([self.data.class_counts.get(name, 0) for name in self.classes])
        if with_valid or not counts.any():
            valid = self.valid()
            own = np.bincount(np.asarray(valid.targets), minlength=len(valid.classes)).tolist()
            by_name = dict(zip(valid.classes, own, strict=True))
            counts = counts + [by_name[name] for name in self.classes]
        return np.asarray((counts / counts.sum()).astype(np.float32))

    def text(self, name: str) -> str:
        """What a text of the folder says; "" where it is missing, too large, or not the one of run.json."""
        with suppress(DamagedError):
            return self.read_text(name)
        return ""

    def read_text(self, name: str) -> str:
        """What a text of the folder says, which must be the one of run.json. Raises DamagedError."""
        path = self.folder / name
        try:
            n_bytes = path.stat().st_size
            if n_bytes > MAX_TEXT:  # before it is hashed: it may have no end
                raise DamagedError(f"{path}: {n_bytes:,} bytes, {MAX_TEXT:,} are allowed")
            self.check_file(name)
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise DamagedError(f"{path}: cannot be read ({type(error).__name__})") from None

    def _load(self, name: str) -> Predictions:
        if name not in self.files:
            self.check_file(name)
        predictions = Predictions.load(self.folder / name, self.files.get(name))
        if set(predictions.classes) != set(self.classes):
            only = set(predictions.classes) ^ set(self.classes)
            raise DamagedError(
                f"{self.folder / name}: its classes are not those of run.json: {some(only, 40)}"
            )
        return predictions

    @property
    def total_seconds(self) -> float:
        """Wall time of all phases."""
        return sum(self.seconds.values())

    def to_json(self) -> str:
        """The text of run.json."""
        return (
            json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
            + "\n"
        )

    def learner(self) -> Any:
        """The trained fastai Learner (imports torch and fastai; needs the recipe's images)."""
        from ensemble.learn import load_learner

        return load_learner(self)

    @classmethod
    def load(cls, run_id: str, runs: Path | str | None = None) -> "Run":
        """The finished run with this id. Raises RunError, DamagedError."""
        from ensemble.runs.store import RunStore

        return RunStore(runs).get(run_id)


def _digest_of(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read ({error.strerror or error})") from None


def publish(run: Run) -> None:
    """Write run.json, the last file of a finished run. Raises EnsembleError."""
    write_text(run.folder / "run.json", run.to_json())


def read_run(path: Path) -> Run:
    """The run that a run.json describes. Raises DamagedError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(
            values, ensure_ascii=False
        ).encode()  # half of a letter cannot be shown: a ValueError
        if not isinstance(values, dict):
            raise DamagedError(f"{path}: not a run")
        if values.get("format") != FORMAT:
            raise DamagedError(
                f"{path}: format {str(values.get('format'))[:20]}, this version reads {FORMAT}; "
                "use the version of ens that wrote it, or train again"
            )
        run = Run.model_validate({**values, "folder": path.parent})
    except ValidationError as error:
        problem = error.errors()[0]
        keys = ".".join(str(part)[:60] for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        what = reason if problem["type"] == "value_error" else f"{keys} is missing or wrong"
        raise DamagedError(f"{path}: {what}") from None
    except (
        OSError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: not UTF-8, not JSON, a number of 5,000 digits
        raise DamagedError(f"{path}: cannot be read ({type(error).__name__})") from None
    outside = next((name for name in run.files if Path(name).name != name), None)
    if outside is not None:
        raise DamagedError(
            f"{path}: files: {outside[:100]!r} is not the name of a file in this folder"
        )
    lost = next((name for name in run.files if not os.path.isfile(path.parent / name)), None)
    if lost is not None:
        raise DamagedError(f"{str(path.parent / lost)[:300]}: is missing")
    if run.id != path.parent.name:
        raise DamagedError(f"{path}: says it is {run.id[:100]!r}; the folder was renamed")
    return run
