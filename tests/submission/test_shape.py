"""The shape of a sample submission, and the CSV that fits it."""

import csv
import io

import numpy as np
import pytest
from answered import by_most_probable
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending.mixture import Answered
from ensemble.errors import DataError, SubmissionError
from ensemble.metrics import predicted
from ensemble.predictions import Predictions
from ensemble.submission.shape import Meaning, shape_of
from ensemble.submission.write import csv_text

PROBS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.2, 0.5, 0.3]])


def about(ids, classes=("ant", "bee", "cat"), probs=PROBS):
    return Predictions(np.array(ids), tuple(classes), np.asarray(probs)[: len(ids), : len(classes)])


def two_classes(ids=("x", "y")):
    return about(ids, ("ant", "bee"), [[0.75, 0.25], [0.125, 0.875]])


@pytest.fixture
def written(tmp_path):
    """written(sample text, predictions, positive, answer): the CSV that fits this sample."""

    def written(sample, predictions, positive=None, answer=None):
        path = None
        if sample is not None:
            path = tmp_path / "sample.csv"
            path.write_bytes(sample.encode())
        return csv_text(
            shape_of(path, predictions, Meaning(answer, None, positive)),
            by_most_probable(predictions),
        )

    return written


def test_one_column_per_class_gets_probabilities(written):
    text = written("id,ant,bee,cat\nx,0,0,0\ny,0,0,0\n", about(["x", "y"]))
    assert text == "id,ant,bee,cat\nx,0.7,0.2,0.1\ny,0.1,0.3,0.6\n"


def test_probability_columns_are_in_the_order_of_the_sample(written):
    text = written("img,cat,ant,bee\nx,0,0,0\n", about(["x"]))
    assert text == "img,cat,ant,bee\nx,0.1,0.7,0.2\n"


def test_a_text_column_gets_the_class_name(written):
    assert written("id,kind\nx,ant\ny,ant\n", about(["x", "y"])) == "id,kind\nx,ant\ny,cat\n"


@pytest.mark.parametrize("cell", ["", "label", "unknown, please fill"])
def test_any_other_text_in_the_sample_stands_for_a_class_name(cell, written):
    assert (
        written(f'id,kind\nx,"{cell}"\ny,"{cell}"\n', about(["x", "y"]))
        == "id,kind\nx,ant\ny,cat\n"
    )


def test_a_class_index_is_the_position_among_the_sorted_names(written):
    predictions = about(["x", "y", "z"], ("cat", "ant", "bee"))
    text = written("id,label\nx,0\ny,0\nz,2\n", predictions, answer="class_index")
    assert text == "id,label\nx,2\ny,1\nz,0\n"


def test_classes_that_look_like_numbers_are_names(written):
    predictions = about(["x", "y"], ("3", "10", "7"))
    assert written("id,label\nx,3\ny,10\n", predictions) == "id,label\nx,3\ny,7\n"


def test_a_number_is_a_name_and_never_a_position_where_all_classes_are_numbers(written):
    text = written("id,month\nx,0\ny,0\n", about(["x", "y"], ("1", "10", "2")))
    assert text == "id,month\nx,1\ny,2\n"


def test_a_class_index_is_refused_where_the_positive_class_would_be_0(written):
    sample, answer = "id,label\nx,0\ny,0\n", "class_index"
    assert written(sample, two_classes(), answer=answer) == "id,label\nx,0\ny,1\n"
    assert written(sample, two_classes(), "bee", answer) == "id,label\nx,0\ny,1\n"
    with pytest.raises(SubmissionError, match=r"0 = ant, 1 = bee, but positive is 'ant'"):
        written(sample, two_classes(), "ant", answer)


@pytest.mark.parametrize(
    ("positive", "values"), [("ant", "x,0.75\ny,0.125\n"), ("bee", "x,0.25\ny,0.875\n")]
)
def test_fractions_on_two_classes_get_the_probability_of_the_positive_one(
    positive, values, written
):
    assert written("id,is_it\nx,0.5\ny,0.5\n", two_classes(), positive) == f"id,is_it\n{values}"


