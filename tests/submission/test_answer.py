"""What a cell of a submission means: every kind of sample, and what changes must never change."""

import csv
import io
import random
from typing import get_args

import numpy as np
import pytest
from answered import by_most_probable
from hypothesis import given
from hypothesis import strategies as st

from ensemble.answers import Answer
from ensemble.errors import DataError, SubmissionError
from ensemble.predictions import Predictions
from ensemble.submission.answer import read_answer
from ensemble.submission.choices import ANSWERS_OF
from ensemble.submission.readback import rows_in_words
from ensemble.submission.shape import Meaning, matched_rows, shape_of
from ensemble.submission.write import csv_text

IDS = [f"t{i:03d}" for i in range(6)]
BINARY, PETS, THREE = ("0", "1"), ("cat", "dog"), ("cat", "dog", "owl")
TWELVE = tuple(f"class_{i}" for i in range(12))
MONTHS = tuple(map(str, range(1, 13)))


def sample(header, *cells, delimiter=","):
    """A sample of six ids, whose cells after the id are these texts in turn."""
    lines = [
        f"{name}{delimiter}{cells[position % len(cells)]}" for position, name in enumerate(IDS)
    ]
    return "\n".join([header, *lines]) + "\n"


def one_column(*cells):
    return sample("id,label", *cells)


@pytest.fixture
def reading(tmp_path):
    """reading(text, classes, answer, metric, positive): what the sample's cells mean."""

    def reading(text, classes, answer=None, metric=None, positive=None):
        path = tmp_path / "sample.csv"
        path.write_bytes(text.encode())
        return read_answer(path, classes, answer, metric, positive)

    return reading


DECIDED = {
    "one column per class": (sample("id,cat,dog,owl", "0,0,0"), THREE, None, "probabilities"),
    "two columns of two classes": (sample("id,dog,cat", "0,1"), PETS, None, "probabilities"),
    "columns in another case": (sample("id,cat,dog", "0,0"), ("Cat", "Dog"), None, "probabilities"),
    "columns with spaces": (sample("id, cat, dog", "0, 0"), PETS, None, "probabilities"),
    "columns of numbers": (sample("id,0.0,1.0", "0,0"), BINARY, None, "probabilities"),
    "class names": (one_column("cat"), THREE, None, "class_name"),
    "several class names": (one_column("cat", "dog"), PETS, "roc_auc", "class_name"),
    "empty cells": (one_column(""), THREE, None, "class_name"),
    "empty cells of two classes": (one_column(""), PETS, None, "class_name"),
    "NaN": (one_column("NaN"), THREE, None, "class_name"),
    "another text": (one_column("fill me in"), THREE, None, "class_name"),
    "a class name of several words": (
        one_column("big cat"),
        ("big cat", "cat"),
        None,
        "class_name",
    ),
    "numbers that are the classes": (one_column("3", "10"), ("3", "10"), None, "class_name"),
    "zeros for 1 to 12": (one_column("0"), MONTHS, None, "class_name"),
    "zeros for 1 to 3": (one_column("0"), ("1", "2", "3"), None, "class_name"),
    "zeros for 0 to 2": (one_column("0.0"), ("0", "1", "2"), None, "class_name"),
    "ones for 0 to 2": (one_column("1"), ("0", "1", "2"), "log_loss", "class_name"),
    "classes with decimals": (one_column("0.5"), ("0.5", "1.5"), None, "class_name"),
    "numbers from 0 to 5": (one_column(*"012345"), ("1", "2", "3"), None, "class_name"),
    "0 and 1 for 0 and 1": (one_column("0", "1"), BINARY, None, "class_name"),
    "mixed cells that are all names": (one_column("1", "b"), ("1", "b"), None, "class_name"),
    "halves for 0 and 1": (one_column("0.5"), BINARY, None, "positive_probability"),
    "halves for false and true": (
        one_column("0.5"),
        ("False", "True"),
        None,
        "positive_probability",
    ),
    "a small fraction": (one_column("1e-05", "1"), BINARY, "accuracy", "positive_probability"),
    "halves for 1 and 2": (one_column("0.5"), ("1", "2"), None, "positive_probability"),
    "zeros and AUC": (one_column("0"), BINARY, "roc_auc", "positive_probability"),
    "ones and log loss": (one_column("1.0"), ("0.0", "1.0"), "log_loss", "positive_probability"),
    "false for FALSE": (one_column("False"), ("FALSE", "TRUE"), "accuracy", "class_name"),
    "zeros, true and AUC": (one_column("0"), ("false", "TRUE"), "roc_auc", "positive_probability"),
    "minus ones and AUC": (one_column("-1"), BINARY, "roc_auc", "positive_probability"),
    "zeros and accuracy": (one_column("0"), BINARY, "accuracy", "class_name"),
    "zeros and F1": (one_column("0"), BINARY, "f1_macro", "class_name"),
    "zeros and balanced accuracy": (one_column("0"), BINARY, "balanced_accuracy", "class_name"),
    "zeros and kappa": (one_column("0.0"), BINARY, "quadratic_kappa", "class_name"),
    "zeros and the weakest F1": (one_column("0"), BINARY, "f1_min", "class_name"),
    "zeros and MAP": (one_column("0"), BINARY, "map@5", "class_name"),
    "zeros and top k": (one_column("0"), BINARY, "top_k_accuracy@5", "class_name"),
    "classes in a cell": (one_column("owl cat"), THREE, None, "top_k"),
    "classes with semicolons": (one_column("owl; cat"), THREE, None, "top_k"),
    "numbers in a cell": (one_column("1 2 3"), MONTHS, None, "top_k"),
    "numbers that are no classes": (one_column("0 13"), MONTHS, None, "top_k"),
}


