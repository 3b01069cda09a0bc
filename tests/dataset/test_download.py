"""Known sets arrive whole or not at all, from a server that cuts, lies or is gone, and from files already here."""

import hashlib
import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.dataset import download, fetch, unpackers
from ensemble.dataset.archives import cache_root
from ensemble.dataset.download import SOURCES, Source, datasets, get, source_named
from ensemble.dataset.fetch import File
from ensemble.errors import DataError

RECIPES = Path(__file__).parents[2] / "recipes"


class Site:
    """A server on this machine. `cuts` holds how many bytes each coming answer sends before the connection breaks."""

    def __init__(self):
        self.files, self.cuts, self.ranges, self.statuses, self.can_resume = {}, [], [], [], True
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request):
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        content = self.files.get(request.path)
        status = self.statuses.pop(0) if self.statuses else 200 if content is not None else 404
        start = (
            int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.can_resume else 0
        )
        if status == 200 and start >= len(content) > 0:
            status = 416
        if status != 200:
            request.send_error(status)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:][: self.cuts.pop(0) if self.cuts else None])

    def file(self, name, content):
        self.files[f"/{name}"] = content
        url = f"http://127.0.0.1:{self.server.server_address[1]}/{name}"
        return File(url, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setenv("no_proxy", "*")
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def png(colour):
    stored = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(stored, "PNG")
    return stored.getvalue()


PICTURES = {
    f"{split}/{name}/{i}.png": png(name)
    for split in ("train", "val")
    for name in ("red", "blue")
    for i in (1, 2)
}


def zipped(files):
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stored.getvalue()


def tarred(files):
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stored.getvalue()


def birds(*files, lay_out=unpackers.as_it_comes):
    return Source("birds", "birds", "pictures of birds", len(PICTURES), "none", files, lay_out)


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def leftovers():
    """What lies in the current folder and in the cache's downloads, locks left out."""
    found = [*Path().iterdir(), *(cache_root() / "downloads").glob("*")]
    return sorted(path.name for path in found if path.suffix != ".lock")


# The whole way


def test_a_set_is_downloaded_checked_unpacked_and_tells_how_far_it_is(site):
    events = []
    got = get(birds(site.file("birds.zip", zipped(PICTURES))), emit=events.append)
    assert (got.folder, got.n_images, got.was_there) == (Path("birds"), 8, False)
    assert contents(Path("birds")) == PICTURES
    assert leftovers() == ["birds"]
    assert ("birds.zip, MB", 1, 1) in {
        (e.phase, e.done, e.total) for e in events if hasattr(e, "phase")
    }
    assert site.ranges == [None]


def test_a_set_goes_under_ens_data_or_where_to_says(site, tmp_path, monkeypatch):
    source = birds(site.file("birds.zip", zipped(PICTURES)))
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "sets"))
    assert get(source).folder == tmp_path / "sets" / "birds"
    assert get(source, to=tmp_path / "new" / "place").folder == tmp_path / "new" / "place" / "birds"
    assert contents(tmp_path / "new" / "place" / "birds") == PICTURES


def test_a_complete_set_is_left_alone_and_nothing_is_asked_of_the_server(site):
    source = birds(site.file("birds.zip", zipped(PICTURES)))
    get(source)
    (Path("birds") / "mine.txt").write_text("kept")
    again = get(source)
    assert (again.was_there, again.n_images) == (True, 8)
    assert (Path("birds") / "mine.txt").read_text() == "kept"
    assert len(site.ranges) == 1


@pytest.mark.parametrize("make", ["some", "empty"])
def test_a_folder_that_holds_less_than_the_set_is_named_and_left_as_it_is(site, make):
    Path("birds").mkdir()
    if make == "some":
        Path("birds/1.png").write_bytes(png("red"))
    before = contents(Path("birds"))
    with pytest.raises(
        DataError,
        match=r"birds: is there, with \d images where birds has 8; left as it is\nmove it away",
    ):
        get(birds(site.file("birds.zip", zipped(PICTURES))))
    assert contents(Path("birds")) == before
    assert site.ranges == []


# What goes wrong on the way


