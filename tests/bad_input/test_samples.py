"""Sample submissions that are broken, or do not fit what the runs predict."""

from pathlib import Path

import pytest

from ensemble.runs import publish

IDS = [f"t{i}" for i in range(6)]


def sample(header, cell, ids=IDS):
    return f"{header}\n" + "".join(f"{name},{cell}\n" for name in ids)


TWO, THREE = ("a", "b"), ("a", "b", "c")
SAMPLES = {
    "empty": (TWO, "", ["s.csv", "a header and at least one row"]),
    "only a header": (TWO, "id,label\n", ["s.csv", "a header and at least one row"]),
    "an image": (TWO, b"\x89PNG\xff", ["s.csv", "not a readable CSV in UTF-8"]),
    "UTF-16 without its mark": (TWO, sample("id,label", "a").encode("utf-16-le"), ["s.csv", "NUL"]),
    "only ids": (TWO, "id\nt0\n", ["s.csv", "an id column and at least one more", "'id'"]),
    "colons": (
        TWO,
        "id:label\nt0:a\n",
        ["s.csv", "an id column and at least one more", "'id:label'"],
    ),
    "a column twice": (TWO, sample("id,a,a", "0,1"), ["s.csv", "twice"]),
    "a row too short": (TWO, sample("id,label", "a") + "t9\n", ["s.csv", "row 8 has 1 cells"]),
    "an open quote": (TWO, sample("id,label", "a") + '"t9,a\n', ["s.csv", "not a readable CSV"]),
    "a NUL": (TWO, sample("id,label", "a") + "t9\0,a\n", ["s.csv", "NUL"]),
    "an id twice": (
        TWO,
        sample("id,label", "a", [*IDS, "t0"]),
        ["s.csv", "'t0'", "more than once"],
    ),
    "an id without an image": (
        TWO,
        sample("id,label", "a", ["x9"]),
        ["1 of 1 ids", "'x9'", "data.test"],
    ),
    "an id that climbs": (
        TWO,
        sample("id,label", "a", ["../../outside/secret"]),
        ["1 of 1 ids", "'../../outside/sec"],
    ),
    "an id of 10,000 letters": (
        TWO,
        sample("id,label", "a", ["i" * 10_000]),
        ["1 of 1 ids", "'iii"],
    ),
    "an empty id": (TWO, sample("id,label", "a", ["", *IDS]), ["1 of 7 ids", "''"]),
    "two ids for one image": (
        TWO,
        sample("id,label", "a", ["t0", "t0.png"]),
        ["'t0' and 't0.png'", "both match"],
    ),
    "an id for two images": (TWO, sample("id,label", "a", ["u"]), ["1 of 1 ids", "'u'"]),
    "a class without a column": (
        THREE,
        sample("id,a,b", "0,1"),
        ["s.csv", "1 classes have no column ['c']"],
    ),
    "a column that is no class": (
        TWO,
        sample("id,a,b,x", "0,1,0"),
        ["s.csv", "1 columns are not classes ['x']"],
    ),
    "classes by number": (
        TWO,
        sample("id,0,1", "0,1"),
        ["s.csv", "columns are not the classes", "['a', 'b']"],
    ),
    "one class in another case": (
        TWO,
        sample("id,A,B,x", "0,1,0"),
        ["s.csv", "columns are not the classes"],
    ),
    "classes in two cases": (
        ("a", "A"),
        sample("id,a,A ", "0,1"),
        ["s.csv", "columns are not the classes", "['A']", "['A ']"],
    ),
    "a fraction of three classes": (
        THREE,
        sample("id,label", "0.5"),
        ["s.csv", "two classes", "the runs have 3"],
    ),
    "a fraction of an unknown class": (
        TWO,
        sample("id,label", "0.5"),
        ["s.csv", "data.positive", "is not set"],
    ),
    "an index": (
        TWO,
        ",id,label\n0,t0,a\n",
        ["s.csv", "first column has no name", "'id', 'label'", "index=False", "--sample"],
    ),
    "an index that pandas read again": (
        TWO,
        "Unnamed: 0,id,a,b\n0,t0,0,0\n",
        ["s.csv", "first column has no name", "index=False"],
    ),
    "a column Usage": (
        TWO,
        sample("id,label,Usage", "a,Public"),
        ["s.csv", "2 classes have no column", "['Usage', 'label']", "--sample"],
    ),
    "zeros for two names": (
        TWO,
        sample("id,label", "0"),
        ["s.csv", "`--answer class_name`", "0 = a, 1 = b", "--positive b"],
    ),
    "zeros for three names": (
        THREE,
        sample("id,label", "0"),
        ["s.csv", "numbers (0)", "`--answer class_index`", "0 = a, 1 = b, 2 = c"],
    ),
    "minus ones for names": (THREE, sample("id,label", "-1"), ["s.csv", "numbers (-1)"]),
    "zeros for 0 and 1": (
        ("0", "1"),
        sample("id,label", "0"),
        ["s.csv", "data.metric is not set", "`--answer class_name`", "probability of '1'"],
    ),
    "ones for false and true": (
        ("false", "true"),
        sample("id,label", "1"),
        ["s.csv", "cells are all 1", "probability of 'true'"],
    ),
    "numbers and names": (
        TWO,
        "id,label\nt0,a\nt1,0\n",
        ["s.csv", "numbers and texts, such as '0' and 'a'"],
    ),
    "numbers and empty cells": (TWO, "id,label\nt0,\nt1,0.5\n", ["s.csv", "'0.5' and ''"]),
    "a fraction above 1": (TWO, sample("id,label", "1.5"), ["s.csv", "numbers (1.5)"]),
    "a fraction below 0": (TWO, sample("id,label", "-0.5"), ["s.csv", "numbers (-0.5)"]),
    "a number of 99 digits": (TWO, sample("id,label", "9" * 99), ["s.csv", "999"]),
    "a number of 10^999": (TWO, sample("id,label", "1e999"), ["s.csv", "1E+999"]),
    "a number that is a name": (("1", "b"), sample("id,label", "1"), ["s.csv", "--answer"]),
    "one number under two names": (("1", "1.0"), sample("id,label", "1"), ["s.csv", "1, 1.0"]),
    "a decimal comma": (
        TWO,
        "id;label\nt0;0,5\n",
        ["s.csv", "'0,5' is not a plain number", "decimal points"],
    ),
    "decimal commas in columns": (
        TWO,
        "id;a;b\nt0;0,5;0,5\n",
        ["s.csv", "'0,5' is not a plain number"],
    ),
    "percents": (TWO, sample("id,label", "50 %"), ["s.csv", "'50 %' is not a plain number"]),
    "a class among other words": (
        THREE,
        sample("id,label", "a or b"),
        ["s.csv", "several classes, such as 'a or b'", "`--answer top_k`", "`--answer class_name`"],
    ),
    "a fraction of three numbers": (
        ("0", "1", "2"),
        sample("id,label", "0.5"),
        ["s.csv", "two classes", "the runs have 3"],
    ),
    "ids that match only some images loosely": (
        TWO,
        sample("id,label", "a", ["T0", "T1", "x9"]),
        ["3 of 3 ids", "'T0'", "ids of the images look like 't0'"],
    ),
    "an id in two cases": (
        TWO,
        sample("id,label", "a", ["t0", "T0"]),
        ["1 of 2 ids", "'T0'"],
    ),
    "an id in two folders": (
        TWO,
        sample("id,label", "a", ["x/t0", "y/t0"]),
        ["2 of 2 ids", "'x/t0'"],
    ),
    "a row with another delimiter": (TWO, "id;label\nt0,a\n", ["s.csv", "row 2 has 2 cells"]),
    "two samples' columns": (
        TWO,
        sample("id,a,b,label", "0,1,a"),
        ["s.csv", "not classes ['label']"],
    ),
}


