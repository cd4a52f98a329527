"""The container in which a foreign archive or patch is opened: this package's only use of the engine."""

import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matrix.engine.protocol import ContainerLimits, ContainerResult, Engine, Mount
from matrix.engine.step import Step, StepRunner
from matrix.errors import InterruptedRunError, MachineError
from matrix.fs import DISK_FULL_MESSAGES

_MAX_KEPT_LINES = 400
_TIMEOUT_SECONDS = 3600.0
# Bytes. xz and zstd take some hundred million, git on a kernel's history not much more.
_MEMORY_LIMIT = 3 * 2**30


class SandboxLimitError(MachineError):
    """A step in the sandbox was ended as it took too much time or memory."""


@dataclass(frozen=True)
class SandboxResult:
    """How a step ended, and the last lines that it printed."""

    exit: int
    lines: tuple[str, ...]

    def find_value(self, key: str) -> str:
        """What follows ``key=`` on the last line that starts with it; empty when there is none."""
        values = [line.partition("=")[2] for line in self.lines if line.startswith(f"{key}=")]
        return values[-1] if values else ""

    def has_text(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    @property
    def is_disk_full(self) -> bool:
        return any(self.has_text(message) for message in DISK_FULL_MESSAGES)


@dataclass(frozen=True)
class Sandbox:
    """Where steps run: an engine, kmatrix's base image, and the user (``uid:gid``) inside.

    ``cache`` is the root of the cache that they work for, if any.
    """

    engine: Engine
    image: str
    user: str
    cancel: threading.Event = field(default_factory=threading.Event)
    cache: Path | None = None

    def run(
        self,
        script: str,
        *arguments: str,
        mounts: Sequence[Mount],
        network: bool = False,
        seconds: float = _TIMEOUT_SECONDS,
    ) -> SandboxResult:
        """Run a bash script, which stops at its first failing command; a failure is a value.

        SandboxLimitError when a limit ended it, InterruptedRunError when the user did.
        """
        lines: deque[str] = deque(maxlen=_MAX_KEPT_LINES)
        step = Step(
            image=self.image,
            command=("bash", "-euo", "pipefail", "-c", script, "kmatrix", *arguments),
            mounts=tuple(mounts),
            env={"HOME": "/tmp", "LC_ALL": "C.UTF-8"},  # noqa: S108 - the container's own
            workdir="/tmp",  # noqa: S108
            network=network,
        )
        limits = ContainerLimits(memory=_MEMORY_LIMIT, seconds=seconds)
        runner = StepRunner(self.engine, self.user, "source", limits, self.cancel, self.cache)
        ended = runner.run(step, lines.append)
        _raise_limit_errors(ended, seconds)
        return SandboxResult(ended.exit, tuple(lines))

    def chown_to_user(self, *paths: Path) -> None:
        """Give paths to the container's user. Only root can; without root it is the user of this process."""
        if os.geteuid() == 0:
            uid, gid = (int(part) for part in self.user.split(":"))
            for path in paths:
                os.chown(path, uid, gid, follow_symlinks=False)

    def create_directory(self, path: Path) -> Path:
        """Create a directory that the container's user may write."""
        path.mkdir()
        path.chmod(0o755)
        self.chown_to_user(path)
        return path


def _raise_limit_errors(result: ContainerResult, seconds: float) -> None:
    if result.cancelled:
        raise InterruptedRunError("interrupted while the source was prepared")
    if result.oom:
        raise SandboxLimitError(
            f"preparing the source took more than {_MEMORY_LIMIT >> 30} GiB of memory, or all that there is",
            "Close other programs, and run again; no kernel tree takes that much.",
        )
    if result.timed_out:
        raise SandboxLimitError(
            f"preparing the source took more than {seconds / 60:.0f} minutes",
            "See what slows this machine down.",
        )
