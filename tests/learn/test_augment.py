"""Augmentation of whole batches: in range, from the seed alone, and only in training."""

import pytest
import torch
from fastai.torch_core import TensorImage

from ensemble.learn.augment import RandAugments
from ensemble.learn.device import seed_everything


def augmented(batch, magnitude, seed=0):
    seed_everything(seed, "test")
    return RandAugments(magnitude)(TensorImage(batch), split_idx=0)


@pytest.mark.parametrize("n", [1, 7, 64])
@pytest.mark.parametrize("magnitude", [1, 10])
def test_randaugment_keeps_shape_range_and_kind(n, magnitude):
    batch = torch.rand(n, 3, 24, 24)
    out = augmented(batch, magnitude)
    assert isinstance(out, TensorImage)
    assert out.shape == batch.shape
    assert out.dtype == batch.dtype
    assert out.min() >= 0
    assert out.max() <= 1


def test_randaugment_draws_from_the_seed_and_differs_within_a_batch():
    batch = torch.rand(1, 3, 24, 24).expand(64, -1, -1, -1)
    out = augmented(batch, 7)
    assert torch.equal(out, augmented(batch, 7))
    assert not torch.equal(out, augmented(batch, 7, seed=1))
    assert len({image.numpy().tobytes() for image in out}) > 4


def test_randaugment_leaves_validation_images_alone():
    batch = TensorImage(torch.rand(4, 3, 8, 8))
    assert torch.equal(RandAugments(10)(batch, split_idx=1), batch)
