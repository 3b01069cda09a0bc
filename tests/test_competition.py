"""A competition from the folder to the final picks: the lines of docs/competitions.md against a
local Kaggle.
"""

import re
import shlex
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ensemble.inference.inputs import input_images
from ensemble.runs import RunStore
from ensemble.submission.csv_answers import answers
from ensemble.submission.ledger import Ledger

PAGE = (Path(__file__).parents[1] / "docs" / "competitions.md").read_text(encoding="utf-8")
COMMANDS = re.search(r"## All steps\n.*?```\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
BIRDS = {"crow": (50, 50, 60), "finch": (190, 150, 60), "heron": (130, 150, 190)}

torch.set_num_threads(1)


def unpack_competition(folder):
    """labels.csv, train/, test/, sample_submission.csv of 72 + 30 images of 32 px; returns the
    hidden labels.
    """
    rng, truth, labels = np.random.default_rng(0), {}, ["id,species"]
    for split, n in (("train", 72), ("test", 30)):
        (folder / split).mkdir(parents=True)
        for i in range(n):
            name, species = f"{split}_{i:03d}", list(BIRDS)[i % 3]
            colour = np.array(BIRDS[species]) + rng.normal(
                0, 40, 3
            )  # so that no network knows them all
            pixels = (colour + rng.normal(0, 60, (32, 32, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{name}.png")
            if split == "train":
                labels.append(f"{name},{species}")
            else:
                truth[name] = species
    (folder / "labels.csv").write_text("\n".join(labels) + "\n")
    cells = ",0.34,0.33,0.33\n"
    (folder / "sample_submission.csv").write_text(
        "id,heron,finch,crow\n" + "".join(name + cells for name in truth)
    )
    return truth


def make_smaller():
    """Edit the recipes as a user may: fewer epochs, no range tests."""
    for path in Path("recipes").glob("birds_*.yaml"):
        text = re.sub(r"epochs: \d+", "epochs: 6", path.read_text())
        path.write_text(re.sub(r"lr: find .*", "lr: 0.01", text))


def test_the_readmes_competition_runs_line_by_line(tmp_path, monkeypatch, ens, kaggle_site):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("builtins.input", lambda: "y")
    kaggle_site.truth = unpack_competition(Path("birds"))
    sample = Path("birds/sample_submission.csv").read_bytes()
    shown = {}
    for line in COMMANDS:
        command, *arguments = shlex.split(line)
        assert command == "ens"
        shown[line] = ens(*arguments)
        if arguments[0] == "init":
            make_smaller()

    by_command = {line.split()[1]: out for line, out in shown.items()}
    runs = RunStore().finished()
    assert sum(run.search == "" for run in runs) == 2  # three folds are one run
    assert {run.n_folds for run in runs} == {3}
    assert "no unreadable files" in by_command["inspect"]
    assert "same bytes when computed again" in by_command["verify"]

    assert [upload["text"] for upload in kaggle_site.submissions] == [
        Path(f"submissions/{name}.csv").read_text() for name in ("first", "second")
    ]
    entries = Ledger(Path("submissions")).entries()
    assert [(entry.file, entry.competition, entry.metric) for entry in entries] == [
        ("first.csv", "birds", "log_loss"),
        ("second.csv", "birds", "log_loss"),
    ]
    for entry, sent in zip(entries, kaggle_site.submissions, strict=True):
        assert (entry.status, entry.public) == (
            "complete",
            kaggle_site.scored(sent["text"])["publicScore"],
        )
        assert entry.log_loss_low < entry.log_loss < entry.log_loss_high
        assert f"{entry.file}: public score {entry.public}" in "".join(shown.values())
        assert entry.public in by_command["runs"]
    assert "first final pick: " in by_command["runs"]
    assert Path("birds/sample_submission.csv").read_bytes() == sample

    assert input_images([Path("birds/test")])[0] == sorted(kaggle_site.truth)
    assert answers(Path("birds_test.csv").read_text()) == answers(
        Path("submissions/second.csv").read_text()
    )
