"""Import predictions as a run: read them, match their rows with those of other runs, store them."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ensemble import __version__
from ensemble.dataset.filenames import matcher
from ensemble.dataset.sample import COPY
from ensemble.errors import DataError, MismatchError
from ensemble.files import make_folder
from ensemble.metrics import DEFAULT_METRIC, metric_names
from ensemble.predictions import Array, Predictions, some
from ensemble.runs import DataInfo, Run, RunStore, StoredRun, writer
from ensemble.runs.grades import rows_as
from ensemble.runs.groups import by_validation_rows
from ensemble.runs.import_files import TRUTH_IN_CSV, read_predictions
from ensemble.runs.scores import scores_of
from ensemble.targets import IN_WORDS, Target, by_column

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # as of a recipe


def import_run(
    name: str,
    arch: str,
    valid: Path,
    test: Path | None,
    store: RunStore,
    data: str | None = None,
    target: Target | None = None,
) -> Run:
    """Store predictions as a run. Raises DataError, MismatchError, DamagedError.

    target is what they are about: one class per image where a file does not say.

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
        predictions = _matched(valid, predictions, reference.valid())
        info = _data_of(reference.data, predictions)
    else:
        info = _new_data(data or name, predictions)
    test_predictions = read_predictions(test, predictions.target) if test else None
    if test_predictions and test:
        if reference and reference.data.n_test:
            test_predictions = _matched(test, test_predictions, reference.test())
        _check_classes(test, test_predictions, valid, predictions)
    members = [predictions.canonical()]
    if test_predictions:
        members.append(test_predictions.canonical())
    return _store(name, arch, members, info, store, reference.sample_copy() if reference else None)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise DataError(
            f"{name[:100]!r} is not a valid name: use letters, digits, dot, dash, underscore, "
            "100 at most"
        )


def _check_classes(test: Path, tested: Predictions, valid: Path, validated: Predictions) -> None:
    difference = set(tested.classes) ^ set(validated.classes)
    if difference:
        raise MismatchError(f"{test}: its classes are not those of {valid}: {some(difference, 40)}")


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
            _rows(path, predictions.ids, ids)
            matches.append(run)
        except MismatchError as error:
            is_needed = predictions.targets is None or data is not None
            if is_needed or _overlap(predictions.ids, ids) > 0.5:
                problems.append(f"{run.data.name}: {str(error).partition(': ')[2]}")
    if matches:
        classes, target = set(predictions.classes), predictions.target
        return max(matches, key=lambda run: (run.data.target == target, {*run.classes} == classes))
    if problems or predictions.targets is None:
        raise MismatchError(_no_reference(path, predictions, problems, store))
    return None


def _run_per_data(store: RunStore, data: str | None) -> list[Run]:
    """A run for each set of validation rows, with a test set where any run has one."""
    candidates = [run for run in store.finished() if data in (None, run.data.name)]
    groups = by_validation_rows(candidates)
    return [max(runs, key=lambda run: run.data.n_test > 0) for runs in groups]


def _no_reference(
    path: Path, predictions: Predictions, problems: Sequence[str], store: RunStore
) -> str:
    reasons = [problem.replace("\n", " ") for problem in problems[:2]]
    reason = "; ".join(reasons) or f"{store.root} holds no run"
    if predictions.targets is None:
        next_step = f"else add the true {TRUTH_IN_CSV[predictions.target]}, in an .npz `targets`"
    else:
        next_step = "a new --data NAME creates a new data set"
    return f"{path}: not the validation rows of any run\n{reason}\n{next_step}"


def _overlap(ids: Array, reference_ids: Array) -> float:
    """The share of the reference's ids among these, ignoring suffixes and leading zeros."""
    rows_of = matcher(name.lstrip("0") for name in ids.tolist())
    return float(np.mean([bool(rows_of(name.lstrip("0"))) for name in reference_ids.tolist()]))


def _matched(path: Path, predictions: Predictions, reference: Predictions) -> Predictions:
    """Predictions in the reference's order of ids and classes. Raises MismatchError.

    Grades may be classes in one of them and numbers in the other.
    """
    reference = rows_as(reference, predictions)
    if predictions.target != reference.target:
        raise MismatchError(
            f"{path}: is about {IN_WORDS[predictions.target]}, "
            f"the runs with these rows are about {IN_WORDS[reference.target]}\n"
            f"add --target {reference.target}, if its columns are those"
        )
    missing = set(reference.classes) - set(predictions.classes)
    extra = set(predictions.classes) - set(reference.classes)
    if missing or extra:
        raise MismatchError(
            f"{path}: its classes differ from the runs': missing {some(missing, 40)}; "
            f"unknown {some(extra, 40)}"
        )
    rows = _rows(path, predictions.ids, reference.ids)
    columns = [predictions.classes.index(name) for name in reference.classes]
    if predictions.targets is not None and reference.targets is not None:
        order = np.array(columns)
        targets = by_column(predictions.target, predictions.targets[rows], order)
        differs = ~np.isclose(targets, reference.targets, rtol=1e-6, atol=0)
        wrong = np.flatnonzero(differs.reshape(len(rows), -1).any(1))
        if len(wrong):
            truths = {"class": "classes", "labels": "labels", "number": "values"}
            raise MismatchError(
                f"{path}: {len(wrong)} true {truths[predictions.target]} differ from the runs', the first: "
                f"{str(reference.ids[wrong[0]])!r}"
            )
    probs = predictions.probs[rows][:, columns]
    return replace(reference, probs=probs, groups=None)


def _rows(path: Path, ids: Array, reference_ids: Array) -> Array:
    """The row of each reference id, matched as text: exactly, then without a suffix.

    Raises MismatchError.
    """
    rows_of = matcher(ids.tolist())
    candidates = [rows_of(name) for name in reference_ids.tolist()]
    is_unique = all(len(rows) == 1 for rows in candidates)
    if is_unique and len({rows[0] for rows in candidates}) == len(ids) == len(reference_ids):
        return np.array([rows[0] for rows in candidates])
    missing = set(reference_ids.tolist()) - set(ids.tolist())
    extra = set(ids.tolist()) - set(reference_ids.tolist())
    hint = ""
    if {name.lstrip("0") for name in missing} & {name.lstrip("0") for name in extra}:
        hint = "\nthey look like numbers without leading zeros: read and write ids as text"
    raise MismatchError(
        f"{path}: {len(ids):,} rows, the runs have {len(reference_ids):,}: missing {some(missing, 40)}; "
        f"unknown {some(extra, 40)}{hint}"
    )


def _new_data(name: str, predictions: Predictions) -> DataInfo:
    rows = predictions.canonical()
    assert rows.targets is not None  # _reference refuses unknown rows without true classes
    content = repr((rows.classes, list(zip(rows.ids.tolist(), rows.targets.tolist(), strict=True))))
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    is_class = rows.target == "class"
    return DataInfo(
        name=name,
        fingerprint=fingerprint,
        valid=fingerprint,
        n_train=0,
        n_valid=len(rows.ids),
        target=rows.target,
        majority=float(np.bincount(rows.targets).max() / len(rows.ids)) if is_class else None,
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
        data=info.model_copy(update={"n_test": len(test.ids) if test else 0}),
        training=None,
        versions={"ens": __version__},
        files=writer.hashes(folder, ("valid.npz", "test.npz", COPY)),
        created=writer.now(),
        folder=folder,
    )
    writer.publish(run)
    return run
