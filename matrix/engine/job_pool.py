"""One pool of compile jobs for all makes of a run: GNU make's jobserver, on a FIFO that containers share.

A make has one job of its own, and another for each byte (a token) that it takes out of the FIFO; it puts the
byte back when that job has ended. So a make that compiles uses what others leave idle while they configure,
link or start. A container is given the FIFO and nothing else: it reaches no other one by it, and the worst
that it can do is to keep all tokens, which leaves each other make its own job, and for some minutes only.
"""

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from matrix.engine.images import read_first_lines
from matrix.engine.protocol import Engine, Mount
from matrix.foreign_trees import remove_tree

JOB_POOL_MOUNT = "/jobs"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MAX_PIPE_AGE = 600.0
"""Seconds after which makes that start are given a new FIFO: tokens may have been eaten or made meanwhile."""


@dataclass
class _TokenPipe:
    """A FIFO. ``makes`` use it; ``owed``: so many of them began when there was no token left for them."""

    path: Path
    descriptor: int
    created: float
    makes: int = 0
    owed: int = 0

    def put(self, tokens: int) -> None:
        # A build can write to it too: what it has filled up needs no more.
        with suppress(BlockingIOError):
            os.write(self.descriptor, b"+" * tokens)

    def take(self) -> bool:
        try:
            return bool(os.read(self.descriptor, 1))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class JobPoolShare:
    """What a container needs for its make to take part."""

    mount: Mount
    env: Mapping[str, str]


class JobPool:
    """``jobs`` compile jobs in all, for containers of ``user`` (``uid:gid``).

    ``parent`` is a directory that the engine can mount from. Its methods may be called from any thread.
    """

    def __init__(self, jobs: int, user: str, parent: Path) -> None:
        self.jobs = jobs
        self._user = user
        parent.mkdir(parents=True, exist_ok=True)
        # What a killed process leaves counts as an idle lane, which a sweep removes.
        self._folder = Path(tempfile.mkdtemp(prefix="jobs-", dir=parent))
        self._numbers = count()
        self._lock = threading.Lock()
        self._pipe: _TokenPipe | None = None
        self._makes = 0

    @contextmanager
    def join(self) -> Iterator[JobPoolShare]:
        """Count one more make while the ``with`` block runs: its own job is one of the pool's."""
        with self._lock:
            pipe = self._find_pipe()
            pipe.makes += 1
            self._makes += 1
            if not pipe.take():
                pipe.owed += 1
        try:
            yield JobPoolShare(
                # A FIFO can be written to on a read-only mount; its mode and owner cannot be changed there.
                Mount(pipe.path, JOB_POOL_MOUNT),
                {"MAKEFLAGS": f"-j{self.jobs} --jobserver-auth=fifo:{JOB_POOL_MOUNT}"},
            )
        finally:
            with self._lock:
                self._leave(pipe)

    def replace_tokens(self) -> None:
        """Give makes that start from now on new tokens: one that was killed took its own along."""
        with self._lock:
            self._pipe = None

    def close(self) -> None:
        """Remove the pool's folder."""
        remove_tree(self._folder)

    def _find_pipe(self) -> _TokenPipe:
        now = time.monotonic()
        if self._pipe is None or now - self._pipe.created > _MAX_PIPE_AGE:
            self._pipe = self._create_pipe(now)
            # The makes on an older one go on with what they have there.
            self._pipe.put(max(0, self.jobs - self._makes))
        return self._pipe

    def _create_pipe(self, now: float) -> _TokenPipe:
        path = self._folder / str(next(self._numbers))
        os.mkfifo(path, 0o600)
        if os.geteuid() == 0:
            os.chown(path, *(int(part) for part in self._user.split(":")))
        # Held open both ways: the last close of a FIFO empties it, and a make waits for another end to open.
        return _TokenPipe(path, os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC), now)

    def _leave(self, pipe: _TokenPipe) -> None:
        pipe.makes -= 1
        self._makes -= 1
        if pipe.owed:
            pipe.owed -= 1
        else:
            pipe.put(1)
        if not pipe.makes:
            # With no make at work every token can be counted anew.
            pipe.close()
            if self._pipe is pipe:
                self._pipe = None


def shares_kernel(engine: Engine, image: str, user: str) -> bool:
    """Whether containers run on the kernel of this machine: in a virtual machine a FIFO has no other end."""
    try:
        own = _BOOT_ID.read_text().strip()
    except OSError:
        return False
    return read_first_lines(engine, image, [f"cat {_BOOT_ID}"], user) == [own]
