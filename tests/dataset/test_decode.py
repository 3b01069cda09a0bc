"""Files are opened by their content; metadata turn an image upright and never make a good one unreadable."""

import io
import os
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ensemble.dataset.decode import UnreadableImage, decode_image

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
SIX = (0x0112, 3, 1, struct.pack("<HH", 6, 0))  # a quarter turn clockwise
FORMATS = ["JPEG", "PNG", "WEBP", "AVIF"]


def block(*entries):
    """An EXIF block of raw (tag, type, count, four bytes) entries, little-endian."""
    rows = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4)


def saved(path, kind, **options):
    NOISE.save(path, kind, **options)
    return path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "odd",
    [
        (0x0128, 2, 2, b"2\0\0\0"),  # a unit as text
        (0x010F, 2, 50, struct.pack("<I", 99_999)),  # a text beyond the block's end
        (0x010F, 99, 1, b"\1\0\0\0"),  # no such type
        (0x8825, 4, 1, struct.pack("<I", 99_999)),  # GPS beyond the end
        (0x8769, 2, 4, b"abc\0"),  # a directory that is text
        (0x011A, 5, 1, struct.pack("<I", 8)),
        (0x0213, 7, 4, b"\1\2\3\4"),
    ],
    ids=lambda entry: hex(entry[0]),
)
def test_a_photo_is_turned_whatever_its_other_tags_are(tmp_path, kind, odd):
    for entries in ((SIX, odd), (odd, SIX)):
        decoded = decode_image(saved(tmp_path / "a", kind, exif=block(*entries)))
        assert (decoded.orientation, decoded.image.size) == (6, (40, 60))


