"""The caches are kept within their size: the least recently used of all goes, and nothing in use."""

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.cache_size import list_cache_holdings, measure_bounded_caches, shrink_caches
from matrix.engine.protocol import ContainerResult, ContainerSpec, LineCallback
from matrix.errors import MachineError
from matrix.memory.live_runs import register_live_run
from matrix.memory.store import Entry, MemoryStore
from matrix.side_failures import take_side_failures
from matrix.source.cache import SourceCache
from tests.fakes.kernel import Job
from tests.unit.builder.test_idle_lanes import DAY, create_lane, held
from tests.unit.commands.run_desk import PROFILE, TWO_LANES, Desk
from tests.unit.commands.test_patch import Judge
from tests.unit.memory.test_eviction import put


@pytest.fixture
def layout(tmp_path: Path) -> CacheLayout:
    """A lane of four days, an object of three, a file of ccache of two, an object of a day: 400 KB."""
    layout = CacheLayout(tmp_path / "cache")
    lane = create_lane(layout.lanes, "lane", 0)
    (lane / "build/vfio.o").write_bytes(bytes(100_000))
    age(lane / "lane.json", 4)
    age(lane, 4)
    with closing(MemoryStore(layout.memory / "base")) as store:
        put(store, "old.o", 3, os.urandom(100_000))
        put(store, "new.o", 1, os.urandom(100_000))
    kept = layout.compiler_caches / "0123/base/aa/kept"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(bytes(100_000))
    age(kept, 2)
    return layout


def age(path: Path, days: float) -> None:
    used = time.time() - days * DAY
    os.utime(path, (used, used))


def list_left(layout: CacheLayout) -> list[str]:
    """What is left, the oldest first."""
    with closing(MemoryStore(layout.memory / "base")) as store:
        names = {entry.name for entry in store.find_entries("object", "scope")}
    return [
        *(["lane"] if (layout.lanes / "lane/build").exists() else []),
        *(["old.o"] if "old.o" in names else []),
        *(["ccache"] if (layout.compiler_caches / "0123/base/aa/kept").exists() else []),
        *(["new.o"] if "new.o" in names else []),
    ]


@pytest.mark.parametrize("goes", range(5))
def test_over_all_caches_the_least_recently_used_goes(layout: CacheLayout, goes: int) -> None:
    everything = ["lane", "old.o", "ccache", "new.o"]
    size = measure_bounded_caches(layout)
    limit = size - 100_000 * goes + 50_000
    gone = shrink_caches(layout, limit, lambda _: None)
    left = list_left(layout)
    assert left == everything[len(everything) - len(left) :]
    assert (gone > 0) == (goes > 0)
    assert measure_bounded_caches(layout) <= limit
    # A tenth of the size is free again, and no more goes for that than one more of them.
    assert goes <= len(everything) - len(left) <= goes + bool(goes)


def test_what_fits_is_only_measured(layout: CacheLayout) -> None:
    before = {path: path.stat().st_mtime_ns for path in layout.lanes.rglob("*")}
    assert shrink_caches(layout, 10**9, lambda _: None) == 0
    assert {path: path.stat().st_mtime_ns for path in layout.lanes.rglob("*")} == before


def test_nothing_in_use_goes_though_it_is_over_the_limit(layout: CacheLayout) -> None:
    with register_live_run(layout.memory), held(layout.lanes / "lane"):
        with closing(MemoryStore(layout.memory / "base")) as store:
            store.record_use(store.find_entries("object", "scope", "old.o"))
        os.utime(layout.compiler_caches / "0123/base/aa/kept")
        assert shrink_caches(layout, 1000, lambda _: None) > 0
        assert list_left(layout) == ["lane", "old.o", "ccache"]
    assert shrink_caches(layout, 1000, lambda _: None) > 0
    assert list_left(layout) == []


def test_a_lane_that_a_live_run_has_left_for_now_stays(layout: CacheLayout) -> None:
    with register_live_run(layout.memory), closing(MemoryStore(layout.memory / "base")) as store:
        os.utime(layout.lanes / "lane")
        time.sleep(0.02)
        store.put_entries(Entry("object", "s", str(n), "k", "x" * 50_000, "run") for n in range(20))
        shrink_caches(layout, 1000, lambda _: None)
        assert list_left(layout) == ["lane"]
        assert len(store.find_entries("object", "s")) == 20


def test_where_nothing_was_ever_built_there_is_nothing_to_do(tmp_path: Path) -> None:
    layout = CacheLayout(tmp_path / "nothing")
    assert (measure_bounded_caches(layout), shrink_caches(layout, 1, lambda _: None)) == (0, 0)
    assert list_cache_holdings(SourceCache(layout)) == []
    assert not layout.root.exists()


