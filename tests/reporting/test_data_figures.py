"""Figures of a data set: PNGs tall enough for their classes, with names of any script."""

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset.audit import Audit, SplitSummary
from ensemble.dataset.class_folders import class_folders
from ensemble.reporting.data_figures import COLORS, draw_counts, draw_samples


def audit_of(*parts, name="x"):
    return Audit(name, parts, (), (), (), {}, (), None)


def part_of(name, counts):
    return SplitSummary(name, sum(counts.values()), counts, {}, {}, {})


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def area(pixels, color):
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(pixels - rgb).max(-1) < 8).sum()


@pytest.mark.parametrize("n_classes", [2, 10, 120])
def test_bars_show_every_split_and_have_room(tmp_path, n_classes):
    counts = {f"class_{i}": 5 + i for i in range(n_classes)}
    splits = [part_of(name, counts) for name in ("train", "valid")]
    draw_counts(audit_of(*splits, name="$odd_[name]"), tmp_path / "counts.png")
    pixels = pixels_of(tmp_path / "counts.png")
    assert area(pixels, COLORS["train"]) > 1000
    assert area(pixels, COLORS["valid"]) > 1000
    assert len(pixels) >= 12 * n_classes


def test_a_data_set_without_labels_gives_a_figure_without_bars(tmp_path):
    draw_counts(audit_of(SplitSummary("test", 3, {}, {}, {}, {})), tmp_path / "counts.png")
    pixels = pixels_of(tmp_path / "counts.png")
    assert [area(pixels, color) for color in COLORS.values()] == [0, 0, 0]


def test_samples_show_each_class_and_skip_unreadable_files(tmp_path, tiny_images):
    folder = tiny_images(tmp_path / "tiny")
    (folder / "blue" / "00.png").write_bytes(b"broken")
    draw_samples(class_folders(folder), tmp_path / "samples.png")
    pixels = pixels_of(tmp_path / "samples.png")
    for rgb in ((60, 60, 180), (60, 180, 60), (180, 60, 60)):
        assert (np.abs(pixels - rgb).max(-1) < 40).sum() > 2000


def test_class_names_of_any_script_are_drawn_without_a_warning(tmp_path, capsys):
    names = ("日本テリア", "كلب سلوقي", "$x_[1]", "x" * 300)
    splits = [part_of("train", dict.fromkeys(names, 1))]
    draw_counts(audit_of(*splits, name="犬"), tmp_path / "counts.png")
    assert area(pixels_of(tmp_path / "counts.png"), COLORS["train"]) > 1000
    assert capsys.readouterr().err == ""
