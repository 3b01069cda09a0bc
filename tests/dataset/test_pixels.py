"""Any image becomes the same RGB pixels once; what cannot be read is recorded, never replaced."""

import random
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.dataset.content import content_hashes
from ensemble.dataset.decode import UnreadableImage, read_image
from ensemble.dataset.geometry import Geometry, RandomCrop
from ensemble.dataset.image_info import image_infos
from ensemble.dataset.pixel_store import open_store
from ensemble.dataset.pixels import decode_pixels
from ensemble.errors import DataError
from ensemble.paths import cache_root

SIDES = st.integers(1, 60)
RED, GREEN = (255, 0, 0), (0, 255, 0)


def quiet(done, n):
    pass


def hashed(files):
    return dict(zip(files, content_hashes(files), strict=True))


def halves(size=(20, 10), mode="RGB"):
    """The left half red, the right half green."""
    image = Image.new("RGB", size, GREEN)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def saved(path, image, **options):
    image.save(path, **options)
    return path


@pytest.fixture
def tiny(tmp_path, tiny_images):
    return sorted(tiny_images(tmp_path / "tiny").rglob("*.png"))


@given(SIDES, SIDES, st.integers(8, 32), st.sampled_from([0.5, 0.875, 0.95, 1.0]))
def test_every_image_becomes_size_by_size(width, height, size, crop_pct):
    image = Image.new("RGB", (width, height), RED)
    for resize in ("squish", "crop", "pad"):
        geometry = Geometry(size, resize, crop_pct)
        scaled = geometry.scaled(width, height)
        assert geometry.apply(image).size == (size, size)
        assert min(scaled) >= size or resize == "pad"
        assert max(scaled) == size or resize != "pad"
        assert min(scaled) == int(size / crop_pct) or resize != "crop"


def test_squish_keeps_everything_crop_the_middle_and_pad_adds_black_bars():
    image = halves((80, 40))
    squished = np.asarray(Geometry(20, "squish").apply(image))
    assert (squished[:, 0] == RED).all()
    assert (squished[:, -1] == GREEN).all()
    cropped = np.asarray(Geometry(20, "crop", crop_pct=0.5).apply(image))
    assert (cropped[:, :8] == RED).all()
    assert (cropped[:, -8:] == GREEN).all()
    padded = np.asarray(Geometry(20, "pad").apply(image))
    assert (padded[:5] == 0).all()
    assert (padded[-5:] == 0).all()
    assert (padded[5:15, 0] == RED).all()
    assert (padded[5:15, -1] == GREEN).all()


def test_interpolation_is_the_one_asked_for():
    image = halves((4, 4))
    nearest = np.asarray(Geometry(32, "squish", interpolation="nearest").apply(image))
    assert {tuple(pixel) for pixel in nearest.reshape(-1, 3).tolist()} == {RED, GREEN}
    smooth = [
        np.asarray(Geometry(32, "squish", interpolation=name).apply(image))
        for name in ("bicubic", "bilinear")
    ]
    assert not np.array_equal(*smooth)


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("plain.png", "RGB", {}),
        ("palette.gif", "P", {}),
        ("palette.png", "P", {}),
        ("transparent_palette.png", "P", {"transparency": bytes([0, 128, 255])}),
        ("transparent.gif", "P", {"transparency": 0}),
        ("alpha.png", "RGBA", {}),
        ("transparent.png", "RGB", {"transparency": (255, 0, 0)}),
        ("cmyk.jpg", "CMYK", {"quality": 95}),
        ("ycc.jpg", "RGB", {"quality": 95, "subsampling": 0}),
        ("lossless.webp", "RGB", {"lossless": True}),
        ("cmyk.tif", "CMYK", {}),
        ("plain.bmp", "RGB", {}),
        ("plain.ppm", "RGB", {}),
    ],
)
def test_images_of_any_mode_are_read_as_rgb(tmp_path, name, mode, options):
    image = halves(mode=mode)
    if mode == "RGBA":
        image.putalpha(7)
    pixels = np.asarray(read_image(saved(tmp_path / name, image, **options))).astype(int)
    assert pixels.shape == (10, 20, 3)
    assert np.abs(pixels[:, :8] - RED).max() <= 12
    assert np.abs(pixels[:, -8:] - GREEN).max() <= 12


