"""`import ensemble`: light, typed, and every block of docs/api.md runs."""

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import ensemble
from ensemble.errors import (
    DamagedError,
    EnsembleError,
    RecipeError,
    SelectionError,
    TrainingError,
)

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def python(code):
    """What a fresh Python prints."""
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return process.stdout.strip()


def test_the_exported_names():
    assert sorted(ensemble.__all__) == [
        "Predictions",
        "Recipe",
        "Run",
        "RunStore",
        "__version__",
        "blend",
        "compare",
        "learner",
        "load_learner",
        "predict",
        "report",
        "train",
        "write_submission",
    ]
    assert set(ensemble.__all__) <= set(dir(ensemble))
    for name in ensemble.__all__:
        assert getattr(ensemble, name).__doc__


def test_no_exported_name_is_that_of_a_module_which_would_replace_it_once_imported():
    names = [name for name in ensemble.__all__ if name != "__version__"]
    assert [name for name in names if find_spec(f"ensemble.{name}")] == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'ensemble' has no attribute 'tarin'"):
        ensemble.tarin  # noqa: B018


def test_importing_ensemble_alone_imports_no_library():
    heavy = {"numpy", "pydantic", "torch", "yaml", "typer", "PIL"}
    assert python(f"import sys, ensemble; print({heavy} & sys.modules.keys())") == "set()"


