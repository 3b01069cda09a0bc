"""Runs on disk: finished means run.json, and what cannot be trusted is named."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ensemble
from ensemble.errors import DamagedError, RunError
from ensemble.predictions import Predictions
from ensemble.runs import Listing, Run, RunStore, read_run

NOTHING = Listing([], [], [])

HOLD = """
import sys
from ensemble.runs import RunStore
with RunStore(sys.argv[1]).lock(sys.argv[2], wait=False) as got:
    print(got, flush=True)
    sys.stdin.read()
"""


def rewrite(run, **values):
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return path


def test_a_finished_run_is_read_as_it_was_published(tmp_path, fake_run):
    run = fake_run(tmp_path, "flowers_vgg19-12345678-s0", accuracy=0.95, arch="vgg19")
    stored = RunStore(tmp_path).get("flowers_vgg19-12345678-s0")
    assert stored == run
    assert stored.scores.accuracy == 0.95
    assert stored.valid().targets is not None
    assert stored.test().targets is None
    assert stored.total_seconds == 2.5
    assert (stored.folder / "run.json").read_text() == stored.to_json()
    assert sorted(file.name for file in stored.folder.iterdir()) == [
        "run.json",
        "test.npz",
        "valid.npz",
    ]


def test_finished_runs_come_sorted_and_by_pattern(tmp_path, fake_run):
    for name in ("b_x-1-s0", "a_y-2-s1", "a_y-2-s0", "a_yy-3-s0"):
        fake_run(tmp_path, name)
    store = RunStore(tmp_path)
    assert [run.id for run in store.finished()] == ["a_y-2-s0", "a_y-2-s1", "a_yy-3-s0", "b_x-1-s0"]
    assert [run.id for run in store.finished(["a_y"])] == ["a_y-2-s0", "a_y-2-s1"]
    assert [run.id for run in store.finished(["b_*", "*-s1"])] == ["a_y-2-s1", "b_x-1-s0"]
    assert store.finished(["A_*"]) == []


def test_a_folder_without_run_json_is_invisible(tmp_path, fake_run):
    run = fake_run(tmp_path, "a-1-s0")
    (run.folder / "run.json").unlink()
    assert RunStore(tmp_path).all() == NOTHING
    assert RunStore(tmp_path / "nowhere").all() == NOTHING


def test_a_run_that_is_not_there_is_told_with_the_nearest_ones(tmp_path, fake_run):
    fake_run(tmp_path, "cifar10_densenet-7f3a2c19-s0")
    with pytest.raises(
        RunError, match=r"is not a finished run in .*\nnearest: cifar10_densenet-7f3a2c19-s0"
    ):
        RunStore(tmp_path).get("cifar10_densnet-7f3a2c19-s0")
    with pytest.raises(RunError, match="`ens runs` lists what is in"):
        RunStore(tmp_path).get("zzz")
    with pytest.raises(RunError, match="is not a finished run"):
        RunStore(tmp_path).get("x" * 5000)


def test_a_folder_of_runs_that_is_none_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="nowhere: there is no such folder; --runs DIR or ENS_RUNS"):
        RunStore(tmp_path / "nowhere").get("a")
    with pytest.raises(RunError, match="file: it is a file"):
        RunStore(tmp_path / "file").get("a")
    with (
        pytest.raises(
            RunError, match=r"file.*cannot be written \(Not a directory\)\na file is in the way"
        ),
        RunStore(tmp_path / "file").lock("a", wait=False),
    ):
        pass


@pytest.mark.parametrize("outside", ["../other/a-1-s0", "..\\other\\a-1-s0", "sub/a-1-s0"])
def test_a_run_outside_the_store_is_not_read(outside, tmp_path, fake_run):
    fake_run(tmp_path / "other", "a-1-s0")
    fake_run(tmp_path / "runs" / "sub", "a-1-s0")
    with pytest.raises(RunError, match="is not a finished run"):
        RunStore(tmp_path / "runs").get(outside)


def test_the_store_is_where_it_is_told_else_ens_runs_else_runs(tmp_path, fake_run, monkeypatch):
    assert RunStore().root == Path("runs")
    monkeypatch.setenv("ENS_RUNS", str(tmp_path / "mine"))
    run = fake_run(tmp_path / "mine", "a-1-s0")
    assert Run.load("a-1-s0") == run
    assert RunStore(tmp_path / "other").root == tmp_path / "other"


DAMAGES = {
    "empty": (b"", "cannot be read"),
    "half": (b'{"format": 1, "id": "a-', "cannot be read"),
    "binary": (b"\xff\xfe\x00", "cannot be read"),
    "a list": (b"[1, 2]", "not a run"),
    "very deep": (b"[" * 200_000, "cannot be read"),
    "a number of 5000 digits": (b'{"format": ' + b"1" * 5000 + b"}", "cannot be read"),
    "no format": (b"{}", "format None, this version reads 1 and 2"),
    "nothing else": (b'{"format": 1}', "is missing or wrong"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_run_json_is_named_and_hides_no_other_run(case, tmp_path, fake_run):
    good, bad = fake_run(tmp_path, "good-1-s0"), fake_run(tmp_path, "bad-1-s0")
    content, message = DAMAGES[case]
    (bad.folder / "run.json").write_bytes(content)
    listing = RunStore(tmp_path).all()
    runs, damaged = listing.runs, listing.damaged
    assert runs == [good]
    assert [damage.folder for damage in damaged] == [bad.folder]
    assert damaged[0].reason.startswith(f"{bad.folder / 'run.json'}: ")
    assert message in damaged[0].reason
    assert damaged[0].reason.count("\n") < 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"format": 3},
            "format 3, this version reads 1 and 2; use the version of ens that wrote it, or train again",
        ),
        (
            {"id": "b-1-s0"},
            "says it is 'b-1-s0'; the folder was renamed: "
            "give it that name again, or remove it if it is a copy",
        ),
        (
            {"scores": {"accuracy": float("nan"), "log_loss": 1}},
            "scores.accuracy is missing or wrong",
        ),
        ({"scores": {"accuracy": 0.9}}, "scores.log_loss is missing or wrong"),
        ({"data": "made-up"}, "data is missing or wrong"),
        ({"training": {}}, "training.preprocessing is missing or wrong"),
        ({"classes": None}, "classes is missing or wrong"),
    ],
)
def test_an_edited_run_json_is_refused_with_the_key(values, message, tmp_path, fake_run):
    path = rewrite(fake_run(tmp_path, "a-1-s0"), **values)
    with pytest.raises(DamagedError) as refused:
        read_run(path)
    assert str(refused.value) == f"{path}: {message}"


def test_a_renamed_folder_is_refused(tmp_path, fake_run):
    fake_run(tmp_path, "a-1-s0").folder.rename(tmp_path / "b-1-s0")
    with pytest.raises(
        DamagedError, match="b-1-s0/run.json: says it is 'a-1-s0'; the folder was renamed"
    ):
        RunStore(tmp_path).get("b-1-s0")


def test_keys_of_a_later_version_are_passed_over(tmp_path, fake_run):
    run = fake_run(tmp_path, "a-1-s0")
    assert read_run(rewrite(run, folder="/elsewhere", invented_later=1)) == run


def test_changed_and_missing_predictions_and_validation_without_targets_are_damage(
    tmp_path, rng, fake_run, made_up
):
    run = fake_run(tmp_path, "a-1-s0")
    valid = made_up(rng)
    Predictions(valid.ids, valid.classes, valid.probs).save(run.folder / "valid.npz")
    with pytest.raises(
        DamagedError, match=r"valid.npz: is not the file that run.json was written for"
    ):
        run.valid()
    with pytest.raises(DamagedError, match="valid.npz: has no targets"):
        run.model_copy(update={"files": {}}).valid()
    (run.folder / "test.npz").unlink()
    with pytest.raises(DamagedError, match="test.npz: is missing"):
        run.test()


def test_a_run_is_locked_for_others_until_its_holder_is_killed(tmp_path):
    store = RunStore(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path), "a-1-s0"]
    root = Path(ensemble.__file__).parents[1]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root
    ) as holder:
        assert holder.stdout.readline() == "True\n"
        with store.lock("a-1-s0", wait=False) as got:
            assert not got
        with store.lock("b-1-s0", wait=False) as got:
            assert got
        again = subprocess.run(
            command, input="", capture_output=True, text=True, cwd=root, timeout=60
        )
        assert again.stdout == "False\n"
        holder.send_signal(signal.SIGKILL)
        with store.lock("a-1-s0", wait=True) as got:
            assert got


def test_a_lock_is_free_again_after_an_error_and_is_no_run(tmp_path):
    store = RunStore(tmp_path)

    def fail():
        with store.lock("a-1-s0", wait=False) as got:
            assert got
            raise ValueError("in the middle of training")

    with pytest.raises(ValueError, match="middle"):
        fail()
    with store.lock("a-1-s0", wait=False) as got:
        assert got
    assert store.all() == NOTHING


def test_a_place_that_cannot_hold_a_lock_is_told(tmp_path):
    store, name = RunStore(tmp_path / "runs"), "x" * 300
    with (
        pytest.raises(
            RunError, match=r"cannot lock x+ there \(File name too long\); try --runs on a"
        ),
        store.lock(name, wait=False),
    ):
        pass
