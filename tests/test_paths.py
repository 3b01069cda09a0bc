"""Recipes' paths are found under ENS_DATA or here; the cache is where ENS_CACHE says."""

from pathlib import Path

import pytest

from ensemble.errors import DataError
from ensemble.paths import cache_root, candidates, data_root, find


def test_derived_files_go_where_ens_cache_says(tmp_path, monkeypatch):
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("ENS_CACHE")
    assert cache_root() == Path(".ens_cache")


def test_an_empty_ens_data_counts_as_not_set(monkeypatch):
    assert data_root() is None
    monkeypatch.setenv("ENS_DATA", "")
    assert data_root() is None
    assert candidates("x") == [Path("x")]


def test_a_relative_path_is_looked_for_under_ens_data_first_then_here(tmp_path, monkeypatch):
    (tmp_path / "here" / "x").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "data"))
    assert find("x").resolve() == tmp_path / "here" / "x"
    (tmp_path / "data" / "x").mkdir()
    assert find("x") == tmp_path / "data" / "x"
    assert find(str(tmp_path / "here" / "x")) == tmp_path / "here" / "x"


def test_the_error_lists_every_path_that_was_tried(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENS_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as missing:
        find("birds", get="kaggle:birds")
    assert f"birds does not exist; looked at {tmp_path}/data/birds, {tmp_path}/birds\n" in str(
        missing.value
    )
    assert "`ens data get kaggle:birds` fetches it" in str(missing.value)
    assert str(missing.value).count("\n") < 3
    with pytest.raises(DataError, match="does not exist"):
        find("n" * 300)
