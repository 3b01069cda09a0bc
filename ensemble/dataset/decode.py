"""Open an image file by its content, whatever its name says; of its metadata only the orientation counts."""

import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, cast

from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

# What Pillow knows by a signature; without PostScript, which would start Ghostscript, WMF, and what it cannot decode
FORMATS = (
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "WEBP",
    "TIFF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "MPO",
    "DIB",
    "ICO",
    "CUR",
    "ICNS",
    "PSD",
    "QOI",
    "DDS",
    "SGI",
    "SUN",
    "PCX",
    "DCX",
    "FITS",
    "XPM",
    "XBM",
    "FLI",
    "MSP",
    "PIXAR",
    "BLP",
    "FTEX",
)
# These have no signature: only a file that is named so may be one
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
WHOLE_NUMBERS = {
    1: "B",
    3: "H",
    4: "L",
    6: "b",
    8: "h",
    9: "l",
}  # TIFF field types, as struct names them
PNG, EXIF = b"\x89PNG\r\n\x1a\n", b"Exif\0\0"
PNG_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf"}
# the TIFF tags that say how pixels are stored, and the orientation
TIFF_PIXELS = {
    254,
    255,
    *range(256, 260),
    262,
    266,
    273,
    274,
    277,
    278,
    279,
    284,
    292,
    293,
    317,
    320,
    322,
    323,
    324,
    325,
    332,
    338,
    339,
    347,
    *range(512, 522),
    529,
    530,
    531,
    532,
}
QUIET = ("ignore", None, UserWarning, re.compile(r"PIL\."), 0)


def open_image(file: Path | IO[bytes], suffix: str = "") -> ImageFile:
    """An image whose header was read, its pixels not yet. Raises whatever Pillow raises.

    suffix is that of the file's name, where the file itself has none.
    """
    if QUIET not in warnings.filters:  # Pillow warns of every odd tag, once for every image
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    by_suffix = FORMATS_BY_SUFFIX.get((file.suffix if isinstance(file, Path) else suffix).lower())
    formats = [*FORMATS, by_suffix] if by_suffix else FORMATS
    if not set(formats) <= Image.OPEN.keys():
        Image.init()
    return Image.open(file, formats=[name for name in formats if name in Image.OPEN])


def orientation_of(image: Image.Image) -> int:
    """The orientation that an opened image states, 1 (upright) to 8; whatever else its metadata hold is not read.

    1 where it states none, or none of these numbers. Ask before the pixels are loaded. Raises what a PNG's loading
    raises: it may state its orientation behind the pixels.
    """
    exif = image.info.get("exif")
    stated = (
        image.tag_v2.get(ORIENTATION) if isinstance(image, TiffImageFile) else _stated(exif or b"")
    )
    if stated is None:
        if isinstance(image, PngImageFile):
            image.load()  # getexif would, and after an error Pillow takes the half-decoded pixels for loaded
        with suppress(Exception):  # XMP, and what ImageMagick writes into PNG
            stated = image.getexif().get(ORIENTATION)
    return stated if type(stated) is int and stated in TURNS else 1


def _stated(exif: bytes) -> object:
    """The orientation in the first directory of an EXIF block: None where there is none, "" where it is no number."""
    with suppress(struct.error, KeyError):
        block = exif.removeprefix(EXIF)
        order = {b"II": "<", b"MM": ">"}[block[:2]]
        (start,) = struct.unpack_from(order + "L", block, 4)
        (n_entries,) = struct.unpack_from(order + "H", block, start)
        for place in range(start + 2, start + 2 + 12 * n_entries, 12):
            tag, kind, n_values = struct.unpack_from(order + "HHL", block, place)
            if tag == ORIENTATION:
                if kind not in WHOLE_NUMBERS or not n_values:
                    return ""
                return struct.unpack_from(order + WHOLE_NUMBERS[kind], block, place + 8)[0]
    return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned as its orientation says."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def without_metadata(file: Path | IO[bytes]) -> IO[bytes] | None:
    """A PNG's, TIFF's or AVIF's content without what pixels do not need; None for other formats.

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
        if head[4:] in (
            b"ftypavif",
            b"ftypavis",
        ):  # the first Exif is the kind of an item; libavif ignores others
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
    """The same file whose first directory has only the entries that pixels and orientation need."""
    content = bytearray(stored.read())
    order = "<" if content[:2] == b"II" else ">"
    with suppress(struct.error):
        (start,) = struct.unpack_from(order + "L", content, 4)
        (n_entries,) = struct.unpack_from(order + "H", content, start)
        places = range(start + 2, start + 2 + 12 * n_entries, 12)
        entries = [bytes(content[place : place + 12]) for place in places]
        tags = [cast("int", struct.unpack_from(order + "H", entry)[0]) for entry in entries]
        kept = [entry for entry, tag in zip(entries, tags, strict=True) if tag in TIFF_PIXELS]
        directory = (
            struct.pack(order + "H", len(kept)) + b"".join(kept) + bytes(4)
        )  # no further directory
        content[start : start + len(directory)] = directory
        return BytesIO(content)
    return None
