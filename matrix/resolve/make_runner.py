"""``make`` on a kernel tree, in a container: the step that resolving and building consist of."""

import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.engine.protocol import ContainerResult, LineCallback, Mount
from matrix.engine.step import Step, StepRunner
from matrix.fs import DISK_FULL_MESSAGES
from matrix.record.states import State

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


_DISK_FULL_ENDS = tuple(f": {message}" for message in DISK_FULL_MESSAGES)


@dataclass(frozen=True)
class MakeResult:
    """How one make ended: its state, its output, and how long it took."""

    command: str
    lines: tuple[str, ...]
    state: State
    exit: int
    seconds: float


@dataclass(frozen=True)
class MakeRunner:
    """One toolchain's container around one build directory and a kernel tree.

    ``share_jobs`` is called at every step, so that a lane takes over the cores of lanes that are done.
    ``open_build_directory`` is called only when there is something to run: many cells need no directory.
    """

    steps: StepRunner
    tree: Path
    image: str
    make_variables: Mapping[str, str]
    share_jobs: Callable[[], int]
    open_build_directory: Callable[[], Path]

    @property
    def make_line(self) -> str:
        """The variables as they are typed: ``ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-``."""
        return " ".join(f"{name}={shlex.quote(value)}" for name, value in self.make_variables.items())

    def format_command(self, targets: Iterable[str]) -> str:
        """The command that makes these targets, as it is typed."""
        return shlex.join(self._build_command(targets))

    def run(
        self,
        targets: Iterable[str],
        cell: str,
        log: LineCallback,
        *,
        env: Mapping[str, str] | None = None,
        spent: float = 0.0,
    ) -> MakeResult:
        """Make these targets for a cell. ``log`` takes the command, and each line of the output at once.

        ``spent``: seconds of the cell's time limit that its earlier steps have used.
        """
        command = self._build_command(targets)
        lines: list[str] = []

        def keep_line(line: str) -> None:
            lines.append(line)
            log(line)

        log(f"$ {shlex.join(command)}")
        started = time.monotonic()
        step = self._build_step((*_JOIN_STDERR, *command), cell, env or {})
        ended = self.steps.with_time_spent(spent).run(step, keep_line)
        seconds = time.monotonic() - started
        return MakeResult(shlex.join(command), tuple(lines), _classify(ended, lines), ended.exit, seconds)

    def enter(self, command: tuple[str, ...], cell: str, env: Mapping[str, str]) -> int:
        """Run one command where a cell's steps run, on the caller's own terminal; its exit code."""
        return self.steps.run_interactively(self._build_step(command, cell, env))

    def _build_command(self, targets: Iterable[str]) -> tuple[str, ...]:
        """The literal make command. -k finds every error; without output sync two compilers' lines mix."""
        variables = (f"{name}={value}" for name, value in self.make_variables.items())
        fixed = ("make", "-C", SOURCE_MOUNT, f"O={BUILD_MOUNT}", "-k")
        return (*fixed, f"-j{self.share_jobs()}", "--output-sync=target", *variables, *targets)

    def _build_step(self, command: tuple[str, ...], cell: str, env: Mapping[str, str]) -> Step:
        build = Mount(self.open_build_directory(), BUILD_MOUNT, read_only=False)
        return Step(
            image=self.image,
            command=command,
            mounts=(Mount(self.tree, SOURCE_MOUNT), build),
            env={**_ENVIRONMENT, **env},
            workdir=BUILD_MOUNT,
            cell=cell,
        )


def _classify(ended: ContainerResult, lines: Sequence[str]) -> State:
    """The state that a make's end stands for: the machine's limits and faults come before the kernel's."""
    if ended.cancelled:
        return State.CANCELLED
    if ended.timed_out:
        return State.TIMEOUT
    if ended.oom:
        return State.OOM
    if ended.exit == 0:
        return State.PASS
    # make itself ends with 1 or 2; anything else comes from the shell, or is a signal.
    if ended.exit > 2 or any(line.rstrip().endswith(_DISK_FULL_ENDS) for line in lines):
        return State.INFRA
    return State.FAIL