@pytest.fixture
def runs_for(work, fake_run, rng, made_up):
    """runs_for(sample, classes, positive): two finished runs on six test images t0 … t5, and u in
    two formats.
    """

    def make(path, classes=TWO, positive=None, n=2):
        for i in range(n):
            test = made_up(rng, classes=classes, ids=[*IDS, "u.png", "u.jpg"])
            run = fake_run("runs", f"r{i}-1-s0", predictions=made_up(rng, 40, classes), test=test)
            fields = {"sample_submission": path, "positive": positive}
            publish(run.model_copy(update={"data": run.data.model_copy(update=fields)}))

    return make


@pytest.mark.parametrize("case", SAMPLES)
def test_a_sample_that_does_not_fit(case, refused, write, runs_for):
    classes, content, expected = SAMPLES[case]
    write("s.csv", content)
    runs_for("s.csv", classes)
    refused("blend", *expected)


PATHS = {
    "gone": ("gone/s.csv", ["gone/s.csv", "is gone"]),
    "a folder": ("runs", ["runs", "is gone"]),
    "a device": ("/dev/zero", ["/dev/zero", "is gone"]),
    "a name of 5,000 letters": ("s" * 5000, ["is gone"]),
    "a name with a NUL": (
        "s\0.csv",
        ["run.json: data.sample_submission: a path cannot contain NUL"],
    ),
    "somebody's password": (
        "../outside/secret.txt",
        ["secret.txt", "a header and at least one row"],
    ),
}


@pytest.mark.parametrize("case", PATHS)
def test_a_sample_that_does_not_exist(case, refused, runs_for):
    path, expected = PATHS[case]
    runs_for(path)
    refused("blend", *expected)


