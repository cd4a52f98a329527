"""A process that is killed at any point, and many at once, leave whole entries or none."""

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from matrix.memory import eviction, index_file
from matrix.memory.eviction import evict_layers, measure_layers
from matrix.memory.live_runs import find_live_start, register_live_run
from matrix.memory.store import Entry, MemoryStore
from matrix.side_failures import take_side_failures
from tests.unit.commands.test_run_full_disk import fill, small_disk

ROOT = Path(__file__).parents[3]
# What a run and its end do, again and again.
WORK = """
import itertools, os, sys, time
from pathlib import Path
from matrix.memory import eviction
from matrix.memory.live_runs import find_live_start, register_live_run
from matrix.memory.store import Entry, MemoryStore
folder, name = Path(sys.argv[1]), sys.argv[2]
limit = int(sys.argv[3]) if len(sys.argv) > 3 else 10**9
print("ready", flush=True)
for number in itertools.count():
    if number == limit:
        break
    store = MemoryStore(folder / "base")
    with register_live_run(folder):
        for part in range(5):
            digests = tuple(store.put_content(os.urandom(3000)) for _ in range(2))
            part_name = f"{name}-{number % 7}-{part}"
            store.put_entries([Entry("object", "s", part_name, "k", "x" * 2000, name, digests)])
        store.record_use(store.find_entries("object", "s")[:3])
        if limit == 10**9:
            eviction._GRACE_SECONDS = 0.0
            eviction.evict_layers(folder, time.time() - 0.2, find_live_start(folder))
    store.close()
"""


