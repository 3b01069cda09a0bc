"""Ids are matched to file names as text; a loose rule applies to all ids of a column or to none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.match import Names

NAMES = [f"train/{i:04d}.jpg" for i in range(4)]
FITS = {
    "exact": (["train/0000.jpg", "train/0001.jpg"], ""),
    "without a suffix": (["train/0000", "train/0002"], ""),
    "without folders": (["0000.jpg", "0003.jpg"], ""),
    "without both": (["0003", "0000"], ""),
    "another suffix of an image": (["0003.png", "0000.jpeg"], ""),
    "a leading path": (["/kaggle/input/x/0001.jpg", "/y/0002"], "without the ids' leading path"),
    "a path of Windows": (["C:\\Users\\me\\0001.jpg"], "without the ids' leading path"),
    "another case of the suffix": (["0001.JPG"], ""),
    "a path in another case": (["TRAIN/0001.JPG"], "without the ids' leading path"),
    "floats": (["0001.0", "0002.0"], "without the ids' `.0`"),
    "numbers": (["0", "3"], "without leading zeros"),
    "floats of numbers": (["1.0", "2.0"], "without leading zeros"),
    "longer numbers": (["00001", "2"], "without leading zeros"),
}


@pytest.mark.parametrize("case", FITS)
def test_the_ids_of_a_column_fit_by_one_rule_that_is_said(case):
    ids, rule = FITS[case]
    match = Names(NAMES).match(ids)
    assert match.is_complete
    assert match.rule == rule
    digits = ["".join(c for c in i.removesuffix(".0")[-9:] if c.isdigit()) for i in ids]
    assert [positions[0] for positions in match.positions] == list(map(int, digits))


def test_any_suffix_is_left_out_where_the_stored_ids_have_none():
    match = Names(["a/x1", "a/x2"]).match(["test/x2.dcm", "test/x1.dcm"])
    assert match.positions == ((1,), (0,))
    assert match.rule == "without the ids' leading path"
    assert Names(["a/x1", "a/x2"]).match(["x2.dcm"]).positions == ((1,),)


def test_letters_match_in_any_case_only_where_all_are_unique():
    assert (
        Names(["Ant.jpg", "bee.jpg"]).match(["ANT", "Bee"]).rule == "in any case of their letters"
    )
    assert not Names(["Ant.jpg", "ant.jpg", "bee.jpg"]).match(["ANT", "bee"]).is_complete


REFUSED = {
    "an unknown id": (NAMES, ["0000", "0009"]),
    "two files": (["a/x.jpg", "b/x.jpg"], ["x"]),
    "two suffixes": (["x.jpg", "x.png"], ["x"]),
    "two ids for one file": (NAMES, ["1", "01"]),
    "two paths for one file": (NAMES, ["a/0001", "b/0001"]),
    "two files without zeros": (["007", "07"], ["7"]),
    "one id that does not fit loosely": (NAMES, ["1", "x"]),
    "one ambiguous id among good ones": (["a.jpg", "B.jpg", "b.jpg"], ["A", "b.jpg", "Bb"]),
    "a float that is no number's name": (["1.5", "2.5"], ["1"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_no_loose_rule_applies_where_any_id_would_not_mean_one_file_of_its_own(case):
    names, ids = REFUSED[case]
    match = Names(names).match(ids)
    assert not match.is_complete
    assert match.rule == ""


def test_an_id_may_begin_with_the_folder_of_the_files():
    names = Names(["a/x.jpg", "y.jpg"], "data/train")
    ids = ["train/a/x.jpg", "data/train/y", "./y.jpg", "./train/a/x"]
    assert [names.positions(image_id) for image_id in ids] == [(0,), (1,), (1,), (0,)]


parts = st.text("aA0.1_é", min_size=1, max_size=4)
paths = st.lists(parts, min_size=1, max_size=3).map("/".join)
suffixed = st.tuples(paths, st.sampled_from(["", ".jpg", ".JPG", ".png", ".0", ".dcm"])).map(
    "".join
)
columns = st.lists(suffixed, min_size=1, max_size=6, unique=True)


@given(columns, st.randoms())
def test_exact_names_beat_every_other_rule(names, random):
    ids = random.sample(names, len(names))
    match = Names(names).match(ids)
    assert match.rule == ""
    assert [names[positions[0]] for positions in match.positions] == ids
    assert all(len(positions) == 1 for positions in match.positions)


@given(columns, columns, st.randoms())
def test_the_order_of_names_and_of_ids_changes_nothing(names, ids, random):
    match = Names(names).match(ids)
    meant = dict(zip(ids, _names_of(names, match), strict=True))
    shuffled_names, shuffled_ids = random.sample(names, len(names)), random.sample(ids, len(ids))
    again = Names(shuffled_names).match(shuffled_ids)
    assert again.rule == match.rule
    assert dict(zip(shuffled_ids, _names_of(shuffled_names, again), strict=True)) == meant


def _names_of(names, match):
    return [sorted(names[position] for position in positions) for positions in match.positions]


@given(columns, columns)
def test_a_loose_rule_gives_every_id_a_file_of_its_own(names, ids):
    match = Names(names).match(ids)
    if match.rule:
        assert match.is_complete
        assert len({positions[0] for positions in match.positions}) == len(ids)
        for image_id, positions in zip(ids, match.positions, strict=True):
            by_itself = Names(names).positions(image_id)
            assert by_itself in ((), positions), "what fits without the rule stays"


@given(columns, columns, suffixed)
def test_an_id_that_is_no_file_undoes_every_loose_rule(names, ids, extra):
    unknown = f"zz{extra}"
    match = Names(names).match([*ids, unknown])
    assert match.rule == ""
    alone = [Names(names).positions(image_id) for image_id in ids]
    assert list(match.positions[:-1]) == alone


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=8, unique=True), st.integers(7, 9))
def test_numbers_match_zero_padded_names_one_to_one(numbers, width):
    names = [f"{number:0{width}d}.jpg" for number in numbers]
    match = Names(sorted(names)).match([str(number) for number in numbers])
    assert [sorted(names)[positions[0]] for positions in match.positions] == names
