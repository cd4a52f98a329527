"""Find what kmatrix left on this machine that can go, and remove it when asked."""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from matrix.builder.lane_dir import is_lane_held, try_lock_lane
from matrix.cache_layout import CacheLayout
from matrix.catalog.load import load_catalog
from matrix.catalog.types import DEFAULT_CACHE_SIZE, ROOT_IMAGE, parse_duration, parse_size
from matrix.commands.kept_runs import is_run_held, list_dead_runs, list_run_directories
from matrix.commands.kept_verdicts import is_verdict_held
from matrix.commands.patch_request import PATCHES_DIRECTORY
from matrix.commands.session import resolve_image_ref
from matrix.engine.connect import connect_engine
from matrix.engine.images import compute_base_tag
from matrix.engine.protocol import Engine
from matrix.engine.step import list_containers_of_others, list_writers, remove_writers
from matrix.errors import MachineError, RequestError
from matrix.foreign_files import ForeignDirectory
from matrix.foreign_trees import measure_tree, remove_tree
from matrix.fs import list_temporary_files
from matrix.memory.eviction import evict_layers, find_threshold, list_aged_sizes, measure_layers
from matrix.record.journal import JOURNAL_FILE, RUN_FILE
from matrix.record.run_directory import REQUEST_FILE, holds_run, list_half_made_files
from matrix.source.cache import SourceCache

# Lanes and sources are large, and few. Resolutions and hash caches are small, quick to make again one by one,
# and worth keeping from run to run; they only must not grow for ever.
MAX_UNUSED_DAYS = 30
"""A -rc lasts a week, a merge window two: after a month a tree's resolutions are hardly asked for again."""
_MAX_UNUSED_SECONDS = MAX_UNUSED_DAYS * 24 * 60 * 60
_MAX_BEGINNING_SECONDS = 60 * 60
"""A directory without a run in it for an hour belongs to no run that is about to begin."""
_VERDICT_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-.+-patch(\.[0-9]+)?")
MAX_RESOLUTIONS_MIB = 256
"""One takes about 30 KiB, so this is some 9,000: those of the default profile on sixty trees."""
MAX_HASH_CACHES_MIB = 128
"""That of a whole kernel tree takes about 5 MiB, so this is two dozen trees."""


@dataclass(frozen=True)
class Leftover:
    """What can go, in one line. ``size`` in bytes, 0 where it is not known. ``problem``: why it could not be
    removed."""

    kind: str
    name: str
    size: int
    remove: Callable[[], object]
    problem: str = ""


def sweep_leftovers(
    *,
    remove: bool = False,
    engine: Engine | None = None,
    cache: SourceCache | None = None,
    cache_size: str = DEFAULT_CACHE_SIZE,
    runs: Path | None = None,
    runs_older: int | None = None,
) -> list[Leftover]:
    """Idle lanes, containers of dead runs, sources, what ccache kept, results, objects, resolutions and hash
    caches that are old or too many, old images, what killed runs left half-made; removed when asked. Returns
    what was found.

    ``cache_size``: what results and objects may take, as `parse_size` has it. ``runs`` is the folder of runs.
    Those in it stay, but where ``runs_older`` is given: then those go that nothing was written to for so many
    seconds.

    What a running kmatrix may need is not touched: while a job uses the cache, only old images can go; and a
    locked lane means that all but the other lanes may be in use.
    """
    cache = cache or SourceCache()
    with cache.try_lock_exclusive() as alone:
        engine = engine or _connect_or_none()
        leftovers = _find_leftovers(cache, engine, parse_size(cache_size), alone=alone)
        leftovers += [*_find_containers_of_idle_lanes(engine, cache.layout.lanes, leftovers)]
        if runs is not None:
            leftovers += [*_find_containers_of_dead_runs(engine, runs, leftovers)]
            leftovers += [*_find_half_made(runs)]
            leftovers += _find_old_runs(runs, runs_older) if runs_older is not None else []
        if remove:
            leftovers = [*map(_remove_leftover, leftovers)]
            cache.remove_stale_entries()
    return leftovers


def _remove_leftover(leftover: Leftover) -> Leftover:
    # One that stays keeps no other.
    try:
        leftover.remove()
    except MachineError as error:
        return replace(leftover, problem=str(error))
    return leftover