@pytest.mark.parametrize(
    ("positive", "expected"), [(None, "which is not set"), ("bees", "which is 'bees'")]
)
def test_fractions_without_a_positive_class_are_refused_with_the_key_and_what_is_allowed(
    positive, expected, written
):
    with pytest.raises(SubmissionError) as refused:
        written("id,is_it\nx,0.5\n", two_classes(), positive)
    assert "sample.csv: one column of fractions" in str(refused.value)
    assert expected in str(refused.value)
    assert "add `--positive ant`: the probability of 'ant'" in str(refused.value)
    assert "or `--positive bee`" in str(refused.value)


def test_fractions_on_three_classes_are_refused(written):
    with pytest.raises(
        SubmissionError, match=r"one column of fractions needs two classes, the runs have 3"
    ):
        written("id,is_it\nx,0.5\n", about(["x"]))


def test_without_a_sample_every_test_image_gets_its_class_name(written):
    assert written(None, about(["x", "y", "z"])) == "id,label\nx,ant\ny,cat\nz,bee\n"


def test_ties_go_to_the_first_class_name_in_any_order_of_classes(written):
    predictions = about(["x"], ("cat", "bee", "ant"), [[0.2, 0.4, 0.4]])
    assert written(None, predictions) == "id,label\nx,ant\n"
    text = written("id,label\nx,0\n", predictions, answer="class_index")
    assert text == "id,label\nx,0\n"


def test_the_sample_decides_which_rows_and_their_order(written):
    assert written("id,kind\nz,ant\nx,ant\n", about(["x", "y", "z"])) == "id,kind\nz,bee\nx,ant\n"


def test_leading_zeros_stay_and_are_ignored_only_where_every_id_then_fits_one_image(written):
    assert written("id,kind\n007,ant\n7,ant\n", about(["007", "7"])) == "id,kind\n007,ant\n7,cat\n"
    assert written(None, about(["007"])) == "id,label\n007,ant\n"
    both = "id,kind\n7,ant\n08,ant\n"
    assert written(both, about(["0008", "007"])) == "id,kind\n7,cat\n08,ant\n"
    for sample, stored in (("7", ["007", "07"]), ("7", ["008"])):
        with pytest.raises(
            SubmissionError, match=r"1 of 1 ids of the sample match no image, the first: '7'"
        ):
            written(f"id,kind\n{sample},ant\n", about(stored))
    with pytest.raises(SubmissionError, match=r"match no image, the first: '7'"):
        written("id,kind\n7,ant\n07,ant\n", about(["007"]))
    with pytest.raises(SubmissionError, match=r"2 of 2 ids of the sample match no image"):
        written("id,kind\n7,ant\nx,ant\n", about(["007", "y"]))


def test_ids_are_matched_with_and_without_the_suffix_and_written_as_the_sample_has_them(written):
    assert written("id,kind\na/x.JPG,ant\n", about(["a/x"])) == "id,kind\na/x.JPG,ant\n"
    assert written("id,kind\nx,ant\n", about(["x.png"])) == "id,kind\nx,ant\n"
    assert written("id,kind\nx.jpeg,ant\n", about(["x.png"])) == "id,kind\nx.jpeg,ant\n"
    both = "id,kind\nx.png,ant\nx.jpg,cat\n"
    assert written(both, about(["x.jpg", "x.png"], probs=PROBS[[1, 0]])) == both


def test_a_dot_without_an_image_suffix_belongs_to_the_id(written):
    assert (
        written("id,kind\nv1.2,ant\nv1.3,ant\n", about(["v1.2", "v1.3"]))
        == "id,kind\nv1.2,ant\nv1.3,cat\n"
    )
    with pytest.raises(SubmissionError, match="match no image"):
        written("id,kind\nv1,ant\n", about(["v1.2"]))


