"""An engine in memory. It keeps the contract of Docker's; what its containers do is a test's to say."""

import hashlib
import io
import json
import queue
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from matrix.engine.protocol import (
    LABEL,
    ContainerResult,
    ContainerSpec,
    EngineInfo,
    ImageDescription,
    LineCallback,
)
from matrix.engine.registry_host import error_from_registry
from matrix.errors import EngineError

ContainerHandler = Callable[[ContainerSpec, LineCallback], int | ContainerResult]
"""Plays a container's program: gives lines, returns an exit code (or all of how it ended)."""

_POLL_SECONDS = 0.01
_KILLED = 137


def succeed(_container: ContainerSpec, _on_line: LineCallback) -> int:
    """The handler that does nothing, well."""
    return 0


class _KilledError(Exception):
    """Raised in a handler that gives another line after its container was killed."""


@dataclass
class _RunningContainer:
    """A container while it runs. ``said`` has its lines, and at last what its handler came to."""

    container: ContainerSpec
    killed: threading.Event = field(default_factory=threading.Event)
    outputs: "queue.SimpleQueue[str | int | ContainerResult | BaseException]" = field(
        default_factory=queue.SimpleQueue
    )

    def put_line(self, line: str) -> None:
        if self.killed.is_set():
            raise _KilledError
        self.outputs.put(line)

    def run_handler(self, handler: ContainerHandler) -> None:
        try:
            self.outputs.put(handler(self.container, self.put_line))
        except BaseException as error:  # noqa: BLE001  whatever it is, the caller of run() gets it
            self.outputs.put(error)


_CONFIGS: dict[str, bytes] = {}
"""The configurations of all images that were made here: an image's id is the digest of its own."""


_RECIPES: dict[str, str] = {}
"""Image id → the name that it was built under: the label that an image keeps."""


