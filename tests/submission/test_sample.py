"""A copy of the sample submission is kept with the run: blends and checks need no data folder."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.blending import make_blend
from ensemble.dataset import sample as sample_module
from ensemble.dataset.csvfile import read_csv
from ensemble.dataset.sample import COPY, packed_sample, sample_sha256
from ensemble.errors import DataError, SubmissionError
from ensemble.files import sha256
from ensemble.predictions import Predictions
from ensemble.runs import RunStore, publish
from ensemble.runs.imported import import_run
from ensemble.submission import write_submission
from ensemble.submission.verify import verified

CLASSES = ("ant", "bee")
IDS = [f"t{i}" for i in range(6)]
SAMPLE = "id,bee,ant\n" + "".join(f"{name},0.5,0.5\n" for name in reversed(IDS))


@pytest.fixture
def trained(tmp_path, fake_run, made_up, rng):
    """trained(name, text, folder, **fields): a run with a copy of a sample whose data folder is
    gone again.
    """

    def trained(name, text=SAMPLE, folder="kaggle", **fields):
        origin = tmp_path / folder / "sample_submission.csv"
        origin.parent.mkdir(exist_ok=True)
        origin.write_bytes(text.encode())
        test = made_up(rng, classes=CLASSES, ids=IDS)
        run = fake_run(
            tmp_path / "runs", name, predictions=made_up(rng, 40, CLASSES), test=test, **fields
        )
        packed = packed_sample(origin)
        (run.folder / COPY).write_bytes(packed.content)
        data = run.data.model_copy(
            update={"sample_submission": str(origin), "sample_sha256": packed.sha256}
        )
        run = run.model_copy(
            update={"data": data, "files": run.files | {COPY: sha256(run.folder / COPY)}}
        )
        publish(run)
        shutil.rmtree(origin.parent)
        return run

    return trained


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def blended(store, tmp_path, chosen=None):
    return write_submission(
        make_blend(store.finished()), tmp_path / "submissions", "s", force=True, chosen=chosen
    )


def without_copy(run):
    """Remove the copy, as in runs of older versions."""
    (run.folder / COPY).unlink()
    files = {name: digest for name, digest in run.files.items() if name != COPY}
    publish(
        run.model_copy(
            update={"files": files, "data": run.data.model_copy(update={"sample_sha256": None})}
        )
    )


def test_members_of_two_machines_blend_and_verify_without_their_data(trained, store, tmp_path):
    trained("a-1-s0", folder="kaggle")
    trained("b-1-s0", folder="content")
    submission = blended(store, tmp_path)
    assert submission.path.read_text().splitlines()[0] == "id,bee,ant"
    assert [line.split(",")[0] for line in submission.path.read_text().splitlines()[1:]] == list(
        reversed(IDS)
    )
    assert len(verified(submission.path, store).runs) == 2


@pytest.mark.parametrize(
    "same",
    [
        SAMPLE.replace("\n", "\r\n"),
        "\ufeff" + SAMPLE,
        SAMPLE.replace("id,", '"id",').replace("t1,", '"t1",'),
    ],
    ids=["line ends", "byte order mark", "quotes"],
)
def test_other_bytes_of_the_same_content_are_the_same_sample(same, trained, store, tmp_path):
    trained("a-1-s0")
    trained("b-1-s0", same)
    assert len(verified(blended(store, tmp_path).path, store).runs) == 2


DIFFERENT = {
    "columns": (SAMPLE.replace("bee,ant", "ant,bee"), "columns 'id, bee, ant' and 'id, ant, bee'"),
    "ids": (SAMPLE.replace("t3,", "t9,"), "6 and 6 rows; ids in only one of them: 't3', 't9'"),
    "fewer ids": (
        SAMPLE.replace("t3,0.5,0.5\n", ""),
        "6 and 5 rows; ids in only one of them: 't3'",
    ),
    "order": (
        "id,bee,ant\n" + "".join(f"{name},0.5,0.5\n" for name in IDS),
        "the same ids in another order",
    ),
    "cells": (
        SAMPLE.replace("t3,0.5,0.5", "t3,0,1"),
        "the cells of 't3': ['0.5', '0.5'] and ['0', '1']",
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_samples_that_differ_are_refused_with_the_difference_and_a_named_file_decides(
    case, trained, store, tmp_path
):
    text, expected = DIFFERENT[case]
    trained("a-1-s0")
    trained("b-1-s0", text, folder="content")
    with pytest.raises(SubmissionError) as refused:
        blended(store, tmp_path)
    message = str(refused.value)
    assert "a-1-s0 and b-1-s0 were trained for different sample submissions" in message
    assert expected in message
    assert "--sample FILE" in message
    assert len(message.splitlines()) <= 3
    (tmp_path / "chosen.csv").write_text(SAMPLE)
    assert len(verified(blended(store, tmp_path, tmp_path / "chosen.csv").path, store).runs) == 2


def test_a_run_without_a_copy_needs_its_sample_file_or_a_named_one(trained, store, tmp_path):
    trained("a-1-s0")
    old = trained("b-1-s0")
    without_copy(old)
    with pytest.raises(
        SubmissionError, match=r"sample submission of b-1-s0 is gone(.|\n)*--sample FILE"
    ):
        blended(store, tmp_path)
    (tmp_path / "here.csv").write_text(SAMPLE)
    submission = blended(store, tmp_path, tmp_path / "here.csv")
    (tmp_path / "here.csv").unlink()
    assert len(verified(submission.path, store).runs) == 2, "the other member has the same sample"


def test_a_run_with_a_sample_and_one_without_are_refused(trained, store, tmp_path):
    trained("a-1-s0")
    run = trained("b-1-s0")
    publish(
        run.model_copy(update={"data": run.data.model_copy(update={"sample_submission": None})})
    )
    with pytest.raises(
        SubmissionError, match=r"a-1-s0 was trained for .*, b-1-s0 without a sample submission"
    ):
        blended(store, tmp_path)


def test_a_sample_that_has_changed_since_the_training_is_a_warning(trained, store, tmp_path):
    run = trained("a-1-s0")
    origin = Path(run.data.sample_submission)
    origin.parent.mkdir()
    origin.write_text(SAMPLE)
    assert not [
        line
        for line in blended(store, tmp_path).warnings
        if "has changed since the training" in line
    ]
    origin.write_text(SAMPLE.replace("t0,", "t00,"))
    assert [
        line
        for line in blended(store, tmp_path).warnings
        if "has changed since the training" in line
    ]


def test_the_folds_of_a_run_must_agree(trained, store, tmp_path, fake_run):
    for fold, text in enumerate((SAMPLE, DIFFERENT["order"][0])):
        trained(f"a-1-s0-f{fold}", text, fold=fold, n_folds=2)
    for fold in range(2):
        run = store.get(f"a-1-s0-f{fold}")
        valid = run.valid()
        half = slice(20 * fold, 20 * fold + 20)
        type(valid)(valid.ids[half], valid.classes, valid.probs[half], valid.targets[half]).save(
            run.folder / "valid.npz"
        )
        data = run.data.model_copy(update={"n_valid": 20})
        files = run.files | {"valid.npz": sha256(run.folder / "valid.npz")}
        publish(run.model_copy(update={"files": files, "data": data}))
    with pytest.raises(
        SubmissionError, match="a-1-s0-f0 and a-1-s0-f1 were trained for different sample"
    ):
        blended(store, tmp_path)


def test_a_copy_with_other_content_than_run_json_says_is_refused(trained, store, tmp_path):
    run = trained("a-1-s0")
    (run.folder / COPY).write_bytes(gzip.compress(SAMPLE.replace("t1", "x1").encode(), mtime=0))
    with pytest.raises(SubmissionError, match="is not the sample submission that run.json names"):
        blended(store, tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"id,a\n", gzip.compress(SAMPLE.encode(), mtime=0)[:-9]],
    ids=["empty", "two bytes", "plain", "truncated"],
)
def test_a_copy_that_cannot_be_unpacked_is_one_error(content, trained, store, tmp_path):
    run = trained("a-1-s0")
    (run.folder / COPY).write_bytes(content)
    with pytest.raises((SubmissionError, DataError), match=COPY):
        blended(store, tmp_path)


def test_a_copy_that_unpacks_to_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ensemble.dataset.sample.MAX_BYTES", 10_000)
    (tmp_path / COPY).write_bytes(gzip.compress(b"0" * 20_000))
    with pytest.raises(DataError, match="more than 10,000 bytes"):
        sample_sha256(tmp_path / COPY)


def test_a_blend_never_overwrites_the_sample_that_it_names(trained, store, tmp_path):
    trained("a-1-s0")
    chosen = tmp_path / "submissions" / "s.csv"
    chosen.parent.mkdir()
    chosen.write_text(SAMPLE)
    with pytest.raises(SubmissionError, match="never overwritten"):
        blended(store, tmp_path, chosen)
    assert chosen.read_text() == SAMPLE


def test_an_edited_hash_in_the_manifest_finds_no_sample(trained, store, tmp_path):
    trained("a-1-s0")
    submission = blended(store, tmp_path)
    manifest = json.loads(submission.manifest.read_text())
    manifest["sample_submission"]["sha256"] = "0" * 64
    submission.manifest.write_text(json.dumps(manifest))
    with pytest.raises(SubmissionError, match="no member has a copy"):
        verified(submission.path, store)


@given(
    rows=st.lists(
        st.tuples(st.text("ab\u00fc,\"' \n", min_size=1, max_size=6), st.text("01.x", max_size=4)),
        min_size=1,
    )
)
def test_a_copy_reads_like_the_file_and_packs_to_the_same_bytes_again(rows, tmp_path_factory):
    import csv

    path = tmp_path_factory.mktemp("sample") / "s.csv"
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([("id", "label"), *rows])
    packed = packed_sample(path)
    copy = path.with_name(COPY)
    copy.write_bytes(packed.content)
    assert read_csv(copy) == read_csv(path)
    assert sample_sha256(copy) == packed.sha256 == sha256(path)
    assert packed_sample(path).content == packed.content
    assert packed_sample(copy).sha256 == packed.sha256


def test_a_copy_is_checked_before_it_is_read_and_compared(trained, store, tmp_path):
    trained("a-1-s0")
    second = trained("b-1-s0", SAMPLE.replace("\n", "\r\n"))
    foreign = gzip.compress(SAMPLE.encode() + b"t9,0.5,0.5\n")
    (second.folder / COPY).write_bytes(foreign)
    files = second.files | {COPY: sha256(second.folder / COPY)}
    publish(second.model_copy(update={"files": files}))
    with pytest.raises(
        SubmissionError,
        match=r"b-1-s0.sample.csv.gz: is not the sample submission that run.json names",
    ):
        blended(store, tmp_path)


def test_a_copy_of_too_many_bytes_is_refused_before_it_is_parsed(
    trained, store, tmp_path, monkeypatch
):
    trained("a-1-s0")
    trained("b-1-s0", SAMPLE.replace("\n", "\r\n") + "\r\n" * 2000)
    monkeypatch.setattr(sample_module, "MAX_BYTES", 1000)
    with pytest.raises(DataError, match="more than 1,000 bytes; refused"):
        blended(store, tmp_path)


@pytest.mark.parametrize("size", [10, 2000])
def test_an_original_that_cannot_be_read_does_not_stop_the_blend_of_copies(
    size, trained, store, tmp_path, monkeypatch
):
    run = trained("a-1-s0")
    origin = Path(run.data.sample_submission)
    origin.parent.mkdir()
    gone = origin.with_suffix(".csv.gz")
    gone.write_bytes(b"no gzip" * size)
    publish(
        run.model_copy(
            update={"data": run.data.model_copy(update={"sample_submission": str(gone)})}
        )
    )
    monkeypatch.setattr(sample_module, "MAX_BYTES", 1000)
    submission = blended(store, tmp_path)
    assert any("has changed since the training" in warning for warning in submission.warnings)


@pytest.mark.parametrize("form", ["{id},ant", "ant,{id}", "{id}\tant", "{id}.png,ant"])
def test_a_sample_without_a_header_gives_a_file_without_one(
    form, tmp_path, fake_run, made_up, rng, run_ens
):
    test = made_up(rng, classes=CLASSES, ids=IDS)
    fake_run(tmp_path / "runs", "a-1-s0", predictions=made_up(rng, 40, CLASSES), test=test)
    sample = tmp_path / "sample.csv"
    sample.write_text("".join(form.format(id=name) + "\n" for name in reversed(IDS)))
    words = ("--runs", tmp_path / "runs", "--out", tmp_path, "--sample", sample, "--name", "blend")
    status, out, _ = run_ens("blend", *words)
    assert status == 0
    assert "without a header: so does this file" in " ".join(out.split())
    by_id = dict(zip(test.ids.tolist(), test.probs.argmax(1).tolist(), strict=True))
    expected = [form.replace("ant", CLASSES[by_id[name]]).format(id=name) for name in reversed(IDS)]
    assert (tmp_path / "blend.csv").read_text().splitlines() == expected
    status, out, _ = run_ens("verify", tmp_path / "blend.csv", "--runs", tmp_path / "runs")
    assert status == 0


def test_a_sample_of_probabilities_without_a_header_is_refused(
    tmp_path, fake_run, made_up, rng, run_ens
):
    test = made_up(rng, classes=CLASSES, ids=IDS)
    fake_run(tmp_path / "runs", "a-1-s0", predictions=made_up(rng, 40, CLASSES), test=test)
    sample = tmp_path / "sample.csv"
    sample.write_text("".join(f"{name},0.4,0.6\n" for name in IDS))
    words = ("--runs", tmp_path / "runs", "--out", tmp_path, "--sample", sample)
    status, _, err = run_ens("blend", *words)
    assert status == 1
    assert "its columns are not the classes" in err


@pytest.mark.parametrize(
    ("metric", "is_share"), [("roc_auc", True), ("f1", False), ("accuracy", False)]
)
def test_the_metric_of_the_command_says_what_zeros_mean(
    metric, is_share, tmp_path, fake_run, made_up, rng, ens
):
    test = made_up(rng, classes=("0", "1"), ids=IDS)
    fake_run(tmp_path / "runs", "a-1-s0", predictions=made_up(rng, 80, ("0", "1")), test=test)
    sample = tmp_path / "sample.csv"
    sample.write_text("id,label\n" + "".join(f"{name},0\n" for name in IDS))
    words = ("--runs", tmp_path / "runs", "--out", tmp_path, "--sample", sample, "--name", "mine")
    ens("blend", *words, "--metric", metric)
    cells = [row["label"] for row in read_csv(tmp_path / "mine.csv")[1]]
    assert all((cell in "01") != is_share for cell in cells)


@pytest.mark.parametrize(("metric", "is_told"), [("accuracy", True), ("f1", False)])
def test_a_positive_class_that_changes_nothing_is_told(
    metric, is_told, tmp_path, fake_run, made_up, rng, ens
):
    for name in ("a-1-s0", "b-1-s0"):
        fake_run(tmp_path / "runs", name, predictions=made_up(rng, 40, CLASSES))
    words = ("--metric", metric, "--positive", "bee", "--runs", tmp_path / "runs")
    out = ens("blend", *words, "--out", tmp_path, "--name", "mine")
    told = (
        "the positive class 'bee' changes nothing: the cells are class_name, and accuracy does not"
    )
    assert (told in " ".join(out.split())) == is_told
    assert ("--positive changes nothing" in ens("compare", "a", "b", *words)) == is_told


@pytest.fixture
def imported_labels(tmp_path, rng):
    """The words of `ens blend` for an imported run of labels and a sample of zeros for each."""
    true = rng.integers(0, 2, (60, 2))
    for name, n in (("v", 60), ("t", 6)):
        probs = np.clip(true[:n] * 0.5 + rng.uniform(0.1, 0.4, (n, 2)), 0, 1)
        ids = np.array(IDS if name == "t" else [f"v{i}" for i in range(n)])
        targets = true.astype(np.uint8) if name == "v" else None
        Predictions(ids, CLASSES, probs, targets, target="labels").save(tmp_path / f"{name}.npz")
    store = RunStore(tmp_path / "runs")
    import_run("mine", "vit", tmp_path / "v.npz", tmp_path / "t.npz", store)
    sample = tmp_path / "sample.csv"
    sample.write_text("id,bee,ant\n" + "".join(f"{name},0,0\n" for name in IDS))
    words = ("blend", "--runs", store.root, "--out", tmp_path, "--name", "mine", "--sample", sample)
    return words, tmp_path / "mine.csv"


def test_zeros_for_labels_mean_what_the_metric_of_the_command_scores(
    imported_labels, ens, failing_ens
):
    words, path = imported_labels
    assert "--answer probabilities" in failing_ens(1, *words)
    ens(*words, "--metric", "f2_samples", "--force")
    assert {row["ant"] for row in read_csv(path)[1]} <= {"0", "1"}
    ens(*words, "--metric", "roc_auc", "--force")
    assert all(0.05 < float(row["ant"]) < 0.95 for row in read_csv(path)[1])


@pytest.mark.parametrize("cells", ["[]", "['ant', 'bee']", '{"ant"}'])
def test_cells_that_are_lists_of_a_language_are_refused(imported_labels, cells, failing_ens, ens):
    words, path = imported_labels
    quoted = cells.replace('"', '""')
    words[-1].write_text("id,tags\n" + "".join(f'{name},"{quoted}"\n' for name in IDS))
    assert "its cells are lists, such as" in failing_ens(1, *words)
    ens(*words, "--answer", "labels")
    assert {row["tags"] for row in read_csv(path)[1]} <= {"", "ant", "bee", "ant bee", "ant, bee"}
