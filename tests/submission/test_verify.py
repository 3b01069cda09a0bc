"""A submission is derived again from the stored predictions; any difference is named."""

import json
import shutil

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.errors import EnsembleError, SubmissionError
from ensemble.files import sha256
from ensemble.predictions import Predictions
from ensemble.runs import RunStore, publish
from ensemble.submission import write_submission
from ensemble.submission.verify import verified


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def submission(tmp_path, rng, blend_of):
    """The CSV of three members, one column per class."""
    ids = np.array([f"{i:03d}" for i in range(20)])
    tests = [
        Predictions(ids, ("a", "b", "c"), rng.dirichlet(np.ones(3), 20).astype(np.float32))
        for _ in range(3)
    ]
    sample = tmp_path / "sample.csv"
    sample.write_text("id,c,b,a\n" + "".join(f"{i},0,0,0\n" for i in ids[::-1]))
    return write_submission(
        blend_of(*tests, sample_submission=str(sample)), tmp_path / "submissions"
    ).path


def refusal(path, store):
    with pytest.raises(SubmissionError) as refused:
        verified(path, store)
    assert str(refused.value).count("\n") < 3
    return str(refused.value)


def test_an_untouched_submission_gives_the_same_bytes_from_all_its_members(submission, store):
    assert len(verified(submission, store).runs) == 3


@pytest.fixture
def with_refit(blend_of, rng, store):
    """with_refit(*which): a blend of three members of which these have a refit with other test
    predictions.
    """
    tests = [random_test(rng) for _ in range(3)]

    def with_refit(*which):
        blend_of(*tests)
        for i in which:
            run = store.get(f"a_{i}-1-s0")
            random_test(rng).save(run.folder / "test_refit.npz")
            files = run.files | {"test_refit.npz": sha256(run.folder / "test_refit.npz")}
            publish(run.model_copy(update={"refit_epochs": 2, "files": files}))
        return make_blend(store.finished())

    return with_refit


def random_test(rng):
    ids = np.array([f"{i:03d}" for i in range(20)])
    return Predictions(ids, ("a", "b", "c"), rng.dirichlet(np.ones(3), 20).astype(np.float32))


def test_refits_predict_where_every_member_has_one_and_are_verified(with_refit, store, tmp_path):
    blend = with_refit(0, 1, 2)
    assert blend.of_refits
    mean = sum(member.weight * member.run.test_refit().probs for member in blend.members)
    np.testing.assert_allclose(blend.predictions.probs, mean, rtol=1e-6)
    path = write_submission(blend, tmp_path / "submissions").path
    assert len(verified(path, store).runs) == 3
    changed = blend.members[1].run.folder / "test_refit.npz"
    random_test(np.random.default_rng(5)).save(changed)
    assert str(changed) in refusal(path, store)


def test_without_a_refit_of_every_member_all_predict_by_their_first_fits(
    with_refit, store, tmp_path
):
    blend = with_refit(0, 2)
    assert not blend.of_refits
    mean = sum(member.weight * member.run.test().probs for member in blend.members)
    np.testing.assert_allclose(blend.predictions.probs, mean, rtol=1e-6)
    assert len(verified(write_submission(blend, tmp_path / "submissions").path, store).runs) == 3


def test_it_is_verified_under_another_name_and_beside_new_runs(
    submission, store, tmp_path, fake_run
):
    fake_run(store.root, "later-1-s0")
    moved = tmp_path / "elsewhere" / "renamed.v2.csv"
    moved.parent.mkdir()
    submission.rename(moved)
    submission.with_suffix(".json").rename(moved.with_suffix(".json"))
    assert len(verified(moved, store).runs) == 3


def test_the_order_of_the_members_in_the_manifest_does_not_matter(submission, store):
    manifest = submission.with_suffix(".json")
    content = json.loads(manifest.read_text())
    content["members"][0]["weight"] += 0.01
    content["members"][1]["weight"] -= 0.01
    manifest.write_text(json.dumps(content))
    expected = refusal(submission, store)
    manifest.write_text(json.dumps(content | {"members": content["members"][::-1]}))
    assert refusal(submission, store) == expected


