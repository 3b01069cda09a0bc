"""Images in records as plain bytes, one for each channel of a pixel, beside their height and width."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensemble.convert.example import Features, only_value
from ensemble.convert.pixel_columns import Shape, are_planes, image_of
from ensemble.convert.png import png_of
from ensemble.errors import DataError

HEIGHT = ("height", "image/height", "rows", "image_height", "img_height")
WIDTH = ("width", "image/width", "cols", "columns", "image_width", "img_width")
DEPTH = ("depth", "channels", "image/channels", "image/depth", "n_channels", "num_channels")
CHANNELS = (1, 3, 4)
MAX_SIDE = 1 << 20


@dataclass(frozen=True)
class RawImages:
    """The features that say the size of an image; has_planes: one channel after another.

    Without a feature for the depth, it is what height × width leaves of the number of bytes.
    """

    height: str
    width: str
    depth: str | None
    has_planes: bool = False

    def shape(self, name: str, record: Features) -> Shape:
        """Rows, columns and channels of a record's image. Raises ValueError naming the problem."""
        height, width = (_side(record, feature) for feature in (self.height, self.width))
        n_bytes = len(_content(record, name))
        depth = n_bytes // (height * width) if self.depth is None else _side(record, self.depth)
        if height * width * depth != n_bytes or depth not in CHANNELS:
            size = f"{height} × {width}" + (f" × {depth}" if self.depth else "")
            raise ValueError(f"{n_bytes:,} bytes are not {size} pixels")
        return height, width, depth

    def png(self, where: str, name: str, record: Features) -> bytes:
        """A record's image as a PNG file. Raises DataError."""
        try:
            shape = self.shape(name, record)
        except ValueError as error:
            raise DataError(
                f"{where}: the feature {name[:60]!r}: {error}\nrepair the data, or download it again"
            ) from None
        pixels = np.frombuffer(_content(record, name), np.uint8)
        return png_of(image_of(pixels, shape, self.has_planes))


def raw_images(where: str, name: str, records: Sequence[Features]) -> RawImages | None:
    """How to read a feature of plain pixels, if it fits the size in each of these records.

    None where it does not. Raises DataError where the order of three channels is not clear.
    """
    height, width, depth = (_named(records, names) for names in (HEIGHT, WIDTH, DEPTH))
    if height is None or width is None:
        return None
    raw = RawImages(height, width, depth)
    try:
        shapes = [raw.shape(name, record) for record in records]
    except ValueError:
        return None
    first = next((shape for shape in shapes if shape[2] > 1), None)
    if first is None:
        return raw
    contents = [
        np.frombuffer(_content(record, name), np.uint8)
        for record, shape in zip(records, shapes, strict=True)
        if shape == first
    ]
    has_planes = are_planes(np.stack(contents).astype(np.float64), first, f"{where}: {name[:60]}")
    return RawImages(height, width, depth, has_planes)


def _named(records: Sequence[Features], names: Sequence[str]) -> str | None:
    """The feature of one of these names that each record has."""
    return next((name for name in names if all(name in record for record in records)), None)


def _side(record: Features, name: str) -> int:
    """A whole number of pixels. Raises ValueError."""
    side = only_value(record, name)
    if not isinstance(side, int) or not 0 < side < MAX_SIDE:
        raise ValueError(f"{name[:60]} is not a number of pixels")
    return side


def _content(record: Features, name: str) -> bytes:
    """The bytes of an image. Raises ValueError."""
    content = only_value(record, name)
    if not isinstance(content, bytes):
        raise ValueError("it is missing or empty")
    return content
