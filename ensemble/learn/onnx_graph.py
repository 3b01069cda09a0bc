"""Networks and their weighted average as one ONNX graph, checked against torch: pixels to probabilities."""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ensemble.errors import EnsembleError, TrainingError
from ensemble.files import atomic_path
from ensemble.learn.predict import all_views
from ensemble.learn.preprocess import Preprocess
from ensemble.learn.stored import StoredNetwork
from ensemble.targets import Array

INPUT, OUTPUT = "pixels", "probs"
N_CHECKED = 32  # made-up images
TOLERANCE = 1e-4  # of a probability
SMALLEST = 1e-15  # a probability before its logarithm is taken
NEEDED = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Average:
    """How members are averaged: weights in their order, and a blend's calibration.

    is_log averages logarithms. Each member is one network, or one for each fold.
    """

    weights: tuple[float, ...] = (1.0,)
    is_log: bool = False
    temperature: float = 1.0
    floor: float = 0.0


@dataclass(frozen=True)
class Exportable:
    """A network and how images are prepared for it."""

    stored: StoredNetwork
    preprocess: Preprocess


class Graph(nn.Module):
    """uint8 pixels (images, size, size, 3) to float32 probabilities (images, classes), sorted by name."""

    def __init__(self, members: Sequence[Sequence[Exportable]], average: Average) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            nn.ModuleList(_OneNetwork(network) for network in folds) for folds in members
        )
        self.average = average

    def forward(self, pixels: Tensor) -> Tensor:  # noqa: D102
        x = pixels.permute(0, 3, 1, 2).float() / 255
        total = torch.zeros(())
        for folds, weight in zip(self.networks, self.average.weights, strict=True):
            assert isinstance(folds, nn.ModuleList)
            probs = torch.stack([network(x) for network in folds]).mean(0)
            scores = probs.clamp(min=SMALLEST).log() if self.average.is_log else probs
            total = total + weight * scores
        return self.calibrated(total.softmax(1) if self.average.is_log else total)

    def calibrated(self, probs: Tensor) -> Tensor:
        """With the blend's temperature and floor, as ensemble/blending/calibration.py applies them."""
        if (self.average.temperature, self.average.floor) == (1.0, 0.0):
            return probs
        warmed = (probs.clamp(min=SMALLEST).log() / self.average.temperature).softmax(1)
        raised = warmed.clamp(min=self.average.floor)
        return raised / raised.sum(1, keepdim=True)


class _OneNetwork(nn.Module):
    """Normalizes, predicts all views, averages, and sorts the classes by name."""

    mean: Tensor
    std: Tensor
    order: Tensor

    def __init__(self, exportable: Exportable) -> None:
        super().__init__()
        stored, preprocess = exportable.stored, exportable.preprocess
        classes = stored.classes
        self.network, self.views = stored.network.cpu().eval(), stored.views
        self.outputs = stored.outputs
        order = sorted(range(len(classes)), key=lambda i: classes[i])
        self.register_buffer("mean", torch.tensor(preprocess.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(preprocess.std).view(1, 3, 1, 1))
        self.register_buffer("order", torch.tensor(order))

    def forward(self, x: Tensor) -> Tensor:
        views = all_views((x - self.mean) / self.std, self.views)
        probs = torch.stack([self.outputs.activation(self.network(view)) for view in views]).mean(0)
        return probs[:, self.order]


def check_installed() -> None:
    """Raises EnsembleError where a package of the extra `onnx` is missing."""
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise EnsembleError(
            f"`ens export` needs {', '.join(missing)}, which is not installed\n"
            f"pip install {' '.join(NEEDED)}"
        )


def write_onnx(
    members: Sequence[Sequence[Exportable]],
    average: Average,
    path: Path,
    metadata: Mapping[str, str],
) -> float:
    """Write the graph; the largest difference of its probabilities from torch's on made-up images.

    Raises TrainingError where the graph cannot be exported or differs by more than TOLERANCE.
    """
    graph = Graph(members, average).eval()
    images = made_up_images(members[0][0].preprocess.geometry.size)
    with torch.inference_mode():
        reference = graph(torch.from_numpy(images)).numpy()
    with atomic_path(path) as temporary:
        _export(graph, images, temporary, metadata)
        difference = float(np.abs(_by_onnxruntime(temporary, images) - reference).max())
        if not difference <= TOLERANCE:
            raise TrainingError(
                f"{path}: not written: its probabilities differ from torch's by {difference:.2g}, "
                f"{TOLERANCE:g} is allowed"
            )
    return difference


def made_up_images(size: int) -> Array:
    """(32, size, size, 3) uint8: noise on colors, the same in every call."""
    rng = np.random.default_rng(0)
    colors = rng.uniform(0, 255, (N_CHECKED, 1, 1, 3))
    noise = rng.normal(0, 40, (N_CHECKED, size, size, 3))
    return np.asarray((colors + noise).clip(0, 255).astype(np.uint8))


def _export(graph: Graph, images: Array, path: Path, metadata: Mapping[str, str]) -> None:
    try:
        # torch prints and warns of its own progress and of what it plans to change
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                (torch.from_numpy(images[:2]),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("images")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # of many kinds, for operations that ONNX has not
        reason = str(error).strip().splitlines()[0][:300]
        raise TrainingError(f"{path.stem}: this network cannot be exported: {reason}") from None
    assert program is not None
    program.model.metadata_props.update(metadata)
    program.save(path, external_data=False)


def _by_onnxruntime(path: Path, images: Array) -> Array:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([OUTPUT], {INPUT: images})[0])