@pytest.mark.parametrize("case", DECIDED)
def test_a_sample_that_can_mean_one_thing_is_read(case, reading):
    text, classes, metric, expected = DECIDED[case]
    answer = reading(text, classes, metric=metric, positive="2" if "2" in classes else None)
    assert (answer.answer, answer.choices) == (expected, ()), answer.reason
    assert answer.reason
    assert not answer.is_open


@pytest.mark.parametrize(
    ("classes", "positive"),
    [(BINARY, "1"), (("1.0", "0.0"), "1.0"), (("true", "false"), "true"), (("F", "T"), None)],
)
def test_classes_0_and_1_or_false_and_true_name_their_positive_class(classes, positive, reading):
    answer = reading(one_column("0.5"), classes)
    assert (answer.positive, answer.is_open) == (positive, positive is None)


def test_a_positive_class_that_is_set_comes_before_the_name(reading):
    assert reading(one_column("0.5"), BINARY, positive="0").positive == "0"


NAME_OR_PROBABILITY = ["--answer class_name", "--answer positive_probability"]
ANY_OF_PETS = [
    "--answer class_name",
    "--answer class_index",
    "--answer positive_probability --positive cat",
    "--answer positive_probability --positive dog",
]
OPEN = {
    "zeros for 0 and 1": (one_column("0"), BINARY, None, NAME_OR_PROBABILITY),
    "ones for 0.0 and 1.0": (one_column("1"), ("0.0", "1.0"), None, NAME_OR_PROBABILITY),
    "zeros for false and true": (one_column("0.0"), ("False", "True"), None, NAME_OR_PROBABILITY),
    "a metric of another kind": (one_column("0"), BINARY, "rmse", NAME_OR_PROBABILITY),
    "a metric that does not exist": (one_column("0"), BINARY, "auc", NAME_OR_PROBABILITY),
    "minus ones": (one_column("-1"), BINARY, None, NAME_OR_PROBABILITY),
    "zeros for two names": (one_column("0"), PETS, None, ANY_OF_PETS),
    "0 and 1 for two names": (one_column("0", "1"), PETS, "accuracy", ANY_OF_PETS),
    "zeros for two names and AUC": (one_column("0"), PETS, "roc_auc", ANY_OF_PETS),
    "zeros for names": (one_column("0"), TWELVE, None, ANY_OF_PETS[:2]),
    "minus ones for names": (one_column("-1"), THREE, None, ANY_OF_PETS[:2]),
    "numbers and texts": (one_column("0", "cat"), THREE, None, ANY_OF_PETS[:2]),
    "numbers and empty cells": (one_column("0", ""), PETS, None, ANY_OF_PETS),
    "numbers beyond 1": (one_column("0.5", "7.5"), PETS, None, ANY_OF_PETS),
    "a number that is one of the names": (one_column("1"), ("1", "b"), None, ["--answer"]),
    "numbers that are written twice": (one_column("1"), ("1", "1.0"), None, ["--answer"]),
    "empty cells, two classes and AUC": (one_column(""), PETS, "roc_auc", ["--answer class_name"]),
    "NaN, 0 and 1, and log loss": (one_column("NaN"), BINARY, "log_loss", NAME_OR_PROBABILITY),
    "five words where no class has two": (
        one_column("w_12 w_9f w_75 w_1e new"),
        THREE,
        "accuracy",
        ["--answer top_k", "--answer class_name"],
    ),
    "zeros for 1 and 2 and AUC": (one_column("0"), ("1", "2"), "roc_auc", ["--answer class_name"]),
    "0 and 1 and AUC": (one_column("0", "1"), BINARY, "roc_auc", NAME_OR_PROBABILITY),
    "0 and 1, true and log loss": (
        one_column("0", "1"),
        ("False", "True"),
        "log_loss",
        NAME_OR_PROBABILITY,
    ),
    "numbers from 1 for 0 to 2": (one_column(*"123"), ("0", "1", "2"), None, ANY_OF_PETS[:2]),
}