def test_a_changed_row_is_shown_with_its_line(submission, store):
    lines = submission.read_text().splitlines()
    lines[4] = "016,1,0,0"
    submission.write_text("\n".join(lines) + "\n")
    message = refusal(submission, store)
    assert f"{submission}: changed since it was written" in message
    assert "line 5 is '016,1,0,0', its members give '016,0." in message


def test_a_changed_header_is_line_1(submission, store):
    submission.write_text(submission.read_text().replace("id,c,b,a", "id,c,a,b"))
    assert "line 1 is 'id,c,a,b', its members give 'id,c,b,a'" in refusal(submission, store)


@pytest.mark.parametrize("change", [lambda raw: raw.replace(b"\n", b"\r\n"), lambda raw: raw[:-1]])
def test_changed_line_ends_are_reported(change, submission, store):
    submission.write_bytes(change(submission.read_bytes()))
    assert ": line ends\n" in refusal(submission, store)


def test_a_missing_row_is_reported_by_the_number_of_lines(submission, store):
    submission.write_text("".join(submission.read_text().splitlines(keepends=True)[:-1]))
    message = refusal(submission, store)
    assert "has 20 lines, its members give 21" in message
    assert message.endswith(f"the command in {submission.stem}.json, with --force, writes it again")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"\n" * 21])
def test_another_file_under_its_name_is_refused(content, submission, store):
    submission.write_bytes(content)
    refusal(submission, store)


def test_missing_members_are_counted_and_named(submission, store):
    shutil.rmtree(store.folder("a_0-1-s0"))
    (store.folder("a_2-1-s0") / "run.json").unlink()
    message = refusal(submission, store)
    assert f"{submission}: cannot verify: 2 members missing in {store.root}" in message
    assert "a_0-1-s0, a_2-1-s0\ncopy these runs there" in message


def test_a_changed_member_file_is_named(submission, store):
    stored = store.folder("a_1-1-s0") / "test.npz"
    loaded = Predictions.load(stored)
    Predictions(loaded.ids, loaded.classes, loaded.probs[::-1].copy()).save(stored)
    assert f"{stored} is not the file that the submission was made from" in refusal(
        submission, store
    )
    stored.unlink()
    assert f"{stored}: is missing" in refusal(submission, store)


def test_changed_validation_predictions_are_named_too(submission, store):
    stored = store.folder("a_1-1-s0") / "valid.npz"
    stored.write_bytes(stored.read_bytes() + b" ")
    assert f"{stored} is not the file that the submission was made from" in refusal(
        submission, store
    )


@pytest.mark.parametrize(
    "options",
    [
        Options(average="geometric"),
        Options(calibrate=True),
        Options(average="geometric", calibrate=True, weights="equal"),
        Options(weights="logloss"),
        Options(weights="best", metric="log_loss", max_members=2),
        Options(weights="greedy", metric="roc_auc", min_score=0.3),
    ],
    ids=str,
)
def test_every_way_of_averaging_is_derived_again(options, store, tmp_path, rng, blend_of):
    ids = np.array([f"{i:03d}" for i in range(20)])
    tests = [
        Predictions(ids, ("a", "b", "c"), rng.dirichlet(np.ones(3), 20).astype(np.float32))
        for _ in range(3)
    ]
    sample = tmp_path / "sample.csv"
    sample.write_text("id,c,b,a\n" + "".join(f"{i},0,0,0\n" for i in ids))
    blend = blend_of(*tests, options=options, sample_submission=str(sample))
    path = write_submission(blend, tmp_path / "submissions").path
    assert len(verified(path, store).runs) == len(blend.members)
    path.write_text(path.read_text().replace("0.", "0.1", 1))
    assert "changed since it was written" in refusal(path, store)


