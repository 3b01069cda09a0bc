"""A run on classes that are grades, among runs on numbers: its rows enter as expected grades."""

import csv
import json

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.blending.compare import compare, scoring_of_sides, sides
from ensemble.errors import EnsembleError, MismatchError, SelectionError, SubmissionError
from ensemble.predictions import Predictions
from ensemble.runs import GradedRun, RunStore
from ensemble.runs.grades import graded, grades_of
from ensemble.runs.imported import import_run
from ensemble.submission import write_submission
from ensemble.submission.verify import verified

GRADES = ("0", "1", "10", "2")  # sorted as text


def rows(n=60, part="valid", names=GRADES, seed=0):
    """Ids, class probabilities, and true numbers."""
    rng = np.random.default_rng([seed, len(part)])
    ids = np.array([f"{part}{i:03d}" for i in range(n)])
    codes = np.arange(n) % len(names)
    probs = rng.dirichlet(np.ones(len(names)), n)
    probs[np.arange(n), codes] += 0.5
    return ids, probs / probs.sum(1, keepdims=True), codes


def of_classes(part="valid", names=GRADES, seed=0):
    ids, probs, codes = rows(part=part, names=names, seed=seed)
    return Predictions(ids, names, probs.astype(np.float32), codes if part == "valid" else None)


def of_numbers(part="valid", seed=1):
    ids, _, codes = rows(part=part)
    truth = np.array(GRADES, float)[codes]
    noise = np.random.default_rng([seed, 7]).normal(0, 2, (len(ids), 1))
    values = (truth[:, None] + noise).astype(np.float32)
    return Predictions(ids, ("grade",), values, truth if part == "valid" else None, target="number")


def stored(store, name, make, target=None, data="made-up"):
    """An imported run of these predictions."""
    folder = store.root.parent
    for part in ("valid", "test"):
        make(part).save(folder / f"{name}-{part}.npz")
    files = [folder / f"{name}-{part}.npz" for part in ("valid", "test")]
    return import_run(name, name, *files, store, data, target)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def numbers(store):
    return stored(store, "number", of_numbers, "number")


@pytest.fixture
def classes(store, numbers, fake_run):
    """A run on classes of the same rows, in the same folder."""
    return fake_run(store.root, "class-1-s0", predictions=of_classes(), test=of_classes("test"))


def expected(part):
    ids, probs, _ = rows(part=part)
    return ids, probs.astype(np.float32).astype(float) @ np.array(GRADES, float)


def test_expected_grades_are_sums_of_grades_by_probability():
    ids, values = expected("valid")
    turned = of_classes()
    order, columns = np.random.default_rng(0).permutation(len(ids)), [2, 0, 3, 1]
    turned = Predictions(
        turned.ids[order],
        tuple(GRADES[i] for i in columns),
        turned.probs[order][:, columns],
        np.argsort(columns)[turned.targets[order]],
    )
    for predictions in (of_classes(), turned):
        made = graded(predictions, "grade")
        assert (made.target, made.classes) == ("number", ("grade",))
        assert made.ids.tolist() == sorted(ids.tolist())
        np.testing.assert_allclose(made.probs[:, 0], values, rtol=1e-6)
        np.testing.assert_array_equal(made.targets, np.array(GRADES, float)[rows()[2]])


@pytest.mark.parametrize(
    ("names", "grades"),
    [
        (("0", "1.5", "-2"), (0.0, 1.5, -2.0)),
        (("03", "4"), (3.0, 4.0)),
        (("3", "3.0"), None),
        (("false", "true"), None),
        (("0", "none"), None),
        (("0", "nan"), None),
        (("0", "1e300"), None),
    ],
)
def test_grades_are_different_numbers(names, grades):
    assert grades_of(names) == grades


def test_a_blend_of_both_is_one_of_numbers_and_its_cells_are_computed_again(
    store, numbers, classes, tmp_path
):
    blend = make_blend(store.finished(), Options(weights="equal"))
    assert (blend.target, blend.group.n_graded, blend.group.left_out) == ("number", 1, {})
    assert blend.options.metric == "rmse"
    _, of_class = expected("valid")
    truth = np.array(GRADES, float)[rows()[2]]
    rmse = np.sqrt(np.mean((of_class - truth) ** 2))
    assert blend.run_scores[classes.id] == pytest.approx(rmse, rel=1e-6)

    path = write_submission(blend, tmp_path / "out", "mine").path
    assert len(verified(path, store).runs) == 2
    ids, of_class = expected("test")
    mean = (of_class + of_numbers("test").probs[:, 0].astype(float)) / 2
    with path.open() as stored_csv:
        header, *cells = csv.reader(stored_csv)
    assert header == ["id", "grade"]
    assert [row[0] for row in cells] == ids.tolist()
    np.testing.assert_allclose([float(row[1]) for row in cells], mean, atol=1e-6)
    members = json.loads(path.with_suffix(".json").read_text())["members"]
    assert {member["run"]: member["number"] for member in members} == {
        classes.id: "grade",
        numbers.id: None,
    }


def test_whichever_run_is_newest_the_blend_is_the_same(store, numbers, classes):
    runs = store.finished()
    blends = []
    for newest in (numbers, classes):
        stamped = [
            run.model_copy(update={"created": "2030" if run.id == newest.id else "2020"})
            for run in runs
        ]
        blends.append(make_blend(stamped))
    first, second = blends
    assert first.mixture == second.mixture
    assert [rating.as_dict() for rating in first.table] == [
        rating.as_dict() for rating in second.table
    ]


