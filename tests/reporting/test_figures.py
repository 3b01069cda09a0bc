"""Figures of a training: a PNG or an SVG with every curve, the same bytes for the same numbers."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from ensemble.errors import EnsembleError
from ensemble.events import EpochEnded
from ensemble.metrics import wilson
from ensemble.reporting import figures
from ensemble.reporting.figures import RULE_COLORS, draw_curves, draw_range_test
from ensemble.reporting.mistakes import Bin
from ensemble.reporting.svg import inline_svg

HISTORY = [
    EpochEnded("a-1-s0", "frozen", 1, 1, 1.25, 1.1, 0.5, 2.5, True),
    EpochEnded("a-1-s0", "unfrozen", 2, 2, 0.75, 0.9, 0.625, 5.123456789, True),
    EpochEnded("a-1-s0", "unfrozen", 3, 2, 0.5, 0.95, 0.6, 5.0, False),
]
RATES = np.geomspace(1e-7, 10, 30).tolist()
LOSSES = (2 - np.exp(-((np.arange(30) - 20) ** 2) / 30)).tolist()
POINTS = list(zip(RATES, LOSSES, strict=True))
SUGGESTIONS = {"valley": 1e-3, "slide": None, "steep": 2e-3, "minimum": 5e-2}
BINS = [Bin(30, 0.7, wilson(0.6, 30)), Bin(70, 0.95, wilson(0.9, 70))]
PLOTS = {
    "loss": (figures.plot_loss, HISTORY),
    "accuracy": (figures.plot_score, HISTORY),
    "range test": (figures.plot_range_test, POINTS, SUGGESTIONS, 1e-3, "valley"),
    "reliability": (figures.plot_reliability, BINS),
}


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def shows(pixels, color):
    """Whether a hex color is drawn somewhere."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(pixels - rgb).max(-1) < 12).any()


def test_the_curves_show_training_and_validation(tmp_path):
    draw_curves(HISTORY, tmp_path / "curves.png", "a-1-s0")
    pixels = pixels_of(tmp_path / "curves.png")
    assert pixels.shape[1] > pixels.shape[0] > 300
    assert shows(pixels, "#0072B2")
    assert shows(pixels, "#D55E00")


@pytest.mark.parametrize(
    "history", [HISTORY[:1], HISTORY[2:], []], ids=["one epoch", "no best epoch", "none"]
)
def test_short_histories_are_drawn_too(history, tmp_path):
    draw_curves(history, tmp_path / "curves.png", "a-1-s0")
    pixels_of(tmp_path / "curves.png")


def test_a_title_that_looks_like_a_formula_is_drawn_as_text(tmp_path):
    draw_curves(HISTORY, tmp_path / "curves.png", "a_b$x^$-1-s0")  # no formula: an error as one
    pixels_of(tmp_path / "curves.png")


def test_the_range_test_shows_the_rules_that_have_a_suggestion(tmp_path):
    draw_range_test(POINTS, SUGGESTIONS, 0.5, "fallback", tmp_path / "lr_find.png")
    pixels = pixels_of(tmp_path / "lr_find.png")
    drawn = {rule for rule in RULE_COLORS if shows(pixels, RULE_COLORS[rule])}
    assert drawn == {"valley", "steep", "minimum"}


@pytest.mark.parametrize(
    "points",
    [[], [(1e-7, 2.0)], [(rate, 2.0) for rate in RATES]],
    ids=["no point", "one point", "flat"],
)
def test_a_range_test_without_a_usable_curve_is_drawn_with_the_fallback(points, tmp_path):
    no_suggestion = dict.fromkeys(RULE_COLORS)
    draw_range_test(points, no_suggestion, 1e-3, "fallback", tmp_path / "lr_find.png")
    pixels_of(tmp_path / "lr_find.png")


def test_the_same_numbers_give_the_same_png(tmp_path):
    for name in ("first", "second"):
        draw_curves(HISTORY, tmp_path / name / "curves.png", "a-1-s0")
        draw_range_test(POINTS, SUGGESTIONS, 1e-3, "valley", tmp_path / name / "lr_find.png")
    for file in ("curves.png", "lr_find.png"):
        first, second = (tmp_path / name / file for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnsembleError, match=r"curves.png: cannot be written"):
        draw_curves(HISTORY, tmp_path / "file" / "curves.png", "a-1-s0")


@pytest.mark.parametrize("name", PLOTS)
def test_a_figure_in_the_page_is_small_has_no_id_and_takes_its_colors_from_the_page(name):
    svg = inline_svg(*PLOTS[name])
    assert svg == inline_svg(*PLOTS[name])
    assert len(svg) < 16_000
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert {node.tag for node in root.iter()} == {"svg", "path", "text"}
    assert [node for node in root.iter() if node.get("id")] == []
    assert "var(--ink)" in svg
    assert "#" not in svg
    assert "font-family" not in svg


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("loss", ["training 1.25 to 0.5", "validation 1.1 to 0.95"]),
        ("accuracy", ["50.0% to 60.0%"]),
        ("range test", ["valley 1.0e-03", "minimum 5.0e-02", "chosen 1.0e-03 (valley)"]),
        ("reliability", ["70 images", "confidence of 95%", "accuracy of 90%"]),
    ],
)
def test_the_alt_text_holds_the_numbers(name, parts):
    alt = ElementTree.fromstring(inline_svg(*PLOTS[name])).get("aria-label")
    assert [part for part in parts if part not in alt] == []


def test_losses_that_diverged_are_gaps(tmp_path):
    wild = [
        EpochEnded("a-1-s0", "train", 1 + i, 4, loss, 0.5, 0.9, 1, False)
        for i, loss in enumerate((math.nan, 1e308, 0.5, math.inf))
    ]
    svg = str(inline_svg(figures.plot_loss, wild))
    body = svg.partition(">")[2]
    assert "nan" not in body
    assert "e+" not in body
