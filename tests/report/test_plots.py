"""Pictures of a training: a CSV with every number, a PNG that opens, the same bytes for the same numbers."""

import csv

import numpy as np
import pytest
from PIL import Image

from ensemble.errors import EnsembleError
from ensemble.events import EpochEnded
from ensemble.report.plots import RULE_COLOURS, save_history, save_range_test

HISTORY = [
    EpochEnded("a-1-s0", "frozen", 1, 1, 1.25, 1.1, 0.5, 2.5, True),
    EpochEnded("a-1-s0", "unfrozen", 2, 2, 0.75, 0.9, 0.625, 5.123456789, True),
    EpochEnded("a-1-s0", "unfrozen", 3, 2, 0.5, 0.95, 0.6, 5.0, False),
]
RATES = tuple(np.geomspace(1e-7, 10, 30).tolist())
LOSSES = tuple((2 - np.exp(-((np.arange(30) - 20) ** 2) / 30)).tolist())
SUGGESTIONS = {"valley": 1e-3, "slide": None, "steep": 2e-3, "minimum": 5e-2}


def rows_of(path):
    with path.open(newline="") as rows:
        return list(csv.DictReader(rows))


def pixels_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def shows(pixels, colour):
    """Whether a hex colour is drawn somewhere."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(pixels - wanted).max(-1) < 12).any()


def test_history_has_a_row_per_epoch_with_six_digits(tmp_path):
    save_history(HISTORY, tmp_path / "new", "a-1-s0")
    text = (tmp_path / "new" / "history.csv").read_bytes().decode()
    assert text == (
        "epoch,phase,train_loss,valid_loss,accuracy,seconds,is_best\n"
        "1,frozen,1.25,1.1,0.5,2.5,1\n"
        "2,unfrozen,0.75,0.9,0.625,5.12346,1\n"
        "3,unfrozen,0.5,0.95,0.6,5,0\n"
    )


def test_the_curves_show_training_and_validation(tmp_path):
    save_history(HISTORY, tmp_path, "a-1-s0")
    pixels = pixels_of(tmp_path / "curves.png")
    assert pixels.shape[1] > pixels.shape[0] > 300
    assert shows(pixels, "#0072B2")
    assert shows(pixels, "#D55E00")


@pytest.mark.parametrize(
    "history", [HISTORY[:1], HISTORY[2:], []], ids=["one epoch", "no best epoch", "none"]
)
def test_short_histories_are_drawn_too(history, tmp_path):
    save_history(history, tmp_path, "a-1-s0")
    assert len(rows_of(tmp_path / "history.csv")) == len(history)
    pixels_of(tmp_path / "curves.png")


def test_a_name_that_looks_like_markup_or_maths_is_drawn_as_it_is(tmp_path):
    save_history(HISTORY, tmp_path, "a_b$x^2-1-s0")
    pixels_of(tmp_path / "curves.png")


def test_the_range_test_shows_the_curve_and_the_rules_that_answered(tmp_path):
    save_range_test(RATES, LOSSES, SUGGESTIONS, 0.5, "fallback", tmp_path)
    rows = rows_of(tmp_path / "lr_find.csv")
    assert list(rows[0]) == ["rate", "smoothed_loss"]
    assert np.allclose([float(row["rate"]) for row in rows], RATES, rtol=1e-5)
    assert np.allclose([float(row["smoothed_loss"]) for row in rows], LOSSES, rtol=1e-5)
    pixels = pixels_of(tmp_path / "lr_find.png")
    assert {rule for rule in RULE_COLOURS if shows(pixels, RULE_COLOURS[rule])} == {
        "valley",
        "steep",
        "minimum",
    }


@pytest.mark.parametrize(
    ("rates", "losses"),
    [((), ()), ((1e-7,), (2.0,)), (RATES, (2.0,) * 30)],
    ids=["no point", "one point", "flat"],
)
def test_a_curve_that_says_nothing_is_drawn_with_the_fallback(rates, losses, tmp_path):
    save_range_test(rates, losses, dict.fromkeys(RULE_COLOURS), 1e-3, "fallback", tmp_path)
    assert len(rows_of(tmp_path / "lr_find.csv")) == len(rates)
    pixels_of(tmp_path / "lr_find.png")


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save_history(HISTORY, tmp_path / name, "a-1-s0")
        save_range_test(RATES, LOSSES, SUGGESTIONS, 1e-3, "valley", tmp_path / name)
    for file in ("history.csv", "curves.png", "lr_find.csv", "lr_find.png"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnsembleError, match=r"history.csv: cannot be written"):
        save_history(HISTORY, tmp_path / "file", "a-1-s0")
