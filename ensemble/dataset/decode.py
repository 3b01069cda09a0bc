"""From an image file to upright RGB pixels, whatever its format, depth and orientation."""

import errno
import io
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from ensemble.dataset.depth import EIGHT_BITS, Ranges, deep_mode, to_8_bits
from ensemble.dataset.image_file import open_image, orientation_of, upright, without_metadata
from ensemble.errors import DataError
from ensemble.files import not_read

# errors of the system, not of the file
SYSTEM_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EACCES}


class UnreadableImage(Exception):
    """A file that no decoder accepts as an image."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """An image as upright RGB, and how its file stores it: mode is Pillow's, before conversion."""

    image: Image.Image
    format: str
    mode: str
    orientation: int
    has_alpha: bool
    is_animated: bool


def decode_image(
    path: Path,
    least_side: int | None = None,
    ranges: Ranges = EIGHT_BITS,
    content: bytes | None = None,
) -> DecodedImage:
    """An image as RGB, turned upright, without alpha; more than 8 bits are scaled by the ranges.

    content holds the bytes of a file that was read before. A JPEG may come at a half, quarter or
    eighth of its size, as long as both sides have least_side pixels or more.
    Raises UnreadableImage, and DataError where the system refuses to read the file.
    """
    try:
        return _decoded(_stream(path, content), path.suffix, least_side, ranges)
    except Exception as error:  # whatever a decoder raises on a damaged file
        if isinstance(error, OSError) and error.errno in SYSTEM_ERRORS:
            raise DataError(not_read(path, error)) from None
        with suppress(Exception):
            bare = without_metadata(_stream(path, content))
            if bare is not None:
                return _decoded(bare, path.suffix, least_side, ranges)
        reason = re.sub(r"<_io.BytesIO object at \w+>", repr(str(path)), str(error))[:200]
        raise UnreadableImage(f"{path}: {reason or type(error).__name__}") from None


def read_image(
    path: Path,
    least_side: int | None = None,
    ranges: Ranges = EIGHT_BITS,
    content: bytes | None = None,
) -> Image.Image:
    """The pixels alone of decode_image. Raises UnreadableImage, DataError."""
    return decode_image(path, least_side, ranges, content).image


def _stream(path: Path, content: bytes | None) -> Path | IO[bytes]:
    return path if content is None else io.BytesIO(content)


def _decoded(
    file: Path | IO[bytes], suffix: str, least_side: int | None, ranges: Ranges
) -> DecodedImage:
    with open_image(file, suffix) as opened:
        if least_side is not None:
            opened.draft("RGB", (least_side, least_side))
        mode = "RGB;16" if opened.mode == "RGB" and "RGB;16" in str(opened.tile) else opened.mode
        orientation = orientation_of(opened)
        opened.load()
        has_alpha = opened.has_transparency_data
        image = _as_rgb(opened, ranges)
        if opened.format != "TIFF":  # which Pillow turns when it loads
            image = upright(image, orientation)
        is_animated = _is_animated(opened)
        return DecodedImage(image, opened.format or "?", mode, orientation, has_alpha, is_animated)


def _as_rgb(image: Image.Image, ranges: Ranges) -> Image.Image:
    mode = deep_mode(image.mode)
    if mode:
        image = Image.fromarray(to_8_bits(np.asarray(image), *ranges.of(mode)))
    return image.convert("RGBA" if "transparency" in image.info else "RGB").convert("RGB")


def _is_animated(image: Image.Image) -> bool:
    """Whether more than one frame follows; damage after the first frame does not matter."""
    with suppress(Exception):
        return bool(getattr(image, "is_animated", False))
    return False