@pytest.mark.parametrize("name", ["grey.png", "grey.tif"])
def test_16_bits_are_scaled_to_8(tmp_path, name):
    levels = np.array([[0, 255, 256, 0xABCD, 0xFFFF]], np.uint16)
    pixels = decode_pixels(saved(tmp_path / name, Image.fromarray(levels)), None)
    assert pixels[0].tolist() == [[level] * 3 for level in (0, 0, 1, 0xAB, 0xFF)]


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_gray_images_have_three_equal_channels(tmp_path, mode):
    pixels = decode_pixels(
        saved(tmp_path / "a.png", Image.new("L", (3, 2), 255).convert(mode)), None
    )
    assert pixels.tolist() == np.full((2, 3, 3), 255).tolist()


def test_an_image_is_turned_as_its_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise
    pixels = np.asarray(
        read_image(saved(tmp_path / "a.jpg", halves(), exif=exif, quality=95))
    ).astype(int)
    assert pixels.shape == (20, 10, 3)
    assert np.abs(pixels[:8] - RED).max() <= 30
    assert np.abs(pixels[-8:] - GREEN).max() <= 30


def png_chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def broken_files(folder):
    """Files that no decoder accepts as an image, by name."""
    whole = saved(folder / "whole.jpg", Image.effect_noise((64, 64), 80)).read_bytes()
    bomb = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    contents = {
        "half.jpg": whole[: len(whole) // 2],
        "text.png": b"<html>404</html>",
        "empty.png": b"",
        "bomb.png": b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", bomb)
        + png_chunk(b"IDAT", zlib.compress(b"")),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def test_unreadable_files_are_told_with_their_name(tmp_path):
    for path in [*broken_files(tmp_path), tmp_path, tmp_path / "gone.png"]:
        with pytest.raises(UnreadableImage, match=path.name):
            read_image(path)


@given(st.data())
def test_a_damaged_file_is_an_image_or_unreadable(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / data.draw(
        st.sampled_from(["a.png", "a.jpg", "a.gif", "a.webp", "a.tif"])
    )
    raw = bytearray(saved(path, halves()).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    with suppress(UnreadableImage):
        assert decode_pixels(path, Geometry(8)).shape == (8, 8, 3)


def test_unreadable_files_are_recorded_and_the_others_keep_their_own_pixels(tmp_path, tiny):
    broken = broken_files(tmp_path)
    hashes = hashed([*tiny[:5], *broken])
    store = open_store(hashes, Geometry(16), quiet)
    assert set(store.unreadable) == {hashes[path] for path in broken}
    assert all("object at 0x" not in reason for reason in store.unreadable.values())
    for path in tiny[:5]:
        assert np.array_equal(
            store.pixels[store.row_of[hashes[path]]], decode_pixels(path, Geometry(16))
        )


@pytest.mark.parametrize(
    "geometry", [Geometry(32), Geometry(48, "crop", 0.875), Geometry(64)], ids=str
)
def test_small_images_of_one_size_are_stored_as_they_are(tiny, geometry):
    hashes = hashed(tiny)
    store = open_store(hashes, geometry, quiet)
    assert store.is_native
    assert (store.pixels.shape, store.pixels.dtype) == ((60, 32, 32, 3), np.uint8)
    assert all(
        np.array_equal(store.pixels[store.row_of[hashes[path]]], Image.open(path)) for path in tiny
    )


def test_larger_images_or_images_of_several_sizes_are_resized(tmp_path, tiny):
    store = open_store(hashed(tiny), Geometry(16), quiet)
    assert (store.is_native, store.pixels.shape) == (False, (60, 16, 16, 3))
    store = open_store(
        hashed(tiny), Geometry(32, "crop", 0.875), quiet
    )  # their own size, but cut out of 36 × 36
    assert (store.is_native, store.pixels.shape) == (False, (60, 32, 32, 3))
    wide = saved(tmp_path / "wide.png", halves())
    store = open_store(hashed([*tiny, wide]), Geometry(64), quiet)
    assert (store.is_native, store.pixels.shape) == (False, (61, 64, 64, 3))


def test_only_unreadable_files_are_recorded_too(tmp_path):
    store = open_store(hashed(broken_files(tmp_path)), Geometry(16), quiet)
    assert len(store.unreadable) == 4
    assert not store.is_native


def test_the_same_content_is_stored_once_wherever_it_lies(tmp_path, tiny):
    copy = tmp_path / "copy.png"
    copy.write_bytes(tiny[0].read_bytes())
    hashes = hashed([*tiny[:3], copy])
    store = open_store(hashes, Geometry(32), quiet)
    assert len(store.pixels) == len(store.row_of) == 3
    assert store.row_of[hashes[copy]] == store.row_of[hashes[tiny[0]]]


def test_pixels_are_decoded_once_and_the_order_of_files_does_not_matter(tiny):
    told = []
    first = open_store(hashed(tiny), Geometry(16), lambda done, n: told.append((done, n)))
    assert told == [(0, 60), (60, 60)]
    again = open_store(hashed(tiny[::-1]), Geometry(16), lambda done, n: told.append("again"))
    assert told == [(0, 60), (60, 60)]
    assert again.row_of == first.row_of
    assert np.array_equal(first.pixels, again.pixels)


def test_a_changed_pixel_or_geometry_gives_another_array(tiny):
    def arrays():
        return {path.name for path in (cache_root() / "pixels").glob("*.npy")}

    old = open_store(hashed(tiny), Geometry(16), quiet)
    image = Image.open(tiny[0]).convert("RGB")
    image.putpixel((0, 0), (0, 0, 0))
    image.save(tiny[0])
    new = open_store(hashed(tiny), Geometry(16), quiet)
    assert len(arrays()) == 2
    assert old.row_of.keys() != new.row_of.keys()
    open_store(hashed(tiny), Geometry(16, "pad"), quiet)
    open_store(hashed(tiny), Geometry(16, interpolation="bilinear"), quiet)
    assert len(arrays()) == 4


def test_an_interrupted_fill_leaves_nothing(tiny):
    def interrupt(done, n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(hashed(tiny), Geometry(16), interrupt)
    assert list((cache_root() / "pixels").iterdir()) == []
    assert len(open_store(hashed(tiny), Geometry(16), quiet).pixels) == 60


def test_an_array_whose_sidecar_was_never_written_is_filled_again(tiny):
    good = np.array(open_store(hashed(tiny), Geometry(16), quiet).pixels)
    (path,) = (cache_root() / "pixels").glob("*.json")
    path.unlink()
    path.with_suffix(".npy").write_bytes(b"killed in between")
    assert np.array_equal(open_store(hashed(tiny), Geometry(16), quiet).pixels, good)


@pytest.mark.parametrize("budget", [None, 1000], ids=["stored", "streamed"])
@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
def test_only_the_bytes_that_were_hashed_are_decoded(tiny, budget, is_known):
    if is_known:
        image_infos(hashed(tiny), quiet)
    hashes, whole = hashed(tiny), tiny[7].read_bytes()
    for replacement in (tiny[8].read_bytes(), b"", None):
        tiny[7].unlink()
        if replacement is not None:
            tiny[7].write_bytes(replacement)
        with pytest.raises(DataError, match=r"07.png: (was changed while|can no longer be read)"):
            np.array(open_store(hashes, Geometry(16), quiet, budget).pixels[np.arange(60)])
        assert list((cache_root() / "pixels").glob("*")) == []
        tiny[7].write_bytes(whole)
    store = open_store(hashes, Geometry(16), quiet)
    assert all(
        np.array_equal(store.pixels[store.row_of[hashes[path]]], decode_pixels(path, Geometry(16)))
        for path in tiny
    )


def test_stored_pixels_cannot_be_changed_by_accident(tiny):
    store = open_store(hashed(tiny[:2]), Geometry(16), quiet)
    with pytest.raises(ValueError, match="read-only"):
        store.pixels[0] = 0


def test_past_the_budget_images_stream_and_say_the_same(tiny, tmp_path):
    hashes = hashed([*tiny, *broken_files(tmp_path)])
    for geometry in (Geometry(16), Geometry(32), Geometry(48)):
        stored = open_store(hashes, geometry, quiet)
        for cached in (cache_root() / "pixels").iterdir():
            cached.unlink()
        streamed = open_store(hashes, geometry, quiet, budget=1000)
        assert list((cache_root() / "pixels").iterdir()) == []
        assert (streamed.row_of, streamed.unreadable.keys()) == (
            stored.row_of,
            stored.unreadable.keys(),
        )
        rows = np.array(
            [row for content, row in stored.row_of.items() if content not in stored.unreadable]
        )
        assert streamed.is_native == stored.is_native
        assert np.array_equal(streamed.pixels[rows], stored.pixels[rows])


def test_a_file_that_changes_while_images_stream_is_named(tiny, tmp_path):
    other_size = saved(tmp_path / "other.png", halves()).read_bytes()
    whole, hashes = tiny[0].read_bytes(), hashed(tiny)
    for geometry, content in (
        (Geometry(16), b""),
        (Geometry(48), other_size),
        (Geometry(48), tiny[1].read_bytes()),
    ):
        tiny[0].write_bytes(whole)
        streamed = open_store(hashes, geometry, quiet, budget=1000)
        rows = np.array([streamed.row_of[hashes[tiny[0]]]])
        assert len(streamed.pixels[rows]) == 1
        tiny[0].write_bytes(content)
        with pytest.raises(
            DataError, match=f"{tiny[0].name}: was changed while this command was using it"
        ):
            streamed.pixels[rows]


def test_what_is_stored_already_needs_no_budget(tiny):
    open_store(hashed(tiny), Geometry(16), quiet)
    assert isinstance(open_store(hashed(tiny), Geometry(16), quiet, budget=0).pixels, np.ndarray)


@given(st.integers(1, 4000), st.integers(1, 4000), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_random_crop_lies_within_the_image_and_keeps_its_share(width, height, share, seed):
    left, top, right, bottom = RandomCrop(share).box(width, height, random.Random(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    is_middle = (left, top) == ((width - right + left) // 2, (height - bottom + top) // 2)
    rounding = (right - left + bottom - top + 1) / 2
    assert is_middle or (right - left) * (bottom - top) >= share * width * height - rounding


def test_crops_of_a_square_are_spread_over_it_and_of_all_sizes():
    rng, crop = random.Random(0), RandomCrop(0.25)
    boxes = np.array([crop.box(200, 200, rng) for _ in range(500)])
    shares = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / 40_000
    assert (shares.min() < 0.3, shares.max() > 0.9) == (True, True)
    assert np.all(boxes[:, :2].min(0) == 0)
    assert np.all(boxes[:, 2:].max(0) == 200)


def test_a_large_jpeg_gives_nearly_the_pixels_of_its_full_decoding_known_or_not(tmp_path, rng):
    coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    path = saved(
        tmp_path / "large.jpg", coarse.resize((1200, 900), Image.Resampling.BICUBIC), quality=90
    )
    geometry = Geometry(64)
    exact = np.asarray(geometry.apply(Image.open(path)))
    first = open_store(hashed([path]), geometry, quiet).pixels[0]  # decoded whole too, for its look
    for cached in (cache_root() / "pixels").iterdir():
        cached.unlink()
    again = open_store(hashed([path]), geometry, quiet).pixels[0]
    assert np.array_equal(first, again)
    assert np.array_equal(first, decode_pixels(path, geometry))
    assert 0 < np.abs(first.astype(int) - exact).max() <= 8
    assert read_image(path, geometry.least_side).size == (300, 225)
