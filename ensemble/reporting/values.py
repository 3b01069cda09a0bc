"""What the report's page shows, as plain frozen values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ensemble.blending import Blend
from ensemble.events import EpochEnded
from ensemble.metrics import Interval, Metric
from ensemble.reporting.mistakes import Mistakes
from ensemble.runs import Damaged, Run


@dataclass(frozen=True)
class Axis:
    """A scale that several values are drawn on; ticks are values on it."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def position(self, value: float) -> float:
        """The value's position in percent of the width, clipped to the scale."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(share, 0), 1), 2)

    @classmethod
    def over(cls, intervals: Sequence[Interval], bounds: tuple[float, float] = (0, 1)) -> "Axis":
        """Round numbers from below the lowest end to above the highest, within the bounds."""
        from matplotlib.ticker import MaxNLocator

        ends = [end for each in intervals for end in (each.value, each.low, each.high)]
        shown = [end for end in ends if math.isfinite(end)] or [0.0]
        margin = max(0.02 * (max(shown) - min(shown)), 0.001)
        low, high = bounds
        locator = MaxNLocator(nbins=5, steps=[1, 2, 5, 10])
        candidates = locator.tick_values(
            max(low, min(shown) - margin), min(high, max(shown) + margin)
        )
        ticks = [float(tick) for tick in candidates if low - 1e-9 <= tick <= high + 1e-9]
        return cls(ticks[0], ticks[-1], tuple(ticks))


@dataclass(frozen=True)
class RunView:
    """A run with its rank and what its folder holds beyond run.json.

    history, range_test (rate, loss) and recipe are empty where the run was imported or a file is
    damaged; damaged names such files.
    """

    rank: int
    run: Run
    score: Interval
    history: tuple[EpochEnded, ...]
    range_test: tuple[tuple[float, float], ...]
    damaged: tuple[Damaged, ...]
    recipe: str
    mistakes: Mistakes


@dataclass(frozen=True)
class RecipeView:
    """The runs of one recipe, one per seed.

    score (with its interval over rows), log_loss and seconds are means over the runs.
    versus_best is the verdict of the paired test against the best recipe, "" without a test.
    """

    name: str
    runs: tuple[Run, ...]
    score: Interval
    seed_scores: tuple[float, ...]
    log_loss: float
    seconds: float
    versus_best: str


@dataclass(frozen=True)
class BlendView:
    """A blend, its mistakes with the final weights, and the submission whose options it follows.

    has_same_members: whether its members are those of that submission.
    """

    blend: Blend
    mistakes: Mistakes
    submission: str
    has_same_members: bool

    @property
    def leading(self) -> Run:
        """The member of the largest weight, of several the first by id."""
        members = sorted(self.blend.members, key=lambda member: (-member.weight, member.run.id))
        return members[0].run


@dataclass(frozen=True)
class ClassExamples:
    """Thumbnails of one class, as data URIs."""

    name: str
    thumbnails: tuple[str, ...]


@dataclass(frozen=True)
class CopyView:
    """An image and its copy; thumbnails are data URIs."""

    kind: str
    captions: tuple[str, str]
    thumbnails: tuple[str, str]


@dataclass(frozen=True)
class SplitView:
    """What a split holds; sizes and formats are ready to read."""

    name: str
    n_images: int
    n_classes: int
    sizes: tuple[str, ...]
    formats: str


@dataclass(frozen=True)
class DataView:
    """The images themselves, or why the page cannot show them: unavailable, "" where it can.

    details say more about that in the terminal, never on the page. counts is by class, then by
    split, both in the order to show.
    """

    unavailable: str
    details: str = ""
    splits: tuple[SplitView, ...] = ()
    counts: Mapping[str, Mapping[str, int]] | None = None
    examples: tuple[ClassExamples, ...] = ()
    leaks: tuple[str, ...] = ()
    n_copies: int = 0
    copies: tuple[CopyView, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class GroupView:
    """The runs on the same validation rows, best first, and their blend or why there is none.

    All scores are by the metric; baselines are what predictions without an image score, by name.
    """

    name: str
    metric: Metric
    baselines: Mapping[str, float]
    runs: tuple[RunView, ...]
    n_rows: int
    recipes: tuple[RecipeView, ...]
    blend: BlendView | None
    why_no_blend: str
    data: DataView

    @property
    def axis(self) -> Axis:
        """The scale of all scores of this group."""
        blends = [rating.score for rating in self.blend.blend.table] if self.blend else []
        return Axis.over([view.score for view in self.runs] + blends, self.metric.bounds)

    @property
    def meter(self) -> Axis:
        """The scale of the headline: from 0 to 1, or as far as the baselines lie."""
        scores = [*self.baselines.values(), self.best.score.value, self.headline.value]
        levels = [0.0, *filter(math.isfinite, scores)]
        high = self.metric.bounds[1]
        return Axis(min(levels), high if math.isfinite(high) else 1.05 * max(levels) or 1.0, ())

    @property
    def best(self) -> RunView:
        """The best single run."""
        return self.runs[0]

    @property
    def mistakes(self) -> Mistakes:
        """What the blend gets wrong; without a blend, the best run."""
        return self.blend.mistakes if self.blend else self.best.mistakes

    @property
    def headline(self) -> Interval:
        """The blend's cross-fitted score; without a blend, that of the best run."""
        return self.blend.blend.valid.score if self.blend else self.best.score


@dataclass(frozen=True)
class Report:
    """The page's content. created is when its newest run finished."""

    groups: tuple[GroupView, ...]
    damaged: tuple[Damaged, ...]
    incomplete: tuple[str, ...]
    created: str
    version: str
