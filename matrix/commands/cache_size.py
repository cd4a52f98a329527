"""What the caches hold, and how they are kept within their size: the least recently used goes first.

The size is that of all together that builds leave: results, objects, lanes, and what ccache kept. Sources
and resolutions are asked for again soon, and only a sweep removes them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from matrix.builder.compiler_cache import list_compiled_files, remove_compiled_files
from matrix.builder.idle_lanes import empty_idle_lanes, list_idle_lanes, list_lanes
from matrix.cache_layout import CacheLayout
from matrix.foreign_trees import measure_tree
from matrix.memory.eviction import (
    AgedSize,
    evict_layers,
    find_threshold,
    list_aged_sizes,
    list_holdings,
    measure_layers,
)
from matrix.memory.layers import BASE_LAYER
from matrix.memory.live_runs import find_live_start
from matrix.source.cache import SourceCache

_FILL_AFTER_EVICTION = 0.9
"""The share of the size that is filled when something had to go: the next run may add to it."""


@dataclass(frozen=True)
class CacheHolding:
    """What the cache holds of one kind: how many, their bytes on disk, and whether these count towards the
    caches' size."""

    kind: str
    count: int
    size: int
    is_bounded: bool = True


@dataclass(frozen=True)
class _BoundedCache:
    """A part of the cache of which the least recently used goes.

    ``list_aged`` is asked for what was last used before a time; ``evict`` for the removal of what was last
    used before the first of two times, when nothing may go that was used since the second.
    """

    measure: Callable[[], int]
    list_aged: Callable[[float], list[AgedSize]]
    evict: Callable[[float, float], object]


def measure_bounded_caches(layout: CacheLayout) -> int:
    """Bytes on disk of all that has to fit into the caches' size."""
    return sum(cache.measure() for cache in _list_bounded_caches(layout, lambda _: None))


def shrink_caches(layout: CacheLayout, limit: int, end_writers: Callable[[Path], object]) -> int:
    """Remove the least recently used of what exceeds ``limit`` bytes; the bytes that went.

    Nothing goes that a live run has used since it began, so that more than the limit may be left.
    ``end_writers`` ends what killed processes left at work in a build directory.
    """
    caches = _list_bounded_caches(layout, end_writers)
    size = sum(cache.measure() for cache in caches)
    if size <= limit:
        return 0
    cutoff = find_live_start(layout.memory)
    aged = chain.from_iterable(cache.list_aged(cutoff) for cache in caches)
    before = find_threshold(aged, size - int(limit * _FILL_AFTER_EVICTION))
    for cache in caches:
        cache.evict(before, cutoff)
    return size - sum(cache.measure() for cache in caches)


def list_cache_holdings(cache: SourceCache | None = None) -> list[CacheHolding]:
    """What a cache, this user's by default, holds of each kind; without those of which it has nothing.

    MachineError where it cannot be looked at.
    """
    cache = cache or SourceCache()
    with cache.translate_disk_errors(), cache.translate_root_errors():
        return [holding for holding in _list_all_holdings(cache) if holding.count]


def _list_all_holdings(cache: SourceCache) -> list[CacheHolding]:
    layout, lanes, trees = cache.layout, list_lanes(cache.layout.lanes), cache.list_trees()
    return [
        *_list_memory_holdings(layout.memory),
        CacheHolding("lanes", len(lanes), sum(map(measure_tree, lanes))),
        _measure_folder("ccache", layout.compiler_caches, "*/*/"),
        _measure_folder("resolutions", layout.resolutions, "*/*", is_bounded=False),
        _measure_folder("hash caches", layout.hash_caches, "*", is_bounded=False),
        CacheHolding("sources", len(trees), sum(tree.size for tree in trees), is_bounded=False),
    ]


def _list_memory_holdings(folder: Path) -> Iterator[CacheHolding]:
    held = list_holdings(folder)
    for kind in ("result", "object"):
        for is_base, suffix in ((True, ""), (False, " of patches")):
            own = [one for one in held if one.kind == kind and (one.layer == BASE_LAYER) == is_base]
            yield CacheHolding(f"{kind}s{suffix}", sum(o.entries for o in own), sum(o.size for o in own))


def _measure_folder(kind: str, folder: Path, pattern: str, *, is_bounded: bool = True) -> CacheHolding:
    return CacheHolding(kind, sum(1 for _ in folder.glob(pattern)), measure_tree(folder), is_bounded)


def _list_bounded_caches(layout: CacheLayout, end_writers: Callable[[Path], object]) -> list[_BoundedCache]:
    return [
        _BoundedCache(
            partial(measure_layers, layout.memory),
            partial(list_aged_sizes, layout.memory),
            partial(evict_layers, layout.memory),
        ),
        _BoundedCache(
            partial(measure_tree, layout.lanes),
            partial(list_idle_lanes, layout.lanes),
            lambda before, _: empty_idle_lanes(layout.lanes, before, end_writers),
        ),
        _BoundedCache(
            partial(measure_tree, layout.compiler_caches),
            partial(list_compiled_files, layout.compiler_caches),
            lambda before, _: remove_compiled_files(layout.compiler_caches, before),
        ),
    ]
