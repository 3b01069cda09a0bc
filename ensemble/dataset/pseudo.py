"""Test images that teachers labeled for one training."""

from dataclasses import dataclass

from ensemble.targets import Array


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """What teachers say of some test images.

    rows (images,) are positions among the test images, rising; probs is (images, classes) float32;
    is_soft: the probabilities are learned, not the most probable class alone. source is what the
    recipe names; teachers has a hash of each run's predictions by run id, blend that of their
    weights, "" where those are equal. n_confident test images were sure enough; line tells a user.
    """

    rows: Array
    probs: Array
    is_soft: bool
    source: str
    teachers: dict[str, str]
    blend: str
    n_confident: int
    line: str