def _find_leftovers(
    cache: SourceCache, engine: Engine | None, cache_size: int, *, alone: bool
) -> list[Leftover]:
    lanes, busy = _find_idle_lanes(cache.layout.lanes, engine) if alone else ([], True)
    leftovers = [*lanes]
    if not busy:
        leftovers += [
            *_find_containers(engine, cache.layout.root),
            *_find_sources(cache),
            *_find_unused_files(cache.layout),
        ]
        leftovers += _find_compiler_caches(cache.layout.compiler_caches)
        leftovers += _find_unused_memories(cache.layout.memory, cache_size)
    return [*leftovers, *_find_outdated_images(engine)]


def _find_idle_lanes(folder: Path, engine: Engine | None) -> tuple[list[Leftover], bool]:
    """Lanes that no process holds, and whether any is held."""
    idle, busy = [], False
    for path in sorted(folder.glob("*/")):
        if is_lane_held(path):
            busy = True
        else:
            remove = partial(_remove_lane, path, engine)
            idle.append(Leftover("lane", path.name, measure_tree(path), remove))
    return idle, busy


def _remove_lane(path: Path, engine: Engine | None) -> None:
    """Remove a lane, and before that what a killed kmatrix left at work there: it would go on writing."""
    if engine is not None:
        remove_writers(engine, path / "build")
    remove_tree(path)


def _find_containers(engine: Engine | None, root: Path) -> Iterator[Leftover]:
    """Those of this cache, which nobody uses now. Runs with another cache may be at work."""
    if engine is not None:
        others = list_containers_of_others(engine, root)
        for name in engine.list_containers():
            if name not in others:
                yield Leftover("container", name, 0, partial(engine.remove_container, name))


def _find_containers_of_dead_runs(
    engine: Engine | None, runs: Path, known: Sequence[Leftover]
) -> Iterator[Leftover]:
    """Those that are not known yet, as other runs are at work."""
    dead = {stored.unique_name for stored in list_dead_runs(runs)} if engine is not None else set()
    if engine is not None and dead:
        names = {leftover.name for leftover in known}
        for name, owner in engine.list_containers().items():
            if owner in dead and name not in names:
                yield Leftover("container", name, 0, partial(engine.remove_container, name))


def _find_containers_of_idle_lanes(
    engine: Engine | None, lanes: Path, known: Sequence[Leftover]
) -> Iterator[Leftover]:
    """Those that are not known yet, as others are at work: they write to a lane that no process holds, as
    those do that look through errors for a verdict that was killed."""
    names = {leftover.name for leftover in known}
    if engine is not None and engine.list_containers().keys() - names:
        for lane in sorted(lanes.glob("*/")):
            left = set[str]() if is_lane_held(lane) else list_writers(engine, lane / "build") - names
            for name in sorted(left):
                yield Leftover("container", name, 0, partial(_remove_idle_container, engine, name, lane))


def _remove_idle_container(engine: Engine, name: str, lane: Path) -> None:
    """Remove a container that writes to a lane, unless a process has begun to work there meanwhile."""
    with suppress(FileNotFoundError), try_lock_lane(lane) as is_free:
        if is_free:
            engine.remove_container(name)


def _find_half_made(runs: Path) -> Iterator[Leftover]:
    """What killed processes left in the folder of runs that nobody can use."""
    oldest = time.time() - _MAX_BEGINNING_SECONDS
    dead = {stored.directory: stored.name for stored in list_dead_runs(runs)}
    for directory in _list_runs_of_all(runs):
        # Of a dead run at once. What writes a report of another holds no lock, and takes less than an hour.
        sizes = _measure_half_made(directory, math.inf if directory in dead else oldest)
        if sizes and not _is_at_work(directory):
            name = dead.get(directory, str(directory.relative_to(runs)))
            count, size = len(sizes), sum(sizes.values())
            yield Leftover("half-made", f"{count} files of {name}", size, partial(_remove_all, sizes))
    links = [path for path in runs.glob(".latest.*") if path.lstat().st_mtime < oldest]
    begun = [path for path in list_run_directories(runs) if _is_only_begun(path, oldest)]
    for path in (*links, *begun):
        yield Leftover("half-made", path.name, 0, partial(remove_tree, path))