def other(**changes):
    """of_classes with other arrays for validation."""

    def make(part="valid"):
        predictions = of_classes(part)
        if part != "valid":
            return predictions
        arrays = {"ids": predictions.ids, "targets": predictions.targets} | {
            key: change(getattr(predictions, key)) for key, change in changes.items()
        }
        return Predictions(arrays["ids"], predictions.classes, predictions.probs, arrays["targets"])

    return make


OTHER_ROWS = {
    "an id": other(ids=lambda ids: np.array([*ids[:-1], "else"])),
    "a true grade": other(targets=lambda codes: np.array([*codes[:-1], (codes[-1] + 1) % 4])),
    "two true grades exchanged": other(targets=lambda codes: codes[[1, 0, *range(2, len(codes))]]),
    "words": lambda part="valid": of_classes(part, ("a", "b", "c", "d")),
}


@pytest.mark.parametrize("make", OTHER_ROWS.values(), ids=OTHER_ROWS)
def test_other_rows_are_left_out_and_counted(make, store, numbers, fake_run):
    fake_run(store.root, "class-1-s0", predictions=make(), test=make("test"))
    blend = make_blend([*store.finished()], data="made-up")
    assert blend.group.left_out == {"made-up": 1}
    assert len(blend.group.runs) == 1
    with pytest.raises(MismatchError, match="not validated on the same rows"):
        compare(sides(store, ["class", "number"]))


def test_another_data_set_is_left_out(store, numbers, run_on):
    run_on("else", "class-1-s0", predictions=of_classes(), test=of_classes("test"))
    assert make_blend(store.finished(), data="made-up").group.left_out == {"else": 1}


def test_classes_alone_stay_classes(store, numbers, classes):
    assert make_blend(store.finished(["class"])).target == "class"


def test_what_only_classes_have_names_the_runs_to_blend_alone(store, numbers, classes):
    runs = store.finished()
    for options in (Options(average="geometric"), Options(calibrate=True), Options(min_acc=0.5)):
        with pytest.raises(
            SelectionError, match="grades; alone they are classes: `ens blend class"
        ):
            make_blend(runs, options)
    with pytest.raises(
        EnsembleError, match="not a metric of a number per image.*\n.*ens blend cla"
    ):
        make_blend(runs, Options(metric="accuracy"))


def test_one_recipe_for_both_is_told_apart_by_its_digest(store, numbers, fake_run):
    test = of_classes("test")
    run = fake_run(
        store.root, "class-1-s0", predictions=of_classes(), test=test, recipe="number", digest="1"
    )
    with pytest.raises(SelectionError, match="`ens blend 'number-1\\*'`"):
        make_blend([run, numbers], Options(average="geometric"))


def test_a_comparison_is_by_expected_grades(store, numbers, classes):
    compared = sides(store, ["class", "number"])
    scoring, note = scoring_of_sides(compared, "mae")
    assert note == "on classes, by expected grades: class"
    (difference,) = compare(compared, scoring)
    truth = np.array(GRADES, float)[rows()[2]]
    maes = [
        np.abs(values - truth).mean()
        for values in (expected("valid")[1], of_numbers().probs[:, 0].astype(float))
    ]
    assert difference.value.value == pytest.approx(maes[1] - maes[0], rel=1e-5)


def test_a_manifest_whose_member_has_no_grades_is_refused(store, numbers, classes, tmp_path):
    path = write_submission(make_blend(store.finished()), tmp_path / "out", "mine").path
    manifest = path.with_suffix(".json")
    content = json.loads(manifest.read_text())
    for member in content["members"]:
        member["number"] = "grade"
    manifest.write_text(json.dumps(content))
    with pytest.raises(SubmissionError, match="number-.* predicts no classes that are grades"):
        verified(path, store)


@pytest.mark.parametrize("first", ["class", "number"])
def test_predictions_of_the_other_kind_join_the_rows_of_a_run(first, store):
    kinds = {"class": (of_classes, None), "number": (of_numbers, "number")}
    (second,) = kinds.keys() - {first}
    made = [stored(store, name, *kinds[name]) for name in (first, second)]
    assert made[0].data.name == made[1].data.name
    assert made[0].data.valid != made[1].data.valid
    again = stored(store, "again", *kinds[second])
    assert again.data.valid == made[1].data.valid
    blend = make_blend(store.finished())
    assert len(blend.group.runs) == 3
    graded_ids = {run.id for run in blend.group.runs if isinstance(run, GradedRun)}
    assert graded_ids == {run.id for run in (*made, again) if run.data.target == "class"}


def test_rows_without_a_truth_take_that_of_the_runs(store, numbers, tmp_path):
    ids, probs, codes = rows()
    few = ("0", "1", "10", "3")  # a run's truth is no class here
    np.savez(tmp_path / "w.npz", ids=ids, classes=np.array(few), probs=probs)
    with pytest.raises(MismatchError, match="is about one class per image, the runs .* a number"):
        import_run("few", "vit", tmp_path / "w.npz", None, store)
    np.savez(tmp_path / "v.npz", ids=ids, classes=np.array(GRADES), probs=probs)
    run = import_run("mine", "vit", tmp_path / "v.npz", None, store)
    np.testing.assert_array_equal(run.valid().targets, codes)
    assert run.scores.accuracy == pytest.approx((probs.argmax(1) == codes).mean())
