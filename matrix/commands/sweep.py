"""What kmatrix left on this machine that can go: seen first, removed only when asked."""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matrix.catalog.load import load_catalog
from matrix.catalog.types import ROOT_IMAGE
from matrix.commands.session import resolve_image_ref
from matrix.engine.connect import connect_engine
from matrix.engine.images import compute_base_tag
from matrix.engine.protocol import Engine
from matrix.errors import MachineError
from matrix.source.cache import SourceCache


@dataclass(frozen=True)
class Leftover:
    """One thing that can go. ``size`` in bytes, 0 where it is not known."""

    kind: str
    name: str
    size: int
    remove: Callable[[], object]


def sweep_leftovers(
    *, remove: bool = False, engine: Engine | None = None, cache: SourceCache | None = None
) -> list[Leftover]:
    """Containers of dead runs, idle lanes, sources, old images; removed when asked. Returns what was found.

    What a running kmatrix may need is not touched: while a job uses the cache, only old images can go; and a
    locked lane means that containers and sources may be in use.
    """
    cache = cache or SourceCache()
    with cache.try_lock_exclusive() as alone:
        found = _find_leftovers(cache, engine, alone=alone)
        if remove:
            for waste in found:
                waste.remove()
            cache.remove_stale_entries()
    return found


def _find_leftovers(cache: SourceCache, engine: Engine | None, *, alone: bool) -> list[Leftover]:
    lanes, busy = _find_idle_lanes(cache.root / "lanes") if alone else ([], True)
    found = [*lanes]
    if not busy:
        found += [*_find_containers(engine), *_find_sources(cache)]
    return [*found, *_find_outdated_images(engine)]


def _find_idle_lanes(folder: Path) -> tuple[list[Leftover], bool]:
    """Lanes that nobody holds, and whether any is held."""
    idle, busy = [], False
    for path in sorted(folder.glob("*/")):
        if _is_held(path / "lock"):
            busy = True
        else:
            idle.append(
                Leftover(
                    "lane", path.name, _measure_size(path), partial(shutil.rmtree, path, ignore_errors=True)
                )
            )
    return idle, busy


def _is_held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _measure_size(folder: Path) -> int:
    return sum(path.stat(follow_symlinks=False).st_size for path in folder.rglob("*") if not path.is_dir())


def _find_containers(engine: Engine | None) -> Iterator[Leftover]:
    engine = engine or _connect_or_none()
    if engine is not None:
        for name in engine.list_containers():
            yield Leftover("container", name, 0, partial(engine.remove_container, name))


def _find_sources(cache: SourceCache) -> Iterator[Leftover]:
    for tree in cache.list_trees():
        name = f"Linux {tree.version} {tree.digest[:12]}"
        yield Leftover("source", name, tree.size, partial(cache.remove, tree.digest))


def _find_outdated_images(engine: Engine | None) -> Iterator[Leftover]:
    """Images of ours that no recipe of today names."""
    engine = engine or _connect_or_none()
    if engine is None:
        return
    current = {resolve_image_ref(name, row) for name, row in load_catalog().toolchains.items()}
    for ref, size in engine.list_images().items():
        if ref not in current | {compute_base_tag(), ROOT_IMAGE.tag}:
            yield Leftover("image", ref, size, partial(engine.remove_image, ref))


def _connect_or_none() -> Engine | None:
    try:
        return connect_engine()
    except MachineError:
        return None