def test_a_cut_connection_is_resumed_where_it_broke_off(site):
    archive = zipped(PICTURES)
    site.cuts = [300, 200]
    get(birds(site.file("birds.zip", archive)))
    assert contents(Path("birds")) == PICTURES
    assert site.ranges == [None, "bytes=300-", "bytes=500-"]


def test_a_download_that_never_ends_well_is_kept_for_the_next_try(site):
    file = site.file("birds.zip", zipped(PICTURES))
    site.cuts = [100, 10, 10, 10]
    with pytest.raises(DataError) as cut:
        get(birds(file))
    lines = str(cut.value).splitlines()
    assert lines[0] == f"{file.url}: the connection was cut, 4 times"
    assert lines[1] == f"run the command again: it goes on after 130 of {file.n_bytes:,} bytes"
    assert lines[2:] == ["or bring a copy from elsewhere: `ens data get birds --from FILE`"]
    assert [name.endswith("birds.zip.part") for name in leftovers()] == [True]
    get(birds(file))
    assert site.ranges[-1] == "bytes=130-"
    assert contents(Path("birds")) == PICTURES
    assert leftovers() == ["birds"]


def test_a_server_that_cannot_resume_sends_everything_again(site):
    site.can_resume, site.cuts = False, [300]
    get(birds(site.file("birds.zip", zipped(PICTURES))))
    assert contents(Path("birds")) == PICTURES
    assert site.ranges == [None, "bytes=300-"]


def test_a_download_killed_after_its_last_byte_needs_no_more(site):
    archive = zipped(PICTURES)
    file = site.file("birds.zip", archive)
    part = cache_root() / "downloads" / f"{hashlib.sha256(archive).hexdigest()[:12]}-birds.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(archive)
    get(birds(file))
    assert contents(Path("birds")) == PICTURES
    assert site.ranges == [f"bytes={len(archive)}-"]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_wrong_checksum_removes_the_file_and_names_both(site, algorithm):
    archive = zipped(PICTURES)
    expected, found = (
        hashlib.new(algorithm, content).hexdigest() for content in (b"other", archive)
    )
    file = replace(site.file("birds.zip", archive), digest=f"{algorithm}:{expected}")
    with pytest.raises(DataError) as wrong:
        get(birds(file))
    assert f"{algorithm} {found} instead of {expected}; get it again" in str(wrong.value)
    assert file.url in str(wrong.value)
    assert str(wrong.value).count("\n") == 2
    assert leftovers() == []


def test_a_partial_file_of_other_bytes_is_found_out_by_the_checksum(site):
    archive = zipped(PICTURES)
    file = site.file("birds.zip", archive)
    part = cache_root() / "downloads" / f"{hashlib.sha256(archive).hexdigest()[:12]}-birds.zip.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 100)
    with pytest.raises(DataError, match="instead of"):
        get(birds(file))
    get(birds(file))
    assert contents(Path("birds")) == PICTURES


def test_a_missing_page_is_told_at_once(site):
    file = replace(
        site.file("birds.zip", b"x"),
        url=f"http://127.0.0.1:{site.server.server_address[1]}/gone.zip",
    )
    with pytest.raises(
        DataError, match=r"gone.zip: the server answers 404 Not Found\nor bring a copy"
    ):
        get(birds(file))
    assert len(site.ranges) == 1


def test_a_busy_server_is_asked_again(site):
    site.statuses = [503, 429]
    get(birds(site.file("birds.zip", zipped(PICTURES))))
    assert contents(Path("birds")) == PICTURES


