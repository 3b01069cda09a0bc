"""Thumbnails inside the page, as data URIs; what cannot be read is left out."""

import io
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from ensemble.dataset.content import read_hashed
from ensemble.dataset.decode import UnreadableImage, read_image
from ensemble.dataset.depth import EIGHT_BITS, Ranges
from ensemble.errors import DataError
from ensemble.predictions import Array

SIDE = 112  # pixels of a thumbnail; about 3 KB each


class Thumbnails:
    """Thumbnails by an image's id or file, each made once; files is empty where the images are not at hand.

    hashes are the content of the files: another content is not shown.
    """

    def __init__(
        self, files: Mapping[str, Path], hashes: Mapping[Path, str], ranges: Ranges = EIGHT_BITS
    ) -> None:
        self.files, self.hashes, self.ranges = files, hashes, ranges
        self._made: dict[Path, str] = {}

    def __call__(self, image_id: str) -> str:
        """The data URI of an image by its id, "" where it is not at hand."""
        return self.of(self.files[image_id]) if image_id in self.files else ""

    def of(self, file: Path) -> str:
        """The data URI of a file, "" where it cannot be read."""
        if file not in self._made:
            try:
                self._made[file] = _thumbnail(file, self.hashes[file], self.ranges)
            except (UnreadableImage, DataError):
                self._made[file] = ""
        return self._made[file]


def _thumbnail(file: Path, content: str, ranges: Ranges) -> str:
    image = read_image(file, ranges=ranges, content=read_hashed(file, content))
    is_small = max(image.size) <= SIDE // 2
    image.thumbnail((SIDE, SIDE))
    return data_uri(image, "PNG" if is_small else "WEBP")


def data_uri(image: Image.Image, kind: str) -> str:
    """An image as text that an `img` shows without a request."""
    out = io.BytesIO()
    image.save(out, kind, quality=78) if kind == "WEBP" else image.save(out, kind, optimize=True)
    return f"data:image/{kind.lower()};base64,{b64encode(out.getvalue()).decode()}"


def heat(shares: Array, on_diagonal: tuple[int, int, int], off: tuple[int, int, int]) -> str:
    """A matrix of shares as a picture, one pixel a cell, as opaque as the share's root: faint cells can be seen.

    shares is (rows, columns); the diagonal has a colour of its own.
    """
    pixels = np.zeros((*shares.shape, 4), np.uint8)
    pixels[..., :3] = off
    pixels[np.eye(*shares.shape, dtype=np.bool_), :3] = on_diagonal
    pixels[..., 3] = (255 * np.sqrt(np.clip(shares, 0, 1))).round()
    return data_uri(Image.fromarray(pixels, "RGBA"), "PNG")
