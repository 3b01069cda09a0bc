"""Images inside the page, as data URIs."""

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

HEAT = np.array([255, 80, 0])  # the color where a network looks
SAVING: dict[str, dict[str, int]] = {
    "PNG": {"optimize": True},
    "WEBP": {"quality": 78},
    "JPEG": {"quality": 90},
}
SIDE = 112  # pixels of a thumbnail; about 3 KB each


class Thumbnails:
    """Thumbnails by an image's id or file, each made once.

    files are by id, empty where the images are not available. hashes are the content of the files:
    a file of other content is not shown.
    """

    def __init__(
        self, files: Mapping[str, Path], hashes: Mapping[Path, str], ranges: Ranges = EIGHT_BITS
    ) -> None:
        self.files, self.hashes, self.ranges = files, hashes, ranges
        self._uris: dict[Path, str] = {}

    def __call__(self, image_id: str) -> str:
        """The data URI of an image by its id, "" where it is not available."""
        return self.of(self.files[image_id]) if image_id in self.files else ""

    def of(self, file: Path) -> str:
        """The data URI of a file, "" where it cannot be read."""
        if file not in self._uris:
            try:
                self._uris[file] = _thumbnail(file, self.hashes[file], self.ranges)
            except (UnreadableImage, DataError):
                self._uris[file] = ""
        return self._uris[file]


def _thumbnail(file: Path, content_hash: str, ranges: Ranges) -> str:
    return thumbnail_uri(read_image(file, ranges=ranges, content=read_hashed(file, content_hash)))


def thumbnail_uri(image: Image.Image) -> str:
    """An image, made smaller in place where it is larger than a thumbnail, as a data URI."""
    is_small = max(image.size) <= SIDE // 2
    image.thumbnail((SIDE, SIDE))
    return data_uri(image, "PNG" if is_small else "WEBP")


def tinted(pixels: Array, heat: Array) -> Array:
    """(height, width, 3) uint8: an image in gray, parts of it in color by their heat from 0 to 1."""
    gray, share = pixels.mean(2, keepdims=True), 0.7 * heat[..., None]
    return np.asarray(gray * (1 - share) + HEAT * share).astype(np.uint8)


def data_uri(image: Image.Image, file_format: str) -> str:
    """An image as text that an `img` shows without a request; file_format is one of SAVING."""
    out = io.BytesIO()
    image.save(out, file_format, **SAVING[file_format])
    return f"data:image/{file_format.lower()};base64,{b64encode(out.getvalue()).decode()}"


def heatmap(shares: Array, on_diagonal: tuple[int, int, int], off: tuple[int, int, int]) -> str:
    """A matrix of shares as an image, one pixel a cell.

    shares is (rows, columns), from 0 to 1; on_diagonal and off are RGB. A cell is as opaque as its
    share's root, so that small shares are visible.
    """
    pixels = np.zeros((*shares.shape, 4), np.uint8)
    pixels[..., :3] = off
    pixels[np.eye(*shares.shape, dtype=np.bool_), :3] = on_diagonal
    pixels[..., 3] = (255 * np.sqrt(np.clip(shares, 0, 1))).round()
    return data_uri(Image.fromarray(pixels, "RGBA"), "PNG")