def test_without_a_network_the_error_names_the_address_and_the_way_round_it(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/birds.zip"
    with pytest.raises(DataError) as offline:
        get(birds(File(url, 1, "sha256:0"), File(url, 1, "sha256:0")))
    assert str(offline.value).startswith(f"{url}: cannot be reached (")
    assert str(offline.value).endswith("`ens data get birds --from FOLDER`")
    assert leftovers() == []


def test_a_second_process_is_turned_away_while_the_first_is_at_work(site):
    source = birds(site.file("birds.zip", zipped(PICTURES)))
    with (
        download._alone(source),
        pytest.raises(DataError, match="another process is getting birds\nwait"),
    ):
        get(source)


def test_a_place_that_cannot_be_written_keeps_the_download(site, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="birds: cannot be written"):
        get(birds(site.file("birds.zip", zipped(PICTURES))), to=tmp_path / "file")
    assert get(birds(site.file("birds.zip", zipped(PICTURES)))).n_images == 8
    assert len(site.ranges) == 1


# Archives


@pytest.mark.parametrize(
    ("archive", "problem"),
    [
        (zipped({"../escaped.png": b"x"}), "outside the folder"),
        (b"no archive at all", "damaged"),
        (zipped(PICTURES)[:-100], "damaged"),
    ],
)
def test_a_hostile_or_damaged_archive_leaves_nothing(site, archive, problem):
    with pytest.raises(DataError, match=problem):
        get(birds(site.file("birds.zip", archive)))
    assert [name for name in leftovers() if not name.endswith("-birds.zip")] == []
    assert not Path("../escaped.png").exists()


def test_an_interrupted_extraction_leaves_nothing(site):
    def interrupted(files, folder, progress):
        unpackers.as_it_comes(files, folder, progress)
        raise KeyboardInterrupt

    file = site.file("birds.zip", zipped(PICTURES))
    with pytest.raises(KeyboardInterrupt):
        get(birds(file, lay_out=interrupted))
    assert [name[13:] for name in leftovers()] == ["birds.zip"]
    get(birds(file))
    assert len(site.ranges) == 1
    assert leftovers() == ["birds"]


KILLED = """
import sys, time
from pathlib import Path
from ensemble.dataset import unpackers
from ensemble.dataset.download import Source, get

def stuck(files, folder, progress):
    unpackers.as_it_comes(files, folder, progress)
    print("unpacked", flush=True)
    time.sleep(60)

get(Source("birds", "birds", "", 0, "", (), stuck), given=Path(sys.argv[1]))
"""


def test_a_killed_extraction_leaves_no_folder_and_the_next_try_clears_up(tmp_path):
    archive = tmp_path / "birds.zip"
    archive.write_bytes(zipped(PICTURES))
    started = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(archive)], stdout=subprocess.PIPE, text=True
    )
    with started:
        assert started.stdout.readline() == "unpacked\n"
        started.send_signal(signal.SIGKILL)
    assert not Path("birds").exists()
    get(birds(), given=archive)
    assert contents(Path("birds")) == PICTURES
    assert leftovers() == ["birds"]
    assert archive.exists()


# --from


def test_an_archive_already_here_is_used_instead_and_stays(site, tmp_path):
    archive = tmp_path / "carried over.zip"
    archive.write_bytes(zipped(PICTURES))
    get(birds(site.file("birds.zip", archive.read_bytes())), given=archive)
    assert contents(Path("birds")) == PICTURES
    assert archive.exists()
    assert site.ranges == []


def test_an_archive_already_here_must_be_the_right_one_and_is_never_removed(site, tmp_path):
    archive = tmp_path / "birds.zip"
    archive.write_bytes(b"other")
    file = site.file("birds.zip", zipped(PICTURES))
    with pytest.raises(
        DataError, match=f"birds.zip: not the bytes expected of {file.url}\nsha256 .* instead of"
    ):
        get(birds(file), given=archive)
    assert archive.read_bytes() == b"other"
    with pytest.raises(DataError, match="nothing.zip: no such file\n--from takes birds.zip"):
        get(birds(file), given=tmp_path / "nothing.zip")


def test_a_set_of_several_files_is_taken_from_one_folder(site, tmp_path):
    source = birds(site.file("birds.zip", zipped(PICTURES)), site.file("labels.mat", b"labels"))
    (tmp_path / "carried").mkdir()
    archive = tmp_path / "carried" / "birds.zip"
    archive.write_bytes(zipped(PICTURES))
    with pytest.raises(
        DataError,
        match="birds.zip: one file, where birds needs 2\n.*birds.zip and labels.mat in one folder",
    ):
        get(source, given=archive)
    with pytest.raises(DataError, match="labels.mat: no such file"):
        get(source, given=tmp_path / "carried")
    (tmp_path / "carried" / "labels.mat").write_bytes(b"labels")
    assert get(source, given=tmp_path / "carried").n_images == 8


