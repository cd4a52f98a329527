"""What can go: shown first, removed only when asked, and never what somebody works with."""

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from matrix.cache_layout import CacheLayout
from matrix.catalog.load import load_catalog
from matrix.catalog.types import ROOT_IMAGE
from matrix.commands import sweep
from matrix.commands.session import resolve_image_ref
from matrix.commands.sweep import MAX_HASH_CACHES_MIB, MAX_RESOLUTIONS_MIB, Leftover, sweep_leftovers
from matrix.engine.images import compute_base_tag
from matrix.engine.protocol import LABEL, ContainerLimits, ContainerSpec, Mount
from matrix.engine.step import Step, StepRunner
from matrix.errors import EngineError, MachineError
from matrix.foreign_trees import remove_tree
from matrix.memory.store import MemoryStore
from matrix.source.cache import SourceCache
from matrix.source.manifest import Manifest, ManifestEntry
from tests.fakes.engine import FakeEngine
from tests.unit.memory.test_eviction import list_names, put
from tests.unit.test_foreign_trees import make_locked, make_pipes_and_sockets, nest

CATALOGS = (load_catalog(), replace(load_catalog(), with_ccache=True))
CURRENT = tuple(resolve_image_ref(name, catalog) for catalog in CATALOGS for name in catalog.toolchains)
KEPT = (compute_base_tag(), ROOT_IMAGE.tag, *CURRENT)
OLD = "kmatrix/gcc-14:0123456789ab"


@pytest.fixture
def cache(tmp_path: Path) -> SourceCache:
    return SourceCache(CacheLayout(tmp_path / "cache"))


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(images=(*KEPT, OLD, "debian:trixie-slim"))


def lane(cache: SourceCache, name: str) -> Path:
    """A lane that somebody left, with an object of a hundred bytes."""
    root = cache.layout.lanes / name
    (root / "build").mkdir(parents=True)
    (root / "build" / "vfio.o").write_bytes(bytes(100))
    (root / "lock").touch()
    return root


def tree(cache: SourceCache) -> str:
    """A cached source; its digest."""
    with cache.create_import_area() as area:
        (area / "tree").mkdir()
        (area / "tree" / "Makefile").write_text("VERSION = 6\n")
        return cache.store_tree(area, Manifest({"Makefile": ManifestEntry("file", "0" * 64)}), "6.12").digest


DAY = 24 * 60 * 60


