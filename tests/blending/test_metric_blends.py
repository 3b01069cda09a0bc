"""Blends scored as the competition scores: which metric, which bound, what is shown and stored."""

import json
import math

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.display import blends, results, show_json
from ensemble.errors import MetricError, SelectionError
from ensemble.predictions import Predictions
from ensemble.runs import RunStore, publish
from ensemble.submission import write_submission
from ensemble.submission.verify import verified


@pytest.fixture
def run_of(tmp_path, fake_run, noisy):
    """run_of(name, seed, n_classes, **data): a run of made-up probabilities; data goes to run.data."""

    def make(name, seed=0, n=400, classes=("0", "1", "2"), strength=1.0, **data):
        probs, targets = noisy(np.random.default_rng(seed), 1, n, len(classes), strength)
        ids = np.array([f"{i:04d}" for i in range(n)])
        test_ids = np.array([f"t{i:03d}" for i in range(60)])
        shown = Predictions(ids, classes, probs[0].astype(np.float32), targets)
        test = Predictions(
            test_ids, classes, shown.probs[np.arange(60) % n], data.pop("test_targets", None)
        )
        run = fake_run(tmp_path / "runs", name, predictions=shown, test=test)
        run = run.model_copy(update={"data": run.data.model_copy(update=data)})
        publish(run)
        return run

    return make


def several(run_of, n=3, **fields):
    return [run_of(f"a-{i}-s0", seed=i, **fields) for i in range(n)]


@pytest.mark.parametrize("metric", ["roc_auc", "quadratic_kappa", "f1_macro", "map@2"])
def test_a_blend_by_a_metric_is_written_and_verified(metric, run_of, tmp_path):
    runs = several(run_of)
    blend = make_blend(runs, Options(metric=metric, weights="greedy"))
    submission = write_submission(blend, tmp_path / "submissions")
    assert len(verified(submission.path, RunStore(tmp_path / "runs")).runs) == len(blend.members)
    manifest = json.loads(submission.manifest.read_text())
    assert manifest["options"]["metric"] == metric
    assert manifest["scores"]["cross_fitted"]["metric"] == metric
    assert manifest["scores"]["in_sample"][metric] == blend.valid.fitted_score


def test_json_holds_the_metric_its_cross_fitted_score_and_every_in_sample_score(run_of):
    shown = results.blend_json(make_blend(several(run_of), Options(metric="roc_auc")), None)
    assert shown["metric"] == "roc_auc"
    assert shown["score"]["low"] < shown["score"]["value"] < shown["score"]["high"]
    assert list(shown["in_sample"]) == [
        *("roc_auc", "accuracy", "balanced_accuracy", "log_loss", "f1_macro", "f1_micro"),
        *("f1_weighted", "f1_min", "quadratic_kappa", "map@5", "top_k_accuracy@5"),
    ]
    json.loads(json.dumps(shown, allow_nan=False))


def test_too_few_rows_have_no_interval_and_the_output_says_why(run_of, capsys):
    blend = make_blend(several(run_of, n=2), Options(metric="roc_auc"))
    few = make_blend(
        [run_of(f"b-{i}-s0", seed=i, n=24) for i in range(2)], Options(metric="roc_auc")
    )
    assert blend.valid.too_few == ""
    show_json(results.blend_json(few, None))
    score = json.loads(capsys.readouterr().out)["score"]
    assert (score["low"], score["high"]) == (None, None)
    blends.show_blend(few)
    shown = capsys.readouterr().out
    assert (
        "too few rows for an interval of roc_auc: 8 rows of class '0', an interval needs 20"
        in shown
    )


