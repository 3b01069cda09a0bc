"""A table in the cache keeps rows by key; where it is damaged, nothing fails."""

import pytest

from ensemble.dataset.cache_table import BATCH, CacheTable


@pytest.fixture
def table(tmp_path):
    columns = ("name TEXT PRIMARY KEY", "n INT", "content BLOB")
    return CacheTable(tmp_path / "cache" / "rows.sqlite", "rows", columns)


def test_rows_are_found_by_key_however_many_there_are(table):
    rows = [(f"{i:05d}", i, bytes([i % 256])) for i in range(2 * BATCH + 1)]
    table.store(rows)
    keys = [name for name, _, _ in rows]
    assert sorted(table.rows([*keys, "missing"])) == rows
    assert table.rows(["missing"]) == []
    assert table.rows([]) == []


def test_a_row_is_replaced_by_a_newer_one_and_can_be_removed(table):
    table.store([("a", 1, b""), ("b", 2, b"")])
    table.store([("a", 3, b"")])
    assert sorted(table.rows(["a", "b"])) == [("a", 3, b""), ("b", 2, b"")]
    table.remove("a")
    table.remove("missing")
    assert table.rows(["a", "b"]) == [("b", 2, b"")]


def test_a_table_that_was_never_stored_has_no_rows_and_no_file(table):
    table.store([])
    table.remove("a")
    assert table.rows(["a"]) == []
    assert not table.file.exists()


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_a_damaged_file_has_no_rows_and_takes_none(table, content):
    table.file.parent.mkdir()
    table.file.write_bytes(content)
    assert table.rows(["a"]) == []
    table.store([("a", 1, b"")])
    table.remove("a")
    assert table.rows(["a"]) == []


def test_a_folder_that_cannot_be_made_and_a_key_that_is_not_text_store_nothing(table, tmp_path):
    table.store([("\udcff", 1, b"")])
    assert table.rows(["\udcff"]) == []
    (tmp_path / "file").write_text("")
    below_a_file = CacheTable(tmp_path / "file" / "rows.sqlite", "rows", table.columns)
    below_a_file.store([("a", 1, b"")])
    assert below_a_file.rows(["a"]) == []