def test_a_changed_or_missing_sample_is_named(submission, store, tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text(sample.read_text().replace("id,c,b,a", "id,a,b,c"))
    assert f"cannot verify: {sample} is gone or has changed" in refusal(submission, store)
    sample.unlink()
    assert f"cannot verify: {sample} is gone or has changed" in refusal(submission, store)


def test_a_missing_manifest_and_a_missing_file_are_reported(submission, store, tmp_path):
    submission.with_suffix(".json").unlink()
    assert f"cannot verify: its manifest {submission.stem}.json is not next to it" in refusal(
        submission, store
    )
    assert "none.csv: no such file" in refusal(tmp_path / "none.csv", store)
    assert "no such file" in refusal(tmp_path / ("x" * 300), store)
    assert "a folder: name a CSV in it" in refusal(tmp_path, store)


def test_a_later_format_is_refused(submission, store):
    manifest = submission.with_suffix(".json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 2}))
    assert "format 2, this version reads 1" in refusal(submission, store)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: [],
        lambda manifest: None,
        lambda manifest: {"format": 1},
        lambda manifest: manifest | {"members": None},
        lambda manifest: manifest | {"members": 3},
        lambda manifest: manifest | {"members": ["a_0-1-s0"]},
        lambda manifest: manifest | {"members": [{"run": "a_0-1-s0"}]},
        lambda manifest: manifest | {"members": [manifest["members"][0] | {"weight": "heavy"}]},
        lambda manifest: manifest | {"members": [manifest["members"][0] | {"sha256": None}]},
        lambda manifest: manifest | {"sample_submission": "sample.csv"},
        lambda manifest: manifest | {"sample_submission": {}, "members": [{}]},
    ],
)
def test_a_manifest_with_other_content_is_refused_and_named(change, submission, store):
    manifest = submission.with_suffix(".json")
    manifest.write_text(json.dumps(change(json.loads(manifest.read_text()))))
    assert refusal(submission, store).startswith(
        f"{manifest}: not a manifest that `ens blend` wrote"
    )


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "members"', b"\xff", b"[" * 100_000])
def test_a_damaged_manifest_is_refused_and_named(content, submission, store):
    manifest = submission.with_suffix(".json")
    manifest.write_bytes(content)
    assert refusal(submission, store).startswith(
        f"{manifest}: not a manifest that `ens blend` wrote"
    )


@pytest.mark.parametrize(
    "weights", [[1, 1, 1], [0.5, 0.25, 0.25], [float("nan"), 0, 0], [2, -1, 0]]
)
def test_other_weights_in_the_manifest_do_not_verify(weights, submission, store):
    manifest = submission.with_suffix(".json")
    content = json.loads(manifest.read_text())
    for member, weight in zip(content["members"], weights, strict=True):
        member["weight"] = weight
    manifest.write_text(json.dumps(content))
    with pytest.raises(EnsembleError):
        verified(submission, store)


def test_missing_members_are_reported_before_changed_ones(submission, store):
    shutil.rmtree(store.folder("a_0-1-s0"))
    (store.folder("a_1-1-s0") / "test.npz").write_bytes(b"")
    assert "cannot verify: 1 members missing" in refusal(submission, store)


def test_a_damaged_member_is_not_called_missing(submission, store):
    (store.folder("a_1-1-s0") / "run.json").write_text("{")
    assert "a_1-1-s0/run.json: cannot be read" in refusal(submission, store)