def test_the_table_shows_the_metric_first_and_accuracy_and_log_loss_beside_it(run_of, capsys):
    blends.show_blend(make_blend(several(run_of), Options(metric="f1_macro", min_score=0.2)))
    shown = capsys.readouterr().out
    header = next(line for line in shown.splitlines() if "cross-fitted f1_macro" in line)
    positions = [header.index(name) for name in ("cross-fitted f1_macro", "accuracy", "log loss")]
    assert positions == sorted(positions)
    assert "in-sample f1_macro" in header
    assert "valid f1_macro" in shown
    assert "f1_macro ≥ 0.2" in shown


def test_without_an_option_the_metric_is_that_of_the_runs_else_accuracy(run_of):
    assert make_blend(several(run_of, metric="f1_macro")).options.metric == "f1_macro"
    assert make_blend([run_of("b-1-s0")]).options.metric == "accuracy"
    explicit = make_blend([run_of("c-1-s0", metric="f1_macro")], Options(metric="log_loss"))
    assert explicit.options.metric == "log_loss"


def test_a_metric_of_the_runs_that_is_unknown_or_does_not_apply_is_replaced_and_said(
    run_of, capsys
):
    blend = make_blend([run_of("a-1-s0", metric="dice")])
    assert blend.options.metric == "accuracy"
    assert blend.metric_note.startswith("scored by accuracy, not by data.metric: 'dice' is not a")
    blends.show_blend(blend)
    assert "scored by accuracy, not by data.metric" in capsys.readouterr().out
    words = make_blend([run_of("b-1-s0", classes=("a", "b"), metric="quadratic_kappa")])
    assert words.options.metric == "accuracy"


def test_runs_with_different_metrics_are_refused_unless_one_is_chosen(run_of, tmp_path):
    runs = [run_of("a-1-s0", metric="f1_macro"), run_of("b-1-s0", 1, metric="log_loss")]
    with pytest.raises(
        SelectionError, match="different values of data.metric: .*\n--metric NAME overrides"
    ):
        make_blend(runs)
    blend = make_blend(runs, Options(metric="f1_macro"))
    assert blend.options.metric == "f1_macro"
    assert write_submission(blend, tmp_path / "submissions").path.exists()


def test_f1_is_about_the_positive_class_of_the_runs_or_of_the_option(run_of):
    runs = several(run_of, n=2, classes=("cat", "dog"), positive="dog")
    of_dogs = make_blend(runs, Options(metric="f1")).valid.score.value
    assert make_blend(runs, Options(metric="f1"), positive="cat").valid.score.value != of_dogs
    with pytest.raises(MetricError, match="--positive is 'cats', which is not a class"):
        make_blend(runs, positive="cats")
    unset = run_of("b-1-s0", classes=("cat", "dog"))
    with pytest.raises(MetricError, match="data.positive is not set"):
        make_blend([unset], Options(metric="f1"))
    with pytest.raises(SelectionError, match="different values of data.positive"):
        make_blend([*runs, unset], Options(metric="f1"))


@pytest.mark.parametrize(
    ("metric", "classes"), [("quadratic_kappa", ("a", "b", "c")), ("f1", ("0", "1", "2"))]
)
def test_a_metric_that_these_classes_do_not_have_is_refused_in_three_lines(metric, classes, run_of):
    with pytest.raises(MetricError) as refused:
        make_blend([run_of("a-1-s0", classes=classes)], Options(metric=metric))
    assert len(str(refused.value).splitlines()) <= 3


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_min_score_is_a_bound_in_the_metrics_own_direction(metric, run_of):
    runs = [run_of(f"a-{i}-s0", seed=7, strength=0.5 + i) for i in range(3)]
    scores = make_blend(runs, Options(metric=metric)).run_scores
    middle = scores["a-1-s0"]
    blend = make_blend(runs, Options(metric=metric, min_score=middle, weights="equal"))
    assert [member.run.id for member in blend.members] == ["a-1-s0", "a-2-s0"]
    beyond = np.nextafter(scores["a-2-s0"], 0 if metric == "log_loss" else 1)
    with pytest.raises(SelectionError, match="no run reaches --min-score .*best is a-2-s0 at"):
        make_blend(runs, Options(metric=metric, min_score=float(beyond)))


