"""`ens init` on replicas of the layouts that public competitions ship: what is understood of each."""

import csv
import json
from pathlib import Path

import pytest
import replicas

from ensemble.dataset.load import load
from ensemble.recipe import Recipe

EXPECTED_FILE = Path(replicas.__file__).with_name("expected.csv")
EXPECTED = {
    row["name"]: row for row in csv.DictReader(EXPECTED_FILE.read_text("utf-8").splitlines())
}
GROUPS = {
    "siim_isic": ["patient_id"],
    "state_farm": ["subject"],
    "iwildcam2019": ["location", "seq_id"],
    "ranzcr": ["PatientID"],
}


@pytest.fixture
def init(tmp_path, monkeypatch, run_ens):
    """init(name, *options): exit status, the JSON object and the error of `ens init --json`."""

    def init(name, *options):
        root = tmp_path / "input" / name
        root.mkdir(parents=True)
        replicas.make(name, root)
        (tmp_path / "here").mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / "here")
        status, out, err = run_ens("init", root, "--json", *options)
        return status, json.loads(out), err

    return init


def test_there_is_a_replica_for_each_row():
    assert set(replicas.CASES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_competition_is_understood(name, init):
    expected = EXPECTED[name]
    positive = ["--positive", "dog"] if name.startswith("dogs_redux") else []
    code, understood, error = init(name, "--metric", expected["metric"], *positive)
    counts = {key: understood[key] for key in ("classes", "labelled", "test")}
    assert counts == {key: int(expected[key]) for key in counts}
    assert (understood["target"], understood["metric"]) == (expected["target"], expected["metric"])
    assert (understood["answer"] or "") == expected["answer"]
    assert understood["groups"] == GROUPS.get(name, [])
    assert understood["questions"] == []
    assert code == 0, error
    recipes = [Path(file) for file in understood["recipes"]]
    assert all(map(Path.is_file, recipes))
    data = Recipe.load(recipes[1]).data
    assert (data.metric, data.target) == (expected["metric"], expected["target"])
    images = load(data)
    held_out = len(images.test) if isinstance(data.test, float) else 0
    assert len(images.train) + len(images.valid) + held_out == int(expected["labelled"])
    assert len(images.test or ()) - held_out == int(expected["test"])
    if data.target != "number":
        assert len(images.classes) == int(expected["classes"])


@pytest.mark.parametrize(
    "name", ["dog_breed", "aptos", "seedlings", "chest_xray", "plant_path_2020"]
)
def test_without_a_metric_the_default_is_taken(name, init):
    code, understood, _ = init(name)
    probabilities = understood["answer"] == "probabilities"
    assert (code, understood["metric"]) == (0, "log_loss" if probabilities else "accuracy")


@pytest.mark.parametrize(
    ("name", "option"),
    [("dogs_redux", "--positive"), ("histopathologic", "--answer"), ("unibuc_brain", "--answer")],
)
def test_what_only_the_user_knows_is_asked_and_the_option_named(name, option, init):
    code, understood, error = init(name)
    assert (code, understood["recipes"]) == (1, [])
    (question,) = understood["questions"]
    assert all(option in choice["option"] for choice in question["choices"])
    assert option in error
    assert not Path("recipes").exists()


@pytest.mark.parametrize("name", ["dogs_redux", "histopathologic"])
def test_yes_takes_a_first_choice_but_never_a_positive_class(name, init):
    code, understood, _ = init(name, "--yes")
    assert (code, bool(understood["questions"])) == (
        (1, True) if name == "dogs_redux" else (0, False)
    )
