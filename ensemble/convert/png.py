"""Arrays of pixels as the bytes of PNG files."""

import io
from typing import Any

import numpy.typing as npt

SUFFIX = ".png"


def png_of(pixels: npt.NDArray[Any]) -> bytes:
    """The PNG file of a uint8 array: (rows, columns) or (rows, columns, 1, 3 or 4 channels).

    An array of uint16 must be gray, and becomes a file of 16 bits.
    """
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()
