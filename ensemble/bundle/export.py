"""Runs and blends as ONNX: one graph where members take the same pixels, else one for each member."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ensemble import __version__
from ensemble.errors import EnsembleError, SubmissionError
from ensemble.files import not_written, remove_unfinished, staged_folder, write_json
from ensemble.metrics.decision import MostProbable
from ensemble.runs import Run, RunStore
from ensemble.submission.manifest import Manifest, members_of, read_manifest
from ensemble.targets import IN_WORDS

if TYPE_CHECKING:
    from ensemble.learn.onnx_graph import Exportable


@dataclass(frozen=True)
class Exported:
    """A written graph, and its largest difference from torch in a probability."""

    path: Path
    difference: float


def export_run(run: Run, path: Path) -> Exported:
    """Write a run, all its folds together, as one graph. Raises EnsembleError."""
    from ensemble.learn.onnx_graph import Average, check_installed, write_onnx

    if path.suffix != ".onnx":
        raise SubmissionError(f"--to {path}: not a file that ends with .onnx")
    check_installed()
    _check_new(path)
    members = {run.id: _exportables(run, of_refit=False)}
    metadata = _metadata(run, members, {"run": run.id})
    return Exported(path, write_onnx(list(members.values()), Average(), path, metadata))


def export_blend(manifest_path: Path, store: RunStore, folder: Path) -> list[Exported]:
    """Write a stored blend into a folder: `NAME.onnx`, or a graph for each member and `NAME.json`.

    The second where members take other pixels. Raises EnsembleError.
    """
    from ensemble.learn.onnx_graph import Average, check_installed, write_onnx

    check_installed()
    _check_new(folder)
    manifest = read_manifest(manifest_path)
    problem = f"{manifest.path}: cannot be exported"
    if manifest.mixture.is_rank:
        raise SubmissionError(
            f"{problem}: it averages ranks, which ONNX graphs do not\n"
            "`ens bundle` carries it; or blend with --average arithmetic"
        )
    runs = members_of(manifest, store, (manifest.network_file,), problem)
    mixture, name = manifest.mixture, manifest.path.stem
    members = {run_id: _exportables(runs[run_id], mixture.of_refits) for run_id in sorted(runs)}
    decision = json.dumps(asdict(mixture.decision))
    if len({folds[0].preprocess.geometry for folds in members.values()}) > 1:
        with _staged(folder) as staging:
            exported = _export_members(manifest, runs, members, staging)
        return [replace(graph, path=folder / graph.path.name) for graph in exported]
    calibration = asdict(mixture.calibration) if mixture.calibration else {}
    weights = tuple(mixture.weights[run_id] for run_id in members)
    average = Average(weights, mixture.is_log, **calibration)
    origin = {"blend": name, "members": json.dumps(dict(mixture.weights)), "decision": decision}
    first = next(iter(runs.values()))
    metadata = _metadata(first, members, origin)
    with _staged(folder) as staging:
        path = staging / f"{name}.onnx"
        difference = write_onnx(list(members.values()), average, path, metadata)
    return [Exported(folder / path.name, difference)]


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """An empty folder that takes its name when all graphs are in it. Raises EnsembleError."""
    try:
        remove_unfinished(folder)
        with staged_folder(folder) as staging:
            yield staging
    except OSError as error:
        raise EnsembleError(not_written(folder, error)) from None


def _export_members(
    manifest: Manifest,
    runs: dict[str, Run],
    members: "dict[str, list[Exportable]]",
    folder: Path,
) -> list[Exported]:
    """A graph for each member, and a JSON that says how to average them."""
    from ensemble.learn.onnx_graph import Average, write_onnx

    exported = []
    for run_id, folds in members.items():
        path = folder / f"{run_id}.onnx"
        metadata = _metadata(runs[run_id], {run_id: folds}, {"run": run_id})
        difference = write_onnx([folds], Average(), path, metadata)
        exported.append(Exported(path, difference))
    mixture = manifest.mixture
    content = {
        "members": {f"{run_id}.onnx": mixture.weights[run_id] for run_id in members},
        "average": "geometric" if mixture.is_log else "arithmetic",
        "calibration": asdict(mixture.calibration) if mixture.calibration else None,
        "classes": sorted(next(iter(runs.values())).classes),
        "decision": asdict(mixture.decision),
    }
    write_json(folder / f"{manifest.path.stem}.json", content)
    return exported


def _exportables(run: Run, of_refit: bool) -> "list[Exportable]":
    """The networks of a run: of its one refit, else of every fold."""
    from ensemble.learn.onnx_graph import Exportable
    from ensemble.learn.preprocess import Preprocess
    from ensemble.learn.stored import stored_network

    if run.data.target != "class":
        raise SubmissionError(
            f"{run.id}: predicts {IN_WORDS[run.data.target]}; "
            "only networks of one class per image are exported as ONNX\n"
            "`ens bundle` carries any blend"
        )
    folds = run.folds[:1] if of_refit else run.folds
    return [
        Exportable(stored_network(fold, of_refit), Preprocess.of(fold.record())) for fold in folds
    ]


def _metadata(
    run: Run, members: "dict[str, list[Exportable]]", origin: dict[str, str]
) -> dict[str, str]:
    """What a program needs to prepare images and to read the output; all values are text."""
    preprocess = {run_id: folds[0].preprocess for run_id, folds in members.items()}
    mean_std = {
        run_id: {"mean": list(member.mean), "std": list(member.std)}
        for run_id, member in preprocess.items()
    }
    geometry = next(iter(preprocess.values())).geometry
    return {
        "ens": __version__,
        "input": "pixels: uint8 (images, size, size, 3), RGB; the graph scales and normalizes them",
        "output": "probs: float32 (images, classes)",
        "preprocessing": json.dumps(asdict(geometry)),
        "normalization": json.dumps(mean_std),
        "classes": json.dumps(sorted(run.classes), ensure_ascii=False),
        "decision": json.dumps(asdict(MostProbable())),
        **origin,
    }


def _check_new(path: Path) -> None:
    if path.exists():
        raise SubmissionError(f"{path}: exists\nchoose another --to, or remove it first")
