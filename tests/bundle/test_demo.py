"""`ens demo`: what the page says of images is what the blend predicts, and a browser shows it."""

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from ensemble.demo import page
from ensemble.demo.answers import Answers
from ensemble.errors import EnsembleError
from ensemble.events import ignore
from ensemble.inference import Predictor, predict
from ensemble.learn.heat_map import heat_map

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def answers(blended):
    return Answers(Predictor.of_submission(blended.manifest, blended.store))


@pytest.fixture
def files(new_images, tmp_path):
    broken = tmp_path / "<b>broken.png"
    broken.write_bytes(b"no image")
    return [*sorted(new_images.rglob("*.png")), broken]


def test_the_page_says_what_ens_predict_writes(blended, answers, files, tmp_path):
    *shown, broken = answers.of_images(files)
    predictor = Predictor.of_submission(blended.manifest, blended.store)
    written = predict([files[0].parent], predictor, tmp_path / "a.csv", ignore).path.read_text()
    header, *rows = (line.split(",") for line in written.splitlines())
    assert [Path(image.name).stem for image in shown] == [row[0] for row in rows]
    for image, row in zip(shown, rows, strict=True):
        assert dict(image.probabilities) == pytest.approx(
            dict(zip(header[1:], map(float, row[1:]), strict=True)), abs=1e-6
        )
        assert image.answer == max(image.probabilities, key=lambda pair: pair[1])[0]
        assert image.probability == dict(image.probabilities)[image.answer]
        assert {member.run for member in image.members} == set(predictor.runs)
        assert image.pixels.shape == (32, 32, 3)
        assert image.heat is None or image.heat.shape == (32, 32)
    assert broken.answer == ""
    html = page.html_of([*shown, broken])
    assert html.count("<article>") == len(files)
    assert "&lt;b&gt;broken.png" in html
    assert str(tmp_path) not in html


def test_reliability_counts_the_validation_images_with_the_nearest_probabilities(answers):
    order = np.argsort(answers.confidence)
    near = answers.reliability(1.0)
    assert near.n >= min(30, len(order))
    assert near.n_right == answers.is_right[order[-near.n :]].sum()
    assert near.highest == answers.confidence.max()
    assert near.accuracy.value == near.n_right / near.n


@pytest.mark.parametrize("arch", ["test_resnet", "test_vit", "scratch_plain"])
def test_the_heat_of_maps_tokens_and_scratch_networks_is_a_share_of_the_most(arch):
    torch.manual_seed(0)
    network = timm.create_model(arch, num_classes=8).eval()
    size = 160 if arch == "test_vit" else 64

    class Stored:
        classes = tuple("abcdefgh")

        @staticmethod
        def inputs(images):
            return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))

    Stored.network = network
    maps = [heat_map(Stored, np.zeros((size, size, 3), np.uint8), name) for name in Stored.classes]
    assert any(heat is not None for heat in maps)
    for heat in maps:
        assert heat is None or (heat.shape == (size, size) and heat.min() >= 0 and heat.max() == 1)


def test_without_gradio_the_pip_line_is_shown(monkeypatch):
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    with pytest.raises(EnsembleError, match="`ens demo` needs gradio.*\npip install 'gradio>=6'"):
        page.check_installed()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine_is_refused_at_once(host):
    with pytest.raises(EnsembleError, match=f"--host {host}: is no address of this machine"):
        page.serve(None, "blend", host)


@pytest.mark.parametrize("port", ["0", "65536"])
def test_a_port_that_does_not_exist_is_wrong_usage(port, failing_ens):
    assert "'--port'" in failing_ens(2, "demo", "--blend", "blend", "--port", port)


@pytest.mark.slow
@pytest.mark.skipif(
    CHROMIUM is None or find_spec("gradio") is None, reason="no Chromium or no Gradio here"
)
@pytest.mark.parametrize("blended", ["false"], indirect=True, ids=["folds"])
def test_a_browser_shows_the_answers_at_any_width(blended, files, tmp_path):
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-W", "ignore", "-m", "ensemble", "demo", "--blend"]
    command += [str(blended.manifest), "--runs", str(blended.store.root)]
    uploads = tmp_path / "uploads"
    uploads.mkdir()
    environment = {**os.environ, "TMPDIR": str(uploads)}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = server.stdout.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = chromium.new_page()
            requests = []
            tab.on("request", lambda request: requests.append(request.url))
            tab.goto(url)
            tab.set_input_files("#images input[type=file]", files)
            tab.wait_for_selector("#answers article")
            assert tab.locator("#answers article").count() == len(files)
            for width in (375, 1400):
                tab.set_viewport_size({"width": width, "height": 800})
                assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert [link for link in requests if not link.startswith((url, "data:", "blob:"))] == []
            chromium.close()
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert not list(uploads.rglob("*.png"))
    finally:
        server.kill()
        server.communicate()
