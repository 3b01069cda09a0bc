"""Readers of files from elsewhere, fed with mutated good files and with anything: one of their own errors, or a value.

The targets are those of bench/fuzz.py, which runs them under atheris by hand.
"""

import io
import json
import runpy
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutated import mutated

from ensemble.runs import RunStore

ROOT = Path(__file__).resolve().parent.parent
TARGETS = runpy.run_path(str(ROOT / "bench" / "fuzz.py"))["TARGETS"]
RECIPES = [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.yaml"))] + [
    b"""data: {source: csv, path: x, valid: {folds: 5}, size: 64, normalize: [[0, 0, 0], [1, 1, 1]], positive: "1"}
augment: {flip: true, mixup: 0.2}
model: &m {arch: resnet18, pretrained: package, head: keep, options: {drop_rate: 0.1}}
fit: {lr: {find: slide}, batch_size: auto, early_stop: {patience: 2}, weight_decay: 0}
tta: [flip, crops]
seeds: [0, 1]
"""
]
CSV = "\ufeffid,a,b,label\n" + "".join(
    f'"t{i}",0.{i + 1},0.{9 - i},{"ab"[i > 4]}\r\n' for i in range(8)
)
SAMPLES = [
    b"id,label\nt0,a\nt1,b\n",
    b"id,b,a\nt0,0,1\nt2.jpg,1,0\n",
    b'id,p\n"t1",0.5\n',
    b"id,y\nt2,0\n",
]
BYTES = st.sampled_from(
    [
        b"\0",
        b"\xff",
        b'"',
        b"\n",
        b",",
        b"'",
        b"{",
        b"[",
        b"&a ",
        b"*a",
        b"!!",
        b"-",
        b"nan",
        b"1e999",
    ]
)
mutated_file = partial(mutated, put=BYTES | st.binary(max_size=8), longest=40, most_repeats=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=200)
@given(raw=mutated_file(RECIPES) | st.binary(max_size=200))
def test_a_recipe(raw, folder):
    TARGETS["recipe"](raw, folder)


@settings(max_examples=200)
@given(
    raw=mutated_file([CSV.encode()])
    | st.binary(max_size=200)
    | st.text(max_size=60).map(str.encode)
)
def test_a_csv(raw, folder):
    TARGETS["table"](raw, folder)
    TARGETS["import_csv"](raw, folder)


@settings(max_examples=200)
@given(raw=mutated_file(SAMPLES))
def test_a_sample_submission(raw, folder):
    TARGETS["sample"](raw, folder)


def stored(**arrays):
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


GOOD_ARRAYS = {
    "ids": np.array(["a", "b", "c", "ü"]),
    "classes": np.array(["x", "y"]),
    "probs": np.full((4, 2), 0.5, np.float32),
    "targets": np.array([0, 1, 0, 1]),
}


@settings(max_examples=200)
@given(
    raw=mutated_file([stored(**GOOD_ARRAYS), stored(**GOOD_ARRAYS, groups=np.array(list("ppqq")))])
)
def test_an_npz(raw, folder):
    TARGETS["npz"](raw, folder)


