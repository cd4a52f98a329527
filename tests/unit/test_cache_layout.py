"""Where the cache is, and where each thing is in it."""

import os
import stat
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
    assert layout.compiler_caches == Path("/k/ccache")
    assert layout.lanes == Path("/k/lanes")


# Only its owner enters it


def modes(root: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *root.iterdir())}


def test_a_new_cache_and_its_parents_are_its_owners_alone(tmp_path: Path) -> None:
    CacheLayout(tmp_path / "a/cache").create_root()
    assert modes(tmp_path / "a") == {"a": 0o700, "cache": 0o700}
    assert CacheLayout(tmp_path / "a/cache").is_private()


def test_an_older_cache_that_was_wider_is_closed(tmp_path: Path) -> None:
    layout = CacheLayout(tmp_path / "cache")
    for folder in (layout.sources, layout.lanes):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    layout.root.chmod(0o2775)
    assert not layout.is_private()
    layout.create_root()
    assert modes(layout.root) == {"cache": 0o700, "sources": 0o755, "lanes": 0o755}
    assert layout.is_private()


def test_of_a_directory_that_holds_more_only_the_caches_own_folders_are_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "mail").mkdir(parents=True)
    (home / "lanes").mkdir()
    for path in (home, home / "mail", home / "lanes"):
        path.chmod(0o755)
    CacheLayout(home).create_root()
    own = dict.fromkeys(("ccache", "sources", "lanes", "memory", "resolutions"), 0o700)
    assert modes(home) == {"home": 0o755, "mail": 0o755, **own}
    assert CacheLayout(home).is_private()
    (home / "lanes").chmod(0o750)
    assert not CacheLayout(home).is_private()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_another_users_cache_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o755)
    os.chown(tmp_path / "cache", 65534, 65534)
    CacheLayout(tmp_path / "cache").create_root()
    assert modes(tmp_path / "cache") == {"cache": 0o755}