class FakeRegistry:
    """A registry that engines share. ``images``: id by name, with a tag and by digest. ``fault`` is what it
    says to everybody, when not empty."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}
        self.fault = ""
        self.asked: list[str] = []

    def give(self, ref: str) -> str:
        self.asked.append(f"pull {ref}")
        if self.fault or ref not in self.images:
            raise error_from_registry("fake", "pull", ref, self.fault or "manifest unknown")
        return self.images[ref]

    def take(self, ref: str, image_id: str) -> str:
        self.asked.append(f"push {ref}")
        if self.fault:
            raise error_from_registry("fake", "push", ref, self.fault)
        digest = f"sha256:{hashlib.sha256(image_id.encode()).hexdigest()}"
        self.images |= {ref: image_id, f"{ref.rpartition(':')[0]}@{digest}": image_id}
        return digest


class FakeEngine:
    """``handler`` plays every container. ``registry`` is what can be pulled; ``images`` what is there.
    ``shared`` is a registry that can be pushed to as well.

    Afterwards ``ran`` has the containers in the order of their start, ``built`` the files of each image.
    With ``broken`` set to a sentence, every method raises an EngineError that says so.
    """

    def __init__(
        self,
        handler: ContainerHandler = succeed,
        *,
        images: Iterable[str] = (),
        registry: Iterable[str] = (),
        shared: FakeRegistry | None = None,
    ) -> None:
        self.handler = handler
        self.shared = shared or FakeRegistry()
        self.registry = set(registry)
        self.ran: list[ContainerSpec] = []
        self.built: dict[str, dict[str, str]] = {}
        self.broken = ""
        self.build_fails = ""
        """The error that a build ends with, when not empty."""
        self.packages = ""
        """What packages a build finds: with others the same recipe makes another image."""
        self._ids = {ref: _compute_id(ref) for ref in images}
        self._running: dict[str, _RunningContainer] = {}
        self._lock = threading.Lock()

    def query_info(self) -> EngineInfo:
        self._raise_if_broken()
        return EngineInfo(
            "fake", "1.0", cpus=2, memory=8 * 2**30, cgroup="v2", storage="memory", rootless=False
        )

    def find_image_id(self, ref: str) -> str | None:
        self._raise_if_broken()
        return ref if ref in self._ids.values() else self._ids.get(ref)

    def inspect_image(self, ref: str) -> ImageDescription | None:
        found = self.find_image_id(ref)
        if found is None:
            return None
        digests = tuple(name for name, known in self._ids.items() if known == found and "@" in name)
        return ImageDescription(found, _RECIPES.get(found, ""), digests)

    def pull_image(self, ref: str) -> None:
        """As Docker does: an image that was pulled by its tag has its name by digest, too."""
        self._raise_if_broken()
        if ref in self.registry:
            self._ids[ref] = _compute_id(ref)
            return
        found, repository = self.shared.give(ref), _name_repository(ref)
        by_digest = {
            name: known
            for name, known in self.shared.images.items()
            if known == found and name.startswith(f"{repository}@")
        }
        self._ids |= {ref: found, **by_digest}

    def push_image(self, ref: str) -> str:
        digest = self.shared.take(ref, self._require_image_id(ref))
        self._ids[f"{ref.rpartition(':')[0]}@{digest}"] = self._ids[ref]
        return digest

    def tag_image(self, ref: str, name: str) -> None:
        self._ids[name] = self._require_image_id(ref)

    def import_rootfs(self, tarball: Path, name: str) -> str:
        self._raise_if_broken()
        self._ids[name] = _compute_id(tarball.read_bytes().hex())
        return self._ids[name]

    def build_image(self, name: str, files: Mapping[str, str], on_line: LineCallback) -> str:
        parent = files["Dockerfile"].split("FROM ", 1)[1].split(maxsplit=1)[0]
        self._require_image_id(parent)
        on_line(f"Step 1 : FROM {parent}")
        if self.build_fails:
            raise EngineError(
                f"the image {name} could not be built:\n{self.build_fails}", hint="./inv images"
            )
        self.built[name] = dict(files)
        self._ids[name] = _compute_id(f"{name} {self.packages} {sorted(files.items())!r}")
        _RECIPES[self._ids[name]] = name
        return self._ids[name]

    def save_images(self, names: Sequence[str], file: BinaryIO) -> None:
        """As Docker does, with configurations whose digests are the ids; no layers."""
        files = {name: f"{self._require_image_id(name).removeprefix('sha256:')}.json" for name in names}
        rows = [{"Config": file, "RepoTags": [name]} for name, file in files.items()]
        members = {file: _CONFIGS[file] for file in files.values()}
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, text in {**members, "manifest.json": json.dumps(rows).encode()}.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text))

    def load_images(self, file: BinaryIO) -> None:
        self._raise_if_broken()
        with tarfile.open(fileobj=file, mode="r:") as archive:
            manifest = archive.extractfile("manifest.json")
            assert manifest is not None
            for row in json.load(manifest):
                image_id = f"sha256:{row['Config'].removesuffix('.json')}"
                self._ids |= dict.fromkeys(row["RepoTags"], image_id)

    def run_container(
        self, container: ContainerSpec, on_line: LineCallback, cancel: threading.Event
    ) -> ContainerResult:
        if cancel.is_set():
            return ContainerResult(exit=0, seconds=0.0, cancelled=True)
        self._require_image_id(container.image)
        running = self._start_container(container)
        try:
            return self._follow_container(running, on_line, cancel)
        finally:
            running.killed.set()
            with self._lock:
                del self._running[container.name]

    def run_interactively(self, container: ContainerSpec) -> int:
        """What the container says comes on stdout; whatever is on stdin stays there."""
        unhurried = replace(container, limits=replace(container.limits, seconds=None))
        return self.run_container(unhurried, _print_line, threading.Event()).exit

    def _start_container(self, container: ContainerSpec) -> _RunningContainer:
        with self._lock:
            if container.name in self._running:
                raise EngineError(
                    f'the container engine could not create: the name "{container.name}" is in use',
                    hint="./inv sweep",
                )
            running = self._running[container.name] = _RunningContainer(container)
            self.ran.append(container)
        threading.Thread(target=running.run_handler, args=(self.handler,), daemon=True).start()
        return running

    def _follow_container(
        self, running: _RunningContainer, on_line: LineCallback, cancel: threading.Event
    ) -> ContainerResult:
        started = time.monotonic()
        limit, lifetime = running.container.limits.seconds, running.container.limits.lifetime
        while True:
            spent = time.monotonic() - started
            if running.killed.is_set() or (lifetime is not None and spent >= lifetime):
                return ContainerResult(_KILLED, spent)
            if cancel.is_set():
                return ContainerResult(_KILLED, spent, cancelled=True)
            if limit is not None and spent >= limit:
                return ContainerResult(_KILLED, spent, timed_out=True)
            try:
                said = running.outputs.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(said, str):
                on_line(said)
                continue
            return _result_from_outcome(said, spent)

    def list_containers(self, label: str = LABEL) -> dict[str, str]:
        self._raise_if_broken()
        with self._lock:
            all_labels = {name: running.container.labels for name, running in self._running.items()}
        return {
            name: labels.get(LABEL, "") for name, labels in all_labels.items() if label in (LABEL, *labels)
        }

    def remove_container(self, name: str) -> None:
        self._raise_if_broken()
        with self._lock:
            if found := self._running.get(name):
                found.killed.set()

    def list_images(self) -> dict[str, int]:
        self._raise_if_broken()
        return {
            ref: 1000
            for ref, found in self._ids.items()
            if ref.startswith("kmatrix/") or (found in _RECIPES and "@" not in ref)
        }

    def remove_image(self, ref: str) -> None:
        """As Docker does: with the last tag of a repository its names by digest go, too."""
        self._raise_if_broken()
        repository = _name_repository(ref)
        self._ids.pop(ref, None)
        others = [name for name in self._ids if _name_repository(name) == repository]
        if all("@" in name for name in others):
            self._ids = {name: found for name, found in self._ids.items() if name not in others}

    def _raise_if_broken(self) -> None:
        if self.broken:
            raise EngineError(self.broken, hint="./inv doctor")

    def _require_image_id(self, ref: str) -> str:
        found = self.find_image_id(ref)
        if found is None:
            raise EngineError(
                f"the container engine could not find it: no such image: {ref}", hint="./inv images"
            )
        return found


def _name_repository(ref: str) -> str:
    """The name without its tag or digest."""
    name, at, _ = ref.partition("@")
    return name if at else ref.rpartition(":")[0]


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _compute_id(content: str) -> str:
    digest = hashlib.sha256(content.encode()).hexdigest()
    _CONFIGS[f"{digest}.json"] = content.encode()
    return f"sha256:{digest}"


def _result_from_outcome(said: int | ContainerResult | BaseException, seconds: float) -> ContainerResult:
    if isinstance(said, BaseException):
        raise said
    return said if isinstance(said, ContainerResult) else ContainerResult(exit=said, seconds=seconds)