@pytest.mark.parametrize(
    "suffix", ["heic", "HEIF", "dat", "dcm", "jpg_large", "jpg?w=300", "image"]
)
def test_the_sample_or_the_runs_may_have_any_file_suffix(suffix, written):
    sample = f"id,kind\nx1.{suffix},ant\nx2.{suffix},ant\n"
    assert written(sample, about(["x1", "x2"])) == f"id,kind\nx1.{suffix},ant\nx2.{suffix},cat\n"
    assert (
        written(sample, about(["test/x1", "test/x2"]))
        == f"id,kind\nx1.{suffix},ant\nx2.{suffix},cat\n"
    )
    stored = about([f"x1.{suffix}", f"x2.{suffix}"])
    assert written("id,kind\nx1,ant\nx2,ant\n", stored) == "id,kind\nx1,ant\nx2,cat\n"


def test_ids_with_dots_are_matched_exactly_and_never_guessed(written):
    both = "id,kind\na.b,ant\na.c,ant\n"
    assert written(both, about(["a.b", "a.c"])) == "id,kind\na.b,ant\na.c,cat\n"
    assert written("id,kind\na.b,ant\na,ant\n", about(["a", "a.b"])) == "id,kind\na.b,cat\na,ant\n"
    for sample, stored, images in (
        ("a", ["a.b", "a.c"], "several images"),
        ("a.d", ["a.b", "a.c"], "no image"),
        ("a.d", ["a.b"], "no image"),
        ("1.6", ["1.5", "1"], "no image"),
    ):
        with pytest.raises(SubmissionError, match=f"match {images}, the first"):
            written(f"id,kind\n{sample},ant\n", about(stored))
    with pytest.raises(SubmissionError, match=r"'a.b' and 'a.c' in the sample both match"):
        written(both, about(["a"]))


def test_an_id_without_a_test_image_is_named(written):
    with pytest.raises(SubmissionError) as refused:
        written("id,kind\nx,ant\nq,ant\nr,ant\n", about(["x", "y", "z"]))
    assert str(refused.value) == (
        "2 of 3 ids of the sample match no image, the first: 'q'\n"
        "ids of the images look like 'x'; check data.test and data.sample_submission"
    )


def test_an_id_that_matches_two_images_is_refused(written):
    with pytest.raises(SubmissionError, match="'x'"):
        written("id,kind\nx,ant\n", about(["x.jpg", "x.png"]))


def test_two_ids_never_share_one_images_prediction(written):
    with pytest.raises(
        SubmissionError, match=r"'x.jpg' and 'x.png' in the sample both match the image 'x'\n"
    ):
        written("id,kind\nx.jpg,ant\nx.png,ant\n", about(["x"]))


def test_an_id_twice_in_the_sample_is_refused_and_named(written):
    with pytest.raises(SubmissionError, match=r"sample.csv: the id 'y' appears more than once"):
        written("id,kind\nx,ant\ny,ant\ny,ant\n", about(["x", "y"]))


def test_columns_that_are_not_the_classes_are_refused_with_the_difference(written):
    with pytest.raises(SubmissionError) as refused:
        written("id,ant,bee,Cat,dog\nx,0,0,0,0\n", about(["x"]))
    assert "its columns are not the classes" in str(refused.value)
    assert "1 classes have no column ['cat']" in str(refused.value)
    assert "2 columns are not classes ['Cat', 'dog']" in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "cells"),
    [
        ("ant,bee,UNK", "0.75,0.25,0"),
        ("Other,bee,ant", "0,0.25,0.75"),
        ("p_bee,unknown,p_ant", "0.25,0,0.75"),
    ],
)
def test_a_column_of_unknown_ones_that_no_class_is_gets_0(columns, cells, written):
    sample = f"id,{columns}\nx,0.3,0.3,0.4\n"
    assert written(sample, two_classes(("x",))) == f"id,{columns}\nx,{cells}\n"


