"""What a training reports about itself, as one value; and what it leaves besides its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ensemble.events import EpochEnded
from ensemble.predictions import Predictions

LARGEST = 2**53  # of a count: beyond it, floats skip integers
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Amount = Annotated[float, Field(ge=0, le=1e12)]  # seconds, rates, losses


class Stored(BaseModel):
    """A part of run.json: unknown keys are ignored, NaN and infinity refused."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class LrFind(Stored):
    """What the range test suggested and chose. A rule with too few points is null."""

    suggestions: dict[str, Amount | None]
    chosen: Amount
    rule: str
    steps: Count
    share_of_run: Amount
    note: str = ""


class NumberScale(Stored):
    """What standardizes the numbers that a network learns: those of its training images."""

    mean: float
    deviation: float = Field(gt=0, description="standard deviation")
    least: float
    most: float


class TrainingRecord(Stored):
    """How a network was trained, with which settings in effect, and how long it took.

    A new field is declared here and filled where it is computed; `Run`, the writer and the listing
    take the record as a whole.
    """

    preprocessing: dict[str, Any] = Field(description="how an image becomes the network's input")
    scale: NumberScale | None = Field(
        None, description="of data.target: number, in the numbers' own unit; null for others"
    )
    tta: tuple[str, ...] = ()
    batch_size: Count = Field(description="images per step of the optimizer")
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
    n_parameters: Count
    n_trainable: Count
    phases: tuple[str, ...] = ()
    start: str = Field("", description="the weights that the network began with")
    feature_views: Count | None = Field(
        None, description="cached augmentations of the frozen phase, 0: none, null: no such phase"
    )
    note: str = Field(
        "", description="what went wrong and how training ended, such as a loss that became NaN"
    )
    device: str
    precision: str
    threads: Count
    seconds: dict[str, Amount] = Field(description="wall time by phase")
    images_per_second: Amount

    @property
    def total_seconds(self) -> float:
        """Wall time of all phases."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Trained:
    """What a training leaves besides the weights that it stored."""

    record: TrainingRecord
    valid: Predictions
    test: Predictions | None
    history: Sequence[EpochEnded]
    range_test: Sequence[tuple[float, float]]  # rate and smoothed loss; empty where none ran
    class_counts: dict[str, int]  # readable training images of each class
    unreadable: dict[str, list[str]]  # ids by split
