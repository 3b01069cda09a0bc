"""Predictions made elsewhere become a run: read, matched with the rows that other runs know, checked, stored."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from ensemble import __version__, metrics
from ensemble.dataset.csvfile import read_csv
from ensemble.dataset.filenames import matcher
from ensemble.dataset.sample import COPY
from ensemble.errors import DamagedError, DataError, MismatchError
from ensemble.files import atomic_path, make_folder, sha256
from ensemble.predictions import Array, Predictions, some
from ensemble.runs import FORMAT, DataInfo, Run, RunStore, Scores, publish
from ensemble.runs.groups import by_validation_rows

LABEL = "label"  # the CSV column that holds the true class
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # as of a recipe


def import_run(
    name: str, arch: str, valid: Path, test: Path | None, store: RunStore, data: str | None = None
) -> Run:
    """Store predictions as a run. Raises DataError, MismatchError, DamagedError.

    Rows that other runs were validated on are known by their ids, and so are their true classes; other rows need the
    true classes in the file and make a data set of their own.
    """
    for said in (name, data or name):
        if not _NAME.fullmatch(said):
            raise DataError(
                f"{said[:100]!r} is no name: letters, digits, dot, dash, underscore, 100 at most"
            )
    if not arch.isprintable():
        raise DataError(f"--arch {arch[:100]!r}: not plain text")
    mine = read_predictions(valid)
    known = _known(valid, mine, store, data)
    if known:
        mine = _matched(valid, mine, known.valid())
        info = known.data
    else:
        info = _own_data(data or name, mine)
    tested = read_predictions(test) if test else None
    if tested and test and known and known.data.n_test:
        tested = _matched(test, tested, known.test())
    if tested and set(tested.classes) != set(mine.classes):
        odd = some(set(tested.classes) ^ set(mine.classes), 40)
        raise MismatchError(f"{test}: its classes are not those of {valid}: {odd}")
    sample = known.sample_copy() if known else None
    return _store(name, arch, mine.canonical(), tested and tested.canonical(), info, store, sample)


def read_predictions(path: Path) -> Predictions:
    """An .npz as `docs/formats.md` says, or a CSV: ids, one column of probabilities per class, and perhaps `label`.

    Raises DamagedError, DataError.
    """
    if path.suffix == ".npz":
        stored = Predictions.load(path)
        if not len(stored.ids):
            raise DataError(f"{path}: has no rows")
        if len(stored.classes) < 2:
            raise DataError(
                f"{path}: has one class, {stored.classes[0][:100]!r}; needs two at least"
            )
        return stored
    header, rows = read_csv(path)
    classes = [column for column in header[1:] if column != LABEL]
    if len(classes) < 2:
        raise DataError(
            f"{path}: needs an id column and one column per class; it has {', '.join(header)[:200]}"
        )
    probs = np.empty((len(rows), len(classes)))
    for i, row in enumerate(rows):
        for j, column in enumerate(classes):
            try:
                probs[i, j] = float(row[column])
            except ValueError:
                raise DataError(
                    f"{path}: {row[header[0]]!r}: {column} is {row[column][:40]!r}, not a number"
                ) from None
    targets = _targets(path, [row[LABEL] for row in rows], classes) if LABEL in header else None
    try:
        return Predictions(
            np.array([row[header[0]] for row in rows]), tuple(classes), probs, targets
        )
    except DamagedError as error:
        raise DamagedError(f"{path}: {error}") from None


def _targets(path: Path, labels: Sequence[str], classes: Sequence[str]) -> Array:
    place = {name: i for i, name in enumerate(classes)}
    unknown = sorted(set(labels) - place.keys())
    if unknown:
        raise DataError(f"{path}: {unknown[0]!r} in column {LABEL} has no column of probabilities")
    return np.array([place[label] for label in labels])


def _known(path: Path, mine: Predictions, store: RunStore, data: str | None) -> Run | None:
    """A run validated on these rows, with a test set if there is one. Raises MismatchError.

    Rows that no run knows need their true classes, and must not be a known data set's rows in other clothes.
    """
    found, refused = [], []
    candidates = [run for run in store.finished() if data in (None, run.data.name)]
    for runs in by_validation_rows(candidates):
        run = max(runs, key=lambda run: run.data.n_test > 0)
        ids = run.valid().ids
        try:
            _rows(path, mine.ids, ids)
            found.append(run)
        except MismatchError as error:
            if mine.targets is None or data is not None or _overlap(mine.ids, ids) > 0.5:
                refused.append(f"{run.data.name}: {str(error).partition(': ')[2]}")
    if found:
        return max(found, key=lambda run: set(run.classes) == set(mine.classes))
    if refused or mine.targets is None:
        why = (
            "; ".join(line.replace("\n", " ") for line in refused[:2])
            or f"there is no run in {store.root}"
        )
        way = (
            "another --data NAME makes a data set of its own"
            if mine.targets is not None
            else (f"else add the true classes: a column `{LABEL}`, in an .npz `targets`")
        )
        raise MismatchError(f"{path}: not the validation rows of any run\n{why}\n{way}")
    return None


def _overlap(mine: Array, known: Array) -> float:
    """The share of known ids that mine hold, whatever suffixes and leading zeros."""
    places_of = matcher(name.lstrip("0") for name in mine.tolist())
    return float(np.mean([bool(places_of(name.lstrip("0"))) for name in known.tolist()]))


def _matched(path: Path, mine: Predictions, known: Predictions) -> Predictions:
    """My predictions with the known rows' ids, order, classes and true classes. Raises MismatchError."""
    if set(mine.classes) != set(known.classes):
        lost, extra = set(known.classes) - set(mine.classes), set(mine.classes) - set(known.classes)
        raise MismatchError(
            f"{path}: other classes than the runs: missing {some(lost, 40)}; not known {some(extra, 40)}"
        )
    rows = _rows(path, mine.ids, known.ids)
    columns = [mine.classes.index(name) for name in known.classes]
    if mine.targets is not None and known.targets is not None:
        wrong = np.flatnonzero(np.argsort(columns)[mine.targets[rows]] != known.targets)
        if len(wrong):
            raise MismatchError(
                f"{path}: {len(wrong)} true classes differ from the runs', the first: {str(known.ids[wrong[0]])!r}"
            )
    return Predictions(known.ids, known.classes, mine.probs[rows][:, columns], known.targets)


