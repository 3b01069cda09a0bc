"""The real command in a folder of its own, watched: what it shows, what it writes, what it runs.

The modules here are tables: the name of a fault, how it comes about, the command, and what its message must name.
"""

import os
import shlex
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble.cli import main
from ensemble.convert.plan import conversion_of
from ensemble.errors import DataError
from ensemble.files import sha256

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
RUNS_SOMETHING = {
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "subprocess.Popen",
    "pickle.find_class",
}
SEEN: list[tuple[str, tuple]] = []
watching = False


def _listen(event, arguments):
    is_linker = event == "subprocess.Popen" and arguments[0] == "/sbin/ldconfig"  # ctypes, of torch
    if (
        watching
        and not is_linker
        and (
            event in RUNS_SOMETHING or event in ("open", "sqlite3.connect", "os.mkdir", "os.rename")
        )
    ):
        SEEN.append((event, arguments))


sys.addaudithook(_listen)


@contextmanager
def watched():
    """What Python itself opens and runs in the block, as (event, arguments): sys.addaudithook."""
    global watching
    SEEN.clear()
    watching = True
    try:
        yield SEEN
    finally:
        watching = False


def written(seen):
    """The files and folders that were made or opened for writing; compiled modules left out."""
    for event, arguments in seen:
        if event in ("os.mkdir", "sqlite3.connect") or (event == "open" and arguments[2] & WRITES):
            yield arguments[0]
        elif event == "os.rename":
            yield arguments[1]


def outside(path, folder):
    """Whether a path that was opened for writing lies outside the folder."""
    if isinstance(path, int) or str(path) == os.devnull or "__pycache__" in str(path):
        return False
    return not Path(os.path.realpath(os.fsdecode(path))).is_relative_to(folder)


def snapshot(folder):
    """Every path below a folder with its content's hash; the cache and locks may change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        own = path.relative_to(folder).as_posix()
        if own not in ("work/runs", "work/submissions") and not own.startswith(
            ("work/.ens_cache", "work/runs/.locks")
        ):
            found[own] = (
                sha256(path) if path.is_file() and not path.is_symlink() else path.lstat().st_mode
            )
    return found


@pytest.fixture
def work(tmp_path, monkeypatch):
    """The folder where the command runs; beside it stands one that nothing may touch."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("password hunter2\n")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ENS_CACHE")
    return folder


@pytest.fixture
def refused(work, monkeypatch, capsys):
    """refused(command, *said): run it; it must fail as promised, write nothing, run nothing, and say these texts."""

    def refused(command, *said):
        before = snapshot(work.parent)
        monkeypatch.setattr(sys, "argv", ["ens", *shlex.split(command)])
        with watched() as seen, pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert ended.value.code == 1, shown.err
        assert shown.out == ""
        assert "Traceback" not in shown.err
        *progress, message = shown.err.partition("error: ")
        assert progress[1], shown.err
        assert 1 <= message.count("\n") <= 3, shown.err
        assert shown.err.count("\n") <= 3
        assert len(message) < 2000
        for text in said:
            assert text in message, shown.err
        assert "hunter2" not in shown.err
        assert snapshot(work.parent) == before
        assert [path for path in written(seen) if outside(path, work)] == []
        assert [event for event, _ in seen if event in RUNS_SOMETHING] == []
        return shown.err

    return refused


def _png(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


@pytest.fixture
def folders(work):
    """pictures/{train,val,test} with the classes a and b: 4, 2 and 2 images, all good; returns pictures."""
    for i in range(2):
        for name in "ab":
            _png(work / "pictures" / "train" / name / f"{i}.png", 10 * i + ord(name))
        _png(work / "pictures" / "val" / "ab"[i] / "0.png", 100 + i)
        _png(work / "pictures" / "test" / f"t{i}.png", 200 + i)
    return work / "pictures"


@pytest.fixture
def write():
    """write(path, text or bytes): a file under the current folder, with its folders."""

    def write(path, content):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def _convert(root, folder):
    conversion = conversion_of(root)
    assert conversion is not None
    conversion.write(folder, lambda done, total: None)


@pytest.fixture
def not_converted(tmp_path):
    """not_converted(root, *texts): planning or writing must fail with these texts in three lines, no file left open."""

    def not_converted(root, *texts):
        folder = tmp_path / "converted"
        folder.mkdir()
        with watched() as seen, pytest.raises(DataError) as refusal:
            _convert(root, folder)
        message = str(refusal.value)
        assert message.count("\n") <= 2, message
        assert len(message) < 1200
        for text in texts:
            assert text in message, message
        assert [path for path in written(seen) if outside(path, folder)] == []
        assert [event for event, _ in seen if event in RUNS_SOMETHING] == []
        if sys.platform == "linux":
            opened = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
            assert [path for path in opened if path.startswith(str(tmp_path))] == []
        return message

    return not_converted


@pytest.fixture
def lines_of_refusal():
    """lines_of_refusal(call, *arguments): the lines of its DataError; none where it succeeds."""

    def lines_of_refusal(call, *arguments):
        try:
            call(*arguments)
        except DataError as error:
            return str(error).split("\n")
        return []

    return lines_of_refusal