# The layouts


def cifar_archive(n_per_batch, rng):
    labels = {name: rng.integers(0, 10, n_per_batch, np.uint8) for name in CIFAR_BATCHES}
    pixels = {
        name: rng.integers(0, 256, (n_per_batch, 3, 32, 32), np.uint8) for name in CIFAR_BATCHES
    }
    records = {
        name: np.hstack([labels[name][:, None], pixels[name].reshape(n_per_batch, -1)])
        for name in CIFAR_BATCHES
    }
    files = {f"cifar-10-batches-bin/{name}.bin": rows.tobytes() for name, rows in records.items()}
    return tarred(files | {"cifar-10-batches-bin/readme.html": b"<html>"}), labels, pixels


CIFAR_BATCHES = [f"data_batch_{i}" for i in (1, 2, 3, 4, 5)] + ["test_batch"]


def test_cifar10_comes_back_from_png_as_the_bytes_it_was(site, rng):
    archive, labels, pixels = cifar_archive(7, rng)
    source = replace(
        SOURCES["cifar10"], files=(site.file("cifar-10-binary.tar.gz", archive),), n_images=42
    )
    events = []
    assert get(source, emit=events.append).n_images == 42
    for split, names in (("train", CIFAR_BATCHES[:5]), ("test", CIFAR_BATCHES[5:])):
        wanted = np.concatenate([pixels[name] for name in names])
        classes = np.concatenate([labels[name] for name in names])
        for i, label in enumerate(classes):
            path = Path("cifar10") / split / unpackers.CIFAR10_CLASSES[label] / f"{i:05d}.png"
            assert np.array_equal(np.asarray(Image.open(path)), wanted[i].transpose(1, 2, 0))
    assert sorted(child.name for child in Path("cifar10").iterdir()) == ["test", "train"]
    assert (events[-1].done, events[-1].total) == (42, 42)


def test_flowers_are_split_as_published_into_folders_named_by_number(site):
    from scipy.io import savemat

    labels, split = (
        np.array([102, 1, 1, 77, 102, 3], np.uint8),
        {"trnid": [6, 2], "valid": [3], "tstid": [1, 4, 5]},
    )
    stored = {name: io.BytesIO() for name in ("imagelabels.mat", "setid.mat")}
    savemat(stored["imagelabels.mat"], {"labels": labels[None]})
    savemat(stored["setid.mat"], {key: np.array([rows], np.uint16) for key, rows in split.items()})
    photos = {f"jpg/image_{i:05d}.jpg": bytes([i]) for i in range(1, 7)}
    files = [site.file("102flowers.tgz", tarred(photos))]
    files += [site.file(name, content.getvalue()) for name, content in stored.items()]
    assert get(replace(SOURCES["flowers102"], files=tuple(files), n_images=6)).n_images == 6
    assert contents(Path("flowers102")) == {
        "train/003/image_00006.jpg": b"\x06",
        "train/001/image_00002.jpg": b"\x02",
        "valid/001/image_00003.jpg": b"\x03",
        "test/102/image_00001.jpg": b"\x01",
        "test/077/image_00004.jpg": b"\x04",
        "test/102/image_00005.jpg": b"\x05",
    }


def test_hymenoptera_keeps_its_layout_without_what_a_mac_adds(site):
    wrapped = {f"hymenoptera_data/{name}": content for name, content in PICTURES.items()} | {
        "__MACOSX/._a.png": b"junk"
    }
    source = replace(
        SOURCES["hymenoptera"],
        files=(site.file("hymenoptera_data.zip", zipped(wrapped)),),
        n_images=8,
    )
    assert get(source).folder == Path("hymenoptera_data")
    assert contents(Path("hymenoptera_data")) == PICTURES


# The table


