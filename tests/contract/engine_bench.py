"""An engine with an image, and what the cases that every engine is tried with ask of it.

A real one's image is kmatrix's own base, so that the first of these tests also proves that it builds.
"""

import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from uuid import uuid4

from matrix.engine import images
from matrix.engine.connect import choose_container_user
from matrix.engine.protocol import (
    LABEL,
    ContainerLimits,
    ContainerResult,
    ContainerSpec,
    Engine,
    LineCallback,
    Mount,
)
from tests.engines import open_engine

# Not by process id: that may be another test run's as well, from another container on the same engine.
RUN = f"contract-{uuid4().hex[:12]}"
ONE_MINUTE = ContainerLimits(seconds=60)
_NUMBERS = count()


@dataclass(frozen=True)
class Bench:
    """An engine, and an image that has a shell."""

    engine: Engine
    image: str

    def container(self, script: str, *mounts: Mount, limits: ContainerLimits = ONE_MINUTE) -> ContainerSpec:
        return ContainerSpec(
            name=f"kmatrix-{RUN}-{next(_NUMBERS)}",
            image=self.image,
            command=("sh", "-c", script),
            user=choose_container_user(),
            mounts=mounts,
            labels={LABEL: RUN},
            limits=limits,
        )

    def run(self, container: ContainerSpec, on_line: LineCallback = lambda _: None) -> ContainerResult:
        return self.engine.run_container(container, on_line, threading.Event())

    def output(self, script: str, *mounts: Mount) -> list[str]:
        """The lines of a script that must succeed."""
        lines: list[str] = []
        ended = self.run(self.container(script, *mounts), lines.append)
        assert ended.exit == 0, lines
        return lines

    def ours(self) -> list[str]:
        return [name for name, run in self.engine.list_containers().items() if run == RUN]


def toy_shell(container: ContainerSpec, on_line: LineCallback) -> int | ContainerResult:
    """As much of a shell as these cases type, in a container as hardened as Docker's."""
    for command in container.command[-1].split("; "):
        words = shlex.split(command)
        if words[0] == "exit":
            return int(words[1])
        code = _TOY[words[0]](container, on_line, words[1:])
        if code:
            return code
    return 0


def _toy_touch(container: ContainerSpec, _on_line: LineCallback, words: list[str]) -> int | ContainerResult:
    path = Path(words[0])
    for mount in container.mounts:
        if path.is_relative_to(mount.path) and not mount.read_only:
            (mount.host / path.relative_to(mount.path)).touch()
            return 0
    return 0 if path.is_relative_to("/tmp") else 1


def _toy_hog(container: ContainerSpec, _on_line: LineCallback, _words: list[str]) -> int | ContainerResult:
    return ContainerResult(exit=137, seconds=0.0, oom=True) if container.limits.memory else 1


def _saying(
    what: Callable[[ContainerSpec, list[str]], str],
) -> Callable[[ContainerSpec, LineCallback, list[str]], int]:
    def said(container: ContainerSpec, on_line: LineCallback, words: list[str]) -> int:
        on_line(what(container, words))
        return 0

    return said


def _toy_sleep(_container: ContainerSpec, _on_line: LineCallback, words: list[str]) -> int:
    time.sleep(float(words[0]))
    return 0


_TOY: dict[str, Callable[[ContainerSpec, LineCallback, list[str]], int | ContainerResult]] = {
    "echo": _saying(lambda _, words: " ".join(words)),
    "printf": _saying(lambda _, words: words[0]),
    "id": _saying(lambda container, _: container.user.split(":")[0]),
    "ls": _saying(lambda container, _: "eth0 lo" if container.network else "lo"),
    "sleep": _toy_sleep,
    "touch": _toy_touch,
    "tail": _toy_hog,
}


@cache
def open_bench(name: str) -> Bench:
    """A real engine; it is skipped where it is not on this machine."""
    engine = open_engine(name)
    images.ensure_base_image(engine, lambda _: None, install=True)
    return Bench(engine, images.compute_base_tag())