def test_a_manifest_of_another_csv_is_refused(submission, store):
    manifest = submission.with_suffix(".json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"csv_sha256": "0" * 64}))
    assert "its manifest has changed" in refusal(submission, store)


@pytest.mark.parametrize(
    "calibration",
    [
        {"temperature": 0, "floor": 0},
        {"temperature": 1, "floor": -1},
        {"temperature": float("nan"), "floor": 0},
        {"temperature": 1},
    ],
)
def test_a_manifest_with_impossible_calibration_is_refused(calibration, submission, store):
    manifest = submission.with_suffix(".json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"calibration": calibration}))
    assert "not a manifest that `ens blend` wrote" in refusal(submission, store)


OLDER = {
    "positions": ("id,label\nx,0\ny,0\n", None, "id,label\nx,1\ny,0\n"),
    "1 for the positive class": ("id,label\nx,0\ny,0\n", "ant", "id,label\nx,0\ny,1\n"),
    "a probability": ("id,p\ny,0.5\nx,0.5\n", "bee", "id,p\ny,0.25\nx,0.75\n"),
    "names": ("id,label\nx,?\n", None, "id,label\nx,bee\n"),
    "columns": ("id,bee,ant\ny,0,0\n", None, "id,bee,ant\ny,0.25,0.75\n"),
    "no sample": (None, None, "id,label\nx,bee\ny,ant\n"),
}


@pytest.mark.parametrize("case", OLDER)
def test_a_submission_from_before_manifests_stored_the_answer_is_verified_by_the_rule_of_its_time(
    case, tmp_path, blend_of, store
):
    sample, positive, text = OLDER[case]
    probs = np.array([[0.25, 0.75], [0.75, 0.25]], np.float32)
    fields = {"positive": positive}
    if sample is not None:
        (tmp_path / "sample.csv").write_text(sample)
        fields["sample_submission"] = str(tmp_path / "sample.csv")
    blend = blend_of(Predictions(np.array(["x", "y"]), ("ant", "bee"), probs), **fields)
    options = {} if sample is None or "bee" in sample else {"answer": "class_name"}
    written = write_submission(blend, tmp_path / "submissions", **options)
    written.path.write_text(text)
    content = json.loads(written.manifest.read_text())
    for key in ("answer", "metric", "positive", "notes"):
        del content[key]
    content["csv_sha256"] = sha256(written.path)
    written.manifest.write_text(json.dumps(content))
    assert len(verified(written.path, store).runs) == 1


def test_a_submission_is_verified_by_the_answer_that_its_manifest_stores(tmp_path, blend_of, store):
    sample = tmp_path / "sample.csv"
    sample.write_text("id,label\n0,0\n1,0\n")
    probs = np.array([[0.25, 0.75], [0.75, 0.25]], np.float32)
    test = Predictions(np.array(["0000", "0001"]), ("ant", "bee"), probs)
    blend = blend_of(test, sample_submission=str(sample), positive="ant", metric="roc_auc")
    for answer, cells, positive in (
        ("class_name", ["bee", "ant"], None),
        ("positive_probability", ["0.75", "0.25"], "bee"),
    ):
        written = write_submission(blend, tmp_path / "submissions", answer=answer, positive="bee")
        assert written.path.read_text() == f"id,label\n0,{cells[0]}\n1,{cells[1]}\n"
        content = json.loads(written.manifest.read_text())
        assert (content["answer"], content["metric"], content["positive"]) == (
            answer,
            None,
            positive,
        )
        fitted, *others = content["notes"]
        assert fitted == "the sample's ids fit the test images only without leading zeros"
        # that 0 is not a name, and that bee changes nothing
        assert len(others) == 2 * (answer == "class_name")
        assert len(verified(written.path, store).runs) == 1
    written = write_submission(blend, tmp_path / "submissions", answer="positive_probability")
    content = json.loads(written.manifest.read_text())
    assert (content["positive"], written.shape.positive) == ("ant", "ant")
    content["positive"] = "bee"
    written.manifest.write_text(json.dumps(content))
    assert "line 2 is '0,0.25', its members give '0,0.75'" in refusal(written.path, store)


@pytest.mark.parametrize("key", ["answer", "positive"])
def test_a_manifest_with_an_impossible_answer_is_refused(key, submission, store):
    manifest = submission.with_suffix(".json")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"answer": "positive_probability", key: "nonsense"}))
    assert "nonsense" in refusal(submission, store) or key == "positive"


def test_the_metric_of_the_runs_decides_what_a_sample_of_zeros_means(tmp_path, blend_of, store):
    sample = tmp_path / "sample.csv"
    sample.write_text("id,label\nx,0\ny,0\n")
    probs = np.array([[0.25, 0.75], [0.75, 0.25]], np.float32)
    test = Predictions(np.array(["x", "y"]), ("0", "1"), probs)
    for metric, cells in (("roc_auc", ["0.75", "0.25"]), ("accuracy", ["1", "0"])):
        for run in store.finished():
            shutil.rmtree(run.folder)
        blend = blend_of(test, sample_submission=str(sample), metric=metric)
        written = write_submission(blend, tmp_path / "submissions")
        assert written.path.read_text() == f"id,label\nx,{cells[0]}\ny,{cells[1]}\n"
        assert json.loads(written.manifest.read_text())["metric"] == metric
        assert len(verified(written.path, store).runs) == 1