def test_every_source_is_pinned_and_named_as_the_recipes_name_it():
    from ensemble.recipe import Recipe

    for name, source in SOURCES.items():
        data = Recipe.load(RECIPES.parent / source.recipe).data
        assert (data.get, data.path) == (name, source.folder)
        for file in source.files:
            assert file.url.startswith("https://")
            algorithm, _, digest = file.digest.partition(":")
            assert (algorithm, len(bytes.fromhex(digest))) == ("sha256", 32)


def test_every_recipe_that_names_a_set_names_one_that_can_be_got_to_its_path():
    from ensemble.recipe import Recipe

    recipes = [
        Recipe.load(path)
        for path in sorted(RECIPES.glob("*.yaml"))
        if not path.name.endswith(".base.yaml")
    ]
    named = [recipe.data for recipe in recipes if recipe.data.get]
    assert len(named) > 5
    for data in named:
        assert source_named(data.get).folder == data.path


@pytest.mark.parametrize(
    "name", ["cifar100", "kaggle:", "kaggle:../x", "kaggle:https://www.kaggle.com/c/x"]
)
def test_a_set_that_is_not_known_is_refused_with_what_is(name):
    with pytest.raises(
        DataError, match=r"cifar10, flowers102, hymenoptera, kaggle:<slug>|no competition's name"
    ):
        source_named(name)


def test_the_list_says_what_is_here(tmp_path, monkeypatch):
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "sets"))
    (tmp_path / "sets" / "flowers102").mkdir(parents=True)
    (tmp_path / "sets" / "flowers102" / "1.png").write_bytes(png("red"))
    Path("hymenoptera_data").mkdir()
    listed = {one.name: one for one in datasets()}
    assert list(listed) == list(SOURCES)
    assert (listed["cifar10"].here, listed["cifar10"].n_bytes) == ("", 170_052_171)
    assert (listed["flowers102"].here, listed["flowers102"].n_found) == (
        str(tmp_path / "sets" / "flowers102"),
        1,
    )
    assert (listed["hymenoptera"].here, listed["hymenoptera"].n_found) == ("hymenoptera_data", 0)
    assert listed["cifar10"].url == "https://www.cs.toronto.edu/~kriz"


# Kaggle


def test_a_competition_is_unpacked_as_it_comes_from_an_archive_already_here(tmp_path):
    archive = tmp_path / "x.zip"
    archive.write_bytes(zipped(PICTURES | {"labels.csv": b"id,label\n"}))
    got = get(source_named("kaggle:Birds-2024"), given=archive)
    assert (got.folder, got.n_images) == (Path("Birds-2024"), 8)
    assert contents(got.folder) == PICTURES | {"labels.csv": b"id,label\n"}
    with pytest.raises(DataError, match="nothing: no such file\n--from takes Birds.zip"):
        get(source_named("kaggle:Birds"), given=tmp_path / "nothing")


def test_without_kaggles_client_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kaggle", None)
    monkeypatch.setitem(sys.modules, "kaggle.api.kaggle_api_extended", None)
    with pytest.raises(
        DataError,
        match="not installed .*\npip install kaggle six\nor bring a copy .*kaggle:birds --from",
    ):
        get(source_named("kaggle:birds"))


KAGGLE = textwrap.dedent("""
    import sys
    import kagglesdk.kaggle_env as places
    places._env_to_endpoint[places.KaggleEnv.LOCAL] = sys.argv[2]
    from ensemble.dataset.download import get, source_named
    from ensemble.errors import DataError
    try:
        got = get(source_named(f"kaggle:{sys.argv[1]}"), emit=lambda event: print(event, file=sys.stderr))
        print(got.folder, got.n_images)
    except DataError as error:
        print(error)
        sys.exit(1)
""")
CREDENTIALS = {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "secret-key"}
needs_kaggle = pytest.mark.skipif(
    not importlib.util.find_spec("kaggle"), reason="Kaggle's client is not installed"
)


