"""Known sets appear complete or not at all, from a server that fails in all ways, and from local
files.
"""

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pooch
import pytest
from PIL import Image

from ensemble.dataset import download, unpackers
from ensemble.dataset.download import get
from ensemble.dataset.known_sets import DownloadableSet, WebFile, set_named
from ensemble.errors import DataError
from ensemble.paths import cache_root


class Site:
    """A local server.

    `cuts` holds how many bytes each coming response sends before the connection breaks.
    """

    def __init__(self):
        self.files, self.cuts, self.statuses, self.n_requests = {}, [], [], 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.respond(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def respond(self, request):
        self.n_requests += 1
        content = self.files.get(request.path)
        status = self.statuses.pop(0) if self.statuses else 200 if content is not None else 404
        if status != 200:
            request.send_error(status)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: self.cuts.pop(0) if self.cuts else None])

    def file(self, name, content):
        self.files[f"/{name}"] = content
        url = f"http://127.0.0.1:{self.server.server_address[1]}/{name}"
        return WebFile(url, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setenv("no_proxy", "*")
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture(autouse=True)
def _current_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def png(colour):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, "PNG")
    return out.getvalue()


IMAGES = {
    f"{split}/{name}/{i}.png": png(name)
    for split in ("train", "val")
    for name in ("red", "blue")
    for i in (1, 2)
}


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def birds(*files, unpack=unpackers.plain_archive):
    return DownloadableSet("birds", "birds", "images of birds", len(IMAGES), "none", files, unpack)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def downloads():
    """The files in the cache of downloads, without locks."""
    files = (cache_root() / "downloads").rglob("*")
    return sorted(path.name for path in files if path.is_file() and path.suffix != ".lock")


def current_folder():
    return sorted(path.name for path in Path().iterdir())


def refusal(dataset, *args, **kwargs):
    """The message of a `get` that fails, at most three lines."""
    with pytest.raises(DataError) as refused:
        get(dataset, *args, **kwargs)
    message = str(refused.value)
    assert message.count("\n") <= 2
    return message


# Downloading


def test_a_set_is_downloaded_checked_and_unpacked_with_progress(site):
    events = []
    content = zipped(IMAGES)
    local = get(birds(site.file("birds.zip", content)), emit=events.append)
    assert (local.folder, local.n_images, local.was_present) == (Path("birds"), 8, False)
    assert contents(Path("birds")) == IMAGES
    assert (current_folder(), downloads()) == (["birds"], [])
    steps = [(event.phase, event.done, event.total) for event in events if hasattr(event, "phase")]
    assert ("birds.zip, MB", 1, 1) in steps
    assert site.n_requests == 1


def test_progress_counts_bytes_up_to_the_size_of_the_file(site, tmp_path):
    file = site.file("large.bin", os.urandom(download.CHUNK * 2 + 1000))
    progress = []
    path = download._download(file, tmp_path, lambda *counts: progress.append(counts))
    assert path.read_bytes() == site.files["/large.bin"]
    assert progress[0] == (download.CHUNK, file.n_bytes)
    assert progress[-1] == (file.n_bytes, file.n_bytes)
    assert all(n_done <= n_bytes for n_done, n_bytes in progress)


def test_a_set_goes_under_ens_data_or_into_the_folder_of_to(site, tmp_path, monkeypatch):
    dataset = birds(site.file("birds.zip", zipped(IMAGES)))
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "sets"))
    assert get(dataset).folder == tmp_path / "sets" / "birds"
    assert get(dataset, to=tmp_path / "new" / "folder").folder == tmp_path / "new/folder/birds"
    assert contents(tmp_path / "new" / "folder" / "birds") == IMAGES


def test_a_complete_set_stays_unchanged_without_a_request(site):
    dataset = birds(site.file("birds.zip", zipped(IMAGES)))
    get(dataset)
    (Path("birds") / "mine.txt").write_text("kept")
    again = get(dataset)
    assert (again.was_present, again.n_images) == (True, 8)
    assert (Path("birds") / "mine.txt").read_text() == "kept"
    assert site.n_requests == 1


