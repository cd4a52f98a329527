"""The least recently used goes, over all layers at once; nothing goes that a live run has used or written."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from matrix.memory import eviction
from matrix.memory.eviction import (
    AgedSize,
    evict_layers,
    find_threshold,
    list_aged_sizes,
    list_holdings,
    measure_layers,
)
from matrix.memory.live_runs import find_live_start, register_live_run
from matrix.memory.store import Entry, MemoryStore
from matrix.side_failures import take_side_failures

DAY = 86400.0
BIG = os.urandom(100_000)


def put(store: MemoryStore, name: str, days: float, *contents: bytes) -> Entry:
    """An entry, with what it needs, that was written and last used so many days ago."""
    moment = time.time() - days * DAY
    digests = tuple(store.put_content(content) for content in contents)
    entry = Entry("object", "scope", name, "key", "{}", "run", digests)
    store.put_entries([entry])

    def set_back(index: object) -> None:
        index.execute("UPDATE entries SET used = ? WHERE name = ?", (moment, name))  # type: ignore[attr-defined]
        for digest in digests:
            index.execute("UPDATE contents SET written = ? WHERE digest = ?", (moment, digest))  # type: ignore[attr-defined]

    store.index_file.ask(set_back, None, write=True)
    return entry


def list_names(folder: Path) -> set[str]:
    names = set()
    for root in folder.glob("*/"):
        if (root / "index.sqlite").exists():
            with closing(MemoryStore(root)) as store:
                names |= {entry.name for entry in store.find_entries("object", "scope")}
    return names


def shrink(folder: Path, excess: int) -> None:
    cutoff = find_live_start(folder)
    evict_layers(folder, find_threshold(list_aged_sizes(folder, cutoff), excess), cutoff)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two layers, with entries of 1, 2, 3 and 4 days, each with a content of its own."""
    with closing(MemoryStore(tmp_path / "base")) as base, closing(MemoryStore(tmp_path / "patched-1")) as top:
        for store, days in ((base, 4), (top, 3), (base, 2), (top, 1)):
            put(store, f"{days}.o", days, BIG[days:])
    return tmp_path


@pytest.mark.parametrize(
    ("excess", "left"),
    [
        (0, {"1.o", "2.o", "3.o", "4.o"}),
        (1, {"1.o", "2.o", "3.o"}),
        (100_000, {"1.o", "2.o", "3.o"}),
        (150_000, {"1.o", "2.o"}),
        (300_000, {"1.o"}),
        (10**9, set()),
    ],
)
def test_what_was_not_used_for_longest_goes_in_whatever_layer_it_is(
    folder: Path, excess: int, left: set[str]
) -> None:
    before = measure_layers(folder)
    shrink(folder, excess)
    assert list_names(folder) == left
    assert measure_layers(folder) <= max(before - min(excess, 4 * 100_000), 0)
    assert sum(path.stat().st_size > 90_000 for path in folder.rglob("contents/*/*")) == len(left)


def test_whatever_is_asked_for_nothing_goes_that_was_used_since_a_live_run_began(folder: Path) -> None:
    evict_layers(folder, time.time(), time.time() - 2.5 * DAY)
    assert list_names(folder) == {"1.o", "2.o"}


def test_what_is_used_again_stays(folder: Path) -> None:
    with closing(MemoryStore(folder / "base")) as base:
        base.record_use(base.find_entries("object", "scope", "4.o"))
    shrink(folder, 150_000)
    assert list_names(folder) == {"1.o", "4.o"}


def test_a_content_goes_with_the_last_entry_that_needs_it(tmp_path: Path) -> None:
    with closing(MemoryStore(tmp_path / "base")) as store:
        put(store, "old.o", 3, BIG, b"old")
        new = put(store, "new.o", 1, BIG)
        put(store, "old.o", 3, BIG, b"old")
        shrink(tmp_path, 1000)
        assert list_names(tmp_path) == {"new.o"}
        assert store.get_content(new.contents[0]) == BIG
        assert len([*tmp_path.rglob("contents/*/*")]) == 1


def test_layers_in_which_nothing_is_left_go(folder: Path) -> None:
    shrink(folder, 10**9)
    assert [path.name for path in folder.glob("*/")] == []


def test_an_empty_layer_that_a_process_has_open_stays(folder: Path) -> None:
    with closing(MemoryStore(folder / "base")) as store:
        store.find_entries("object", "scope")
        shrink(folder, 10**9)
        assert [path.name for path in folder.glob("*/")] == ["base"]
        entry = put(store, "new.o", 0)
        assert store.find_entries("object", "scope") == [entry]


def test_the_index_gives_its_pages_back(tmp_path: Path) -> None:
    with closing(MemoryStore(tmp_path / "base")) as store:
        store.put_entries(Entry("result", "s", str(n), "k", "x" * 5000, "run") for n in range(500))
        store.put_entries([Entry("object", "s", "n", "k", "{}", "run")])
        store.close()
        size = measure_layers(tmp_path)
        store.index_file.ask(
            lambda index: index.execute("UPDATE entries SET used = 1 WHERE kind = 'result'"), None
        )
        evict_layers(tmp_path, 2.0, time.time())
        assert measure_layers(tmp_path) < size / 10


# In use


LIVE = """
import sys, time
from pathlib import Path
from matrix.memory.live_runs import register_live_run
from matrix.memory.store import Entry, MemoryStore
folder = Path(sys.argv[1])
store = MemoryStore(folder / "base")
with register_live_run(folder):
    store.record_use(store.find_entries("object", "scope", "4.o"))
    digest = store.put_content(b"about to be named")
    print("ready", flush=True)
    sys.stdin.readline()
    store.put_entries([Entry("object", "scope", "late.o", "key", "{}", "run", (digest,))])
store.close()
"""


