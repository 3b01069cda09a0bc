"""Averages of ranks: each row's rank is among validation rows alone, and AUC is scored on them."""

import json
from functools import partial

import numpy as np
import pytest
from scipy.stats import percentileofscore
from sklearn.metrics import roc_auc_score

from ensemble.blending import Options, make_blend
from ensemble.blending.ranks import ranks
from ensemble.display.blends import show_blend
from ensemble.display.results import blend_json
from ensemble.errors import SelectionError, SubmissionError
from ensemble.predictions import Predictions
from ensemble.runs import RunStore
from ensemble.submission import write_submission
from ensemble.submission.manifest import read_manifest
from ensemble.submission.verify import verified

RANK = Options(metric="roc_auc", average="rank", weights="equal")


@pytest.fixture
def runs(tmp_path, fake_run):
    """Three runs on two classes, each with another scale of probabilities; a labeled test set."""
    rng = np.random.default_rng(0)
    truth = rng.random(460) < 0.2
    common, runs = rng.normal(0, 1, 460), []
    for i, scale in enumerate((0.2, 1, 5)):
        logits = scale * (2 * truth - 1 + common + rng.normal(0, 1, 460))
        positive = np.round(1 / (1 + np.exp(-logits)), 3)  # with ties
        probs = np.stack([1 - positive, positive], axis=1).astype(np.float32)
        ids = np.array([f"{row:03d}" for row in range(460)])
        rows = [
            Predictions(ids[part], ("no", "yes"), probs[part], truth[part].astype(int))
            for part in (slice(400), slice(400, None))
        ]
        name = f"a{i}-1-s0"
        runs.append(fake_run(tmp_path / "runs", name, predictions=rows[0], test=rows[1]))
    return runs


def mean_ranks(runs, part):
    """The mean of scipy's percentiles among the validation rows, (rows,)."""
    by_run = []
    for run in runs:
        reference = run.valid().canonical().probs[:, 1]
        positive = getattr(run, part)().canonical().probs[:, 1]
        by_run.append(percentileofscore(reference, positive, "mean"))
    return np.round(np.mean(by_run, axis=0) / 100, 10)


def row_of(run, row):
    """One row of a run's test predictions."""
    test = run.test()
    return Predictions(test.ids[row : row + 1], test.classes, test.probs[row : row + 1])


def test_test_rows_get_the_mean_of_their_ranks_among_the_validation_rows(runs):
    blend = make_blend(runs, RANK)
    np.testing.assert_allclose(blend.predictions.probs[:, 1], mean_ranks(runs, "test"), atol=1e-9)
    np.testing.assert_allclose(blend.predictions.probs.sum(1), 1)
    targets = runs[0].valid().targets
    area = roc_auc_score(targets, mean_ranks(runs, "valid"))
    assert blend.in_sample == {"roc_auc": pytest.approx(area, abs=1e-12)}
    assert blend.valid.fitted_score == pytest.approx(area)
    assert blend.valid.score.value == pytest.approx(area)  # equal weights fit nothing
    on_test = roc_auc_score(runs[0].test().targets, mean_ranks(runs, "test"))
    assert blend.test.accuracy == make_blend(runs, Options(weights="equal")).test.accuracy
    assert (blend.test.metric, blend.test.score.value) in (
        ("roc_auc", pytest.approx(on_test)),
        ("accuracy", blend.test.accuracy.value),
    )


def test_accuracy_and_log_loss_beside_are_those_of_the_mean_of_probabilities(runs, capsys):
    blend, plain = (
        make_blend(runs, RANK),
        make_blend(runs, Options(metric="roc_auc", weights="equal")),
    )
    assert blend.valid.accuracy == plain.valid.accuracy
    assert blend.valid.log_loss == plain.valid.log_loss
    assert blend.valid.score != plain.valid.score
    assert blend.best.score == plain.best.score  # one member's ranks have its own area
    show_blend(blend)
    assert "accuracy and log loss are those of the mean of prob" in capsys.readouterr().out
    assert blend_json(blend, None)["calibration"] is None


@pytest.mark.parametrize("weights", ["greedy", "best", "accuracy"])
def test_a_blend_of_ranks_is_written_verified_and_predicts_any_rows(weights, runs, tmp_path):
    options = Options(metric="roc_auc", average="rank", weights=weights)
    blend = make_blend(runs, options)
    submission = write_submission(
        blend, tmp_path / "submissions", answer="positive_probability", positive="yes"
    )
    assert len(verified(submission.path, RunStore(tmp_path / "runs")).runs) == len(blend.members)
    assert json.loads(submission.manifest.read_text())["options"]["average"] == "rank"
    manifest = read_manifest(submission.manifest)
    assert "valid.npz" in manifest.files_to_predict
    by_id = {member.run.id: member.run for member in blend.members}
    references = manifest.mixture.references(by_id)

    for row in (0, 7, 59):
        single = {name: partial(row_of, run, row) for name, run in by_id.items()}
        alone = manifest.mixture.of(single, references)
        np.testing.assert_array_equal(alone.predictions.probs[0], blend.predictions.probs[row])


def test_ranks_go_from_0_to_1_and_ties_are_half():
    reference = np.array([0.1, 0.2, 0.2, 0.9])
    probs = np.array([0.0, 0.1, 0.2, 0.5, 1.0])
    np.testing.assert_array_equal(ranks(probs, reference), [0, 1 / 8, 1 / 2, 3 / 4, 1])


def test_what_ranks_cannot_answer_is_refused(runs, run_on, tmp_path):
    with pytest.raises(SelectionError, match="--average rank: accuracy reads more than the order"):
        make_blend(runs, Options(average="rank"))
    with pytest.raises(SelectionError, match="is for two classes, these are 3"):
        make_blend([run_on("d", "b-1-s0")], Options(metric="roc_auc", average="rank"))
    with pytest.raises(SelectionError, match="--calibrate: ranks are no probabilities"):
        Options(metric="roc_auc", average="rank", calibrate=True)
    with pytest.raises(SubmissionError, match="ranks choose no class"):
        write_submission(make_blend(runs, RANK), tmp_path / "submissions", answer="class_name")
