"""Signals: the command ends after the batch in hand with 130 or 143, says how to go on, and then does go on."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from ensemble.errors import Stopped
from ensemble.events import Note, ignore
from ensemble.signals import SIGNALS, stoppable

TINY = """
data: {{source: folder, path: {images}, valid: 0.2, test: 0.2, size: 32}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: {epochs}, lr: 0.003, batch_size: 16}}
"""
NOTE = Note("run", "text")


def stopped_by(*numbers, told):
    """Send these signals to ourselves under a listener, then work on; which signal ended it."""
    try:
        with stoppable(told.append) as emit:
            emit(NOTE)
            for number in numbers:
                os.kill(os.getpid(), number)
            told.append("work")
            emit(NOTE)
            told.append("never")
    except Stopped as stopped:
        return stopped.signal
    return None


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_counts_at_the_next_event_and_handlers_come_back(number):
    before, told = [signal.getsignal(own) for own in SIGNALS], []
    assert stopped_by(number, told=told) == number
    assert told == [NOTE, "work", NOTE]
    assert [signal.getsignal(own) for own in SIGNALS] == before


def test_a_second_signal_ends_what_has_no_events():
    told = []
    assert stopped_by(signal.SIGINT, signal.SIGTERM, told=told) == signal.SIGTERM
    assert told == [NOTE]


def test_outside_the_main_thread_nothing_is_installed():
    seen = []

    def work():
        with stoppable(ignore) as emit:
            seen.append(emit)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [ignore]


def ens(folder, *arguments):
    environment = os.environ | {
        "ENS_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "ensemble", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        stdout=subprocess.DEVNULL,
    )


def ens_says(folder, *arguments):
    command = [sys.executable, "-m", "ensemble", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_stopped_training_says_how_to_go_on_and_ends_with_the_same_bytes(tmp_path, tiny_images):
    tiny_images(tmp_path / "images" / "train")
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(TINY.format(images=tmp_path / "images", epochs=20))
    for epoch, number, status in ((3, signal.SIGTERM, 143), (9, signal.SIGINT, 130)):
        with ens(tmp_path, "train", recipe, "--runs", "stopped") as process:
            said = [next(process.stderr)]
            while f"epoch {epoch}:" not in said[-1]:
                said.append(next(process.stderr))
            process.send_signal(number)
            rest = process.stderr.read()
        assert process.returncode == status
        assert ("resuming from epoch" in "".join(said)) == (epoch > 3)
        assert f"stopped by {signal.Signals(number).name}" in rest
        assert "the same command resumes" in rest
        assert "Traceback" not in rest
        assert not list((tmp_path / "stopped").glob("*/run.json"))
    listed = ens_says(tmp_path, "runs", "--runs", "stopped")
    assert "unfinished: tiny-" in listed
    assert "the command that began it resumes it" in listed
    assert "quickstart" not in listed
    with ens(tmp_path, "train", recipe, "--runs", "stopped") as again:
        assert "resuming from epoch" in again.stderr.read()
    assert again.returncode == 0
    assert "unfinished" not in ens_says(tmp_path, "runs", "--runs", "stopped")
    with ens(tmp_path, "train", recipe, "--runs", "whole") as whole:
        whole.stderr.read()
    for name in ("model.safetensors", "valid.npz", "test.npz"):
        (mine,), (theirs,) = tmp_path.glob(f"stopped/*/{name}"), tmp_path.glob(f"whole/*/{name}")
        assert mine.read_bytes() == theirs.read_bytes()


def test_a_stopped_prediction_does_not_say_that_it_resumes(failing_ens, monkeypatch):
    def stop(*arguments):
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr("ensemble.doctor.examine", stop)
    assert failing_ens(130, "doctor") == "stopped by SIGINT: run the command again\n"