@contextmanager
def running(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another run at work: it has used the entry of four days, and written a content that none names yet."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIVE, folder], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_what_another_process_has_used_since_it_began_stays_and_what_it_wrote(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eviction, "_GRACE_SECONDS", 0.0)
    with running(folder) as process:
        time.sleep(0.05)
        shrink(folder, 10**9)
        assert list_names(folder) == {"4.o"}
        process.communicate("\n")
    with closing(MemoryStore(folder / "base")) as store:
        (entry,) = store.find_entries("object", "scope", "late.o")
        assert store.get_content(entry.contents[0]) == b"about to be named"
    shrink(folder, 10**9)
    assert list_names(folder) == set()


def test_a_killed_run_is_live_no_longer(folder: Path) -> None:
    with running(folder) as process:
        time.sleep(0.05)
        process.kill()
        process.wait()
        assert [*folder.glob("live/*")] != []
        shrink(folder, 10**9)
    assert list_names(folder) == set()
    assert [*folder.glob("live/*")] == []


def test_what_the_run_at_hand_has_used_stays(folder: Path) -> None:
    with register_live_run(folder):
        with closing(MemoryStore(folder / "patched-1")) as store:
            store.record_use(store.find_entries("object", "scope", "3.o"))
        shrink(folder, 10**9)
        assert list_names(folder) == {"3.o"}


def test_the_oldest_of_several_runs_counts(tmp_path: Path) -> None:
    tmp_path.joinpath("live").mkdir()
    with register_live_run(tmp_path):
        first = find_live_start(tmp_path)
        time.sleep(0.02)
        with register_live_run(tmp_path):
            assert find_live_start(tmp_path) == first
    assert find_live_start(tmp_path) > first + 0.01


def test_a_young_content_that_no_entry_names_yet_stays_and_an_old_one_goes(tmp_path: Path) -> None:
    with closing(MemoryStore(tmp_path / "base")) as store:
        young, old = (store.put_content(content) for content in (b"young", b"old"))
        store.index_file.ask(
            lambda index: index.execute("UPDATE contents SET written = 1 WHERE digest = ?", (old,)), None
        )
        shrink(tmp_path, 10**9)
        assert (store.get_content(young), store.get_content(old)) == (b"young", None)


def test_a_young_content_goes_with_the_entry_that_named_it(tmp_path: Path) -> None:
    with closing(MemoryStore(tmp_path / "base")) as store:
        put(store, "new.o", 0, BIG, b"both")
        put(store, "newer.o", -1, b"both")
        evict_layers(tmp_path, time.time(), time.time())
        assert list_names(tmp_path) == {"newer.o"}
        assert sorted(path.stat().st_size for path in tmp_path.rglob("contents/*/*")) == [4]
        assert store.get_content(hashlib.sha256(b"both").hexdigest()) == b"both"


def test_files_that_no_row_counts_go_when_they_are_old(folder: Path) -> None:
    left = [
        folder / "base/contents/aa" / name for name in (f".{'a' * 64}.x1y2", "a" * 64, f".{'b' * 64}.new")
    ]
    left[0].parent.mkdir(exist_ok=True)
    for path in left:
        path.touch()
    for path in left[:2]:
        os.utime(path, (1, 1))
    shrink(folder, 1)
    assert [path.exists() for path in left] == [False, False, True]


def test_contents_of_a_lost_index_are_counted_and_can_be_had(folder: Path) -> None:
    (folder / "base/index.sqlite").unlink()
    with closing(MemoryStore(folder / "base")) as store:
        store.find_entries("object", "scope")
        count = "SELECT COUNT(*), SUM(size) FROM contents"
        assert store.index_file.ask(lambda index: index.execute(count).fetchone(), None) == (2, 199_994)
        digest = store.put_content(BIG[2:])
        assert store.get_content(digest) == BIG[2:]


def test_a_path_in_a_damaged_index_is_not_removed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()
    (tmp_path / "base/contents/00/00").mkdir(parents=True)
    with closing(MemoryStore(tmp_path / "base")) as store:
        name = "00/../../../../victim"
        store.index_file.ask(lambda i: i.execute("INSERT INTO contents VALUES (?, 1, 1)", (name,)), None)
        shrink(tmp_path, 1)
    assert victim.exists()


def test_what_each_layer_holds_is_told(folder: Path) -> None:
    with closing(MemoryStore(folder / "base")) as base:
        base.put_entries(
            [Entry("result", "s", "n", "k", "x" * 5000, "run", (base.put_content(bytes(7000)),))]
        )
    told = [(held.layer, held.kind, held.entries, held.size // 1000) for held in list_holdings(folder)]
    assert told == [("base", "object", 2, 201), ("base", "result", 1, 12), ("patched-1", "object", 2, 201)]


@pytest.mark.parametrize(
    ("excess", "threshold"), [(0, float("-inf")), (1, 1), (5, 1), (6, 2), (8, 2), (21, 3), (99, 3)]
)
def test_the_threshold_is_just_beyond_the_last_that_must_go(excess: int, threshold: float) -> None:
    aged = [AgedSize(3, 10), AgedSize(1, 5), AgedSize(2, 1), AgedSize(2, 2)]
    found = find_threshold(aged, excess)
    assert found == threshold or threshold < found < threshold + 1e-9


def test_where_there_is_no_memory_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert (measure_layers(tmp_path), list_holdings(tmp_path)) == (0, [])
    evict_layers(tmp_path, time.time(), time.time())
    assert take_side_failures() == []
