import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.errors import DiskFullError, MachineError
from matrix.source.cache import CachedTree, SourceCache
from matrix.source.manifest import Manifest, ManifestEntry
from matrix.source.snapshot import copy_tree, link_tree, list_files
from tests.fakes.small_tree import small_tree


@pytest.fixture
def cache(tmp_path: Path) -> SourceCache:
    return SourceCache(CacheLayout(tmp_path / "cache"))


def bring(cache: SourceCache, tree: Path) -> CachedTree:
    """A tree's way into the cache."""
    with cache.create_import_area() as area:
        return cache.store_tree(area, copy_tree(tree, list_files(tree), area / "tree"), "6.12.48")


def fail(cache: SourceCache, problem: Exception) -> None:
    """An import that breaks off in the middle."""
    with cache.create_import_area(1_700_000) as area:
        (area / "half").touch()
        raise problem


def leftovers(cache: SourceCache) -> list[str]:
    return [path.name for path in cache.layout.sources.glob("tmp-*")]


def test_what_was_adopted_is_found_with_its_manifest(cache: SourceCache, tmp_path: Path) -> None:
    kept = bring(cache, small_tree(tmp_path / "tree"))
    found = cache.find(kept.digest)
    assert found is not None
    assert (found.version, found.file_count) == ("6.12.48", 7)
    assert found.size > 0
    assert (found.path / "virt/kvm/vfio.c").is_file()
    assert cache.load_manifest(kept.digest).digest == kept.digest
    assert leftovers(cache) == []


