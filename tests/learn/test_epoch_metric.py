"""The competition's metric of every epoch: over all rows, kept by, in its own direction, for folds too."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from ensemble.engines.local import train_all
from ensemble.errors import MetricError, RecipeError
from ensemble.events import EpochEnded, Note, RunEnded
from ensemble.metrics import metric_named
from ensemble.recipe import Recipe
from ensemble.runs import RunStore, history_of
from ensemble.runs.job import jobs_of

EPOCHS = ("fit.epochs=6", "fit.lr=0.02", "model.arch=resnet10t")


def by_metric(name, *said):
    return (f"data.metric={name}", "fit.monitor=metric", *said)


class TestMonitor:
    @pytest.mark.parametrize("name", ["f1_macro", "log_loss", "accuracy", "roc_auc"])
    def test_the_kept_epoch_is_the_earliest_best_in_the_direction_of_the_metric(self, name, fit):
        made = fit(*by_metric(name, *EPOCHS))
        scores = [row.score for row in made.trained.history]
        best = min(scores) if name == "log_loss" else max(scores)
        assert made.trained.record.best_epoch == scores.index(best) + 1
        assert {row.metric for row in made.trained.history} == {name}
        valid = made.trained.valid
        metric = metric_named(name, valid.classes)
        assert math.isclose(metric.values(valid.probs, valid.targets), best, rel_tol=1e-5)

    def test_a_tie_goes_to_the_earlier_epoch(self, fit):
        made = fit(*by_metric("balanced_accuracy", *EPOCHS))
        scores = [row.score for row in made.trained.history]
        assert scores.count(max(scores)) > 1
        assert made.trained.record.best_epoch == scores.index(max(scores)) + 1

    def test_stopping_early_follows_it(self, fit):
        made = fit(
            *by_metric("f1_macro", "fit.early_stop={patience: 2}", "fit.epochs=9", *EPOCHS[1:])
        )
        assert made.trained.record.best_epoch + 2 == len(made.trained.history) < 9

    def test_without_the_monitor_the_metric_changes_no_byte(self, fit):
        plain = fit("fit.epochs=3")
        scored = fit("fit.epochs=3", "data.metric=f1_macro")
        assert scored.files == plain.files
        assert [row.valid_loss for row in scored.trained.history] == [
            row.valid_loss for row in plain.trained.history
        ]
        assert {(row.metric, row.score) for row in plain.trained.history} == {("", None)}

    def test_it_needs_a_metric_that_the_rows_define(self, fit, recipe_of, tmp_path):
        with pytest.raises(
            RecipeError, match="follows data.metric, which is not set\nset data.met"
        ):
            fit("fit.monitor=metric")
        with pytest.raises(MetricError, match="needs classes in an order"):
            fit(*by_metric("quadratic_kappa"))


def one_class_in_valid(tmp_path, tiny_images):
    """A recipe whose validation images are all red."""
    tiny_images(tmp_path / "images" / "train")
    (tmp_path / "images" / "valid").mkdir()
    (tmp_path / "images" / "train" / "red").rename(tmp_path / "images" / "valid" / "red")
    (tmp_path / "images" / "train" / "red").mkdir()
    for file in sorted((tmp_path / "images" / "valid" / "red").iterdir())[:10]:
        file.rename(tmp_path / "images" / "train" / "red" / file.name)
    path = tmp_path / "red.yaml"
    path.write_text(
        "data: {source: folder, path: %s, valid: valid, size: 32, metric: roc_auc}\n"
        "augment: none\nmodel: {arch: test_resnet, pretrained: false, head: keep}\n"
        "fit: {strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}\n" % (tmp_path / "images")
    )
    return path


def test_rows_that_do_not_define_the_metric_are_trained_without_it(tmp_path, tiny_images):
    path, events = one_class_in_valid(tmp_path, tiny_images), []
    store = RunStore(tmp_path / "runs")
    (run,), failures = train_all(jobs_of([Recipe.load(path)]), store, events.append)
    assert failures == []
    notes = [event.text for event in events if isinstance(event, Note)]
    problem = "the 10 validation rows do not define roc_auc, all are of class 'red'"
    assert f"trained without data.metric: {problem}" in notes
    assert (run.scores.metric, run.scores.score) == ("roc_auc", None)
    assert all(row.score is None for row in history_of(run))

    _, (failure,) = train_all(
        jobs_of([Recipe.load(path, ["fit.monitor=metric"])]), store, events.append
    )
    assert problem in failure.reason
    assert "set fit.monitor to valid_loss, or validate on rows of several classes" in failure.reason


def test_what_an_epoch_scored_is_in_history_events_and_run_json(recipe_of, tmp_path):
    events = []
    recipe = recipe_of(*by_metric("f1_macro", *EPOCHS))
    (run,), _ = train_all(jobs_of([recipe]), RunStore(tmp_path / "runs"), events.append)
    header = (run.folder / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,phase,f1_macro,train_loss,valid_loss,accuracy,seconds,is_best"
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert np.allclose([row.score for row in history_of(run)], [row.score for row in epochs])
    ended = next(event for event in events if isinstance(event, RunEnded))
    assert (ended.metric, ended.score) == (run.scores.metric, run.scores.score)
    valid = run.valid()
    expected = f1_score(valid.targets, valid.probs.argmax(1), average="macro")
    assert run.scores.score == pytest.approx(expected)
    assert next(iter(run.as_row()["scores"])) == "metric"


def test_folds_and_refits_follow_it_and_the_whole_run_is_scored_on_all_rows_at_once(
    recipe_of, tmp_path
):
    recipe = recipe_of(
        *by_metric("roc_auc", "data.valid={folds: 2}", "refit=true", "fit.epochs=3", "fit.lr=0.01")
    )
    (run,), failures = train_all(jobs_of([recipe]), RunStore(tmp_path / "runs"), lambda event: None)
    assert failures == []
    valid = run.valid()
    expected = roc_auc_score(valid.targets, valid.probs, multi_class="ovr")
    assert run.scores.score == pytest.approx(expected, abs=1e-6)
    for fold in run.folds:
        scores = [row.score for row in history_of(fold)]
        assert scores.index(max(scores)) + 1 == fold.training.best_epoch
    assert run.refit_epochs == run.training.best_epoch
