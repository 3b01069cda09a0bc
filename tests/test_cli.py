"""The commands that need no training: what they print, where, with which exit status, and what they say to do next."""

import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer

from ensemble import __version__
from ensemble.cli import app
from ensemble.runs import publish

COMMANDS = sorted(typer.main.get_command(app).commands)


@dataclass(frozen=True)
class Shown:
    """What a command left: its exit status and its two streams."""

    code: int
    out: str
    err: str

    @property
    def next(self):
        """The commands after `next:`, which must be the last thing on stdout."""
        *_, last = self.out.split("next:  ")
        lines = last.splitlines()
        assert all(line.startswith("       ens ") for line in lines[1:])
        assert lines[0].startswith("ens ")
        return [line.strip() for line in lines]


@pytest.fixture
def ens(tmp_path, monkeypatch, run_ens):
    """ens(*words): what this command shows when it is run in tmp_path."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: Shown(*run_ens(*words))


@pytest.fixture
def again(ens):
    """again(command): what a command shows that `ens` advised, as a shell would split it."""
    return lambda command: ens(*shlex.split(command)[1:])


@pytest.fixture
def run_on(fake_run):
    """run_on(data, name, store, **data fields): a finished run about a data set of this name, in runs/ by default."""

    def make(
        data,
        name,
        store="runs",
        accuracy=0.9,
        arch="resnet18",
        created="2024-01-01T00:00:00+00:00",
        **info,
    ):
        run = fake_run(store, name, accuracy=accuracy, arch=arch, created=created)
        run = run.model_copy(update={"data": run.data.model_copy(update={"name": data} | info)})
        publish(run)
        return run

    return make


@pytest.fixture
def flowers(ens, run_on):
    """Three runs on flowers, the newest, and one on digits."""
    new = "2024-01-02T00:00:00+00:00"
    run_on("digits", "digits_x-1-s0")
    run_on("flowers", "flowers_r-1-s0", accuracy=0.95, created=new)
    run_on("flowers", "flowers_r-1-s1", accuracy=0.93, created=new)
    run_on("flowers", "flowers_v-1-s0", accuracy=0.9, arch="vgg19.tv", created=new)


def test_help_names_every_command(ens):
    shown = ens("--help")
    assert shown.code == 0
    for name in COMMANDS:
        assert name in shown.out


def test_the_version_is_told_and_help_names_the_option(ens):
    shown = ens("--version")
    assert (shown.code, shown.out, shown.err) == (0, f"ens-images {__version__}\n", "")
    assert "--version" in ens("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_each_of_its_options_explains_itself(name, ens):
    shown = ens(name, "--help")
    assert (shown.code, shown.err) == (0, "")
    command = typer.main.get_command(app).commands[name]
    assert " ".join(command.help.split())[:40] in " ".join(shown.out.split())
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} has no help"


def test_runs_shows_the_leaderboard_and_the_next_command(ens, flowers, again):
    shown = ens("runs")
    assert (shown.code, shown.err) == (0, "")
    assert "flowers: 200 validation images, 3 classes" in shown.out
    assert "95.00 % (91.04–97.26)" in shown.out
    assert "most common class" in shown.out
    assert again(shown.next[0]).code == 0


def test_runs_shows_each_class_when_asked(ens, flowers):
    shown = ens("runs", "flowers_r-1-s0", "--per-class")
    assert (shown.code, shown.err) == (0, "")
    assert re.search(r"class +images +precision +recall +F1", shown.out)
    (run,) = json.loads(ens("runs", "flowers_r-1-s0", "--per-class", "--json").out)
    assert [one["name"] for one in run["per_class"]] == ["a", "b", "c"]
    assert sum(one["recall"] * one["n_rows"] for one in run["per_class"]) == pytest.approx(
        0.95 * 200
    )


def test_runs_can_be_narrowed_by_patterns(ens, flowers):
    shown = ens("runs", "*-s1", "digits_x")
    assert "flowers_r-1-s1" in shown.out
    assert "digits_x-1-s0" in shown.out
    assert "flowers_v-1-s0" not in shown.out


def test_a_pattern_that_nothing_matches_and_an_empty_folder_are_told(ens, flowers, tmp_path):
    shown = ens("runs", "zzz*")
    assert shown.code == 0
    assert "no finished run in runs matches zzz*\n" in shown.out
    assert "finished there: 4, of the recipes digits_x, flowers_r, flowers_v\n" in shown.out
    assert shown.next == ["ens runs"]
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        shown = ens("runs", "--runs", folder)
        assert (shown.code, shown.err) == (0, "")
        missing = ": there is no such folder" if folder == "nowhere" else ""
        assert f"no finished run in {folder}{missing}\n" in shown.out
        assert shown.next[0] == "ens quickstart"


def test_the_runs_folder_can_come_from_the_environment(ens, flowers, monkeypatch, tmp_path):
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    monkeypatch.setenv("ENS_RUNS", "elsewhere")
    assert "flowers_r-1-s0" in ens("runs").out
    assert "no finished run in runs" in ens("runs", "--runs", "runs").out


def test_a_damaged_run_is_named_and_the_others_are_shown(ens, flowers, tmp_path):
    (tmp_path / "runs" / "flowers_r-1-s1" / "run.json").write_text("{")
    shown = ens("runs")
    assert shown.code == 0
    assert re.search(r"damaged: .*flowers_r-1-s1.run.json: cannot be read", shown.out)
    assert "flowers_r-1-s0" in shown.out


@pytest.mark.parametrize("arguments", [["runs", "--json"], ["runs", "zzz", "--json"]])
def test_runs_as_json_is_one_value_and_nothing_else(arguments, ens, flowers):
    shown = ens(*arguments)
    assert (shown.code, shown.err) == (0, "")
    runs = json.loads(shown.out)
    assert [run["id"] for run in runs] == sorted(run["id"] for run in runs)
    assert len(runs) == (0 if "zzz" in arguments else 4)
    assert all("folder" not in run and run["scores"]["accuracy"] for run in runs)


def test_blend_says_which_runs_writes_the_csv_and_how_to_verify_it(ens, flowers, tmp_path, again):
    shown = ens("blend")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(
        "3 runs on flowers, 200 rows; 1 on digits left out: --data digits\n"
    )
    (written,) = (tmp_path / "submissions").glob("*.csv")
    assert re.fullmatch(r"flowers-[0-9a-f]{8}", written.stem)
    assert f"submissions/{written.name}: 50 rows, class_name, checked" in shown.out
    manifest = json.loads(written.with_suffix(".json").read_text())
    assert manifest["command"] == ["ens", "blend"]
    assert shown.next == [f"ens verify submissions/{written.name}", "ens report"]
    verified = again(shown.next[0])
    assert (verified.code, verified.err) == (0, "")
    assert "same bytes when computed again from 3 members" in verified.out
    assert again(verified.next[0]).code == 0


def test_what_comes_next_finds_the_same_runs_and_survives_a_shell(ens, run_on, again):
    run_on("flowers", "a-1-s0", store="my runs")
    listed = ens("runs", "--runs", "my runs")
    assert again(listed.next[0]).code == 0
    blended = ens("blend", "--runs", "my runs", "--out", "my 'subs'", "--name", "a b$c")
    assert blended.code == 0
    assert again(blended.next[0]).code == 0


def test_the_data_set_and_the_runs_can_be_chosen(ens, flowers):
    assert ens("blend", "--data", "digits").out.startswith(
        "1 run on digits, 200 rows; 3 on flowers left out"
    )
    assert ens("blend", "digits_*").out.startswith("1 run on digits, 200 rows\n")


def test_blend_shows_every_weighting_and_marks_the_one_it_used(ens, flowers, again):
    shown = ens(
        "blend", "--weights", "best", "--metric", "log_loss", "--max-members", "2", "--calibrate"
    )
    assert (shown.code, shown.err) == (0, "")
    for name in ("best member", "equal", "accuracy", "logodds", "logloss", "greedy", "best ←"):
        assert re.search(rf"^ ?{name} ", shown.out, re.MULTILINE)
    assert "the simplest within one standard error of the best" in shown.out
    assert "left out: flowers_" in shown.out
    assert "would have added" in shown.out
    assert "(applied)" in shown.out
    assert again(shown.next[0]).code == 0
    geometric = ens("blend", "--average", "geometric", "--name", "product")
    assert "logloss weights are the optimum of an arithmetic mean" in geometric.out
    assert again(geometric.next[0]).code == 0


def test_the_last_line_of_blend_is_the_command_of_the_weights_that_the_table_favors(
    ens, run_on, again
):
    run_on("flowers", "flowers_r-1-s0", accuracy=0.95)
    for recipe in ("s", "t", "u"):
        run_on("flowers", f"flowers_{recipe}-1-s0", accuracy=0.4)
    shown = ens("blend", "flowers_*", "--weights", "equal", "--name", "mine", "--min-acc=0.1")
    favored = re.search("the table favors ([a-z]+) weights: ", shown.out)[1]
    assert shown.next[-1] == f"ens blend 'flowers_*' --min-acc=0.1 --weights {favored}"
    better = again(shown.next[-1])
    assert (better.code, better.err) == (0, "")
    assert "the table favors" not in better.out
    assert len(better.next) == 2


def test_compare_tells_pairs_apart_or_not_in_text_and_json(ens, flowers, again):
    shown = ens("compare", "flowers_r-1-s0", "flowers_v-1-s0")
    assert (shown.code, shown.err) == (0, "")
    assert "200 validation rows, the same for all" in shown.out
    assert "about these two networks" in shown.out
    assert "intervals are not adjusted" in shown.out
    assert again(shown.next[0]).code == 0
    value = json.loads(ens("compare", "flowers_*", "--json").out)
    assert {pair["metric"] for pair in value} == {"accuracy", "log_loss"}
    assert all(pair["adjusted_p"] >= pair["p"] for pair in value)
    assert all(
        re.fullmatch(r"(better|worse|not distinguishable) at n=200", pair["verdict"])
        for pair in value
    )


def test_compare_by_a_metric_and_over_splits(ens, run_on, tmp_path):
    for recipe in ("roses", "tulips"):
        for split_seed in (0, 1, 2)[: 3 if recipe == "roses" else 2]:
            run_id = f"{recipe}-{split_seed}-s0"
            run_on("flowers", run_id, accuracy=0.9, valid=f"split {split_seed}")
            (tmp_path / "runs" / run_id / "recipe.yaml").write_text(
                "data: {source: folder, path: photos, train: train, valid: 0.2, "
                f"split_seed: {split_seed}}}\nmodel: {{arch: {recipe}}}\n"
            )
    shown = ens("compare", "roses-0-s0", "tulips-0-s0", "--metric", "f1_macro")
    assert (shown.code, shown.err) == (0, "")
    assert [line.split()[2] for line in shown.out.splitlines() if " distinguish" in line] == [
        "f1_macro",
        "accuracy,",
        "log",
    ]
    shown = ens("compare", "roses", "tulips", "--splits")
    assert (shown.code, shown.err) == (0, "")
    assert "2 splits: data.split_seed 0, 1" in shown.out
    assert "1/n is raised by n_valid/n_train = 0.25 (Nadeau and Bengio, 2003)" in shown.out
    missing = "ens train recipes/tulips.yaml --set data.split_seed=2"
    assert f"  {missing}\n" in shown.out
    assert shown.next == [
        "ens train recipes/roses.yaml recipes/tulips.yaml --set data.split_seed=3"
    ]
    stored = json.loads(ens("compare", "roses", "tulips", "--splits", "--json").out)
    assert stored["missing"] == [missing]
    assert stored["differences"][0]["split_seeds"] == [0, 1]


def test_an_imported_run_joins_the_blend(ens, flowers, tmp_path, again):
    stored = tmp_path / "runs" / "flowers_r-1-s0"
    files = ["--valid", stored / "valid.npz", "--test", stored / "test.npz"]
    shown = ens("import", "from_elsewhere", "--arch", "vit", *files)
    assert (shown.code, shown.err) == (0, "")
    assert "from_elsewhere-" in shown.out
    assert "from_elsewhere-" in again(shown.next[0]).out


def test_a_threshold_and_a_quota_choose_the_members(ens, flowers):
    shown = ens("blend", "--min-acc", "0.95", "--per-arch", "1", "--weights", "equal", "--json")
    value = json.loads(shown.out)
    assert {member["run"]: member["reason"] for member in value["members"]} == {
        "flowers_r-1-s0": "",
        "flowers_v-1-s0": "kept for vgg19",
    }
    assert [member["weight"] for member in value["members"]] == [0.5, 0.5]
    assert (
        "left out: flowers_r-1-s1 at 93.00 %"
        in ens("blend", "--min-acc", "0.95", "--per-arch", "1").out
    )


def test_blend_as_json_is_one_value_and_nothing_else(ens, flowers, tmp_path):
    shown = ens("blend", "--json")
    assert (shown.code, shown.err) == (0, "")
    value = json.loads(shown.out)
    assert value["data"] == "flowers"
    assert (tmp_path / value["submission"]).is_file()


def test_the_same_blend_again_is_the_same_file_and_another_one_needs_force(ens, flowers, tmp_path):
    assert ens("blend", "--name", "mine").code == 0
    before = (tmp_path / "submissions" / "mine.csv").read_bytes()
    assert ens("blend", "--name", "mine").code == 0
    refused = ens("blend", "--data", "digits", "--name", "mine")
    assert refused.code == 1
    assert "submissions/mine.csv: exists with other content" in refused.err
    assert "--force" in refused.err
    assert (tmp_path / "submissions" / "mine.csv").read_bytes() == before
    assert ens("blend", "--data", "digits", "--name", "mine", "--force").code == 0
    assert (tmp_path / "submissions" / "mine.csv").read_bytes() != before


def test_without_a_test_set_blend_is_scored_and_kept_and_says_why_there_is_no_csv(
    ens, run_on, tmp_path
):
    run_on("flowers", "a-1-s0", n_test=0)
    shown = ens("blend")
    assert (shown.code, shown.err) == (0, "")
    assert "cross-fitted on 200 validation rows" in shown.out
    assert "because the runs have no test set: set data.test" in shown.out
    (kept,) = (tmp_path / "submissions").iterdir()
    predict = f"ens predict IMAGES --blend {kept.stem} --out new.csv"
    assert shown.next == [predict, "ens report"]
    value = json.loads(ens("blend", "--json").out)
    assert (value["submission"], value["manifest"]) == (None, f"submissions/{kept.name}")


def damage_valid():
    Path("runs/flowers_r-1-s0/valid.npz").write_bytes(b"half")


def remove_the_sample():
    path = Path("runs/flowers_r-1-s0/run.json")
    values = json.loads(path.read_text())
    values["data"]["sample_submission"] = "gone/sample.csv"
    path.write_text(json.dumps(values))


def block_the_place():
    Path("submissions").write_text("in the way")


def write_a_lonely_csv():
    Path("mine.csv").write_text("id,label\n")


def nothing():
    """Everything is as it should be."""


ERRORS = {
    "no such pattern": (nothing, ["blend", "zzz*"], ["no finished run", "ens runs"]),
    "no runs": (nothing, ["blend", "--runs", "nowhere"], ["no finished run", "ens train RECIPE"]),
    "nothing selected": (
        nothing,
        ["blend", "--min-acc", "0.99"],
        ["flowers_r-1-s0", "at 0.95", "--min-acc 0.99"],
    ),
    "no such data": (nothing, ["blend", "--data", "flower"], ["--data flower", "digits, flowers"]),
    "no such weights": (
        nothing,
        ["blend", "--weights", "acc"],
        ["--weights acc", "accuracy, equal"],
    ),
    "a path as name": (
        nothing,
        ["blend", "--name", "a/b"],
        ["--name 'a/b' is not a plain file name"],
    ),
    "a long name": (nothing, ["blend", "--name", "x" * 300], ["cannot be written"]),
    "no such metric": (
        nothing,
        ["blend", "--metric", "dice"],
        ["--metric: 'dice' is not a metric", "accuracy, balanced_accuracy, log_loss"],
    ),
    "one side": (nothing, ["compare", "flowers_v"], ["flowers_v names one side", "name two runs"]),
    "other rows": (
        nothing,
        ["compare", "flowers_v", "digits_x"],
        ["were not validated on the same rows"],
    ),
    "no file": (
        nothing,
        ["import", "x", "--arch", "y", "--valid", "none.csv"],
        ["none.csv", "no such file"],
    ),
    "no place": (block_the_place, ["blend"], ["submissions", "cannot be written"]),
    "damaged predictions": (
        damage_valid,
        ["blend"],
        ["flowers_r-1-s0/valid.npz: is not the file that run.json"],
    ),
    "no sample": (remove_the_sample, ["blend", "flowers_r-1-s0"], ["gone/sample.csv", "is gone"]),
    "nothing to verify": (nothing, ["verify", "none.csv"], ["none.csv: no such file"]),
    "no manifest": (
        write_a_lonely_csv,
        ["verify", "mine.csv"],
        ["mine.csv: cannot verify", "mine.json"],
    ),
    "no recipe": (nothing, ["train", "none.yaml"], ["none.yaml"]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_problem_the_user_can_mend_is_told_in_three_lines_on_stderr(case, ens, flowers):
    prepare, arguments, said = ERRORS[case]
    prepare()
    shown = ens(*arguments)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("error: ")
    assert 1 <= shown.err.count("\n") <= 3
    assert "Traceback" not in shown.err
    for text in said:
        assert text in shown.err


@pytest.mark.parametrize(
    ("metric", "problem"),
    [("foo", "'foo' is not a metric: did you mean f1?"), ("f1", "f1 needs two classes")],
)
def test_a_metric_that_the_classes_do_not_have_is_refused_with_its_key(
    metric, problem, ens, tmp_path
):
    recipe = "data: {{source: digits{}}}\nmodel: {{arch: resnet18, pretrained: false}}\n"
    (tmp_path / "plain.yaml").write_text(recipe.format(""))
    (tmp_path / "own.yaml").write_text(recipe.format(f", metric: {metric}"))
    for arguments in (["plain.yaml", "--set", f"data.metric={metric}"], ["own.yaml"]):
        shown = ens("train", *arguments)
        assert (shown.code, shown.out) == (1, "")
        assert f"error: data.metric: {problem}" in shown.err


def test_an_error_leaves_nothing_on_stdout_for_those_who_read_json(ens, flowers):
    shown = ens("blend", "--min-acc", "0.99", "--json")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("error: ")


def test_missing_members_are_counted_and_exit_with_1(ens, flowers, tmp_path):
    ens("blend", "--name", "mine")
    for name in ("flowers_r-1-s0", "flowers_v-1-s0"):
        (tmp_path / "runs" / name).rename(tmp_path / name)
    shown = ens("verify", "submissions/mine.csv")
    assert (shown.code, shown.out) == (1, "")
    assert "cannot verify: 2 members missing in runs: flowers_r-1-s0, flowers_v-1-s0" in shown.err


def test_a_changed_submission_exits_with_1_and_shows_the_line(ens, flowers, tmp_path):
    ens("blend", "--name", "mine")
    path = tmp_path / "submissions" / "mine.csv"
    path.write_text(path.read_text().replace("\nt00003,a\n", "\nt00003,b\n"))
    shown = ens("verify", "submissions/mine.csv")
    assert (shown.code, shown.out) == (1, "")
    assert "changed since it was written" in shown.err
    assert "line 5 is 't00003,b', its members give 't00003,a'" in shown.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["blnd"],
        ["--nope"],
        ["blend", "--nope"],
        ["blend", "--min-acc", "95"],
        ["blend", "--min-acc", "high"],
        ["blend", "--per-arch", "-1"],
        ["verify"],
        ["verify", "a.csv", "b.csv"],
        ["train"],
        [],
    ],
)
def test_wrong_usage_exits_with_2_and_prints_no_result(arguments, ens):
    shown = ens(*arguments)
    assert shown.code == 2
    assert "Traceback" not in shown.err
    assert "sage: ens" in shown.err + shown.out
    assert (shown.out == "") == bool(arguments)  # without arguments the help is the answer


@pytest.mark.parametrize(
    "command", [["-m", "ensemble"], [str(Path(sys.executable).with_name("ens"))]]
)
def test_the_installed_command_is_the_same_with_exit_status_and_both_streams(
    command, flowers, tmp_path
):
    start = [sys.executable, *command] if command[0] == "-m" else command

    def shell(*arguments):
        return subprocess.run(
            [*start, *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=60
        )

    good, bad = shell("runs", "--json"), shell("blend", "--min-acc", "0.99")
    assert (good.returncode, good.stderr, len(json.loads(good.stdout))) == (0, "", 4)
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (1, "", 2)


def test_report_writes_one_page_about_the_runs_that_are_asked_for(ens, again, flowers, tmp_path):
    assert ens("blend", "--data", "flowers", "--weights", "greedy", "--name", "mine").code == 0
    shown = ens("report", "flowers*", "-o", "out/page.html")
    assert shown.code == 0
    assert shown.out.startswith("out/page.html: 0.")
    page = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert "mine.csv" in page
    assert "greedy weights" in page
    assert "digits_x" not in page
    assert again(shown.next[0]).code == 0


def test_a_page_replaces_an_earlier_page_and_no_other_file(ens, flowers, tmp_path):
    assert ens("report", "flowers*", "-o", "page.html").code == 0
    assert ens("report", "flowers*", "-o", "page.html").code == 0
    (tmp_path / "labels.csv").write_text("id,label\n")
    shown = ens("report", "flowers*", "-o", "runs")
    assert (shown.code, "a folder has this name: choose another name" in shown.err) == (1, True)
    shown = ens("report", "flowers*", "-o", "labels.csv")
    assert (shown.code, "labels.csv: exists, and ens did not write it" in shown.err) == (1, True)
    assert (tmp_path / "labels.csv").read_text() == "id,label\n"


@pytest.mark.parametrize(("target", "answer"), [("labels", "labels"), ("number", "values")])
@pytest.mark.parametrize("has_sample", [True, False])
def test_inspect_says_what_a_cell_means_for_labels_and_numbers(
    target, answer, has_sample, ens, tmp_path, tiny_images
):
    tiny_images(tmp_path / "photos")
    cells = {"labels": ["a b", "b"], "number": [1, 2.5]}[target]
    rows = [f"red/{i:02d},{cells[i % 2]}\n" for i in range(20)]
    for name in ("labels", "sample"):
        (tmp_path / "photos" / f"{name}.csv").write_text("id,kind\n" + "".join(rows))
    sample = "sample_submission: sample.csv" if has_sample else ""
    (tmp_path / "r.yaml").write_text(
        f"data: {{source: csv, path: photos, train: ., test: 0.2, target: {target}, {sample}}}\n"
        "model: {arch: resnet18}\n"
    )
    shown = ens("inspect", "r.yaml", "--json")
    assert (shown.code, json.loads(shown.out)["answer"]) == (0, answer)


def test_pictures_of_the_data_replace_earlier_ones_and_no_others(ens, tmp_path, tiny_images):
    tiny_images(tmp_path / "photos" / "train")
    (tmp_path / "r.yaml").write_text(
        "data: {source: folder, path: photos, valid: 0.2}\nmodel: {arch: resnet18}\n"
    )
    assert ens("inspect", "r.yaml", "--out", "shown").code == 0
    assert ens("inspect", "r.yaml", "--out", "shown").code == 0
    mine = tmp_path / "photos" / "train" / "red" / "samples.png"
    mine.write_bytes((tmp_path / "photos" / "train" / "red" / "00.png").read_bytes())
    before = mine.read_bytes()
    shown = ens("inspect", "r.yaml", "--out", mine.parent)
    assert (shown.code, "samples.png: exists, and ens did not write it" in shown.err) == (1, True)
    assert mine.read_bytes() == before
    (tmp_path / "rates").mkdir()
    (tmp_path / "rates" / "lr_find.csv").write_text("day,rate\n")
    shown = ens("lr-find", "r.yaml", "--out", "rates")
    assert (shown.code, "lr_find.csv: exists, and ens did not write it" in shown.err) == (1, True)


def test_report_without_a_run_is_an_error_with_the_next_step(ens):
    shown = ens("report")
    assert shown.code == 1
    assert "ens quickstart" in shown.err
    assert not Path("report.html").exists()


def test_manifests_that_cannot_be_read_do_not_stop_a_report(ens, flowers, tmp_path):
    (tmp_path / "submissions").mkdir()
    for name, text in {
        "a": "{",
        "b": "[]",
        "c": '{"data": {"valid": "x"}, "options": {"weights": "odd"}}',
    }.items():
        (tmp_path / "submissions" / f"{name}.json").write_text(text)
    assert ens("report").code == 0
