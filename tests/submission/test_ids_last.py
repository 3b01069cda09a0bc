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
from ensemble.submission.answers import answers
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


@given(st.lists(st.sampled_from("abc"), min_size=6, max_size=20), st.randoms())
def test_ids_are_found_in_either_column_whatever_the_order_of_rows(labels, random):
    rows = [(label, f"{i}.png") for i, label in enumerate(labels)]
    random.shuffle(rows)
    cells, ids = zip(*rows, strict=True)
    assert is_id_last([cells, ids])
    assert not is_id_last([ids, cells])
    assert not is_id_last([ids, cells, cells])
