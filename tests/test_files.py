"""Files appear whole or not at all."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

from ensemble.errors import EnsembleError
from ensemble.files import (
    atomic_path,
    check_replaceable,
    reason_of,
    remove_unfinished,
    sha256,
    staged_folder,
    write_text,
)


def test_a_text_appears_with_plain_newlines_in_folders_made_for_it(tmp_path):
    path = tmp_path / "new" / "deeper" / "notes.txt"
    write_text(path, "größe\n2\n")
    assert path.read_bytes() == "größe\n2\n".encode()
    assert [child.name for child in path.parent.iterdir()] == ["notes.txt"]


def test_a_file_has_the_permissions_of_any_other_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, failure):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
            assert temporary.parent == path.parent
        assert path.read_text() == "new"
        assert reader.read() == "old"


def test_a_file_is_flushed_through_a_handle_that_may_write_as_windows_wants_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(
        os, "fsync", lambda handle: os.write(handle, b"")
    )  # refused as Windows refuses: EBADF
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnsembleError, match="file/a.txt: cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnsembleError, match="folder: cannot be written"):
        write_text(tmp_path / "folder", "x")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["file", "folder"]


def test_a_file_that_ens_did_not_write_is_not_replaced(tmp_path):
    path = tmp_path / "a.html"
    check_replaceable(path, b"by ens")
    for content in (b"", b"mine", b" " * 3000 + b"by ens"):
        path.write_bytes(content)
        with pytest.raises(EnsembleError, match="a.html: exists, and ens did not write it"):
            check_replaceable(path, b"by ens")
    path.write_bytes(b"<html>by ens</html>")
    check_replaceable(path, b"by ens")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EnsembleError, match="folder: cannot be written"):
        check_replaceable(tmp_path / "folder", b"by ens")


def test_a_staged_folder_gets_its_name_when_everything_in_it_is_written(tmp_path):
    with staged_folder(tmp_path / "new" / "final") as staging:
        (staging / "deep").mkdir()
        (staging / "deep" / "a").write_text("x")
        assert [path.name for path in (tmp_path / "new").iterdir()] == [staging.name]
    names = [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))]
    assert names == ["new", "new/final", "new/final/deep", "new/final/deep/a"]


def test_a_staged_folder_has_the_permissions_of_any_other_new_folder(tmp_path):
    before = os.umask(0o027)
    try:
        with staged_folder(tmp_path / "final"):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "final").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_a_staged_folder_that_fails_leaves_nothing(tmp_path, failure):
    def fail():
        with staged_folder(tmp_path / "final") as staging:
            (staging / "half").write_text("x")
            raise failure

    with pytest.raises(failure):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_staged_folder_never_replaces_files_that_are_there(tmp_path):
    def be_late():
        with staged_folder(tmp_path / "final"):
            (tmp_path / "final").mkdir()
            (tmp_path / "final" / "a").write_text("of another process")

    with pytest.raises(OSError, match="final"):
        be_late()
    assert (tmp_path / "final" / "a").read_text() == "of another process"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_what_killed_processes_left_beside_a_folder_is_removed(tmp_path):
    for name in (".[a]b.unfinished-1", ".[a]b.unfinished-2", ".ab.unfinished-3", "[a]b"):
        (tmp_path / name).mkdir()
    remove_unfinished(tmp_path / "[a]b")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".ab.unfinished-3", "[a]b"]


def test_what_a_folder_with_a_similar_long_name_has_unfinished_is_kept(tmp_path):
    first, second = tmp_path / ("x" * 60 + "1"), tmp_path / ("x" * 60 + "2")
    with staged_folder(first) as staging:
        left = staging.with_name(f"{staging.name}x")
        left.mkdir()
        remove_unfinished(second)
        assert left.is_dir()
        remove_unfinished(first)
        assert not left.exists()
        assert staging.is_dir()
    with staged_folder(tmp_path / ("犬" * 80)):  # 240 bytes of the 255 that a name may have
        pass


def test_a_hash_is_that_of_the_bytes(tmp_path):
    content = os.urandom(300_000)
    (tmp_path / "x").write_bytes(content)
    assert sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_folder_that_a_process_fills_is_not_removed_by_another(tmp_path):
    target = tmp_path / "final"
    with staged_folder(target) as staging:
        (staging / "a").write_text("a")
        remove = "import sys, pathlib; from ensemble.files import remove_unfinished as remove; "
        remove += "remove(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", remove, str(target)], check=True)
        assert (staging / "a").exists()
    assert [path.name for path in target.iterdir()] == ["a"]


def test_an_error_names_the_final_folder(tmp_path):
    with (
        pytest.raises(EnsembleError, match=re.escape(f"{tmp_path / 'final' / 'a'}: is wrong")),
        staged_folder(tmp_path / "final") as staging,
    ):
        raise EnsembleError(f"{staging / 'a'}: is wrong")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "no JSON: line 1, column 2"),
        (b"\xff", "not UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"1" * 5_000, "damaged"),
    ],
)
def test_why_json_cannot_be_read_is_told_in_words(content, reason):
    with pytest.raises((ValueError, RecursionError)) as raised:
        json.loads(content.decode())
    assert reason_of(raised.value) == reason


def test_the_reason_of_the_system_is_its_own(tmp_path):
    with pytest.raises(OSError, match="Errno") as raised:
        tmp_path.read_bytes()
    assert reason_of(raised.value) == "Is a directory"
