"""Where the cache is, and where each thing is in it."""

from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout, locate_cache_root


def test_the_cache_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KMATRIX_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert locate_cache_root() == tmp_path / ".cache/kmatrix"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert locate_cache_root() == Path("/x/kmatrix")
    monkeypatch.setenv("KMATRIX_CACHE", "/k")
    assert locate_cache_root() == Path("/k")
    assert CacheLayout().root == Path("/k")


def test_each_part_of_the_cache_has_the_name_that_it_has_on_disk() -> None:
    layout = CacheLayout(Path("/k"))
    assert layout.in_use_lock == Path("/k/in-use")
    assert layout.sources == Path("/k/sources")
    assert layout.import_lock == Path("/k/sources/.lock")
    assert layout.spec_entries == Path("/k/sources/by-spec")
    assert layout.hash_caches == Path("/k/sources/memo")
    assert layout.resolutions == Path("/k/resolutions")
    assert layout.lanes == Path("/k/lanes")
