"""`inference.ipynb`: finds the images, installs the wheels beside it, predicts, writes the CSV."""

import json
from typing import Any

from ensemble.submission.manifest import Manifest

FORMAT = {"nbformat": 4, "nbformat_minor": 5}
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}

INTRO = """# {name}

A blend of {members} by ens {version}.

On Kaggle: add this folder as a data set, and the competition's data; a GPU if there is one, internet
off; run all cells. Elsewhere: set `IMAGES`, or `INPUT` to a folder that holds the images' folder.
"""
SETTINGS = """INPUT = "/kaggle/input"
IMAGES = ""  # a folder of images; "": the folder `{test}` below INPUT
SAMPLE = ""  # a sample submission; "": the one beside the images or above them, if there is one
ROWS = ""  # a table of images and the sample's ids, where these are about several images each
OUT = "submission.csv"
"""
FIND = """from pathlib import Path


def below_input(name):
    patterns = ("*/" * depth + name for depth in range(5))
    return sorted(path for pattern in patterns for path in Path(INPUT).glob(pattern))


def only(paths, setting):
    if len(paths) != 1:
        raise ValueError(f"set {{setting}}: {{len(paths)}} fit: {{', '.join(map(str, paths[:5]))}}")
    return paths[0]


def samples(folder):
    csvs = sorted(folder.glob("*.csv"))
    return [path for path in csvs if "sample" in path.name.lower() and "sub" in path.name.lower()]


here = [Path({manifest!r}).absolute()]
manifests = here if here[0].is_file() else below_input({manifest!r})
bundles = [path.parent for path in manifests if (path.parent / "wheels").is_dir()]
bundle = only(bundles, "INPUT, which has to hold this bundle")
outside = [path for path in below_input({test!r}) if path.is_dir() and bundle not in path.parents]
images = Path(IMAGES) if IMAGES else only(outside, "IMAGES")
folders = [images.absolute(), *images.absolute().parents][:4]
beside = next(filter(None, map(samples, folders)), [])
sample = Path(SAMPLE) if SAMPLE else only(beside, "SAMPLE") if beside else None
print("images:", images)
print("sample submission:", sample or "none, so the columns are id and every class")
"""
INSTALL = """import subprocess
import sys
import tempfile

packages = tempfile.mkdtemp()  # apart: nothing that is installed changes
wheels = sorted(map(str, (bundle / "wheels").glob("*.whl")))
command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
subprocess.run([*command, "--target", packages, *wheels], check=True)
sys.path.insert(0, packages)
"""
PREDICT = """import ensemble

predicted = ensemble.predict(
    images,
    bundle / {manifest!r},
    OUT,
    runs=bundle / "runs",
    sample=sample,
    rows=ROWS or None,
    answer={answer!r},
    positive={positive!r},
    force=True,
    emit=lambda event: print(event.text) if hasattr(event, "text") else None,
)
print(f"{{OUT}}: {{predicted.n_images:,}} images by {{predicted.n_networks}} networks")
for name, reason in predicted.unreadable.items():
    print("unreadable, so it got the shares of the classes:", name, reason)
print(*Path(OUT).read_text().splitlines()[:4], sep="\\n")
"""


def notebook(manifest: Manifest, test_folder: str) -> str:
    """The text of the notebook; test_folder is the name of the folder of new images."""
    meaning = manifest.meaning if manifest.sample else None
    members = [f"`{run_id}` ({weight:.3g})" for run_id, weight in manifest.mixture.weights.items()]
    fields = {
        "name": manifest.path.stem,
        "manifest": manifest.path.name,
        "members": ", ".join(members),
        "version": manifest.content["versions"]["ens"],
        "test": test_folder,
        "answer": meaning and meaning.answer,
        "positive": meaning and meaning.positive,
    }
    cells = [_cell("markdown", 0, INTRO.format(**fields))]
    for i, code in enumerate((SETTINGS, FIND, INSTALL, PREDICT), start=1):
        text = code if code is INSTALL else code.format(**fields)
        cells.append(_cell("code", i, text) | {"execution_count": None, "outputs": []})
    return json.dumps({**FORMAT, "metadata": KERNEL, "cells": cells}, indent=1) + "\n"


def _cell(kind: str, number: int, text: str) -> dict[str, Any]:
    lines = text.rstrip("\n").splitlines(keepends=True)
    return {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": lines}
