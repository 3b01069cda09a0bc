"""How a picture becomes the network's input: the recipe's wishes over the weights' own configuration."""

from dataclasses import asdict, dataclass
from typing import Any

import timm
from timm.data import resolve_data_config

from ensemble.dataset.geometry import FILTERS, Geometry
from ensemble.errors import RecipeError
from ensemble.recipe import Recipe


@dataclass(frozen=True)
class Preprocess:
    """Geometry, and the mean and standard deviation per channel of pixels from 0 to 1."""

    geometry: Geometry
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """What run.json says."""
        return {**asdict(self.geometry), "mean": list(self.mean), "std": list(self.std)}


def weights_config(recipe: Recipe) -> Preprocess:
    """The preprocessing that the architecture's weights were made for, the recipe's own values over it.

    From scratch there are no weights to follow: the short side is resized to the size and the middle is kept.
    """
    cfg = timm.get_pretrained_cfg(recipe.model.arch)
    config = resolve_data_config(pretrained_cfg=cfg.to_dict() if cfg else {}, model=None)
    size = config["input_size"][-1] if recipe.data.size == "auto" else recipe.data.size
    own = {"center": "crop", "squash": "squish", "border": "pad"}[config.get("crop_mode", "center")]
    resize = own if recipe.data.resize == "auto" else recipe.data.resize
    crop_pct = config["crop_pct"] if recipe.model.pretrained and resize == "crop" else 1.0
    interpolation = config["interpolation"] if config["interpolation"] in FILTERS else "bicubic"
    if size < 8:
        raise RecipeError(f"data.size: {recipe.model.arch} names no input size; write one in the recipe")
    geometry = Geometry(size, resize, crop_pct, interpolation)
    return Preprocess(geometry, tuple(config["mean"]), tuple(config["std"]))
