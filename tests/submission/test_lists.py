"""Submissions of labels, of values and of the best k classes: every cell against its own rule."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending.mixture import Answered
from ensemble.errors import SubmissionError
from ensemble.metrics.decision import PLAIN
from ensemble.predictions import Predictions
from ensemble.runs import RunStore
from ensemble.submission.check import check
from ensemble.submission.listing import separator_in
from ensemble.submission.readback import n_without_label, rows_in_words
from ensemble.submission.shape import Meaning, shape_of
from ensemble.submission.verify import verified
from ensemble.submission.write import csv_text, write_submission

IDS = ["b0", "b1", "b2", "b3"]
SKY = ("clear", "haze", "primary", "road")
PROBS = np.array(
    [[0.9, 0.1, 0.8, 0.2], [0.4, 0.3, 0.2, 0.1], [0.5, 0.5000001, 0.5, 0.1], [0.1, 0.2, 0.3, 0.51]]
)


def predictions_of(target, classes=SKY, probs=PROBS):
    return Predictions(np.array(IDS), classes, probs, target=target)


@pytest.fixture
def written(tmp_path):
    """written(sample, predictions, **meaning): the checked file's rows, its shape and its path."""

    def written(sample, predictions, **meaning):
        path, out = tmp_path / "sample.csv", tmp_path / "out.csv"
        if sample is not None:
            path.write_text(sample)
        shape = shape_of(path if sample is not None else None, predictions, Meaning(**meaning))
        answers = PLAIN[predictions.target].apply(predictions.probs)
        out.write_text(csv_text(shape, Answered(predictions, answers)))
        check(out, shape)
        rows = list(csv.reader(io.StringIO(out.read_text()), delimiter=shape.delimiter))
        return rows, shape, out

    return written


def sample(header, *cells):
    rows = [f"{name},{cells[i % len(cells)]}" for i, name in enumerate(IDS)]
    return "\n".join([header, *rows]) + "\n"


def test_labels_are_joined_as_the_sample_joins_them(written):
    rows, shape, out = written(sample("image_name,tags", "primary clear"), predictions_of("labels"))
    assert rows == [
        ["image_name", "tags"],
        *(["b0", "clear primary"], ["b1", ""], ["b2", "haze"], ["b3", "road"]),
    ]
    assert shape.answer == "labels"
    assert n_without_label(out, shape) == 1
    assert rows_in_words(out, shape, IDS[:2]) == ("b0: labels 'clear primary'", "b1: no label")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["clear;haze"], "clear;primary"),
        (["clear, haze"], "clear, primary"),
        (["haze", "road | haze"], "clear | primary"),
        (["0 1 2"], "clear primary"),
        (["a,b"], "clear,primary"),
    ],
)
def test_the_mark_between_labels_is_that_of_the_sample(cells, expected, written):
    quoted = [f'"{cell}"' for cell in cells]
    rows, *_ = written(sample("id,labels", *quoted), predictions_of("labels"))
    assert rows[1] == ["b0", expected]


def test_a_sample_without_several_labels_leaves_the_mark_to_the_training_table(written):
    of_labels = predictions_of("labels")
    rows, shape, _ = written(sample("id,labels", "haze"), of_labels, separator=";")
    assert (rows[1], shape.listing.assumed) == (["b0", "clear;primary"], "")
    rows, shape, _ = written(sample("id,labels", "haze"), of_labels)
    assert rows[1] == ["b0", "clear primary"]
    assert shape.listing.assumed == "names are joined by ' ': the sample shows none"


def test_an_image_without_a_label_gets_what_the_sample_writes(written):
    rows, *_ = written(sample("id,labels", "none", "haze road"), predictions_of("labels"))
    assert rows[2] == ["b1", "none"]
    rows, *_ = written(sample("id,labels", "", "haze road"), predictions_of("labels"))
    assert rows[2] == ["b1", ""]
    classes = ("clear", "haze", "none", "road")
    rows, *_ = written(sample("id,labels", "none", "haze road"), predictions_of("labels", classes))
    assert rows[2] == ["b1", ""]


