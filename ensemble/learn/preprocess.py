"""How a picture becomes the network's input: the recipe's wishes over the weights' own configuration."""

from dataclasses import asdict, dataclass
from typing import Any

import timm
from timm.data import resolve_data_config

from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.dataset.geometry import FILTERS, Geometry
from ensemble.errors import RecipeError
from ensemble.recipe import Recipe
from ensemble.runs import TrainingRecord


@dataclass(frozen=True)
class Preprocess:
    """Geometry, and the mean and standard deviation per channel of pixels from 0 to 1.

    stored is the (height, width) of pictures that reach the device as they are, to be resized there; all others, and
    where it is None every one, are resized before. ranges are the training set's, of values of more than 8 bits.
    """

    geometry: Geometry
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stored: tuple[int, int] | None = None
    ranges: Ranges = EIGHT_BITS

    def as_json(self) -> dict[str, Any]:
        """What run.json says."""
        stored = list(self.stored) if self.stored else None
        normalised = {"mean": list(self.mean), "std": list(self.std)}
        ranges = {"ranges": self.ranges.as_json()} if self.ranges.by_mode else {}
        return {**asdict(self.geometry), **normalised, "stored": stored, **ranges}

    @classmethod
    def of(cls, record: TrainingRecord) -> "Preprocess":
        """The preprocessing that a training recorded by as_json."""
        said = dict(record.preprocessing)
        mean, std, stored = (
            tuple(said.pop("mean")),
            tuple(said.pop("std")),
            said.pop("stored", None),
        )
        ranges = Ranges.from_json(said.pop("ranges", {}))
        return cls(Geometry(**said), mean, std, tuple(stored) if stored else None, ranges)


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
        raise RecipeError(
            f"data.size: {recipe.model.arch} names no input size; write one in the recipe"
        )
    geometry = Geometry(size, resize, crop_pct, interpolation)
    return Preprocess(geometry, tuple(config["mean"]), tuple(config["std"]))