@pytest.mark.parametrize("n_images", [0, 1])
def test_an_incomplete_folder_is_named_and_stays_unchanged(site, n_images):
    Path("birds").mkdir()
    if n_images:
        Path("birds/1.png").write_bytes(png("red"))
    before = contents(Path("birds"))
    message = refusal(birds(site.file("birds.zip", zipped(IMAGES))))
    assert message.startswith(
        f"birds: exists with {n_images} images, but birds has 8\nmove it away"
    )
    assert contents(Path("birds")) == before
    assert site.n_requests == 0


# Failures of the server


def test_a_cut_connection_is_tried_again(site):
    site.cuts = [300, 200]
    get(birds(site.file("birds.zip", zipped(IMAGES))))
    assert contents(Path("birds")) == IMAGES
    assert site.n_requests == 3


def test_a_connection_that_is_always_cut_leaves_nothing(site):
    file = site.file("birds.zip", zipped(IMAGES))
    site.cuts = [100] * (download.N_RETRIES + 1)
    assert refusal(birds(file)).splitlines() == [
        f"{file.url}: cannot be downloaded (connection failed)",
        "or use files from elsewhere: `ens data get birds --from FILE`",
    ]
    assert (current_folder(), downloads()) == ([], [])
    assert site.n_requests == download.N_RETRIES + 1


def test_a_wrong_hash_is_named_beside_the_expected_one_and_leaves_nothing(site):
    content = zipped(IMAGES)
    expected, actual = (hashlib.sha256(text).hexdigest() for text in (b"other", content))
    file = replace(site.file("birds.zip", content), sha256=expected)
    message = refusal(birds(file))
    assert message.startswith(f"{file.url}: ")
    assert f"expected {expected} but got {actual}\n" in message
    assert (current_folder(), downloads()) == ([], [])


def test_a_missing_page_is_reported_at_once(site):
    file = site.file("birds.zip", b"x")
    message = refusal(birds(replace(file, url=file.url.replace("birds", "gone"))))
    assert "gone.zip: the server answers 404 Not Found\nor use files from elsewhere" in message
    assert site.n_requests == 1


def test_a_busy_server_is_tried_again(site):
    site.statuses = [503, 429]
    get(birds(site.file("birds.zip", zipped(IMAGES))))
    assert contents(Path("birds")) == IMAGES


def test_a_server_that_stays_busy_is_reported(site):
    site.statuses = [503] * (download.N_RETRIES + 1)
    message = refusal(birds(site.file("birds.zip", zipped(IMAGES))))
    assert "birds.zip: the server answers 503 Service Unavailable\n" in message


def test_without_a_network_the_error_names_the_address_and_the_alternative(site):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/birds.zip"
    message = refusal(birds(WebFile(url, 1, "0"), WebFile(url, 1, "0")))
    assert message.startswith(f"{url}: cannot be downloaded (")
    assert message.endswith("`ens data get birds --from FOLDER`")
    assert (current_folder(), downloads()) == ([], [])


# Failures of this machine