@settings(max_examples=200)
@given(data=st.data())
def test_an_npz_whose_sums_agree(data, folder):
    """A member is mutated before it is packed: the archive's own checks find nothing."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(stored(**GOOD_ARRAYS))) as good,
        zipfile.ZipFile(out, "w") as changed,
    ):
        hit = data.draw(st.sampled_from(good.namelist()))
        for name in good.namelist():
            changed.writestr(
                name, data.draw(mutated_file([good.read(name)])) if name == hit else good.read(name)
            )
    TARGETS["npz"](out.getvalue(), folder)


@settings(max_examples=200)
@given(data=st.data())
def test_an_npz_of_any_arrays(data, folder):
    types = st.sampled_from(
        ["<U1", ">U3", "<U0", "S2", "<f2", ">f4", "<f8", "<i1", "<u8", "<c8", "?", "M8[s]", "V3"]
    )
    shapes = st.sampled_from([(), (0,), (2,), (4,), (4, 2), (2, 4), (4, 2, 1)])
    arrays = dict(GOOD_ARRAYS)
    for name in data.draw(
        st.lists(st.sampled_from([*GOOD_ARRAYS, "groups"]), min_size=1, max_size=2, unique=True)
    ):
        shape, kind = data.draw(shapes), np.dtype(data.draw(types))
        n_bytes = int(np.prod(shape)) * kind.itemsize
        content = data.draw(st.binary(min_size=n_bytes, max_size=n_bytes))
        arrays[name] = np.ndarray(shape, kind, content)
    TARGETS["npz"](stored(**arrays), folder)


@settings(max_examples=100)
@given(data=st.data())
def test_a_run_json(data, folder, fake_run):
    if not (folder / "runs").exists():
        fake_run(folder / "runs", "r-1-s0")
    good = RunStore(folder / "runs").get("r-1-s0").to_json()
    if data.draw(st.booleans()):
        raw = data.draw(mutated_file([good.encode()]))
    else:
        values = json.loads(good)
        section = data.draw(st.sampled_from([values, values["data"], values["scores"]]))
        anything = (
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text()
            | st.lists(st.integers())
        )
        section[data.draw(st.sampled_from(sorted(section)))] = data.draw(anything)
        raw = json.dumps(values).encode()
    TARGETS["run_json"](raw, folder)


MANIFEST = json.dumps(
    {
        "format": 1,
        "csv_sha256": "0",
        "options": {"min_acc": 0.0, "per_arch": 0, "average": "arithmetic"},
        "refits": False,
        "calibration": {"temperature": 1.5, "floor": 0.0},
        "data": {"name": "d", "valid": "v"},
        "sample_submission": {"path": "s.csv", "sha256": "0"},
        "members": [
            {"run": f"{name}-1-s0", "weight": 0.5, "sha256": {"valid.npz": "0", "test.npz": "0"}}
            for name in "ab"
        ],
    }
).encode()
HISTORY = b"epoch,phase,train_loss,valid_loss,accuracy,seconds,is_best\n1,t,0.5,0.6,0.9,1.5,0\n2,t,0.4,0.5,0.9,1,1\n"
POINTS = b"rate,smoothed_loss\n1e-05,2.5\n0.0001,2.25\n"
SIDECAR = b'{"native": true, "unreadable": [[1, "no picture"], [2, "cut"]]}'


@settings(max_examples=200)
@given(raw=mutated_file([MANIFEST]))
def test_a_manifest(raw, folder):
    TARGETS["manifest"](raw, folder)


@settings(max_examples=200)
@given(raw=mutated_file([HISTORY, POINTS]))
def test_curves(raw, folder):
    TARGETS["curves"](raw, folder)


@settings(max_examples=200)
@given(
    raw=mutated_file([SIDECAR])
    | st.sampled_from([b"[]", b"{}", b"null", b'{"native": 1, "unreadable": [[9, ""]]}'])
)
def test_a_pixel_sidecar(raw, folder):
    TARGETS["sidecar"](raw, folder)


@pytest.fixture(scope="module")
def search_bytes(folder):
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{folder / 'good.db'}")
    study.enqueue_trial({"x": 1.0})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 2), n_trials=2)
    return (folder / "good.db").read_bytes()


@settings(max_examples=15)
@given(data=st.data())
def test_a_search_database(data, folder, search_bytes):
    TARGETS["search"](data.draw(mutated_file([search_bytes])), folder)


@pytest.mark.parametrize("target", [name for name in TARGETS if name != "search"])
def test_every_target_takes_the_good_file_and_nothing(target, tmp_path):
    for raw in (b"", RECIPES[-1], CSV.encode(), SAMPLES[0], stored(**GOOD_ARRAYS)):
        TARGETS[target](raw, tmp_path)
