"""`--json` of every command: one JSON value on stdout and exit status 0; errors on stderr alone."""

import json
import shlex
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import typer

from ensemble import display
from ensemble.cli import app, main, sets
from ensemble.cli.streams import any_output

RECIPE = """
data: {source: folder, path: images, valid: 0.2, test: 0.2, size: 32}
augment: none
model: {arch: test_resnet, pretrained: false, head: keep}
fit: {strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}
resources: {cpu: 1}
seeds: [0, 1]
"""
# by command: what succeeds in the workspace, and what is a problem to fix
COMMANDS = {
    "init": ("init images --name photos", "init nowhere"),
    "recipes": ("recipes", "recipes --copy nowhere"),
    "describe": ("describe", None),
    "inspect": ("inspect tiny.yaml", "inspect nowhere.yaml"),
    "train": ("train tiny.yaml", "train nowhere.yaml"),
    "lr-find": ("lr-find tiny.yaml", "lr-find nowhere.yaml"),
    "tune": ("tune tiny.yaml --trials 1 --vary fit.lr=0.001..0.01", "tune tiny.yaml --vary x=1,2"),
    "runs": ("runs", None),
    "compare": ("compare RUN RUN1", "compare RUN nowhere"),
    "blend": ("blend RUN RUN1 --name other", "blend nowhere"),
    "verify": ("verify submissions/mine.csv", "verify nowhere.csv"),
    "import": (
        "import theirs --arch x --valid VALID",
        "import theirs --arch x --valid nowhere.csv",
    ),
    "submit": (
        "submit submissions/mine.csv --competition birds --yes",
        "submit nowhere.csv --competition birds --yes",
    ),
    "predict": ("predict images --blend mine --out new.csv", "predict images --out new.csv"),
    "bundle": ("bundle mine", "bundle nowhere"),
    "export": ("export RUN --to model.onnx", "export --to model.onnx"),
    "report": ("report", "report --out tiny.yaml"),
    "doctor": ("doctor", None),
    "data list": ("data list", None),
    "data get": ("data get kaggle:birds --from birds.zip", "data get nowhere"),
    "data unpack": ("data unpack images.zip", "data unpack nowhere"),
}
WITHOUT = {"quickstart", "demo"}  # for people at a screen


def run_ens(line):
    """Exit status, stdout and stderr of a command."""
    before, sys.argv = sys.argv, ["ens", *shlex.split(line)]
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    return ended.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_images):
    """A folder with images, a recipe, its two trained runs and a blend of them."""
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ENS_CACHE", str(folder / "cache"))
        tiny_images(folder / "images" / "train")
        shutil.make_archive("images", "zip", "images")
        shutil.copy("images.zip", "birds.zip")
        Path("tiny.yaml").write_text(RECIPE)
        code, out, err = run_ens("train tiny.yaml --json")
        assert code == 0, err
        runs = [run["id"] for run in json.loads(out)["runs"]]
        assert run_ens("blend --name mine --json")[0] == 0
    return folder, runs


@pytest.fixture
def ens(workspace, monkeypatch):
    """ens(line): a command in the workspace, with RUN, RUN1 and VALID filled in."""
    folder, runs = workspace
    monkeypatch.chdir(folder)
    names = {"RUN1": runs[1], "RUN": runs[0], "VALID": f"runs/{runs[0]}/valid.npz"}

    def ens(line):
        return run_ens(shlex.join(names.get(word, word) for word in shlex.split(line)))

    return ens


def with_json(command):
    """Whether a command takes --json."""
    return any("--json" in parameter.opts for parameter in command.params)


def test_every_command_that_prints_a_result_takes_json():
    commands = dict(typer.main.get_command(app).commands)
    del commands["data"]
    data = typer.main.get_command(sets).commands
    commands |= {f"data {name}": command for name, command in data.items()}
    assert {name for name, command in commands.items() if with_json(command)} == set(COMMANDS)
    assert set(commands) - set(COMMANDS) == WITHOUT


@pytest.fixture
def competition(kaggle_site, workspace, monkeypatch):
    """A local Kaggle that knows the images of the workspace's submission."""
    monkeypatch.chdir(workspace[0])
    labels = Path("submissions/mine.csv").read_text().splitlines()[1:]
    kaggle_site.truth = dict(line.split(",") for line in labels)
    return kaggle_site


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_stdout_is_one_json_value_and_the_status_0(name, ens, competition):
    code, out, err = ens(f"{COMMANDS[name][0]} --json")
    assert code == 0, err
    assert isinstance(json.loads(out), dict | list)
    assert "next:" not in out + err


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, lines in COMMANDS.items() if lines[1]])
def test_a_problem_is_on_stderr_alone_with_status_1(name, ens, competition):
    code, out, err = ens(f"{COMMANDS[name][1]} --json")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 3


