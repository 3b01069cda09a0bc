"""`ens import --target`: several labels and numbers from .npz and CSV, and what is refused."""

import json

import numpy as np
import pytest

from ensemble.errors import DamagedError, DataError, EnsembleError, MismatchError
from ensemble.metrics import metric_named
from ensemble.predictions import Predictions
from ensemble.runs import RunStore
from ensemble.runs.import_files import read_predictions
from ensemble.runs.imported import import_run

IDS = ["a", "b", "c", "d"]
PROBS = np.array([[0.9, 0.2], [0.1, 0.6], [0.7, 0.8], [0.4, 0.3]])
TRUE = np.array([[1, 0], [0, 1], [1, 0], [0, 0]])
VALUES, AGES = np.array([[1.5], [2.0], [-3.0], [10.0]]), np.array([1.0, 2.5, -3.0, 12.0])


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def labels_csv(path, ids=IDS, probs=PROBS, true=TRUE, header="id,cat,dog,label:cat,label:dog"):
    cells = zip(ids, *probs.T, *([] if true is None else true.T), strict=True)
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in cells)]) + "\n")
    return path


def test_labels_in_a_csv_and_in_arrays_are_the_same_run(tmp_path, store):
    csv_file = labels_csv(tmp_path / "v.csv")
    arrays = {"ids": np.array(IDS), "classes": np.array(["cat", "dog"])}
    np.savez(tmp_path / "v.npz", **arrays, probs=PROBS, targets=TRUE)
    np.savez(tmp_path / "t.npz", **arrays, probs=PROBS[::-1].copy())
    first = import_run("mine", "vit", csv_file, None, store, "pets", "labels")
    again = import_run("mine", "vit", tmp_path / "v.npz", None, store, "pets", "labels")
    assert first.id == again.id
    valid = store.get(first.id).valid()
    assert (valid.target, valid.classes) == ("labels", ("cat", "dog"))
    np.testing.assert_array_equal(valid.targets, TRUE)
    np.testing.assert_allclose(valid.probs, PROBS, atol=1e-7)
    f1 = metric_named("f1_samples", ["cat", "dog"], target="labels")
    assert (first.scores.metric, first.data.target) == ("f1_samples", "labels")
    assert first.scores.score == pytest.approx(f1.values(PROBS, TRUE))
    second = import_run(
        "theirs", "vit", tmp_path / "v.npz", tmp_path / "t.npz", store, target="labels"
    )
    assert second.data.name == "pets"
    assert second.test().target == "labels"


def test_rows_that_a_run_has_need_no_true_labels_and_keep_its_order(tmp_path, store):
    import_run("mine", "vit", labels_csv(tmp_path / "v.csv"), None, store, "pets", "labels")
    turned = labels_csv(tmp_path / "w.csv", IDS[::-1], PROBS[::-1, ::-1], None, header="id,dog,cat")
    run = import_run("turned", "vit", turned, None, store, target="labels")
    valid = run.valid()
    np.testing.assert_allclose(valid.probs, PROBS, atol=1e-7)
    np.testing.assert_array_equal(valid.targets, TRUE)
    other = TRUE.copy()
    other[2] = [0, 1]
    with pytest.raises(MismatchError, match="1 true labels differ from the runs', the first: 'c'"):
        import_run(
            "o", "vit", labels_csv(tmp_path / "o.csv", true=other), None, store, None, "labels"
        )


def test_numbers_in_a_csv_and_in_arrays_are_the_same_run(tmp_path, store):
    rows = zip(IDS, VALUES[:, 0], AGES, strict=True)
    text = "\n".join(["id,age,label", *(f"{name},{x},{true}" for name, x, true in rows)])
    (tmp_path / "v.csv").write_text(text + "\n")
    np.savez(
        tmp_path / "v.npz",
        ids=np.array(IDS),
        classes=np.array(["age"]),
        probs=VALUES,
        targets=AGES,
        target="number",
    )
    first = import_run("mine", "vit", tmp_path / "v.csv", None, store, "ages", "number")
    again = import_run("mine", "vit", tmp_path / "v.npz", None, store, "ages")
    assert first.id == again.id
    np.testing.assert_array_equal(first.valid().targets, AGES)
    assert first.scores.metric == "rmse"
    assert first.scores.score == pytest.approx(np.sqrt(np.mean((VALUES[:, 0] - AGES) ** 2)))
    assert first.data.majority is None
    np.testing.assert_allclose(first.prior(), [AGES.mean()])


