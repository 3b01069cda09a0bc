"""The recipe's augmentation as fastai's batch transforms, which change training batches on the device."""

from functools import partial

import torch
from fastai.torch_core import TensorImage
from fastai.vision.augment import AffineCoordTfm, RandTransform, affine_mat, aug_transforms
from torch import Tensor
from torchvision.transforms.v2 import RandAugment

from ensemble.recipe import Augment


def batch_transforms(augment: Augment) -> list[object]:
    """fastai transforms of the training batch; flips, rotation, zoom, shift and warp are one interpolation."""
    extra: list[object] = []
    if augment.randaug:
        extra.append(RandAugments(augment.randaug))
    if augment.shift:
        shift = partial(shift_mat, largest=augment.shift)
        extra.append(AffineCoordTfm(aff_fs=shift, align_corners=True))
    if augment.vflip:
        extra.append(AffineCoordTfm(aff_fs=vflip_mat, align_corners=True))
    if augment.erase:
        extra.append(Erase(augment.erase))
    return list(
        aug_transforms(
            do_flip=augment.flip,
            max_rotate=augment.rotate,
            max_zoom=augment.zoom,
            max_lighting=augment.lighting,
            max_warp=augment.warp,
            xtra_tfms=extra,
        )
    )


def shift_mat(x: Tensor, largest: float) -> Tensor:
    """Affine matrices (batch, 3, 3) that move each image by up to `largest` of its side, both ways.

    By whole pixels: between them the interpolation would blur every training image, and no other.
    """
    ones, zeros = x.new_ones(len(x)), x.new_zeros(len(x))
    height, width = x.shape[-2:]
    across, down = (_whole_pixels(ones, largest, size) for size in (width, height))
    matrices: Tensor = affine_mat(ones, zeros, across, zeros, ones, down)
    return matrices


def _whole_pixels(like: Tensor, largest: float, size: int) -> Tensor:
    """Random shifts in the units of affine_grid with align_corners: -1 to 1 from the first pixel to the last."""
    most = int(largest * size + 1e-6)
    pixels = torch.empty_like(like).uniform_(-most, most + 1).floor().clamp(max=most)
    return 2 * pixels / max(1, size - 1)


def vflip_mat(x: Tensor) -> Tensor:
    """Affine matrices (batch, 3, 3) that mirror half of the images top to bottom."""
    ones, zeros = x.new_ones(len(x)), x.new_zeros(len(x))
    sign = 1 - 2 * torch.randint_like(zeros, 2)
    matrices: Tensor = affine_mat(ones, zeros, zeros, zeros, sign, zeros)
    return matrices


class Erase(RandTransform):
    """Random erasing (Zhong et al., 2020): noise in one rectangle of each image, with a probability.

    fastai draws one rectangle, and whether to erase, for a whole batch. Areas are 0 to 30 % of the
    image and sides up to 1 : 0.3, as in fastai.
    """

    order = 100  # after Normalize, so that the noise has the spread of the pixels

    def __init__(self, share: float) -> None:
        super().__init__(p=1.0)
        self.share = share

    def encodes(self, x: TensorImage) -> TensorImage:  # noqa: D102
        images = x.as_subclass(Tensor)
        n, _, height, width = images.shape
        area, aspect, across, down, chance = images.new_empty((5, n)).uniform_()
        area = 0.3 * area * height * width
        aspect = 0.3 ** (2 * aspect - 1)
        is_row = _interval(height, (area * aspect).sqrt(), down)
        is_column = _interval(width, (area / aspect).sqrt(), across)
        is_erased = is_row[:, None, :, None] & is_column[:, None, None, :]
        is_erased &= (chance < self.share)[:, None, None, None]
        return TensorImage(torch.where(is_erased, torch.randn_like(images), images))


def _interval(size: int, lengths: Tensor, begin: Tensor) -> Tensor:
    """(images, size) bool: an interval of each length; begin is its start as a share of the free space."""
    lengths = lengths.clamp(max=size)
    starts = (begin * (size - lengths))[:, None]
    positions = torch.arange(size, device=lengths.device) + 0.5
    return (positions >= starts) & (positions < starts + lengths[:, None])


class RandAugments(RandTransform):
    """RandAugment (Cubuk et al., 2019) by torchvision: two operations at a strength from 0 to 10.

    Its operations change a whole tensor alike, so each eighth of a batch draws its own.
    """

    def __init__(self, magnitude: int) -> None:
        super().__init__(p=1.0)
        self.draw = RandAugment(2, magnitude, num_magnitude_bins=11, fill=[0.5] * 3)

    def encodes(self, x: TensorImage) -> TensorImage:  # noqa: D102
        return TensorImage(
            torch.cat([self.draw(chunk) for chunk in x.as_subclass(Tensor).chunk(8)])
        )
