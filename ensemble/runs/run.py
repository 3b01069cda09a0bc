"""Finished runs: what run.json holds, and the predictions beside it.

`Run` is what a reader of finished runs works with. It is either a `StoredRun`, one folder, or a
`FoldedRun` (folds.py), all folds of a recipe and seed.
"""

import json
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from ensemble import metrics
from ensemble.dataset.sample import COPY
from ensemble.errors import DamagedError, RunError
from ensemble.files import reason_of, sha256
from ensemble.metrics import ClassScore, per_class
from ensemble.predictions import Array, Predictions, some
from ensemble.runs.data_info import DataInfo
from ensemble.runs.record import LARGEST, Count, Stored, TrainingRecord
from ensemble.runs.scores import Scores
from ensemble.targets import sums_of

FORMAT = 2
MEND = "copy the run again from its source, or train it again with --force"
MAX_TEXT = 1 << 22  # bytes of a text beside run.json: some 50,000 epochs of history.csv


class Run(Stored):
    """A finished run: what trained it, its scores, its predictions."""

    format: int = FORMAT
    id: str
    recipe: str
    digest: str
    arch: str
    strategy: str
    seed: int = Field(ge=-LARGEST, le=LARGEST)
    fold: Count | None = None
    n_folds: int | None = Field(None, ge=2, le=LARGEST)
    search: str = Field("", description="the `ens tune` search that it is a trial of")
    scores: Scores
    classes: tuple[str, ...] = Field(min_length=1)
    data: DataInfo
    refit_epochs: Count | None = Field(
        None, description="epochs of the refit on train + valid, null without one"
    )
    training: TrainingRecord | None = Field(description="how it was trained, null where imported")
    versions: dict[str, str]
    files: dict[str, str] = Field(description="SHA-256 of each stored file by name")
    created: str = Field(description="when it finished, UTC, ISO 8601")
    folder: Path = Field(exclude=True, description="the folder that the names of files start from")

    @property
    @abstractmethod
    def folds(self) -> "tuple[StoredRun, ...]":
        """The runs of its folds in their order; the run itself where it has none."""

    @property
    def blend_key(self) -> tuple[str, str]:
        """The data set and its validation rows; runs that share both can blend."""
        return self.data.name, self.data.valid

    @property
    def recipe_key(self) -> tuple[str, str]:
        """The recipe's name and digest; runs that share both differ in seed or fold only."""
        return self.recipe, self.digest

    @abstractmethod
    def valid(self) -> Predictions:
        """Its probabilities of the validation rows. Raises DamagedError, MismatchError."""

    @abstractmethod
    def test(self) -> Predictions:
        """Its probabilities of the data.n_test test rows. Raises DamagedError, MismatchError."""

    def test_refit(self) -> Predictions:
        """The refit's probabilities of the test rows, if refit_epochs is set. Raises DamagedError.

        The one refit on all rows is stored with the first fold.
        """
        return self.folds[0].read_predictions("test_refit.npz")

    def record(self) -> TrainingRecord:
        """How it was trained. Raises RunError for an imported run."""
        if self.training is None:
            raise RunError(f"{self.id} was imported: its run.json does not say how it was trained")
        return self.training

    def single(self) -> "StoredRun":
        """The run where it is one network. Raises RunError where every fold has its own."""
        first, n_networks = self.folds[0], len(self.folds)
        if n_networks > 1:
            raise RunError(
                f"{self.id} has {n_networks} networks; take one fold's, such as {first.id}"
            )
        return first

    @property
    def is_epoch_chosen(self) -> bool:
        """Whether its epoch was chosen among several by its scores on the validation rows."""
        return self.training is not None and self.training.n_epochs > 1

    @property
    def total_seconds(self) -> float:
        """Wall time of its training and prediction, 0 for an imported run."""
        return self.training.total_seconds if self.training else 0.0

    def check_score(self, accuracy: float) -> None:
        """Check that run.json states this accuracy, that of valid.npz. Raises DamagedError."""
        if self.scores.accuracy is not None and abs(accuracy - self.scores.accuracy) > 1e-6:
            raise DamagedError(
                f"{self.folder / 'run.json'}: states accuracy {self.scores.accuracy:.4f}, "
                f"valid.npz has {accuracy:.4f}"
            )

    def sample_copy(self) -> Path | None:
        """Its copy of the sample submission, None if it has none.

        With folds that of the first; `submission.sample` compares all of them.
        """
        first = self.folds[0]
        has_copy = COPY in first.files and first.data.sample_sha256
        return first.folder / COPY if has_copy else None

    def per_class(self) -> list[ClassScore]:
        """Precision, recall and F1 of every class or label on its validation rows, none of a number.

        Raises DamagedError.
        """
        if self.data.target == "number":
            return []
        valid = self.valid()
        return per_class(valid.probs, valid.known_targets, valid.classes)

    def prior(self, with_valid: bool = False) -> Array:
        """What an unreadable test image is given, (classes,) float32, from its training images.

        The shares of classes or labels, or the mean value. with_valid counts the validation images
        too, as a refit does. They are also counted where run.json does not say. Raises DamagedError.
        """
        sums, n_rows = self._training_sums()
        if with_valid or not n_rows:
            valid = self.valid()
            of_valid = sums_of(valid.target, valid.known_targets, len(valid.classes))
            by_name = dict(zip(valid.classes, of_valid.tolist(), strict=True))
            sums, n_rows = sums + [by_name[name] for name in self.classes], n_rows + len(valid.ids)
        return np.asarray((sums / n_rows).astype(np.float32))

    def _training_sums(self) -> tuple[Array, int]:
        """Its training images by class or label, or the sum of their values; and how many those are.

        The number of images is 0 where run.json does not say.
        """
        if self.data.target == "number":
            n_rows = 0 if self.data.mean is None else self.data.n_train_rows
            return np.array([(self.data.mean or 0.0) * n_rows]), n_rows
        counts = np.array([self.data.class_counts.get(name, 0) for name in self.classes], float)
        n_rows = int(counts.sum()) if self.data.target == "class" else self.data.n_train_rows
        return counts, n_rows if counts.any() else 0

    def as_row(self) -> dict[str, Any]:
        """The fields of run.json on one level, those of the training null for an imported run."""
        fields = self.model_dump(mode="json", exclude={"training"})
        if self.training is None:
            return fields | dict.fromkeys(TrainingRecord.model_fields)
        return fields | self.training.model_dump(mode="json")

    @classmethod
    def load(cls, run_id: str, runs: Path | str | None = None) -> "Run":
        """The finished run with this id. Raises RunError, DamagedError."""
        from ensemble.runs.store import RunStore

        return RunStore(runs).get(run_id)