def _rows(path: Path, mine: Array, known: Array) -> Array:
    """My row of each known id, matched as text: exactly, then without a suffix. Raises MismatchError."""
    places_of = matcher(mine.tolist())
    found = [places_of(name) for name in known.tolist()]
    if all(len(rows) == 1 for rows in found) and len({rows[0] for rows in found}) == len(
        mine
    ) == len(known):
        return np.array([row for (row,) in found])
    lost, extra = set(known.tolist()) - set(mine.tolist()), set(mine.tolist()) - set(known.tolist())
    hint = ""
    if {name.lstrip("0") for name in lost} & {name.lstrip("0") for name in extra}:
        hint = "\nthey look like numbers without their leading zeros: read and write ids as text"
    raise MismatchError(
        f"{path}: {len(mine):,} rows for {len(known):,}: missing {some(lost, 40)}; not known {some(extra, 40)}{hint}"
    )


def _own_data(name: str, mine: Predictions) -> DataInfo:
    assert mine.targets is not None  # _known refuses unknown rows without true classes
    one = mine.canonical()
    assert one.targets is not None
    text = repr((one.classes, list(zip(one.ids.tolist(), one.targets.tolist(), strict=True))))
    content = hashlib.sha256(text.encode()).hexdigest()
    majority = float(np.bincount(mine.targets).max() / len(mine.ids))
    return DataInfo(
        name=name,
        fingerprint=content,
        valid=content,
        n_train=0,
        n_valid=len(mine.ids),
        majority=majority,
    )


def _store(
    name: str,
    arch: str,
    valid: Predictions,
    test: Predictions | None,
    info: DataInfo,
    store: RunStore,
    sample: Path | None,
) -> Run:
    assert valid.targets is not None
    parts = {"valid.npz": valid, "test.npz": test}
    said = [
        (part.ids.tolist(), part.classes, part.probs.tobytes()) for part in parts.values() if part
    ]
    digest = hashlib.sha256(repr((info.valid, said)).encode()).hexdigest()[:8]
    folder = store.folder(f"{name}-{digest}-s0")
    make_folder(folder)
    for file, part in parts.items():
        if part:
            part.save(folder / file)
    if sample:
        with atomic_path(folder / COPY) as temporary:
            temporary.write_bytes(sample.read_bytes())
    run = Run(
        format=FORMAT,
        id=folder.name,
        recipe=name,
        digest=digest,
        arch=arch,
        strategy="imported",
        seed=0,
        scores=Scores(
            accuracy=metrics.accuracy(valid.probs, valid.targets),
            log_loss=metrics.log_loss(valid.probs, valid.targets),
        ),
        classes=valid.classes,
        data=info.model_copy(update={"n_test": len(test.ids) if test else 0}),
        preprocessing={},
        batch_size=0,
        lr=0,
        best_epoch=0,
        n_epochs=0,
        n_parameters=0,
        n_trainable=0,
        device="",
        precision="",
        threads=0,
        seconds={},
        images_per_second=0,
        versions={"ens": __version__},
        files={file: sha256(folder / file) for file in (*parts, COPY) if (folder / file).exists()},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        folder=folder,
    )
    publish(run)
    return run
