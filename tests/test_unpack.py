"""What is not images in folders is laid out once, whole or not at all, and never guessed to be there."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset.own_folders import UNPACKED
from ensemble.errors import DataError
from ensemble.init.unpack import opened, unpacked_folder

N_IMAGES = 30


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """A folder `set` of arrays below the current folder; the first pixel is the number of the row."""
    monkeypatch.chdir(tmp_path)
    return write_arrays(tmp_path / "set")


def write_arrays(folder, n=N_IMAGES):
    folder.mkdir()
    images = np.full((n, 8, 8), 200, np.uint16)
    images[:, 0, 0] = np.arange(n)
    np.save(folder / "x_train.npy", images)
    np.save(folder / "y_train.npy", np.arange(n) % 7)
    return folder


def check_whole(folder, n=N_IMAGES):
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stored:
        rows = {row["id"]: row["label"] for row in csv.DictReader(stored)}
    files = list((folder / "train").iterdir())
    assert {path.name for path in files} == set(rows)
    assert len(files) == n
    for path in files:
        with Image.open(path) as image:
            assert rows[path.name] == str(int(np.asarray(image)[0, 0]) % 7)


def states(folder):
    """What a second writing would change of each file; reading changes the time of access."""
    stats = {path: path.stat() for path in sorted(folder.rglob("*"))}
    return {path: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}


def test_a_set_is_unpacked_once_and_found_again(arrays):
    folder = unpacked_folder("set", None)
    assert folder == Path("set_images")
    check_whole(folder)
    before = states(folder)
    assert unpacked_folder("set", None) == folder
    assert states(folder) == before


def test_what_the_user_has_stays_as_it_is(arrays):
    for path in arrays.iterdir():
        path.chmod(0o400)
    arrays.chmod(0o500)
    before = states(arrays)
    unpacked_folder("set", Path("out"))
    after = states(arrays)
    arrays.chmod(0o700)
    assert after == before


def test_a_set_that_has_changed_is_refused_with_a_way_out(arrays):
    unpacked_folder("set", Path("out"))
    np.save(arrays / "y_train.npy", np.zeros(N_IMAGES))
    with pytest.raises(DataError, match="out: exists, but not with what is in .*set now\nremove"):
        unpacked_folder("set", Path("out"))
    check_whole(Path("out"))


@pytest.mark.parametrize("content", ["x", json.dumps({"source": "made up"}), "[]", "{}"])
def test_a_folder_with_other_files_is_refused_and_stays(arrays, content):
    Path("out").mkdir()
    Path("out", UNPACKED).write_text(content)
    with pytest.raises(DataError, match="out: exists"):
        unpacked_folder("set", Path("out"))
    assert [path.name for path in Path("out").iterdir()] == [UNPACKED]


def test_an_empty_folder_is_filled(arrays):
    Path("out").mkdir()
    check_whole(unpacked_folder("set", Path("out")))


def test_a_file_in_the_way_is_refused(arrays):
    Path("out").write_text("x")
    with pytest.raises(DataError, match="out: exists"):
        unpacked_folder("set", Path("out"))
    assert Path("out").read_text() == "x"


def test_a_set_in_the_current_folder_is_unpacked_inside_it_once(arrays, monkeypatch):
    monkeypatch.chdir(arrays)
    target = opened(".", Path("a_images")).root
    before = states(target)
    assert opened(".", Path("a_images")).root == target
    assert states(target) == before
    check_whole(opened(".", Path("b_images")).root)


@pytest.mark.parametrize("given", [("--to", "new/out"), ()], ids=["--to", "default"])
def test_an_archive_of_plain_images_fills_the_named_folder_once(
    given, tmp_path, tiny_images, ens, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    tiny_images(tmp_path / "pets")
    shutil.make_archive(str(tmp_path / "pets"), "zip", tmp_path, "pets")
    target = Path(given[1] if given else "pets_images")
    for _ in range(2):
        shown = ens("data", "unpack", tmp_path / "pets.zip", *given)
        assert f"{target}: image folders and tables" in shown
    names = {path.name for path in target.rglob("*.png")}
    assert names == {path.name for path in (tmp_path / "pets").rglob("*.png")}


@pytest.mark.parametrize("words", [("init", "pets"), ("data", "unpack", "pets.zip")])
def test_a_path_that_is_missing_is_no_recipe_key(words, failing_ens):
    error = failing_ens(1, *words)
    assert error.startswith(f"error: {words[-1]}: no such file or folder; looked at /")
    assert "data.path" not in error


def test_plain_images_have_nothing_to_unpack(tmp_path, tiny_images):
    tiny_images(tmp_path / "images")
    with pytest.raises(DataError, match="nothing to unpack"):
        unpacked_folder(str(tmp_path / "images"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def ens(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "ensemble", *arguments],
        env=os.environ | {"ENS_CACHE": str(Path("cache").absolute())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_what_is_killed_in_the_middle_is_begun_again_and_whole(tmp_path, monkeypatch, sent):
    monkeypatch.chdir(tmp_path)
    write_arrays(tmp_path / "set", 4_000)
    running = ens("data", "unpack", "set", "--to", "out")
    while running.poll() is None and not any(tmp_path.glob(".out.unfinished-*/train/*")):
        time.sleep(0.01)
    running.send_signal(sent)
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert not Path("out").exists()
    assert bool([*tmp_path.glob(".out.unfinished-*")]) == (sent == signal.SIGKILL)
    check_whole(unpacked_folder("set", Path("out")), 4_000)
    assert not [*tmp_path.glob(".out.unfinished-*")]


def test_files_that_do_not_fit_on_the_disk_leave_nothing(arrays):
    limit = (300, resource.RLIM_INFINITY)
    running = ens(
        *("data", "unpack", "set", "--to", "out"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    text, _ = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "error: out: cannot be written (File too large)" in text
    assert {path.name for path in Path().iterdir()} <= {"set", "cache"}
