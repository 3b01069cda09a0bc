"""Writing a submission: checked, with a manifest, and never over another file without --force."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from ensemble.blending import make_blend
from ensemble.errors import DataError, EnsembleError, SubmissionError
from ensemble.files import sha256
from ensemble.predictions import Predictions
from ensemble.runs import RunStore, publish
from ensemble.submission import write_submission
from ensemble.submission.check import check
from ensemble.submission.shape import Shape
from ensemble.submission.stored_blends import contents_of, newest_blends

CLASSES = ("ant", "bee", "cat")
PROBS = np.array([[0.75, 0.125, 0.125], [0.0, 0.25, 0.75]], np.float32)


def predictions_of(ids=("x", "y"), classes=CLASSES, probs=PROBS):
    return Predictions(np.array(ids), classes, probs)


def sample_at(tmp_path, text):
    path = tmp_path / "sample.csv"
    path.write_text(text)
    return str(path)


def test_a_submission_is_named_after_its_data_and_its_bytes(tmp_path, blend_of):
    written = write_submission(blend_of(predictions_of(), name="pets"), tmp_path / "out")
    content = b"id,label\nx,ant\ny,cat\n"
    assert written.path.read_bytes() == content
    assert written.path.name == f"pets-{hashlib.sha256(content).hexdigest()[:8]}.csv"
    assert written.manifest == written.path.with_suffix(".json")
    assert sorted(tmp_path.joinpath("out").iterdir()) == [written.path, written.manifest]


def test_the_sample_that_the_runs_were_trained_for_decides(tmp_path, blend_of):
    sample = sample_at(tmp_path, "key,cat,bee,ant\ny,0,0,0\n")
    written = write_submission(
        blend_of(predictions_of(), predictions_of(), sample_submission=sample), tmp_path
    )
    assert written.path.read_text() == "key,cat,bee,ant\ny,0.75,0.25,0\n"
    assert (written.shape.answer, written.n_unused) == ("probabilities", 1)


def test_the_positive_class_comes_from_the_runs(tmp_path, blend_of):
    sample = sample_at(tmp_path, "id,is_bee\nx,0.5\ny,0.5\n")
    test = predictions_of(
        classes=("ant", "bee"), probs=np.array([[0.25, 0.75], [1, 0]], np.float32)
    )
    written = write_submission(blend_of(test, sample_submission=sample, positive="bee"), tmp_path)
    assert written.path.read_text() == "id,is_bee\nx,0.75\ny,0\n"


def test_120_classes_written_from_float32_pass_the_check(tmp_path, blend_of):
    classes = tuple(f"breed {i}, {i:03d}" for i in range(120))
    ids = [f"{i:04d}" for i in range(200)]
    rng = np.random.default_rng(0)
    tests = [
        predictions_of(ids, classes, rng.dirichlet(np.ones(120), 200).astype(np.float32))
        for _ in range(2)
    ]
    header = ",".join(["id", *(f'"{name}"' for name in classes)])
    sample = sample_at(tmp_path, "\n".join([header, *(f"{i}{',0' * 120}" for i in ids)]))
    written = write_submission(blend_of(*tests, sample_submission=sample), tmp_path)
    assert written.path.read_text().count("\n") == 201


def test_another_blend_under_the_same_name_needs_force(tmp_path, blend_of):
    blend = blend_of(predictions_of())
    mine = tmp_path / "mine.csv"
    mine.write_text("my own work\n")
    with pytest.raises(
        SubmissionError, match=r"mine.csv: exists with other content\n.*--name.*--force"
    ):
        write_submission(blend, tmp_path, "mine")
    assert mine.read_text() == "my own work\n"
    assert not mine.with_suffix(".json").exists()
    mine.with_suffix(".json").write_text("{}")
    assert write_submission(blend, tmp_path, "mine", force=True).path == mine
    assert mine.read_text().startswith("id,label\n")


def test_force_replaces_no_table_that_is_not_a_submission(tmp_path, blend_of):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\na,cat\n")
    with pytest.raises(SubmissionError, match="is no submission, since labels.json is not beside"):
        write_submission(blend_of(predictions_of()), tmp_path, "labels", force=True)
    assert labels.read_text() == "id,label\na,cat\n"


def test_a_name_with_the_suffix_is_refused(tmp_path, blend_of):
    with pytest.raises(SubmissionError, match="the .csv is added\nuse --name mine$"):
        write_submission(blend_of(predictions_of()), tmp_path, "mine.csv")


def test_the_same_bytes_again_need_no_force(tmp_path, blend_of):
    blend = blend_of(predictions_of())
    first = write_submission(blend, tmp_path)
    before = first.path.read_bytes(), first.manifest.read_bytes()
    again = write_submission(blend, tmp_path)
    assert again.path == first.path
    assert (again.path.read_bytes(), again.manifest.read_bytes()) == before


@pytest.mark.parametrize("name", ["../up", "a/b", "/tmp/x", ".hidden", "..", "."])
def test_a_name_that_is_a_path_is_refused(name, tmp_path, blend_of):
    with pytest.raises(SubmissionError, match="--name .* is not a plain file name"):
        write_submission(blend_of(predictions_of()), tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["ledger", "LEDGER", "Ledger"])
def test_the_ledger_is_never_overwritten(name, tmp_path, blend_of):
    blend, folder = blend_of(predictions_of()), tmp_path / "out"
    folder.mkdir()
    (folder / "ledger.csv").write_text("submitted,competition\n")
    for force in (False, True):
        with pytest.raises(
            SubmissionError, match=f"--name {name}: `ens submit` keeps its ledger in ledger.csv"
        ):
            write_submission(blend, folder, name, force)
    assert [path.name for path in folder.iterdir()] == ["ledger.csv"]
    assert (folder / "ledger.csv").read_text() == "submitted,competition\n"
    assert write_submission(blend, folder, "ledger2").path.is_file()


@pytest.mark.parametrize("name", ["v1.2", "two words", "=x", "é"])
def test_any_plain_name_is_taken_as_it_is(name, tmp_path, blend_of):
    written = write_submission(blend_of(predictions_of()), tmp_path, name)
    assert (written.path.name, written.manifest.name) == (f"{name}.csv", f"{name}.json")
    assert written.path.is_file()
    assert written.manifest.is_file()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, blend_of):
    blend = blend_of(predictions_of())
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "dir.csv").mkdir()
    for folder, name in ((tmp_path / "file", "a"), (tmp_path, "dir"), (tmp_path, "x" * 300)):
        for force in (False, True):
            with pytest.raises(EnsembleError, match="cannot be written"):
                write_submission(blend, folder, name, force)


def test_without_a_test_set_there_is_nothing_to_write(tmp_path, blend_of):
    with pytest.raises(SubmissionError, match="have no test set.*set data.test"):
        write_submission(blend_of(predictions_of(), n_test=0), tmp_path)


def test_members_trained_for_different_samples_are_refused(tmp_path, blend_of):
    runs = [member.run for member in blend_of(predictions_of(), predictions_of()).members]
    publish(
        runs[1].model_copy(update={"data": runs[1].data.model_copy(update={"positive": "bee"})})
    )
    with pytest.raises(SubmissionError, match="data.positive: a_0-1-s0 has None, a_1-1-s0 has bee"):
        write_submission(make_blend(RunStore(tmp_path / "runs").finished()), tmp_path)


def test_a_sample_that_is_gone_is_named(tmp_path, blend_of):
    gone = str(tmp_path / "gone.csv")
    with pytest.raises(SubmissionError, match=r"gone.csv: the sample submission .* is gone"):
        write_submission(blend_of(predictions_of(), sample_submission=gone), tmp_path)


def test_the_manifest_holds_members_options_scores_and_hashes(tmp_path, blend_of):
    sample = sample_at(tmp_path, "id,kind\ny,ant\n")
    blend = blend_of(
        predictions_of(),
        predictions_of(),
        name="pets",
        sample_submission=sample,
        unreadable={"test": ["y"]},
    )
    written = write_submission(blend, tmp_path, "mine", command=["ens", "blend", "--name", "mine"])
    manifest = json.loads(written.manifest.read_text(encoding="utf-8"))
    assert manifest["format"] == 1
    assert manifest["csv_sha256"] == sha256(written.path)
    assert manifest["command"] == ["ens", "blend", "--name", "mine"]
    assert manifest["options"] == dataclasses.asdict(blend.options)
    assert manifest["weighting"] == "accuracy"
    assert manifest["calibration"] is None
    assert manifest["data"]["name"] == "pets"
    assert manifest["data"]["fingerprints"] == [blend.members[0].run.data.fingerprint]
    assert manifest["sample_submission"] == {
        "path": sample,
        "sha256": sha256(tmp_path / "sample.csv"),
    }
    assert [member["run"] for member in manifest["members"]] == ["a_0-1-s0", "a_1-1-s0"]
    for stored, member in zip(manifest["members"], blend.members, strict=True):
        assert stored["weight"] == member.weight
        assert stored["sha256"]["test.npz"] == sha256(member.run.folder / "test.npz")
        assert stored["sha256"]["valid.npz"] == sha256(member.run.folder / "valid.npz")
        assert stored["valid_accuracy"] == member.run.scores.accuracy
    cross_fitted = manifest["scores"]["cross_fitted"]
    accuracy = cross_fitted["accuracy"]
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert set(cross_fitted["log_loss"]) == {"value", "low", "high"}
    assert cross_fitted["optimism"] == blend.valid.optimism
    assert [rating["name"] for rating in manifest["scores"]["table"]] == [
        rating.name for rating in blend.table
    ]
    assert manifest["scores"]["test"] is None
    assert manifest["unreadable_test_images"] == ["y"]
    assert set(manifest["versions"]) == {"python", "ens", "numpy"}
    assert (written.n_unused, written.unreadable) == (1, ("y",))


SHAPE = Shape(("id", "ant", "bee"), ("x", "y"), "probabilities", None, ("ant", "bee"))
GOOD = "id,ant,bee\nx,0.5,0.5\ny,1,0\n"
REFUSED = {
    "another column": ("id,ant,bees\nx,0.5,0.5\ny,1,0\n", "its columns are ['id', 'ant', 'bees']"),
    "columns in another order": (
        "id,bee,ant\nx,0.5,0.5\ny,0,1\n",
        "its columns are ['id', 'bee', 'ant']",
    ),
    "a missing row": (
        "id,ant,bee\nx,0.5,0.5\n",
        "1 ids of the sample are missing, 0 are not in the sample",
    ),
    "another id": (
        "id,ant,bee\nx,0.5,0.5\nz,1,0\n",
        "1 ids of the sample are missing, 1 are not in the sample",
    ),
    "rows in another order": (
        "id,ant,bee\ny,1,0\nx,0.5,0.5\n",
        "its rows are not in the sample's order",
    ),
    "an id twice": ("id,ant,bee\nx,0.5,0.5\nx,1,0\n", "an id appears more than once"),
    "a sum of 1.00001": (
        "id,ant,bee\nx,0.5,0.50001\ny,1,0\n",
        "csv:2: 'x': its probabilities sum to 1.00001000",
    ),
    "below 0": ("id,ant,bee\nx,0.5,0.5\ny,1.5,-0.5\n", "csv:3: 'y': a probability outside 0 to 1"),
    "NaN": ("id,ant,bee\nx,nan,0.5\ny,1,0\n", "csv:2: 'x': a probability outside 0 to 1"),
    "text": ("id,ant,bee\nx,0.5,0.5\ny,1,no\n", "csv:3: 'y': not a number"),
}


def test_a_good_file_passes_the_check(tmp_path):
    (tmp_path / "a.csv").write_text(GOOD)
    check(tmp_path / "a.csv", SHAPE)
    (tmp_path / "a.csv").write_text(GOOD.replace("0.5\n", "0.5000009\n"))
    check(tmp_path / "a.csv", SHAPE)


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_competition_would_refuse_is_refused_with_the_line(case, tmp_path):
    text, expected = REFUSED[case]
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(SubmissionError) as refused:
        check(tmp_path / "a.csv", SHAPE)
    assert str(refused.value).startswith(str(tmp_path / "a.csv"))
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "good", "bad"),
    [
        ("class_name", ["ant", "bee"], ["Ant", "", "0", " ant"]),
        ("class_index", ["0", "1"], ["2", "-1", "0.5", "", "ant", "²"]),
        (
            "positive_probability",
            ["0", "0.5", "1", "1e-30"],
            ["1.1", "-0.1", "nan", "inf", "", "ant"],
        ),
    ],
)
def test_one_column_holds_only_what_its_answer_allows(answer, good, bad, tmp_path):
    texts = dict(zip(("ant", "bee"), good, strict=False))
    path = tmp_path / "a.csv"
    shape = Shape(("id", "label"), ("x",), answer, "bee", texts=texts)
    for cell in good:
        path.write_text(f"id,label\nx,{cell}\n")
        check(path, shape)
    for cell in bad:
        path.write_text(f"id,label\nx,{cell}\n")
        with pytest.raises(SubmissionError, match="a.csv:2: 'x': "):
            check(path, shape)


def test_a_file_that_is_not_a_table_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("id,ant,bee\nx,0.5\n")
    with pytest.raises(DataError, match="a.csv: row 2 has 2 cells"):
        check(tmp_path / "a.csv", SHAPE)


def test_a_sample_in_another_unicode_form_is_filled_and_written_as_it_spells(
    blend_of, tmp_path, rng
):
    ids = np.array(["e\u0301te\u0301", "na\u00efve"])
    classes = ("caf\u00e9", "the\u0301")
    probs = rng.dirichlet(np.ones(2), 2).astype(np.float32)
    sample = tmp_path / "sample.csv"
    sample.write_text(
        "id,th\u00e9,cafe\u0301\n\u00e9t\u00e9,0,0\nnai\u0308ve,0,0\n", encoding="utf-8"
    )
    blend = blend_of(Predictions(ids, classes, probs), sample_submission=str(sample))
    lines = (
        write_submission(blend, tmp_path / "submissions")
        .path.read_text(encoding="utf-8")
        .splitlines()
    )
    assert lines[0] == "id,th\u00e9,cafe\u0301"
    name, tea, coffee = lines[1].split(",")
    assert name == "\u00e9t\u00e9"
    assert float(coffee) == pytest.approx(float(probs[0, 0]))
    assert float(tea) == pytest.approx(float(probs[0, 1]))


def test_the_newest_blend_is_read_from_its_manifest_and_other_files_are_skipped(tmp_path, blend_of):
    blend = blend_of(predictions_of(), predictions_of())
    written = write_submission(blend, tmp_path / "out")
    (tmp_path / "out" / "list.json").write_text("[]")
    (tmp_path / "out" / "broken.json").symlink_to(tmp_path / "nowhere")
    killed = tmp_path / "out" / ".killed.json.x1.json"  # as a killed `ens blend` leaves it
    killed.write_bytes(written.path.with_suffix(".json").read_bytes())
    assert ".killed" not in contents_of(tmp_path / "out")
    members = frozenset(member.run.id for member in blend.members)
    assert newest_blends(tmp_path / "out") == {
        blend.group.runs[0].data.valid: (written.path.name, blend.options, members)
    }
