"""A blend without test images is kept for new images, and takes no other blend's place."""

import json

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.errors import SubmissionError
from ensemble.runs import RunStore
from ensemble.runs.imported import import_run
from ensemble.submission import keep_blend
from ensemble.submission.manifest import members_of, read_manifest
from ensemble.submission.stored_blends import newest_blends
from ensemble.submission.verify import verified

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def runs(tmp_path, rng, made_up, monkeypatch):
    """Two runs without a test set in the current folder's `runs`."""
    monkeypatch.chdir(tmp_path)
    runs, store = [], RunStore(tmp_path / "runs")
    for name, skill in (("a", 0.7), ("b", 0.9)):
        made_up(rng, 40, CLASSES, skill).save(tmp_path / f"{name}.npz")
        runs.append(import_run(name, name, tmp_path / f"{name}.npz", None, store, "pets"))
    return runs


def test_a_kept_blend_has_the_weights_and_the_files_of_its_members(runs, tmp_path):
    blend = make_blend(runs, Options(weights="logloss"))
    path = keep_blend(blend, tmp_path / "out")
    manifest = read_manifest(path)
    assert manifest.mixture == blend.mixture
    assert manifest.csv_sha256 == ""
    members = members_of(manifest, RunStore(tmp_path / "runs"), manifest.prediction_files, "no")
    assert sorted(members) == sorted(blend.mixture.weights)
    np.save(runs[0].folder / "valid.npz", np.zeros(3))
    (runs[0].folder / "valid.npz.npy").replace(runs[0].folder / "valid.npz")
    with pytest.raises(SubmissionError, match="is not the file that the submission was made from"):
        members_of(manifest, RunStore(tmp_path / "runs"), manifest.prediction_files, "no")


def test_the_same_blend_is_kept_again_and_another_one_needs_another_name(runs, tmp_path):
    equal, learned = (make_blend(runs, Options(weights=name)) for name in ("equal", "logloss"))
    path = keep_blend(equal, tmp_path, "pets")
    assert keep_blend(equal, tmp_path, "pets", command=("ens", "blend")) == path
    with pytest.raises(SubmissionError, match="pets.json: exists with other content\n.*--force to"):
        keep_blend(learned, tmp_path, "pets")
    assert (
        read_manifest(keep_blend(learned, tmp_path, "pets", force=True)).mixture == learned.mixture
    )
    assert keep_blend(equal, tmp_path) != keep_blend(learned, tmp_path)
    (tmp_path / "old.csv").write_text("id,label\n")
    with pytest.raises(SubmissionError, match="old.csv: a submission, which"):
        keep_blend(equal, tmp_path, "old", force=True)
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(SubmissionError, match="notes.json: exists with other"):
        keep_blend(equal, tmp_path, "notes")


def test_the_command_keeps_the_blend_and_says_how_to_use_it(runs, ens, failing_ens):
    shown = ens("blend", "--name", "pets")
    assert "submissions/pets.json keeps the blend for new images; no submission" in shown
    assert "ens predict IMAGES --blend pets --out new.csv" in shown
    elsewhere = ens("blend", "--name", "pets", "--out", "else where")
    assert "ens predict IMAGES --blend 'else where/pets.json' --out new.csv" in elsewhere
    assert "ens report --submissions 'else where'" in elsewhere
    no_csv = "--sample and --answer describe the CSV, and these runs have no test set"
    assert no_csv in failing_ens(1, "blend", "--answer", "class_name")
    long_name = 300 * "x"
    assert "choose a shorter name" in failing_ens(1, "blend", "--name", long_name)
    assert "is not a finished run" in failing_ens(1, "inspect", "--labels", long_name)
    value = json.loads(ens("blend", "--name", "pets", "--json"))
    assert (value["submission"], value["manifest"]) == (None, "submissions/pets.json")
    assert [name for name, *_ in newest_blends(runs[0].folder.parents[1] / "submissions").values()]
    assert "pets.csv: no such file" in failing_ens(1, "verify", "submissions/pets.csv")


def test_a_kept_blend_verifies_nothing(runs, tmp_path):
    path = keep_blend(make_blend(runs), tmp_path, "pets")
    path.with_suffix(".csv").write_text("id,label\n")
    with pytest.raises(SubmissionError, match="its runs have no test predictions"):
        verified(path.with_suffix(".csv"), RunStore(tmp_path / "runs"))