@pytest.mark.parametrize("case", OPEN)
def test_a_sample_that_can_mean_several_things_is_a_choice(case, reading, tmp_path):
    text, classes, metric, expected = OPEN[case]
    answer = reading(text, classes, metric=metric)
    assert answer.answer is None
    assert answer.is_open
    options = [choice.options for choice in answer.choices]
    assert len(options) > 1
    assert all(any(option.startswith(start) for option in options) for start in expected)
    if expected in (NAME_OR_PROBABILITY, ANY_OF_PETS):
        assert options == expected
    with pytest.raises(SubmissionError) as refused:
        shape_of(tmp_path / "sample.csv", predictions_of(classes), Meaning(None, metric))
    assert len(str(refused.value).splitlines()) == 3
    assert all(f"`{option}`: " in str(refused.value) for option in options)
    for choice in options:
        answer_option, *positive = [word for word in choice.split() if not word.startswith("--")]
        chosen = reading(text, classes, answer_option, metric, *positive)
        assert chosen.answer == answer_option, "every choice that is offered can be taken"
        assert not chosen.is_open


MISFITS = {
    "fractions of three classes": (
        one_column("0.333"),
        THREE,
        "needs two classes, the runs have 3",
    ),
    "fractions of three numbers": (one_column("0.5"), ("0", "1", "2"), "needs two classes"),
    "a class and its confidence": (one_column("7 0.05"), MONTHS, "a confidence beside a class"),
    "a name and its confidence": (one_column("cat 0.9"), THREE, "a confidence beside a class"),
    "only ids": ("id\nt000\n", PETS, "it has only 'id'"),
    "an index": (
        ",id,label\n0,t000,cat\n",
        PETS,
        "its first column has no name, as an index that pandas wrote, then come 'id', 'label'\n"
        "save it without the index",
    ),
    "a column Unnamed: 0": ("Unnamed: 0,id,label\n0,t000,cat\n", PETS, "without the index"),
    "an index and classes": (",id,cat,dog\n0,t000,0,0\n", PETS, "without the index"),
    "a column Usage": (
        sample("id,label,Usage", "cat,Public"),
        THREE,
        "not classes ['Usage', 'label']",
    ),
    "a column that is no class": (
        sample("id,cat,dog,bird", "0,0,1"),
        PETS,
        "the classes: 1 columns are not classes ['bird']\ntrain with images of these classes",
    ),
    "a class without a column": (sample("id,cat,dog", "0,0"), THREE, "no column ['owl']"),
    "two columns for one class": (sample("id,Cat,CAT", "0,0"), PETS, "are not the classes"),
    "classes by number": (sample("id,0,1", "0,0"), PETS, "are not the classes"),
    "columns that fit two classes": (
        sample("id,CAT,dog", "0,0"),
        ("cat", "Cat"),
        "not the classes",
    ),
    "decimal commas": (
        sample("id;label", "0,5", delimiter=";"),
        PETS,
        "'0,5' is not a plain number",
    ),
    "percents": (one_column("50%"), PETS, "'50%' is not a plain number"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_sample_that_does_not_fit_the_classes_says_what_was_seen(case, reading):
    text, classes, expected = MISFITS[case]
    answer = reading(text, classes)
    assert (answer.answer, answer.choices) == (None, ())
    assert expected in answer.reason
    assert answer.reason.count("\n") <= 1


@pytest.mark.parametrize(
    ("text", "classes", "answer", "positive", "expected"),
    [
        (one_column("0"), PETS, "probabilities", None, "one column for each class"),
        (sample("id,cat,dog", "0,0"), PETS, "class_name", None, "not class_name"),
        (one_column("0"), THREE, "positive_probability", "cat", "needs two classes"),
        (one_column("cat"), PETS, "class_index", None, "class names, such as 'cat'"),
        (one_column("cat"), PETS, "positive_probability", "dog", "not positive_probability"),
        (one_column("0"), PETS, "class_index", "cat", "0 = cat, 1 = dog, but positive is 'cat'"),
        (
            one_column("0"),
            PETS,
            "class_number",
            None,
            "no number of its own in each name: cat, dog",
        ),
        (one_column("0"), ("0", "1"), "class_number", None, "add `--answer class_name`"),
        (one_column("0"), ("0.a", "1.b"), "class_number", "0.a", "1 = 1.b, but positive is '0.a'"),
        (one_column("0"), PETS, "class_id", None, "answer 'class_id' is not one of"),
        (one_column("0"), PETS, "positive_probability", "bird", "is 'bird', which is no class"),
    ],
)
def test_an_answer_that_the_sample_cannot_have_is_refused(
    text, classes, answer, positive, expected, reading
):
    refused = reading(text, classes, answer, None, positive)
    assert refused.is_open
    assert expected in refused.reason


def test_the_answers_are_those_of_the_recipe():
    assert set().union(*ANSWERS_OF.values()) == set(get_args(Answer))


def predictions_of(classes, ids=IDS, seed=0):
    probs = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), len(ids))
    return Predictions(np.array(ids), tuple(classes), probs.astype(np.float32))


