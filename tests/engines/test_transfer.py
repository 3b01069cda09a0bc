"""A worker's cache is private to this user, and planted images are fetched again."""

import os
import tempfile
from dataclasses import replace

import numpy as np
import pytest

from ensemble.dataset.content import content_hash
from ensemble.dataset.load import load
from ensemble.dataset.pseudo import PseudoLabels
from ensemble.engines.transfer import local_images, private_cache, read_files
from ensemble.errors import DataError, EnsembleError
from ensemble.runs.job import Job


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """Where a worker's cache lies in this test's temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"ens-cache-{os.getuid()}"


class TestPrivateCache:
    @pytest.mark.parametrize("mode", [None, 0o755, 0o700, 0o750])
    def test_it_belongs_to_this_user_alone(self, mode, cache_folder):
        if mode is not None:
            cache_folder.mkdir()
            cache_folder.chmod(mode)
        assert private_cache() == cache_folder
        assert cache_folder.stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("kind", ["writable", "another user's", "a link", "a file"])
    def test_a_folder_that_others_can_write_to_is_refused(
        self, kind, cache_folder, tmp_path, give_to_another_user
    ):
        if kind == "a link":
            (tmp_path / "theirs").mkdir()
            cache_folder.symlink_to(tmp_path / "theirs")
        elif kind == "a file":
            cache_folder.write_text("")
        else:
            cache_folder.mkdir()
        if kind == "writable":
            cache_folder.chmod(0o777)
        if kind == "another user's":
            give_to_another_user(cache_folder)
            cache_folder.rename(tmp_path / f"ens-cache-{os.getuid()}")
        with pytest.raises(
            EnsembleError, match="belongs to another user, or others can write to it.*\n.*ENS_CACHE"
        ):
            private_cache()


class TestReceivedImages:
    @pytest.mark.parametrize("planted", [b"another image", None])
    def test_a_planted_file_is_fetched_again_whatever_the_index_says(self, planted, tiny, tmp_path):
        recipe = tiny("sent", f"data.path={tmp_path / 'images'}")
        data = load(recipe.data)
        away = Job(tiny("away", "data.path=nowhere"), 0)
        n_requested = []

        def read(paths):
            n_requested.append(len(paths))
            return read_files(paths)

        received = local_images(away, data, read)
        file = received.train.files[0]
        if planted is not None:
            file.write_bytes(planted)
        again = local_images(away, data, read)
        assert n_requested == [60] + [1] * (planted is not None)
        assert again.hashes == received.hashes
        assert all(
            content_hash(path.read_bytes()) == content for path, content in again.hashes.items()
        )

    @pytest.mark.parametrize("path", ["images", "nowhere"])
    def test_labels_by_teachers_travel(self, path, tiny, tmp_path):
        data = load(tiny("sent", f"data.path={tmp_path / 'images'}").data)
        probs = np.full((2, 3), 1 / 3, np.float32)
        labels = PseudoLabels(np.array([0, 5]), probs, True, "teacher", {}, "", 2, "")
        data = replace(data, pseudo=labels)
        job = Job(tiny("away", f"data.path={tmp_path / path}"), 0)
        received = local_images(job, data, read_files)
        assert received.pseudo is labels
        assert received.pseudo_labeled.ids == (data.test.ids[0], data.test.ids[5])

    def test_an_image_that_changed_since_it_was_hashed_is_an_error_and_is_not_kept(
        self, tiny, tmp_path
    ):
        data = load(tiny("sent", f"data.path={tmp_path / 'images'}").data)
        data.valid.files[0].write_bytes(b"another image")
        with pytest.raises(
            DataError,
            match=f"{data.valid.files[0].name}: was changed while this command was using it",
        ):
            local_images(Job(tiny("away", "data.path=nowhere"), 0), data, read_files)
        assert not [
            path
            for path in (tmp_path / "cache").rglob("*")
            if path.is_file() and path.read_bytes() == b"another image"
        ]
