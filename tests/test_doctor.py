"""`ens doctor`: each line says what works; what is missing comes with a fix; no secret is ever shown."""

import json
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import ensemble
from ensemble import doctor

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


def test_the_tested_versions_are_those_of_the_constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    pinned = {name.lower(): version for name, version in (line.split("==") for line in lines)}
    assert {name: pinned[name] for name in doctor.TESTED} == doctor.TESTED


def test_untested_versions_are_named_with_the_tested_ones(monkeypatch):
    monkeypatch.setattr(
        doctor, "version", lambda name: "9.9+cu1" if name == "torch" else doctor.TESTED[name]
    )
    finding = doctor._versions()
    assert (finding.state, finding.text) == ("note", "torch 9.9 (tested 2.15.0)")


def test_a_missing_library_is_bad(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", missing)
    assert doctor._versions().state == "bad"


def test_credentials_are_found_and_never_shown(tmp_path, monkeypatch):
    assert "no credentials" in doctor._kaggle().text
    folder = tmp_path / ".kaggle"
    folder.mkdir()
    (folder / "kaggle.json").write_text('{"username": "u", "key": "secret"}')
    (folder / "kaggle.json").chmod(0o644)
    readable = doctor._kaggle()
    assert readable.fix == f"chmod 600 {folder / 'kaggle.json'}"
    (folder / "kaggle.json").chmod(0o600)
    private = doctor._kaggle()
    assert private.state == "good"
    monkeypatch.setenv("KAGGLE_API_TOKEN", "secret")
    assert "secret" not in str([readable, private, doctor._kaggle()])


def test_cached_weights_are_counted(tmp_path):
    (tmp_path / ".cache" / "huggingface" / "hub" / "models--timm--resnet18.a1_in1k").mkdir(
        parents=True
    )
    assert "1 networks cached (resnet18.a1_in1k)" in doctor._weights().text


def test_damaged_runs_and_a_wrong_ens_data_are_reported(tmp_path, fake_run, monkeypatch):
    fake_run(tmp_path / "runs", "a-1-s0")
    (fake_run(tmp_path / "runs", "b-1-s0").folder / "run.json").write_text("{")
    finding = doctor._runs(None)
    assert (finding.state, finding.text) == ("note", "1 finished in runs, 1 damaged")
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "nowhere"))
    assert doctor._images().state == "bad"


def test_low_memory_and_disk_come_with_a_way_out(monkeypatch):
    monkeypatch.setattr(doctor, "free_memory", lambda: 10**9)
    assert "batch_size" in doctor._memory().fix
    monkeypatch.setattr(doctor, "FREE_DISK", 10**18)
    assert "ENS_RUNS" in doctor._disk().fix


def test_a_driver_that_torch_does_not_see_is_bad(monkeypatch):
    accelerator = pytest.importorskip("ensemble.learn.accelerator")
    cpu = accelerator.Accelerator("cpu (AVX2)", "fp32", 2, "13.0", "", 0, 0, "")
    monkeypatch.setattr(accelerator, "accelerator", lambda: cpu)
    monkeypatch.setattr(doctor, "gpu_driver", lambda: "NVIDIA driver 1.2")
    (finding,) = doctor._accelerator()
    assert (finding.state, "does not see a GPU" in finding.text) == ("bad", True)
    gpu = accelerator.Accelerator("card", "bf16", 2, "13.0", "9.0", 2 * 2**30, 80 * 2**30, "")
    monkeypatch.setattr(accelerator, "accelerator", lambda: gpu)
    assert [finding.state for finding in doctor._accelerator()] == ["good", "note", "good"]


def test_the_command_shows_a_line_each_and_json_alone(ens):
    lines, findings = ens("doctor"), json.loads(ens("doctor", "--json"))
    first, second, *_ = lines.splitlines()
    assert first.split() == ["ok", "ens", ensemble.__version__]
    assert re.match(r"(ok|note)\s+Python", second)
    assert "next:  ens quickstart" in lines
    assert all(finding.keys() == {"name", "state", "said", "fix"} for finding in findings)
    assert {finding["name"] for finding in findings} >= {"ens", "Python", "disk", "GPU", "Kaggle"}
