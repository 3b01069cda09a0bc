"""What the page says of each image: its class, how sure that is, what members say, where one looks."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ensemble.dataset.decode import UnreadableImage
from ensemble.errors import EnsembleError
from ensemble.inference import Predictor
from ensemble.inference.blocks import Blocks
from ensemble.metrics import Interval, wilson
from ensemble.predictions import Array

if TYPE_CHECKING:
    from ensemble.learn.stored import InputFormat

N_SIMILAR = 30  # validation images, at least, whose share of right answers is stated
N_CLASSES = 5  # shown, the most probable


@dataclass(frozen=True)
class Reliability:
    """The n validation images whose answers had a similar probability, and the share that was right."""

    n: int
    n_right: int
    lowest: float
    highest: float
    accuracy: Interval


@dataclass(frozen=True)
class MemberAnswer:
    """The most probable class of one member, with its weight in the blend."""

    run: str
    weight: float
    answer: str
    probability: float


@dataclass(frozen=True, eq=False)
class ImageAnswer:
    """What is shown of one image; answer is its class, "" where it cannot be read.

    probabilities are of the most probable classes, in this order, pixels what the network of the
    first member sees, heat of the same size where it looks, from 0 to 1, None where that is not
    known.
    """

    name: str
    answer: str = ""
    probability: float = 0.0
    probabilities: tuple[tuple[str, float], ...] = ()
    reliability: Reliability | None = None
    members: tuple[MemberAnswer, ...] = ()
    pixels: Array | None = None
    heat: Array | None = None


class Answers:
    """A run or a blend with its networks in memory, and its validation predictions.

    Raises EnsembleError, also where it predicts no classes.
    """

    def __init__(self, predictor: Predictor) -> None:
        if predictor.target != "class":
            raise EnsembleError(
                f"data.target is {predictor.target}, and `ens demo` shows one class per image\n"
                "`ens predict` writes a CSV for any target"
            )
        self.weights = dict(predictor.mixture.weights)
        mixture = predictor.mixture.of_probabilities
        self.blocks = Blocks(Predictor(predictor.runs, mixture))
        self.leading = max(sorted(self.weights), key=lambda run_id: self.weights[run_id])
        valid = mixture.of({name: run.valid for name, run in predictor.runs.items()}, {})
        targets = valid.predictions.known_targets
        self.is_right = valid.answers == targets
        self.confidence = valid.predictions.probs[np.arange(len(targets)), valid.answers]

    def of_images(self, files: Sequence[Path]) -> list[ImageAnswer]:
        """What is shown of each image, in this order."""
        decoded = chain.from_iterable(self.blocks.decoded([str(file) for file in files]))
        return [
            ImageAnswer(file.name)
            if isinstance(image, UnreadableImage)
            else self._of_image(file.name, image)
            for file, image in zip(files, decoded, strict=True)
        ]

    def reliability(self, probability: float) -> Reliability:
        """Of the validation images with the nearest probabilities, ties included, how many were right."""
        distance = np.abs(self.confidence - probability)
        farthest = np.sort(distance)[: max(N_SIMILAR, len(distance) // 10)][-1]
        rows = distance <= farthest
        n, n_right = int(rows.sum()), int(self.is_right[rows].sum())
        near = self.confidence[rows]
        return Reliability(n, n_right, float(near.min()), float(near.max()), wilson(n_right / n, n))

    def _of_image(self, name: str, image: "dict[InputFormat, Array]") -> ImageAnswer:
        from ensemble.learn.heat_map import heat_map

        ids = np.array([name])
        answered = self.blocks.answered(ids, [image])
        classes, probs = answered.predictions.classes, answered.predictions.probs[0]
        position = int(answered.answers[0])
        most_probable = np.argsort(-probs, kind="stable")[:N_CLASSES].tolist()
        network = self.blocks.networks[self.leading][0]
        pixels = image[network.input_format]
        return ImageAnswer(
            name=name,
            answer=classes[position],
            probability=float(probs[position]),
            probabilities=tuple((classes[i], float(probs[i])) for i in most_probable),
            reliability=self.reliability(float(probs[position])),
            members=tuple(self._member(run_id, ids, image) for run_id in self.weights),
            pixels=np.asarray(network.input_format.geometry.apply(Image.fromarray(pixels))),
            heat=heat_map(network, pixels, classes[position]),
        )

    def _member(self, run_id: str, ids: Array, image: "dict[InputFormat, Array]") -> MemberAnswer:
        member = self.blocks.member(run_id, ids, [image])
        position = int(member.probs[0].argmax())
        probability = float(member.probs[0, position])
        return MemberAnswer(run_id, self.weights[run_id], member.classes[position], probability)
