"""Which image sizes a network takes: tried on torch's meta device, which computes shapes alone."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ensemble.errors import RecipeError
from ensemble.recipe import Model

CREATION_ERRORS = (TypeError, RuntimeError, ValueError, KeyError, AssertionError, AttributeError)
FORWARD_ERRORS = (*CREATION_ERRORS, IndexError, ZeroDivisionError)
# options that decide which sizes go in
SIZE_OPTIONS = {"img_size", "dynamic_img_size", "strict_img_size", "use_naflex"}
STEP = 32  # pixels between the sizes that are tried above and below the recipe's
MOST_TRIES = 6


def size_options(model: Model, size: int) -> dict[str, Any]:
    """The options of timm.create_model for images of `size` px: {} or {"img_size": size}. Raises RecipeError.

    A network that takes the size without them stays as it is, so that its older weights still fit.
    """
    if size == _default_size(model) or not _can_be_sized(model):
        return {}
    try:
        if _refusal(_shapes_of(model, {}), size) is None:
            return {}
    except CREATION_ERRORS:  # the options are wrong, not the size
        return {}
    reason = _refusal_when_sized(model, size)
    if reason is not None:
        raise size_error(model, size, reason)
    return {"img_size": size}


@contextmanager
def resampling() -> Iterator[None]:
    """Hide a warning of torch 2.15 about timm's interpolation, whose numbers agree with scipy's (docs/log.md)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"timm\.layers\.interpolate")
        yield


def reason_of(error: Exception) -> str:
    """The first line of an error of torch or timm."""
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__


def size_error(model: Model, size: int, reason: str) -> RecipeError:
    """An error that names sizes the network takes, or the option that prevents this one."""
    options = ", ".join(sorted(model.options))
    if "img_size" in model.options:
        return RecipeError(
            f"model.options: img_size is {model.options['img_size']}, "
            f"the images have {size} px ({reason})\n"
            "leave img_size out: it follows data.size; or set data.size to the same"
        )
    sizes = _sizes_taken(model, size)
    if size in sizes or not sizes:
        cause = f"model.options ({options})" if options else "model.arch"
        without = "leave model.options out, or " if options else ""
        return RecipeError(
            f"{cause}: {model.arch} cannot take images of {size} px, "
            f"nor of other sizes that were tried ({reason})\n{without}set another model.arch"
        )
    default = _default_size(model)
    named = (f"{taken} (auto)" if taken == default else str(taken) for taken in sizes)
    return RecipeError(
        f"data.size: {model.arch} cannot take images of {size} px ({reason})\n"
        f"set data.size to a size that it takes, such as {', '.join(named)}"
    )


def _default_size(model: Model) -> int | None:
    cfg = timm.get_pretrained_cfg(model.arch)
    return cfg.input_size[-1] if cfg is not None and cfg.input_size else None


def _sizes_taken(model: Model, size: int) -> list[int]:
    """The nearest smaller and larger multiples of 32 px that work, and the size of the weights."""
    below = range(size // STEP * STEP, 0, -STEP)
    above = range(size // STEP * STEP + STEP, size + (MOST_TRIES + 1) * STEP, STEP)
    default = _default_size(model)
    nearest = (
        next(filter(partial(takes, model), sizes[:MOST_TRIES]), None) for sizes in (below, above)
    )
    taken = {taken for taken in nearest if taken is not None}
    if default is not None and takes(model, default):
        taken.add(default)
    return sorted(taken)


def takes(model: Model, size: int) -> bool:
    """Whether the network takes images of `size` px, as it is or created for this size."""
    try:
        if _refusal(_shapes_of(model, {}), size) is None:
            return True
    except CREATION_ERRORS:
        return False
    return _can_be_sized(model) and _refusal_when_sized(model, size) is None


def _can_be_sized(model: Model) -> bool:
    """Whether the network takes an img_size according to timm, and the recipe's options leave it open."""
    cfg = timm.get_pretrained_cfg(model.arch)
    return cfg is not None and cfg.fixed_input_size and not model.options.keys() & SIZE_OPTIONS


def _shapes_of(model: Model, options: dict[str, Any]) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = timm.create_model(
            model.arch, pretrained=False, num_classes=2, **options, **model.options
        )
    return network.eval()


def _refusal_when_sized(model: Model, size: int) -> str | None:
    """Why a network that is created for images of `size` px does not take them; None where it does."""
    try:
        network = _shapes_of(model, {"img_size": size})
    except FORWARD_ERRORS as error:
        return reason_of(error)
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    side = patch[0] if isinstance(patch, tuple) else patch
    if isinstance(side, int) and size % side:  # timm would silently leave out the rest of the image
        return f"not a multiple of its patch size, {side} px"
    return _refusal(network, size)


def _refusal(network: nn.Module, size: int) -> str | None:
    """Why a network on the meta device does not take images of `size` px; None where it does."""
    try:
        with torch.device("meta"), torch.no_grad():
            output = network(torch.zeros(1, 3, size, size))
    except FORWARD_ERRORS as error:
        return reason_of(error)
    return None if isinstance(output, Tensor) else f"it returns a {type(output).__name__}"