def test_type_checkers_import_every_exported_name():
    """At run time they come from `ensemble.api` by name; mypy reads the imports under TYPE_CHECKING."""
    tree = ast.parse(Path(ensemble.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {
        alias.name for node in imports if node.module == "ensemble.api" for alias in node.names
    }
    assert names | {"__version__"} == set(ensemble.__all__)


@pytest.mark.slow
def test_every_block_of_the_page_runs(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for i, digit in enumerate(load_digits().images[:4]):
        pixels = (digit * 15).astype(np.uint8)
        Image.fromarray(pixels).convert("RGB").save(tmp_path / "photos" / f"{i}.png")
    names = {}
    for block in BLOCKS:
        assert block.count("\n") <= 10, "a block of the page has at most ten lines"
        exec(compile(block, "docs/api.md", "exec"), names)
    assert len(names["losses"]) == 1
    assert len(names["blend"].members) == 2
    first, second = (tmp_path / name for name in ("photos.csv", "photos_again.csv"))
    assert first.read_bytes() == second.read_bytes()
    assert names["predicted"].n_images == 4
    assert names["probs"].shape == names["valid"].probs.shape


def test_the_page_shows_every_exported_function():
    for name in set(ensemble.__all__) - {"__version__", "Predictions", "Recipe"}:
        assert f"ensemble.{name}" in "".join(BLOCKS)


def test_a_failed_run_and_wrong_overrides_raise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(
        "data: {source: folder, path: none}\nmodel: {arch: resnet18, pretrained: false}\n"
    )
    with pytest.raises(TrainingError, match="r-.*: .*none"):
        ensemble.train("r.yaml")
    recipe = ensemble.Recipe.load("r.yaml", ["fit.epochs=5"])
    assert recipe.fit.epochs == 5
    with pytest.raises(RecipeError, match='--set: fit.epochs: "x" is not allowed'):
        ensemble.train(recipe, overrides=["fit.epochs=x"])
    with pytest.raises(RecipeError, match="other.yaml: no such recipe"):
        ensemble.train("other.yaml")


def test_blend_takes_runs_patterns_or_everything(tmp_path, fake_run):
    root = tmp_path / "runs"
    a, b, c = (fake_run(root, f"{name}-1-s0") for name in "abc")

    def members(*chosen):
        return [member.run.id for member in ensemble.blend(*chosen, runs=root).members]

    assert members() == [a.id, b.id, c.id]
    assert members(a, c) == [a.id, c.id]
    assert members("b", a, "a*") == [a.id, b.id]
    with pytest.raises(SelectionError, match="no finished run in .*runs matches zzz"):
        members("zzz")
    (c.folder / "run.json").write_text("{")
    assert members(a, b) == [a.id, b.id]
    with pytest.raises(DamagedError):
        members()


@pytest.mark.parametrize("function", ["train", "blend", "compare"])
def test_a_list_where_single_values_are_taken_is_an_error_that_says_how(function):
    with pytest.raises(EnsembleError) as raised:
        getattr(ensemble, function)(["a", "b"])
    problem, advice = str(raised.value).splitlines()
    assert problem == f"ensemble.{function}: list is given"
    assert advice.endswith(f"ensemble.{function}(*values)")


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (
            lambda: ensemble.blend(calibrate="no"),
            "blend: calibrate: str is given\ncalibrate takes bool",
        ),
        (lambda: ensemble.blend(min_acc="0.5"), "min_acc takes float"),
        (lambda: ensemble.blend(per_arch=True), "per_arch: bool is given"),
        (lambda: ensemble.blend(metric=1), "metric takes str, None"),
        (lambda: ensemble.learner(["a"]), "learner: recipe: list is given\nrecipe takes Recipe"),
        (lambda: ensemble.load_learner(3), "run takes .*Run, str"),
        (lambda: ensemble.train("r.yaml", overrides="a=1"), "overrides takes a list of str"),
        (
            lambda: ensemble.predict(np.zeros((3, 3)), "a", "b"),
            "images takes Path, str, a list of Path",
        ),
        (lambda: ensemble.predict([1], "a", "b"), "images: list is given"),
        (lambda: ensemble.predict("a", "b", None), "out takes Path, str"),
        (lambda: ensemble.predict("a", 3, "b"), "ensemble.predict: int is given"),
        (lambda: ensemble.write_submission(None, "a"), "write_submission: NoneType is given"),
        (lambda: ensemble.report(None), "path takes Path, str"),
        (lambda: ensemble.compare(), "no side is given"),
    ],
)
def test_arguments_of_another_type_are_refused(call, problem):
    with pytest.raises(EnsembleError, match=problem):
        call()


def test_numbers_of_numpy_and_iterators_are_taken(tmp_path, fake_run):
    runs = [fake_run(tmp_path / "runs", f"{name}-1-s0") for name in "ab"]
    blend = ensemble.blend(*runs, min_acc=np.float32(0), per_arch=np.int64(1), calibrate=np.True_)
    assert blend.calibration is not None
    with pytest.raises(EnsembleError, match="are not files: 'a.png'"):
        ensemble.predict(iter(["a.png"]), runs[0], tmp_path / "out.csv")


def test_a_text_is_one_pattern(tmp_path, fake_run):
    for name in "ab":
        fake_run(tmp_path, f"{name}-1-s0")
    store = ensemble.RunStore(tmp_path)
    assert [run.id for run in store.finished("a*")] == ["a-1-s0"]
    assert store.none_found("zzz").endswith("matches zzz")


def test_a_member_of_another_type_is_never_left_out_without_a_word(tmp_path, fake_run):
    run = fake_run(tmp_path / "runs", "a-1-s0")
    with pytest.raises(EnsembleError, match="ensemble.blend: .*Path is given"):
        ensemble.blend(run, tmp_path / "runs", runs=tmp_path / "runs")


def test_a_submission_is_written_once_and_compare_finds_the_folder_of_its_runs(tmp_path, fake_run):
    runs = [fake_run(tmp_path / "my runs", f"{name}-1-s0") for name in "ab"]
    folder = tmp_path / "submissions"
    submission = ensemble.write_submission(ensemble.blend(*runs), "mine", folder=folder)
    assert submission.path == folder / "mine.csv"
    with pytest.raises(EnsembleError, match="exists with other content"):
        ensemble.write_submission(ensemble.blend(runs[0]), "mine", folder=folder)
    by_run = ensemble.compare(*runs)
    assert [difference.metric for difference in by_run] == ["accuracy", "log_loss"]
    by_recipe = ensemble.compare("a", "b", runs=tmp_path / "my runs")
    assert [pair.value for pair in by_run] == [pair.value for pair in by_recipe]


def test_the_report_replaces_only_an_earlier_report(tmp_path, fake_run):
    fake_run(tmp_path / "runs", "a-1-s0")
    page, runs = tmp_path / "report.html", tmp_path / "runs"
    assert ensemble.report(page, runs=runs, submissions=tmp_path) == page
    assert ensemble.report(page, "a*", runs=runs, submissions=tmp_path) == page
    page.write_text("mine")
    with pytest.raises(EnsembleError, match="exists, and ens did not write it"):
        ensemble.report(page, runs=runs, submissions=tmp_path)


def test_predict_takes_an_answer_only_with_a_sample(tmp_path):
    with pytest.raises(EnsembleError, match="add sample"):
        ensemble.predict(tmp_path, "mine", tmp_path / "new.csv", answer="class_name")