@pytest.mark.parametrize("columns", ["ant,bee,Usage", "ant,bee,unk,other", "ant,UNK", "UNK,other"])
def test_other_columns_that_no_class_is_are_refused(columns, written):
    row = ",".join(["x", *["0"] * len(columns.split(","))])
    with pytest.raises(SubmissionError):
        written(f"id,{columns}\n{row}\n", two_classes(("x",)))


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ("id\nx\n", "needs an id column and at least one more; it has only 'id'"),
        ("id,ant,ant\nx,0,0\n", "a column name appears twice in id, ant, ant"),
        ("id,kind\n", "a CSV needs a header and at least one row"),
        ("", "a CSV needs a header and at least one row"),
        ("id,kind\nx,ant,bee\n", "row 2 has 3 cells, the header 2"),
    ],
)
def test_a_sample_that_is_not_a_table_is_refused(sample, expected, written):
    with pytest.raises((SubmissionError, DataError)) as refused:
        written(sample, about(["x"]))
    assert "sample.csv: " in str(refused.value)
    assert expected in str(refused.value)


def test_a_sample_from_windows_is_read_and_answered_with_plain_newlines(written):
    assert written("\ufeffid,kind\r\nx,ant\r\n", about(["x"])) == "id,kind\nx,ant\n"


def test_a_cell_that_a_spreadsheet_would_run_is_written_exactly(written):
    predictions = about(["=cmd()", "@x", "-1"], ("=1+1", "+b", "'c"))
    assert written(None, predictions) == "id,label\n=cmd(),=1+1\n@x,'c\n-1,+b\n"


def test_commas_quotes_and_line_ends_survive(written):
    predictions = about(['a,"b"', "c\nd"], ("one, two", 'the "third"', "cat"))
    text = written(None, predictions)
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["id", "label"],
        ['a,"b"', "one, two"],
        ["c\nd", "cat"],
    ]


names = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), min_size=1, max_size=6)
awkward = st.text(st.sampled_from(",\"\n\r;=\t 'é0"), min_size=1, max_size=4)


@given(
    st.lists(names | awkward, min_size=1, max_size=4, unique=True),
    st.lists(names | awkward, min_size=2, max_size=4, unique=True),
    st.booleans(),
)
def test_any_id_and_class_name_reads_back_as_it_was(
    tmp_path_factory, ids, classes, as_probabilities
):
    predictions = Predictions(
        np.array(ids), tuple(classes), np.eye(len(classes))[np.arange(len(ids)) % len(classes)]
    )
    sample = None
    if as_probabilities and "id" not in classes and len(classes) > 2:
        sample = tmp_path_factory.mktemp("sample") / "sample.csv"
        with sample.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, quoting=csv.QUOTE_ALL).writerows(
                [["id", *classes], *([i, *classes] for i in ids)]
            )
    text = csv_text(shape_of(sample, predictions, Meaning()), by_most_probable(predictions))
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == (["id", *classes] if sample else ["id", "label"])
    assert [row[0] for row in rows] == ids
    if sample is None:
        assert [row[1] for row in rows] == [classes[i % len(classes)] for i in range(len(ids))]


@given(
    st.integers(0, 2**32 - 1), st.sampled_from([3, 10, 120]), st.sampled_from([0.01, 1.0, 100.0])
)
def test_probabilities_as_written_sum_to_1_and_a_float32_survives(
    tmp_path_factory, seed, n_classes, spread
):
    ids, classes = np.array(list("vwxyz")), tuple(f"c{i:03d}" for i in range(n_classes))
    probs = np.random.default_rng(seed).dirichlet(np.full(n_classes, spread), 5).astype(np.float32)
    sample = tmp_path_factory.mktemp("sample") / "sample.csv"
    sample.write_text(
        "\n".join([",".join(["id", *classes]), *(f"{i}{',0' * n_classes}" for i in ids)])
    )

    def as_written(predictions):
        answered = Answered(predictions, predicted(predictions.probs))
        text = csv_text(shape_of(sample, predictions, Meaning()), answered)
        return np.array(
            [[float(cell) for cell in line.split(",")[1:]] for line in text.splitlines()[1:]]
        )

    stored = Predictions(ids, classes, probs)
    assert np.array_equal(as_written(stored).astype(np.float32), probs)
    blended = stored.canonical()
    assert np.abs(as_written(blended).sum(1) - 1).max() <= 1e-6
    np.testing.assert_allclose(as_written(blended), blended.probs, rtol=1e-8)
