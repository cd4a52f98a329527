"""The root file system under all images: found, pulled, or bootstrapped on this machine.

With ``docker_host``, the only module of this package that runs programs of the host.
"""

import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from matrix.catalog.types import ROOT_IMAGE, RootImage
from matrix.engine.protocol import Engine, LineCallback
from matrix.errors import EngineError, MachineError, RegistryError
from matrix.record.events import EventSink, OutputLine, ProgressNote

_BOOTSTRAP_PACKAGES = ("mmdebstrap", "debian-archive-keyring")
_TERMINATION_GRACE = 10.0
"""Seconds that a program of the host has to clean up when the user stops it."""
_INSTALL_COMMAND = f"apt-get install {' '.join(_BOOTSTRAP_PACKAGES)}"


@dataclass(frozen=True)
class HostSystem:
    """What the bootstrap needs of the machine. Tests replace it."""

    def has_program(self, program: str) -> bool:
        """Whether a program is on PATH."""
        return shutil.which(program) is not None

    def is_root(self) -> bool:
        return os.geteuid() == 0

    def run_program(
        self, command: Sequence[str], on_line: LineCallback, env: Mapping[str, str] | None = None
    ) -> int:
        """Run a program, give each line of its output as it comes, return its exit code."""
        whole_env = {**os.environ, **(env or {})}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=whole_env,
        ) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    on_line(line.rstrip("\n"))
            except BaseException:
                # A signal to this process alone does not reach it: it would work on, for minutes and as root.
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_TERMINATION_GRACE)
                process.kill()
                raise
        return process.returncode


def ensure_root_image(
    engine: Engine,
    emit: EventSink,
    *,
    root: RootImage = ROOT_IMAGE,
    install: bool = False,
    host: HostSystem | None = None,
) -> str:
    """The id of the root file system's image; the steps to it are reported to ``emit``.

    Tagged already: used. Else pulled when a registry answers, else bootstrapped with mmdebstrap, which
    is itself installed when ``install`` allows it. EngineError with the command to type otherwise.
    """
    if image := engine.find_image_id(root.tag):
        return image
    emit(ProgressNote(f"Pulling {root.upstream} as the root file system of all images."))
    try:
        engine.pull_image(root.upstream)
    except RegistryError:
        instead = f"bootstrapping Debian {root.suite} with mmdebstrap instead"
        emit(ProgressNote(f"No registry gives {root.upstream}: {instead}."))
        return _bootstrap_root_image(engine, root, emit, host or HostSystem(), install=install)
    engine.tag_image(root.upstream, root.tag)
    emit(ProgressNote(f"The root file system was pulled: {root.upstream}."))
    return _require_root_image(engine, root)


def _require_root_image(engine: Engine, root: RootImage) -> str:
    image = engine.find_image_id(root.tag)
    if image is None:
        raise EngineError(f"the engine took the image {root.tag} and does not have it", hint="./inv doctor")
    return image


def _bootstrap_root_image(
    engine: Engine, root: RootImage, emit: EventSink, host: HostSystem, *, install: bool
) -> str:
    if not host.has_program("mmdebstrap"):
        _install_mmdebstrap(root, host, emit, install=install)
    with tempfile.TemporaryDirectory(prefix="kmatrix-root-") as directory:
        tarball = Path(directory) / "root.tar"
        command = ("mmdebstrap", "--variant=minbase", "--include=ca-certificates", root.suite, str(tarball))
        _run_checked(host, command, emit)
        image = engine.import_rootfs(tarball, root.tag)
    emit(ProgressNote("The root file system was bootstrapped with mmdebstrap and imported."))
    return image


def _install_mmdebstrap(root: RootImage, host: HostSystem, emit: EventSink, *, install: bool) -> None:
    if not (install and host.is_root() and host.has_program("apt-get")):
        as_root = f"as root: {_INSTALL_COMMAND}" if host.has_program("apt-get") else "install mmdebstrap"
        raise EngineError(
            f"no registry gives {root.upstream}, and mmdebstrap, which could make it here, is not installed",
            hint=f"{as_root}; then try again",
        )
    apt_install(_BOOTSTRAP_PACKAGES, emit, host)


def apt_install(packages: Sequence[str], emit: EventSink, host: HostSystem | None = None) -> None:
    """Install Debian packages on this machine. For callers that have the user's consent and are root."""
    host = host or HostSystem()
    emit(ProgressNote(f"Installing {' '.join(packages)} on this machine with apt-get."))
    _run_checked(host, ("apt-get", "-o", "Acquire::Retries=3", "update"), emit)
    # Recommended packages too: gpg is one, and mmdebstrap finds the archive's keys with it.
    options = ("-y", "--install-recommends", "-o", "Acquire::Retries=3")
    _run_checked(host, ("apt-get", "install", *options, *packages), emit)


def _run_checked(host: HostSystem, command: Sequence[str], emit: EventSink) -> None:
    last: deque[str] = deque(maxlen=10)

    def on_line(line: str) -> None:
        last.append(line)
        emit(OutputLine(line))

    shown = " ".join(command)
    emit(OutputLine(f"$ {shown}"))
    code = host.run_program(command, on_line, {"DEBIAN_FRONTEND": "noninteractive"})
    if code:
        output = "\n".join(last)
        raise MachineError(
            f"{shown} failed with exit code {code}:\n{output}", hint=f"try it by hand: {shown}"
        )
