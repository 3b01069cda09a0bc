"""Columns of a sample submission that have the same text around every class."""

import numpy as np
import pytest
from answered import by_most_probable

from ensemble.dataset.class_columns import matched_columns
from ensemble.errors import SubmissionError
from ensemble.predictions import Predictions
from ensemble.submission.shape import Meaning, shape_of
from ensemble.submission.write import csv_text

MATCHED = {
    "text before": ("prob_cat prob_cow", "cow cat", "cat cow"),
    "text after": ("cat_prob dog_prob", "cat dog", "cat dog"),
    "brackets": ("p(cat) p(dog)", "cat dog", "cat dog"),
    "capitals": ("isCat isDog", "cat dog", "cat dog"),
    "letters that the classes share": ("is_cat_a is_cat_b", "cat_b cat_a", "cat_a cat_b"),
    "numbers": ("class_0 class_10 class_2", "0 2 10", "0 10 2"),
    "numbers with zeros": ("class_01 class_02 class_10", "1 2 10", "1 2 10"),
    "numbers with decimals": ("c0 c1", "0.0 1.0", "0.0 1.0"),
    "marks between words": (
        "toy_poodle class_1 chow",
        "chow toy-poodle class-1",
        "toy-poodle class-1 chow",
    ),
    "text around the classes": ("cat dog", "is_dog is_cat", "is_cat is_dog"),
}
OTHERS = {
    "numbers of another count": ("class_1 class_2 class_3", "0 1 2"),
    "numbers with a digit more": ("11 12 13", "1 2 3"),
    "a digit more after a letter": ("x11 x12 x13", "1 2 3"),
    "a digit more at the end": ("c10 c20", "c1 c2"),
    "numbers of words": ("class_0 class_1", "cat dog"),
    "one without the text": ("prob_cat dog", "cat dog"),
    "one column for two classes": ("a b", "A a B"),
    "words that differ by a mark alone": ("a_b c", "a-b a_b"),
    "one class more": ("prob_cat prob_dog prob_owl", "cat dog"),
    "other texts on both sides": ("prob_0 prob_1", "level_0 level_1"),
}


@pytest.mark.parametrize("case", MATCHED)
def test_columns_with_one_text_around_every_class_are_matched(case):
    columns, classes, expected = (text.split() for text in MATCHED[case])
    assert matched_columns(columns, classes) == tuple(expected)


@pytest.mark.parametrize("case", OTHERS)
def test_columns_are_never_matched_by_position(case):
    columns, classes = (text.split() for text in OTHERS[case])
    assert matched_columns(columns, classes) is None


@pytest.fixture
def written(tmp_path):
    """written(header): the CSV of two images, of which x is a cat and y a dog."""
    predictions = Predictions(
        np.array(["x", "y"]), ("dog", "cat"), np.array([[0.25, 0.75], [0.875, 0.125]])
    )

    def written(header):
        path = tmp_path / "sample.csv"
        path.write_text(f"{header}\nx,0.5,0.5\ny,0.5,0.5\n")
        shape = shape_of(path, predictions, Meaning())
        return csv_text(shape, by_most_probable(predictions)), shape.spelling

    return written


NOT_A_NAME = "the sample's {!r} is not a name that the runs have; the CSV has names such as {!r}"


@pytest.mark.parametrize(
    ("target", "classes", "cell", "told"),
    [
        ("class", ("cat", "dog"), "Cat", NOT_A_NAME.format("Cat", "cat")),
        ("class", ("cat", "dog"), "bird", NOT_A_NAME.format("bird", "cat")),
        ("class", ("cat", "dog"), "cat", ""),
        ("class", ("cat", "dog"), "NaN", ""),
        ("class", ("0", "1", "2"), "5", NOT_A_NAME.format("5", "0")),
        ("class", ("0", "1", "2"), "1e0", ""),
        ("labels", ("cat", "dog", "owl"), "cat;Dog", NOT_A_NAME.format("Dog", "dog")),
        ("labels", ("cat", "dog"), "0", NOT_A_NAME.format("0", "cat")),
        ("labels", ("cat", "dog"), "no labels", ""),
        ("number", ("age",), "old", "the sample's 'old' is not a number; the CSV has numbers"),
        ("number", ("age",), "3", ""),
    ],
)
def test_a_cell_that_is_none_of_the_names_or_no_number_is_told(
    target, classes, cell, told, tmp_path
):
    path = tmp_path / "sample.csv"
    path.write_text(f"id,kind\nx,{cell}\ny,{cell}\n")
    probs = np.full((2, len(classes)), 1 / len(classes))
    predictions = Predictions(np.array(["x", "y"]), classes, probs, target=target)
    assert shape_of(path, predictions, Meaning(separator=";")).spelling == told


def test_the_probabilities_are_under_the_columns_of_their_classes_and_it_is_said(written):
    text, spelling = written("id,prob_cat,prob_dog")
    assert text == "id,prob_cat,prob_dog\nx,0.75,0.25\ny,0.125,0.875\n"
    assert spelling == "the class 'cat' is written 'prob_cat', as the sample spells it"


def test_numbered_columns_under_words_are_refused(written):
    with pytest.raises(SubmissionError, match="2 columns are not classes"):
        written("id,class_0,class_1")