REFUSED = {  # header, row, target, message
    "labels as classes": (
        "id,cat,dog,label:cat,label:dog",
        "a,1,0,1,0",
        None,
        "add --target labels",
    ),
    "a truth without probabilities": (
        "id,cat,dog,label:cat,label:owl",
        "a,1,0,1,0",
        "labels",
        "'label:dog' has no counterpart",
    ),
    "one class for labels": (
        "id,cat,dog,label",
        "a,1,0,cat",
        "labels",
        "'label' has no counterpart",
    ),
    "half a truth": (
        "id,cat,dog,label:cat,label:dog",
        "a,1,0,1,0.5",
        "labels",
        "'a': label:dog is '0.5', neither 0 nor 1",
    ),
    "probabilities as a number": ("id,cat,dog", "a,1,0", "number", "one column of values"),
    "a number as classes": ("id,age,label", "a,31.5,30", None, "one column per class"),
    "a word as a value": ("id,age", "a,old", "number", "'a': age is 'old', not a number"),
    "a value that is NaN": ("id,age", "a,nan", "number", "values of 'a' are NaN or infinite"),
    "a probability above 1": ("id,cat,dog", "a,1.5,0", "labels", "outside 0 to 1"),
    "labels in per cent": ("id,cat,dog", "a,85.5,0", "labels", "divide them by 100"),
    "labels as probabilities of classes": ("id,cat,dog", "a,0.9,0.8", None, "sum to 1.7000, not 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_of_another_target_is_refused(case, tmp_path):
    header, row, target, message = REFUSED[case]
    path = tmp_path / "v.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises((DataError, DamagedError)) as refused:
        read_predictions(path, target)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert str(refused.value).count("\n") < 3


def test_a_file_that_states_another_target_is_refused(tmp_path, store):
    path = tmp_path / "v.npz"
    Predictions(np.array(IDS), ("age",), VALUES, AGES, target="number").save(path)
    with pytest.raises(DamagedError, match="is about a number per image, not about several labels"):
        read_predictions(path, "labels")
    import_run("ages", "vit", path, None, store)
    with pytest.raises(EnsembleError, match="a number per image"):
        import_run("o", "vit", labels_csv(tmp_path / "v.csv"), None, store, "ages", "labels")


def test_runs_on_labels_are_listed_blended_and_compared(tmp_path, store, ens):
    files = [labels_csv(tmp_path / "v.csv"), labels_csv(tmp_path / "w.csv", probs=PROBS * 0.9)]
    runs = [
        import_run(f"r{i}", "vit", file, None, store, "pets", "labels")
        for i, file in enumerate(files)
    ]
    assert {run.data.target for run in runs} == {"labels"}
    for arguments in ["runs"], ["blend", "--out", str(tmp_path / "out")], ["compare", "r0", "r1"]:
        assert "f1_samples" in ens(*arguments, "--runs", store.root)


def test_each_label_is_scored_and_a_number_has_no_classes(tmp_path, store, ens):
    import_run("r", "vit", labels_csv(tmp_path / "v.csv"), None, store, "pets", "labels")
    path = tmp_path / "ages.npz"
    Predictions(np.array(list("efgh")), ("age",), VALUES, AGES, target="number").save(path)
    ages = import_run("ages", "vit", path, None, store)
    shown = ens("runs", "--per-class", "--runs", store.root)
    assert "label   images" in shown
    assert f"{ages.id}: no classes, it predicts a number per image" in shown
    listed = {
        run["recipe"]: run
        for run in json.loads(ens("runs", "--per-class", "--json", "--runs", store.root))
    }
    assert listed["ages"]["per_class"] == []
    assert [score["f1"] for score in listed["r"]["per_class"]] == [1, pytest.approx(2 / 3)]


def test_a_column_of_values_may_have_any_name(tmp_path, store):
    for name in ("age", "pred"):
        rows = zip(IDS, VALUES[:, 0], AGES, strict=True)
        text = "\n".join([f"id,{name},Label", *(f"{image},{x},{true}" for image, x, true in rows)])
        (tmp_path / f"{name}.csv").write_text(text + "\n")
        run = import_run(name, "vit", tmp_path / f"{name}.csv", None, store, "ages", "number")
        assert run.classes == ("age",)