class Kaggle(Site):
    """Kaggle's address for the files of a competition, which sends on to where they lie."""

    STATUSES = {"unaccepted": 403, "nowhere": 404, "stale": 401, "broken": 500}

    def __init__(self):
        super().__init__()
        self.passwords = []
        self.server.RequestHandlerClass.do_POST = lambda request: self.redirect(request)

    def redirect(self, request):
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.passwords.append(request.headers.get("Authorization"))
        slug = body["competitionName"]
        if slug in self.STATUSES:
            message = json.dumps(
                {"code": self.STATUSES[slug], "message": "secret-key was not liked"}
            ).encode()
            request.send_response(self.STATUSES[slug])
            request.send_header("Content-Type", "application/json")
            request.send_header("Content-Length", str(len(message)))
            request.end_headers()
            request.wfile.write(message)
            return
        request.send_response(302)
        request.send_header("Location", f"/{slug}.zip?signature=1")
        request.send_header("Content-Length", "0")
        request.end_headers()

    def answer(self, request):
        request.path = request.path.partition("?")[0]
        super().answer(request)


@pytest.fixture
def kaggle(tmp_path):
    made = Kaggle()

    def run(slug, credentials=CREDENTIALS):
        env = {key: value for key, value in os.environ.items() if not key.startswith("KAGGLE_")}
        env |= {
            "HOME": str(tmp_path / "home"),
            "KAGGLE_CONFIG_DIR": str(tmp_path / "home"),
            "no_proxy": "*",
        }
        env |= {"KAGGLE_API_ENVIRONMENT": "LOCALHOST"} | (credentials or {})
        (tmp_path / "home").mkdir(exist_ok=True)
        url = f"http://127.0.0.1:{made.server.server_address[1]}"
        command = [sys.executable, "-c", KAGGLE, slug, url]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)

    made.run = run
    yield made
    made.server.shutdown()
    made.server.server_close()


@needs_kaggle
def test_a_competitions_files_come_through_kaggles_own_client(kaggle):
    files = PICTURES | {"labels.csv": b"id,label\n"}
    kaggle.files["/birds.zip"] = zipped(files)
    ended = kaggle.run("birds")
    assert (ended.returncode, ended.stdout) == (0, "birds 8\n"), ended.stderr
    assert contents(Path("birds")) == files
    assert kaggle.passwords
    assert [path.name for path in (cache_root() / "downloads" / "kaggle-birds").iterdir()] == []


@needs_kaggle
def test_what_kaggle_sends_instead_of_an_archive_is_not_kept(kaggle):
    kaggle.files["/birds.zip"] = b"<html>try again later</html>"
    ended = kaggle.run("birds")
    assert ended.stdout.startswith(
        "birds: what Kaggle sent is no whole zip archive\nrun the command again\n"
    )
    kaggle.files["/birds.zip"] = zipped(PICTURES)
    assert kaggle.run("birds").returncode == 0


@needs_kaggle
@pytest.mark.parametrize(
    ("slug", "said"),
    [
        (
            "unaccepted",
            "its rules are not accepted, or there is no such competition\naccept them at "
            "https://www.kaggle.com/competitions/unaccepted/rules",
        ),
        ("nowhere", "Kaggle knows no competition nowhere (404)"),
        (
            "stale",
            "Kaggle refuses the credentials (401)\nmake a token at https://www.kaggle.com/settings/api",
        ),
        ("broken", "Kaggle answers 500 for broken"),
    ],
)
def test_what_kaggle_refuses_is_told_in_words_without_the_credentials(kaggle, slug, said):
    ended = kaggle.run(slug)
    assert ended.returncode == 1, ended.stderr
    assert said in ended.stdout
    assert ended.stdout.strip().count("\n") == 2
    assert "secret-key" not in ended.stdout + ended.stderr
    assert not Path(slug).exists()


@needs_kaggle
def test_without_credentials_the_error_says_where_to_get_them(kaggle):
    ended = kaggle.run("birds", credentials=None)
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith(
        "Kaggle's client finds no valid credentials\nmake a token at https://www.kaggle.com"
    )
    assert kaggle.ranges == []


@needs_kaggle
def test_kaggle_out_of_reach_is_told_apart_from_a_refusal(kaggle):
    kaggle.server.server_close()
    ended = kaggle.run("birds")
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith("https://www.kaggle.com cannot be reached")