@pytest.fixture
def written(tmp_path):
    """written(sample text, predictions, **what is set about the cells): the text of the CSV."""

    def written(text, predictions, **meaning):
        path = tmp_path / "sample.csv"
        path.write_bytes(text.encode())
        return csv_text(
            shape_of(path, predictions, Meaning(**meaning)), by_most_probable(predictions)
        )

    return written


def best(predictions):
    names = [predictions.classes[i] for i in predictions.probs.argmax(1)]
    return dict(zip(predictions.ids.tolist(), names, strict=True))


def by_id(text, delimiter=","):
    _, *rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    return {row[0]: row[1] for row in rows}


SPELLED = {
    "0.0 for 0 to 2": (("0", "1", "2"), ["0.0"], lambda name: f"{name}.0"),
    "0 for 0.0 and 1.0": (("0.0", "1.0"), ["0", "1"], lambda name: name[0]),
    "two zeros": (BINARY, ["00", "01"], lambda name: f"0{name}"),
    "leading zeros": (("1", "2", "10"), ["01", "10"], lambda name: name.zfill(2)),
    "without leading zeros": (("01", "02", "10"), ["1", "10"], lambda name: str(int(name))),
    "0 and 1 for false and true": (
        ("False", "True"),
        ["0", "1"],
        lambda name: str(int(name == "True")),
    ),
    "false and true for 0 and 1": (
        BINARY,
        ["false", "true"],
        lambda name: ["false", "true"][int(name)],
    ),
    "mixed spellings": (BINARY, ["0.0", "1"], lambda name: name),
    "a number that is no class": (("1.0", "2.0"), ["0"], lambda name: name),
    "a spelling that loses digits": (("0.0", "0.5"), ["0"], lambda name: name),
    "a spelling with a sign": (BINARY, ["+1", "+0"], lambda name: name),
    "all names in another case": (("cat", "dog"), ["Cat", "DOG"], {"cat": "Cat", "dog": "DOG"}.get),
    "one name in another case": (("cat", "dog"), ["Cat"], lambda name: name),
    "names as they are": (("Cat", "cat"), ["cat"], lambda name: name),
}


