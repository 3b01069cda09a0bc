"""Fuzz the readers of files that a user may receive: `python bench/fuzz.py TARGET [libFuzzer's arguments]`.

Needs atheris (`pip install atheris`), which is no dependency and no part of CI; there tests/test_fuzz.py gives the same
targets to hypothesis. A crash is an error that is not ours. Such as, with new inputs going to the first folder:

    python bench/fuzz.py recipe corpus recipes -max_total_time=60
"""

import csv
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml

from ensemble.dataset.archives.cached import unpack_into
from ensemble.dataset.csvfile import read_csv
from ensemble.dataset.pixel_store import _read as read_array
from ensemble.errors import DamagedError, DataError, EnsembleError, RecipeError, SubmissionError
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.runs import StoredRun, history_of, range_test_of
from ensemble.runs.data_info import DataInfo
from ensemble.runs.import_files import read_predictions
from ensemble.runs.read import read_run
from ensemble.submission.manifest import read_manifest
from ensemble.submission.shape import Meaning, matched_rows, shape_of
from ensemble.submission.stored_blends import newest_blends

CLASSES = ("a", "b")
TESTED = Predictions(np.array(["t0", "t1.png", "t2"]), CLASSES, np.full((3, 2), 0.5))


def recipe(raw: bytes, folder: Path) -> None:
    """RecipeError, or a recipe that reads back as the same from what a run stores of it."""
    path = folder / "r.yaml"
    path.write_bytes(raw)
    with suppress(RecipeError):
        found = Recipe.load(path)
        path.write_text(
            yaml.safe_dump(json.loads(found.model_dump_json()), allow_unicode=True),
            encoding="utf-8",
        )
        assert Recipe.load(path) == found


def table(raw: bytes, folder: Path) -> None:
    """DataError, or rows that have a cell for every column, and come back as they are when they are written."""
    path = folder / "t.csv"
    path.write_bytes(raw)
    with suppress(DataError):
        header, rows = read_csv(path)
        assert all(list(row) == header for row in rows)
        with path.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out, quoting=csv.QUOTE_ALL).writerows(
                [header, *(row.values() for row in rows)]
            )
        assert read_csv(path) == (header, rows)


def import_csv(raw: bytes, folder: Path) -> None:
    """DataError, DamagedError, or predictions that keep their rules."""
    path = folder / "v.csv"
    path.write_bytes(raw)
    with suppress(DataError, DamagedError):
        _keeps_its_rules(read_predictions(path), folder)


def npz(raw: bytes, folder: Path) -> None:
    """DamagedError, or predictions that keep their rules."""
    path = folder / "v.npz"
    path.write_bytes(raw)
    with suppress(DamagedError):
        _keeps_its_rules(Predictions.load(path), folder)


def _keeps_its_rules(found: Predictions, folder: Path) -> None:
    """Sums of 1, ids and classes once and in UTF-8, targets among the classes; the same when stored and read again."""
    one = found.canonical()
    assert np.allclose(one.probs.sum(1), 1)
    assert (one.probs >= 0).all()
    assert len(set(one.ids.tolist())) == len(one.ids) == len(one.probs)
    assert "".join([*one.ids.tolist(), *one.classes]).encode() is not None
    assert one.targets is None or ((one.targets >= 0) & (one.targets < len(one.classes))).all()
    found.save(folder / "again.npz")
    again = Predictions.load(folder / "again.npz")
    assert again.ids.tolist() == found.ids.tolist()
    assert again.classes == found.classes


def run_json(raw: bytes, folder: Path) -> None:
    """DamagedError, or a run that can be written again."""
    path = folder / "r-1-s0" / "run.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(raw)
    with suppress(DamagedError):
        found = read_run(path)
        path.write_text(found.to_json(), encoding="utf-8")
        assert read_run(path) == found


def sample(raw: bytes, folder: Path) -> None:
    """SubmissionError, DataError, or a shape whose every id has a test image of its own."""
    path = folder / "s.csv"
    path.write_bytes(raw)
    with suppress(SubmissionError, DataError):
        shape = shape_of(path, TESTED, Meaning(positive="a"))
        rows = matched_rows(shape, TESTED.ids.tolist())[0]
        assert len(set(rows)) == len(rows) == len(shape.ids)


def archive(raw: bytes, folder: Path) -> None:
    """DataError, OSError, or files below one folder."""
    for suffix in ("zip", "tar", "7z"):
        path, target = folder / f"a.{suffix}", folder / suffix / "deep" / "er"
        path.write_bytes(raw)
        target.mkdir(parents=True, exist_ok=True)
        with suppress(DataError, OSError):
            unpack_into(path, target)
        outside = [
            found for found in (folder / suffix).rglob("*") if not found.is_relative_to(target)
        ]
        assert outside == [folder / suffix / "deep"]
        assert not any(found.is_symlink() for found in target.rglob("*"))


def manifest(raw: bytes, folder: Path) -> None:
    """SubmissionError, or weights that sum to 1 of members with hashes; the same for the report's reader."""
    path = folder / "s.json"
    path.write_bytes(raw)
    with suppress(SubmissionError):
        found = read_manifest(path)
        assert abs(sum(found.mixture.weights.values()) - 1) < 1e-6
        assert found.hashes.keys() == found.mixture.weights.keys()
    for _, options, members in newest_blends(folder).values():
        assert isinstance(options.per_arch, int)
        assert members
    path.unlink()


_DATA = DataInfo(name="d", fingerprint="f", valid="v", n_train=2, n_valid=2)


def curves(raw: bytes, folder: Path) -> None:
    """DamagedError, or finite numbers that a chart can show."""
    for name, read in (("history.csv", history_of), ("lr_find.csv", range_test_of)):
        (folder / name).write_bytes(raw)
        with suppress(DamagedError):
            run = StoredRun.model_construct(folder=folder, id="r", files={}, data=_DATA)
            for row in read(run):
                numbers = (
                    row
                    if isinstance(row, tuple)
                    else (row.train_loss, row.valid_loss, row.accuracy or 0.0, row.epoch)
                )
                assert np.isfinite(numbers).all()


def sidecar(raw: bytes, folder: Path) -> None:
    """None, or rows that the array has."""
    array, path = folder / "p.npy", folder / "p.sidecar.json"
    if not array.exists():
        np.save(array, np.zeros((3, 2, 2, 3), np.uint8))
    path.write_bytes(raw)
    stored = read_array(array, path, 3)
    assert stored is None or all(0 <= row < 3 for row, _ in stored[1].unreadable)


def search(raw: bytes, folder: Path) -> None:
    """EnsembleError, or trials that can be listed. Bytes of a good database are overwritten by these."""
    from ensemble.engines.study import open_database

    path = folder / "s.db"
    path.write_bytes(raw)
    with suppress(EnsembleError):
        assert open_database(path, "s", "minimize").get_trials() is not None


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "recipe": recipe,
    "table": table,
    "import_csv": import_csv,
    "npz": npz,
    "run_json": run_json,
    "sample": sample,
    "archive": archive,
    "manifest": manifest,
    "curves": curves,
    "sidecar": sidecar,
    "search": search,
}


def main() -> None:
    """Hand a target to libFuzzer until it crashes or its time is over."""
    import atheris

    target = TARGETS[sys.argv.pop(1)]

    def one(raw: bytes) -> None:
        with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
            target(raw, Path(folder))

    atheris.instrument_all()
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
