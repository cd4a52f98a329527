"""What kmatrix needs of a container engine, in types of its own. Docker's types stay in its modules.

A failing command is a value (`ContainerResult`); an engine that fails is an `EngineError`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol

LineCallback = Callable[[str], None]
"""Takes one line of output, without its newline, as soon as it is complete."""

LABEL = "kmatrix"
"""The label of every container and image that kmatrix makes; a container's value is its run's id, and what
tells it from other runs with that id."""
RECIPE_LABEL = f"{LABEL}.recipe"
"""The label of every image that kmatrix builds: the name that it was built under, with its recipe's hash. An
image keeps it, wherever it goes and whatever it is called there."""


@dataclass(frozen=True)
class EngineInfo:
    """The engine's version, and the machine that its containers run on. ``memory`` in bytes."""

    name: str
    version: str
    cpus: int
    memory: int
    cgroup: str
    storage: str
    rootless: bool


@dataclass(frozen=True)
class ImageDescription:
    """An image that the engine has. ``recipe``: the value of its RECIPE_LABEL, or empty. ``digests``: what
    registries may know it by, ``REPOSITORY@sha256:…``; Podman names some that no registry has."""

    id: str
    recipe: str = ""
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mount:
    """A host directory (or file) inside the container."""

    host: Path
    path: str
    read_only: bool = True


@dataclass(frozen=True)
class ContainerLimits:
    """Bounds of one container: bytes, seconds, counts. None: no bound.

    After ``seconds`` kmatrix kills it, and says so. After ``lifetime``, which is longer, it ends by itself,
    though no kmatrix is left to kill it.
    """

    memory: int | None = None
    seconds: float | None = None
    lifetime: float | None = None
    processes: int = 4096
    open_files: int = 4096
    file_size: int = 16 * 2**30
    tmpfs: int = 2 * 2**30

    def with_time_spent(self, spent: float) -> "ContainerLimits":
        """The same, with so many seconds gone already; a step always gets one second to fail in."""
        return self if self.seconds is None else replace(self, seconds=max(1.0, self.seconds - spent))


@dataclass(frozen=True)
class ContainerSpec:
    """One step to be run: hardened by default, no network, read-only root, nothing but its mounts, and no
    system calls but those that a kernel build needs.

    ``reports``: its stderr is no output but a report on how it ended, and comes with the result; but for a
    container on a terminal, which has no result to come with.
    """

    name: str
    image: str
    command: tuple[str, ...]
    user: str
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    limits: ContainerLimits = ContainerLimits()
    network: bool = False
    reports: bool = False


TEMPORARY_DIRECTORIES = ("/tmp", "/var/tmp")  # noqa: S108 - the container's own
"""Where a container can write besides its mounts: in memory, each as large as the limit says."""
REPORT_LINES = 64
"""Lines of a report that are kept, its last ones: whatever runs in a container can write more."""


@dataclass(frozen=True)
class ContainerResult:
    """How a container ended. ``exit`` is meaningless when one of the flags is set.

    ``report``: the last lines of its stderr, where the container reports on itself.
    """

    exit: int
    seconds: float
    oom: bool = False
    timed_out: bool = False
    cancelled: bool = False
    report: tuple[str, ...] = ()


class Engine(Protocol):
    """What kmatrix needs of an engine. Every method raises EngineError when the engine fails."""

    def query_info(self) -> EngineInfo: ...

    def find_image_id(self, ref: str) -> str | None:
        """The id (``sha256:…``) of a local image, or None."""

    def inspect_image(self, ref: str) -> ImageDescription | None:
        """A local image, or None."""

    def pull_image(self, ref: str) -> None:
        """Fetch an image from its registry, by tag or digest. RegistryError when the registry does not give
        it."""

    def push_image(self, ref: str) -> str:
        """Give a local image to the registry that it is named after; returns its digest there
        (``sha256:…``). RegistryError when the registry does not take it."""

    def tag_image(self, ref: str, name: str) -> None: ...

    def import_rootfs(self, tarball: Path, name: str) -> str:
        """Make an image of a root file system; returns its id."""

    def build_image(self, name: str, files: Mapping[str, str], on_line: LineCallback) -> str:
        """Build ``files["Dockerfile"]`` with the other files beside it; returns the image's id."""

    def save_images(self, names: Sequence[str], file: BinaryIO) -> None:
        """Write images, by their names, with all under them, as one tar file."""

    def load_images(self, file: BinaryIO) -> None:
        """Make what is in such a file images again, under their names."""

    def run_container(
        self, container: ContainerSpec, on_line: LineCallback, cancel: threading.Event
    ) -> ContainerResult:
        """Create, start, follow, wait and remove. Every line has been given when it returns.

        stdout and stderr each keep their order, but not between them: a command whose order matters
        joins them itself (``2>&1``).

        A set ``cancel`` or a passed time limit kills the container. Whatever happens, nothing of the
        container is left.
        """

    def run_interactively(self, container: ContainerSpec) -> int:
        """Run it on the caller's own stdin, stdout and stderr; its exit code.

        Where these are a terminal, the container has one. A person may work there, so ``seconds`` are not
        watched; its lifetime ends it. Whatever happens (Ctrl-C before the terminal is the container's, a
        signal, a terminal that is closed), nothing of the container is left.
        """

    def list_containers(self, label: str = LABEL) -> dict[str, str]:
        """All of kmatrix's containers, or those with one more label: name → owner. Ended ones too."""

    def remove_container(self, name: str) -> None:
        """Kill and remove; a container that is gone already is no error."""

    def list_images(self) -> dict[str, int]:
        """All of kmatrix's images: tag → bytes."""

    def remove_image(self, ref: str) -> None: ...