class StoredRun(Run):
    """A finished run in a folder of its own: a whole run, or one fold."""

    @model_validator(mode="after")
    def _has_its_fold(self) -> Self:
        is_folded = self.fold is not None
        if is_folded != (self.n_folds is not None) or (self.fold or 0) >= (self.n_folds or 1):
            raise ValueError(f"fold {self.fold} of n_folds {self.n_folds}")
        if is_folded and not self.id.endswith(f"-f{self.fold}"):
            raise ValueError(f"fold {self.fold} in a run that is called {self.id[:100]!r}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a name appears twice")
        return self

    @property
    def folds(self) -> "tuple[StoredRun, ...]":
        """The run itself."""
        return (self,)

    def valid(self) -> Predictions:
        """Its probabilities of the validation rows. Raises DamagedError."""
        predictions = self.read_predictions("valid.npz")
        n_rows = len(predictions.ids)
        if predictions.targets is None:
            raise DamagedError(f"{self.folder / 'valid.npz'}: has no targets")
        if n_rows != self.data.n_rows:
            raise DamagedError(
                f"{self.folder / 'run.json'}: states {self.data.n_rows:,} readable validation "
                f"images, valid.npz has {n_rows:,} rows"
            )
        return predictions

    def test(self) -> Predictions:
        """Its probabilities of the test rows, if data.n_test > 0. Raises DamagedError."""
        return self.read_predictions("test.npz")

    def check(self) -> None:
        """Check the stored predictions and the stated accuracy. Raises DamagedError."""
        for name in self.files:
            if name.endswith(".npz"):
                self.read_predictions(name)
        valid = self.valid()
        if valid.target == "class":
            self.check_score(metrics.accuracy(valid.probs, valid.known_targets))

    def check_file(self, name: str) -> None:
        """Check that a file is the one that run.json was written for. Raises DamagedError.

        A file without a hash in run.json must not be a link, which could lead to any file.
        """
        path, digest = self.folder / name, self.files.get(name)
        if not path.is_file():
            raise DamagedError(f"{path}: is missing\n{MEND}")
        if digest is None and path.is_symlink():
            raise DamagedError(
                f"{path}: is a link, and run.json does not say to which content\n"
                "put the file itself there"
            )
        if digest is not None and _digest_of(path) != digest:
            raise DamagedError(
                f"{path}: is not the file that run.json was written for (SHA-256 differs)\n{MEND}"
            )

    def text(self, name: str) -> str:
        """A text file of the folder; "" where it is missing, too large, or not that of run.json."""
        with suppress(DamagedError):
            return self.read_text(name)
        return ""

    def read_text(self, name: str) -> str:
        """A text file of the folder, which must be that of run.json. Raises DamagedError."""
        path = self.folder / name
        try:
            n_bytes = path.stat().st_size
            if n_bytes > MAX_TEXT:  # checked before hashing: the file may be endless
                raise DamagedError(f"{path}: {n_bytes:,} bytes, {MAX_TEXT:,} are allowed")
            self.check_file(name)
            return path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise DamagedError(f"{path}: cannot be read ({reason_of(error)})") from None

    def read_predictions(self, name: str) -> Predictions:
        """An .npz of the folder, which must be that of run.json. Raises DamagedError."""
        if name not in self.files:
            self.check_file(name)
        predictions = Predictions.load(self.folder / name, self.files.get(name))
        difference = set(predictions.classes) ^ set(self.classes)
        if difference:
            raise DamagedError(
                f"{self.folder / name}: its classes are not those of run.json: "
                f"{some(difference, 40)}"
            )
        return predictions

    def to_json(self) -> str:
        """The text of run.json."""
        fields = self.model_dump(mode="json")
        return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _digest_of(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise DamagedError(f"{path}: cannot be read ({error.strerror or error})") from None