def cached_file(path: Path, days: float, size: int = 100) -> Path:
    """A file of the cache that was used so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    used = time.time() - days * DAY
    os.utime(path, (used, used))
    return path


def resolution(cache: SourceCache, key: str, days: float, size: int = 100) -> Path:
    return cached_file(cache.layout.resolutions / key[:2] / f"{key}.json.gz", days, size)


def hash_cache(cache: SourceCache, name: str, days: float, size: int = 100) -> Path:
    return cached_file(cache.layout.hash_caches / f"{name}.json.gz", days, size)


@contextmanager
def held(root: Path) -> Iterator[None]:
    with (root / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def running(engine: FakeEngine, name: str, *mounts: Mount) -> Iterator[None]:
    """A container of ours, while it runs."""
    started, stop = threading.Event(), threading.Event()

    def play(_container: ContainerSpec, _on_line: object) -> int:
        started.set()
        stop.wait(20)
        return 0

    engine.handler = play
    container = ContainerSpec(name, OLD, ("true",), "1:1", labels={LABEL: "a-run"})
    steps = StepRunner(engine, "1:1", "a-run", ContainerLimits())
    thread = (
        threading.Thread(target=steps.run, args=(Step(OLD, ("true",), mounts), lambda _: None))
        if mounts
        else threading.Thread(
            target=engine.run_container, args=(container, lambda _: None, threading.Event())
        )
    )
    thread.start()
    assert started.wait(20)
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def kinds(found: list[Leftover]) -> list[tuple[str, str]]:
    return [(waste.kind, waste.name) for waste in found]


def test_on_a_clean_machine_there_is_nothing(cache: SourceCache) -> None:
    assert sweep_leftovers(engine=FakeEngine(images=KEPT), cache=cache) == []
    assert sweep_leftovers(remove=True, engine=FakeEngine(images=KEPT), cache=cache) == []


def test_it_shows_and_touches_nothing_unless_asked(cache: SourceCache, engine: FakeEngine) -> None:
    idle, digest = lane(cache, "x86-gcc-14-abc"), tree(cache)
    with running(engine, "kmatrix-a-run-1"):
        found = sweep_leftovers(engine=engine, cache=cache)
        assert kinds(found) == [
            ("lane", "x86-gcc-14-abc"),
            ("container", "kmatrix-a-run-1"),
            ("source", f"Linux 6.12 {digest[:12]}"),
            ("image", OLD),
        ]
        assert list(engine.list_containers()) == ["kmatrix-a-run-1"]
    assert idle.is_dir()
    assert cache.find(digest)
    assert OLD in engine.list_images()


def test_it_removes_what_it_shows_when_asked(cache: SourceCache, engine: FakeEngine) -> None:
    idle, digest = lane(cache, "x86-gcc-14-abc"), tree(cache)
    with running(engine, "kmatrix-a-run-1"):
        shown = kinds(sweep_leftovers(engine=engine, cache=cache))
        assert kinds(sweep_leftovers(remove=True, engine=engine, cache=cache)) == shown
    assert engine.list_containers() == {}
    assert not idle.exists()
    assert cache.find(digest) is None
    assert OLD not in engine.list_images()
    assert sweep_leftovers(engine=engine, cache=cache) == []


def test_it_says_how_much_a_lane_and_a_source_hold(cache: SourceCache, engine: FakeEngine) -> None:
    lane(cache, "one")
    tree(cache)
    sizes = {waste.kind: waste.size for waste in sweep_leftovers(engine=engine, cache=cache)}
    assert sizes["lane"] >= 100
    assert sizes["source"] > 0
    assert sizes["image"] == 1000


def test_what_a_running_kmatrix_uses_stays(cache: SourceCache, engine: FakeEngine) -> None:
    busy, idle, digest = lane(cache, "busy"), lane(cache, "idle"), tree(cache)
    with held(busy), running(engine, "kmatrix-a-run-1"):
        found = sweep_leftovers(remove=True, engine=engine, cache=cache)
        assert kinds(found) == [("lane", "idle"), ("image", OLD)]
        assert list(engine.list_containers()) == ["kmatrix-a-run-1"]
    assert (busy / "build" / "vfio.o").exists()
    assert not idle.exists()
    assert cache.find(digest)


def test_what_is_at_work_in_a_lane_whose_kmatrix_is_gone_ends_before_the_lane_is_removed(
    cache: SourceCache, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another lane is held, so that containers in general stay.
    busy, idle = lane(cache, "busy"), lane(cache, "idle")
    at_work: list[str] = []

    def remove_tree(path: Path) -> None:
        at_work.extend(name for name, each in engine._running.items() if not each.killed.is_set())
        shutil.rmtree(path)

    monkeypatch.setattr(sweep, "remove_tree", remove_tree)
    with held(busy), running(engine, "", Mount(idle / "build", "/build", read_only=False)):
        sweep_leftovers(remove=True, engine=engine, cache=cache)
    assert at_work == []
    assert not idle.exists()


def test_to_look_at_a_lane_leaves_it_free(cache: SourceCache, engine: FakeEngine) -> None:
    root = lane(cache, "idle")
    sweep_leftovers(engine=engine, cache=cache)
    with (root / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_ccache_kept_goes_layer_by_layer(cache: SourceCache, engine: FakeEngine) -> None:
    base, patched = (cache.layout.compiler_caches / "0123456789ab" / name for name in ("base", "patched-1"))
    cached_file(base / "ab/entry", 0)
    cached_file(patched / "ab/entry", 0)
    expected = [("ccache", "0123456789ab base"), ("ccache", "0123456789ab patched-1"), ("image", OLD)]
    with held(lane(cache, "busy")):
        assert kinds(sweep_leftovers(engine=engine, cache=cache)) == expected[-1:]
    remove_tree(cache.layout.lanes / "busy")
    shown = sweep_leftovers(remove=True, engine=engine, cache=cache)
    assert kinds(shown) == expected
    assert shown[0].size >= 100
    assert not base.exists()
    assert not patched.exists()


def test_images_of_others_and_of_today_stay(cache: SourceCache, engine: FakeEngine) -> None:
    sweep_leftovers(remove=True, engine=engine, cache=cache)
    assert {ref for ref in (*KEPT, "debian:trixie-slim") if engine.find_image_id(ref)} == {
        *KEPT,
        "debian:trixie-slim",
    }


def test_names_in_a_registry_stay_or_go_as_the_images_do(cache: SourceCache) -> None:
    there = [f"localhost:5000/team/{ref.removeprefix('kmatrix/')}" for ref in (CURRENT[0], OLD)]
    engine = FakeEngine(images=["kmatrix/base:1"])
    for ref, name in zip((CURRENT[0], OLD), there, strict=True):
        engine.build_image(ref, {"Dockerfile": "FROM kmatrix/base:1\n"}, lambda _: None)
        engine.tag_image(ref, name)
    found = sweep_leftovers(remove=True, engine=engine, cache=cache)
    assert {leftover.name for leftover in found} == {"kmatrix/base:1", OLD, there[1]}
    assert set(engine.list_images()) == {CURRENT[0], there[0]}


def test_the_remains_of_a_dead_import_go_only_when_asked(cache: SourceCache) -> None:
    (cache.layout.spec_entries).mkdir(parents=True)
    dangling = cache.layout.spec_entries / "gone.json"
    dangling.write_text('{"key": "gone", "digest": "00"}')
    engine = FakeEngine(images=KEPT)
    sweep_leftovers(engine=engine, cache=cache)
    assert dangling.exists()
    sweep_leftovers(remove=True, engine=engine, cache=cache)
    assert not dangling.exists()


def test_without_an_engine_lanes_and_sources_can_still_go(
    cache: SourceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> FakeEngine:
        raise EngineError("no container engine answers")

    monkeypatch.setattr(sweep, "connect_engine", nobody)
    idle, digest = lane(cache, "idle"), tree(cache)
    assert [waste.kind for waste in sweep_leftovers(remove=True, cache=cache)] == ["lane", "source"]
    assert not idle.exists()
    assert cache.find(digest) is None


# Resolutions and hash caches


def test_what_the_cache_holds_unused_for_a_month_goes_in_one_line_for_each_kind(cache: SourceCache) -> None:
    old = [resolution(cache, key, 31) for key in ("aa1", "ab2")] + [hash_cache(cache, "old", 31)]
    new = [resolution(cache, "aa2", 29), hash_cache(cache, "new", 29)]
    engine = FakeEngine(images=KEPT)
    shown = sweep_leftovers(engine=engine, cache=cache)
    assert kinds(shown) == [
        ("resolution", "2 not used for 30 days"),
        ("hash cache", "1 not used for 30 days"),
    ]
    assert [waste.size for waste in shown] == [200, 100]
    assert all(path.exists() for path in old)
    assert kinds(sweep_leftovers(remove=True, engine=engine, cache=cache)) == kinds(shown)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in new)
    assert [path.name for path in cache.layout.resolutions.iterdir()] == ["aa"]
    assert sweep_leftovers(engine=engine, cache=cache) == []


def test_beyond_its_limit_a_kind_loses_what_was_not_used_for_longest(cache: SourceCache) -> None:
    quarter = MAX_RESOLUTIONS_MIB * 2**20 // 4
    files = [resolution(cache, f"{days}key", days, quarter) for days in (6, 2, 5, 1, 4, 3)]
    caches = [hash_cache(cache, "whole", 0, MAX_HASH_CACHES_MIB * 2**20), hash_cache(cache, "more", 1, 1)]
    found = sweep_leftovers(remove=True, engine=FakeEngine(images=KEPT), cache=cache)
    assert [(waste.kind, waste.name, waste.size) for waste in found] == [
        ("resolution", "2 beyond 256 MiB, the least recently used", 2 * quarter),
        ("hash cache", "1 beyond 128 MiB, the least recently used", 1),
    ]
    assert [path.exists() for path in files] == [False, True, False, True, True, True]
    assert [path.exists() for path in caches] == [True, False]


def remember(cache: SourceCache, layer: str, name: str, days: float, size: int = 100_000) -> None:
    with closing(MemoryStore(cache.layout.memory / layer)) as store:
        put(store, name, days, os.urandom(size))


def test_results_and_objects_that_were_not_used_for_a_month_go_of_whatever_tree(cache: SourceCache) -> None:
    for layer, name, days in (("base", "a.o", 31), ("base", "b.o", 29), ("patched-1", "c.o", 31)):
        remember(cache, layer, name, days)
    engine = FakeEngine(images=KEPT)
    (shown,) = sweep_leftovers(engine=engine, cache=cache)
    assert (shown.kind, shown.name) == ("memory", "results and objects not used for 30 days")
    assert 200_000 < shown.size < 220_000
    assert list_names(cache.layout.memory) == {"a.o", "b.o", "c.o"}
    assert sweep_leftovers(remove=True, engine=engine, cache=cache) == [replace(shown, remove=ANY)]
    assert list_names(cache.layout.memory) == {"b.o"}
    assert not (cache.layout.memory / "patched-1").exists()
    assert sweep_leftovers(engine=engine, cache=cache) == []


def test_beyond_the_caches_size_the_least_recently_used_of_them_goes(cache: SourceCache) -> None:
    for days in (3, 1, 2):
        remember(cache, "base", f"{days}.o", days, 30 * 2**20)
    engine = FakeEngine(images=KEPT)
    assert sweep_leftovers(engine=engine, cache=cache) == []
    (shown,) = sweep_leftovers(remove=True, engine=engine, cache=cache, cache_size="70M")
    assert (shown.kind, shown.name) == (
        "memory",
        "results and objects beyond 70 MiB, the least recently used",
    )
    assert list_names(cache.layout.memory) == {"1.o", "2.o"}


def test_what_a_run_at_work_remembers_is_not_looked_at(cache: SourceCache) -> None:
    remember(cache, "base", "old.o", 400)
    with cache.lock_shared():
        assert sweep_leftovers(remove=True, engine=FakeEngine(images=KEPT), cache=cache) == []
    assert list_names(cache.layout.memory) == {"old.o"}


def test_old_files_do_not_count_towards_the_limit(cache: SourceCache) -> None:
    half = MAX_RESOLUTIONS_MIB * 2**20 // 2
    recent = [resolution(cache, key, 1, half) for key in ("aa", "bb")]
    old = resolution(cache, "cc", 40, half)
    found = sweep_leftovers(remove=True, engine=FakeEngine(images=KEPT), cache=cache)
    assert kinds(found) == [("resolution", "1 not used for 30 days")]
    assert all(path.exists() for path in recent)
    assert not old.exists()


def test_what_a_run_at_work_may_read_stays_however_old(cache: SourceCache, engine: FakeEngine) -> None:
    old = [resolution(cache, "aa1", 400), hash_cache(cache, "old", 400)]
    with cache.lock_shared():
        sweep_leftovers(remove=True, engine=engine, cache=cache)
    with held(lane(cache, "busy")):
        sweep_leftovers(remove=True, engine=engine, cache=cache)
    assert all(path.exists() for path in old)


def test_while_a_job_uses_the_cache_only_old_images_can_go(cache: SourceCache, engine: FakeEngine) -> None:
    lane(cache, "x86-gcc-14")
    digest = tree(cache)
    with cache.lock_shared():
        found = sweep_leftovers(remove=True, engine=engine, cache=cache)
    assert [waste.kind for waste in found] == ["image"]
    assert cache.find(digest) is not None
    assert {waste.kind for waste in sweep_leftovers(engine=engine, cache=cache)} == {"lane", "source"}


def test_a_lane_with_a_strangers_tree_is_swept(cache: SourceCache, engine: FakeEngine) -> None:
    root = lane(cache, "x86-gcc-14-0123")
    nest(root / "build", 1500)
    make_locked(root / "build")
    make_pipes_and_sockets(root / "build")
    (removed,) = [
        item for item in sweep_leftovers(remove=True, engine=engine, cache=cache) if item.kind == "lane"
    ]
    assert (removed.name, removed.problem) == (root.name, "")
    assert not root.exists()


def test_what_cannot_be_removed_is_named_and_all_else_goes(
    cache: SourceCache, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, gone = lane(cache, "a-stuck"), lane(cache, "b-gone")

    def refuse(path: Path) -> None:
        if path == stuck:
            raise MachineError(f"{path} cannot be removed: Operation not permitted")
        remove_tree(path)

    monkeypatch.setattr(sweep, "remove_tree", refuse)
    found = {item.name: item.problem for item in sweep_leftovers(remove=True, engine=engine, cache=cache)}
    assert (found[stuck.name], found[gone.name]) == (
        f"{stuck} cannot be removed: Operation not permitted",
        "",
    )
    assert (stuck.exists(), gone.exists()) == (True, False)
