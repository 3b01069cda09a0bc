"""What `ens blend` may be told about selecting, weighting and averaging."""

from dataclasses import dataclass

from ensemble.blending.cross_fit import METRICS
from ensemble.blending.selection import Selection
from ensemble.blending.weighting import CHOICES
from ensemble.errors import SelectionError


@dataclass(frozen=True)
class Options:
    """How members are selected, weighted and averaged."""

    min_acc: float = 0.0
    per_arch: int = 0
    max_members: int = 0
    weights: str = "accuracy"
    metric: str = "accuracy"
    average: str = "arithmetic"
    calibrate: bool = False

    def __post_init__(self) -> None:
        allowed = {"weights": CHOICES, "metric": METRICS, "average": ("arithmetic", "geometric")}
        for key, values in allowed.items():
            option = getattr(self, key)
            if option not in values:
                raise SelectionError(f"--{key} {option} is not one of {', '.join(values)}")
        if not 0 <= self.min_acc <= 1:
            raise SelectionError(f"--min-acc {self.min_acc}: from 0 to 1 is allowed")
        for key in ("per_arch", "max_members"):
            limit = getattr(self, key)
            if limit < 0:
                flag = key.replace("_", "-")
                raise SelectionError(f"--{flag} {limit}: 0 (no limit) or more is allowed")

    @property
    def is_log(self) -> bool:
        """Whether logarithms are averaged."""
        return self.average == "geometric"

    @property
    def selection(self) -> Selection:
        """The options that select members."""
        return Selection(self.min_acc, self.per_arch, self.max_members, self.metric)
