"""The root file system under all images: found, pulled, or bootstrapped on this machine.

With ``terminal``, the only module of the engine's room that runs programs of the host.
"""

import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matrix.engine.engine import Engine, Line
from matrix.errors import EngineError, MachineError
from matrix.record.events import Emit, Note, Output

SUITE = "trixie"
ROOT = f"kmatrix/root:{SUITE}"
UPSTREAM = f"debian:{SUITE}-slim"

_PACKAGES = ("mmdebstrap", "debian-archive-keyring")
_INSTALL_BY_HAND = f"apt-get install {' '.join(_PACKAGES)}"


@dataclass(frozen=True)
class Host:
    """What the bootstrap asks of the machine, so that a test can answer instead."""

    def has(self, program: str) -> bool:
        """Whether a program is on PATH."""
        return shutil.which(program) is not None

    def is_root(self) -> bool:
        return os.geteuid() == 0

    def run(self, command: Sequence[str], on_line: Line, env: Mapping[str, str] | None = None) -> int:
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
            assert process.stdout is not None
            for line in process.stdout:
                on_line(line.rstrip("\n"))
        return process.returncode


def ensure_root(engine: Engine, emit: Emit, *, install: bool = False, host: Host | None = None) -> str:
    """The id of the root file system's image, and how it was come by, told through ``emit``.

    Tagged already: used. Else pulled when a registry answers, else bootstrapped with mmdebstrap, which
    is itself installed when ``install`` allows it. EngineError with the command to type otherwise.
    """
    if found := engine.image_id(ROOT):
        return found
    emit(Note(f"Pulling {UPSTREAM} as the root file system of all images."))
    if engine.pull(UPSTREAM):
        engine.tag(UPSTREAM, ROOT)
        emit(Note(f"The root file system was pulled: {UPSTREAM}."))
        return _present(engine)
    return _bootstrapped(engine, emit, host or Host(), install=install)


def _present(engine: Engine) -> str:
    found = engine.image_id(ROOT)
    if found is None:
        raise EngineError(f"the engine took the image {ROOT} and does not have it", hint="./inv doctor")
    return found


def _bootstrapped(engine: Engine, emit: Emit, host: Host, *, install: bool) -> str:
    emit(Note(f"No registry gives {UPSTREAM}: bootstrapping Debian {SUITE} with mmdebstrap instead."))
    if not host.has("mmdebstrap"):
        _install_mmdebstrap(host, emit, install=install)
    with tempfile.TemporaryDirectory(prefix="kmatrix-root-") as directory:
        tarball = Path(directory) / "root.tar"
        command = ("mmdebstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(tarball))
        _checked(host, command, emit)
        made = engine.import_rootfs(tarball, ROOT)
    emit(Note("The root file system was bootstrapped with mmdebstrap and imported."))
    return made


def _install_mmdebstrap(host: Host, emit: Emit, *, install: bool) -> None:
    if not (install and host.is_root() and host.has("apt-get")):
        as_root = f"as root: {_INSTALL_BY_HAND}" if host.has("apt-get") else "install mmdebstrap"
        raise EngineError(
            f"no registry gives {UPSTREAM}, and mmdebstrap, which could make it here, is not installed",
            hint=f"{as_root}; then try again",
        )
    apt_install(_PACKAGES, emit, host)


def apt_install(packages: Sequence[str], emit: Emit, host: Host | None = None) -> None:
    """Install Debian packages on this machine. For callers that have the user's consent and are root."""
    host = host or Host()
    emit(Note(f"Installing {' '.join(packages)} on this machine with apt-get."))
    _checked(host, ("apt-get", "-o", "Acquire::Retries=3", "update"), emit)
    # Recommended packages too: gpg is one, and mmdebstrap finds the archive's keys with it.
    options = ("-y", "--install-recommends", "-o", "Acquire::Retries=3")
    _checked(host, ("apt-get", "install", *options, *packages), emit)


def _checked(host: Host, command: Sequence[str], emit: Emit) -> None:
    last: deque[str] = deque(maxlen=10)

    def on_line(line: str) -> None:
        last.append(line)
        emit(Output(line))

    shown = " ".join(command)
    emit(Output(f"$ {shown}"))
    code = host.run(command, on_line, {"DEBIAN_FRONTEND": "noninteractive"})
    if code:
        said = "\n".join(last)
        raise MachineError(f"{shown} failed with exit code {code}:\n{said}", hint=f"try it by hand: {shown}")
