"""SIGKILL at random moments: finished runs stay whole, nothing half-done is used, what goes on ends as if nothing was.

`make stress` kills 60 times (ENS_KILLS) and prints where; the suite a few times.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ensemble.runs import RunStore

N_KILLS = int(os.environ.get("ENS_KILLS", "3"))
LONG = (
    8 if N_KILLS >= 30 else 1
)  # times as many epochs, so that most kills hit training and not the start
BASE = """
data: {{source: folder, path: {images}, valid: 0.2, test: 0.2, size: 48}}
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: {epochs}, lr: 0.003, batch_size: 16}}
"""
RECIPES = {
    "plain": "",
    "phases": f"fit: {{strategy: fine_tune, frozen_epochs: {4 * LONG}, epochs: {6 * LONG}}}\nrefit: true\n",
    "folds": f"data: {{valid: {{folds: 3}}}}\nfit: {{epochs: {5 * LONG}, ema: 0.9}}\n",
}
STORED = ("model.safetensors", "valid.npz", "test.npz", "refit.safetensors", "test_refit.npz")


@dataclass
class Stress:
    """One folder in which commands are killed; seen remembers the bytes of every finished run."""

    folder: Path
    random: random.Random
    seen: dict[str, str] = field(default_factory=dict)
    where: Counter[str] = field(default_factory=Counter)

    def start(self, *arguments):
        """A command in the folder, its stderr in a file."""
        environment = os.environ | {"ENS_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"}
        with (self.folder / "stderr").open("w") as stderr:
            return subprocess.Popen(
                [sys.executable, "-m", "ensemble", *arguments],
                cwd=self.folder,
                env=environment,
                stderr=stderr,
                stdout=subprocess.DEVNULL,
            )

    @property
    def stderr(self):
        """What the last command said."""
        return (self.folder / "stderr").read_text()

    def ran(self, *arguments):
        """The exit status of a command that is left alone; it never ends in a traceback."""
        with self.start(*arguments) as process:
            status = process.wait(300)
        assert "Traceback" not in self.stderr
        return status

    def killed(self, latest, *arguments):
        """Kill a command at a random moment up to `latest` seconds; whether it was still running."""
        with self.start(*arguments) as process:
            try:
                process.wait(self.random.uniform(0, latest))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
        assert "Traceback" not in self.stderr
        return process.returncode == -signal.SIGKILL

    def check(self):
        """Finished runs have the bytes they had when they were first seen; listing and blending never crash."""
        store = RunStore(self.folder / "runs")
        assert store.all(check=True).damaged == []
        for run in store.finished():
            for part in run.folds:
                for name in STORED:
                    if name in part.files:
                        own = hashlib.sha256((part.folder / name).read_bytes()).hexdigest()
                        assert own == part.files[name]
                        assert self.seen.setdefault(f"{part.id}/{name}", own) == own
        assert self.ran("runs") == 0


@pytest.fixture
def stress(tmp_path, tiny_images):
    """A folder with three recipes about the same 60 images."""
    tiny_images(tmp_path / "images" / "train")
    (tmp_path / "x.base.yaml").write_text(BASE.format(images=tmp_path / "images", epochs=12 * LONG))
    for name, text in RECIPES.items():
        (tmp_path / f"{name}.yaml").write_text(f"base: x.base.yaml\n{text}")
    return Stress(tmp_path, random.Random(os.environ.get("ENS_KILL_SEED", "0")))


@pytest.mark.slow
def test_whatever_is_killed_nothing_finished_is_lost_and_all_ends_with_the_same_bytes(stress):
    recipes = [f"{name}.yaml" for name in RECIPES]
    started = time.monotonic()
    assert stress.ran("train", *recipes) == 0
    duration = time.monotonic() - started
    stress.check()
    whole = dict(stress.seen)
    n_kills = rounds = 0
    while n_kills < N_KILLS:
        rounds += 1
        (stress.folder / "runs").rename(stress.folder / f"runs-{rounds}")
        (stress.folder / "cache").rename(stress.folder / f"cache-{rounds}")
        while n_kills < N_KILLS and stress.killed(1.3 * duration / len(recipes), "train", *recipes):
            n_kills += 1
            stress.where[_stage(stress.stderr)] += 1
            stress.check()
        assert stress.ran("train", *recipes) == 0
        stress.check()
        assert stress.seen == whole
        for _ in range(max(1, N_KILLS // 10)):
            n_kills += stress.killed(0.8, "blend")
            stress.where["blending"] += 1
            assert stress.ran("blend") == 0
            for manifest in (stress.folder / "submissions").glob("*.json"):
                assert stress.ran("verify", str(manifest.with_suffix(".csv"))) == 0
    left = [
        path.name
        for path in (stress.folder / "submissions").iterdir()
        if path.suffix not in (".csv", ".json")
    ]
    assert len(left) <= n_kills
    print(f"\n{n_kills} kills in {rounds} rounds: {dict(stress.where.most_common())}; nothing lost")


def _stage(stderr):
    """What a training was doing by the last line it printed."""
    last = ([line.strip() for line in stderr.splitlines() if line.strip()] or ["starting"])[-1]
    signs = {
        "resuming": "resuming",
        "epoch": "training",
        "phase": "training",
        "refit": "refit",
        "finished": "between runs",
        "random weights": "set up",
        "[": "data and caching",
    }
    for sign, stage in signs.items():
        if last.startswith(sign) or f" {sign} " in f" {last} ":
            return stage
    return "start-up"
