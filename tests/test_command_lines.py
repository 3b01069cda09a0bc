"""Every command line of the documents runs, as far as it can without a network, a GPU and hours of training."""

import glob
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

import ensemble
from ensemble.cli import app
from ensemble.dataset.known_sets import set_named
from ensemble.engines.search_space import parse_space
from ensemble.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
READ_ONLY_ITS_RECIPE = {"train", "tune", "lr-find"}  # what trains is checked up to its first step
PLAYED_ELSEWHERE = {
    "submit",
    "predict",
    "bundle",
    "export",
    "demo",
}  # by test_competition.py and tests/bundle: they need Kaggle, or trained networks
TAKES_NO_ARGUMENT = {"quickstart", "doctor"}  # trains, or asks torch: tests of their own
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(document, language):
    """The blocks of a document in this language."""
    return [
        code for own, code in BLOCK.findall(document.read_text(encoding="utf-8")) if own == language
    ]


def command_lines(document):
    """The arguments of every `ens …` in a document's blocks, in their order; `&&` joins two."""
    text = "\n".join(blocks(document, "")).replace("\\\n", " ")
    for line in text.splitlines():
        for part in line.split("&&"):
            found = re.match(r"\s*!?(?:\.venv[/\\](?:bin|Scripts)[/\\])?ens (.*)", part)
            if found:
                yield shlex.split(found[1], comments=True)


LINES = {document: list(command_lines(document)) for document in DOCUMENTS}


@pytest.fixture
def world(tmp_path, monkeypatch, fake_run, tiny_images, made_up, rng):
    """A folder that holds what the documents speak of: recipes, photos, runs, predictions from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(ROOT / "recipes", "recipes")
    for name in ("dog-breed-identification", "photos", "birds"):
        tiny_images(tmp_path / name)
    for recipe in (
        "birds_resnet",
        "cifar10_densenet",
        "cifar10_vgg19",
        "digits_resnet",
        "digits_vgg",
    ):
        for seed in (0, 1):
            run = fake_run(
                "runs",
                f"{recipe}-1-s{seed}",
                accuracy=0.96,
                arch=recipe.rpartition("_")[2],
                seed=seed,
            )
    valid, test = run.valid(), run.test()
    files = {"valid.csv": valid, "mine_valid.csv": valid, "test.csv": test, "mine_test.csv": test}
    for file, own in files.items():
        rows = [
            ",".join([name, *(f"{p:.6f}" for p in probs)])
            for name, probs in zip(own.ids, own.probs, strict=True)
        ]
        Path(file).write_text("\n".join([",".join(["id", *own.classes]), *rows]) + "\n")
    return tmp_path


def run_line(words, ens):
    """Run one command, or read what it would start from."""
    name, *rest = words
    if name in TAKES_NO_ARGUMENT:
        return
    if (
        name in PLAYED_ELSEWHERE or "--splits" in rest
    ):  # tests/blending/test_splits.py trains splits
        typer.main.get_command(app).commands[name].make_context(name, list(rest))
        return
    if name in READ_ONLY_ITS_RECIPE:
        overrides = tuple(
            value for option, value in zip(rest, rest[1:], strict=False) if option == "--set"
        )
        varied = [
            value for option, value in zip(rest, rest[1:], strict=False) if option == "--vary"
        ]
        paths = [
            Path(own) for word in rest if word.endswith(".yaml") for own in sorted(glob.glob(word))
        ]
        assert paths or "RECIPE" in rest, words
        assert [
            Recipe.load(path, overrides) for path in paths if not path.name.endswith(".base.yaml")
        ] or not paths
        assert list(parse_space(varied)) == [text.partition("=")[0] for text in varied]
        return
    if rest[:1] == ["get"]:
        set_named(rest[1])
        return
    ens(*words)


@pytest.mark.parametrize(
    "document", [own for own in DOCUMENTS if LINES[own]], ids=lambda path: path.name
)
def test_the_command_lines_of_a_document_run(document, world, ens):
    for words in LINES[document]:
        if "RECIPE" not in words and "PATH" not in words:
            run_line(words, ens)


def test_there_are_command_lines_to_run():
    names = {words[0] for lines in LINES.values() for words in lines}
    assert len(LINES[ROOT / "README.md"]) >= 5
    assert names >= {
        "quickstart",
        "init",
        "inspect",
        "train",
        "blend",
        "compare",
        "import",
        "report",
        "data",
        "runs",
    }


def test_python_and_yaml_of_the_documents_can_be_read(tmp_path):
    for document in DOCUMENTS:
        for code in blocks(document, "python"):
            compile(code, str(document), "exec")
        for number, code in enumerate(blocks(document, "yaml")):
            shutil.copytree(ROOT / "recipes", tmp_path / document.name, dirs_exist_ok=True)
            recipe = tmp_path / document.name / f"own_{number}.yaml"
            recipe.write_text(code, encoding="utf-8")
            Recipe.load(recipe)


def test_the_errors_that_the_answers_quote_are_those_of_the_code():
    package = Path(ensemble.__file__).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    text = (ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`([^`]+)`", "\n".join(re.findall(r"^## .*$", text, re.MULTILINE)))
    assert len(quoted) > 4
    for message in quoted:
        for piece in message.split("…"):
            assert piece.strip() in code, message


@pytest.mark.parametrize(
    ("words", "after"),
    [
        (["predict", "", "--blend", "b", "--out", "o.csv"], " after predict"),
        (["predict", "images", "--blend", "b", "--out", ""], " after --out"),
        (["bundle", "b", "--out="], " after --out"),
        (["report", "--runs", ""], " after --runs"),
    ],
)
def test_an_empty_argument_is_wrong_usage(words, after, failing_ens):
    assert f"an argument is empty,{after}: is a" in " ".join(failing_ens(2, *words).split())


def test_a_message_may_be_empty(failing_ens):
    words = ["submit", "a.csv", "--competition", "c", "--message"]
    assert "a.csv" in failing_ens(1, *words, "")
