"""A run folder from somebody else may name any file; the page shows nothing of that file."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset.load import load
from ensemble.errors import DamagedError
from ensemble.files import sha256
from ensemble.predictions import Predictions
from ensemble.recipe import Recipe
from ensemble.reporting.images import CHANGED, IMPORTED, NOT_OPENED, images_of, thumbnails_of
from ensemble.runs import RunStore

SECRET = "hunter2"
DATA = "data: {{source: {source}, path: '{path}', train: {train}, valid: {valid}{more}}}\nmodel: {{arch: resnet18}}\n"


@pytest.fixture
def home(tmp_path, tiny_images):
    """A folder of mine with photos, a table and a key."""
    tiny_images(tmp_path / "home" / "album")
    (tmp_path / "home" / "key.csv").write_text(f"{SECRET},password\nroot,{SECRET}\n")
    return tmp_path / "home"


@pytest.fixture
def stranger(photos, tmp_path):
    """The folder of one run that somebody sent."""
    return shutil.copytree(photos.root / "tiny_a-1-s0", tmp_path / "runs" / "tiny_a-1-s0")


@pytest.mark.parametrize("case", ["labels", "sample", "base", "archive", "missing"])
def test_a_recipe_that_names_my_files_shows_nothing_of_them(case, stranger, home, page_of):
    table, more = str(home / "key.csv"), ""
    path = {"archive": table, "missing": str(home / "nothing")}.get(case, str(home))
    if case in ("labels", "sample"):
        more = f", {'labels' if case == 'labels' else 'sample_submission'}: key.csv"
    text = DATA.format(
        source="csv" if case == "labels" else "folder",
        path=path,
        train="album",
        valid=0.4,
        more=more,
    )
    (stranger / "recipe.yaml").write_text((f"base: {table}\n" if case == "base" else "") + text)
    page = page_of(RunStore(stranger.parent))
    assert SECRET not in page
    assert "data:image/webp" not in page
    assert (CHANGED if case == "sample" else NOT_OPENED) in page
    assert str(home) not in page.replace(
        (stranger / "recipe.yaml").read_text().replace("'", "&#39;"), ""
    )


@pytest.mark.parametrize("name", ["recipe.yaml", "history.csv", "lr_find.csv"])
def test_a_link_to_my_file_is_not_followed(name, stranger, home, page_of):
    (stranger / name).unlink()
    (stranger / name).symlink_to(home / "key.csv")
    page = page_of(RunStore(stranger.parent))
    assert SECRET not in page
    assert str(home) not in page


def test_a_link_is_followed_to_the_content_that_run_json_names(stranger, home, page_of):
    text = (stranger / "recipe.yaml").read_text()
    shutil.move(stranger / "recipe.yaml", home / "recipe.yaml")
    (stranger / "recipe.yaml").symlink_to(home / "recipe.yaml")
    assert "every key resolved" not in page_of(RunStore(stranger.parent))
    with_file(stranger, "recipe.yaml", home / "recipe.yaml")
    assert "every key resolved" in page_of(RunStore(stranger.parent))
    (home / "recipe.yaml").write_text(f"{text}# {SECRET}")
    assert SECRET not in page_of(RunStore(stranger.parent))


@pytest.mark.parametrize("name", ["valid.npz", "test.npz"])
def test_predictions_that_are_a_link_to_something_else_make_a_damaged_run(name, stranger, home):
    values = json.loads((stranger / "run.json").read_text())
    del values["files"][name]
    (stranger / "run.json").write_text(json.dumps(values))
    shutil.move(stranger / name, home / name)
    (stranger / name).symlink_to(home / name)
    run = RunStore(stranger.parent).get(stranger.name)
    with pytest.raises(
        DamagedError, match=f"{name}: is a link, and run.json does not say to which content"
    ):
        run.valid() if name == "valid.npz" else run.test()


@pytest.mark.parametrize("name", ["../../home/key.csv", "../../home/nothing", "/etc/passwd", "a/b"])
def test_run_json_cannot_ask_whether_a_file_of_mine_exists(name, stranger, home):
    values = json.loads((stranger / "run.json").read_text())
    values["files"][name] = "0" * 64
    (stranger / "run.json").write_text(json.dumps(values))
    (damaged,) = RunStore(stranger.parent).all(check=True).damaged
    assert "is not the name of a file in this folder" in damaged.reason


def test_my_photos_as_training_images_of_a_strangers_validation_rows_are_not_shown(
    home, tmp_path, tiny_images, fake_run, trained, page_of, rng
):
    tiny_images(tmp_path / "home" / "known")
    for file in (home / "album").rglob("*.png"):
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(file)
    (tmp_path / "r.yaml").write_text(
        DATA.format(source="folder", path=home, train="album", valid="known", more="")
    )
    images = load(Recipe.load(tmp_path / "r.yaml").data)
    targets = np.array([images.classes.index(label) for label in images.valid.labels])
    guess = Predictions(np.array(images.valid.ids), images.classes, np.eye(3)[targets], targets)
    run = fake_run(tmp_path / "runs", "sent-1-s0", predictions=guess)
    data = run.data.model_copy(update={"valid": images.valid_fingerprint, "fingerprint": "made up"})
    trained(run.model_copy(update={"data": data}))
    shutil.copy(tmp_path / "r.yaml", run.folder / "recipe.yaml")
    page = page_of(RunStore(tmp_path / "runs"))
    assert CHANGED in page
    assert "data:image/webp" not in page
    known = data.model_copy(update={"fingerprint": images.fingerprint})
    trained(run.model_copy(update={"data": known}))
    assert "not available" not in page_of(RunStore(tmp_path / "runs"))


def test_the_terminal_says_what_the_page_does_not(stranger, home):
    (stranger / "recipe.yaml").write_text(
        DATA.format(source="folder", path=home / "no", train=".", valid=0.4, more="")
    )
    reason = images_of(RunStore(stranger.parent).finished())
    assert (reason.reason, str(home / "no") in reason.details) == (NOT_OPENED, True)
    (stranger / "recipe.yaml").unlink()
    assert images_of(RunStore(stranger.parent).finished()).reason == IMPORTED


def test_an_image_whose_content_is_another_now_is_not_shown(photos):
    images = images_of(photos.finished())
    file = images.valid.files[0]
    assert thumbnails_of(images, photos.finished()).of(file).startswith("data:image/")
    other = dataclasses.replace(images, hashes=images.hashes | {file: "0" * 32})
    assert thumbnails_of(other, photos.finished()).of(file) == ""


def with_file(folder, name, content):
    """Let run.json name the content of a file."""
    values = json.loads((folder / "run.json").read_text())
    values["files"][name] = sha256(content)
    (folder / "run.json").write_text(json.dumps(values))
