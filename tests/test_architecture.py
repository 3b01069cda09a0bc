"""The folder shows the cost: imports go downward only, and what needs no torch starts without it."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import ensemble
from ensemble.files import sha256
from ensemble.runs import publish

ROOT = Path(ensemble.__file__).parent
LAYERS = [
    {
        "errors",
        "files",
        "grouping",
        "answers",
        "argument_types",
        "hardware",
        "memory",
        "npz",
        "events",
        "signals",
        "kaggle",
        "metrics",
        "numbers",
        "paths",
        "predictions",
        "recipe",
        "targets",
        "torch_env",
    },
    {"convert", "dataset", "runs"},
    {"learn", "blending", "submission", "reporting"},
    {"engines", "heat_maps", "inference", "layout", "tracking"},
    {"api", "bundle", "demo", "doctor", "init"},
    {"quickstart"},
    {"cli"},
    {"__main__"},
]
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
LIBRARIES_OF_LEARN = {"torch", "torchvision", "fastai", "fastcore", "timm"}
HEAVY = LIBRARIES_OF_LEARN | {"pandas", "sklearn", "scipy", "matplotlib", "pooch", "requests"}


@dataclass(frozen=True)
class Import:
    """One import of a module; late where it waits in a function."""

    importer: str
    imported: str
    is_late: bool
    where: str

    @property
    def parts(self):
        """The two parts of the package that it joins, such as ("cli", "runs")."""
        return part_of(self.importer), part_of(self.imported)


def part_of(module):
    return module.split(".")[1] if module.count(".") else ""


def module_name(path):
    return ".".join(("ensemble", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports_of(module, tree):
    """Every import that can happen at run time, wherever it stands."""
    waiting = [(tree, False)]
    while waiting:
        node, is_late = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            waiting += [(child, is_late) for child in node.orelse]
            continue
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno}: relative import"
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in below]
        yield from (Import(module, name, is_late, f"{module}:{node.lineno}") for name in names)
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting += [(child, is_late or is_function) for child in ast.iter_child_nodes(node)]


IMPORTS = [
    found
    for module, path in MODULES.items()
    for found in imports_of(module, ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
]
OWN = [found for found in IMPORTS if found.imported.split(".")[0] == "ensemble"]


def may_import(importer, imported):
    """Whether one part of the package may use another."""
    if importer == imported or imported == "":
        return True
    if "display" in (importer, imported):
        return importer == "cli" or (
            importer == "display" and imported not in {"learn", "cli", "quickstart"}
        )
    if imported == "blending" and importer in {"submission", "reporting"}:
        return True
    below = LEVEL[imported] < LEVEL[importer]
    return below or (LEVEL[imported] == LEVEL[importer] and LEVEL[imported] < LEVEL["learn"])


def test_every_part_of_the_package_has_its_layer():
    parts = {part_of(module) for module in MODULES} - {""}
    assert parts <= LEVEL.keys() | {"display"}, "a new part: say in LAYERS where it stands"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("learn.train", "from ensemble.engines.local import train_all"),
        ("learn.train", "import ensemble.blending"),
        ("blending.blend", "from ensemble.learn import train"),
        ("blending.blend", "from ensemble.submission import write_submission"),
        ("submission.write", "from ensemble.reporting import page"),
        ("runs.run", "from ensemble.blending import make_blend"),
        ("runs.run", "from ensemble.learn import learner"),
        ("predictions", "from ensemble.runs import Run"),
        ("learn.train", "from ensemble import display"),
        ("display.live", "from ensemble.learn import train"),
    ],
)
def test_an_import_that_goes_upward_or_sideways_is_found(module, line):
    tree = ast.parse(f"def late():\n    {line}\n")
    assert upward(imports_of(f"ensemble.{module}", tree))


def test_what_only_type_checkers_import_does_not_count_and_functions_import_late():
    text = """
from typing import TYPE_CHECKING
from ensemble import metrics, __version__
if TYPE_CHECKING:
    import torch
def late():
    if True:
        from ensemble.learn.train import train
