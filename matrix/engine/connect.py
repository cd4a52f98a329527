"""The engines that kmatrix can use, by name, and the user that containers run as."""

import os
from collections.abc import Callable, Mapping

from matrix.engine.docker_engine import connect_docker, connect_podman
from matrix.engine.protocol import Engine
from matrix.errors import EngineError

ENGINES: Mapping[str, Callable[[], Engine]] = {"docker": connect_docker, "podman": connect_podman}
"""Name → the function that finds the engine on this machine and connects to it, or raises EngineError; in
the order in which they are tried. Another engine is a module of its own and a row here."""

_UNPRIVILEGED_UID = 59990


def connect_engine(engines: Mapping[str, Callable[[], Engine]] = ENGINES) -> Engine:
    """Connect to the first engine of the table that can be reached; else raise the first EngineError."""
    errors = []
    for connect in engines.values():
        try:
            return connect()
        except EngineError as error:
            errors.append(error)
    raise errors[0]


def choose_container_user(*, rootless: bool = False) -> str:
    """``uid:gid`` that containers run as, and that must own what they write.

    The caller's own, so that a build directory stays the caller's. When the caller is root: a fixed
    number that no account has, so that nothing in a container is root (what it may write is then handed over
    with chown). In a rootless engine the container's 0 is the caller, and any other number is a user
    who cannot write the caller's files. So it is 0 there.
    """
    if rootless:
        return "0:0"
    if os.geteuid() == 0:
        return f"{_UNPRIVILEGED_UID}:{_UNPRIVILEGED_UID}"
    return f"{os.geteuid()}:{os.getegid()}"