def _list_runs_of_all(runs: Path) -> Iterator[Path]:
    """The runs and verdicts in a folder, and the runs of the verdicts."""
    for directory in _list_runs_and_verdicts(runs):
        yield directory
        yield from filter(holds_run, list_run_directories(directory))


def _measure_half_made(directory: Path, before: float) -> dict[Path, int]:
    """The sizes of what processes that were killed left half-written in the directory of a run or a verdict,
    where it was last written to before a time."""
    files = [
        *list_half_made_files(directory),
        *list_temporary_files(directory, REQUEST_FILE),
        *list_temporary_files(directory / PATCHES_DIRECTORY),
    ]
    sizes = {}
    for path in files:
        with suppress(FileNotFoundError):  # it was at work, and has its name now
            status = path.lstat()
            if status.st_mtime < before:
                sizes[path] = status.st_size
    return sizes


def _is_at_work(directory: Path) -> bool:
    """Whether a process works on the run or the verdict in this directory, or on the verdict around it."""
    return is_run_held(directory) or is_verdict_held(directory) or is_verdict_held(directory.parent)


def _is_only_begun(directory: Path, oldest: float) -> bool:
    """Whether the directory of a run or a verdict was made before a time, and no run was written to it."""
    try:
        names = {path.name for path in directory.iterdir()}
    except OSError:
        return False  # another user's
    own = {PATCHES_DIRECTORY} if _VERDICT_NAME.fullmatch(directory.name) else {JOURNAL_FILE}
    is_held = is_run_held(directory) or is_verdict_held(directory)
    return names <= own and directory.stat().st_mtime < oldest and not is_held


def _remove_all(paths: Iterable[Path]) -> None:
    for path in paths:
        remove_tree(path)


def _find_old_runs(runs: Path, age: int) -> Iterator[Leftover]:
    """Runs, and verdicts with theirs, that nothing was written to for so many seconds, and that are not at
    work."""
    for directory in _list_runs_and_verdicts(runs):
        if _is_old(directory, age):
            name = str(directory.relative_to(runs))
            yield Leftover("run", name, measure_tree(directory), partial(_remove_run, directory, age))


def _list_runs_and_verdicts(runs: Path) -> Iterator[Path]:
    """Those in a folder, and those in a folder of the user's own in it: that one is never theirs to go."""
    for directory in list_run_directories(runs):
        below = [] if _is_own(directory) else list_run_directories(directory)
        yield from filter(_is_own, (directory, *below))


def _is_own(directory: Path) -> bool:
    """Whether kmatrix made this directory: a run, or a verdict, whose runs lie in it."""
    files = ForeignDirectory(directory)
    is_verdict = files.stat_file(REQUEST_FILE) or _VERDICT_NAME.fullmatch(directory.name)
    return bool(is_verdict or files.stat_file(RUN_FILE))


def _is_old(directory: Path, age: int) -> bool:
    members = (directory, *list_run_directories(directory))
    names = (RUN_FILE, JOURNAL_FILE, REQUEST_FILE)
    written = [ForeignDirectory(member).stat_file(name) for member in members for name in names]
    times = [status.st_mtime for status in written if status is not None]
    is_held = is_verdict_held(directory) or any(map(is_run_held, members))
    return bool(times) and max(times) < time.time() - age and not is_held


def _remove_run(directory: Path, age: int) -> None:
    if not _is_old(directory, age):
        raise MachineError(f"{directory} was written to meanwhile", "sweep again when it has ended")
    remove_tree(directory)
    latest = directory.parent / "latest"
    if latest.is_symlink() and not latest.exists():
        latest.unlink()


def parse_age(text: str) -> int | None:
    """The seconds of ``--runs-older``; None where it is not given. RequestError for what is no duration, or
    has no unit: what is meant in days must not be taken for seconds."""
    if text.isdigit():
        raise RequestError(f"--runs-older: {text} has no unit", f"for example --runs-older {text}d")
    try:
        return parse_duration(text) if text else None
    except ValueError as error:
        raise RequestError(f"--runs-older: {error}", "for example --runs-older 30d") from error


