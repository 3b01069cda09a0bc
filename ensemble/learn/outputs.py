"""What a network's outputs mean: classes or labels by their logits, or a standardized number."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ensemble.runs.record import NumberScale
from ensemble.targets import Array, Target


@dataclass(frozen=True)
class Outputs:
    """From a network's outputs to predictions, and from what is true to what its loss compares.

    scale is that of the training images' numbers, None for other targets; clip keeps predictions
    within them.
    """

    target: Target = "class"
    scale: NumberScale | None = None
    clip: bool = False

    def activation(self, outputs: Tensor) -> Tensor:
        """Probabilities of classes or labels, or values, (images, columns) as the outputs."""
        if self.target == "class":
            return outputs.softmax(1)
        if self.target == "labels":
            return outputs.sigmoid()
        assert self.scale is not None
        values = outputs * self.scale.deviation + self.scale.mean
        return values.clamp(self.scale.least, self.scale.most) if self.clip else values

    def encoded(self, truth: Array) -> Array:
        """What the loss compares with: classes int64, labels or standardized numbers float32."""
        if self.target == "class":
            return truth
        if self.target == "labels":
            return truth.astype(np.float32)
        assert self.scale is not None
        return np.asarray((truth - self.scale.mean) / self.scale.deviation, np.float32)

    def decoded(self, targets: Tensor) -> Tensor:
        """What is true, from a batch of what the loss compares with."""
        if self.target == "labels":
            return targets.long()
        if self.target == "class":
            return targets
        assert self.scale is not None
        numbers = targets.double() * self.scale.deviation + self.scale.mean
        whole = numbers.round()  # float32 misses it by 1e-6 deviations, and grades are whole
        return whole.where((numbers - whole).abs() < 1e-5 * self.scale.deviation, numbers)


def scale_of(numbers: Array) -> NumberScale:
    """Mean, standard deviation and range of the training images' numbers, (images,)."""
    return NumberScale(
        mean=float(numbers.mean()),
        deviation=float(numbers.std()) or 1.0,
        least=float(numbers.min()),
        most=float(numbers.max()),
    )