def test_a_tree_that_is_there_already_stays_as_it_is(cache: SourceCache, tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    inode = (bring(cache, tree).path / "Kconfig").stat().st_ino
    assert (bring(cache, tree).path / "Kconfig").stat().st_ino == inode


def test_importers_of_the_same_tree_do_not_disturb_each_other(cache: SourceCache, tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    with ThreadPoolExecutor(8) as pool:
        digests = {kept.digest for kept in pool.map(lambda _: bring(cache, tree), range(16))}
    assert [entry.digest for entry in cache.list_trees()] == list(digests)
    assert leftovers(cache) == []


def test_a_failed_import_leaves_nothing(cache: SourceCache) -> None:
    with pytest.raises(ValueError, match="x"):
        fail(cache, ValueError("x"))
    assert leftovers(cache) == []


def test_a_killed_import_is_swept_and_a_living_one_is_not(cache: SourceCache) -> None:
    script = """if True:
        import os, pathlib, sys
        from matrix.cache_layout import CacheLayout
        from matrix.source.cache import SourceCache
        with SourceCache(CacheLayout(pathlib.Path(sys.argv[1]))).create_import_area() as area:
            os._exit(0)
    """
    command = [sys.executable, "-c", script, str(cache.layout.root)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3])
    (dead,) = leftovers(cache)
    with cache.create_import_area() as area:
        assert cache.remove_stale_entries() == [dead]
        assert area.is_dir()
    assert leftovers(cache) == []


def test_sweeping_a_cache_that_was_never_used_does_nothing(cache: SourceCache) -> None:
    assert cache.remove_stale_entries() == []
    assert cache.list_trees() == []
    assert not cache.layout.root.exists()


def test_an_incomplete_tree_is_not_found_and_is_replaced(cache: SourceCache, tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    kept = bring(cache, tree)
    (cache.layout.sources / kept.digest / "manifest.json.gz").unlink()
    assert cache.find(kept.digest) is None
    with pytest.raises(MachineError, match="gone or damaged"):
        cache.load_manifest(kept.digest)
    assert cache.load_manifest(bring(cache, tree).digest).digest == kept.digest


def test_a_manifest_that_was_read_is_read_again_when_its_file_is_another(
    cache: SourceCache, tmp_path: Path
) -> None:
    kept = bring(cache, small_tree(tmp_path / "tree"))
    file = cache.layout.sources / kept.digest / "manifest.json.gz"
    first = cache.load_manifest(kept.digest)
    assert cache.load_manifest(kept.digest) is first
    Manifest({}).dump(file)
    assert cache.load_manifest(kept.digest) == Manifest({})


def test_a_manifest_that_several_ask_for_at_once_is_read_once(
    cache: SourceCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = bring(cache, small_tree(tmp_path / "tree")).digest
    together, load, read = threading.Barrier(4), Manifest.load, list[Path]()

    def load_slowly(path: Path) -> Manifest:
        read.append(path)
        time.sleep(0.2)
        return load(path)

    def ask(_: int) -> Manifest:
        together.wait(20)
        return cache.load_manifest(digest)

    monkeypatch.setattr(Manifest, "load", load_slowly)
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(ask, range(4))
    assert all(other is first for other in others)
    assert len(read) == 1


def test_a_removed_tree_is_gone_and_what_pointed_to_it_is_forgotten(
    cache: SourceCache, tmp_path: Path
) -> None:
    kept = bring(cache, small_tree(tmp_path / "tree"))
    cache.write_spec_entry("debian:linux-source-6.12", kept.digest, package="6.12.48-1")
    cache.remove(kept.digest)
    cache.remove(kept.digest)
    assert cache.find(kept.digest) is None
    assert cache.read_spec_entry("debian:linux-source-6.12") is None
    assert cache.remove_stale_entries() == ["debian%3Alinux-source-6.12.json"]
    assert leftovers(cache) == []


def test_what_was_remembered_of_a_spec_is_recalled(cache: SourceCache, tmp_path: Path) -> None:
    kept = bring(cache, small_tree(tmp_path / "tree"))
    for key in ("debian:linux-source-6.12", "git:../../x", "k" * 300, "k" * 299 + "l"):
        cache.write_spec_entry(key, kept.digest, package=key)
    assert (cache.read_spec_entry("k" * 300) or {})["package"] == "k" * 300
    assert (cache.read_spec_entry("git:../../x") or {})["digest"] == kept.digest
    assert cache.read_spec_entry("another") is None
    assert {path.parent for path in cache.layout.root.rglob("*.json") if path.name != "entry.json"} == {
        cache.layout.spec_entries
    }


def test_entries_come_least_recently_used_first_and_finding_is_using(
    cache: SourceCache, tmp_path: Path
) -> None:
    one = bring(cache, small_tree(tmp_path / "one"))
    two = bring(cache, small_tree(tmp_path / "two", extra="x"))
    for kept in (one, two):
        os.utime(cache.layout.sources / kept.digest / "entry.json", (1, 1))
    cache.find(one.digest)
    assert [entry.digest for entry in cache.list_trees()] == [two.digest, one.digest]


def test_what_a_copy_shares_with_its_base_is_not_counted_twice(cache: SourceCache, tmp_path: Path) -> None:
    base = bring(cache, small_tree(tmp_path / "tree"))
    with cache.create_import_area() as area:
        linked = cache.load_manifest(base.digest).entries
        link_tree(base.path, [*linked], area / "tree")
        (area / "tree/new").write_text("x" * 10_000)
        manifest = Manifest({**linked, "new": ManifestEntry("file", "0" * 64)})
        kept = cache.store_tree(area, manifest, "6.12.48", own=["new"])
        assert kept.size == pytest.approx(10_000, abs=4096)


def test_a_full_disk_says_what_is_needed_and_leaves_nothing(cache: SourceCache) -> None:
    with pytest.raises(DiskFullError, match=r"1\.7 MB needed"):
        fail(cache, OSError(errno.ENOSPC, "No space left on device"))
    assert leftovers(cache) == []


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(cache: SourceCache) -> None:
    with pytest.raises(DiskFullError, match="needed"), cache.create_import_area(10**18):
        pytest.fail("must not begin")


def test_a_cache_that_may_not_be_written_says_which_variable_moves_it(
    cache: SourceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_args: object, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(MachineError, match="may not be written") as caught, cache.create_import_area():
        pytest.fail("must not begin")
    assert "KMATRIX_CACHE" in caught.value.hint


def test_an_entry_that_is_nested_without_end_is_no_entry(tmp_path: Path) -> None:
    cache = SourceCache(CacheLayout(tmp_path))
    entry = tmp_path / "sources" / ("a" * 64) / "entry.json"
    entry.parent.mkdir(parents=True)
    entry.write_text("[" * 100_000)
    assert cache.find("a" * 64) is None
    assert list(cache.list_trees()) == []
