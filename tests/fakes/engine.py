"""An engine in memory. It keeps the contract of Docker's; what its containers do is a test's to say."""

import hashlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from matrix.engine.engine import LABEL, About, Container, Ended, Line
from matrix.errors import EngineError

Handler = Callable[[Container, Line], int | Ended]
"""Plays a container's program: gives lines, returns an exit code (or all of how it ended)."""

_TICK = 0.01
_KILLED = 137


def succeed(_container: Container, _on_line: Line) -> int:
    """The handler that does nothing, well."""
    return 0


class _KilledError(Exception):
    """Raised in a handler that gives another line after its container was killed."""


@dataclass
class _Running:
    """A container while it runs. ``said`` has its lines, and at last what its handler came to."""

    container: Container
    killed: threading.Event = field(default_factory=threading.Event)
    said: "queue.SimpleQueue[str | int | Ended | BaseException]" = field(default_factory=queue.SimpleQueue)

    def say(self, line: str) -> None:
        if self.killed.is_set():
            raise _KilledError
        self.said.put(line)

    def play(self, handler: Handler) -> None:
        try:
            self.said.put(handler(self.container, self.say))
        except BaseException as error:  # noqa: BLE001  whatever it is, the caller of run() gets it
            self.said.put(error)


class FakeEngine:
    """``handler`` plays every container. ``registry`` is what can be pulled; ``images`` what is there.

    Afterwards ``ran`` has the containers in the order of their start, ``built`` the files of each image.
    With ``broken`` set to a sentence, every method raises an EngineError that says so.
    """

    def __init__(
        self, handler: Handler = succeed, *, images: Iterable[str] = (), registry: Iterable[str] = ()
    ) -> None:
        self.handler = handler
        self.registry = set(registry)
        self.ran: list[Container] = []
        self.built: dict[str, dict[str, str]] = {}
        self.broken = ""
        self.build_fails = ""
        """The error that a build ends with, when not empty."""
        self._ids = {ref: _id_of(ref) for ref in images}
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()

    def about(self) -> About:
        self._check()
        return About("fake", "1.0", cpus=2, memory=8 * 2**30, cgroup="v2", storage="memory", rootless=False)

    def image_id(self, ref: str) -> str | None:
        self._check()
        return ref if ref in self._ids.values() else self._ids.get(ref)

    def pull(self, ref: str) -> bool:
        self._check()
        if ref in self.registry:
            self._ids[ref] = _id_of(ref)
        return ref in self.registry

    def tag(self, ref: str, name: str) -> None:
        self._ids[name] = self._known(ref)

    def import_rootfs(self, tarball: Path, name: str) -> str:
        self._check()
        self._ids[name] = _id_of(tarball.read_bytes().hex())
        return self._ids[name]

    def build(self, name: str, files: Mapping[str, str], on_line: Line) -> str:
        parent = files["Dockerfile"].split("FROM ", 1)[1].split(maxsplit=1)[0]
        self._known(parent)
        on_line(f"Step 1 : FROM {parent}")
        if self.build_fails:
            raise EngineError(
                f"the image {name} could not be built:\n{self.build_fails}", hint="./inv images"
            )
        self.built[name] = dict(files)
        self._ids[name] = _id_of(repr(sorted(files.items())))
        return self._ids[name]

    def run(self, container: Container, on_line: Line, cancel: threading.Event) -> Ended:
        if cancel.is_set():
            return Ended(exit=0, seconds=0.0, cancelled=True)
        self._known(container.image)
        running = self._start(container)
        try:
            return self._follow(running, on_line, cancel)
        finally:
            running.killed.set()
            with self._lock:
                del self._running[container.name]

    def enter(self, container: Container) -> int:
        """What the container says comes on stdout; whatever is on stdin stays there."""
        unhurried = replace(container, limits=replace(container.limits, seconds=None))
        return self.run(unhurried, _print, threading.Event()).exit

    def _start(self, container: Container) -> _Running:
        with self._lock:
            if container.name in self._running:
                raise EngineError(
                    f'the container engine could not create: the name "{container.name}" is in use',
                    hint="./inv sweep",
                )
            running = self._running[container.name] = _Running(container)
            self.ran.append(container)
        threading.Thread(target=running.play, args=(self.handler,), daemon=True).start()
        return running

    def _follow(self, running: _Running, on_line: Line, cancel: threading.Event) -> Ended:
        started = time.monotonic()
        limit = running.container.limits.seconds
        while True:
            spent = time.monotonic() - started
            if running.killed.is_set():
                return Ended(_KILLED, spent)
            if cancel.is_set():
                return Ended(_KILLED, spent, cancelled=True)
            if limit is not None and spent >= limit:
                return Ended(_KILLED, spent, timed_out=True)
            try:
                said = running.said.get(timeout=_TICK)
            except queue.Empty:
                continue
            if isinstance(said, str):
                on_line(said)
                continue
            return _ended(said, spent)

    def containers(self) -> dict[str, str]:
        self._check()
        with self._lock:
            return {name: each.container.labels.get(LABEL, "") for name, each in self._running.items()}

    def remove_container(self, name: str) -> None:
        self._check()
        with self._lock:
            if found := self._running.get(name):
                found.killed.set()

    def images(self) -> dict[str, int]:
        self._check()
        return {ref: 1000 for ref in self._ids if ref.startswith("kmatrix/")}

    def remove_image(self, ref: str) -> None:
        self._check()
        self._ids.pop(ref, None)

    def _check(self) -> None:
        if self.broken:
            raise EngineError(self.broken, hint="./inv doctor")

    def _known(self, ref: str) -> str:
        found = self.image_id(ref)
        if found is None:
            raise EngineError(
                f"the container engine could not find it: no such image: {ref}", hint="./inv images"
            )
        return found


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _id_of(content: str) -> str:
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def _ended(said: int | Ended | BaseException, seconds: float) -> Ended:
    if isinstance(said, BaseException):
        raise said
    return said if isinstance(said, Ended) else Ended(exit=said, seconds=seconds)
