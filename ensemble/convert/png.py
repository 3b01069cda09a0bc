"""Arrays of pixels as the bytes of PNG files."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble.convert.image_folder import size_on_disk

SUFFIX = ".png"
HEADER_BYTES = 100  # of a file, beside its pixels


def png_of(pixels: npt.NDArray[Any]) -> bytes:
    """The PNG file of a uint8 array: (rows, columns) or (rows, columns, 1, 3 or 4 channels).

    An array of uint16 must be gray, and becomes a file of 16 bits.
    """
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    stored = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stored, "PNG")
    return stored.getvalue()


def size_of_pngs(n_images: int, n_values: int) -> int:
    """The bytes that so many files take on a disk at most, each with so many values."""
    return size_on_disk(n_images, n_values + HEADER_BYTES)