def test_a_bound_outside_the_metric_is_refused():
    with pytest.raises(SelectionError, match="--min-score 95: from 0 to 1 is allowed for roc_auc"):
        Options(metric="roc_auc", min_score=95)
    with pytest.raises(SelectionError, match="--min-score -1: 0 or more is allowed for log_loss"):
        Options(metric="log_loss", min_score=-1)
    with pytest.raises(SelectionError, match="--min-score inf: 0 or more is allowed for rmse"):
        Options(metric="rmse", min_score=math.inf)
    assert Options(metric="quadratic_kappa", min_score=-0.5).min_score == -0.5


def test_the_best_of_each_architecture_and_the_best_few_are_chosen_by_the_metric(
    tmp_path, fake_run
):
    targets = np.arange(120) % 3
    ids = np.array([f"{i:04d}" for i in range(120)])
    runs = []
    for name, sharpness, right in (("a-1-s0", 0.36, 100), ("b-1-s0", 0.9, 90)):
        probs = np.full((120, 3), (1 - sharpness) / 2)
        named = np.where(np.arange(120) < right, targets, (targets + 1) % 3)
        probs[np.arange(120), named] = sharpness
        shown = Predictions(ids, ("0", "1", "2"), probs.astype(np.float32), targets)
        runs.append(fake_run(tmp_path, name, predictions=shown))
    by_accuracy = make_blend(runs, Options(max_members=1))
    by_log_loss = make_blend(runs, Options(max_members=1, metric="log_loss"))
    assert [member.run.id for member in by_accuracy.members] == ["a-1-s0"]
    assert [member.run.id for member in by_log_loss.members] == ["b-1-s0"]


def test_test_scores_are_by_the_metric_too(run_of):
    targets = np.arange(60) % 3
    runs = several(run_of, n=2, test_targets=targets)
    scores = make_blend(runs, Options(metric="f1_macro")).test
    assert scores.metric == "f1_macro"
    assert scores.score.low < scores.score.value < scores.score.high
    assert "blend f1_macro 0." in blends.sentence(scores, "test images")
    plain = make_blend(runs, Options(metric="log_loss")).test
    assert plain.score == plain.accuracy


def test_f1_over_all_decisions_is_accuracy(run_of):
    runs = several(run_of)
    micro, plain = make_blend(runs, Options(metric="f1_micro")), make_blend(runs)
    assert micro.valid.score.value == pytest.approx(plain.valid.accuracy.value, abs=1e-12)
    assert [member.weight for member in micro.members] == [
        member.weight for member in plain.members
    ]


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "f1_macro", "map@2"])
@pytest.mark.parametrize("n_groups", [1, 2, 4, 5, 6])
def test_a_few_groups_are_scored(metric, n_groups, tmp_path, fake_run, made_up, rng):
    groups = np.array([f"patient {i % n_groups}" for i in range(24)])
    for name in ("a-1-s0", "b-1-s0"):
        drawn = made_up(rng, 24, accuracy=0.75)
        rows = Predictions(drawn.ids, drawn.classes, drawn.probs, drawn.targets, groups)
        fake_run(tmp_path / "runs", name, predictions=rows)
    blend = make_blend(RunStore(tmp_path / "runs").finished(), Options(metric=metric))
    assert math.isfinite(blend.valid.score.value)


def test_the_line_on_calibration_says_which_repeat_its_log_loss_is_of(run_of, capsys):
    blend = make_blend(several(run_of, n=2), Options(metric="log_loss"))
    blends.show_blend(blend)
    line = next(line for line in capsys.readouterr().out.splitlines() if "calibration:" in line)
    assert f"log loss {blend.calibrated.before.log_loss:.4f}" in line
    assert "in the first repeat" in line
    assert blend.calibrated.before.log_loss != pytest.approx(blend.valid.score.value, abs=1e-7)
