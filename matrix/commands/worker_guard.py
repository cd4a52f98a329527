"""A process beside a worker that removes its containers when the worker is gone, by whatever end."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from matrix.engine.connect import connect_engine
from matrix.engine.protocol import Engine

_LATE_SECONDS = 2.0
"""The engine may still be at work on what the worker asked for last: it is looked at twice."""


@contextmanager
def guard_containers(token: str) -> Iterator[None]:
    """While the ``with`` block runs, a process waits for the end of this one: then it removes the containers
    whose owner ends with the token."""
    command = [sys.executable, "-m", "matrix.commands.worker_guard", token]
    # In a session of its own: Ctrl-C in a terminal goes to all that are in the worker's.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:
        try:
            yield
        finally:
            guard.communicate()


def remove_containers(engine: Engine, token: str) -> None:
    """Remove the containers whose owner ends with the token."""
    for name, owner in engine.list_containers().items():
        if owner.endswith(token):
            engine.remove_container(name)


def wait_for_end() -> None:
    """Wait until the process is gone that holds the other end of stdin."""
    sys.stdin.buffer.read()


def wait_and_remove(token: str) -> None:
    """Remove the containers whose owner ends with the token, when the worker is gone."""
    wait_for_end()
    engine = connect_engine()
    remove_containers(engine, token)
    time.sleep(_LATE_SECONDS)
    remove_containers(engine, token)


if __name__ == "__main__":
    wait_and_remove(sys.argv[1])
