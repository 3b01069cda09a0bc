"""Downloads of a competition through Kaggle's real client and a local server; `ens submit` has its
own tests.
"""

import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from ensemble import kaggle
from ensemble.dataset.download import get
from ensemble.dataset.known_sets import set_named
from ensemble.errors import KaggleError
from ensemble.paths import cache_root

FILES = {"labels.csv": b"id,label\n", "train/1.csv": b"no image"}
BIRDS = set_named("kaggle:birds")


@pytest.fixture(autouse=True)
def _current_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def refusal():
    """The message of a download that fails; it never holds the key."""
    with pytest.raises(KaggleError) as refused:
        get(BIRDS)
    message = str(refused.value)
    assert "secret-key" not in message
    assert message.count("\n") <= 2
    assert not Path("birds").exists()
    return message


def test_a_competition_is_downloaded_and_unpacked(kaggle_site, capsys):
    kaggle_site.archives["birds"] = zipped(FILES)
    assert get(BIRDS).folder == Path("birds")
    for name, content in FILES.items():
        assert (Path("birds") / name).read_bytes() == content
    assert kaggle_site.calls == ["DownloadDataFiles"]
    assert not (cache_root() / "downloads" / "birds").exists()
    assert capsys.readouterr() == ("", "")


def test_the_progress_of_a_download_is_the_size_of_its_file(kaggle_site, tmp_path, monkeypatch):
    monkeypatch.setattr(kaggle, "POLL_SECONDS", 0.001)
    kaggle_site.archives["birds"] = zipped({"noise.bin": os.urandom(20_000_000)})
    n_bytes = len(kaggle_site.archives["birds"])
    progress = []
    kaggle.download_competition("birds", tmp_path, lambda *counts: progress.append(counts))
    assert progress
    assert all(n_done <= total == n_bytes for n_done, total in progress)


def test_an_answer_that_is_not_an_archive_is_removed(kaggle_site):
    kaggle_site.archives["birds"] = b"<html>try again later</html>"
    message = "birds: Kaggle did not send a complete zip archive\nrun the command again\n"
    assert refusal().startswith(message)
    kaggle_site.archives["birds"] = zipped(FILES)
    assert get(BIRDS).folder == Path("birds")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            403,
            "you have not accepted its rules, or it does not exist\nsign in and accept them at "
            "https://www.kaggle.com/competitions/birds/rules",
        ),
        (404, "Kaggle has no competition birds (404)"),
        (
            401,
            "Kaggle refuses the credentials (401)\n"
            "create a token at https://www.kaggle.com/settings/api",
        ),
        (500, "Kaggle answers 500 for birds"),
    ],
)
def test_a_refusal_is_explained_without_the_credentials(kaggle_site, status, expected):
    kaggle_site.refuse = {"DownloadDataFiles": (status, "secret-key was not liked")}
    message = refusal()
    assert expected in message
    assert message.endswith("or use files from elsewhere: `ens data get kaggle:birds --from FILE`")


def test_without_credentials_the_error_says_where_to_create_them(
    kaggle_site, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    expected = "Kaggle's client has no valid credentials\ncreate a token at https://www.kaggle.com"
    assert refusal().startswith(expected)
    assert kaggle_site.calls == []


def test_an_unreachable_kaggle_is_not_reported_as_a_refusal(kaggle_site):
    kaggle_site.server.server_close()
    assert refusal().startswith("https://www.kaggle.com cannot be reached")


def test_without_kaggles_client_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kaggle", None)
    monkeypatch.setitem(sys.modules, "kaggle.api.kaggle_api_extended", None)
    message = refusal()
    assert "Kaggle's client is not installed" in message
    assert "\npip install kaggle six\nor use files from elsewhere: " in message
