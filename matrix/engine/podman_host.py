"""Podman on this machine: where its API may be, and which of these sockets answers."""

import os

from matrix.engine.docker_host import check_reachable
from matrix.errors import EngineError

SYSTEM_SOCKET = "/run/podman/podman.sock"
_URL_VARIABLE = "CONTAINER_HOST"


def list_podman_urls() -> list[str]:
    """Where Podman's API should be: CONTAINER_HOST, else the user's own socket and then the machine's."""
    if url := os.environ.get(_URL_VARIABLE, "").strip():
        return [url]
    own = f"{os.environ.get('XDG_RUNTIME_DIR') or f'/run/user/{os.geteuid()}'}/podman/podman.sock"
    paths = [SYSTEM_SOCKET] if os.geteuid() == 0 else [own, SYSTEM_SOCKET]
    return [f"unix://{path}" for path in paths]


def find_podman() -> str:
    """Podman's URL, after a test connection. EngineError when nothing listens, or access is denied.

    DOCKER_HOST names an engine, and no other is then looked for.
    """
    if named := os.environ.get("DOCKER_HOST", "").strip():
        raise EngineError(f"DOCKER_HOST names another engine: {named}", hint="unset DOCKER_HOST")
    errors = []
    for url in list_podman_urls():
        try:
            check_reachable(url, _URL_VARIABLE)
        except EngineError as error:
            errors.append(error)
        else:
            return url
    raise errors[0]
