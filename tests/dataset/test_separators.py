"""The mark between the labels of a cell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.separators import CLEAR, is_list, names_in_cell, separator_of

NAMES = ("red", "green", "blue", "pale pink")


@given(st.lists(st.sets(st.sampled_from(NAMES), min_size=1), min_size=12), st.sampled_from(CLEAR))
def test_a_clear_mark_is_found_whatever_the_names_hold(rows, mark):
    cells = {f"{mark} ".join(sorted(names)) for names in rows}
    separator = separator_of(cells)
    if any(mark in cell for cell in cells):
        assert separator is not None
        assert separator.mark == mark
        assert separator.names <= set(NAMES)


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), st.sampled_from(CLEAR))
def test_names_come_back_in_order_without_blanks(names, mark):
    assert names_in_cell(f" {mark} ".join(names) + mark, mark) == names


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        ({"red", "blue", "red-blue", "red-green-blue", "green", "red-green"}, "-"),
        ({"a_1", "a_2", "b_1", "b_2", "b_3"}, None),  # nothing stands alone
        ({"t-shirt", "pull-over", "shoe"}, None),
        ({"scab", "frog_eye", "scab frog_eye", "frog_eye rust", "rust"}, " "),
        ({"healthy", "ill"}, None),
    ],
)
def test_an_unclear_mark_needs_names_that_stand_alone(cells, mark):
    separator = separator_of(cells)
    assert (separator.mark if separator else None) == mark


@pytest.mark.parametrize("cell", ["['red', 'blue']", "[1, 2]", "{red}", "(red, blue)"])
def test_lists_of_programs_are_known(cell):
    assert is_list(cell)
    assert not is_list(f"x {cell}")
