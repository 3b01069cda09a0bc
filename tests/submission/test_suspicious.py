"""A permuted class order and rows under other ids look suspicious; honest blends do not."""

import csv
import io

import numpy as np
import pytest

from ensemble.blending.mixture import Mixture
from ensemble.predictions import Predictions
from ensemble.runs import publish
from ensemble.submission.choices import PROBABILITIES
from ensemble.submission.csv_answers import answers
from ensemble.submission.suspicious import PreviousSubmission, suspicions

CLASSES = ("ant", "bee", "cat", "dog")
SKEWED, EVEN = (0.5, 0.25, 0.15, 0.1), (0.25,) * 4


@pytest.fixture
def world(tmp_path, fake_run):
    """world(rng, shares, n_members): runs by id, trained on these class shares, and the test rows'
    true classes.
    """

    def world(rng, shares, n_members=2, accuracy=0.75, n_valid=400, n_test=300):
        truth = {"v": rng.choice(4, n_valid, p=shares), "t": rng.choice(4, n_test, p=shares)}
        runs = {}
        for i in range(n_members):
            stored = {}
            for part, targets in truth.items():
                named = np.where(
                    rng.random(len(targets)) < accuracy, targets, rng.integers(0, 4, len(targets))
                )
                probs = rng.dirichlet(np.ones(4), len(targets))
                probs[np.arange(len(targets)), named] += 1
                ids = np.array([f"{part}{k:04d}" for k in range(len(targets))])
                stored[part] = Predictions(ids, CLASSES, (probs / 2).astype(np.float32), targets)
            run = fake_run(
                tmp_path / f"{rng.integers(1 << 60)}",
                f"m{i}-1-s0",
                predictions=stored["v"],
                test=stored["t"],
            )
            counts = dict(zip(CLASSES, (np.array(shares) * 1000).astype(int).tolist(), strict=True))
            runs[run.id] = run.model_copy(
                update={"data": run.data.model_copy(update={"class_counts": counts})}
            )
        return runs

    return world


def csv_of(predictions):
    out = io.StringIO()
    rows = zip(predictions.ids.tolist(), *predictions.probs.T.tolist(), strict=True)
    csv.writer(out).writerows([("id", *predictions.classes), *rows])
    return out.getvalue()


def suspicions_of(runs, previous=None, accuracy=0.75):
    mixture = Mixture({name: 1 / len(runs) for name in runs}, False, None)
    predictions = mixture.of_test(runs).predictions
    text = csv_of(predictions)
    return suspicions(runs, mixture, predictions, text, PROBABILITIES, accuracy, previous)


def previous_of(runs, accuracy=0.75):
    mixture = Mixture({name: 1 / len(runs) for name in runs}, False, None)
    return PreviousSubmission(
        "last.csv", answers(csv_of(mixture.of_test(runs).predictions)), accuracy
    )


def with_test(run, change):
    """The run with other test predictions."""
    change(run.test()).save(run.folder / "test.npz")
    from ensemble.files import sha256

    run = run.model_copy(
        update={"files": run.files | {"test.npz": sha256(run.folder / "test.npz")}}
    )
    publish(run)
    return run


def permuted(test):
    return Predictions(test.ids, ("cat", "dog", "bee", "ant"), test.probs, None)


def shuffled(test):
    return Predictions(
        np.random.default_rng(1).permutation(test.ids), test.classes, test.probs, None
    )


def without_targets(runs):
    """Test rows without labels, as in a competition."""
    return {
        name: with_test(run, lambda test: Predictions(test.ids, test.classes, test.probs))
        for name, run in runs.items()
    }


@pytest.mark.parametrize("shares", [SKEWED, EVEN], ids=["skewed", "even"])
@pytest.mark.parametrize("accuracy", [0.05, 0.4, 0.95])
def test_honest_blends_do_not_look_suspicious(shares, accuracy, world, rng):
    for n_test in (12, 60, 400):
        runs = world(rng, shares, 3, accuracy, n_test=n_test)
        first, *rest = runs
        previous = previous_of({name: runs[name] for name in rest}, accuracy)
        assert suspicions_of({first: runs[first]}, previous, accuracy) == []
        assert suspicions_of(runs, previous, accuracy) == []


