"""Import predictions as a run: read them, match their rows with those of other runs, store them."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ensemble import __version__
from ensemble.dataset.class_columns import matched_columns
from ensemble.dataset.sample import COPY
from ensemble.errors import DataError, MismatchError
from ensemble.files import make_folder
from ensemble.metrics import DEFAULT_METRIC, metric_names
from ensemble.predictions import Predictions
from ensemble.runs import DataInfo, Run, RunStore, StoredRun, writer
from ensemble.runs.groups import by_validation_rows
from ensemble.runs.import_columns import TRUTH_IN_CSV
from ensemble.runs.import_files import read_predictions
from ensemble.runs.import_match import matched, overlap, rows_of, with_classes
from ensemble.runs.scores import scores_of
from ensemble.targets import Target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # as of a recipe


def import_run(
    name: str,
    arch: str,
    valid: Path,
    test: Path | None,
    store: RunStore,
    data: str | None = None,
    target: Target | None = None,
    tell: Callable[[str], object] = str,
) -> Run:
    """Store predictions as a run. Raises DataError, MismatchError, DamagedError.

    target is what they are about: one class per image where a file does not say. tell is given a
    line for each thing that was matched loosely.

    Rows that other runs were validated on are recognized by their ids and need no true classes.
    Other rows need them in the file and become a data set of their own.
    """
    _check_name(name)
    _check_name(data or name)
    if not arch.isprintable():
        raise DataError(f"--arch {arch[:100]!r}: not plain text")
    predictions = read_predictions(valid, target)
    reference = _reference(valid, predictions, store, data)
    if reference:
        predictions = matched(valid, predictions, reference.valid(), tell)
        info = _data_of(reference.data, predictions)
    else:
        info = _new_data(data or name, predictions)
    test_predictions = read_predictions(test, predictions.target) if test else None
    if test_predictions and test:
        if reference and reference.data.n_test:
            test_predictions = matched(test, test_predictions, reference.test(), tell)
        test_predictions = with_classes(test, test_predictions, predictions.classes, tell)
        _check_other_rows(test, test_predictions, predictions)
    members = [predictions.canonical()]
    if test_predictions:
        members.append(test_predictions.canonical())
    return _store(name, arch, members, info, store, reference.sample_copy() if reference else None)


def _check_other_rows(test: Path, tested: Predictions, validated: Predictions) -> None:
    """Raises DataError where test predictions are those of the validation rows."""
    a, b = tested.canonical(), validated.canonical()
    if np.array_equal(a.ids, b.ids) and np.allclose(a.probs, b.probs):
        raise DataError(f"{test}: holds the validation rows\n--test is about the test images")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{name[:100]!r} is not a valid name: use letters, digits, dot, dash, underscore, "
            "100 at most"
        )


def _reference(
    path: Path, predictions: Predictions, store: RunStore, data: str | None
) -> Run | None:
    """A run validated on these rows, one with a test set if there is any. Raises MismatchError.

    None if no run was, which needs true classes; rows that look like those of a run under other
    ids are refused.
    """
    matches, problems = [], []
    for run in _run_per_data(store, data):
        ids = run.valid().ids
        try:
            rows_of(path, predictions.ids, ids)
            matches.append(run)
        except MismatchError as error:
            is_needed = predictions.targets is None or data is not None
            if is_needed or overlap(predictions.ids, ids) > 0.5:
                problems.append(f"{run.data.name}: {str(error).partition(': ')[2]}")
    if matches:
        return max(matches, key=lambda run: _likeness(predictions, run))
    if problems or predictions.targets is None:
        raise MismatchError(_no_reference(path, predictions, problems, store, data))
    return None


def _likeness(predictions: Predictions, run: Run) -> tuple[bool, bool, bool]:
    classes = matched_columns(predictions.classes, run.classes)
    is_equal = set(predictions.classes) == set(run.classes)
    return (run.data.target == predictions.target, is_equal, classes is not None)


def _run_per_data(store: RunStore, data: str | None) -> list[Run]:
    """A run for each set of validation rows, with a test set where any run has one."""
    candidates = [run for run in store.finished() if data in (None, run.data.name)]
    groups = by_validation_rows(candidates)
    return [max(runs, key=lambda run: run.data.n_test > 0) for runs in groups]


def _no_reference(
    path: Path,
    predictions: Predictions,
    problems: Sequence[str],
    store: RunStore,
    data: str | None,
) -> str:
    if problems:
        reason = "; ".join(problem.replace("\n", " ") for problem in problems[:2])
    else:
        names = sorted({run.data.name for run in store.finished()})
        there_is = f", only of {', '.join(names)[:100]}" if names else ""
        reason = f"{store.root} holds no run{f' of the data {data}' if data else ''}{there_is}"
    if predictions.targets is None:
        next_step = f"else add the true {TRUTH_IN_CSV[predictions.target]}, in an .npz `targets`"
    else:
        next_step = "a new --data NAME creates a new data set"
    return f"{path}: not the validation rows of any run\n{reason}\n{next_step}"


def _new_data(name: str, predictions: Predictions) -> DataInfo:
    rows = predictions.canonical()
    targets = rows.known_targets  # _reference refuses unknown rows without true classes
    content = repr((rows.classes, list(zip(rows.ids.tolist(), targets.tolist(), strict=True))))
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    is_class = rows.target == "class"
    return DataInfo(
        name=name,
        fingerprint=fingerprint,
        valid=fingerprint,
        n_train=0,
        n_valid=len(rows.ids),
        target=rows.target,
        majority=float(np.bincount(targets).max() / len(rows.ids)) if is_class else None,
        metric=None if is_class else DEFAULT_METRIC[rows.target],
    )


def _data_of(info: DataInfo, predictions: Predictions) -> DataInfo:
    """The data of a run with the rows of another one, perhaps with grades as another target."""
    if info.target == predictions.target:
        return info
    data = _new_data(info.name, predictions)
    keys = ["sample_submission", "sample_sha256", "is_grouped"]
    if info.metric in metric_names(data.target):
        keys.append("metric")
    return data.model_copy(update={key: getattr(info, key) for key in keys})


def _store(
    name: str,
    arch: str,
    members: Sequence[Predictions],
    info: DataInfo,
    store: RunStore,
    sample: Path | None,
) -> Run:
    """The run of these validation predictions and, if there are two members, test predictions."""
    valid, test = members[0], members[1] if len(members) > 1 else None
    content = [(part.ids.tolist(), part.classes, part.probs.tobytes()) for part in members]
    digest = hashlib.sha256(repr((info.valid, content)).encode()).hexdigest()[:8]
    folder = make_folder(store.folder(f"{name}-{digest}-s0"))
    writer.write_predictions(folder, valid, test)
    if sample is not None:
        writer.write_sample(folder, sample.read_bytes())
    run = StoredRun(
        id=folder.name,
        recipe=name,
        digest=digest,
        arch=arch,
        strategy="imported",
        seed=0,
        scores=scores_of(valid, info),
        classes=valid.classes,
        data=info.model_copy(
            update={
                "n_test": len(test.ids) if test else 0,
                "is_grouped": valid.groups is not None,
            }
        ),
        training=None,
        versions={"ens": __version__},
        files=writer.hashes(folder, ("valid.npz", "test.npz", COPY)),
        created=writer.now(),
        folder=folder,
    )
    writer.publish(run)
    return run
