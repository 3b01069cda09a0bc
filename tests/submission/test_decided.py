"""Submissions answered by a learned decision: the manifest gives them back, nothing else does."""

import csv
import io
import json

import numpy as np
import pytest

from ensemble.blending import Options, make_blend
from ensemble.errors import SubmissionError
from ensemble.files import sha256
from ensemble.metrics.decision import MOST_PROBABLE
from ensemble.predictions import aligned
from ensemble.runs import RunStore
from ensemble.runs.imported import import_run
from ensemble.submission import write_submission
from ensemble.submission.manifest import read_manifest
from ensemble.submission.verify import verified

SHARES = np.array([0.55, 0.25, 0.12, 0.08])
RULES = {
    "f1_macro": "expected gain",
    "balanced_accuracy": "expected gain",
    "quadratic_kappa": "cut points",
    "f1": "threshold",
}


def model_probs(rng, common, targets, shares, is_ordinal):
    """Probabilities (rows, classes) of a calibrated model, of grades or of classes without order."""
    n_classes = len(shares)
    if is_ordinal:
        seen = targets + common[:, 0] + 0.5 * rng.normal(size=len(targets))
        logs = -((seen[:, None] - np.arange(n_classes)) ** 2)
    else:
        logs = common + 0.5 * rng.normal(size=(len(targets), n_classes))
        logs[np.arange(len(targets)), targets] += 1.2
        logs *= 1.2
    probs = np.exp(logs) * shares
    return probs / probs.sum(1, keepdims=True)


@pytest.fixture
def blend_by(tmp_path):
    """blend_by(metric, decision, order): a blend of two imported runs, and its store.

    order shuffles the rows and the classes of every file.
    """

    def blend_by(metric, decision="learned", order=None):
        folder = tmp_path / f"{metric}-{decision}-{order}"
        folder.mkdir()
        rng, shares = np.random.default_rng(0), SHARES[: 2 if metric == "f1" else 4]
        shares, store = shares / shares.sum(), RunStore(folder / "runs")
        columns = np.arange(len(shares))
        data = {}
        for split, n in (("valid", 800), ("test", 150)):
            targets = rng.choice(len(shares), n, p=shares)
            data[split] = targets, rng.normal(size=(n, len(shares)))
        for name in ("first", "second"):
            files = []
            for split, (targets, common) in data.items():
                probs = model_probs(rng, common, targets, shares, metric == "quadratic_kappa")
                ids = np.array([f"{split}{i:03d}" for i in range(len(targets))])
                row = np.arange(len(ids))
                if order is not None:
                    shuffled = np.random.default_rng(order)
                    columns, row = shuffled.permutation(columns), shuffled.permutation(row)
                content = {"ids": ids[row], "classes": columns.astype(str)}
                content["probs"] = probs[row][:, columns]
                if split == "valid":
                    content["targets"] = np.argsort(columns)[targets[row]]
                files.append(folder / f"{name}-{split}.npz")
                np.savez(files[-1], **content)
            import_run(name, name, *files, store, "grades")
        positive = "1" if metric == "f1" else None
        options = Options(metric=metric, decision=decision, weights="equal")
        return make_blend(store.finished(), options, positive=positive), store

    return blend_by


def written(blend, folder, answer="class_name"):
    sample = folder / "sample.csv"
    ids = "".join(f"test{i:03d},0\n" for i in range(150))
    sample.write_text("id,label\n" + ids)
    return write_submission(blend, folder / "submissions", chosen=sample, answer=answer)


def labels_of(path):
    return [row[1] for row in csv.reader(io.StringIO(path.read_text()))][1:]


def mean_of_members(store):
    members = {run.id: run.test for run in store.finished()}
    return np.mean([member.canonical().probs for member in aligned(members)], axis=0)


@pytest.mark.parametrize("metric", RULES)
def test_the_csv_holds_the_decisions_answers_and_the_manifest_gives_them_back(
    metric, blend_by, tmp_path
):
    blend, store = blend_by(metric)
    submission = written(blend, tmp_path)
    manifest = read_manifest(submission.manifest)
    decision = blend.mixture.decision
    assert decision.rule == RULES[metric]
    assert manifest.mixture == blend.mixture
    assert manifest.content["options"]["decision"] == "learned"
    probs = mean_of_members(store)
    assert labels_of(submission.path) == decision.apply(probs).astype(str).tolist()
    assert labels_of(submission.path) != probs.argmax(1).astype(str).tolist()
    assert len(verified(submission.path, store).runs) == 2
    score = blend.in_sample[metric]
    assert score == pytest.approx(blend.valid.fitted_score)
    assert score > blend_by(metric, "plain")[0].in_sample[metric]


def test_verify_refuses_the_most_probable_classes_where_the_manifest_has_a_decision(
    blend_by, tmp_path
):
    blend, store = blend_by("f1_macro")
    path = written(blend, tmp_path).path
    probs = mean_of_members(store)
    learned, plain = blend.mixture.decision.apply(probs), probs.argmax(1)
    first = int(np.flatnonzero(learned != plain)[0])
    header, *lines = path.read_text().splitlines()
    rows = [f"{line.split(',')[0]},{label}" for line, label in zip(lines, plain, strict=True)]
    path.write_text("\n".join([header, *rows]) + "\n")
    manifest = path.with_suffix(".json")
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | {"csv_sha256": sha256(path)}))
    expected = f"line {first + 2} is 'test{first:03d},{plain[first]}', its members give"
    with pytest.raises(SubmissionError, match=expected):
        verified(path, store)
    content["decision"] = {"rule": "most probable"}
    manifest.write_text(json.dumps(content | {"csv_sha256": sha256(path)}))
    assert len(verified(path, store).runs) == 2


@pytest.mark.parametrize("metric", ["f1_macro", "quadratic_kappa"])
def test_the_order_of_rows_and_classes_in_the_files_changes_no_byte(metric, blend_by, tmp_path):
    texts = []
    for order in (None, 1):
        (tmp_path / str(order)).mkdir()
        blend, _ = blend_by(metric, order=order)
        assert blend.mixture.decision != MOST_PROBABLE
        texts.append(written(blend, tmp_path / str(order)).path.read_bytes())
    assert texts[0] == texts[1]


def test_the_check_of_a_suspicious_file_gets_the_accuracy_of_the_answers(blend_by, tmp_path):
    """balanced_accuracy gives up accuracy, so that answers agree less with those of another blend."""
    learned, plain = (blend_by("balanced_accuracy", kind)[0] for kind in ("learned", "plain"))
    content = read_manifest(written(learned, tmp_path).manifest).content
    accuracy = content["scores"]["cross_fitted"]["accuracy"]["value"]  # which `recheck` reads
    assert accuracy == learned.valid.accuracy.value
    assert accuracy < plain.valid.accuracy.value - 0.02
    assert accuracy == pytest.approx(learned.in_sample["accuracy"], abs=0.02)


def test_cells_of_probabilities_are_those_of_the_plain_blend(blend_by, tmp_path):
    texts = []
    for kind in ("learned", "plain"):
        (tmp_path / kind).mkdir()
        blend, store = blend_by("f1", kind)
        submission = written(blend, tmp_path / kind, "positive_probability")
        assert submission.is_decision_unused == (kind == "learned")
        assert len(verified(submission.path, store).runs) == 2
        texts.append(submission.path.read_bytes())
    assert texts[0] == texts[1]
