"""One step in a container: the one place where a hardened container is described and named."""

import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from matrix.engine.protocol import (
    LABEL,
    ContainerLimits,
    ContainerResult,
    ContainerSpec,
    Engine,
    LineCallback,
    Mount,
)


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
    labelled with it, so that a sweep finds what a killed process left. ``cancel`` is set when the
    user interrupts.
    """

    engine: Engine
    user: str
    owner: str
    limits: ContainerLimits
    cancel: threading.Event = field(default_factory=threading.Event)

    def run(self, step: Step, on_line: LineCallback) -> ContainerResult:
        """Run a step to its end, and give each line of its output to ``on_line``."""
        return self.engine.run_container(self._build_container(step), on_line, self.cancel)

    def run_interactively(self, step: Step) -> int:
        """Run a step on the caller's own terminal; its exit code."""
        return self.engine.run_interactively(self._build_container(step))

    def with_time_spent(self, seconds: float) -> "StepRunner":
        """The same, with so many seconds of the time limit gone already."""
        return replace(self, limits=self.limits.with_time_spent(seconds))

    def _build_container(self, step: Step) -> ContainerSpec:
        return ContainerSpec(
            # Two processes may start a step for the same owner in the same second.
            name=f"kmatrix-{self.owner}-{secrets.token_hex(4)}",
            image=step.image,
            command=step.command,
            user=self.user,
            mounts=step.mounts,
            env=step.env,
            labels={LABEL: self.owner} | ({f"{LABEL}.cell": step.cell} if step.cell else {}),
            workdir=step.workdir,
            limits=self.limits,
            network=step.network,
            reports=step.reports,
        )
