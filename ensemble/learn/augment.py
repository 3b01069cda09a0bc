"""Random changes of the training batch on the device: fastai's batch transforms, chosen by the recipe."""

from functools import partial

import torch
from fastai.vision.augment import AffineCoordTfm, RandomErasing, affine_mat, aug_transforms
from torch import Tensor

from ensemble.errors import RecipeError
from ensemble.recipe import Augment


def batch_transforms(augment: Augment) -> list[object]:
    """fastai transforms of the training batch; flips, rotation, zoom, shift and warp are one interpolation."""
    if augment.randaug:
        raise RecipeError("augment.randaug: is not in this version yet; use rotate, zoom, warp and lighting")
    extra: list[object] = []
    if augment.shift:
        extra.append(AffineCoordTfm(aff_fs=partial(shift_mat, largest=augment.shift)))
    if augment.erase:
        extra.append(RandomErasing(p=augment.erase))
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
    """Affine matrices (batch, 3, 3) that move each image by up to `largest` of its side, both ways."""
    one, zero = x.new_ones(len(x)), x.new_zeros(len(x))
    # the grid runs from -1 to 1: a shift by the whole side is 2
    across, down = (torch.empty_like(one).uniform_(-2 * largest, 2 * largest) for _ in range(2))
    return affine_mat(one, zero, across, zero, one, down)
