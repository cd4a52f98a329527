"""Docker on this machine: where its API is, and its client program for a container on a terminal.

The client handles raw mode, window size, the end of stdin and Ctrl-C, on any terminal. With the API alone
that would be more code here than all of ``DockerEngine.run_container``. Only the last step
is the client's: the container that it starts is made like any other.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from matrix.engine.dialect import Dialect
from matrix.errors import EngineError

DEFAULT_URL = "unix:///var/run/docker.sock"
URL_VARIABLE = "DOCKER_HOST"
_CONNECT_TIMEOUT = 10.0
# Its default, Ctrl-P Ctrl-Q, would take Ctrl-P from the shell inside, where it recalls the previous command.
_DETACH_OPTION = "--detach-keys=ctrl-^,ctrl-_,ctrl-^"
_CLIENT_GRACE = 10.0
"""Seconds that the client may take to end after its container."""


def read_docker_url() -> str:
    """Where Docker should be: DOCKER_HOST, else its usual socket."""
    return os.environ.get("DOCKER_HOST", "").strip() or DEFAULT_URL


def find_docker() -> str:
    """Docker's URL, after a test connection. EngineError when nothing listens there, or access is denied."""
    url = read_docker_url()
    check_reachable(url)
    return url


def check_reachable(url: str, variable: str = URL_VARIABLE) -> None:
    """Connect once without a client library, whose errors hide the operating system's.

    ``variable`` is where a user may have named the URL. EngineError when nothing answers.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 2375
    except ValueError as error:
        raise EngineError(f"{variable} is {url}, which is no address: {error}", f"unset {variable}") from None
    if parts.scheme == "unix" and (parts.netloc or not parts.path.startswith("/")):
        raise EngineError(f"{variable} is {url}, and a socket has its whole path", f"write {DEFAULT_URL}")
    if parts.scheme == "unix":
        _probe_unix_socket(url, Path(parts.path), variable)
    elif parts.scheme in ("tcp", "http", "https"):
        _probe_tcp_port(url, parts.hostname or "localhost", port, variable)
    else:
        raise EngineError(
            f"{variable} is {url}, and kmatrix knows engines at unix:// and tcp:// only",
            hint=f"the engine must run on this machine, as its directories are mounted: unset {variable}",
        )


def _probe_unix_socket(url: str, path: Path, variable: str) -> None:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_CONNECT_TIMEOUT)
            probe.connect(str(path))
    except FileNotFoundError:
        raise _error_from_no_answer(url, "there is no such socket", variable) from None
    except PermissionError:
        raise EngineError(
            f"the container engine at {url} does not let you in: permission denied",
            hint='join its group (sudo usermod -aG docker "$USER"; then log in again), or run as root',
        ) from None
    except ConnectionRefusedError:
        if not path.is_socket():
            raise _error_from_no_answer(url, "that is no socket", variable) from None
        raise _error_from_no_answer(
            url, "the socket is there, and nobody listens: the engine has stopped", variable
        ) from None
    except OSError as error:
        raise _error_from_no_answer(url, error.strerror or str(error), variable) from None


def _probe_tcp_port(url: str, host: str, port: int, variable: str) -> None:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT).close()
    except OSError as error:
        raise _error_from_no_answer(url, error.strerror or str(error), variable) from None
    except UnicodeError:
        raise _error_from_no_answer(url, "that is no name of a host", variable) from None


def _error_from_no_answer(url: str, why: str, variable: str) -> EngineError:
    hint = "./inv setup installs and starts one where it may"
    if os.environ.get(variable):
        hint = f"{variable} says so: start that engine, or unset {variable} ({hint})"
    return EngineError(f"no container engine answers at {url}: {why}", hint=hint)


def is_terminal() -> bool:
    """Whether both ends are a terminal. With stdout in a file, the container's terminal would put carriage
    returns into it."""
    return os.isatty(0) and os.isatty(1)


def find_client(dialect: Dialect) -> str:
    """A program that puts an engine's container on a terminal. EngineError when none is on PATH."""
    programs = filter(None, map(shutil.which, dialect.clients))
    program = next(programs, None)
    if program is None:
        named = dialect.clients[0]
        raise EngineError(
            f"a prompt needs {named.capitalize()}'s client, the program {named}, which is not on PATH",
            hint=f"install it: apt-get install {dialect.client_package}",
        )
    return program


def start_attached(program: str, url: str, container: str, stop: Callable[[], object]) -> None:
    """Let the client start a container on this process's stdin, stdout and stderr; wait for its end.

    ``url`` as in DOCKER_HOST. When the waiting is interrupted, ``stop`` must end the container: then the
    client gives the terminal back as it found it, which a client that is killed does not.
    """
    # Podman's client would look for containers of its own, and not at the socket.
    remote = ("--remote",) if Path(program).name == "podman" else ()
    command = (program, *remote, "start", "--attach", "--interactive", _DETACH_OPTION, container)
    with subprocess.Popen(command, env={**os.environ, "DOCKER_HOST": url, "CONTAINER_HOST": url}) as process:
        try:
            process.wait()
        except BaseException:
            stop()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_CLIENT_GRACE)
            process.kill()
            raise
