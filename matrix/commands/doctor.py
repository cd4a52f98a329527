"""Checks of this machine, with advice where one fails."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.load import load_catalog
from matrix.catalog.types import Profile, parse_size
from matrix.commands.cache_size import CacheHolding, list_cache_holdings, measure_bounded_caches
from matrix.commands.session import resolve_image_ref, resolve_local_name
from matrix.engine.connect import choose_container_user, connect_engine
from matrix.engine.images import compute_base_tag
from matrix.engine.isolation import list_missing_isolation
from matrix.engine.protocol import Engine, EngineInfo
from matrix.errors import MachineError
from matrix.fs import find_existing_path, measure_free_space
from matrix.shell_words import format_command
from matrix.source.cache import SourceCache

_GIB = 2**30
_MIN_FREE_DISK = 15 * _GIB
_MIN_MEMORY = 4 * _GIB


@dataclass(frozen=True)
class HealthCheck:
    """One thing that was checked. ``advice`` is what to do where it is not well."""

    subject: str
    ok: bool
    message: str
    advice: str = ""


def diagnose_machine(profile: Profile) -> list[HealthCheck]:
    """Check engine, isolation, cache, disk, the caches' size, memory, images, source, in this order.

    Without an engine, check what is on the disk.
    """
    cache = SourceCache()
    disk = [_check_cache(cache), _check_disk(cache), _check_cache_size(cache, profile)]
    try:
        engine = connect_engine()
        info = engine.query_info()
    except MachineError as error:
        return [HealthCheck("engine", False, str(error), error.hint), *disk]
    rootless = ", rootless" if info.rootless else ""
    engine_line = f"{info.name} {info.version}, cgroup {info.cgroup}, {info.storage}{rootless}"
    images = list(_check_images(engine, profile))
    isolation = _check_isolation(engine, choose_container_user(rootless=info.rootless))
    return [
        HealthCheck("engine", True, engine_line),
        isolation,
        *disk,
        _check_memory(info),
        *images,
        _check_source(cache, profile),
    ]


def list_machine_problems(cache: SourceCache, engine: Engine, info: EngineInfo) -> list[HealthCheck]:
    """What is not well on a machine that is to build for others, with an engine that works."""
    checks = (
        _check_isolation(engine, choose_container_user(rootless=info.rootless)),
        _check_cache(cache),
        _check_disk(cache),
        _check_memory(info),
    )
    return [check for check in checks if not check.ok]


def _check_isolation(engine: Engine, user: str) -> HealthCheck:
    """Check that the engine applies limits and restrictions, and does not only accept them.

    They are read back inside a container.
    """
    image = engine.find_image_id(compute_base_tag())
    if image is None:
        return HealthCheck("isolation", False, "not known before the base image is there", "./inv setup")
    try:
        missing = list_missing_isolation(engine, image, user)
    except MachineError as error:
        return HealthCheck("isolation", False, str(error), error.hint)
    if missing:
        return HealthCheck(
            "isolation", False, f"the engine does not apply: {', '.join(missing)}", "use a rootful engine"
        )
    applied = "limits, dropped capabilities, the read-only root and the filter of system calls are applied"
    return HealthCheck("isolation", True, applied)


def _check_cache(cache: SourceCache) -> HealthCheck:
    root = cache.layout.root
    try:
        problem = _find_cache_problem(root)
        private = bool(problem) or cache.layout.is_private()
    except OSError as error:
        problem, private = f"cannot be looked at: {error.strerror}", True
    if problem:
        return HealthCheck("cache", False, f"{root} {problem}", "set KMATRIX_CACHE to a directory of yours")
    if not private:
        advice = f"{format_command('chmod', '700', str(root))}; the next run does it, too"
        return HealthCheck("cache", False, f"other users can enter {root}", advice)
    return HealthCheck("cache", True, f"{root}, which only you can enter")


def _find_cache_problem(root: Path) -> str:
    """Why no cache can be there, or nothing."""
    existing = find_existing_path(root)
    if not existing.is_dir():
        return "is no directory" if existing == root else f"cannot be made: {existing} is no directory"
    if os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return ""
    return "may not be written" if existing == root else f"cannot be made: {existing} may not be written"


def _check_disk(cache: SourceCache) -> HealthCheck:
    try:
        free = measure_free_space(cache.layout.root)
    except OSError as error:
        return HealthCheck("disk", False, f"{cache.layout.root}: {error.strerror}", "set KMATRIX_CACHE")
    return HealthCheck(
        "disk",
        free >= _MIN_FREE_DISK,
        f"{free / _GIB:.0f} GiB free for {cache.layout.root}",
        "./inv sweep, or set KMATRIX_CACHE",
    )


def _check_memory(info: EngineInfo) -> HealthCheck:
    return HealthCheck(
        "memory",
        info.memory >= _MIN_MEMORY,
        f"{info.memory / _GIB:.1f} GiB, {info.cpus} processors",
        "use fewer lanes: --lanes 1",
    )


def _check_cache_size(cache: SourceCache, profile: Profile) -> HealthCheck:
    """Check that the caches are within their size, and the disk has room for what they may still grow by."""
    limit = parse_size(profile.cache_size)
    try:
        holdings, size = list_cache_holdings(cache), measure_bounded_caches(cache.layout)
        free = measure_free_space(cache.layout.root)
    except MachineError as error:
        return HealthCheck("cache size", False, str(error), error.hint)
    except OSError as error:
        return HealthCheck("cache size", False, f"{cache.layout.root}: {error.strerror}", "set KMATRIX_CACHE")
    parts = _format_holdings(": ", [held for held in holdings if held.is_bounded])
    parts += _format_holdings("; beside them ", [held for held in holdings if not held.is_bounded])
    return HealthCheck(
        "cache size",
        size <= limit <= size + free,
        f"{size / _GIB:.1f} of {limit / _GIB:.1f} GiB{parts}",
        f"{(size - limit) / 2**20:.0f} MiB too many: a larger --cache-size; or ./inv sweep --yes, "
        "unless a run is at work, which mends it at its end"
        if size > limit
        else f"a smaller --cache-size: the disk has {free / _GIB:.1f} GiB left",
    )


def _format_holdings(before: str, holdings: Sequence[CacheHolding]) -> str:
    listed = ", ".join(f"{held.kind} {held.size / _GIB:.1f}" for held in holdings)
    return f"{before}{listed}" if listed else ""


def _check_images(engine: Engine, profile: Profile) -> Iterator[HealthCheck]:
    catalog = load_catalog().with_profile(profile)
    for name in profile.toolchain:
        ref = resolve_local_name(name, catalog)
        is_present = engine.find_image_id(ref) is not None
        message = ref if is_present else f"{ref} is not there"
        if is_present and ref != resolve_image_ref(name, catalog):
            message += ", from the registry"
        yield HealthCheck(f"image {name}", is_present, message, "./inv setup")


def _check_source(cache: SourceCache, profile: Profile) -> HealthCheck:
    if not profile.source.startswith("debian:"):
        is_present = Path(profile.source.partition("@")[0]).exists()
        return HealthCheck("source", is_present, profile.source, "name a kernel tree: --source DIR")
    entry = cache.read_spec_entry(profile.source)
    if entry is None:
        return HealthCheck("source", False, f"{profile.source} is not fetched", "./inv setup")
    return HealthCheck("source", True, f"{profile.source} is in {cache.layout.root}")
