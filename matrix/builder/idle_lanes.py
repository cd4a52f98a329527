"""Lanes that no process holds: what they take, and how those go that were not used for longest."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from matrix.builder.lane_dir import is_lane_held, try_lock_lane, was_lane_locked
from matrix.foreign_trees import measure_tree, remove_tree
from matrix.memory.eviction import AgedSize


def list_lanes(folder: Path) -> list[Path]:
    """All lanes that have anything in them but their lock."""
    return [path for path in sorted(folder.glob("*/")) if any(_list_content(path))]


def list_idle_lanes(folder: Path, cutoff: float) -> list[AgedSize]:
    """The lanes that no process holds and that were last used before ``cutoff``; none that was never locked,
    as nothing shows whether somebody is at work in it."""
    return [
        AgedSize(used, measure_tree(lane))
        for lane in list_lanes(folder)
        if (used := _find_last_use(lane)) < cutoff and was_lane_locked(lane) and not is_lane_held(lane)
    ]


def empty_idle_lanes(folder: Path, before: float, end_writers: Callable[[Path], object]) -> None:
    """Remove what is in the lanes that were last used before a time and that no process holds.

    A killed process may have left a container at work in one: ``end_writers`` is called with its build
    directory. MachineError where something cannot be removed.
    """
    for lane in list_lanes(folder):
        if _find_last_use(lane) < before:
            # The lock stays: another process may be waiting for just this file.
            with suppress(FileNotFoundError), try_lock_lane(lane) as is_free:
                if is_free and _find_last_use(lane) < before:
                    end_writers(lane / "build")
                    for path in _list_content(lane):
                        remove_tree(path)


def _list_content(lane: Path) -> Iterator[Path]:
    # Without its state a lane is begun anew: whoever is killed here leaves none that could be trusted.
    paths = sorted(lane.iterdir(), key=lambda path: path.name != "lane.json")
    return (path for path in paths if path.name != "lock")


def _find_last_use(lane: Path) -> float:
    """Seconds since the epoch. A container that begins or ends there leaves its mark beside ``build``."""
    times = (path.lstat().st_mtime for path in (lane, lane / "lane.json") if path.exists())
    return max(times, default=0.0)
