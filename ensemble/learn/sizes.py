"""Which image sizes a network takes, tried on torch's meta device: shapes without memory, arithmetic or random draws."""

from functools import partial
from typing import Any

import timm
import torch
from torch import Tensor, nn

from ensemble.errors import RecipeError
from ensemble.recipe import Model

CREATION_ERRORS = (TypeError, RuntimeError, ValueError, KeyError, AssertionError, AttributeError)
FORWARD_ERRORS = (*CREATION_ERRORS, IndexError, ZeroDivisionError)
OWN_SIZE = {"img_size", "dynamic_img_size", "strict_img_size", "use_naflex"}  # options that say which sizes go in
STEP, MOST_TRIES = 32, 6  # pixels between the sizes that are tried above and below the recipe's, and how many


def size_options(model: Model, size: int) -> dict[str, Any]:
    """What timm.create_model needs for images of `size` px: {} or {"img_size": size}. Raises RecipeError.

    A network that takes them as it is stays as it is, so that older weights of it go on fitting.
    """
    cfg = timm.get_pretrained_cfg(model.arch)
    is_fixed = cfg is not None and cfg.fixed_input_size and size != _default_size(model)
    if not is_fixed or model.options.keys() & OWN_SIZE or _refusal(model, size, {}) is None:
        return {}
    options = {"img_size": size}
    reason = _refusal(model, size, options)
    if reason is not None:
        raise size_error(model, size, reason)
    return options


def reason_of(error: Exception) -> str:
    """The first line of what torch or timm says."""
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__


def size_error(model: Model, size: int, reason: str) -> RecipeError:
    """Which sizes would do, or which of the options stands in the way."""
    options = ", ".join(sorted(model.options))
    if "img_size" in model.options:
        return RecipeError(
            f"model.options: img_size is {model.options['img_size']}, the images have {size} px ({reason})\n"
            "leave img_size out, it follows data.size; or set data.size to the same"
        )
    sizes = _sizes_taken(model, size)
    if size in sizes or not sizes:
        cause = f"model.options ({options})" if options else "model.arch"
        return RecipeError(
            f"{cause}: {model.arch} cannot take images of {size} px, nor of other sizes that were tried ({reason})\n"
            + ("leave model.options out, or set another model.arch" if options else "set another model.arch")
        )
    default = _default_size(model)
    named = (f"{taken} (data.size: auto)" if taken == default else str(taken) for taken in sizes)
    return RecipeError(
        f"data.size: {model.arch} cannot take images of {size} px ({reason})\n"
        f"set data.size to a size that it takes, such as {' or '.join(named)}"
    )


def _default_size(model: Model) -> int | None:
    cfg = timm.get_pretrained_cfg(model.arch)
    return cfg.input_size[-1] if cfg is not None and cfg.input_size else None


def _sizes_taken(model: Model, size: int) -> list[int]:
    """The nearest smaller and larger size that work, of multiples of 32 px, and that of the weights."""
    below = range(size // STEP * STEP, 0, -STEP)
    above = range(size // STEP * STEP + STEP, size + (MOST_TRIES + 1) * STEP, STEP)
    default = _default_size(model)
    nearest = (next(filter(partial(takes, model), sizes[:MOST_TRIES]), None) for sizes in (below, above))
    taken = {taken for taken in nearest if taken is not None}
    if default is not None and takes(model, default):
        taken.add(default)
    return sorted(taken)


def takes(model: Model, size: int) -> bool:
    """Whether the network, or one that timm makes for this size, can take images of `size` px."""
    cfg = timm.get_pretrained_cfg(model.arch)
    is_fixed = cfg is not None and cfg.fixed_input_size and not model.options.keys() & OWN_SIZE
    return _refusal(model, size, {}) is None or (is_fixed and _refusal(model, size, {"img_size": size}) is None)


def _refusal(model: Model, size: int, options: dict[str, Any]) -> str | None:
    """Why the network, made with these options, does not take images of `size` px; None where it does."""
    try:
        with torch.device("meta"), torch.no_grad():
            network = timm.create_model(model.arch, pretrained=False, num_classes=0, **options, **model.options)
            shown: nn.Module = network.eval()
            made = shown(torch.zeros(1, 3, size, size))
    except FORWARD_ERRORS as error:
        return reason_of(error)
    return None if isinstance(made, Tensor) else f"it gives a {type(made).__name__}"