@pytest.mark.parametrize("case", SPELLED)
def test_a_class_is_written_as_every_cell_of_the_sample_spells_it(case, written):
    classes, shown, spelled = SPELLED[case]
    predictions = predictions_of(classes)
    text = written(one_column(*shown), predictions, answer="class_name")
    assert by_id(text) == {name: spelled(answer) for name, answer in best(predictions).items()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_of_the_sample_is_kept(delimiter, written):
    predictions = predictions_of(THREE)
    header = delimiter.join(["id", *reversed(THREE)])
    text = written(sample(header, delimiter.join("000"), delimiter=delimiter), predictions)
    assert text.splitlines()[0] == header
    first = text.splitlines()[1].split(delimiter)
    assert list(map(float, first[1:])) == pytest.approx(predictions.probs[0, ::-1].tolist())


def test_a_comma_in_a_name_does_not_hide_the_semicolons(written):
    classes = ("dog, small", "cat")
    text = written(sample("id;label", "dog, small", delimiter=";"), predictions_of(classes))
    assert by_id(text, ";") == best(predictions_of(classes))


def test_a_sample_from_windows_is_read(written):
    predictions = predictions_of(THREE)
    text = written("\ufeff" + one_column("cat").replace("\n", "\r\n"), predictions)
    assert by_id(text) == best(predictions)


# Mutations: whatever is changed about a sample or the classes, the same answers come by id, or a refusal

KINDS = {
    "names": (THREE, "id,label", ["cat"], {}),
    "numbers as names": (MONTHS, "id,label", ["0"], {}),
    "decimals": (("0.0", "1.0", "2.0"), "id,label", ["0"], {}),
    "positions": (TWELVE, "id,label", ["0"], {"answer": "class_index"}),
    "numbers in names": (("1.b", "10.c", "2.a"), "id,label", ["1"], {"answer": "class_number"}),
    "a probability": (PETS, "id,label", ["0.5"], {"positive": "dog"}),
    "0 and 1, AUC": (BINARY, "id,label", ["0"], {"metric": "roc_auc"}),
    "columns": (THREE, "id,owl,cat,dog", ["0,0,0"], {}),
}


def meant(text, classes, answer):
    """By id the class that a row names, or its probabilities by class, whatever the order."""
    header, *rows = csv.reader(io.StringIO(text))
    if len(header) > 2:
        return {
            row[0]: dict(zip(map(str.casefold, header[1:]), row[1:], strict=True)) for row in rows
        }
    if answer == "class_number":
        by_number = {name.partition(".")[0]: name for name in classes}
        return {row[0]: by_number[row[1]] for row in rows}
    if answer == "class_index":
        return {row[0]: sorted(classes)[int(row[1])] for row in rows}
    return {row[0]: row[1] for row in rows}


def reversed_classes(text, predictions):
    order = slice(None, None, -1)
    return text, Predictions(
        predictions.ids, predictions.classes[order], predictions.probs[:, order]
    )


def shuffled_predictions(text, predictions):
    order = np.random.default_rng(1).permutation(len(predictions.ids))
    return text, Predictions(predictions.ids[order], predictions.classes, predictions.probs[order])


def shuffled_rows(text, predictions):
    header, *lines = text.splitlines()
    random.Random(1).shuffle(lines)
    return "\n".join([header, *lines]) + "\n", predictions


def shuffled_columns(text, predictions):
    rows = [line.split(",") for line in text.splitlines()]
    return "".join(f"{','.join([row[0], *row[:0:-1]])}\n" for row in rows), predictions


def renamed_column(text, predictions):
    header, _, rest = text.partition("\n")
    first = header.split(",")[1]
    return f"{header.replace(first, 'zebra')}\n{rest}", predictions


def upper_columns(text, predictions):
    header, _, rest = text.partition("\n")
    return f"{header.upper()}\n{rest}", predictions


def index_column(text, predictions):
    header, *lines = text.splitlines()
    rows = [f"{position},{line}" for position, line in enumerate(lines)]
    return "\n".join([f",{header}", *rows]) + "\n", predictions


def usage_column(text, predictions):
    header, *lines = text.splitlines()
    return "\n".join([f"{header},Usage", *(f"{line},Public" for line in lines)]) + "\n", predictions


def dropped_row(text, predictions):
    return "".join(text.splitlines(keepends=True)[:-1]), predictions


def suffixes_on_ids(text, predictions):
    header, *lines = text.splitlines()
    return (
        "\n".join([header, *(line.replace(",", ".jpg,", 1) for line in lines)]) + "\n",
        predictions,
    )


def folders_before_ids(text, predictions):
    ids = np.array([f"test/{name}" for name in predictions.ids.tolist()])
    return text, Predictions(ids, predictions.classes, predictions.probs)


def quoted(text, predictions):
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(csv.reader(io.StringIO(text)))
    return out.getvalue(), predictions


MUTATIONS = [
    *(reversed_classes, shuffled_predictions, shuffled_rows, shuffled_columns, renamed_column),
    *(upper_columns, index_column, usage_column, dropped_row, suffixes_on_ids),
    *(folders_before_ids, quoted),
]


@pytest.mark.parametrize("mutate", MUTATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_the_sample_never_changes_an_answer_in_silence(kind, mutate, written):
    classes, header, cells, settings = KINDS[kind]
    predictions = predictions_of(classes)
    text = sample(header, *cells)
    answer = settings.get("answer")
    expected = meant(written(text, predictions, **settings), classes, answer)
    try:
        changed = meant(written(*mutate(text, predictions), **settings), classes, answer)
    except (SubmissionError, DataError):
        assert mutate in (renamed_column, index_column, usage_column)
        return
    for name, row in changed.items():
        assert row == expected[name.removesuffix(".jpg")]


@given(st.integers(0, 2**16), st.permutations(range(12)), st.integers(2, 12))
def test_leading_zeros_that_got_lost_lead_to_the_same_image(tmp_path_factory, seed, order, n):
    ids = [f"{i:04d}" for i in order[:n]]
    predictions = predictions_of(THREE, ids, seed)
    path = tmp_path_factory.mktemp("sample") / "sample.csv"
    random.Random(seed).shuffle(ids)
    path.write_text("id,label\n" + "".join(f"{int(name)},cat\n" for name in ids))
    text = csv_text(shape_of(path, predictions, Meaning()), by_most_probable(predictions))
    assert by_id(text) == {str(int(name)): best(predictions)[name] for name in ids}


# The first rows, as a person reads them

IN_WORDS = {
    "names": (one_column("cat"), THREE, {}, "t000: class '{best}'"),
    "a spelling": (
        one_column("0.0"),
        ("0", "1", "2"),
        {},
        "t000: {best}.0, that is class '{best}'",
    ),
    "positions": (
        one_column("0"),
        THREE,
        {"answer": "class_index"},
        "t000: {position}, that is class '{best}'",
    ),
    "numbers in names": (
        one_column("001"),
        ("1.b", "10.c", "2.a"),
        {"answer": "class_number"},
        "t000: {number:03d}, that is class '{best}'",
    ),
    "a probability": (
        one_column("0.5"),
        PETS,
        {"positive": "dog"},
        "t000: {dog:.2f} that it is 'dog'",
    ),
    "columns": (
        sample("id,owl,cat,dog", "0,0,0"),
        THREE,
        {},
        "t000: most probable '{best}' ({p:.2f})",
    ),
}


@pytest.mark.parametrize("case", IN_WORDS)
def test_the_first_rows_of_the_file_are_said_in_words(case, written, tmp_path):
    text, classes, settings, expected = IN_WORDS[case]
    predictions = predictions_of(classes)
    shape = shape_of(write(tmp_path / "sample.csv", text), predictions, Meaning(**settings))
    out = write(tmp_path / "out.csv", csv_text(shape, by_most_probable(predictions)))
    images = predictions.ids[matched_rows(shape, IDS)[0]].tolist()[:3]
    lines = rows_in_words(out, shape, images)
    assert len(lines) == 3
    name = best(predictions)["t000"]
    assert lines[0] == expected.format(
        best=name,
        position=sorted(classes).index(name),
        number=int("0" + "".join(filter(str.isdigit, name))),
        p=predictions.probs[0].max(),
        dog=predictions.probs[0, -1],
    )
    assert rows_in_words(out, shape, ["a/t000.jpg"])[0].startswith("t000 (image a/t000.jpg): ")


def write(path, text):
    path.write_text(text)
    return path


def test_the_options_of_the_command_decide_and_the_rows_are_shown(
    tmp_path, fake_run, made_up, rng, monkeypatch, capsys
):
    from ensemble.cli import main
    from ensemble.runs import publish

    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "s.csv", one_column("0"))
    test = made_up(rng, classes=PETS, ids=IDS)
    run = fake_run("runs", "r-1-s0", predictions=made_up(rng, 40, PETS), test=test)
    data = run.data.model_copy(update={"sample_submission": str(path), "answer": "class_name"})
    publish(run.model_copy(update={"data": data}))
    options = ["--answer", "positive_probability", "--positive", "dog"]
    for command in (["blend", "--name", "mine", *options], ["verify", "submissions/mine.csv"]):
        monkeypatch.setattr("sys.argv", ["ens", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, None), capsys.readouterr().err
    shown = capsys.readouterr().out
    share = by_id((tmp_path / "submissions/mine.csv").read_text())["t000"]
    assert float(share) == pytest.approx(test.probs[0, 1])
    assert "6 rows, positive_probability, checked; mine.json explains it" in shown
    assert f"\n  t000: {float(share):.2f} that it is 'dog'\n" in shown
