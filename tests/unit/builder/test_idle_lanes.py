"""Lanes that nobody works in: what they take, and that only those go that were not used for longest."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from matrix.builder.idle_lanes import empty_idle_lanes, list_idle_lanes, list_lanes

DAY = 86400.0


def create_lane(folder: Path, name: str, days: float, *, lock: bool = True) -> Path:
    """A lane of some 40 KiB that was used so many days ago."""
    lane = folder / name
    (lane / "build").mkdir(parents=True)
    (lane / "build/vfio.o").write_bytes(bytes(40_000))
    (lane / "lane.json").write_text("{}")
    if lock:
        (lane / "lock").touch()
    used = time.time() - days * DAY
    for path in (lane / "lane.json", lane):
        os.utime(path, (used, used))
    return lane


@contextmanager
def held(lane: Path) -> Iterator[None]:
    with (lane / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def empty(folder: Path, days: float) -> list[Path]:
    """Empty the lanes that were not used for so many days; the directories whose writers were ended."""
    ended: list[Path] = []
    empty_idle_lanes(folder, time.time() - days * DAY, ended.append)
    return ended


def test_a_lane_is_told_with_its_last_use_and_its_size(tmp_path: Path) -> None:
    create_lane(tmp_path, "old", 3)
    (aged,) = list_idle_lanes(tmp_path, time.time())
    assert 2.9 * DAY < time.time() - aged.used < 3.1 * DAY
    assert 40_000 <= aged.size <= 60_000


def test_only_what_is_older_goes_and_the_lock_stays(tmp_path: Path) -> None:
    old, new = create_lane(tmp_path, "old", 3), create_lane(tmp_path, "new", 1)
    assert empty(tmp_path, 2) == [old / "build"]
    assert [path.name for path in old.iterdir()] == ["lock"]
    assert (new / "build/vfio.o").exists()
    assert list_lanes(tmp_path) == [new]


def test_a_lane_that_is_held_stays_however_old(tmp_path: Path) -> None:
    lane = create_lane(tmp_path, "busy", 300)
    with held(lane):
        assert list_idle_lanes(tmp_path, time.time()) == []
        assert empty(tmp_path, 0) == []
    assert (lane / "lane.json").exists()


def test_a_lane_that_a_container_worked_in_lately_is_not_old(tmp_path: Path) -> None:
    # Its state was written long ago; the mark that a container leaves changes the folder.
    lane = create_lane(tmp_path, "lane", 30)
    (lane / "busy").touch()
    assert empty(tmp_path, 1) == []
    assert (lane / "build/vfio.o").exists()


def test_a_copy_that_was_never_locked_stays(tmp_path: Path) -> None:
    copy = create_lane(tmp_path, "lane-copy-x", 30, lock=False)
    assert list_idle_lanes(tmp_path, time.time()) == [], "and does not count as going"
    assert empty(tmp_path, 1) == []
    assert (copy / "build/vfio.o").exists()


def test_its_state_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr("matrix.builder.idle_lanes.remove_tree", lambda path: removed.append(path.name))
    create_lane(tmp_path, "old", 3)
    empty(tmp_path, 2)
    assert removed == ["lane.json", "build"]
