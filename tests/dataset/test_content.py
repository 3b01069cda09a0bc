"""Content hashes follow the bytes; the index beside them only saves time."""

import hashlib
import os
import sqlite3
from contextlib import closing

import pytest

from ensemble.dataset.content import content_hashes, read_hashed
from ensemble.errors import DataError
from ensemble.paths import cache_root


def expected(files):
    return [hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest() for file in files]


def made(folder, n=5):
    files = [folder / f"é{i}.png" for i in range(n)]
    for i, file in enumerate(files):
        file.write_bytes(b"x" * i)
    return files


def write_in_index(statement):
    with closing(sqlite3.connect(cache_root() / "content.sqlite")) as db, db:
        db.execute(statement)


def test_hashes_are_those_of_the_bytes_in_the_order_asked(tmp_path):
    files = made(tmp_path)
    assert content_hashes(files) == expected(files)
    assert content_hashes(files[::-1]) == expected(files)[::-1]
    assert content_hashes([files[1], files[1]]) == [expected(files)[1]] * 2
    assert content_hashes([]) == []


def test_a_changed_file_is_hashed_again_and_a_moved_one_keeps_its_hash(tmp_path):
    files = made(tmp_path)
    before = content_hashes(files)
    files[2].write_bytes(b"yy")  # the same size
    os.utime(files[2], ns=(1, files[2].stat().st_mtime_ns + 1))
    files[3] = files[3].rename(tmp_path / "moved.png")
    after = content_hashes(files)
    assert after == expected(files)
    assert [i for i in range(5) if after[i] != before[i]] == [2]


def test_a_second_look_does_not_read_the_files(tmp_path):
    files = made(tmp_path)
    content_hashes(files)
    write_in_index("UPDATE files SET hash = 'from the index'")
    assert content_hashes(files) == ["from the index"] * len(files)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_with_the_size_and_the_time_of_the_old_one_is_hashed_again(tmp_path, is_replaced):
    files = made(tmp_path)
    content_hashes(files)
    stat = files[3].stat()
    if is_replaced:
        (tmp_path / "new").write_bytes(b"zzz")
        (tmp_path / "new").replace(files[3])
    else:
        files[3].write_bytes(b"zzz")
    os.utime(files[3], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_hashes(files) == expected(files)


def test_bytes_without_the_hash_are_refused_and_a_wrong_index_is_mended_by_the_next_look(tmp_path):
    files = made(tmp_path)
    (content,) = content_hashes(files[3:4])
    assert read_hashed(files[3], content) == b"xxx"
    write_in_index("UPDATE files SET hash = 'planted'")
    with pytest.raises(DataError, match="é3.png: was changed while this command was using it"):
        read_hashed(files[3], *content_hashes(files[3:4]))
    assert content_hashes(files[3:4]) == [content]
    files[3].unlink()
    with pytest.raises(DataError, match="é3.png: can no longer be read"):
        read_hashed(files[3], content)


@pytest.mark.parametrize("damage", [b"", b"not a database" * 100, None])
def test_an_index_that_is_damaged_or_cannot_be_written_costs_time_only(tmp_path, damage):
    files = made(tmp_path)
    index = cache_root() / "content.sqlite"
    if damage is None:
        index.mkdir(parents=True)
    else:
        content_hashes(files)
        index.write_bytes(damage)
    assert content_hashes(files) == expected(files)
    assert content_hashes(files) == expected(files)


def test_a_file_that_is_gone_is_named(tmp_path):
    files = made(tmp_path)
    files[1].unlink()
    with pytest.raises(DataError, match="é1.png: cannot be read"):
        content_hashes(files)


def test_files_that_the_system_does_not_read_are_named_with_a_way_out(tmp_path):
    resource = pytest.importorskip("resource")
    files = made(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(DataError) as refused:
            content_hashes(files[:1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert str(refused.value) == (
        f"{files[0]}: cannot be read (Too many open files)\n"
        "allow this shell more open files: ulimit -n 4096"
    )
    files[0].unlink()
    with pytest.raises(
        DataError, match=r"cannot be read .*\nput it back and run the command again"
    ):
        content_hashes(files)
