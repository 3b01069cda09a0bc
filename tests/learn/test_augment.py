"""Augmentation of whole batches: in range, from the seed alone, and only in training."""

import pytest
import torch
from fastai.torch_core import TensorImage

from ensemble.learn.augment import Erase, RandAugments, batch_transforms
from ensemble.learn.device import seed_everything
from ensemble.recipe import Augment


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


def erased(share, shape=(400, 3, 24, 32), seed=0):
    """Which pixels of black images a transform filled with noise, as (images, height, width)."""
    seed_everything(seed, "test")
    out = Erase(share)(TensorImage(torch.zeros(shape)), split_idx=0)
    return (out != 0).any(1)


def test_each_image_is_erased_with_the_probability_in_its_own_rectangle():
    pixels = erased(0.5)
    areas = pixels.flatten(1).sum(1)
    assert 0.4 < (areas > 0).float().mean() < 0.6
    assert len(set(areas.tolist())) > 50
    assert areas.max() <= 0.36 * 24 * 32  # 30 %, and what rounding to whole pixels adds
    for image in pixels[areas > 0]:
        rows, columns = image.any(1), image.any(0)
        assert torch.equal(image, rows[:, None] & columns[None, :]), "a full rectangle"


def test_rectangles_fall_everywhere_and_come_from_the_seed():
    pixels = erased(1.0)
    assert pixels.any(0)[2:-2, 2:-2].all()
    assert pixels.any(0)[[0, -1]].any()
    assert torch.equal(pixels, erased(1.0))
    assert not torch.equal(pixels, erased(1.0, seed=1))


def test_what_is_not_erased_stays_and_validation_images_are_left_alone():
    batch = TensorImage(torch.rand(32, 3, 16, 16) + 10)
    out = Erase(0.5)(batch, split_idx=0)
    assert torch.equal(out[out >= 10], batch[out >= 10])
    assert torch.equal(Erase(1.0)(batch, split_idx=1), batch)


@pytest.mark.parametrize(
    ("augment", "axes"),
    [
        (Augment(vflip=True), [(), (-2,)]),
        (Augment(flip=True, vflip=True), [(), (-1,), (-2,), (-1, -2)]),
    ],
)
def test_mirrorings_are_equally_frequent_and_move_whole_pixels(augment, axes):
    image = torch.rand(3, 8, 8)
    (transform,) = batch_transforms(augment)
    seed_everything(0, "test")
    out = transform(TensorImage(image.expand(800, -1, -1, -1)), split_idx=0).as_subclass(
        torch.Tensor
    )
    shown = torch.stack([image.flip(axis) for axis in axes])
    distances = (out[:, None] - shown).abs().flatten(2).amax(2)
    assert distances.amin(1).max() < 1e-4
    counts = torch.bincount(distances.argmin(1), minlength=len(axes))
    assert ((counts * len(axes) / 800 - 1).abs() < 0.35).all()
    seed_everything(0, "test")
    again = transform(TensorImage(image.expand(800, -1, -1, -1)), split_idx=0)
    assert torch.equal(out, again.as_subclass(torch.Tensor))


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_shifts_move_whole_pixels_and_are_equally_frequent(is_mirrored):
    image = torch.rand(3, 12, 16)
    seed_everything(0, "test")
    (transform,) = batch_transforms(Augment(flip=is_mirrored, shift=0.2))
    out = transform(TensorImage(image.expand(2000, -1, -1, -1)), split_idx=0)
    inner = out.as_subclass(torch.Tensor)[..., 2:-2, 3:-3]
    shown = torch.stack(
        [
            start[:, 2 + down : 10 + down, 3 + across : 13 + across]
            for start in ([image, image.flip(-1)] if is_mirrored else [image])
            for down in range(-2, 3)
            for across in range(-3, 4)
        ]
    )
    distances = (inner[:, None] - shown).abs().flatten(2).amax(2)
    assert distances.amin(1).max() < 1e-4
    counts = torch.bincount(distances.argmin(1), minlength=len(shown)).float()
    assert ((counts - 2000 / len(shown)).abs() < 5 * (2000 / len(shown)) ** 0.5).all()


def test_validation_images_are_not_mirrored():
    batch = TensorImage(torch.rand(8, 3, 8, 8))
    (transform,) = batch_transforms(Augment(vflip=True))
    torch.testing.assert_close(transform(batch, split_idx=1), batch, atol=1e-5, rtol=0)
