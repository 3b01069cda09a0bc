"""The documents agree with the code: tree, commands, recipes, generated pages, installation bounds."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer

import ensemble
from ensemble.cli import app
from ensemble.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RECIPES = sorted(
    path for path in (ROOT / "recipes").glob("*.yaml") if not path.name.endswith(".base.yaml")
)
WRITTEN = [
    page.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    if page.name not in ("commands.md", "log.md")
]
COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_loads_and_is_named_after_its_file(path):
    assert Recipe.load(path).name == path.stem


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_and_is_explained_in_a_written_page(name):
    assert COMMANDS[name].help
    assert any(f"ens {name}" in page for page in WRITTEN)


def test_the_readme_is_a_front_page():
    lines = README.splitlines()
    assert len(lines) <= 110
    assert max(map(len, lines)) <= 110


def test_every_command_line_of_the_documents_is_one_that_exists():
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = document.read_text(encoding="utf-8")
        found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        blocks = "\n".join(code for language, code in found if not language)
        for line in re.findall(
            r"^(?:\.venv/bin/)?ens (.*)$", blocks.replace(" && ", "\n"), re.MULTILINE
        ):
            name, *words = line.split()
            assert name in COMMANDS, f"{document.name}: ens {line}"
            options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options, (
                f"{document.name}: ens {line}"
            )
            made = tuple(
                f"recipes/{set_}_" for set_ in re.findall(r"^ens init (\S+)", blocks, re.MULTILINE)
            )
            for word in words:
                is_there = (
                    not word.startswith("recipes/")
                    or word.startswith(made)
                    or list(ROOT.glob(word))
                )
                assert is_there, f"{document.name}: {word}"


def test_the_tree_of_contributing_is_the_real_tree():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = text.split("## Where things are")[1].split("```")[1]
    named = set(re.findall(r"[├└]── (\S+)", block))
    package = Path(ensemble.__file__).parent
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert named == modules | folders


def test_docs_recipes_is_what_the_schema_says():
    made = runpy.run_path(str(ROOT / "docs" / "make_recipes.py"))["page"]()
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == made, (
        "run python docs/make_recipes.py"
    )


def test_docs_commands_is_what_the_help_says():
    made = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))["page"]()
    assert (ROOT / "docs" / "commands.md").read_text(encoding="utf-8") == made, (
        "run python docs/make_commands.py"
    )


def test_links_between_documents_lead_somewhere():
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_constraints_name_packages_and_versions_only():
    lines = (ROOT / "constraints.txt").read_text().split()
    assert lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)


def test_ci_begins_with_the_readmes_first_command():
    """So that no environment with more than the base dependencies hides what a newcomer meets."""
    first = README.split("```")[1].split("\n")[1]
    steps = [
        line.strip()
        for line in (ROOT / ".ci" / "run").read_text().splitlines()
        if not line.startswith("#")
    ]
    commands = [
        line for line in steps if re.search(r"\b(make|pip|uv|ens|pytest|python3?|apt-get)\b", line)
    ]
    assert first.startswith("make ")
    assert commands[0] == first
    for later in ("make test", "make check"):
        assert any(line.startswith(later) for line in commands[1:])


def test_installing_keeps_a_torch_and_fastai_that_are_new_enough(tmp_path):
    """pip, told of an environment that holds every dependency at its lower bound, has nothing to install."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True
    )
    site = next((tmp_path / "env").glob("[lL]ib*/**/site-packages"))
    bounds = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for bound in bounds:
        name, version = bound.split(">=")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--dry-run",
        "--no-index",
        *bounds,
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert "Would install" not in shown.stdout
