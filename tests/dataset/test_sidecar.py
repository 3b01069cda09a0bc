"""An array of pixels is what its sidecar says, or it is made again."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset import sidecar
from ensemble.dataset.content import content_hashes
from ensemble.dataset.geometry import Geometry
from ensemble.dataset.pixel_store import open_store
from ensemble.paths import cache_root


def quiet(done, n):
    pass


def hashed(files):
    return dict(zip(files, content_hashes(files), strict=True))


@given(st.data())
def test_an_array_that_was_changed_or_torn_is_filled_again(tmp_path_factory, tiny_images, data):
    folder = tmp_path_factory.mktemp("torn")
    tiny = sorted(tiny_images(folder / "tiny").rglob("*.png"))[::6]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENS_CACHE", str(folder / "cache"))
        patch.setattr(sidecar, "BLOCK", 1000)
        patch.setattr(sidecar, "N_CHECKED", data.draw(st.sampled_from([4, 1000])))
        good = np.array(open_store(hashed(tiny), Geometry(16), quiet).pixels)
        (array,) = (folder / "cache" / "pixels").glob("*.npy")
        content = bytearray(array.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        if data.draw(st.booleans()):
            del content[place:]
        array.write_bytes(content)
        assert np.array_equal(open_store(hashed(tiny), Geometry(16), quiet).pixels, good)
        assert len(content) == 0 or array.read_bytes() != content


@given(st.data())
def test_a_sidecar_that_was_changed_is_written_again(tmp_path_factory, tiny_images, data):
    folder = tmp_path_factory.mktemp("sidecar")
    tiny = sorted(tiny_images(folder / "tiny").rglob("*.png"))[::12]
    (folder / "broken.png").write_bytes(b"no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENS_CACHE", str(folder / "cache"))
        good = open_store(hashed([*tiny, folder / "broken.png"]), Geometry(16), quiet)
        (path,) = (folder / "cache" / "pixels").glob("*.json")
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, 10_000)) % len(content)] ^= data.draw(st.integers(1, 255))
        texts = [
            "[]",
            "{}",
            "null",
            "",
            '{"native": false, "unreadable": [[9, "x"]]}',
            '{"unreadable": [], "native": 1}',
        ]
        path.write_bytes(
            data.draw(st.sampled_from([bytes(content), *(text.encode() for text in texts)]))
        )
        again = open_store(hashed([*tiny, folder / "broken.png"]), Geometry(16), quiet)
        assert (again.unreadable, again.is_native) == (good.unreadable, good.is_native)
        assert np.array_equal(again.pixels, good.pixels)


def test_a_copy_of_the_cache_is_taken_once_it_is_seen_to_be_whole(tmp_path, tiny_images):
    tiny = sorted(tiny_images(tmp_path / "tiny").rglob("*.png"))
    open_store(hashed(tiny), Geometry(16), quiet)
    (array,) = (cache_root() / "pixels").glob("*.npy")
    os.utime(array, ns=(1, 1))
    (path,) = (cache_root() / "pixels").glob("*.json")
    before = path.read_text()
    open_store(hashed(tiny), Geometry(16), lambda done, n: pytest.fail("decoded again"))
    assert (path.read_text() != before, '"changed":1,' in path.read_text()) == (True, True)
