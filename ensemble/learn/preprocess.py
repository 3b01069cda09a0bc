"""How an image becomes the network's input: the weights' configuration, where the recipe does not override it."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import timm
from timm.data import resolve_data_config

from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.dataset.geometry import FILTERS, Geometry
from ensemble.errors import RecipeError
from ensemble.recipe import Recipe
from ensemble.runs import TrainingRecord

RESIZE_OF_CROP_MODE: dict[str, Literal["crop", "squish", "pad"]] = {  # timm's word to ours
    "center": "crop",
    "squash": "squish",
    "border": "pad",
}


@dataclass(frozen=True)
class Preprocess:
    """Geometry, and the mean and standard deviation per channel of pixels from 0 to 1.

    stored is the (height, width) of images that the device resizes; all others, and all where it
    is None, are resized when they are decoded. ranges are the training set's, of values of more
    than 8 bits.
    """

    geometry: Geometry
    mean: tuple[float, ...]
    std: tuple[float, ...]
    stored: tuple[int, int] | None = None
    ranges: Ranges = EIGHT_BITS

    def as_json(self) -> dict[str, Any]:
        """The `preprocessing` of run.json."""
        stored = list(self.stored) if self.stored else None
        mean_std = {"mean": list(self.mean), "std": list(self.std)}
        ranges = {"ranges": self.ranges.as_json()} if self.ranges.by_mode else {}
        return {**asdict(self.geometry), **mean_std, "stored": stored, **ranges}

    @classmethod
    def of(cls, record: TrainingRecord) -> "Preprocess":
        """That of a training: the inverse of as_json."""
        fields = dict(record.preprocessing)
        mean, std = tuple(fields.pop("mean")), tuple(fields.pop("std"))
        stored = fields.pop("stored", None)
        ranges = Ranges.from_json(fields.pop("ranges", {}))
        return cls(Geometry(**fields), mean, std, tuple(stored) if stored else None, ranges)


def weights_config(recipe: Recipe) -> Preprocess:
    """The preprocessing that the architecture's weights expect, where the recipe does not override it.

    From scratch: the short side is resized to the size, and the middle is kept. Raises RecipeError.
    """
    cfg = timm.get_pretrained_cfg(recipe.model.arch)
    config = resolve_data_config(pretrained_cfg=cfg.to_dict() if cfg else {}, model=None)
    size = config["input_size"][-1] if recipe.data.size == "auto" else recipe.data.size
    resize = recipe.data.resize
    if resize == "auto":
        resize = RESIZE_OF_CROP_MODE[config.get("crop_mode", "center")]
    crop_pct = config["crop_pct"] if recipe.model.pretrained and resize == "crop" else 1.0
    interpolation = config["interpolation"] if config["interpolation"] in FILTERS else "bicubic"
    if size < 8:
        raise RecipeError(f"data.size: timm has no input size for {recipe.model.arch}; set one")
    geometry = Geometry(size, resize, crop_pct, interpolation)
    return Preprocess(geometry, tuple(config["mean"]), tuple(config["std"]))
