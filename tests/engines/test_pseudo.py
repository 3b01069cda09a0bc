"""Labels by teachers: each fold learns from networks and weights that saw none of its rows, and nobody else teaches."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cut_off import CutOff, cut_off_after
from PIL import Image

from ensemble.blending import Options, make_blend
from ensemble.engines.local import DataSets, costs_of, train_all, train_one
from ensemble.errors import RecipeError
from ensemble.events import Note, ignore
from ensemble.learn import learner, load_learner, resume
from ensemble.recipe import Recipe
from ensemble.reporting.collect import collect
from ensemble.reporting.page import render
from ensemble.runs import RunStore
from ensemble.runs.imported import import_run
from ensemble.runs.job import Job, jobs_of
from ensemble.submission import write_submission

torch.set_num_threads(1)

RECIPE = """
data: {source: folder, path: images, valid: {folds: 3}, test: test, size: 16}
augment: none
model: {arch: test_resnet, pretrained: false, head: keep}
fit: {strategy: scratch, epochs: 1, lr: 0.01, batch_size: 16, keep: last}
"""
TAUGHT = ("fit.pseudo.from=teacher", "fit.pseudo.min_confidence=0")
LONG = ("fit.epochs=12", "fit.batch_size=8")
HELD_OUT = "data.valid=0.3"


@pytest.fixture
def images(tmp_path, monkeypatch):
    """60 patterns whose classes are drawn by lot, and nearly the same 60 patterns as test images."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "images" / "test").mkdir(parents=True)
    for name in ("heads", "tails"):
        (tmp_path / "images" / "train" / name).mkdir(parents=True)
    for i, name in enumerate(rng.permutation(["heads", "tails"] * 30).tolist()):
        pattern = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((16, 16))
        pattern.save(f"images/train/{name}/{i:02d}.png")
        noise = rng.integers(-4, 5, (16, 16, 3))
        copy = (np.array(pattern).astype(int) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(copy).save(f"images/test/{i:02d}.png")


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def recipe(images, tmp_path):
    """recipe(name, *overrides): a small recipe for the patterns."""

    def recipe(name, *overrides):
        (tmp_path / f"{name}.yaml").write_text(RECIPE)
        return Recipe.load(tmp_path / f"{name}.yaml", overrides)

    return recipe


@pytest.fixture
def trained(store):
    """trained(*recipes, emit): their runs."""

    def trained(*recipes, emit=ignore):
        runs, failures = train_all(jobs_of(recipes), store, emit)
        assert failures == []
        return runs

    return trained


@pytest.fixture
def labels(recipe, store):
    """labels(*overrides, fold, seed): what teachers say to a fold of a student."""

    def labels(*overrides, fold=0, seed=0):
        job = Job(recipe("student", *TAUGHT, *overrides), seed, fold)
        return DataSets().of(job, store).pseudo

    return labels


def in_order(predictions):
    return predictions.canonical().probs


def test_the_naive_way_flatters_and_a_fold_s_own_teachers_do_not(recipe, trained, store):
    """Classes drawn by lot cannot be predicted: whoever seems to predict them has been told them."""
    (teacher,) = trained(recipe("teacher", *LONG))
    assert teacher.scores.accuracy < 0.65
    job = Job(recipe("student", *TAUGHT, *LONG), 0, 0)
    data = DataSets().of(job, store)
    student = train_one(job, store, data, ignore)
    assert student.scores.accuracy < 0.65
    by_everyone = in_order(teacher.test()).astype(np.float32)
    told = replace(data.pseudo, rows=np.arange(60), probs=by_everyone)
    naive = train_one(job, store, replace(data, pseudo=told), ignore, force=True)
    assert naive.scores.accuracy > 0.85


def test_equal_teachers_of_the_same_fold_label_with_their_mean(recipe, trained, labels):
    runs = trained(recipe("teacher", "seeds=[0, 1]"))
    for fold in range(3):
        told = labels(fold=fold, seed=5)
        mean = np.mean([in_order(run.folds[fold].test()) for run in runs], axis=0)
        np.testing.assert_allclose(told.probs, mean[told.rows], atol=1e-6)
        assert told.teachers.keys() == {run.id for run in runs}
        assert len(told.rows) == 40  # as many as training images, of 60
        assert told.n_confident == 60
    assert len(labels("fit.pseudo.share=0.2").rows) == 10
    assert set(labels(seed=1).rows.tolist()) != set(labels(seed=2).rows.tolist())


def test_of_several_splits_the_same_one_teaches(recipe, trained):
    other = "data.split_seed=1"
    teachers = trained(recipe("teacher"), recipe("teacher", other))
    students = trained(recipe("student", *TAUGHT), recipe("student", *TAUGHT, other))
    told = [list(run.data.pseudo.teachers) for run in students]
    assert told == [[run.id] for run in teachers]


def test_a_blend_s_weights_are_fitted_without_the_fold(recipe, trained, labels, store, tmp_path):
    short, long = trained(recipe("teacher"), recipe("other", "fit.epochs=6"))
    blend = make_blend([short, long], Options(weights="logloss", metric="log_loss", calibrate=True))
    write_submission(blend, tmp_path / "submissions", name="both")
    for fold in range(3):
        told = labels("fit.pseudo.from=both", fold=fold)
        rest = [k for k in range(3) if k != fold]
        members = {
            "valid": [[in_order(run.folds[k].valid()) for k in rest] for run in (long, short)],
            "test": [in_order(run.folds[fold].test())[told.rows] for run in (long, short)],
        }
        first, second = (np.concatenate(parts) for parts in members["valid"])
        targets = np.concatenate([long.folds[k].valid().canonical().targets for k in rest])
        rows = np.arange(len(targets))
        grid = np.linspace(0, 1, 10_001)
        of_truth = np.outer(grid, first[rows, targets]) + np.outer(1 - grid, second[rows, targets])
        weight = grid[np.argmin(-np.log(of_truth).mean(1))]
        mixed = weight * members["test"][0] + (1 - weight) * members["test"][1]
        assert (told.probs.argmax(1) == mixed.argmax(1)).all()
        assert np.corrcoef(np.log(told.probs[:, 0]), np.log(mixed[:, 0]))[0, 1] > 0.98
    assert told.blend


def test_where_one_part_is_held_out_its_weights_do_not_count(recipe, trained, labels, tmp_path):
    runs = trained(recipe("teacher", HELD_OUT), recipe("other", HELD_OUT, "fit.epochs=6"))
    blend = make_blend(runs, Options(weights="accuracy"))
    write_submission(blend, tmp_path / "submissions", name="both")
    assert len({member.weight for member in blend.members}) == 2
    told = labels("fit.pseudo.from=both", HELD_OUT, fold=None)
    mean = np.mean([in_order(run.test()) for run in runs], axis=0)
    np.testing.assert_allclose(told.probs, mean[told.rows], atol=1e-6)
    assert "equal weights, as others were fitted on the validation rows" in told.line


def test_labels_are_soft_or_hard_in_every_strategy(recipe, trained, labels):
    trained(recipe("teacher", "fit.epochs=6", HELD_OUT))
    soft, hard = ("fit.pseudo.soft=true", "fit.pseudo.soft=false")
    frozen = ("fit.strategy=feature_extract", "model.arch=resnet10t", "fit.lr=0.001", HELD_OUT)
    probe = ("fit.strategy=linear_probe", "model.arch=resnet10t", HELD_OUT)
    mixed = ("augment={mixup: 0.4}", "fit.class_weights=balanced", HELD_OUT)
    balanced = ("fit.sampler=balanced", HELD_OUT)
    settings = [(*frozen, soft), (*frozen, hard), (*probe, hard), (*mixed, soft), (*balanced, soft)]
    recipes = [recipe(f"s{i}", *TAUGHT, *said) for i, said in enumerate(settings)]
    runs = trained(*recipes)
    assert {run.data.pseudo.n_rows for run in runs} == {42}
    assert {sum(run.data.class_counts.values()) for run in runs} == {42}  # labeled ones alone


def test_what_was_taught_is_told_and_changed_teachers_are_noticed(recipe, trained, store):
    notes = []
    student = recipe("student", *TAUGHT, "fit.pseudo.share=0.2")
    run, teacher = trained(student, recipe("teacher"), emit=notes.append)  # who waits for it
    line = "10 of 60 test images are learned too (60 reach 0), labeled by teacher: 1 run, networks"
    assert any(isinstance(note, Note) and line in note.text for note in notes)
    told = json.loads((run.folds[1].folder / "run.json").read_text())["data"]["pseudo"]
    assert (told["source"], told["n_rows"]) == ("teacher", 10)
    assert list(told["teachers"]) == [teacher.id]
    page = render(collect(store.all(), {}, ignore))
    assert "test images learned too</dt><dd>10, 10, 10 (by fold), labeled by" in page
    assert trained(student) == [run]
    stored = Recipe.load(run.folds[0].folder / "recipe.yaml")
    assert (stored.fit.pseudo, stored.digest) == (student.fit.pseudo, student.digest)
    assert load_learner(run.folds[0]).model is not None
    with pytest.raises(RecipeError, match="leave it out here, or load the run"):
        learner(run.folds[0].folder / "recipe.yaml")
    trained(recipe("teacher", "seeds=[7]"))
    _, failures = train_all(jobs_of([student]), store, ignore)
    assert "its teachers (fit.pseudo.from) have changed since" in failures[0].reason
    texts = []
    costs_of(jobs_of([student])[:1], store, lambda event: texts.append(str(event)), force=True)
    assert any("10 of 60 test images are learned too" in text for text in texts)


REFUSED = {
    "data.split_seed=1": "was split into other folds",
    "data.valid.folds=2": "has 3 folds, this recipe has 2",
    HELD_OUT: "has 3 folds, this recipe has none",
    "data.sample=0.5": "was validated on other images or labels",
    "data.test=0.2": "was validated on other images or labels",
    "data.test=null": "needs test images",
    "refit=true": "refit exclude each other",
    "fit.pseudo.from=student": "is this recipe itself",
    "fit.pseudo.from=teacher.csv": "no such manifest",
    "fit.pseudo.from=nobody": "no finished recipe or run",
    "fit.pseudo.from=half": "is not finished: half",
    "fit.pseudo.from=two": "is ambiguous",
    "fit.pseudo.from=elsewhere": "was imported",
    "fit.pseudo.min_confidence=1": "no test image reaches it; the surest has 0.",
    "fit.pseudo.share=0.001": "is not one image",
    "fit.strategy=linear_probe": "linear_probe and fit.pseudo.soft exclude each other",
}


def test_who_may_have_seen_validated_rows_does_not_teach(recipe, trained, store, tmp_path):
    (teacher,) = trained(recipe("teacher"))
    train_all(jobs_of([recipe("half")])[:1], store, ignore)
    trained(recipe("two"), recipe("two", "fit.epochs=2"))
    teacher.valid().save(tmp_path / "valid.npz")
    teacher.test().save(tmp_path / "test.npz")
    import_run("elsewhere", "net", tmp_path / "valid.npz", tmp_path / "test.npz", store)
    for override, reason in REFUSED.items():
        _, failures = train_all(jobs_of([recipe("student", *TAUGHT, override)])[:1], store, ignore)
        assert reason in failures[0].reason, override
        assert len(failures[0].reason.splitlines()) <= 3


def test_a_killed_student_resumes_to_the_same_bytes(recipe, trained, store, tmp_path, monkeypatch):
    monkeypatch.setattr(resume, "STORING_SHARE", float("inf"))
    (teacher,) = trained(recipe("teacher", HELD_OUT))
    student = recipe("student", *TAUGHT, HELD_OUT, "fit.epochs=3", "augment=light")
    with pytest.raises(CutOff):
        train_all(jobs_of([student]), store, cut_off_after(2))
    notes = []
    (resumed,) = trained(student, emit=notes.append)
    assert any("resuming from epoch 2" in str(note) for note in notes)
    (whole,), _ = train_all(jobs_of([student]), store, ignore, force=True)
    names = ("model.safetensors", "valid.npz", "test.npz")
    assert [resumed.files[name] for name in names] == [whole.files[name] for name in names]
