"""Finding the engine, and who containers run as."""

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

from matrix.engine.docker_engine import DockerEngine
from matrix.engine.protocol import Engine
from matrix.errors import EngineError

DEFAULT_ENGINE_URL = "unix:///var/run/docker.sock"
_UNPRIVILEGED_UID = 59990
_CONNECT_TIMEOUT = 10.0


def read_engine_url() -> str:
    """Where the engine should be: DOCKER_HOST, else Docker's socket."""
    return os.environ.get("DOCKER_HOST", "").strip() or DEFAULT_ENGINE_URL


def connect_engine() -> Engine:
    """The engine of this machine. EngineError tells whether there is none, it refuses, or is too old."""
    url = read_engine_url()
    _check_reachable(url)
    return DockerEngine(url)


def choose_container_user(*, rootless: bool = False) -> str:
    """``uid:gid`` that containers run as, and that must own what they write.

    The caller's own, so that a build directory stays the caller's. When the caller is root: a fixed
    number that nobody has, so that nothing in a container is root (what it may write is then handed over
    with chown). In a rootless engine the container's 0 is the caller, and any other number is somebody
    who cannot write the caller's files: 0 it is there.
    """
    if rootless:
        return "0:0"
    if os.geteuid() == 0:
        return f"{_UNPRIVILEGED_UID}:{_UNPRIVILEGED_UID}"
    return f"{os.geteuid()}:{os.getegid()}"


def _check_reachable(url: str) -> None:
    """Knock first: an operating system's error says more than what a client library makes of it."""
    try:
        parts = urlsplit(url)
        port = parts.port or 2375
    except ValueError as error:
        raise EngineError(
            f"DOCKER_HOST is {url}, which is no address: {error}", "unset DOCKER_HOST"
        ) from None
    if parts.scheme == "unix":
        _probe_unix_socket(url, Path(parts.path))
    elif parts.scheme in ("tcp", "http", "https"):
        _probe_tcp_port(url, parts.hostname or "localhost", port)
    else:
        raise EngineError(
            f"DOCKER_HOST is {url}, and kmatrix knows engines at unix:// and tcp:// only",
            hint="the engine must run on this machine, as its directories are mounted: unset DOCKER_HOST",
        )


def _probe_unix_socket(url: str, path: Path) -> None:
    try:
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(_CONNECT_TIMEOUT)
            knock.connect(str(path))
    except FileNotFoundError:
        raise _error_from_no_answer(url, "there is no such socket") from None
    except PermissionError:
        raise EngineError(
            f"the container engine at {url} does not let you in: permission denied",
            hint='join its group (sudo usermod -aG docker "$USER"; then log in again), or run as root',
        ) from None
    except ConnectionRefusedError:
        raise _error_from_no_answer(
            url, "the socket is there, and nobody listens: the engine has stopped"
        ) from None
    except OSError as error:
        raise _error_from_no_answer(url, error.strerror or str(error)) from None


def _probe_tcp_port(url: str, host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT).close()
    except OSError as error:
        raise _error_from_no_answer(url, error.strerror or str(error)) from None


def _error_from_no_answer(url: str, why: str) -> EngineError:
    hint = "./inv setup installs and starts one where it may"
    if os.environ.get("DOCKER_HOST"):
        hint = f"DOCKER_HOST says so: start that engine, or unset DOCKER_HOST ({hint})"
    return EngineError(f"no container engine answers at {url}: {why}", hint=hint)
