"""One layer on disk: entries are found by what they are kept under; damage and faults are misses."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.memory.store import Entry, MemoryStore
from matrix.side_failures import take_side_failures

FIRST = Entry("object", "scope", "virt/kvm/vfio.o", "key", '{"a": 1}', "run-1")


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path / "memory" / "base")


def test_an_entry_is_found_by_all_that_it_is_kept_under(store: MemoryStore) -> None:
    store.put_entries([FIRST])
    assert store.find_entry("object", "scope", "virt/kvm/vfio.o", "key") == FIRST
    assert store.find_entries("object", "scope") == [FIRST]
    assert store.list_names("object", "scope") == ["virt/kvm/vfio.o"]


@pytest.mark.parametrize("other", [{"kind": "result"}, {"scope": "x"}, {"name": "x"}, {"key": "x"}])
def test_and_by_nothing_less(store: MemoryStore, other: dict[str, str]) -> None:
    store.put_entries([FIRST])
    asked = {"kind": "object", "scope": "scope", "name": "virt/kvm/vfio.o", "key": "key", **other}
    assert store.find_entry(**asked) is None  # type: ignore[arg-type]


def test_a_later_entry_takes_the_place_of_an_earlier(store: MemoryStore) -> None:
    store.put_entries([FIRST])
    store.put_entries([replace(FIRST, value="2", run="run-2")])
    assert [(entry.value, entry.run) for entry in store.find_entries("object", "scope")] == [("2", "run-2")]


def test_what_was_used_last_comes_first(store: MemoryStore) -> None:
    second = replace(FIRST, key="other")
    store.put_entries([FIRST, second])
    assert store.find_entries("object", "scope")[0] == second
    store.record_use([FIRST])
    assert store.find_entries("object", "scope")[0] == FIRST


def test_a_content_comes_back_as_it_was(store: MemoryStore) -> None:
    digest = store.put_content(b"an object")
    assert store.get_content(digest) == b"an object"
    assert MemoryStore(store.root).get_content(digest) == b"an object"


def test_a_damaged_content_is_a_miss_and_can_be_kept_again(store: MemoryStore) -> None:
    digest = store.put_content(b"an object")
    (path,) = (store.root / "contents").rglob(digest)
    path.write_bytes(b"half of")
    assert store.get_content(digest) is None
    store.put_content(b"an object")
    assert store.get_content(digest) == b"an object"


def test_a_content_that_is_gone_is_a_miss(store: MemoryStore) -> None:
    assert store.get_content("0" * 64) is None


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_index_is_begun_anew(store: MemoryStore, damage: bytes) -> None:
    store.put_entries([FIRST])
    store.close()
    store.index.write_bytes(damage)
    assert store.find_entries("object", "scope") == []
    store.put_entries([FIRST])
    assert store.find_entries("object", "scope") == [FIRST]


def test_so_is_one_of_another_version(store: MemoryStore) -> None:
    store.put_entries([FIRST])
    store.close()
    with sqlite3.connect(store.index) as index:
        index.execute("PRAGMA user_version = 99")
    assert store.find_entries("object", "scope") == []
    store.put_entries([FIRST])
    assert store.find_entries("object", "scope") == [FIRST]


def test_where_nothing_can_be_written_nothing_is_known_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = MemoryStore(tmp_path / "file" / "base")
    store.put_entries([FIRST])
    store.put_content(b"an object")
    assert store.find_entries("object", "scope") == []
    assert {str(failure).split(" cannot")[0] for failure in take_side_failures()} == {
        f"the memory {store.root}"
    }


def test_threads_and_processes_share_a_layer(store: MemoryStore) -> None:
    stores = [store, MemoryStore(store.root)]
    with ThreadPoolExecutor(8) as pool:
        for number in range(100):
            pool.submit(stores[number % 2].put_entries, [replace(FIRST, key=str(number))])
    assert len(store.find_entries("object", "scope")) == 100
    assert take_side_failures() == []
