"""Looks: how a file is stored and what it shows, from one decoding, remembered by content."""

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset import image_info as looks_module
from ensemble.dataset.content import content_hashes
from ensemble.dataset.geometry import Geometry
from ensemble.dataset.image_info import decode_image, image_infos, known_infos
from ensemble.dataset.pixels import open_store
from ensemble.paths import cache_root

RED, GREEN = (255, 0, 0), (0, 255, 0)
FRAME = Image.new("RGB", (40, 20))


def quiet(done, n):
    pass


def hashed(files):
    return dict(zip(files, content_hashes(files), strict=True))


def halves(mode="RGB", size=(40, 20)):
    """The left half red, the right half green."""
    image = Image.new("RGB", size, GREEN)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def exif(orientation):
    made = Image.Exif()
    made[0x0112] = orientation
    return made


@pytest.mark.parametrize(
    ("name", "mode", "options", "said"),
    [
        ("a.png", "RGB", {}, ("PNG", "RGB", 1, False, False)),
        ("a.jpg", "L", {}, ("JPEG", "L", 1, False, False)),
        ("a.jpg", "CMYK", {}, ("JPEG", "CMYK", 1, False, False)),
        ("a.gif", "P", {}, ("GIF", "P", 1, False, False)),
        ("a.gif", "P", {"transparency": 15}, ("GIF", "P", 1, True, False)),
        ("a.png", "RGBA", {}, ("PNG", "RGBA", 1, True, False)),
        ("a.png", "I;16", {}, ("PNG", "I;16", 1, False, False)),
        ("a.jpg", "RGB", {"exif": exif(3)}, ("JPEG", "RGB", 3, False, False)),
        (
            "a.gif",
            "RGB",
            {"save_all": True, "append_images": [FRAME]},
            ("GIF", "P", 1, False, True),
        ),
    ],
)
def test_a_look_says_how_the_file_is_stored(tmp_path, name, mode, options, said):
    image = (
        Image.fromarray(np.full((20, 40), 40_000, np.uint16)) if mode == "I;16" else halves(mode)
    )
    look = decode_image(saved(tmp_path / name, image, **options)).info()
    assert (look.format, look.mode, look.orientation, look.has_alpha, look.is_animated) == said
    assert (look.width, look.height) == (40, 20)


def test_16_bits_of_colour_are_told(tmp_path):
    import struct
    import zlib

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" + struct.pack(">6H", *range(0, 60_000, 10_000)))
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    assert decode_image(path).info().mode == "RGB;16"


def test_size_and_thumbnail_are_those_of_the_upright_picture(tmp_path):
    look = decode_image(saved(tmp_path / "a.jpg", halves(), exif=exif(6), quality=95)).info()
    assert (look.width, look.height) == (20, 40)
    assert look.thumb.shape == (16, 16, 3)
    assert look.thumb.dtype == np.uint8
    assert np.abs(look.thumb[:7].astype(int) - RED).max() <= 30
    assert np.abs(look.thumb[9:].astype(int) - GREEN).max() <= 30


def test_the_pixel_hash_is_about_size_and_decoded_pixels_alone(tmp_path):
    png = decode_image(saved(tmp_path / "a.png", halves())).info()
    bmp = decode_image(saved(tmp_path / "a.bmp", halves())).info()
    tall = decode_image(saved(tmp_path / "b.png", Image.new("RGB", (4, 8)))).info()
    wide = decode_image(saved(tmp_path / "c.png", Image.new("RGB", (8, 4)))).info()
    assert png.pixels == bmp.pixels
    assert tall.pixels != wide.pixels


def same(one, other):
    return vars(one) | {"thumb": 0} == vars(other) | {"thumb": 0} and np.array_equal(
        one.thumb, other.thumb
    )


def test_looks_are_remembered_by_content_and_unreadable_files_have_a_reason(tmp_path):
    files = [saved(tmp_path / f"{i}.png", Image.new("RGB", (20, 20), (i, 0, 0))) for i in range(3)]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    hashes = hashed([*files, broken])
    told = []
    first, reasons = image_infos(hashes, lambda done, n: told.append((done, n)))
    assert told == [(4, 4)]
    assert set(first) == {hashes[file] for file in files}
    assert "broken.jpg" in reasons[hashes[broken]]
    files[0].rename(tmp_path / "moved.png")
    again, _ = image_infos(
        hashed([tmp_path / "moved.png", *files[1:]]), lambda done, n: told.append("again")
    )
    assert told == [(4, 4)]
    assert all(same(first[content], again[content]) for content in first)


def test_a_broken_index_is_ignored_and_one_that_cannot_be_written_too(tmp_path, monkeypatch):
    hashes = hashed([saved(tmp_path / "a.png", halves())])
    image_infos(hashes, quiet)
    (index,) = cache_root().glob("looks-*.sqlite")
    index.write_bytes(b"no database" * 100)
    assert image_infos(hashes, quiet)[0].keys() == set(hashes.values())
    monkeypatch.setattr(looks_module, "_index", lambda: tmp_path / "a.png" / "x.sqlite")
    assert image_infos(hashes, quiet)[0].keys() == set(hashes.values())


@pytest.mark.parametrize("side", [8, 64], ids=["resized", "native"])
def test_filling_the_pixel_cache_makes_the_looks_from_the_same_decoding(
    tmp_path, tiny_images, side
):
    hashes = hashed(sorted(tiny_images(tmp_path / "tiny").rglob("*.png")))
    store = open_store(hashes, Geometry(side), quiet)
    assert store.is_native == (side == 64)
    looks = known_infos(hashes.values())
    assert looks.keys() == set(hashes.values())
    assert all(same(looks[content], decode_image(path).info()) for path, content in hashes.items())
    assert (
        image_infos(hashes, lambda done, n: pytest.fail("decoded again"))[0].keys() == looks.keys()
    )
