"""Every error a user can meet.

EnsembleError
├── RecipeError        a recipe that cannot be read, or holds a value that is not allowed
├── DataError          images, labels or splits that are missing or inconsistent
├── MismatchError      predictions of different rows or classes
├── DamagedError       a stored file that cannot be trusted
├── MetricError        a metric that is unknown, or that these classes do not have
├── RunError           a run that is missing, unfinished or busy
├── SelectionError     no run to blend, or no such group of runs
├── SubmissionError    a submission that the competition would refuse
├── KaggleError        Kaggle's client is missing, or Kaggle refuses or cannot be reached
└── TrainingError      a training that could not start or failed

Each message names the file, the key, the value, what is allowed and the next step, in at most
three lines.
"""


class EnsembleError(Exception):
    """A problem that the user can fix; shown without a traceback, exit status 1.

    It keeps its words: fastai puts its own before those of an error in a callback.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return self.message


class RecipeError(EnsembleError):
    """A recipe that cannot be read, or holds a value that is not allowed."""


class DataError(EnsembleError):
    """Images, labels or splits that are missing or inconsistent."""


class MismatchError(EnsembleError):
    """Predictions of different rows or classes."""


class DamagedError(EnsembleError):
    """A stored file that cannot be trusted."""


class MetricError(EnsembleError):
    """A metric that is unknown, or that these classes do not have."""


class RunError(EnsembleError):
    """A run that is missing, unfinished or busy."""


class SelectionError(EnsembleError):
    """No run to blend, or no such group of runs."""


class SubmissionError(EnsembleError):
    """A submission that the competition would refuse."""


class KaggleError(EnsembleError):
    """Kaggle's client is missing, or Kaggle refuses or cannot be reached."""


class TrainingError(EnsembleError):
    """A training that could not start or failed."""


class Stopped(BaseException):
    """A signal ended a command; its number decides the exit status. Nothing may continue after it."""

    def __init__(self, signal: int) -> None:
        super().__init__(f"signal {signal}")
        self.signal = signal
