"""Made-up predictions, runs and images; every test keeps its files in its own tmp_path."""

import csv
import json
import os
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from ensemble.files import sha256
from ensemble.metrics import accuracy as accuracy_of
from ensemble.metrics import log_loss
from ensemble.predictions import Predictions
from ensemble.runs import DataInfo, Scores, StoredRun, TrainingRecord, publish
from ensemble.torch_env import prepare_torch

prepare_torch()  # as the command line does, before any test loads torch
settings.register_profile(
    "quick",
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("quick")

COLOURS = {"blue": (60, 60, 180), "green": (60, 180, 60), "red": (180, 60, 60)}


RECORD = TrainingRecord(
    preprocessing={"size": 32},
    batch_size=64,
    lr=1e-3,
    best_epoch=2,
    n_epochs=3,
    n_parameters=1000,
    n_trainable=1000,
    device="cpu",
    precision="fp32",
    threads=1,
    seconds={"train": 2.0, "predict": 0.5},
    images_per_second=100.0,
)


@pytest.fixture
def run_ens(monkeypatch, capsys):
    """run_ens(*words): exit status, stdout and stderr of a command in the current folder."""

    def run_ens(*words):
        from ensemble.cli import main

        monkeypatch.setattr(sys, "argv", ["ens", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return run_ens


@pytest.fixture
def ens(run_ens):
    """ens(*words): what a command prints in the current folder, which must succeed."""

    def ens(*words):
        status, out, err = run_ens(*words)
        assert status == 0, err
        return out

    return ens


@pytest.fixture
def failing_ens(run_ens):
    """failing_ens(status, *words): what a command that must end so prints on stderr."""

    def failing_ens(expected, *words):
        status, _, err = run_ens(*words)
        assert status == expected, err
        return err

    return failing_ens


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ENS_DATA", raising=False)
    monkeypatch.delenv("ENS_RUNS", raising=False)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _made_up(rng, n=200, classes=("a", "b", "c"), accuracy=0.9, ids=None):
    c = len(classes)
    ids = np.array([f"{i:05d}" for i in range(n)] if ids is None else ids)
    targets = np.arange(len(ids)) % c
    named = targets.copy()
    wrong = rng.permutation(len(ids))[: round(len(ids) * (1 - accuracy))]
    named[wrong] = (named[wrong] + rng.integers(1, c, len(wrong))) % c
    probs = rng.dirichlet(np.ones(c), len(ids))
    probs[np.arange(len(ids)), named] += 1
    return Predictions(
        ids, tuple(classes), (probs / probs.sum(1, keepdims=True)).astype(np.float32), targets
    )


@pytest.fixture(scope="session")
def made_up():
    """made_up(rng, n, classes, accuracy, ids): predictions that are right on exactly this share of the rows.

    The targets depend on the number of rows and classes alone, so several of them are about the same images.
    """
    return _made_up


def _content(predictions):
    rows = sorted(zip(predictions.ids.tolist(), predictions.targets.tolist(), strict=True))
    return f"{zlib.crc32(repr([predictions.classes, rows]).encode()):08x}"


def _fake_run(
    store_root, name, accuracy=0.9, arch="resnet18", predictions=None, test=None, **fields
):
    folder = Path(store_root) / name
    folder.mkdir(parents=True)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    valid = predictions or _made_up(rng, accuracy=accuracy)
    if test is None:
        guess = _made_up(rng, 50, valid.classes, accuracy)
        test = Predictions(np.array([f"t{key}" for key in guess.ids]), guess.classes, guess.probs)
    valid.save(folder / "valid.npz")
    test.save(folder / "test.npz")
    content = _content(valid)
    values = {
        "id": name,
        "recipe": name.split("-")[0],
        "digest": f"{zlib.crc32(name.encode()):08x}",
        "arch": arch,
        "strategy": "fine_tune",
        "seed": 0,
        "scores": Scores(
            accuracy=accuracy_of(valid.probs, valid.targets),
            log_loss=log_loss(valid.probs, valid.targets),
        ),
        "classes": valid.classes,
        "data": DataInfo(
            name="made-up",
            fingerprint=content,
            valid=content,
            n_train=4 * len(valid.ids),
            n_valid=len(valid.ids),
            n_test=len(test.ids),
            majority=float(np.bincount(valid.targets).max() / len(valid.ids)),
            is_grouped=valid.groups is not None,
        ),
        "training": RECORD,
        "versions": {"ensemble": "0.1.0"},
        "files": {file: sha256(folder / file) for file in ("valid.npz", "test.npz")},
        "created": "2024-01-01T00:00:00+00:00",
        "folder": folder,
    }
    run = StoredRun.model_validate(values | fields)
    publish(run)
    return run


@pytest.fixture(scope="session")
def fake_run():
    """A finished run's folder, without torch: fake_run(root, name, accuracy, arch, predictions, test, **fields)."""
    return _fake_run


def _tiny_images(folder):
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(20):
            noise = rng.normal(0, 30, (32, 32, 3))
            pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="session")
def tiny_images():
    """tiny_images(folder): 60 pictures, 32 × 32, in the class folders blue, green and red; returns the folder."""
    return _tiny_images


class KaggleSite:
    """A local server with the calls to Kaggle that downloading and submitting need.

    archives are the files of competitions, by slug. truth is the hidden label of each id; a submission of class
    columns is scored by its log loss, one of labels by its accuracy. delay counts how often a score is still pending;
    refuse maps a call, or "upload", to a status and a message; n_left is the quota of a day.
    """

    def __init__(self, truth=None):
        self.truth, self.delay, self.refuse, self.n_left = truth or {}, 1, {}, 5
        self.uploads, self.names, self.submissions, self.calls = {}, {}, [], []
        self.archives = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                call = self.path.rpartition("/")[2]
                site.calls.append(call)
                if call in site.refuse:
                    status, message = site.refuse[call]
                    self.reply(status, {"code": status, "message": message})
                elif call == "DownloadDataFiles":
                    self.send_response(302)
                    self.send_header("Location", f"/{body['competitionName']}.zip?signature=1")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self.reply(200, getattr(site, call)(body))

            def do_GET(self):
                slug = self.path.partition(".zip")[0].removeprefix("/")
                self.send(200, site.archives[slug], "application/zip")

            def do_PUT(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                site.uploads[self.path.rpartition("/")[2]] = content.decode()
                self.reply(site.refuse.get("upload", (200, ""))[0], {})

            def reply(self, status, value):
                self.send(status, json.dumps(value).encode(), "application/json")

            def send(self, status, content, kind):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def GetSubmissionLimits(self, body):  # noqa: N802
        n = len(self.submissions)
        return {
            "numToday": n,
            "numTotal": n,
            "numAllowedNow": self.n_left - n,
            "limitedByTotal": False,
        }

    def StartSubmissionUpload(self, body):  # noqa: N802
        token = f"upload-{len(self.uploads)}"
        self.names[token] = body["fileName"]
        return {"token": token, "createUrl": f"{self.url}/put/{token}"}

    def CreateSubmission(self, body):  # noqa: N802
        ref = 1000 + len(self.submissions)
        text = self.uploads[body["blobFileTokens"]]
        self.submissions.append(
            {
                "ref": ref,
                "description": body["submissionDescription"],
                "date": "2024-01-01T00:00:00Z",
                "text": text,
                "fileName": self.names[body["blobFileTokens"]],
            }
        )
        return {"message": "Successfully submitted", "ref": ref}

    def ListSubmissions(self, body):  # noqa: N802
        self.delay -= 1
        listed = []
        for upload in reversed(self.submissions):
            fields = {key: upload[key] for key in ("ref", "description", "date", "fileName")}
            score = self.scored(upload["text"]) if self.delay < 0 else {"status": "PENDING"}
            listed.append(fields | score)
        return {"submissions": listed}

    def scored(self, text):
        header, *rows = csv.reader(text.splitlines())
        if {row[0] for row in rows} != set(self.truth):
            return {"status": "ERROR", "errorDescription": "ids do not match"}
        if len(header) == 2:
            score = np.mean([row[1] == self.truth[row[0]] for row in rows])
        else:
            score = -np.mean([np.log(float(row[header.index(self.truth[row[0]])])) for row in rows])
        return {"status": "COMPLETE", "publicScore": f"{abs(score):.5f}"}


@pytest.fixture
def kaggle_site(tmp_path, monkeypatch):
    """A KaggleSite, which Kaggle's real client in this process uses, with made-up credentials."""
    site = KaggleSite()
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret-key")
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    pytest.importorskip("kaggle", reason="Kaggle's client is not installed", exc_type=ImportError)
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.LOCAL, site.url)
    yield site
    site.server.shutdown()
    site.server.server_close()
