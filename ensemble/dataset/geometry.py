"""How an image of any shape becomes the network's square: the evaluation view, and random crops."""

import math
import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
FINER = 2  # JPEGs are decoded at this many times the final size, or more; docs/log.md
# of an image before its middle is cropped: a strip of 1 × 10,000 would be enlarged to gigabytes
MAX_ASPECT = 16


@dataclass(frozen=True)
class Geometry:
    """How an image of any shape becomes size × size pixels: the weights' evaluation view.

    crop: the short side becomes size / crop_pct, then the middle is cropped; squish: both sides are
    resized; pad: the whole image fits, black bars fill the rest.
    """

    size: int
    resize: Literal["squish", "crop", "pad"] = "crop"
    crop_pct: float = 1.0
    interpolation: str = "bicubic"

    @property
    def least_side(self) -> int:
        """The short side that a JPEG keeps when decoded smaller; pixels move by 0.2 of 255."""
        return FINER * max(self.scaled(1, 1))

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) of the whole image just before it is cropped or padded."""
        if self.resize == "squish":
            return self.size, self.size
        target = int(np.floor(self.size / self.crop_pct)) if self.resize == "crop" else self.size
        side = min(width, height) if self.resize == "crop" else max(width, height)
        return max(1, int(target * width / side)), max(1, int(target * height / side))

    def apply(self, image: Image.Image) -> Image.Image:
        """The image as size × size pixels."""
        if self.resize == "crop":
            image = _middle(image, MAX_ASPECT)
        scaled = image.resize(self.scaled(*image.size), FILTERS[self.interpolation])
        left, top = (round((side - self.size) / 2) for side in scaled.size)
        box = (left, top, left + self.size, top + self.size)
        return scaled.crop(box)  # outside the image: black


def _middle(image: Image.Image, aspect: int) -> Image.Image:
    """The middle of an image, its long side at most `aspect` times the short one.

    The crop of the geometry would remove the rest anyhow.
    """
    longest = aspect * min(image.size)
    width, height = min(image.width, longest), min(image.height, longest)
    if (width, height) == image.size:
        return image
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class RandomCrop:
    """A crop of at least `share` of an image's area, 3:4 to 4:3 in shape (Szegedy et al., 2015)."""

    share: float

    def box(self, width: int, height: int, rng: random.Random) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a crop; the middle if none of ten draws fits."""
        for _ in range(10):
            area = width * height * rng.uniform(self.share, 1)
            aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
            w, h = round(float(np.sqrt(area * aspect))), round(float(np.sqrt(area / aspect)))
            if 0 < w <= width and 0 < h <= height:
                left, top = rng.randint(0, width - w), rng.randint(0, height - h)
                return left, top, left + w, top + h
        w, h = min(width, 4 * height // 3), min(height, 4 * width // 3)
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + max(1, w), top + max(1, h)

    def least_side(self, geometry: Geometry) -> int:
        """Geometry.least_side for the smallest crop that is drawn."""
        return math.ceil(geometry.least_side / math.sqrt(self.share * 3 / 4))

    def apply(self, image: Image.Image, geometry: Geometry, rng: random.Random) -> Image.Image:
        """A random crop as size × size pixels."""
        size = (geometry.size, geometry.size)
        return image.resize(size, FILTERS[geometry.interpolation], box=self.box(*image.size, rng))
