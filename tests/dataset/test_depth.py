"""Values of more than 8 bits are scaled by the range of their set, measured once; 8 bits stay as they are."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.dataset.audit import audit
from ensemble.dataset.content import content_hashes
from ensemble.dataset.decode import read_image
from ensemble.dataset.depth import Ranges, cached_ranges, measured_ranges, to_8_bits
from ensemble.dataset.geometry import Geometry
from ensemble.dataset.load import load
from ensemble.dataset.pixel_store import open_store
from ensemble.paths import cache_root
from ensemble.recipe import Data

DEPTHS = {
    "float01": (lambda v: v.astype(np.float32), "tif", "F"),
    "wide_float": (lambda v: (v * 2e5 - 1e5).astype(np.float32), "tif", "F"),
    "hounsfield": (lambda v: (v * 400 - 400).astype(np.int32), "tif", "I"),
    "lowest_bits": (lambda v: (v * 200).astype(np.uint16), "png", "I;16"),
    "bits12": (lambda v: (v * 4095).astype(np.uint16), "png", "I;16"),
    "bits12_tiff": (lambda v: (v * 4095).astype(np.uint16), "tif", "I;16"),
    "far_from_0": (lambda v: (v * 900 + 29_000).astype(np.uint16), "png", "I;16"),
    "bits16": (lambda v: (v * 65_535).astype(np.uint16), "png", "I;16"),
}


def two_classes(root, make, suffix, n=6):
    """Dark and light images, told apart by brightness alone."""
    rng = np.random.default_rng(0)
    for k, name in enumerate(("dark", "light")):
        (root / name).mkdir(parents=True)
        for i in range(n):
            shares = (0.25 + 0.5 * k + rng.normal(0, 0.08, (20, 20))).clip(0.01, 0.99)
            Image.fromarray(make(shares)).save(root / name / f"{i}.{suffix}")
    return sorted(root.rglob(f"*.{suffix}"))


@pytest.mark.parametrize("name", DEPTHS)
def test_every_depth_gives_dark_and_light_images_as_8_bits_would(tmp_path, name):
    make, suffix, mode = DEPTHS[name]
    files = two_classes(tmp_path / "set", make, suffix)
    ranges = measured_ranges(files)
    assert [own for own, _, _ in ranges.by_mode] == [mode]
    means = {file: np.asarray(read_image(file, ranges=ranges)).mean() for file in files}
    dark, light = (
        [mean for file, mean in means.items() if file.parent.name == own]
        for own in ("dark", "light")
    )
    assert max(dark) < 100
    assert min(light) > 140
    assert str(ranges).count("\n") == 0
    assert "the range of this set" in str(ranges)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_images_of_8_bits_have_no_range_and_keep_their_bytes(tmp_path, mode):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 90, (9, 9, 3), np.uint8)).convert(
        mode
    )
    image.save(tmp_path / "a.tif")
    assert measured_ranges([tmp_path / "a.tif"]) == Ranges()
    assert str(Ranges()) == ""
    odd = Ranges((("F", 0.0, 1.0), ("I", 3.0, 9.0), ("I;16", 0.0, 9.0)))
    assert np.array_equal(
        read_image(tmp_path / "a.tif"), read_image(tmp_path / "a.tif", ranges=odd)
    )


def test_16_bits_that_are_used_are_scaled_as_before(tmp_path):
    values = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / "a.png")
    ranges = measured_ranges([tmp_path / "a.png"])
    assert ranges.of("I;16") == (0, 65_535)
    assert np.array_equal(
        np.asarray(read_image(tmp_path / "a.png", ranges=ranges))[..., 0], values // 256
    )


@given(
    st.sampled_from([np.uint16, np.int32, np.float32]),
    st.lists(st.integers(0, 60_000), min_size=2, max_size=50),
    st.integers(0, 60_000),
    st.integers(1, 5000),
)
def test_scaling_keeps_the_order_of_values_and_both_ends(kind, numbers, low, span):
    values = np.sort(np.array(numbers, kind))
    scaled = to_8_bits(values, low, low + span)
    assert scaled.dtype == np.uint8
    assert (np.diff(scaled.astype(int)) >= 0).all()
    assert to_8_bits(np.array([low, low + span], kind), low, low + span).tolist() == [0, 255]


def test_pixels_without_a_value_and_hot_pixels_decide_nothing(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 1, (100, 100)).astype(np.float32)
    values[0, :6] = np.nan, np.inf, -np.inf, -3.4e38, 3.4e38, 1e6
    Image.fromarray(values).save(tmp_path / "a.tif")
    low, high = measured_ranges([tmp_path / "a.tif"]).of("F")
    assert 0 <= low < 0.01
    assert 0.99 < high <= 1
    shown = np.asarray(read_image(tmp_path / "a.tif", ranges=measured_ranges([tmp_path / "a.tif"])))
    assert shown[0, :6, 0].tolist() == [0, 255, 0, 0, 255, 255]


def test_a_constant_set_has_a_range_too(tmp_path):
    Image.fromarray(np.full((4, 4), 7, np.int32)).save(tmp_path / "a.tif")
    low, high = measured_ranges([tmp_path / "a.tif"]).of("I")
    assert low <= 7 < high


def test_few_bright_pixels_on_black_are_not_lost(tmp_path):
    values = np.zeros((200, 200), np.uint16)
    values[:3, :3] = 900
    Image.fromarray(values).save(tmp_path / "a.png")
    shown = np.asarray(read_image(tmp_path / "a.png", ranges=measured_ranges([tmp_path / "a.png"])))
    assert (shown.min(), shown.max()) == (0, 255)


def test_the_range_is_that_of_the_labelled_images_the_same_for_every_fold(tmp_path):
    two_classes(tmp_path / "set" / "train", lambda v: (v * 400 - 400).astype(np.int32), "tif")
    (tmp_path / "set" / "test").mkdir()
    Image.fromarray(np.full((20, 20), 30_000, np.int32)).save(tmp_path / "set" / "test" / "0.tif")
    Image.fromarray(np.full((20, 20), 0.5, np.float32)).save(tmp_path / "set" / "test" / "1.tif")
    data = Data(source="folder", path=str(tmp_path / "set"), test="test", valid={"folds": 3})
    ranges = {load(data, fold).ranges for fold in range(3)}
    assert len(ranges) == 1
    (of_set,) = ranges
    assert -400 <= of_set.of("I")[0] < of_set.of("I")[1] <= 0
    assert of_set.covers("F")  # which no labelled image has: measured on the test images
    assert load(data).joined().ranges == of_set


def test_a_range_is_measured_once_and_survives_json(tmp_path):
    files = two_classes(tmp_path / "set", DEPTHS["float01"][0], "tif")
    hashes = dict(zip(files, content_hashes(files), strict=True))
    first = cached_ranges(hashes, {})
    (memory,) = (cache_root() / "ranges").iterdir()
    for file in files:
        file.write_bytes(b"gone")
    assert cached_ranges(hashes, {}) == first
    assert Ranges.from_json(json.loads(json.dumps(first.as_json()))) == first
    memory.write_text("[1, 2")
    assert cached_ranges(hashes, {}) == Ranges()  # nothing can be read any more


def test_each_range_has_pixels_of_its_own_stored_or_streamed(tmp_path):
    files = two_classes(tmp_path / "set", DEPTHS["float01"][0], "tif")
    hashes = dict(zip(files, content_hashes(files), strict=True))
    ranges = cached_ranges(hashes, {})
    rows = np.arange(len(files))
    for geometry in (Geometry(16), Geometry(32)):
        plain = open_store(hashes, geometry, lambda done, n: None)
        scaled = open_store(hashes, geometry, lambda done, n: None, ranges=ranges)
        streamed = open_store(hashes, Geometry(17), lambda done, n: None, budget=10, ranges=ranges)
        assert plain.pixels[rows].max() <= 1
        assert scaled.pixels[rows].max() > 200
        assert streamed.pixels[rows].max() > 200


def test_the_audit_tells_deep_images_apart_and_names_black_and_constant_ones(tmp_path):
    two_classes(tmp_path / "set", DEPTHS["float01"][0], "tif")
    Image.new("RGB", (20, 20), (5, 6, 7)).save(tmp_path / "set" / "dark" / "night.png")
    Image.new("RGB", (20, 20), (90, 90, 200)).save(tmp_path / "set" / "light" / "wall.png")
    looked = audit(load(Data(source="folder", path=str(tmp_path / "set"), train=".", valid=0.5)))
    assert looked.copies == ()
    assert [item.file.name for item in looked.odd["black or nearly black"]] == ["night.png"]
    assert [item.file.name for item in looked.odd["a single color"]] == ["wall.png"]
    assert any("floats from" in note for note in looked.notes)


def test_groups_of_duplicates_do_not_take_dark_depths_for_one_image(tmp_path):
    two_classes(tmp_path / "set", DEPTHS["float01"][0], "tif")
    data = Data(
        source="folder", path=str(tmp_path / "set"), train=".", valid=0.5, group="duplicates"
    )
    assert len(set(load(data).train.groups)) == len(load(data).train)