MEMBERS = {
    "two samples": (
        {"sample_submission": "other.csv"},
        ["other.csv: the sample submission of r0", "--sample FILE"],
    ),
    "two positive classes": (
        {"positive": "b"},
        ["different values of data.positive", "r0-1-s0 has b", "r1-1-s0 has None", "--positive"],
    ),
    "two answers": (
        {"answer": "class_index"},
        ["different values of data.answer", "r0-1-s0 has class_index", "--answer NAME"],
    ),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_members_that_were_trained_for_different_samples(case, refused, write, runs_for):
    from ensemble.runs import RunStore

    update, expected = MEMBERS[case]
    write("s.csv", sample("id,label", "a"))
    runs_for("s.csv")
    run = RunStore().get("r0-1-s0")
    publish(run.model_copy(update={"data": run.data.model_copy(update=update)}))
    refused("blend", *expected)


def test_a_positive_class_that_is_not_a_class(refused, write, runs_for):
    write("s.csv", sample("id,label", "0.5"))
    runs_for("s.csv", positive="=cmd()")
    refused("blend", "s.csv", "data.positive, which is '=cmd()'", "--positive a", "--positive b")


ANSWERS = {
    "probabilities in one column": ("0", "--answer probabilities", "one column for each class"),
    "positions under names": ("a", "--answer class_index", "class names, such as 'a'"),
    "a probability under names": ("b", "--answer positive_probability", "class names, such as 'b'"),
    "a probability of no class": ("0", "--answer positive_probability", "which is not set"),
    "positions that number the positive class 0": (
        "0",
        "--answer class_index --positive a",
        "0 = a, 1 = b, but positive is 'a'",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_the_sample_cannot_have(case, refused, write, runs_for):
    cell, options, expected = ANSWERS[case]
    write("s.csv", sample("id,label", cell))
    runs_for("s.csv")
    refused(f"blend {options}", "s.csv", expected)


def test_a_probability_of_another_class(refused, write, runs_for):
    write("s.csv", sample("id,label", "0"))
    runs_for("s.csv")
    options = "--answer positive_probability --positive c"
    refused(f"blend {options}", "--positive is 'c', which is not a class", "classes: 'a', 'b'")


def test_a_stored_answer_that_does_not_exist(refused, write, runs_for):
    from ensemble.runs import RunStore

    write("s.csv", sample("id,label", "a"))
    runs_for("s.csv", n=1)
    run = RunStore().get("r0-1-s0")
    publish(run.model_copy(update={"data": run.data.model_copy(update={"answer": "=cmd()"})}))
    refused("blend", "s.csv", "answer '=cmd()' is not one of probabilities,")


def test_an_answer_for_predictions_without_a_sample(refused, runs_for, write):
    write("s.csv", sample("id,label", "a"))
    runs_for("s.csv", n=1)
    refused("predict . --run r0-1-s0 --out p.csv --answer class_name", "--sample FILE")


NAMES = {
    "a climbing name": (
        "blend --name ../../outside/x",
        ["--name '../../outside/x'", "plain file name"],
    ),
    "an absolute name": ("blend --name /tmp/x", ["--name '/tmp/x'", "plain file name"]),
    "two dots": ("blend --name ..", ["--name '..'", "plain file name"]),
    "a hidden name": ("blend --name .x", ["--name '.x'", "plain file name"]),
    "a name of 300 letters": (f"blend --name {'n' * 300}", ["cannot be written"]),
    "a folder that is a file": ("blend --out s.csv", ["s.csv", "cannot be written"]),
    "a folder in a file": ("blend --out s.csv/deeper", ["s.csv/deeper", "cannot be written"]),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_submission_name_that_is_not_allowed(case, refused, write, runs_for):
    command, expected = NAMES[case]
    write("s.csv", sample("id,label", "a"))
    runs_for("s.csv")
    refused(command, *expected)


def test_ids_and_classes_that_look_harmful_are_written_exactly_and_create_no_file(
    work, fake_run, rng, made_up, ens
):
    import csv

    ids = [
        "../../outside/x",
        "/etc/passwd",
        "=cmd()|' /C calc'!A0",
        "two\nlines",
        "a,b",
        'a"b',
        "\r",
        "<b>&amp;",
        " x ",
    ]
    classes = ("<script>alert(1)</script>", "=HYPERLINK(1)", "[bold]x[/nope]")
    fake_run(
        "runs",
        "r-1-s0",
        predictions=made_up(rng, 40, classes),
        test=made_up(rng, classes=classes, ids=ids),
    )
    for command in (
        ["blend", "--name", "mine"],
        ["verify", "submissions/mine.csv"],
        ["runs", "--per-class"],
    ):
        ens(*command)
    with Path("submissions/mine.csv").open(encoding="utf-8", newline="") as stored:
        rows = list(csv.reader(stored))
    assert sorted(row[0] for row in rows[1:]) == sorted(ids)
    assert {row[1] for row in rows[1:]} <= set(classes)
    files = {path.name for path in work.parent.rglob("*") if path.is_file()}
    assert files == {"mine.csv", "mine.json", "run.json", "valid.npz", "test.npz", "secret.txt"}


CASES = SAMPLES | PATHS | MEMBERS | ANSWERS | NAMES