@pytest.mark.slow
def test_a_training_answers_with_the_rows_of_runs(ens, workspace):
    rows = json.loads(ens("runs 'tiny*' --json")[1])
    trained = json.loads(ens("train tiny.yaml --json")[1])
    assert trained["runs"] == sorted(rows, key=lambda row: workspace[1].index(row["id"]))
    assert (trained["failures"], trained["left"]) == ([], [])


@pytest.mark.slow
def test_a_training_that_fails_is_named_on_stdout_too(ens, workspace):
    code, out, err = ens("train tiny.yaml --set model.pretrained=nowhere.pth --json")
    assert code == 1
    (first, second) = json.loads(out)["failures"]
    assert first["run"].endswith("-s0")
    assert second["run"].endswith("-s1")
    assert f"error: {first['reason']}\n" in err
    assert err.endswith(f"{first['reason']}\n")


def test_wrong_usage_is_status_2_with_nothing_on_stdout():
    code, out, err = run_ens("train --json")
    assert (code, out) == (2, "")
    assert "Missing argument" in err


@pytest.mark.slow
def test_a_training_without_time_lists_what_is_left_with_status_124(ens):
    code, out, err = ens("train tiny.yaml --set fit.epochs=2 --hours 0 --json")
    assert code == 124, err
    trained = json.loads(out)
    assert trained["runs"] == []
    assert [run[-3:] for run in trained["left"]] == ["-s0", "-s1"]


@pytest.mark.slow
def test_an_estimate_has_seconds_and_bytes_of_each_run(ens):
    code, out, err = ens("train tiny.yaml --set fit.epochs=3 --set 'seeds=[5]' --dry-run --json")
    assert code == 0, err
    (cost,) = json.loads(out)["costs"]
    (phase,) = cost["phases"]
    assert phase["n_epochs"] == 3
    assert 0 < phase["seconds"] <= cost["seconds"]
    assert cost["disk_bytes"] > 0


@pytest.mark.slow
def test_the_values_are_those_of_the_files_that_they_name(ens, workspace, competition):
    verified = json.loads(ens("verify submissions/mine.csv --json")[1])
    manifest = json.loads(Path("submissions/mine.json").read_text())
    assert verified["sha256"] == manifest["csv_sha256"]
    assert {member["run"]: member["weight"] for member in verified["members"]} == {
        member["run"]: member["weight"] for member in manifest["members"]
    }
    predicted = json.loads(ens("predict images/train/red --run RUN --out red.csv --json")[1])
    assert predicted["runs"] == workspace[1][:1]
    header, *rows = Path(predicted["csv"]).read_text().splitlines()
    assert (header.split(","), len(rows)) == (predicted["columns"], predicted["n_images"])
    rates = json.loads(ens("lr-find tiny.yaml --json")[1])
    assert rates["suggestions"].get(rates["rule"], rates["chosen"]) == rates["chosen"]
    assert Path(rates["csv"]).is_file()
    assert Path(rates["figure"]).is_file()


@pytest.mark.slow
def test_a_search_names_the_run_of_its_best_trial(ens):
    search = json.loads(
        ens("tune tiny.yaml --trials 2 --vary fit.lr=0.001..0.01 --runs searched --json")[1]
    )
    assert [trial["number"] for trial in search["trials"]] == [0, 1]
    assert search["best"] in search["trials"]
    (row,) = json.loads(ens(f"runs {search['best']['run']} --runs searched --json")[1])
    assert row["search"] == search["search"]


@pytest.mark.slow
def test_an_upload_has_its_score_and_a_rehearsal_sends_nothing(ens, competition, monkeypatch):
    monkeypatch.setattr(sys, "stdin", StringIO())
    line = "submit submissions/mine.csv --competition finches --json"
    rehearsed = json.loads(ens(f"{line} --dry-run")[1])
    assert (rehearsed["submissions"], competition.submissions) == ([], [])
    assert rehearsed["quota"] == {"n_today": 0, "n_left": 5, "is_total": False}
    code, out, err = ens(line)
    assert (code, out) == (1, "")  # nobody answers
    assert "send it to finches? [y/N]" in err
    (entry,) = json.loads(ens(f"{line} --yes")[1])["submissions"]
    assert (entry["public"], entry["status"]) == ("1.00000", "complete")
    assert entry["message"] == competition.submissions[0]["description"]


def test_what_libraries_print_goes_to_stderr(capsys):
    with any_output():
        display.leave_stdout_to_json()
        print("a library's own line")
        display.say("a line of ours")
        display.show_json({"loss": float("nan"), "rates": [1.5, float("inf")]})
    out, err = capsys.readouterr()
    assert json.loads(out, parse_constant=pytest.fail) == {"loss": None, "rates": [1.5, None]}
    assert err == "a library's own line\na line of ours\n"
    display.say("stdout is as before")
    assert capsys.readouterr().out == "stdout is as before\n"
