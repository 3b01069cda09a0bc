"""Charts in a terminal: a line that falls falls, a pipe gets none, the scale and the marks are named."""

import pytest

from ensemble.display import charts
from ensemble.display.text import out


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(type(out), "is_terminal", property(lambda _: True))


def test_a_falling_line_starts_at_the_top_and_ends_at_the_bottom():
    top, *_, bottom = charts.braille([3.0, 2.0, 1.0], 1.0, 3.0, width=12, height=4)
    assert top[0] != "\u2800" == top[-1]
    assert bottom[0] == "\u2800" != bottom[-1]


def test_a_level_line_is_one_row_of_dots():
    rows = charts.braille([1.0, 1.0], 1.0, 1.0, width=10, height=2)
    assert rows == ["⠉" * 10, "\u2800" * 10]


def test_a_terminal_shows_the_curve_with_its_ends_and_marks(terminal, capsys):
    charts.show_curve("loss by rate", [3.0, 1.0, 2.0], ("1e-5", "1"), {"slide": 0.5, "steep": 1.0})
    shown = capsys.readouterr().out
    for said in ("loss by rate", "3", "1e-5", "s: slide, t: steep"):
        assert said in shown


def test_bars_are_as_long_as_their_counts_and_say_what_is_left_out(terminal, capsys):
    charts.show_bars("images", {"[b]": {"train": 40}, "c": {"train": 20}, "d": {"train": 1}}, 2)
    shown = capsys.readouterr().out
    assert shown.count("█") == 40 + 20 + 1  # one in the key
    assert "[b]" in shown
    assert "and 1 more" in shown


def test_losses_of_one_epoch_are_no_chart(terminal, capsys):
    charts.show_losses("a", [1.0], [1.0])
    assert capsys.readouterr().out == ""


def test_a_pipe_gets_no_chart(capsys):
    charts.show_curve("x", [1.0, 2.0], ("a", "b"), {})
    charts.show_losses("x", [1.0, 2.0], [1.0, 2.0])
    charts.show_bars("x", {"a": {"train": 1}}, 3)
    assert capsys.readouterr().out == ""
