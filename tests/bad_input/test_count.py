"""How many faults are tried: the tables of this folder, counted, are what docs/reliability.md says."""

import re
import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCUMENT = " ".join(
    (HERE.parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8").split()
)
ROWS = {
    "recipes and `--set`, `--vary`": "test_recipes",
    "folders of images": "test_folders",
    "labels files and splits": "test_labels",
    "archives": "test_archives",
    "imported CSV and `.npz`": "test_imports",
    "sample submissions and `--name`": "test_samples",
    "`run.json`, manifests, commands": "test_runs",
    "values in stored files, folders and caches that cannot be made": "test_stored",
    "images, `ens init`": "test_images",
}


def tables_of(name):
    return runpy.run_path(str(HERE / f"{name}.py"))


def number(pattern):
    """The number that the document states at this place."""
    (stated,) = re.findall(pattern, DOCUMENT)
    return int(stated.replace(",", ""))


def test_every_table_of_faults_has_a_row_in_the_document():
    modules = {path.stem for path in HERE.glob("test_*.py")} - {Path(__file__).stem}
    assert set(ROWS.values()) == modules


@pytest.mark.parametrize("row", ROWS)
def test_the_document_states_how_many_faults_of_a_kind_are_tried(row):
    n_cases = len(tables_of(ROWS[row])["CASES"])
    assert number(rf"\| {re.escape(row)} \| (\d+) \|") == n_cases


def test_the_document_states_how_many_faults_there_are_in_all():
    n_cases = sum(len(tables_of(name)["CASES"]) for name in ROWS.values())
    assert number(r"([\d,]+) distinct faults") == n_cases >= 200


def test_the_document_states_how_many_stored_values_are_tried():
    tables = tables_of("test_stored")
    assert number(r"(\d+) kinds of impossible values in `run.json`") == len(tables["RUNS"])
    assert number(r"(\d+) in `history.csv` and `lr_find.csv`") == len(tables["CURVES"])
    assert number(r"(\d+) in manifests") == len(tables["MANIFESTS"])
    assert number(r"(\d+) in search databases") == len(tables["SEARCHES"])


def test_the_document_states_how_many_files_are_mutated():
    text = (HERE.parent / "test_fuzz.py").read_text(encoding="utf-8")
    assert number(r"\(([\d,]+) mutated files\)") == sum(
        map(int, re.findall(r"max_examples=(\d+)", text))
    )
