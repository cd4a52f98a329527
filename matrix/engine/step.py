"""One step in a container: the one place where a hardened container is described and named."""

import hashlib
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from matrix.engine.protocol import (
    LABEL,
    ContainerLimits,
    ContainerResult,
    ContainerSpec,
    Engine,
    LineCallback,
    Mount,
)

_CACHE_LABEL = f"{LABEL}.cache"
_LIFETIME_SLACK = 60.0
"""Seconds that a container outlives its time limit: kmatrix, which kills it and says why, comes first."""
_INTERACTIVE_LIFETIME = 24 * 60 * 60.0
"""A person may work there, and may close the terminal's window with kmatrix in it."""


@dataclass(frozen=True)
class Step:
    """One command, and what its container holds. ``cell``: the id of the cell that it belongs to, if any.

    ``reports``: the command's stderr is a report on how it ended.
    """

    image: str
    command: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    network: bool = False
    cell: str = ""
    reports: bool = False


@dataclass(frozen=True)
class StepRunner:
    """Runs steps, each in a new container, as one user and within the same limits.

    ``owner`` is a run's id, or another purpose of the containers (``source``). They are named after it and
    labelled with it, so that a sweep finds what a killed process left, and with the root of the ``cache``
    that they work for, as another's sweep knows nothing of them. ``cancel`` is set when the user interrupts.
    """

    engine: Engine
    user: str
    owner: str
    limits: ContainerLimits
    cancel: threading.Event = field(default_factory=threading.Event)
    cache: Path | None = None

    def run(self, step: Step, on_line: LineCallback) -> ContainerResult:
        """Run a step to its end, and give each line of its output to ``on_line``."""
        seconds = self.limits.seconds
        lifetime = _INTERACTIVE_LIFETIME if seconds is None else seconds + _LIFETIME_SLACK
        return self.engine.run_container(self._build_container(step, lifetime), on_line, self.cancel)

    def run_interactively(self, step: Step) -> int:
        """Run a step on the caller's own terminal; its exit code."""
        return self.engine.run_interactively(self._build_container(step, _INTERACTIVE_LIFETIME))

    def with_time_spent(self, seconds: float) -> "StepRunner":
        """The same, with so many seconds of the time limit gone already."""
        return replace(self, limits=self.limits.with_time_spent(seconds))

    def _build_container(self, step: Step, lifetime: float) -> ContainerSpec:
        cell = {f"{LABEL}.cell": step.cell} if step.cell else {}
        writes = {label_writer(mount.host): str(mount.host) for mount in step.mounts if not mount.read_only}
        return ContainerSpec(
            # Two processes may start a step for the same owner in the same second.
            name=f"kmatrix-{self.owner}-{secrets.token_hex(4)}",
            image=step.image,
            command=step.command,
            user=self.user,
            mounts=step.mounts,
            env=step.env,
            labels={LABEL: self.owner, **cell, **writes, **self._label_cache()},
            workdir=step.workdir,
            limits=replace(self.limits, lifetime=lifetime),
            network=step.network,
            reports=step.reports,
        )

    def _label_cache(self) -> dict[str, str]:
        return {_CACHE_LABEL: str(self.cache), _format_cache_label(self.cache): ""} if self.cache else {}


def list_containers_of(engine: Engine, cache: Path) -> set[str]:
    """The names of the containers that work for the cache with this root."""
    return {*engine.list_containers(_format_cache_label(cache))}


def list_containers_of_others(engine: Engine, cache: Path) -> set[str]:
    """The names of the containers that work for another cache than the one with this root."""
    return {*engine.list_containers(_CACHE_LABEL)} - list_containers_of(engine, cache)


def remove_writers(engine: Engine, directory: Path) -> None:
    """Kill and remove the containers that may write to this directory.

    For a directory that this process has locked: whoever started them is gone, and they work on.
    """
    for name in list_writers(engine, directory):
        engine.remove_container(name)


def list_writers(engine: Engine, directory: Path) -> set[str]:
    """The names of the containers that may write to this directory."""
    return {*engine.list_containers(label_writer(directory))}


def label_writer(directory: Path) -> str:
    """The label of a container that may write to a directory. One name, however the path is written."""
    return f"{LABEL}.writes.{_hash_place(directory)}"


def _format_cache_label(root: Path) -> str:
    return f"{_CACHE_LABEL}.{_hash_place(root)}"


def _hash_place(path: Path) -> str:
    return hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:16]