@contextmanager
def working(folder: Path, name: str, *more: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", WORK, str(folder), name, *more]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def assert_whole(folder: Path) -> int:
    """Every entry that is found has all that it needs; how many there are."""
    with closing(MemoryStore(folder / "base")) as store:
        entries = store.find_entries("object", "s")
        for entry in entries:
            assert entry.contents
            for digest in entry.contents:
                assert store.get_content(digest) is not None
        put_and_find(store)
    return len(entries)


def put_and_find(store: MemoryStore) -> None:
    entry = Entry("object", "check", "n", "k", "{}", "r", (store.put_content(b"checked"),))
    store.put_entries([entry])
    assert store.find_entries("object", "check") == [entry]
    assert store.get_content(entry.contents[0]) == b"checked"


def test_a_process_that_is_killed_again_and_again_leaves_whole_entries(tmp_path: Path) -> None:
    chance = random.Random(0)
    found = 0
    for _ in range(12):
        with working(tmp_path, "one") as process:
            time.sleep(chance.random() * 0.4)
            process.kill()
        found += assert_whole(tmp_path)
    assert found
    assert take_side_failures() == []


def test_what_killed_processes_left_goes_with_the_next_eviction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        with working(tmp_path, "one") as process:
            time.sleep(0.2)
            process.kill()
    monkeypatch.setattr(eviction, "_GRACE_SECONDS", 0.0)
    evict_layers(tmp_path, time.time(), find_live_start(tmp_path))
    assert measure_layers(tmp_path) == 0
    assert [*tmp_path.rglob("contents/*/*")] == []


def test_two_processes_and_many_threads_write_at_once(tmp_path: Path) -> None:
    def write(number: int) -> None:
        digest = store.put_content(b"%d" % (number % 10))
        store.put_entries([Entry("object", "s", f"own-{number}", "k", "{}", "run", (digest,))])
        store.record_use(store.find_entries("object", "s", f"own-{number}"))

    with (
        closing(MemoryStore(tmp_path / "base")) as store,
        working(tmp_path, "one", "4") as one,
        working(tmp_path, "two", "4") as two,
    ):
        with ThreadPoolExecutor(8) as pool:
            assert [*pool.map(write, range(100))] == [None] * 100
        assert (one.wait(60), two.wait(60)) == (0, 0)
    assert assert_whole(tmp_path) == 100 + 2 * 4 * 5
    assert take_side_failures() == []


def test_a_layer_that_many_make_at_once_is_made_once(tmp_path: Path) -> None:
    def make(number: int) -> None:
        with closing(MemoryStore(tmp_path / str(number // 4) / "base")) as store:
            store.put_entries([Entry("object", "s", str(number), "k", "{}", "run")])

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(make, range(80))] == [None] * 80
    for number in range(20):
        with closing(MemoryStore(tmp_path / str(number) / "base")) as store:
            assert len(store.find_entries("object", "s")) == 4
    assert take_side_failures() == []


def run_steps(folder: Path) -> None:
    with closing(MemoryStore(folder / "base")) as store, register_live_run(folder):
        for number in range(3):
            digests = (store.put_content(os.urandom(500)), store.put_content(b"shared"))
            store.put_entries([Entry("object", "s", str(number), "k", "{}", "run", digests)])
        store.record_use(store.find_entries("object", "s")[:2])
    with closing(MemoryStore(folder / "base")) as store:
        store.index_file.ask(
            lambda index: index.execute("UPDATE entries SET used = 1 WHERE name = '0'"), None
        )
    evict_layers(folder, 2.0, find_live_start(folder))


def end_at_line(number: int) -> None:
    """End this process, as if it was killed, at the line of this number in the memories' modules."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        if not re.search(r"/matrix/(memory/|fs\.py)", frame.f_code.co_filename):
            return None
        count += event == "line"
        if count == number:
            os._exit(9)
        return trace

    sys.settrace(trace)


def run_until_line(folder: Path, number: int) -> int:
    """Run all steps in a process that ends at a line; 9, or 0 where there is no such line."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            end_at_line(number)
            run_steps(folder)
            os._exit(0)
        os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.timeout(120)
def test_an_end_at_any_line_leaves_whole_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eviction, "_GRACE_SECONDS", 0.0)
    # Three folders of contents are enough to be ended in.
    monkeypatch.setattr(eviction, "_PREFIXES", ("00", "a4", "ff"))
    for number in range(1, 5000, 19):
        folder = tmp_path / str(number)
        folder.mkdir()
        code = run_until_line(folder, number)
        assert_whole(folder)
        if code == 0:
            break
        assert code == 9
    assert 1000 < number < 4000
    assert take_side_failures() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize("pages", [0, 1, 2, 4, 6, 8, 12, 16, 24, 40, 60, 80, 120])
def test_on_a_full_disk_nothing_is_kept_and_nothing_ends(tmp_path: Path, pages: int) -> None:
    with small_disk(tmp_path / "disk") as disk:
        fill(disk, pages)
        folder = disk / "memory"
        with closing(MemoryStore(folder / "base")) as store, register_live_run(folder):
            for number in range(40):
                digest = store.put_content(os.urandom(9000))
                store.put_entries([Entry("object", "s", str(number), "k", "x" * 3000, "run", (digest,))])
                store.record_use(store.find_entries("object", "s"))
        failures = take_side_failures()
        assert failures
        assert all("memory" in str(failure) for failure in failures)
        (disk / "ballast").unlink()
        with closing(MemoryStore(folder / "base")) as store:
            put_and_find(store)
        assert take_side_failures() == []


def test_a_layer_that_is_locked_for_too_long_is_a_side_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_file, "_BUSY_SECONDS", 0.05)
    with closing(MemoryStore(tmp_path / "base")) as one, closing(MemoryStore(tmp_path / "base")) as two:
        put_and_find(two)

        def write_meanwhile(_: object) -> None:
            two.put_entries([Entry("object", "s", "n", "k", "{}", "r")])

        one.index_file.ask(write_meanwhile, None, write=True)
        assert len(take_side_failures()) == 1
        put_and_find(two)


def test_a_folder_that_somebody_removes_is_made_again(tmp_path: Path) -> None:
    with closing(MemoryStore(tmp_path / "base")) as store:
        put_and_find(store)
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        assert store.find_entries("object", "check") == []
        put_and_find(store)
    assert take_side_failures() == []