"""
    found = {(f.imported, f.is_late) for f in imports_of("ensemble.x", ast.parse(text))}
    assert found == {
        ("typing", False),
        ("ensemble.metrics", False),
        ("ensemble", False),
        ("ensemble.learn.train", True),
    }


def test_the_import_graph_is_really_read():
    joined = {found.parts for found in OWN}
    for pair in (
        ("cli", "blending"),
        ("submission", "blending"),
        ("runs", "predictions"),
        ("learn", "dataset"),
    ):
        assert pair in joined
    assert ("engines", "learn") in joined
    assert ("display", "learn") not in joined  # for type checkers only
    assert any(found.imported == "torch" for found in IMPORTS)


def upward(imports):
    """Those imports of the package's own modules that the layers forbid."""
    return [
        f"{found.where} imports {found.imported}"
        for found in imports
        if found.imported.split(".")[0] == "ensemble" and not may_import(*found.parts)
    ]


def test_imports_go_downward_only():
    assert upward(IMPORTS) == []


def test_parts_of_the_package_import_each_other_in_no_circle():
    """Late imports included; what is left after removing parts that import nothing left is a circle."""
    below = {importer: set() for importer, _ in (found.parts for found in OWN)}
    for importer, imported in (found.parts for found in OWN):
        below[importer].add(imported)
    below.pop("", None)  # the package's own front door imports everything, late
    while free := [part for part, parts in below.items() if not parts & below.keys() - {part}]:
        for part in free:
            del below[part]
    assert below == {}


def test_no_module_imports_itself_in_a_circle_while_it_loads():
    above = {
        module: {f.imported for f in OWN if f.importer == module and not f.is_late}
        for module in MODULES
    }
    while free := [
        module for module, others in above.items() if not others & above.keys() - {module}
    ]:
        for module in free:
            del above[module]
    assert above == {}


def test_only_learn_knows_torch_and_what_stands_on_it():
    wrong = [
        f"{found.where} imports {found.imported}"
        for found in IMPORTS
        if found.imported.split(".")[0] in LIBRARIES_OF_LEARN and part_of(found.importer) != "learn"
    ]
    assert wrong == []


def test_others_call_learn_late():
    early = [
        f"{found.where} imports {found.imported}"
        for found in OWN
        if part_of(found.imported) == "learn"
        and part_of(found.importer) != "learn"
        and not found.is_late
    ]
    assert early == []


LOADED = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "


def modules_of(folder, *arguments):
    """The modules that a command has loaded when it ends well."""
    ended = subprocess.run(
        [sys.executable, "-c", LOADED + "from ensemble.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    loaded = set(ended.stderr.split())
    assert "typer" in loaded
    return loaded


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs"],
        ["runs", "--json"],
        ["runs", "--submissions"],
        ["blend"],
        ["blend", "--json", "--min-acc", "0.5", "--per-arch", "1"],
        ["blend", "--weights", "best", "--metric", "log_loss", "--calibrate"],
        ["compare", "a-1-s0", "b-1-s0"],
        ["import", "c", "--arch", "d", "--valid", "runs/a-1-s0/valid.npz"],
        ["verify"],
    ],
    ids=" ".join,
)
def test_what_works_on_stored_predictions_starts_without_heavy_libraries(
    arguments, tmp_path, fake_run
):
    for name in ("a-1-s0", "b-1-s0"):
        fake_run(tmp_path / "runs", name)
    if arguments == ["verify"]:
        modules_of(tmp_path, "blend", "--name", "mine")
        arguments = ["verify", "submissions/mine.csv"]
    loaded = modules_of(tmp_path, *arguments)
    assert "numpy" in loaded
    assert loaded & HEAVY == set()


def test_a_bundle_is_packed_without_heavy_libraries(tmp_path, fake_run):
    run = fake_run(tmp_path / "runs", "a-1-s0")
    files = dict(run.files)
    for name, text in (
        ("model.safetensors", "weights"),
        (
            "recipe.yaml",
            "data: {source: digits}\nmodel: {arch: resnet18}\nfit: {strategy: fine_tune, epochs: 1}",
        ),
    ):
        (run.folder / name).write_text(text)
        files[name] = sha256(run.folder / name)
    publish(run.model_copy(update={"files": files}))
    modules_of(tmp_path, "blend", "--name", "mine")
    assert modules_of(tmp_path, "bundle", "mine") & HEAVY == set()
    assert (tmp_path / "mine-bundle" / "runs" / "a-1-s0" / "model.safetensors").exists()


def test_help_loads_none_of_what_commands_need(tmp_path):
    assert modules_of(tmp_path, "--help") & (HEAVY | {"numpy", "pydantic", "PIL", "yaml"}) == set()