def test_a_full_disk_is_reported_without_a_retry(site, monkeypatch):
    def full(path, mode="r", *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pooch.downloaders.open", full, raising=False)
    message = refusal(birds(site.file("birds.zip", zipped(IMAGES))))
    assert "No space left on device" in message
    assert "ENS_CACHE" in message
    assert site.n_requests == 0
    assert downloads() == []


def test_a_second_process_is_refused_while_the_first_one_works(site):
    dataset = birds(site.file("birds.zip", zipped(IMAGES)))
    with download._lock(cache_root() / "downloads" / "birds", dataset):
        assert "another process is downloading birds\nwait" in refusal(dataset)


def test_a_folder_that_cannot_be_written_keeps_the_download(site, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    dataset = birds(site.file("birds.zip", zipped(IMAGES)))
    assert "birds: cannot be written" in refusal(dataset, to=tmp_path / "file")
    assert get(dataset).n_images == 8
    assert site.n_requests == 1


def test_a_damaged_file_in_the_cache_is_downloaded_again(site):
    folder = cache_root() / "downloads" / "birds"
    folder.mkdir(parents=True)
    (folder / "birds.zip").write_bytes(b"half")
    get(birds(site.file("birds.zip", zipped(IMAGES))))
    assert contents(Path("birds")) == IMAGES


def test_what_a_killed_download_left_is_removed(site):
    folder = cache_root() / "downloads" / "birds"
    folder.mkdir(parents=True)
    (folder / "tmpx7abc").write_bytes(b"half")
    refusal(birds(replace(site.file("birds.zip", b"x"), sha256="0")))
    assert downloads() == []


# Archives


@pytest.mark.parametrize(
    ("archive", "problem"),
    [
        (zipped({"../escaped.png": b"x"}), "outside the folder"),
        (b"no archive at all", "damaged"),
        (zipped(IMAGES)[:-100], "damaged"),
    ],
)
def test_a_hostile_or_damaged_archive_writes_nothing(site, archive, problem):
    assert problem in refusal(birds(site.file("birds.zip", archive)))
    assert current_folder() == []
    assert not Path("../escaped.png").exists()


def test_an_interrupted_extraction_keeps_the_download_and_leaves_no_folder(site):
    def interrupted(files, folder, progress):
        unpackers.plain_archive(files, folder, progress)
        raise KeyboardInterrupt

    file = site.file("birds.zip", zipped(IMAGES))
    with pytest.raises(KeyboardInterrupt):
        get(birds(file, unpack=interrupted))
    assert (current_folder(), downloads()) == ([], ["birds.zip"])
    get(birds(file))
    assert site.n_requests == 1
    assert (current_folder(), downloads()) == (["birds"], [])


STUCK = """
import sys, time
from pathlib import Path
from ensemble.dataset import unpackers
from ensemble.dataset.download import get
from ensemble.dataset.known_sets import DownloadableSet

def stuck(files, folder, progress):
    unpackers.plain_archive(files, folder, progress)
    print("unpacked", flush=True)
    time.sleep(60)

get(DownloadableSet("birds", "birds", "", 0, "", (), stuck), Path(sys.argv[1]))
"""


def test_a_killed_extraction_leaves_no_folder_and_the_next_try_removes_its_files(tmp_path):
    archive = tmp_path / "birds.zip"
    archive.write_bytes(zipped(IMAGES))
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK, str(archive)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "unpacked\n"
        process.send_signal(signal.SIGKILL)
    assert not Path("birds").exists()
    get(birds(), archive)
    assert contents(Path("birds")) == IMAGES
    assert current_folder() == ["birds"]
    assert archive.exists()


# --from


def test_a_local_archive_is_used_without_a_request_and_stays(site, tmp_path):
    archive = tmp_path / "from elsewhere.zip"
    archive.write_bytes(zipped(IMAGES))
    get(birds(site.file("birds.zip", archive.read_bytes())), archive)
    assert contents(Path("birds")) == IMAGES
    assert archive.exists()
    assert site.n_requests == 0


def test_a_local_archive_must_have_the_right_hash_and_is_never_removed(site, tmp_path):
    archive = tmp_path / "birds.zip"
    archive.write_bytes(b"other")
    file = site.file("birds.zip", zipped(IMAGES))
    message = refusal(birds(file), archive)
    actual = hashlib.sha256(b"other").hexdigest()
    assert f"birds.zip: differs from {file.url}\nits SHA-256 is {actual}" in message
    assert archive.read_bytes() == b"other"
    message = refusal(birds(file), tmp_path / "nothing.zip")
    assert "nothing.zip: no such file\n--from takes birds.zip" in message


def test_a_set_of_several_files_is_taken_from_one_folder(site, tmp_path):
    dataset = birds(site.file("birds.zip", zipped(IMAGES)), site.file("labels.mat", b"labels"))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "birds.zip").write_bytes(zipped(IMAGES))
    message = refusal(dataset, folder / "birds.zip")
    assert "birds.zip: one file, but birds needs 2\n" in message
    assert "birds.zip and labels.mat in one folder" in message
    assert "labels.mat: no such file" in refusal(dataset, folder)
    (folder / "labels.mat").write_bytes(b"labels")
    assert get(dataset, folder).n_images == 8


def test_a_competition_is_unpacked_unchanged_from_a_local_archive(tmp_path):
    archive = tmp_path / "x.zip"
    archive.write_bytes(zipped(IMAGES | {"labels.csv": b"id,label\n"}))
    local = get(set_named("kaggle:Birds-2024"), archive)
    assert (local.folder, local.n_images) == (Path("Birds-2024"), 8)
    assert contents(local.folder) == IMAGES | {"labels.csv": b"id,label\n"}
    message = refusal(set_named("kaggle:Birds"), tmp_path / "nothing")
    assert "nothing: no such file\n--from takes Birds.zip" in message