def test_labels_that_hold_the_mark_are_refused(written):
    with pytest.raises(SubmissionError, match="'big cat' holds ' ', which is between the names"):
        written(sample("id,labels", "a b"), predictions_of("labels", ("a", "b", "big cat", "c")))


def test_a_column_for_each_label_holds_probabilities(written):
    text = sample("id,road,haze,primary,clear", "0,0,0,0")
    rows, shape, _ = written(text, predictions_of("labels"), metric="roc_auc")
    assert shape.answer == "probabilities"
    assert rows[1] == ["b0", "0.2", "0.1", "0.8", "0.9"]
    rows, *_ = written(
        sample("id,a,b,c,d", "0.5,0.5,0.5,0.5"), predictions_of("labels", tuple("abcd"))
    )
    assert rows[3] == ["b2", "0.5", "0.5000001", "0.5", "0.1"]


@pytest.mark.parametrize("meaning", [{"metric": "f1_macro"}, {"answer": "labels"}])
def test_a_column_for_each_label_holds_0_and_1_where_metric_or_answer_say_so(meaning, written):
    text = sample("id,road,haze,primary,clear", "0,0,0,0")
    rows, shape, out = written(text, predictions_of("labels"), **meaning)
    assert [row[1:] for row in rows[1:]] == [
        list(cells) for cells in ("0011", "0000", "0100", "1000")
    ]
    assert rows_in_words(out, shape, IDS[:2]) == ("b0: labels 'primary', 'clear'", "b1: no label")
    assert n_without_label(out, shape) == 1


def test_0_and_1_in_the_columns_of_labels_without_a_metric_is_a_question(written):
    with pytest.raises(SubmissionError, match="the metric would decide") as error:
        written(sample("id,clear,haze,primary,road", "0,1,0,0"), predictions_of("labels"))
    assert "`--answer probabilities`" in str(error.value)
    assert "`--answer labels`" in str(error.value)


def test_the_best_k_classes_are_written_in_order(written):
    probs = np.array([[0.1, 0.2, 0.3, 0.4], [0.25] * 4, [0.4, 0.1, 0.1, 0.4], [0, 0, 1, 0]])
    of_class = predictions_of("class", probs=probs)
    rows, shape, out = written(sample("Image,Id", "haze road clear"), of_class)
    assert (shape.answer, shape.listing.k) == ("top_k", 3)
    assert [row[1] for row in rows[1:]] == [
        "road primary haze",
        "clear haze primary",
        "clear road haze",
        "primary clear haze",
    ]
    assert rows_in_words(out, shape, IDS[:1]) == (
        "b0: classes 'road primary haze', the most probable first",
    )
    rows, shape, _ = written(sample("Image,Id", "a b c d e f"), of_class, answer="top_k")
    assert shape.listing.k == len(rows[1][1].split()) == 4


@pytest.mark.parametrize("mark", ["_", "-"])
def test_words_of_a_name_are_joined_as_the_sample_joins_them(mark, written):
    classes = ("ant", "bee", "polar bear", "sea lion")
    probs = np.array(
        [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.5, 0.3], [1, 0, 0, 0]]
    )
    of_class = predictions_of("class", classes, probs)
    rows, *_ = written(sample("Image,Id", f"polar{mark}bear ant"), of_class, answer="top_k")
    best = [
        f"sea{mark}lion polar{mark}bear",
        "ant bee",
        f"polar{mark}bear sea{mark}lion",
        "ant bee",
    ]
    assert [cell for _, cell in rows[1:]] == best
    rows, *_ = written(sample("Image,Id", f"polar{mark}bear"), of_class)
    assert [cell for _, cell in rows[1:]] == [f"sea{mark}lion", "ant", f"polar{mark}bear", "ant"]
    ranked = "id,prediction1,prediction2\n" + "".join(f"{n},polar{mark}bear,ant\n" for n in IDS)
    rows, *_ = written(ranked, of_class)
    assert [" ".join(cells) for _, *cells in rows[1:]] == best


