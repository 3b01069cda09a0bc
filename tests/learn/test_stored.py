"""A stored network predicts images of any shapes, in batches that fit into memory."""

import numpy as np
import torch
from torch import nn

from ensemble.dataset.geometry import Geometry
from ensemble.dataset.image_info import EIGHT_BITS
from ensemble.learn.outputs import Outputs
from ensemble.learn.stored import InputFormat, StoredNetwork


class BrightOrDark(nn.Module):
    """Logits (images, 2) from the mean pixel; memory runs out for more images than `most`."""

    def __init__(self, most):
        super().__init__()
        self.most, self.sizes = most, []

    def forward(self, x):
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        mean = x.float().mean((1, 2, 3)) / 255
        return torch.stack([mean, 1 - mean], 1)


def network(most, batch_size):
    """A StoredNetwork on a toy network."""
    return StoredNetwork(
        classes=("bright", "dark"),
        outputs=Outputs(),
        input_format=InputFormat(Geometry(4), None, EIGHT_BITS),
        fallback=np.array([0.25, 0.75], np.float32),
        network=BrightOrDark(most),
        transforms=[],
        views=(),
        precision="fp32",
        batch_size=batch_size,
    )


def images():
    """Gray images of two shapes in turn, and an unreadable one."""
    shapes = ((4, 4, 3), (4, 6, 3))
    pixels = [np.full(shapes[i % 2], 25 * i, np.uint8) for i in range(10)]
    return [*pixels[:3], None, *pixels[3:]]


def test_rows_are_in_the_order_of_the_images_and_an_unreadable_one_gets_the_fallback():
    probs = network(most=99, batch_size=2).probabilities(images())
    means = np.array([i / 10 * 250 / 255 for i in range(10)])
    expected = 1 / (1 + np.exp(1 - 2 * means))
    np.testing.assert_allclose(np.delete(probs[:, 0], 3), expected, atol=1e-6)
    assert probs[3].tolist() == [0.25, 0.75]
    assert probs.dtype == np.float32


def test_the_batch_size_halves_when_memory_runs_out_and_stays_halved():
    short, roomy = network(most=2, batch_size=8), network(most=99, batch_size=8)
    assert np.array_equal(short.probabilities(images()), roomy.probabilities(images()))
    assert short.network.sizes == [5, 4, 2, 2, 1, 2, 2, 1]
    assert short.batch_size == 2
