"""Disks that are full, folders that cannot be written or are gone: a clear error, and what was finished stays whole."""

import os
import resource
import subprocess
import sys

import pytest

from ensemble.runs import RunStore

TINY = """
data: {{source: folder, path: {images}, valid: 0.2, test: 0.2, size: 32}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: {epochs}, lr: 0.003, batch_size: 16}}
"""


@pytest.fixture
def ens(tmp_path):
    """ens(*arguments, limit): a command in tmp_path whose files may not grow past so many bytes."""

    def ens(*arguments, limit=resource.RLIM_INFINITY):
        environment = os.environ | {"ENS_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "ensemble", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)
            ),
        )

    return ens


@pytest.fixture
def recipe(tmp_path, tiny_images):
    """recipe(epochs): a small recipe about tiny images in tmp_path."""
    tiny_images(tmp_path / "images" / "train")

    def recipe(epochs=1):
        path = tmp_path / "tiny.yaml"
        path.write_text(TINY.format(images=tmp_path / "images", epochs=epochs))
        return path

    return recipe


def error_of(done):
    """The last error of a command that failed as it should."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    return done.stderr.partition("error: ")[2]


def content(folder):
    return {
        path: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".locks" not in str(path)
    }


def test_a_full_disk_is_told_and_leaves_no_half_pixels(ens, recipe, tmp_path):
    for limit in (20_000, 100_000):  # at the beginning, at the end
        told = error_of(ens("train", recipe(), limit=limit))
        assert "cannot be written" in told.splitlines()[0]
        assert content(tmp_path / "runs") == {}
    assert ens("train", recipe()).returncode == 0


def test_a_full_disk_is_told_and_leaves_finished_runs_and_no_half_file(ens, recipe, tmp_path):
    (tmp_path / "warm.yaml").write_text(recipe().read_text())
    assert ens("train", "warm.yaml").returncode == 0
    before = content(tmp_path / "runs")
    for limit in (1_000_000, 3_000_000):  # the network's weights are 1.8 MB, its state 5.4
        told = error_of(ens("train", recipe(epochs=2), limit=limit))
        problem, *ways_out = told.splitlines()
        assert problem.startswith("runs/tiny-")
        assert problem.endswith(": cannot be written (File too large)")
        assert ways_out[0].startswith("free space on that disk")
        assert len(ways_out) == 2
        assert content(tmp_path / "runs") == before
    assert ens("train", recipe(epochs=2)).returncode == 0


def test_a_submission_that_does_not_fit_leaves_none(ens, fake_run, tmp_path):
    fake_run(tmp_path / "runs", "a-1-s0")
    assert "submissions/made-up-" in error_of(ens("blend", limit=100))
    assert list((tmp_path / "submissions").iterdir()) == []


def test_a_file_where_a_folder_should_be_is_named(ens, recipe, fake_run, tmp_path):
    (tmp_path / "taken").write_text("a file")
    assert "taken" in error_of(ens("train", recipe(), "--runs", "taken"))
    fake_run(tmp_path / "runs", "a-1-s0")
    assert "taken" in error_of(ens("blend", "--out", "taken"))


def test_a_runs_folder_that_vanishes_while_training_is_an_error_and_is_made_anew(
    ens, recipe, tmp_path
):
    path = recipe(epochs=300)
    environment = os.environ | {"ENS_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "ensemble", "train", str(path)],
        cwd=tmp_path,
        env=environment,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        next(line for line in process.stderr if "epoch 2:" in line)
        (tmp_path / "runs").rename(tmp_path / "gone")
        process.terminate()
        rest = process.stderr.read()
    assert process.returncode == 143
    assert "Traceback" not in rest
    assert RunStore(tmp_path / "runs").finished() == []
