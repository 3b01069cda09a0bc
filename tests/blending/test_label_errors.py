"""Likely wrong labels: the rule against its definition, planted errors, the command and its list."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending.label_errors import (
    label_errors,
    label_errors_csv,
    n_wrong,
    thresholds,
)
from ensemble.errors import SelectionError
from ensemble.predictions import Predictions


def predictions_of(probs, targets, classes=None):
    ids = np.array([f"i{i:04d}" for i in range(len(targets))])
    names = classes or tuple(f"c{i}" for i in range(probs.shape[1]))
    return Predictions(ids, names, probs, np.array(targets, np.int64))


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 40))
def test_the_rule_is_its_definition(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    probs, targets = rng.dirichlet(np.ones(n_classes), n), rng.integers(0, n_classes, n)
    limit = [
        np.mean([p[k] for p, y in zip(probs, targets, strict=True) if y == k] or [1.0])
        for k in range(n_classes)
    ]
    assert thresholds(probs, targets) == pytest.approx(limit)
    rows = range(n)
    relative = [[p[k] / limit[k] for k in range(n_classes)] for p in probs]
    sure_of = [[k for k in range(n_classes) if p[k] >= limit[k] - 1e-15] for p in probs]
    sure_rows = [i for i in rows if sure_of[i]]
    off = [i for i in sure_rows if max(sure_of[i], key=lambda k: probs[i][k]) != targets[i]]
    assert n_wrong(probs, targets) == round(n * len(off) / max(len(sure_rows), 1))
    first = sorted(rows, key=lambda i: relative[i][targets[i]])[: n_wrong(probs, targets)]
    likely = [i for i in first if max(relative[i]) > relative[i][targets[i]]]
    errors = label_errors(predictions_of(probs, targets))
    assert [error.id for error in errors] == [f"i{i:04d}" for i in likely]
    for error, i in zip(errors, likely, strict=True):
        assert error.new_label == f"c{int(np.argmax(relative[i]))}"
        assert error.confidence == pytest.approx(relative[i][targets[i]])


def test_planted_errors_come_first():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 4, 400)
    probs = rng.dirichlet(np.ones(4), 400) + 2 * np.eye(4)[true]
    probs /= probs.sum(1, keepdims=True)
    labels, planted = true.copy(), rng.choice(400, 20, replace=False)
    labels[planted] = (true[planted] + 1) % 4
    errors = label_errors(predictions_of(probs, labels))
    assert {error.id for error in errors[:20]} == {f"i{i:04d}" for i in planted}
    new_labels = {error.id: error.new_label for error in errors[:20]}
    assert all(new_labels[f"i{i:04d}"] == f"c{true[i]}" for i in planted)


def test_a_list_holds_ids_and_names_as_they_are():
    names = ('a,"b"', "日本")
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.95, 0.05], [0.8, 0.2]])
    errors = label_errors(predictions_of(probs, [0, 1, 1, 0], names))
    (row,) = csv.DictReader(io.StringIO(label_errors_csv(errors)))
    assert (row["id"], row["label"], row["new_label"]) == ("i0002", "日本", 'a,"b"')


def test_other_targets_are_refused():
    ids = np.array(["a", "b"])
    number = Predictions(ids, ("age",), np.ones((2, 1)), np.ones(2), target="number")
    with pytest.raises(SelectionError, match="a number per image"):
        label_errors(number)


@pytest.fixture
def ens(tmp_path, monkeypatch, run_ens):
    """ens(*words): exit status, stdout and stderr of this command in tmp_path."""
    monkeypatch.chdir(tmp_path)
    return run_ens


def test_the_command_ranks_a_run_and_writes_a_list_where_every_image_was_trained_on(
    ens, tmp_path, fake_run
):
    run = fake_run(tmp_path / "runs", "a-1-s0", training=None)
    expected = label_errors(run.valid().canonical())
    code, out, _ = ens("inspect", "--labels", run.id, "--json")
    shown = json.loads(out)
    assert (code, shown["rows"], len(shown["labels"])) == (0, 200, len(expected))
    assert (tmp_path / shown["list"]).read_text() == label_errors_csv(expected)
    code, out, _ = ens("inspect", "--labels", run.id)
    assert f"{len(expected)} of 200 labels are likely wrong" in out
    assert "data.exclude=" in out


def test_the_command_ranks_a_blend_and_writes_no_list_of_a_fixed_validation_set(
    ens, tmp_path, fake_run
):
    for name in ("a-1-s0", "b-1-s0"):
        fake_run(tmp_path / "runs", name)
    assert ens("blend", "--name", "mine")[0] == 0
    code, out, _ = ens("inspect", "--labels", "mine")
    assert code == 0
    assert "validation images are never changed" in " ".join(out.split())
    assert not (tmp_path / "inspect").exists()
    code, out, _ = ens("inspect", "--labels", "a-1-s0", "--runs", "runs", "--submissions", "o k")
    assert out.endswith("next:  ens report --submissions 'o k' --runs runs\n")


@pytest.mark.parametrize("arguments", [(), ("r.yaml", "--labels", "mine")])
def test_the_command_takes_a_recipe_or_a_blend(ens, arguments):
    code, _, err = ens("inspect", *arguments)
    assert code == 2
    assert "name a recipe, or a blend or run with --labels" in " ".join(err.split())


def test_the_options_of_a_recipe_or_of_runs_are_not_ignored(ens):
    code, _, err = ens("inspect", "--labels", "mine", "--set", "data.size=8")
    assert (code, "with --labels, without --set" in " ".join(err.split())) == (2, True)
    code, _, err = ens("runs", "a*", "--submissions")
    assert (code, "--submissions lists uploads" in " ".join(err.split())) == (2, True)


def test_an_unknown_name_is_an_error_that_names_the_runs_and_blends(ens, tmp_path, fake_run):
    for name in ("a-1-s0", "b-1-s0"):
        fake_run(tmp_path / "runs", name)
    assert "submissions holds no manifest" in ens("inspect", "--labels", "nobody")[2]
    for name in ("mine", "other"):
        assert ens("blend", "--name", name)[0] == 0
    code, _, err = ens("inspect", "--labels", "mien")
    assert (code, err.count("\n")) == (1, 3)
    assert "'mien' is not a finished run in runs\n`ens runs` lists" in err
    assert "no blend has this name: submissions holds mine, other" in err