@pytest.mark.parametrize("cell", ["polar_bear ant", "polar_bear wolf", "sea_lion polar bear"])
def test_words_are_joined_anew_only_where_every_name_of_the_sample_is_then_a_class(cell, written):
    classes = ("ant", "polar bear", "polar_bear", "sea lion")
    with pytest.raises(SubmissionError, match="holds ' ', which is between the names"):
        written(
            sample("Image,Id", cell),
            predictions_of("class", classes, np.full((4, 4), 0.25)),
            answer="top_k",
        )


def test_the_number_of_classes_is_that_of_the_metric_where_the_sample_shows_none(written):
    probs = np.full((4, 4), 0.25)
    of_class = predictions_of("class", probs=probs)
    rows, *_ = written(sample("Image,Id", ""), of_class, answer="top_k", metric="map@2")
    assert rows[1][1] == "clear haze"
    with pytest.raises(SubmissionError, match="no cell of the sample shows how many classes"):
        written(sample("Image,Id", ""), of_class, answer="top_k", metric="accuracy")


def test_labels_scored_by_their_ranks_are_listed_from_the_best(written):
    rows, *_ = written(sample("id,labels", "haze road"), predictions_of("labels"), metric="map@2")
    assert [row[1] for row in rows[1:]] == [
        "clear primary",
        "clear haze",
        "haze clear",
        "road primary",
    ]


def test_a_number_is_written_as_it_is(written):
    values = np.array([[65.283456789], [-3.0], [1e-9], [12345678.5]])
    of_number = predictions_of("number", ("Pawpularity",), values)
    rows, shape, out = written(sample("Id,Pawpularity", "65.28"), of_number)
    assert [row[1] for row in rows[1:]] == ["65.2834568", "-3", "1e-09", "12345678.5"]
    assert rows_in_words(out, shape, IDS[:1]) == ("b0: 65.2834568",)
    rows, *_ = written(None, of_number)
    assert rows[0] == ["id", "Pawpularity"]
    with pytest.raises(
        SubmissionError, match="a number per image needs an id column and one of val"
    ):
        written(sample("Id,a,b", "1,2"), of_number)


def test_without_a_sample_labels_are_one_cell(written):
    rows, *_ = written(None, predictions_of("labels"), separator="|")
    assert rows[:2] == [["id", "labels"], ["b0", "clear|primary"]]
    rows, *_ = written(None, predictions_of("labels"), answer="probabilities")
    assert rows[:2] == [["id", *SKY], ["b0", "0.9", "0.1", "0.8", "0.2"]]


@pytest.mark.parametrize(
    ("target", "answer"),
    [("labels", "class_name"), ("labels", "values"), ("number", "labels"), ("class", "labels")],
)
def test_an_answer_of_another_target_is_refused(target, answer, written):
    classes, probs = (("x",), PROBS[:, :1]) if target == "number" else (SKY, PROBS)
    if target == "class":
        probs = probs / probs.sum(1, keepdims=True)
    with pytest.raises(SubmissionError, match=f"answer '{answer}' is not one of"):
        written(sample("id,label", "0"), predictions_of(target, classes, probs), answer=answer)


DAMAGE = [
    ("clear primary", "clear clear", "a name appears twice"),
    ("clear primary", "clear sky", "'sky' is not a name of a class or label"),
]


@pytest.mark.parametrize(("before", "after", "problem"), DAMAGE)
def test_a_changed_cell_is_found(before, after, problem, written):
    _, shape, out = written(sample("id,tags", "haze road"), predictions_of("labels"))
    out.write_text(out.read_text().replace(before, after))
    with pytest.raises(SubmissionError, match=problem):
        check(out, shape)


NAMES = st.text("abcxyz_.", min_size=1, max_size=5)


@given(st.sets(NAMES, min_size=4, max_size=4), st.sampled_from([" ", ",", ", ", ";", "|"]))
def test_a_mark_between_class_names_is_found(names, mark):
    classes = sorted(names)
    assert separator_in({mark.join(classes[:2]), classes[2]}, classes) == mark
    assert separator_in(set(classes), classes) is None


