"""Tables and blends follow the metric that runs hold; runs without one follow the others, and it is said."""

import json

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.errors import SelectionError
from ensemble.metrics import metric_named
from ensemble.runs import RunStore, publish


@pytest.fixture
def graded(tmp_path, fake_run, made_up):
    """graded(*metrics): a store of a run for each data.metric; the later, the less accurate."""

    def graded(*names):
        for i, name in enumerate(names):
            guess = made_up(np.random.default_rng(i), 200, ("0", "1", "2"), 0.9 - 0.05 * i)
            run = fake_run(tmp_path, f"r{i}-{i}-s0", predictions=guess)
            publish(run.model_copy(update={"data": run.data.model_copy(update={"metric": name})}))
        return RunStore(tmp_path)

    return graded


def test_the_leaderboard_leads_with_the_metric_in_its_own_direction(graded, ens, tmp_path):
    store = graded("log_loss", "log_loss", "log_loss")
    lines = ens("runs", "--runs", tmp_path).splitlines()
    header = next(line for line in lines if "accuracy" in line)
    assert header.index("log loss (95 % interval)") < header.index("accuracy")
    losses = {run.id: run.scores.log_loss for run in store.finished()}
    shown = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in losses]
    assert shown == sorted(losses, key=losses.get)
    assert any(line.split()[:1] == ["chance"] and "1.0986" in line for line in lines)


def test_runs_without_a_metric_follow_the_others_and_both_tables_say_so(graded, ens, tmp_path):
    store = graded("quadratic_kappa", None, None)
    note = "2 runs without data.metric: scored by quadratic_kappa, as the others"
    shown = ens("runs", "--runs", tmp_path)
    assert note in shown
    for run in store.finished():
        valid = run.valid()
        kappa = metric_named("quadratic_kappa", valid.classes).values(valid.probs, valid.targets)
        assert f"{kappa:.4f} (" in shown
    blend = make_blend(store.finished(), Options())
    assert (blend.valid.metric, blend.metric_note) == ("quadratic_kappa", note)


def test_runs_that_disagree_are_listed_by_accuracy_and_not_blended(graded, ens, tmp_path):
    store = graded("quadratic_kappa", "f1_macro", None)
    with pytest.raises(SelectionError, match="different values of data.metric"):
        make_blend(store.finished(), Options())
    shown = ens("runs", "--runs", tmp_path)
    assert "sorted by accuracy: the runs have different values of data.metric" in shown
    assert "accuracy (95 % interval)" in shown


def test_the_listing_as_json_holds_the_metric(graded, ens, tmp_path):
    graded("f1_macro")
    (row,) = json.loads(ens("runs", "--json", "--runs", tmp_path))
    assert row["data"]["metric"] == "f1_macro"
    assert list(row["scores"]) == ["metric", "score", "accuracy", "log_loss"]
