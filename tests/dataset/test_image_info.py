"""Image infos: how a file is stored and what it shows, from one decoding, cached by content."""

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset import image_info
from ensemble.dataset.content import content_hashes
from ensemble.dataset.decode import decode_image
from ensemble.dataset.geometry import Geometry
from ensemble.dataset.image_info import ImageInfo, cached_infos, image_infos
from ensemble.dataset.pixel_store import open_store
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


def info_of(path):
    return ImageInfo.of(decode_image(path))


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@pytest.mark.parametrize(
    ("name", "mode", "options", "expected"),
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
def test_an_info_says_how_the_file_is_stored(tmp_path, name, mode, options, expected):
    image = (
        Image.fromarray(np.full((20, 40), 40_000, np.uint16)) if mode == "I;16" else halves(mode)
    )
    info = info_of(saved(tmp_path / name, image, **options))
    flags = info.orientation, info.has_alpha, info.is_animated
    assert (info.format, info.mode, *flags) == expected
    assert (info.width, info.height) == (40, 20)


def test_16_bits_of_color_are_recorded(tmp_path):
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
    assert info_of(path).mode == "RGB;16"


def test_size_and_thumbnail_are_those_of_the_upright_image(tmp_path):
    info = info_of(saved(tmp_path / "a.jpg", halves(), exif=exif(6), quality=95))
    assert (info.width, info.height) == (20, 40)
    assert info.thumb.shape == (16, 16, 3)
    assert info.thumb.dtype == np.uint8
    assert np.abs(info.thumb[:7].astype(int) - RED).max() <= 30
    assert np.abs(info.thumb[9:].astype(int) - GREEN).max() <= 30


def test_the_pixel_hash_is_about_size_and_decoded_pixels_alone(tmp_path):
    png = info_of(saved(tmp_path / "a.png", halves()))
    bmp = info_of(saved(tmp_path / "a.bmp", halves()))
    tall = info_of(saved(tmp_path / "b.png", Image.new("RGB", (4, 8))))
    wide = info_of(saved(tmp_path / "c.png", Image.new("RGB", (8, 4))))
    assert png.pixels == bmp.pixels
    assert tall.pixels != wide.pixels


def same(info, expected):
    return info.as_row() == expected.as_row()


def test_infos_are_cached_by_content_and_unreadable_files_have_a_reason(tmp_path):
    files = [saved(tmp_path / f"{i}.png", Image.new("RGB", (20, 20), (i, 0, 0))) for i in range(3)]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    hashes = hashed([*files, broken])
    calls = []
    first, reasons = image_infos(hashes, lambda done, n: calls.append((done, n)))
    assert calls == [(4, 4)]
    assert set(first) == {hashes[file] for file in files}
    assert "broken.jpg" in reasons[hashes[broken]]
    files[0].rename(tmp_path / "moved.png")
    again, _ = image_infos(
        hashed([tmp_path / "moved.png", *files[1:]]), lambda done, n: calls.append("again")
    )
    assert calls == [(4, 4)]
    assert all(same(first[content], again[content]) for content in first)


def test_a_damaged_cache_is_ignored_and_one_that_cannot_be_written_too(tmp_path, monkeypatch):
    hashes = hashed([saved(tmp_path / "a.png", halves())])
    image_infos(hashes, quiet)
    (cached,) = cache_root().glob("image_infos-*.sqlite")
    cached.write_bytes(b"no database" * 100)
    assert image_infos(hashes, quiet)[0].keys() == set(hashes.values())
    monkeypatch.setattr(image_info, "cache_root", lambda: tmp_path / "a.png")
    assert image_infos(hashes, quiet)[0].keys() == set(hashes.values())


@pytest.mark.parametrize("side", [8, 64], ids=["resized", "native"])
def test_filling_the_pixel_store_makes_the_infos_from_the_same_decoding(
    tmp_path, tiny_images, side
):
    hashes = hashed(sorted(tiny_images(tmp_path / "tiny").rglob("*.png")))
    store = open_store(hashes, Geometry(side), quiet)
    assert store.is_native == (side == 64)
    infos = cached_infos(hashes.values())
    assert infos.keys() == set(hashes.values())
    assert all(same(infos[digest], info_of(path)) for path, digest in hashes.items())
    assert (
        image_infos(hashes, lambda done, n: pytest.fail("decoded again"))[0].keys() == infos.keys()
    )
