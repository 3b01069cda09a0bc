"""Pictures of a data set: PNGs that open, as tall as their classes need, whatever the names are."""

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset.audit import Audit, SplitSummary
from ensemble.dataset.tables import class_folders
from ensemble.report.inspect import COLOURS, save_counts, save_samples


def made(n_classes):
    counts = {f"class_{i}": 5 + i for i in range(n_classes)}
    parts = tuple(
        SplitSummary(name, sum(counts.values()), counts, {}, {}, {}) for name in ("train", "valid")
    )
    return Audit("$odd_[name]", parts, (), (), (), {}, (), None)


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def area(pixels, colour):
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(pixels - wanted).max(-1) < 8).sum()


@pytest.mark.parametrize("n_classes", [2, 10, 120])
def test_bars_show_every_part_and_have_room(tmp_path, n_classes):
    save_counts(made(n_classes), tmp_path / "counts.png")
    pixels = pixels_of(tmp_path / "counts.png")
    assert area(pixels, COLOURS["train"]) > 1000
    assert area(pixels, COLOURS["valid"]) > 1000
    assert len(pixels) >= 12 * n_classes


def test_a_set_without_labels_has_an_empty_picture(tmp_path):
    audit = Audit("x", (SplitSummary("test", 3, {}, {}, {}, {}),), (), (), (), {}, (), None)
    save_counts(audit, tmp_path / "counts.png")
    assert pixels_of(tmp_path / "counts.png").size


def test_samples_show_each_class_and_pass_over_unreadable_files(tmp_path, tiny_images):
    folder = tiny_images(tmp_path / "tiny")
    (folder / "blue" / "00.png").write_bytes(b"broken")
    save_samples(class_folders(folder), tmp_path / "samples.png")
    pixels = pixels_of(tmp_path / "samples.png")
    for rgb in ((60, 60, 180), (60, 180, 60), (180, 60, 60)):
        assert (np.abs(pixels - rgb).max(-1) < 40).sum() > 2000


def test_class_names_of_any_script_are_drawn_without_a_word(tmp_path, capsys):
    parts = (SplitSummary("train", 3, {"日本テリア": 1, "كلب سلوقي": 1, "$x_[1]": 1}, {}, {}, {}),)
    save_counts(Audit("犬", parts, (), (), (), {}, (), None), tmp_path / "counts.png")
    assert pixels_of(tmp_path / "counts.png").size
    assert capsys.readouterr().err == ""
