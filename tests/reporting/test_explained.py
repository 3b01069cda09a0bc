"""`ens report --explain`: where real networks look in their most confident mistakes."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.errors import EnsembleError
from ensemble.heat_maps import RunHeatMaps
from ensemble.predictions import Predictions
from ensemble.reporting.collect import collect
from ensemble.reporting.thumbnails import tinted
from ensemble.runs import RunStore
from ensemble.runs.imported import import_run

pytestmark = pytest.mark.slow
# a rate at which nothing is learned: most answers are mistakes
RECIPE = """
data: {source: folder, path: images, train: ., valid: 0.4, size: 48}
augment: none
model: {arch: test_resnet, pretrained: false, head: keep}
fit: {strategy: scratch, epochs: 1, lr: 1.0e-6, batch_size: 16}
resources: {cpu: 1}
"""


@pytest.fixture
def trained(tmp_path, tiny_images, monkeypatch, ens):
    """trained(*overrides): the store with the run of one more training on the tiny images."""
    monkeypatch.chdir(tmp_path)
    tiny_images(tmp_path / "images")
    (tmp_path / "tiny.yaml").write_text(RECIPE)

    def trained(*overrides):
        options = [word for override in overrides for word in ("--set", override)]
        ens("train", "tiny.yaml", *options)
        return RunStore()

    return trained


def test_the_best_runs_mistakes_are_shown_with_their_heat_maps(trained, ens):
    store = trained()
    ens("report", "--explain")
    page = Path("report.html").read_text(encoding="utf-8")
    (run,) = store.finished()
    assert f"<bdi>{run.id}</bdi> sees (Grad-CAM)" in page
    group = collect(store.all(), {}, lambda *_: None, RunHeatMaps).groups[0]
    assert len(group.mistakes.shown) == 12
    maps = [image for image in group.mistakes.shown if image.heat]
    assert maps
    heat_maps = RunHeatMaps(run)
    for image in maps:
        assert image.heat in page
        assert f"where the network looks for {image.predicted} in image {image.id}" in page
        kind, content = re.fullmatch(r"data:image/(\w+);base64,(.*)", image.heat).groups()
        shown = Image.open(io.BytesIO(base64.b64decode(content)))
        assert (kind, shown.size) == ("png", (48, 48))  # what the network sees
        file = Path("images") / f"{image.id}.png"
        seen, heat = heat_maps(image.id, file, file.read_bytes(), image.predicted)
        assert np.array_equal(np.asarray(shown.convert("RGB")), tinted(seen, heat))
        assert heat.max() == 1
    ens("report")
    assert "Grad-CAM" not in Path("report.html").read_text(encoding="utf-8")


def test_a_blend_is_explained_by_its_leading_member_and_folds_by_what_did_not_train_on_the_image(
    trained,
):
    trained("data.valid={folds: 2}")
    store = trained("data.valid={folds: 2}", "seeds=[1]")
    group = collect(store.all(), {}, lambda *_: None, RunHeatMaps).groups[0]
    leading = group.blend.leading
    weights = {member.run.id: member.weight for member in group.blend.blend.members}
    assert weights[leading.id] == max(weights.values())
    assert group.mistakes.explained_by == leading.id
    assert any(image.heat for image in group.mistakes.shown)
    assert not any(view.mistakes.explained_by for view in group.runs)
    heat_maps = RunHeatMaps(leading)
    for image in group.mistakes.shown:
        validated = [set(fold.valid().ids.tolist()) for fold in leading.folds]
        assert image.id in validated[heat_maps.fold_of[image.id]]


def test_imported_runs_and_images_that_are_gone_are_errors_by_name(trained, failing_ens):
    store = trained()
    (run,) = store.finished()
    import_run("theirs", "resnet50", run.folder / "valid.npz", None, store)
    shown = failing_ens(1, "report", "theirs", "--explain")
    assert "--explain: theirs-" in shown
    assert "was imported, so it has no network to load\nname other runs" in shown
    Path("images").rename("elsewhere")
    shown = failing_ens(1, "report", run.id, "--explain")
    assert "images: --explain needs the images" in shown
    assert "leave out --explain" in shown
    Path("elsewhere").rename("images")
    (run.folder / "model.safetensors").unlink()
    shown = failing_ens(1, "report", run.id, "--explain")
    assert "model.safetensors: is missing" in shown


def test_a_leading_member_without_weights_is_named(trained):
    store = trained()
    (run,) = store.finished()
    perfect = run.valid()
    probs = np.eye(3, dtype=np.float32)[perfect.targets]
    replace(perfect, probs=probs).save(Path("valid.npz"))
    import_run("theirs", "resnet50", Path("valid.npz"), None, store)
    with pytest.raises(EnsembleError, match=r"--explain: theirs-\w+-s0 was imported, so it has no"):
        collect(store.all(), {}, lambda *_: None, RunHeatMaps)


def test_numbers_are_refused_by_name(tmp_path):
    ids, ages = np.array(list("abcdef")), np.arange(6.0)
    guess = Predictions(ids, ("age",), ages[:, None].astype(np.float32), ages, target="number")
    guess.save(tmp_path / "ages.npz")
    store = RunStore(tmp_path / "runs")
    import_run("ages", "resnet50", tmp_path / "ages.npz", None, store)
    with pytest.raises(EnsembleError, match=r"data\.target is number, and --explain shows"):
        collect(store.all(), {}, lambda *_: None, RunHeatMaps)
