"""``make`` in a container: the one step that everything which touches a kernel tree is made of."""

import shlex
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
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
from matrix.source.kernel_tree import SourceTree

# The same paths in every cell, so that logs and objects of different machines can be compared.
SOURCE_MOUNT, BUILD_MOUNT = "/src", "/build"

# Errors come through another pipe than the step lines that they belong to; joined here, they keep their
# order.
_JOIN_STDERR = ("sh", "-c", 'exec "$@" 2>&1', "sh")

# Without these a build carries the container's host name, user and clock. LC_ALL: tools quote in ASCII.
_ENVIRONMENT = {
    "LC_ALL": "C",
    "HOME": "/tmp",  # noqa: S108 - the container's own tmpfs
    "KBUILD_BUILD_USER": "kmatrix",
    "KBUILD_BUILD_HOST": "kmatrix",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
}


@dataclass(frozen=True)
class MakeContext:
    """What all lanes of a run share: engine, tree, who the containers run as, their limits.

    ``seen_by_conf`` is the digest of what conf can see of the tree. ``jobs`` is asked at every step, so that
    a lane takes over the cores of lanes that are done. ``cancel`` is set when the user interrupts.
    """

    engine: Engine
    tree: SourceTree
    conf_digest: str
    run_id: str
    user: str
    limits: ContainerLimits
    share_jobs: Callable[[], int]
    cancel: threading.Event
    container_numbers: Iterator[int] = field(default_factory=lambda: count(1))


@dataclass(frozen=True)
class MakeRunner:
    """One toolchain's container around one build directory and the site's tree.

    ``directory`` is asked when there is something to run: many a cell needs none.
    """

    context: MakeContext
    image: str
    make_variables: Mapping[str, str]
    open_build_directory: Callable[[], Path]

    @property
    def make_line(self) -> str:
        """The variables as they are typed: ``ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-``."""
        return " ".join(f"{name}={shlex.quote(value)}" for name, value in self.make_variables.items())

    def build_command(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The literal make command. -k finds every error; without output sync two compilers' lines mix."""
        variables = (f"{name}={value}" for name, value in self.make_variables.items())
        jobs = f"-j{self.context.share_jobs()}"
        return (
            "make",
            "-C",
            SOURCE_MOUNT,
            f"O={BUILD_MOUNT}",
            "-k",
            jobs,
            "--output-sync=target",
            *variables,
            *targets,
        )

    def run(
        self,
        command: tuple[str, ...],
        cell: str,
        on_line: LineCallback,
        *,
        env: Mapping[str, str] | None = None,
        spent: float = 0.0,
    ) -> ContainerResult:
        """Run one command for a cell, whose id the container carries as a label.

        ``spent``: seconds of the cell's time limit that its earlier steps have used.
        """
        step = replace(
            self._build_container((*_JOIN_STDERR, *command), cell, env or {}),
            limits=self.context.limits.with_time_spent(spent),
        )
        return self.context.engine.run_container(step, on_line, self.context.cancel)

    def enter(self, command: tuple[str, ...], cell: str, env: Mapping[str, str]) -> int:
        """Run one command where a cell's steps run, on the caller's own terminal; its exit code."""
        return self.context.engine.run_interactively(self._build_container(command, cell, env))

    def _build_container(self, command: tuple[str, ...], cell: str, env: Mapping[str, str]) -> ContainerSpec:
        site = self.context
        return ContainerSpec(
            name=f"kmatrix-{site.run_id}-{next(site.container_numbers)}",
            image=self.image,
            command=command,
            user=site.user,
            mounts=(
                Mount(site.tree.path, SOURCE_MOUNT),
                Mount(self.open_build_directory(), BUILD_MOUNT, read_only=False),
            ),
            env={**_ENVIRONMENT, **env},
            labels={LABEL: site.run_id, f"{LABEL}.cell": cell},
            workdir=BUILD_MOUNT,
            limits=site.limits,
        )
