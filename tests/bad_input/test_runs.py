"""Runs, submissions and manifests from who knows where."""

import json
import shutil
from pathlib import Path

import pytest

from ensemble.cli import main

ID = "r-1-s0"
RUN_JSON = Path("runs", ID, "run.json")


@pytest.fixture
def one_run(work, fake_run):
    """runs/r-1-s0, good."""
    fake_run("runs", ID)


def said(**changed):
    """Change keys of run.json; None leaves one out. A dot leads into a section."""
    values = json.loads(RUN_JSON.read_text())
    for dotted, value in changed.items():
        *parents, last = dotted.split("__")
        section = values
        for name in parents:
            section = section[name]
        section[last] = value
        if value is None:
            del section[last]
    RUN_JSON.write_text(json.dumps(values))


def text(content):
    RUN_JSON.write_bytes(content if isinstance(content, bytes) else content.encode())


def raw(old, new):
    before = RUN_JSON.read_text()
    assert old in before
    RUN_JSON.write_text(before.replace(old, new, 1))


BROKEN = {
    "empty": (lambda: text(""), "cannot be read"),
    "half": (lambda: text(RUN_JSON.read_bytes()[:200]), "cannot be read"),
    "a list": (lambda: text("[]"), "not a run"),
    "a word": (lambda: text('"hunter2"'), "not a run"),
    "a picture": (lambda: text(b"\x89PNG\xff"), "cannot be read"),
    "YAML": (lambda: text("format: 1\n"), "cannot be read"),
    "100,000 brackets": (lambda: text("[" * 100_000), "cannot be read"),
    "5,000 digits": (lambda: raw('"seed": 0', f'"seed": {"1" * 5000}'), "cannot be read"),
    "a later format": (lambda: said(format=3), "format 3, this version reads 1 and 2"),
    "no format": (lambda: said(format=None), "format None, this version reads 1 and 2"),
    "a format of 10,000 letters": (
        lambda: said(format="x" * 10_000),
        f"format '{'x' * 19}, this version",
    ),
    "no id": (lambda: said(id=None), "id is missing or wrong"),
    "another id": (
        lambda: said(id="other-1-s0"),
        "says it is 'other-1-s0'; the folder was renamed",
    ),
    "an id that climbs": (lambda: said(id="../../outside"), "says it is '../../outside'"),
    "no scores": (lambda: said(scores=None), "scores is missing or wrong"),
    "a score of text": (
        lambda: said(scores__accuracy="high"),
        "scores.accuracy is missing or wrong",
    ),
    "a score that is nan": (
        lambda: raw('"log_loss": 0', '"log_loss": NaN, "x": 0'),
        "scores.log_loss",
    ),
    "an infinite score": (
        lambda: raw('"log_loss": 0', '"log_loss": Infinity, "x": 0'),
        "scores.log_loss",
    ),
    "classes that are a word": (lambda: said(classes="abc"), "classes is missing or wrong"),
    "a class that is a number": (
        lambda: said(classes=["a", 1, "c"]),
        "classes.1 is missing or wrong",
    ),
    "a training that is a word": (lambda: said(training="long"), "training is missing or wrong"),
    "no training": (lambda: said(training=None), "training is missing or wrong"),
    "data that are a list": (lambda: said(data=[]), "data is missing or wrong"),
    "rows that are a fraction": (
        lambda: said(data__n_valid=0.5),
        "data.n_valid is missing or wrong",
    ),
    "files that are a list": (lambda: said(files=["valid.npz"]), "files is missing or wrong"),
    "a hash that is a number": (
        lambda: said(files={"valid.npz": 3}),
        "files.valid.npz is missing or wrong",
    ),
    "preprocessing that is a word": (
        lambda: said(training__preprocessing="none"),
        "training.preprocessing is missing or wrong",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_run_json_that_describes_no_run(case, refused, one_run):
    prepare, reason = BROKEN[case]
    prepare()
    refused("blend", f"{RUN_JSON}: {reason}")


FILES = {
    "no predictions": (lambda: Path("runs", ID, "valid.npz").unlink(), ["valid.npz: is missing"]),
    "changed predictions": (
        lambda: Path("runs", ID, "valid.npz").write_bytes(b"x"),
        ["valid.npz: is not the file that"],
    ),
    "a folder as predictions": (
        lambda: (Path("runs", ID, "valid.npz").unlink(), Path("runs", ID, "valid.npz").mkdir()),
        ["valid.npz: "],
    ),
    "test rows as validation rows": (
        lambda: (
            shutil.copy(Path("runs", ID, "test.npz"), Path("runs", ID, "valid.npz")),
            said(files={}),
        ),
        ["valid.npz: has no targets"],
    ),
    "no test predictions": (
        lambda: Path("runs", ID, "test.npz").unlink(),
        ["test.npz: is missing"],
    ),
    "an npz that is none, and no hash": (
        lambda: (Path("runs", ID, "valid.npz").write_bytes(b"PK"), said(files={})),
        ["valid.npz: cannot be read"],
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_run_whose_files_cannot_be_trusted(case, refused, one_run):
    prepare, texts = FILES[case]
    prepare()
    refused("blend", *texts)


SETS = {
    "that climbs": ("../../outside/x", ["'../../outside/x-"]),
    "that is absolute": ("/tmp/x", ["'/tmp/x-"]),
    "that is hidden": (".x", ["'.x-"]),
}


@pytest.mark.parametrize("case", SETS)
def test_a_data_set_whose_name_is_no_file_name(case, refused, one_run):
    name, texts = SETS[case]
    said(data__name=name)
    refused("blend", *texts, "is not a plain file name")


def other_classes(fake_run, rng, made_up):
    fake_run("runs", "x-1-s0", predictions=made_up(rng, classes=("a", "b", "d")))


def other_test_rows(fake_run, rng, made_up):
    fake_run("runs", "x-1-s0", test=made_up(rng, 50, ids=[f"u{i}" for i in range(50)]))


PAIRS = {
    "other classes": (other_classes, ["r-1-s0 and x-1-s0", "the same classes", "'c'", "'d'"]),
    "other test rows": (other_test_rows, ["r-1-s0 and x-1-s0", "the same rows", "'t00000'"]),
}


@pytest.mark.parametrize("case", PAIRS)
def test_runs_that_claim_to_be_about_the_same(case, refused, one_run, fake_run, rng, made_up):
    prepare, texts = PAIRS[case]
    prepare(fake_run, rng, made_up)
    data = json.loads(RUN_JSON.read_text())["data"]
    other = Path("runs/x-1-s0/run.json")
    other.write_text(json.dumps(json.loads(other.read_text()) | {"data": data}))
    refused("blend", *texts)


@pytest.fixture
def submitted(work, fake_run, monkeypatch, capsys):
    """submissions/s.csv of r-1-s0 and q-1-s0, with its manifest."""
    fake_run("runs", ID)
    fake_run("runs", "q-1-s0", accuracy=0.8)
    monkeypatch.setattr("sys.argv", ["ens", "blend", "--name", "s"])
    with pytest.raises(SystemExit):
        main()
    capsys.readouterr()


CSV, MANIFEST = Path("submissions/s.csv"), Path("submissions/s.json")


def manifest(change):
    values = json.loads(MANIFEST.read_text())
    change(values)
    MANIFEST.write_text(json.dumps(values))


def member(key, value):
    manifest(lambda values: values["members"][0].update({key: value}))


def weights(*pair):
    def change(values):
        for one, weight in zip(values["members"], pair, strict=True):
            one["weight"] = weight

    manifest(change)


NO_MANIFEST = ["s.json: not a manifest that `ens blend` wrote"]
VERIFIED = {
    "no file": (lambda: CSV.unlink(), ["submissions/s.csv: no such file"]),
    "no manifest": (
        lambda: MANIFEST.unlink(),
        ["s.csv: cannot verify", "s.json is not next to it"],
    ),
    "a manifest that is a folder": (lambda: (MANIFEST.unlink(), MANIFEST.mkdir()), NO_MANIFEST),
    "a manifest that is empty": (lambda: MANIFEST.write_text(""), NO_MANIFEST),
    "a manifest that is a list": (lambda: MANIFEST.write_text("[1]"), NO_MANIFEST),
    "a manifest that is a picture": (lambda: MANIFEST.write_bytes(b"\x89PNG\xff"), NO_MANIFEST),
    "a manifest of brackets": (lambda: MANIFEST.write_text("[" * 100_000), NO_MANIFEST),
    "a manifest of a later format": (
        lambda: manifest(lambda v: v.update(format=9)),
        ["s.json: format 9"],
    ),
    "a manifest without members": (lambda: manifest(lambda v: v.pop("members")), NO_MANIFEST),
    "a manifest with no members": (lambda: manifest(lambda v: v.update(members=[])), NO_MANIFEST),
    "members that are words": (
        lambda: manifest(lambda v: v.update(members=["r-1-s0"])),
        NO_MANIFEST,
    ),
    "a weight of text": (lambda: weights("half", 0.5), NO_MANIFEST),
    "a weight that is nan": (lambda: weights(float("nan"), 1), NO_MANIFEST),
    "weights of 2 and -1": (lambda: weights(2, -1), NO_MANIFEST),
    "weights of infinity": (lambda: weights(float("inf"), float("-inf")), NO_MANIFEST),
    "weights that sum to 2": (lambda: weights(1, 1), NO_MANIFEST),
    "other weights": (
        lambda: weights(0.999, 0.001),
        ["s.csv: changed since it was written", "line "],
    ),
    "a temperature of 0": (
        lambda: manifest(lambda v: v.update(calibration={"temperature": 0, "floor": 0})),
        NO_MANIFEST,
    ),
    "an infinite temperature": (
        lambda: manifest(lambda v: v.update(calibration={"temperature": float("inf"), "floor": 0})),
        NO_MANIFEST,
    ),
    "a temperature of 1e-300": (
        lambda: manifest(lambda v: v.update(calibration={"temperature": 1e-300, "floor": 0})),
        NO_MANIFEST,
    ),
    "an infinite floor": (
        lambda: manifest(lambda v: v.update(calibration={"temperature": 1, "floor": float("inf")})),
        NO_MANIFEST,
    ),
    "a floor of 2": (
        lambda: manifest(lambda v: v.update(calibration={"temperature": 1, "floor": 2})),
        NO_MANIFEST,
    ),
    "a calibration that is a word": (
        lambda: manifest(lambda v: v.update(calibration="warm")),
        NO_MANIFEST,
    ),
    "a member that climbs": (
        lambda: member("run", "../../outside"),
        ["cannot verify", "1 members missing", "../../outside"],
    ),
    "a member of 5,000 letters": (
        lambda: member("run", "r" * 5000),
        ["cannot verify", "1 members missing"],
    ),
    "a member with a NUL": (lambda: member("run", "r\0"), ["cannot verify", "1 members missing"]),
    "a member twice": (lambda: member("run", ID), NO_MANIFEST),
    "no hashes": (lambda: member("sha256", {}), NO_MANIFEST),
    "hashes that are a list": (lambda: member("sha256", ["valid.npz"]), NO_MANIFEST),
    "hashes of other files": (
        lambda: member("sha256", {"valid.npz": "0", "test.npz": "0"}),
        ["s.csv", "valid.npz is not the file that the submission was made from"],
    ),
    "a hash of a file outside": (
        lambda: member(
            "sha256", {"../../../outside/valid.npz": "0", "valid.npz": "0", "test.npz": "0"}
        ),
        ["s.csv", "is not the file that the submission was made from"],
    ),
    "no average": (lambda: manifest(lambda v: v.update(options={})), NO_MANIFEST),
    "another sum of the CSV": (
        lambda: manifest(lambda v: v.update(csv_sha256="0")),
        ["s.csv", "csv_sha256"],
    ),
    "a sample that is gone": (
        lambda: manifest(lambda v: v.update(sample_submission={"path": "gone.csv", "sha256": "0"})),
        ["s.csv: cannot verify: gone.csv is gone or has changed"],
    ),
    "a sample of 5,000 letters": (
        lambda: manifest(lambda v: v.update(sample_submission={"path": "g" * 5000, "sha256": "0"})),
        ["s.csv: cannot verify", "is gone or has changed"],
    ),
    "a sample without a hash": (
        lambda: manifest(lambda v: v.update(sample_submission={"path": "gone"})),
        NO_MANIFEST,
    ),
    "a sample that is a word": (
        lambda: manifest(lambda v: v.update(sample_submission="s.csv")),
        NO_MANIFEST,
    ),
    "a line too few": (
        lambda: CSV.write_text(CSV.read_text().rpartition("\nt")[0] + "\n"),
        ["s.csv: has 50 lines", "51"],
    ),
    "an id that is a formula": (
        lambda: CSV.write_text(CSV.read_text().replace("t00000,", "=cmd(),")),
        ["s.csv", "line 2 is '=cmd(),"],
    ),
    "lines that end as on Windows": (
        lambda: CSV.write_bytes(CSV.read_bytes().replace(b"\n", b"\r\n")),
        ["s.csv: changed since it was written", "line ends"],
    ),
    "a CSV that is a picture": (lambda: CSV.write_bytes(b"\x89PNG\xff"), ["s.csv: has 1 lines"]),
    "a member that is gone": (
        lambda: shutil.rmtree("runs/q-1-s0"),
        ["1 members missing in runs: q-1-s0"],
    ),
    "a member that is damaged": (lambda: text("{"), ["cannot verify", "run.json: cannot be read"]),
}


@pytest.mark.parametrize("case", VERIFIED)
def test_a_submission_that_cannot_be_derived_again(case, refused, submitted):
    prepare, texts = VERIFIED[case]
    prepare()
    refused("verify submissions/s.csv", *texts)


COMMANDS = {
    "a manifest in place of the CSV": (
        "verify submissions/s.json",
        ["s.json: not a submission", "s.csv?"],
    ),
    "a folder in place of the CSV": (
        "verify submissions",
        ["submissions: a folder: name a CSV in it"],
    ),
    "a name of 5,000 letters": (f"verify {'n' * 5000}.csv", ["no such file"]),
    "runs that are elsewhere": (
        "verify submissions/s.csv --runs none",
        ["2 members missing in none"],
    ),
    "no runs": ("blend --runs none", ["no finished run in none", "ens train RECIPE"]),
    "runs that are a file": (
        "blend --runs submissions/s.csv",
        ["no finished run in submissions/s.csv"],
    ),
    "a pattern of nothing": ("blend 'zzz*'", ["no finished run in runs matches zzz*"]),
    "a pattern that is open": ("blend '[a'", ["no finished run in runs matches [a"]),
    "a pattern that climbs": ("blend '../*'", ["no finished run in runs matches ../*"]),
    "a threshold too high": ("blend --min-acc 0.99", ["--min-acc 0.99", "r-1-s0", "0.9"]),
    "an unknown weighting": ("blend --weights heavy", ["--weights heavy", "accuracy, equal"]),
    "an unknown metric": ("blend --metric f3", ["'f3' is not a metric", "log_loss, roc_auc"]),
    "a metric of two classes": ("blend --metric f1", ["f1 needs two classes", "f1_macro"]),
    "an unknown average": ("blend --average harmonic", ["--average harmonic", "arithmetic"]),
    "an unknown set": ("blend --data cats", ["--data cats", "made-up"]),
    "one side": ("compare r", ["r names one side", "name two"]),
    "a side that is not there": ("compare r zzz", ["no finished run in runs matches zzz"]),
    "an unknown set to get": ("data get cats", ["'cats' is not one of cifar10"]),
    "a competition that climbs": (
        "data get kaggle:../x",
        ["kaggle:../x: not the name of a competition"],
    ),
    "a competition without a name": (
        "data get kaggle:",
        ["kaggle:: not the name of a competition"],
    ),
    "an archive that is not there": (
        "data get hymenoptera --from none.zip",
        ["none.zip: no such file"],
    ),
    "another archive": (
        "data get hymenoptera --from submissions/s.csv",
        ["s.csv: differs from"],
    ),
    "one file for three": (
        "data get flowers102 --from submissions/s.csv",
        ["s.csv: one file", "needs 3"],
    ),
    "no folder to begin with": ("init none", ["none: no such file or folder", "looked at"]),
    "a file to begin with": ("init submissions/s.csv", ["s.csv: not a folder and not an archive"]),
    "a folder without images": ("init submissions", ["neither class folders"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_about_what_is_not_there(case, refused, submitted):
    command, texts = COMMANDS[case]
    refused(command, *texts)


CASES = (
    BROKEN
    | FILES
    | {f"a data set {name}": case for name, case in SETS.items()}
    | PAIRS
    | VERIFIED
    | COMMANDS
)
