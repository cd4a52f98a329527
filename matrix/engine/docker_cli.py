"""A container on the caller's own terminal, by way of Docker's own client program.

Raw mode, window size, the end of stdin, Ctrl-C: that is the client's trade, with everything that it
learned about other terminals. With the API alone it would be more code here than all of DockerEngine.run.
Only the last step is the client's: the container that it starts was made like any other.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress

from matrix.errors import EngineError

# Its default, Ctrl-P Ctrl-Q, would take Ctrl-P from the shell inside, where it is the command before.
_DETACH_OPTION = "--detach-keys=ctrl-^,ctrl-_,ctrl-^"
_CLIENT_GRACE = 10.0
"""Seconds that the client may take to end after its container."""


def is_terminal() -> bool:
    """Whether both ends are a terminal. With stdout in a file, the container's terminal would put carriage
    returns into it."""
    return os.isatty(0) and os.isatty(1)


def find_docker_client() -> str:
    """Docker's client program. EngineError when it is not on PATH."""
    found = shutil.which("docker")
    if found is None:
        raise EngineError(
            "a prompt needs Docker's client, the program docker, which is not on PATH",
            hint="install it: apt-get install docker-cli (before Debian 13: docker.io)",
        )
    return found


def start_attached(program: str, url: str, container: str, stop: Callable[[], object]) -> None:
    """Let the client start a container on this process's stdin, stdout and stderr; wait for its end.

    ``url`` as in DOCKER_HOST. When the waiting is interrupted, ``stop`` must end the container: then the
    client gives the terminal back as it found it, which a client that is killed does not.
    """
    command = (program, "start", "--attach", "--interactive", _DETACH_OPTION, container)
    with subprocess.Popen(command, env={**os.environ, "DOCKER_HOST": url}) as process:
        try:
            process.wait()
        except BaseException:
            stop()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_CLIENT_GRACE)
            process.kill()
            raise
