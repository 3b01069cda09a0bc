"""Open image files by content, whatever their name; read the orientation, no other metadata."""

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import IO, cast

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

MAX_PIXELS = 200_000_000  # 600 MB as RGB; a larger image is an attack or a mistake
# Formats that Pillow recognizes by their first bytes and can decode; without EPS and WMF, which
# would start other programs
FORMATS = (
    *("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "MPO", "DIB"),
    *("ICO", "CUR", "ICNS", "PSD", "QOI", "DDS", "SGI", "SUN", "PCX", "DCX", "FITS", "XPM"),
    *("XBM", "FLI", "MSP", "PIXAR", "BLP", "FTEX"),
)
# Formats without a signature: only a file with this suffix is opened as one
FORMATS_BY_SUFFIX = {
    ".tga": "TGA",
    ".icb": "TGA",
    ".vda": "TGA",
    ".vst": "TGA",
    ".im": "IM",
    ".spi": "SPIDER",
    ".pcd": "PCD",
}
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
INTEGERS = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l"}  # TIFF types, as struct names them
PNG, EXIF = b"\x89PNG\r\n\x1a\n", b"Exif\0\0"
PNG_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"}
# TIFF tags that say how pixels are stored, and the orientation
TIFF_PIXELS = {
    *(254, 255, *range(256, 260), 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320),
    *(*range(322, 326), 332, 338, 339, 347, *range(512, 522), *range(529, 533)),
}
# Pillow warns about every odd tag, once for every image; and about an image that it does not refuse
QUIET = (
    ("ignore", None, UserWarning, re.compile(r"PIL\."), 0),
    ("ignore", None, Image.DecompressionBombWarning, None, 0),
)


def open_image(file: Path | IO[bytes], suffix: str = "") -> ImageFile:
    """An image whose header is read and whose pixels are not. Raises whatever Pillow raises.

    suffix is that of the file's name, where `file` is a stream.
    """
    _limit_pixels()
    _silence_pillow()
    by_suffix = FORMATS_BY_SUFFIX.get((file.suffix if isinstance(file, Path) else suffix).lower())
    formats = [*FORMATS, by_suffix] if by_suffix else FORMATS
    if not set(formats) <= Image.OPEN.keys():
        Image.init()
    image = Image.open(file, formats=[name for name in formats if name in Image.OPEN])
    if isinstance(image, TiffImageFile):
        # Pillow 13 maps a TIFF that has a name, with the sides of a turned one swapped
        image.filename = ""
    return image


@cache
def _limit_pixels() -> None:
    """Pillow's limit of this process, set once: a program that changes it afterwards is free to."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow warns from here and refuses twice as much


def _silence_pillow() -> None:
    if QUIET[0] not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    if QUIET[1] not in warnings.filters:
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def orientation_of(image: Image.Image) -> int:
    """The orientation that an opened image states, 1 (upright) to 8; 1 without a valid one.

    Call it before the pixels are loaded. Raises what loading a PNG raises, which may state its
    orientation after the pixels. No other metadata is read.
    """
    orientation = _exif_orientation(image.info.get("exif") or b"")
    if isinstance(image, TiffImageFile):
        orientation = image.tag_v2.get(ORIENTATION)
    if orientation is None:
        if isinstance(image, PngImageFile):
            image.load()  # as getexif does, which takes half-decoded pixels for loaded ones
        with suppress(Exception):  # XMP, and what ImageMagick writes into PNG
            orientation = image.getexif().get(ORIENTATION)
    return orientation if type(orientation) is int and orientation in TURNS else 1


def _exif_orientation(exif: bytes) -> object:
    """The orientation in an EXIF block's first directory; None without one, "" if no number."""
    with suppress(struct.error, KeyError):
        block = exif.removeprefix(EXIF)
        order = {b"II": "<", b"MM": ">"}[block[:2]]
        (start,) = struct.unpack_from(order + "L", block, 4)
        (n_entries,) = struct.unpack_from(order + "H", block, start)
        for offset in range(start + 2, start + 2 + 12 * n_entries, 12):
            tag, kind, n_values = struct.unpack_from(order + "HHL", block, offset)
            if tag == ORIENTATION:
                if kind not in INTEGERS or not n_values:
                    return ""
                return struct.unpack_from(order + INTEGERS[kind], block, offset + 8)[0]
    return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned as its orientation says."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def without_metadata(file: Path | IO[bytes]) -> IO[bytes] | None:
    """A PNG, TIFF or AVIF without what its pixels do not need; None for other formats.

    Pillow refuses such files for a text or profile of more than 1 MB, or for damaged metadata.
    """
    with file.open("rb") if isinstance(file, Path) else file as stored:
        head = stored.read(12)
        stored.seek(len(PNG))
        if head.startswith(PNG):
            return BytesIO(PNG + b"".join(_png_pixels(stored)))
        stored.seek(0)
        if head.startswith((b"II*\0", b"MM\0*")):
            return _tiff_pixels(stored)
        if head[4:] in (b"ftypavif", b"ftypavis"):
            # the first Exif is the type of an item; libavif ignores types that it does not know
            return BytesIO(stored.read().replace(b"Exif", b"none", 1))
        return None


def _png_pixels(stored: IO[bytes]) -> Iterator[bytes]:
    """The chunks, whole, that pixels and orientation need."""
    while len(head := stored.read(8)) == 8:
        length = int.from_bytes(head[:4], "big") + 4  # and the checksum
        if head[4:] in PNG_PIXELS:
            yield head + stored.read(length)
        else:
            stored.seek(length, 1)


def _tiff_pixels(stored: IO[bytes]) -> IO[bytes] | None:
    """The same file with only those entries in its first directory that the pixels need."""
    content = bytearray(stored.read())
    order = "<" if content[:2] == b"II" else ">"
    with suppress(struct.error):
        (start,) = struct.unpack_from(order + "L", content, 4)
        (n_entries,) = struct.unpack_from(order + "H", content, start)
        offsets = range(start + 2, start + 2 + 12 * n_entries, 12)
        entries = [bytes(content[offset : offset + 12]) for offset in offsets]
        tags = [cast("int", struct.unpack_from(order + "H", entry)[0]) for entry in entries]
        kept = [entry for entry, tag in zip(entries, tags, strict=True) if tag in TIFF_PIXELS]
        no_next_directory = bytes(4)
        directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + no_next_directory
        content[start : start + len(directory)] = directory
        return BytesIO(content)
    return None
