"""Gray files of the channels of an image become one image in color; photos of red things stay as they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ensemble.convert.plan import conversion_of
from ensemble.dataset.load import load
from ensemble.errors import DataError
from ensemble.recipe import Recipe

RGB = ("red", "green", "blue")


def write(folder, channels, names, mode="L", mark="_", seed=0):
    """Files of noise; the pixels of each image by name, (rows, columns, channels)."""
    folder.mkdir(parents=True)
    rng, images = np.random.default_rng(seed), {}
    for name in names:
        images[name] = rng.integers(0, 256, (5, 7, len(channels)), np.uint8)
        for i, channel in enumerate(channels):
            image = Image.fromarray(images[name][:, :, i])
            image.convert(mode).save(folder / f"{name}{mark}{channel}.png")
    return images


def convert(root, folder):
    folder.mkdir()
    conversion = conversion_of(root)
    conversion.write(folder, lambda done, total: None)
    return conversion


@given(
    st.permutations([*RGB, "yellow"]),
    st.sampled_from(["_", "-"]),
    st.sampled_from([str.lower, str.capitalize, str.upper]),
)
def test_every_pixel_has_its_own_channels_whatever_their_order(
    tmp_path_factory, channels, mark, spelled
):
    root, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out") / "set"
    names = {"train": [f"a_{i}" for i in range(3)], "test": ["b", "c"]}
    spelled_channels = [spelled(channel) for channel in channels]
    for split, ids in names.items():
        pixels = write(root / split, spelled_channels, ids, mark=mark)
        names[split] = pixels
    conversion = convert(root, out)
    assert conversion.notes == ("5 images of the channels red, green, blue; left out: yellow",)
    order = [channels.index(channel) for channel in RGB]
    for split, images in names.items():
        assert {path.stem for path in (out / split).iterdir()} == set(images)
        for name, pixels in images.items():
            with Image.open(out / split / f"{name}.png") as stored:
                assert np.array_equal(np.array(stored), pixels[:, :, order])


def test_from_the_folder_to_the_recipe_s_images(tmp_path, monkeypatch, ens):
    root = tmp_path / "cells"
    write(root / "train", RGB, [f"x{i}" for i in range(12)])
    write(root / "test", RGB, [f"y{i}" for i in range(4)])
    rows = [f"x{i},{'ab'[i % 2]}" for i in range(12)]
    (root / "train.csv").write_text("\n".join(["Id,Target", *rows]) + "\n")
    rows = [f"y{i},a" for i in reversed(range(4))]
    (root / "sample_submission.csv").write_text("\n".join(["Id,Target", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    ens("init", "cells")
    data = load(Recipe.load("recipes/cells_resnet.yaml").data)
    labels = dict(zip(data.train.ids, data.train.labels, strict=True))
    labels |= dict(zip(data.valid.ids, data.valid.labels, strict=True))
    assert labels == {f"x{i}": "ab"[i % 2] for i in range(12)}
    assert sorted(data.test.ids) == [f"y{i}" for i in range(4)]


@pytest.mark.parametrize(
    ("channels", "mode", "folders"),
    [
        (RGB, "RGB", ("train",)),  # photos in color
        (RGB, "L", ("train/cat", "train/dog")),  # classes
        (("red", "blue"), "L", ("train",)),
        (("front", "side", "top"), "L", ("train",)),
    ],
)
def test_other_files_stay_images(channels, mode, folders, tmp_path):
    for folder in folders:
        write(tmp_path / folder, channels, [f"{folder[-3:]}{i}" for i in range(6)], mode)
    assert conversion_of(tmp_path) is None


def test_an_image_without_one_of_its_channels_stays_files(tmp_path):
    write(tmp_path / "train", RGB, [f"a{i}" for i in range(6)])
    (tmp_path / "train" / "a3_green.png").unlink()
    assert conversion_of(tmp_path) is None


def test_channels_of_two_sizes_are_named(tmp_path):
    root = tmp_path / "in"
    write(root, RGB, [f"a{i}" for i in range(6)])
    Image.new("L", (8, 8)).save(root / "a3_green.png")
    with pytest.raises(DataError, match="channels of 'a3' have sizes 7×5, 8×8, 7×5"):
        convert(root, tmp_path / "out")


def test_a_channel_that_cannot_be_read_is_left_for_the_training_to_report(tmp_path):
    root = tmp_path / "in"
    write(root, RGB, [f"a{i:02}" for i in range(40)])
    broken = root / "a03_green.png"
    broken.write_bytes(broken.read_bytes()[:60])
    convert(root, tmp_path / "out")
    assert (tmp_path / "out" / "train" / "a03.png").read_bytes() == broken.read_bytes()