def test_a_blend_of_the_best_classes_is_verified_from_its_manifest(
    tmp_path, rng, made_up, blend_of
):
    classes = ("new_whale", "w_1", "w_2", "w_3")
    test = made_up(rng, ids=IDS, classes=classes)
    text = sample("Image,Id", "new_whale w_1 w_2")
    (tmp_path / "sample.csv").write_text(text)
    blend = blend_of(test, test, metric="map@3", answer="top_k")
    submission = write_submission(blend, tmp_path, "mine", chosen=tmp_path / "sample.csv")
    assert len(verified(submission.path, RunStore(tmp_path / "runs")).runs) == 2
    _, *rows = csv.reader(submission.path.read_text().splitlines())
    for name, cell in rows:
        probs = test.probs[test.ids.tolist().index(name)]
        assert cell.split() == [classes[i] for i in sorted(range(4), key=lambda i: -probs[i])[:3]]


RANKS = "id,prediction1,prediction2,prediction3\n"


def ranked_sample(*rows):
    return RANKS + "".join(f"{name},{rows[i % len(rows)]}\n" for i, name in enumerate(IDS))


def test_a_column_for_each_of_the_best_classes_is_filled_best_first(written):
    sample = ranked_sample("road,haze,clear", "primary,clear,road")
    shares = PROBS / PROBS.sum(1, keepdims=True)
    rows, shape, out = written(sample, predictions_of("class", probs=shares))
    best = np.argsort(-shares, axis=1, kind="stable")[:, :3]
    assert rows == [
        RANKS.strip().split(","),
        *([name, *(SKY[i] for i in row)] for name, row in zip(IDS, best, strict=True)),
    ]
    assert shape.answer == "top_k"
    assert (
        rows_in_words(out, shape, IDS[:1])[0]
        == "b0: classes 'clear, primary, road', the most probable first"
    )


@pytest.mark.parametrize(
    ("cells", "answer"),
    [("2,3,1", "top_k"), ("0,1,0", "probabilities"), ("3,3,3", "probabilities")],
)
def test_numbered_columns_beside_classes_of_these_numbers_are_ranks_where_rows_list_them(
    written, cells, answer
):
    shares = PROBS[:, :3] / PROBS[:, :3].sum(1, keepdims=True)
    predictions = predictions_of("class", ("1", "2", "3"), shares)
    rows, shape, _ = written(ranked_sample(cells), predictions)
    assert shape.answer == answer
    best = np.argsort(-shares[0], kind="stable") + 1
    assert (rows[1] == ["b0", *map(str, best)]) == (answer == "top_k")


def test_names_in_ranked_columns_are_spelled_as_the_sample_spells_them(written):
    shares = PROBS / PROBS.sum(1, keepdims=True)
    sample = ranked_sample("Road,Haze,Clear", "Primary,Clear,Road")
    rows, _, _ = written(sample, predictions_of("class", probs=shares))
    assert rows[1] == ["b0", "Clear", "Primary", "Road"]


@pytest.mark.parametrize(
    "sample",
    [
        ranked_sample("road,road,clear"),  # twice in a row
        ranked_sample("road,haze,cloud"),
        ranked_sample("0.2,0.3,0.5"),
        ranked_sample("road,haze,clear").replace("prediction2", "second"),
        ranked_sample("road,haze,clear").replace("prediction3", "prediction4"),
    ],
)
def test_other_columns_are_no_ranks(sample, written):
    shares = PROBS / PROBS.sum(1, keepdims=True)
    with pytest.raises(SubmissionError, match="its columns are not the classes"):
        written(sample, predictions_of("class", probs=shares))


def test_a_blend_in_ranked_columns_is_verified_and_compared_with_the_one_before(
    tmp_path, fake_run, made_up, rng, ens
):
    test = made_up(rng, classes=SKY, ids=IDS)
    for name in ("a-1-s0", "b-1-s0"):
        fake_run(tmp_path / "runs", name, predictions=made_up(rng, 40, SKY), test=test)
    sample = tmp_path / "sample.csv"
    sample.write_text(ranked_sample("road,haze,clear", "primary,clear,road"))
    words = ("--runs", tmp_path / "runs", "--out", tmp_path, "--sample", sample)
    for name in ("one", "two"):
        ens("blend", "a*" if name == "one" else "*", *words, "--name", name)
        ens("verify", tmp_path / f"{name}.csv", "--runs", tmp_path / "runs")