def test_it_is_told_what_there_is_of_each_kind(layout: CacheLayout) -> None:
    with closing(MemoryStore(layout.memory / "patched-1")) as store:
        put(store, "vfio.o", 0)
    with closing(MemoryStore(layout.memory / "base")) as store:
        store.put_entries([Entry("result", "s", "cell", "k", "{}", "run")])
    (layout.resolutions / "ab").mkdir(parents=True)
    (layout.resolutions / "ab/abc.json.gz").write_bytes(bytes(5000))
    told = {held.kind: (held.count, held.size) for held in list_cache_holdings(SourceCache(layout))}
    assert {kind: count for kind, (count, _) in told.items()} == {
        "results": 1,
        "objects": 2,
        "objects of patches": 1,
        "lanes": 1,
        "ccache": 1,
        "resolutions": 1,
    }
    assert 200_000 < told["objects"][1] < 210_000
    assert 100_000 < told["lanes"][1] < 120_000


# At the end of a run


def test_a_run_that_leaves_more_than_the_size_shrinks_the_caches(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    layout = desk.world.open_cache().layout
    idle = create_lane(layout.lanes, "idle", 3)
    with (idle / "build/vfio.o").open("wb") as file:
        file.write(bytes(2**20))
        file.write(os.urandom(70 * 2**20))
    age(idle / "lane.json", 3)
    age(idle, 3)
    desk.run(select=["MODULES=n", "!VFIO=m"], **{"cache-size": ["64M"]})
    assert [path.name for path in idle.iterdir()] == ["lock"]
    lanes = [path for path in layout.lanes.iterdir() if path != idle]
    assert lanes
    assert all((path / "lane.json").exists() for path in lanes)
    assert take_side_failures() == []


def write_much(job: Job) -> None:
    """What a build leaves in its lane, and more than the caches may have."""
    if not job.configures:
        (job.host("/build") / "vmlinux.o").write_bytes(os.urandom(70 * 2**20))


def test_what_the_run_itself_has_left_is_cut_to_the_size_as_well(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    layout = desk.world.open_cache().layout
    desk.kernel.before = write_much
    desk.run(select=["MODULES=n", "!VFIO=m"], **{"cache-size": ["64M"]})
    assert measure_bounded_caches(layout) <= 64 * 2**20
    assert take_side_failures() == []


def test_a_verdict_keeps_what_its_first_run_left_until_its_last_has_ended(tmp_path: Path) -> None:
    judge = Judge(tmp_path)
    layout = judge.world.open_cache().layout
    left: list[int] = []

    def build(job: Job) -> None:
        if not job.configures and "int vfio" in (job.host("/src") / "drivers/vfio/vfio.c").read_text():
            write_much(job)
        left.append(sum(path.stat().st_size for path in layout.lanes.glob("*/build/vmlinux.o")))

    judge.kernel.before = build
    judge.asks(TWO_LANES, f'cache-size = "64M"\n{PROFILE}')
    judge.judged()
    assert left[-1] >= 70 * 2**20
    assert measure_bounded_caches(layout) <= 64 * 2**20


def test_what_another_run_at_work_has_used_stays_when_one_ends(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    layout = desk.world.open_cache().layout
    desk.kernel.before = write_much
    with register_live_run(layout.memory):
        desk.run(select=["MODULES=n", "!VFIO=m"], **{"cache-size": ["64M"]})
        assert measure_bounded_caches(layout) > 64 * 2**20


def test_what_cannot_be_removed_is_a_failure_beside_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise MachineError("lanes/x cannot be removed: Operation not permitted")

    monkeypatch.setattr("matrix.commands.run.shrink_caches", refuse)
    done = Desk(tmp_path).run(select=["MODULES=n", "!VFIO=m"])
    assert {cell.state for cell in done.cells} <= {"pass", "empty"}
    assert [str(failure) for failure in take_side_failures()] == [
        "lanes/x cannot be removed: Operation not permitted"
    ]


def test_a_run_is_live_while_it_works_and_not_after(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    live: list[int] = []
    folder = desk.world.open_cache().layout.memory / "live"
    play = desk.engine.handler

    def look(container: ContainerSpec, on_line: LineCallback) -> int | ContainerResult:
        live.append(len([*folder.iterdir()]))
        return play(container, on_line)

    desk.engine.handler = look
    desk.run(select=["MODULES=n", "!VFIO=m"])
    assert set(live) == {1}
    assert [*folder.iterdir()] == []