@pytest.mark.parametrize(
    "entry",
    [
        (0x0112, 2, 2, b"6\0\0\0"),
        (0x0112, 3, 1, struct.pack("<HH", 0, 0)),
        (0x0112, 3, 1, struct.pack("<HH", 9, 0)),
        (0x0112, 3, 0, struct.pack("<HH", 6, 0)),
        (0x0112, 5, 1, struct.pack("<I", 8)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_that_is_not_a_number_from_1_to_8_turns_nothing(tmp_path, kind, entry):
    decoded = decode_image(saved(tmp_path / "a", kind, exif=block(entry)))
    assert (decoded.orientation, decoded.image.size) == (1, (60, 40))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [*FORMATS, "TIFF"])
def test_all_eight_orientations_show_the_same_upright_image(tmp_path, kind, orientation):
    """The pixels are stored turned back, so that every file shows one image."""
    backwards = {
        2: 0,
        3: 3,
        4: 1,
        5: 5,
        6: 2,
        7: 6,
        8: 4,
    }  # Image.Transpose that undoes the orientation
    stored = NOISE.transpose(Image.Transpose(backwards[orientation])) if orientation > 1 else NOISE
    exif = Image.Exif()
    exif[0x0112] = orientation
    finest = {
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
        "JPEG": {"quality": 100, "subsampling": 0},
    }
    stored.save(tmp_path / "a", kind, exif=exif, **finest.get(kind, {}))
    decoded = decode_image(tmp_path / "a")
    assert (decoded.orientation, decoded.image.size) == (orientation, NOISE.size)
    assert np.abs(np.asarray(decoded.image).astype(int) - np.asarray(NOISE)).mean() < 20


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_turned_tiff_without_compression_has_the_same_pixels_by_path_and_from_memory(
    tmp_path, mode, orientation
):
    file = tmp_path / "a.tif"
    gray = NOISE.convert("L")
    image = Image.fromarray(np.asarray(gray) * np.uint16(257)) if mode == "I;16" else gray
    image.convert(mode).save(file, tiffinfo={0x0112: orientation})
    by_path = decode_image(file).image
    assert by_path.size == (40, 60)
    assert by_path.tobytes() == decode_image(file, content=file.read_bytes()).image.tobytes()
    turn = {5: 5, 6: 4, 7: 6, 8: 2}[orientation]  # Image.Transpose
    expected = gray.convert(mode if mode == "CMYK" else "RGB").convert("RGB")
    assert by_path.tobytes() == expected.transpose(Image.Transpose(turn)).tobytes()


def test_an_orientation_in_xmp_alone_counts_as_before(tmp_path):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    assert decode_image(saved(tmp_path / "a.jpg", "JPEG", xmp=xmp)).orientation == 6


@given(st.sampled_from(FORMATS), st.integers(0, 10**6))
def test_a_damaged_exif_block_never_makes_a_photo_unreadable(tmp_path_factory, kind, seed):
    path, draw = tmp_path_factory.mktemp("exif") / "a", random.Random(seed)
    whole = Image.Exif()
    whole[0x010F], whole[0x0112], whole[0x011A] = "a maker of cameras", 6, 72.0
    saved(path, kind, exif=whole)
    content = bytearray(path.read_bytes())
    text = content.index(b"a maker")
    start = max(content.rfind(b"MM\0*", 0, text), content.rfind(b"II*\0", 0, text))
    for _ in range(draw.randint(1, 20)):
        content[draw.randrange(start, text + 18)] = draw.randrange(256)
    if kind == "PNG":  # its checksum again
        place = content.index(b"eXIf")
        (length,) = struct.unpack(">I", content[place - 4 : place])
        end = place + 4 + length
        content[end : end + 4] = struct.pack(">I", zlib.crc32(content[place:end]))
    path.write_bytes(content)
    assert sorted(decode_image(path).image.size) == [40, 60]


@pytest.mark.parametrize(
    "blob", [b"", b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0" + b"\xff" * 60_000, b"no TIFF"]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_cut_off_or_huge_exif_block_is_passed_over(tmp_path, kind, blob):
    assert decode_image(saved(tmp_path / "a", kind, exif=blob)).orientation == 1


def tiff(*entries):
    """An uncompressed TIFF of NOISE with more raw directory entries, which a reader meets among those of the pixels."""
    pixels, n = NOISE.tobytes(), 9 + len(entries)
    end = 8 + 2 + 12 * n + 4
    required = [
        (256, 4, 1, struct.pack("<I", 60)),
        (257, 4, 1, struct.pack("<I", 40)),
        (258, 3, 3, struct.pack("<I", end)),
        (259, 3, 1, struct.pack("<I", 1)),
        (262, 3, 1, struct.pack("<I", 2)),
        (273, 4, 1, struct.pack("<I", end + 6)),
        (277, 3, 1, struct.pack("<I", 3)),
        (278, 4, 1, struct.pack("<I", 40)),
        (279, 4, 1, struct.pack("<I", len(pixels))),
    ]
    rows = b"".join(
        struct.pack("<HHI", *entry[:3]) + entry[3] for entry in sorted([*required, *entries])
    )
    return (
        b"II*\0" + struct.pack("<IH", 8, n) + rows + bytes(4) + struct.pack("<3H", 8, 8, 8) + pixels
    )


@pytest.mark.parametrize(
    "odd",
    [
        (0x010F, 2, 50, struct.pack("<I", 99_999)),
        (700, 3, 1, b"\1\0\0\0"),  # XMP as a number
        (0x8769, 4, 1, struct.pack("<I", 99_999)),
        (34675, 7, 9_999_999, struct.pack("<I", 8)),
    ],
    ids=lambda entry: str(entry[0]),
)
def test_a_tiff_with_damaged_metadata_keeps_its_pixels_and_its_turn(tmp_path, odd):
    (tmp_path / "a.tif").write_bytes(tiff(odd))
    assert np.array_equal(decode_image(tmp_path / "a.tif").image, NOISE)
    (tmp_path / "b.tif").write_bytes(tiff(odd, SIX))
    turned = decode_image(tmp_path / "b.tif")
    assert turned.orientation == 6
    assert np.array_equal(turned.image, NOISE.transpose(Image.Transpose.ROTATE_270))


def png_with(name, content):
    plain = io.BytesIO()
    NOISE.save(plain, "PNG")
    raw = plain.getvalue()
    chunk = (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )
    return raw[:33], chunk, raw[33:]


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        (b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 1_500_000)),
        (b"zTXt", b"workflow\0\0" + zlib.compress(bytes(80_000_000))),
        (b"iTXt", b"a\0\1\0\0\0" + zlib.compress(b"b" * 3_000_000)),
        (b"tEXt", b"a\0" + b"c" * 70_000_000),
        (b"iCCP", b"a\0\0" + zlib.compress(os.urandom(10) + bytes(5_000_000))),
        (b"zTXt", b"a\0\0no zlib"),
    ],
)
def test_a_png_with_large_or_damaged_texts_and_profiles_is_read(tmp_path, name, content, where):
    head, chunk, pixels = png_with(name, content)
    end = pixels.rindex(b"IEND") - 4
    whole = (
        head + chunk + pixels if where == "before" else head + pixels[:end] + chunk + pixels[end:]
    )
    (tmp_path / "a.png").write_bytes(whole)
    assert np.array_equal(decode_image(tmp_path / "a.png").image, NOISE)


def test_a_large_text_does_not_hide_orientation_or_transparency(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a" * 1_500_000, zip=True)
    NOISE.convert("P").save(tmp_path / "a.png", pnginfo=info, exif=block(SIX), transparency=3)
    decoded = decode_image(tmp_path / "a.png")
    assert (decoded.orientation, decoded.has_alpha) == (6, True)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF", "AVIF"])
def test_a_profile_of_megabytes_is_read(tmp_path, kind):
    profile = bytes(128) + os.urandom(2_000_000)
    assert decode_image(saved(tmp_path / "a", kind, icc_profile=profile)).image.size == (60, 40)


@pytest.mark.parametrize(
    "kind", [*FORMATS, "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "ICO", "QOI", "SGI", "PCX", "DDS"]
)
@pytest.mark.parametrize("name", ["a", "a.jpg", "a.PNG", "a.jfif", "a.dat", "a.heic"])
def test_the_content_decides_whatever_the_name_says(tmp_path, kind, name):
    assert decode_image(saved(tmp_path / name, kind)).format == kind


def test_what_has_no_signature_is_read_under_its_own_suffix(tmp_path):
    assert decode_image(saved(tmp_path / "a.TGA", "TGA")).format == "TGA"


def plainly_read(path):
    """What Pillow alone makes of a file: its pixels as RGB, or None where it refuses."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except Exception:  # noqa: BLE001 whatever a decoder raises
        return None


@pytest.mark.parametrize(
    "kind", ["PNG", "WEBP", "TIFF", "AVIF", "GIF", "JPEG2000", "JPEG", "ICO", "QOI"]
)
@pytest.mark.parametrize("seed", range(4))
def test_damaged_pixels_are_refused_exactly_where_pillow_alone_refuses_them(tmp_path, kind, seed):
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    whole = saved(tmp_path / "whole", kind, **options).read_bytes()
    draw, n_refused = random.Random(seed), 0
    for _ in range(20):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole) // 3, len(whole) - 20)] ^= 1 << draw.randrange(8)
        (tmp_path / "a").write_bytes(damaged)
        expected = plainly_read(tmp_path / "a")
        if expected is not None:
            assert np.array_equal(decode_image(tmp_path / "a").image, expected)
            continue
        n_refused += 1
        with pytest.raises(UnreadableImage):
            decode_image(tmp_path / "a")
    assert n_refused or kind != "PNG"


def test_a_damaged_png_with_a_large_text_is_refused_too(tmp_path):
    head, chunk, pixels = png_with(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * 1_500_000))
    damaged = bytearray(pixels)
    damaged[len(pixels) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(head + chunk + damaged)
    with pytest.raises(UnreadableImage):
        decode_image(tmp_path / "a.png")
