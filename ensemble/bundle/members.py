"""The runs of a blend's members, copied with what predicting reads: networks, predictions, sample."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ensemble.errors import RunError
from ensemble.files import atomic_path, sha256
from ensemble.runs import Run, StoredRun, writer
from ensemble.submission.manifest import NETWORK, REFIT_NETWORK, Manifest


def copy_members(
    manifest: Manifest, runs: Mapping[str, Run], folder: Path, fp16: bool
) -> dict[str, dict[str, str]]:
    """Copy every member; returns the hashes of its files, named as in the manifest.

    Raises RunError, DamagedError.
    """
    hashes: dict[str, dict[str, str]] = {}
    for run_id, run in runs.items():
        # one refit on all rows is stored with the first fold
        with_network = run.folds[:1] if manifest.mixture.of_refits else run.folds
        hashes[run_id] = {}
        for fold in run.folds:
            network = manifest.network_file if fold in with_network else None
            copied = _copy(fold, folder / fold.id, network, fp16)
            prefix = "" if fold.id == run_id else f"{fold.id}/"
            hashes[run_id] |= {f"{prefix}{name}": digest for name, digest in copied.items()}
    return hashes


def _copy(run: StoredRun, folder: Path, network: str | None, fp16: bool) -> dict[str, str]:
    """Copy a run with one of its networks, or none; returns the hashes of the copied files."""
    if network is not None and network not in run.files:
        reason = "was imported" if run.training is None else f"has no {network}"
        raise RunError(
            f"{run.id} {reason}, so it has no network to bundle\n"
            "blend without it: `ens blend PATTERN --name NAME`"
        )
    left_out = {NETWORK, REFIT_NETWORK} - {network}
    names = [name for name in run.files if name not in left_out]
    folder.mkdir(parents=True)
    for name in dict.fromkeys([*names, "recipe.yaml"]):
        run.check_file(name)
        if fp16 and name == network:
            _store_fp16(run.folder / name, folder / name)
        else:
            shutil.copyfile(run.folder / name, folder / name)
    hashes = {name: sha256(folder / name) for name in names}
    writer.publish(run.model_copy(update={"files": hashes, "folder": folder}))
    return hashes


def _store_fp16(source: Path, target: Path) -> None:
    """Store weights with two and more axes as fp16 where it holds them; others stay as they are.

    Norms and biases take no space, and their statistics may be too large or small for fp16.
    """
    from safetensors import safe_open
    from safetensors.numpy import save_file

    tensors: dict[str, Any] = {}
    with safe_open(source, "np") as stored:
        for name in stored.keys():  # noqa: SIM118
            tensors[name] = _as_fp16(stored.get_tensor(name))
        metadata = stored.metadata()
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata)


def _as_fp16(tensor: Any) -> Any:
    if tensor.dtype != np.float32 or tensor.ndim < 2:
        return tensor
    is_held = np.abs(tensor).max(initial=0) <= np.finfo(np.float16).max
    return tensor.astype(np.float16) if is_held else tensor
