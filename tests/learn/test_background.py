"""Work beside training: its result comes once, its error where it is asked for."""

import threading

import pytest

from ensemble.learn.background import Background


def test_a_result_is_taken_once_and_only_when_it_is_ready():
    gate = threading.Event()

    def work():
        gate.wait(10)
        return ["a leak"]

    background = Background(work)
    assert background.take() is None
    gate.set()
    assert background.take(None) == ["a leak"]
    assert background.take(None) is None


def test_an_error_is_raised_where_the_result_is_asked_for():
    def work():
        raise ValueError("unreadable")

    background = Background(work)
    with pytest.raises(ValueError, match="unreadable"):
        background.take(None)
