"""What the report's page shows, as plain frozen values: one set of images after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble.blending import Blend
from ensemble.events import EpochEnded
from ensemble.metrics import Interval
from ensemble.report.mistakes import Mistakes
from ensemble.runs import Damaged, Run


@dataclass(frozen=True)
class Axis:
    """A scale that several values are drawn on; ticks are values on it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value stands, in percent of the width, kept within the scale."""
        return round(100 * min(max((value - self.low) / (self.high - self.low), 0), 1), 2)

    @classmethod
    def over(cls, values: Sequence[Interval]) -> "Axis":
        """Round numbers from below the lowest end to above the highest, within 0 to 1."""
        from matplotlib.ticker import MaxNLocator

        low, high = min(own.low for own in values), max(own.high for own in values)
        room = max(0.02 * (high - low), 0.001)
        found = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(
            max(0, low - room), min(1, high + room)
        )
        ticks = [float(tick) for tick in found if -1e-9 <= tick <= 1 + 1e-9]
        return cls(ticks[0], ticks[-1], tuple(ticks))


@dataclass(frozen=True)
class RunView:
    """A run with what its folder holds beyond run.json; empty where it was imported. number is its place."""

    number: int
    run: Run
    accuracy: Interval
    history: tuple[EpochEnded, ...]
    rate_test: tuple[tuple[float, float], ...]
    recipe: str
    mistakes: Mistakes


@dataclass(frozen=True)
class Strategy:
    """The seeds of one recipe together: the mean of their accuracies with its interval over rows, and what it took.

    beside is what the paired test says of it beside the first, "" where there is none.
    """

    name: str
    runs: tuple[Run, ...]
    accuracy: Interval
    log_loss: float
    seconds: float
    beside: str

    @property
    def first(self) -> Run:
        """The run that speaks for what all seeds share."""
        return self.runs[0]


@dataclass(frozen=True)
class BlendView:
    """A blend, its mistakes with the final weights on the validation rows, and the submission whose options it has.

    has_its_members: whether its members are also that submission's.
    """

    blend: Blend
    mistakes: Mistakes
    submission: str
    has_its_members: bool


@dataclass(frozen=True)
class Sample:
    """Thumbnails of one class, as data URIs."""

    name: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class CopyView:
    """Two images that show one picture; pictures are data URIs."""

    kind: str
    captions: tuple[str, str]
    pictures: tuple[str, str]


@dataclass(frozen=True)
class PartView:
    """What a part of the images holds; the texts are ready to read."""

    name: str
    n_images: int
    n_classes: int
    sizes: tuple[str, ...]
    formats: str


@dataclass(frozen=True)
class DataView:
    """The images themselves. missing says why they could not be looked at, "" where they could; details say more,
    and stay off the page.

    counts is by class, then by part; both in the order to show.
    """

    missing: str
    details: str = ""
    parts: tuple[PartView, ...] = ()
    counts: Mapping[str, Mapping[str, int]] | None = None
    samples: tuple[Sample, ...] = ()
    leaks: tuple[str, ...] = ()
    n_copies: int = 0
    copies: tuple[CopyView, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetView:
    """Everything about the runs on one set of validation rows; blend is None with one run, why_no_blend says more."""

    name: str
    runs: tuple[RunView, ...]
    n_rows: int
    strategies: tuple[Strategy, ...]
    blend: BlendView | None
    why_no_blend: str
    data: DataView

    @property
    def axis(self) -> Axis:
        """The scale of all accuracies of this set."""
        blends = [rating.accuracy for rating in self.blend.blend.table] if self.blend else []
        return Axis.over([view.accuracy for view in self.runs] + blends)

    @property
    def best(self) -> RunView:
        """The best single run."""
        return self.runs[0]

    @property
    def headline(self) -> Interval:
        """The blend's cross-fitted accuracy, else the only run's."""
        return self.blend.blend.valid.accuracy if self.blend else self.best.accuracy


@dataclass(frozen=True)
class Report:
    """The page's content. created is when its newest run finished."""

    sets: tuple[SetView, ...]
    damaged: tuple[Damaged, ...]
    incomplete: tuple[str, ...]
    created: str
    version: str
