"""Work beside training: its result comes once, its error where it is asked for."""

import subprocess
import sys
import threading
import time

import pytest

from ensemble.learn.background import Background


def test_a_result_is_taken_once_and_only_when_it_is_ready():
    gate = threading.Event()

    def work():
        gate.wait(10)
        return ["a leak"]

    background = Background(work)
    assert background.take() is None
    gate.set()
    assert background.take(None) == ["a leak"]
    assert background.take(None) is None


def test_take_raises_the_error_of_the_call():
    def work():
        raise ValueError("unreadable")

    background = Background(work)
    with pytest.raises(ValueError, match="unreadable"):
        background.take(None)


def test_a_process_that_ends_does_not_wait_for_the_search_for_copies():
    script = (
        "import time, numpy as np\n"
        "from ensemble.dataset.duplicates import near_pairs\n"
        "from ensemble.learn.background import Background\n"
        "thumbs = np.random.default_rng(0).integers(0, 256, (40_000, 16, 16, 3), dtype=np.uint8)\n"
        "Background(lambda: near_pairs(thumbs, thumbs))\n"
        "time.sleep(6)\n"
        "print('ends', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ends\n"
        started = time.monotonic()
        process.wait(60)
    assert process.returncode == 0
    assert time.monotonic() - started < 20
