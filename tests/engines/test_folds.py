"""Folds: a run for each, one run for all; every row predicted by the fold that had not seen it; one refit for all."""

import numpy as np
import pytest
import torch

from ensemble.blending import make_blend
from ensemble.engines.local import train_all
from ensemble.errors import RunError
from ensemble.events import RunEnded, ignore
from ensemble.learn import load_learner
from ensemble.metrics import accuracy, log_loss
from ensemble.recipe import Recipe
from ensemble.runs import FoldedRun, RunStore, publish
from ensemble.runs.job import jobs_of
from ensemble.submission import write_submission
from ensemble.submission.verify import verified

torch.set_num_threads(1)

TINY = """
data: {{source: folder, path: {images}, valid: {{folds: 3}}, test: 0.2, size: 32}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}}
"""


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def trained(tmp_path, tiny_images, store):
    """trained(*overrides, jobs, emit): the runs of a small recipe with three folds, or of some of its jobs."""
    tiny_images(tmp_path / "images" / "train")
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.format(images=tmp_path / "images"))

    def trained(*overrides, jobs=slice(None), emit=ignore):
        all_jobs = jobs_of([Recipe.load(path, overrides)])
        runs, failures = train_all(all_jobs[jobs], store, emit)
        assert failures == []
        return runs

    return trained


def test_three_folds_are_one_run_about_every_row(trained, store):
    (run,) = trained()
    assert isinstance(run, FoldedRun)
    assert [part.id for part in run.folds] == [f"{run.id}-f{k}" for k in range(3)]
    assert store.finished() == [run]
    assert store.get(f"{run.id}-f1") == run.folds[1]
    valid = run.valid()
    parts = [part.valid() for part in run.folds]
    assert sorted(valid.ids.tolist()) == sorted(
        name for part in parts for name in part.ids.tolist()
    )
    assert len(valid.ids) == run.data.n_valid == 48
    for part in parts:
        rows = [valid.ids.tolist().index(name) for name in part.ids]
        np.testing.assert_allclose(valid.probs[rows], part.probs, rtol=1e-6)
    assert run.scores.accuracy == pytest.approx(accuracy(valid.probs, valid.targets))
    assert run.scores.log_loss == pytest.approx(log_loss(valid.probs, valid.targets))
    mean = np.mean([part.test().probs for part in run.folds], axis=0)
    np.testing.assert_allclose(run.test().probs, mean, rtol=1e-6)


def test_finished_folds_are_not_trained_again_and_missing_ones_are_named(trained, store):
    assert trained(jobs=slice(0, 2)) == []
    listing = store.all()
    assert listing.runs == []
    assert listing.incomplete[0].endswith("-s0: 2 of 3 folds are finished")
    with pytest.raises(RunError, match="2 of 3 folds are finished"):
        store.get(listing.incomplete[0].partition(":")[0])
    events = []
    (run,) = trained(emit=events.append)
    assert [event.skipped for event in events if isinstance(event, RunEnded)] == [True, True, False]
    assert store.all().incomplete == []
    assert len(run.folds) == 3


def test_folds_about_other_images_are_no_run(trained, store):
    (run,) = trained()
    publish(
        run.folds[1].model_copy(update={"data": run.data.model_copy(update={"valid": "other"})})
    )
    listing = store.all()
    assert listing.runs == []
    assert "its folds were trained on different images" in listing.incomplete[0]


def test_folded_runs_blend_are_submitted_and_verified(trained, store, tmp_path):
    trained("seeds=[0, 1]")
    blend = make_blend(store.finished())
    assert [member.run.seed for member in blend.members] == [0, 1]
    assert blend.valid.n_rows == 48
    path = write_submission(blend, tmp_path / "submissions").path
    assert len(verified(path, store).runs) == 2


def test_one_refit_on_all_rows_serves_all_folds(trained, store, tmp_path):
    (run,) = trained("refit=true", "fit.epochs=2")
    assert [part.refit_epochs for part in run.folds] == [run.training.best_epoch, None, None]
    assert run.training.best_epoch == sorted(part.training.best_epoch for part in run.folds)[1]
    assert not np.allclose(run.test_refit().probs, run.test().probs, atol=1e-4)
    blend = make_blend([run])
    assert blend.of_refits
    assert len(verified(write_submission(blend, tmp_path / "submissions").path, store).runs) == 1
    assert trained("refit=true", "fit.epochs=2") == [run]


def test_all_folds_together_have_no_network(trained, store):
    (run,) = trained()
    with pytest.raises(RunError, match=f"has 3 networks; take one fold's, such as {run.id}-f0"):
        load_learner(run)
    assert load_learner(run.folds[0]).model is not None


def test_patients_stay_together_in_the_cross_fitted_score(tmp_path, tiny_images, store):
    made = tiny_images(tmp_path / "by-class")
    (tmp_path / "comp" / "train").mkdir(parents=True)
    lines = ["id,label,patient"]
    for number, path in enumerate(sorted(made.rglob("*.png"))):
        path.rename(tmp_path / "comp" / "train" / f"i{number:02d}.png")
        lines.append(f"i{number:02d},{path.parent.name},p{number // 4}")
    (tmp_path / "comp" / "labels.csv").write_text("\n".join(lines))
    path = tmp_path / "tiny.yaml"
    path.write_text(
        TINY.format(images=tmp_path / "comp").replace(
            "source: folder", "source: csv, group: patient"
        )
    )
    (run,), failures = train_all(jobs_of([Recipe.load(path)]), store, ignore)
    assert failures == []
    valid = run.valid()
    assert len(set(valid.groups.tolist())) == 12
    for part in run.folds:
        rest = [fold for fold in run.folds if fold is not part]
        patients = {name for fold in rest for name in fold.valid().groups.tolist()}
        assert patients.isdisjoint(part.valid().groups.tolist())
    rating = make_blend([run]).best
    assert (
        rating.accuracy.low < rating.accuracy.value < rating.accuracy.high
        or rating.accuracy.value == 1
    )


def test_a_forced_refit_follows_the_last_forced_fold(trained, store, tmp_path):
    trained("refit=true")
    events = []
    jobs = jobs_of([Recipe.load(tmp_path / "tiny.yaml", ("refit=true",))])
    (run,), failures = train_all(jobs, store, events.append, force=True)
    assert failures == []
    names = [
        type(event).__name__
        for event in events
        if isinstance(event, RunEnded) or "refit" in getattr(event, "text", "")
    ]
    assert names == ["RunEnded", "RunEnded", "RunEnded", "Note"]
    assert run.refit_epochs


def test_a_folded_run_is_no_start_for_another(trained, store, tmp_path):
    (run,) = trained()
    path = tmp_path / "more.yaml"
    path.write_text(
        (tmp_path / "tiny.yaml")
        .read_text()
        .replace("pretrained: false", f"pretrained: run:{run.id}")
    )
    _, failures = train_all(jobs_of([Recipe.load(path)]), store, ignore)
    assert f"has 3 networks; name one fold's, such as run:{run.id}-f0" in failures[0].reason
