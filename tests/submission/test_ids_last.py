"""Samples of two columns whose answers stand before the ids, such as `Category,Id`."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.sample import is_id_last, packed_sample
from ensemble.errors import SubmissionError
from ensemble.predictions import Predictions
from ensemble.runs import RunStore
from ensemble.submission.csv_answers import answers
from ensemble.submission.sample_table import read_sample
from ensemble.submission.verify import verified
from ensemble.submission.write import write_submission

CLASSES = ("cat", "dog")
TEST = Predictions(
    np.array([f"t{i}.png" for i in range(6)]),
    CLASSES,
    np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9], [0.6, 0.4], [0.4, 0.6]]),
)
ASKED = ["t5.png", "t0.png", "t3.png", "t1.png", "t4.png", "t2.png"]
EXPECTED = ["dog", "cat", "dog", "dog", "cat", "cat"]


@pytest.fixture
def sample(tmp_path):
    """sample(header, rows): the file of a sample submission."""
    path = tmp_path / "sample_submission.csv"

    def sample(header, rows):
        path.write_text("".join(",".join(row) + "\n" for row in [header, *rows]))
        return path

    return sample


def test_the_file_has_the_sample_s_columns_and_order_and_verifies(tmp_path, sample, blend_of):
    asked = sample(("Category", "Id"), [("cat", name) for name in ASKED])
    written = write_submission(blend_of(TEST), tmp_path / "out", chosen=asked)
    rows = list(csv.reader(written.path.read_text().splitlines()))
    assert rows == [["Category", "Id"], *map(list, zip(EXPECTED, ASKED, strict=True))]
    assert written.examples[0] == "t5.png: class 'dog'"
    assert answers(written.path.read_text()) == dict(zip(ASKED, EXPECTED, strict=True))
    assert verified(written.path, RunStore(tmp_path / "runs")).shape == written.shape
    assert packed_sample(asked).sha256


def test_a_repeated_id_is_not_taken_for_an_answer(tmp_path, sample, blend_of):
    rows = [(name, str(i / 10)) for i, name in enumerate([*ASKED, "t5.png"])]
    with pytest.raises(SubmissionError, match="the id 't5.png' appears more than once"):
        write_submission(blend_of(TEST), tmp_path / "out", chosen=sample(("Id", "P"), rows))


@pytest.mark.parametrize("n", range(1, 4))
def test_a_few_rows_are_read_by_the_ids_of_the_images(n, tmp_path, sample, blend_of):
    labels = ["cat", "dog", "CAT"][:n]  # no label twice: the cells alone do not show the ids
    path = sample(("Category", "Id"), zip(labels, ASKED, strict=False))
    written = write_submission(blend_of(TEST), tmp_path / "out", chosen=path)
    rows = list(csv.reader(written.path.read_text().splitlines()))
    assert [row[1] for row in rows] == ["Id", *ASKED[:n]]
    assert [row[0].casefold() for row in rows[1:]] == EXPECTED[:n]
    assert verified(written.path, RunStore(tmp_path / "runs")).shape == written.shape


@given(a=st.permutations(range(5)), b=st.permutations(range(5)), step=st.sampled_from([-1, 1]))
def test_where_both_columns_name_images_the_header_says_which_are_the_ids(a, b, step, tmp_path):
    path = tmp_path / "sample.csv"
    rows = [("target", "image"), *((str(x), str(y)) for x, y in zip(a, b, strict=True))]
    path.write_text("".join(",".join(row[::step]) + "\n" for row in rows))
    table = read_sample(path).of_images(list("01234"))
    assert table.columns == ("image", "target")
    assert table.ids == tuple(map(str, b))
    assert table.is_id_last == (step == 1)


@given(st.lists(st.sampled_from("abc"), min_size=6, max_size=20), st.randoms())
def test_ids_are_found_in_either_column_whatever_the_order_of_rows(labels, random):
    rows = [(label, f"{i}.png") for i, label in enumerate(labels)]
    random.shuffle(rows)
    cells, ids = zip(*rows, strict=True)
    assert is_id_last([cells, ids])
    assert not is_id_last([ids, cells])
    assert not is_id_last([ids, cells, cells])
