"""Damaged results: `ens runs` names them with the reason, `ens blend` refuses them or leaves them out when told to."""

import json

import numpy as np
import pytest

from ensemble.files import sha256
from ensemble.predictions import Predictions
from ensemble.runs import RunStore, publish


def rewrite(run, **values):
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def truncate(run):
    (run.folder / "valid.npz").write_bytes((run.folder / "valid.npz").read_bytes()[:-200])


def lose_weights(run):
    publish(run.model_copy(update={"files": run.files | {"model.safetensors": "0" * 64}}))


def replaced(change):
    """A valid.npz that some other program wrote, with its hash in run.json."""

    def damage(run):
        valid = run.valid()
        arrays = change(
            {
                "ids": valid.ids,
                "classes": np.array(valid.classes),
                "probs": valid.probs.copy(),
                "targets": valid.targets,
            }
        )
        np.savez(run.folder / "valid.npz", **arrays)
        publish(
            run.model_copy(
                update={"files": run.files | {"valid.npz": sha256(run.folder / "valid.npz")}}
            )
        )

    return damage


def spoilt(arrays, row, probability):
    arrays["probs"][row] = probability
    return arrays


DAMAGES = {
    "truncated npz": (truncate, "is not the file that run.json was written for"),
    "npz gone": (lambda run: (run.folder / "test.npz").unlink(), "test.npz: is missing"),
    "weights gone": (lose_weights, "model.safetensors: is missing"),
    "NaN": (replaced(lambda a: spoilt(a, 3, np.nan)), "are NaN or infinite"),
    "rows do not sum to 1": (replaced(lambda a: spoilt(a, 3, 0.9)), "sum to 2.7000, not 1"),
    "wrong shape": (
        replaced(lambda a: a | {"probs": a["probs"][:, :2]}),
        "probs is float32 (200, 2), expected",
    ),
    "no targets": (
        replaced(lambda a: {k: v for k, v in a.items() if k != "targets"}),
        "has no targets",
    ),
    "other predictions": (
        replaced(lambda a: a | {"probs": a["probs"][::-1]}),
        "states accuracy 0.9000, valid.npz has",
    ),
    "edited score": (
        lambda run: rewrite(run, scores={"accuracy": 0.999, "log_loss": 0.01}),
        "states accuracy 0.9990, valid.npz has 0.9000",
    ),
    "edited id": (lambda run: rewrite(run, id="other-1-s0"), "says it is 'other-1-s0'"),
    "later format": (lambda run: rewrite(run, format=99), "format 99, this version reads 1"),
    "half a run.json": (
        lambda run: (run.folder / "run.json").write_text('{"format": 1,'),
        "cannot be read",
    ),
}


@pytest.fixture
def ens(tmp_path, monkeypatch, run_ens):
    """ens(*words): exit status, stdout and stderr of this command in tmp_path, each as one line."""
    monkeypatch.chdir(tmp_path)

    def ens(*words):
        status, out, err = run_ens(*words)
        return status, " ".join(out.split()), " ".join(err.split())

    return ens


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_listed_with_its_reason_refused_and_left_out_only_when_told(
    damage, reason, ens, fake_run
):
    for name in ("good_a-1-s0", "bad-1-s0", "good_b-1-s0"):
        fake_run("runs", name)
    damage(RunStore("runs").get("bad-1-s0"))
    status, out, _ = ens("runs")
    assert status == 0
    assert "damaged:" in out
    assert reason in out
    assert "good_a-1-s0" in out
    status, _, err = ens("blend")
    assert status == 1
    assert reason in err
    assert "--skip-damaged" in err
    status, out, err = ens("blend", "--skip-damaged")
    assert status == 0
    assert reason in err
    assert "2 runs on made-up" in out


def test_a_damaged_run_that_no_pattern_means_does_not_stop_a_blend(ens, fake_run):
    fake_run("runs", "good_a-1-s0")
    truncate(fake_run("runs", "bad-1-s0"))
    (RunStore("runs").folder("bad-1-s0") / "run.json").write_text("{")
    assert ens("blend", "good_*")[0] == 0
    assert ens("blend", "bad")[0] == 1
    assert ens("blend", "bad*")[0] == 1
    assert ens("blend")[0] == 1


@pytest.mark.parametrize("options", [(), ("--splits",)])
def test_a_comparison_never_leaves_out_a_damaged_seed_without_a_word(options, ens, fake_run):
    for name in ("a-1-s0", "a-1-s1", "b-1-s0"):
        fake_run("runs", name)
    (RunStore("runs").folder("a-1-s1") / "run.json").write_text("{")
    status, _, err = ens("compare", "a", "b", *options)
    assert status == 1
    assert "a-1-s1/run.json: cannot be read" in err
    assert "train it again with --force" in err


def test_predictions_of_a_good_run_pass_the_check(fake_run, tmp_path):
    run = fake_run(tmp_path, "good-1-s0")
    run.check()
    assert isinstance(run.valid(), Predictions)


@pytest.mark.parametrize("damage", ["npz gone", "edited id", "half a run.json"])
def test_a_command_that_needs_a_damaged_run_says_what_to_do(damage, ens, fake_run):
    fake_run("runs", "bad-1-s0")
    DAMAGES[damage][0](RunStore("runs").get("bad-1-s0"))
    status, _, err = ens("predict", ".", "--run", "bad-1-s0", "--out", "new.csv")
    assert status == 1
    assert DAMAGES[damage][1] in err
    assert err.endswith("copy the run again from its source, or train it again with --force")