def _find_sources(cache: SourceCache) -> Iterator[Leftover]:
    for tree in cache.list_trees():
        name = f"Linux {tree.version} {tree.digest[:12]}"
        yield Leftover("source", name, tree.size, partial(cache.remove, tree.digest))


def _find_compiler_caches(folder: Path) -> Iterator[Leftover]:
    """What ccache kept, by image and layer."""
    for path in sorted(folder.glob("*/*/")):
        name = f"{path.parent.name} {path.name}"
        yield Leftover("ccache", name, measure_tree(path), partial(remove_tree, path))


def _find_unused_memories(folder: Path, cache_size: int) -> Iterator[Leftover]:
    """Of results and objects what was not used lately, in one line; in another the least recently used of the
    rest, until what stays fits."""
    now = time.time()
    aged, oldest = list_aged_sizes(folder, now), now - _MAX_UNUSED_SECONDS
    beyond = max(oldest, find_threshold(aged, measure_layers(folder) - cache_size))
    for since, before, reason in (
        (-math.inf, oldest, f"not used for {MAX_UNUSED_DAYS} days"),
        (oldest, beyond, f"beyond {_format_size(cache_size)}, the least recently used"),
    ):
        size = sum(one.size for one in aged if since <= one.used < before)
        if size:
            remove = partial(evict_layers, folder, before, now)
            yield Leftover("memory", f"results and objects {reason}", size, remove)


def _format_size(size: int) -> str:
    return f"{size >> 30} GiB" if size % 2**30 == 0 else f"{size >> 20} MiB"


class _CachedFile(NamedTuple):
    """A small file of the cache: ``size`` in bytes, ``last_used`` in seconds since the epoch."""

    last_used: float
    size: int
    path: Path


def _find_unused_files(layout: CacheLayout) -> Iterator[Leftover]:
    """Of resolutions and hash caches what was not used lately, and what is beyond their limits."""
    yield from _find_excess_files("resolution", layout.resolutions, MAX_RESOLUTIONS_MIB)
    yield from _find_excess_files("hash cache", layout.hash_caches, MAX_HASH_CACHES_MIB)


def _find_excess_files(kind: str, folder: Path, max_mib: int) -> Iterator[Leftover]:
    """The old files of a folder in one line; in another the least recently used of the rest, until what
    stays fits."""
    files = sorted(_list_cached_files(folder), reverse=True)
    oldest = time.time() - _MAX_UNUSED_SECONDS
    recent = [file for file in files if file.last_used >= oldest]
    fitting = sum(total <= max_mib * 2**20 for total in accumulate(file.size for file in recent))
    for group, reason in (
        (files[len(recent) :], f"not used for {MAX_UNUSED_DAYS} days"),
        (recent[fitting:], f"beyond {max_mib} MiB, the least recently used"),
    ):
        if group:
            size = sum(file.size for file in group)
            yield Leftover(kind, f"{len(group)} {reason}", size, partial(_remove_files, group))


def _list_cached_files(folder: Path) -> Iterator[_CachedFile]:
    for path in folder.rglob("*"):
        if path.is_file():
            info = path.stat()
            yield _CachedFile(info.st_mtime, info.st_size, path)


def _remove_files(files: Iterable[_CachedFile]) -> None:
    """Delete files, and the folders that are empty then. One that cannot be deleted stays."""
    for file in files:
        with suppress(OSError):
            file.path.unlink()
            file.path.parent.rmdir()


def _find_outdated_images(engine: Engine | None) -> Iterator[Leftover]:
    """Images of ours that no recipe of today names."""
    if engine is None:
        return
    plain = load_catalog()
    catalogs = (plain, replace(plain, with_ccache=True))
    current = {resolve_image_ref(name, catalog) for catalog in catalogs for name in catalog.toolchains}
    current |= {compute_base_tag(), ROOT_IMAGE.tag}
    for ref, size in engine.list_images().items():
        # In any registry they have another's path before the same end.
        own = f"kmatrix/{ref.rpartition('/')[2]}"
        if own not in current:
            yield Leftover("image", ref, size, partial(engine.remove_image, ref))


def _connect_or_none() -> Engine | None:
    try:
        return connect_engine()
    except MachineError:
        return None