def test_a_permuted_class_order_shows_in_the_class_shares(world, rng):
    runs = {
        name: with_test(run, permuted) for name, run in without_targets(world(rng, SKEWED)).items()
    }
    (warning,) = suspicions_of(runs)
    assert warning.startswith("class shares (as if the classes were in the wrong order): ")


@pytest.mark.parametrize("change", [permuted, shuffled])
def test_one_member_in_another_order_is_found_by_the_rest(change, world, rng):
    runs = without_targets(world(rng, EVEN, 3))
    runs["m1-1-s0"] = with_test(runs["m1-1-s0"], change)
    (warning,) = suspicions_of(runs)
    assert warning.startswith("m1-1-s0: agrees with the other members on ")
    del runs["m2-1-s0"]
    (warning,) = suspicions_of(runs)
    assert warning.startswith("m0-1-s0 or m1-1-s0: ")


@pytest.mark.parametrize("change", [permuted, shuffled])
def test_a_whole_blend_in_another_order_is_found_by_the_previous_submission(change, world, rng):
    runs = without_targets(world(rng, EVEN))
    previous = previous_of(runs)
    wrong = {name: with_test(run, change) for name, run in runs.items()}
    (warning,) = suspicions_of(wrong, previous)
    assert warning.startswith("the last submission, last.csv, agrees on ")
    other_ids = PreviousSubmission(
        "last.csv", {f"x{name}": answer for name, answer in previous.answers.items()}, 0.75
    )
    assert suspicions_of(wrong, other_ids) == ["ids: 0 of 300 are also in last.csv, which has 300"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,a,b\nx,0.2,0.8\ny,0.5,0.5\n", {"x": "b", "y": "a"}),
        ("id,label\nx,a.b\ny,0\n", {"x": "a.b", "y": "0"}),
        ("id,label\nx,1\ny,0\n", {"x": "1", "y": "0"}),
        ("id,p\nx,0.7\ny,0\n", {"x": "1", "y": "0"}),
        ("id,label\nx,1.0\ny,0.0\n", {"x": "1", "y": "0"}),
        ("id,label\nx,007\ny,2.5\n", {"x": "7", "y": "2.5"}),
        ("id;label\nx;a,b\ny;c\n", {"x": "a,b", "y": "c"}),
        ("id\ta\tb\nx\t0.2\t0.8\n", {"x": "b"}),
    ],
    ids=[
        *("class columns", "names", "numbers", "one probability"),
        *("numbers with decimals", "other numbers", "semicolons", "tabs"),
    ],
)
def test_the_answers_of_a_submission_for_each_id(text, expected):
    assert answers(text) == expected


@pytest.mark.parametrize("target", ["labels", "number"])
def test_labels_and_values_unlike_those_on_validation_are_named(target, tmp_path, rng, fake_run):
    classes = ("ant", "bee") if target == "labels" else ("age",)
    probs = rng.random((400, len(classes)))
    targets = (probs > 0.5).astype(np.uint8) if target == "labels" else probs[:, 0]
    rows = [np.array([f"{part}{k:04d}" for k in range(400)]) for part in "vt"]
    valid = Predictions(rows[0], classes, probs, targets, target=target)
    same = Predictions(rows[1], classes, rng.permutation(probs), target=target)
    shifted = Predictions(rows[1], classes, same.probs * 0.3 + 0.7, target=target)
    base = fake_run(tmp_path, "m0-1-s0")
    data = base.data.model_copy(
        update={
            "target": target,
            "n_valid": 400,
            "n_train": 0,
            "class_counts": {},
            "unreadable": {},
        }
    )
    run = base.model_copy(update={"data": data, "classes": classes, "files": {}})
    valid.save(run.folder / "valid.npz")
    warned = []
    for test in (same, shifted):
        test.save(run.folder / "test.npz")
        mixture = Mixture({run.id: 1.0}, False, None)
        warned.append(suspicions({run.id: run}, mixture, test, "", target, 0, None))
    assert warned[0] == []
    assert len(warned[1]) == 1
    assert warned[1][0].startswith("label shares" if target == "labels" else "values: 0.8")
