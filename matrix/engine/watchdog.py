"""A watch over one running container: it is killed when its time is over or the user stops it."""

import threading
import time
from collections.abc import Callable
from typing import Literal, Self

from matrix.errors import EngineError

StopReason = Literal["timed out", "cancelled"]

_POLL_INTERVAL = 0.1
KILL_GRACE = 30.0
"""Seconds that a killed container may take to be gone before the engine itself counts as broken."""


class ContainerWatchdog:
    """While the ``with`` block runs, a thread watches the clock and the event.

    ``kill`` returns whether it killed something (False: it was over already) and raises EngineError when the
    engine fails. ``unblock`` must end whatever the block is waiting for: it is called when killing fails
    or has no effect within ``grace`` seconds, and ``failure`` is then the reason.
    """

    def __init__(
        self,
        cancel: threading.Event,
        seconds: float | None,
        kill: Callable[[], bool],
        unblock: Callable[[], None],
        grace: float = KILL_GRACE,
    ) -> None:
        self.stop_reason: StopReason | None = None
        self.failure: EngineError | None = None
        self._cancel = cancel
        self._seconds = seconds
        self._kill = kill
        self._unblock = unblock
        self._grace = grace
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._watch_container, name="container-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()

    def _watch_container(self) -> None:
        # One wait cannot cover two events and a time limit, so all three are polled.
        while not self._finished.wait(_POLL_INTERVAL):
            if reason := self._find_stop_reason():
                self._stop_container(reason)
                return

    def _find_stop_reason(self) -> StopReason | None:
        if self._cancel.is_set():
            return "cancelled"
        if self._seconds is not None and time.monotonic() - self._started >= self._seconds:
            return "timed out"
        return None

    def _stop_container(self, reason: StopReason) -> None:
        try:
            killed = self._kill()
        except EngineError as error:
            self._fail_with(error)
            return
        # It may have ended by itself just before: then its own exit code counts.
        if killed:
            self.stop_reason = reason
        if not self._finished.wait(self._grace):
            end = "was killed" if killed else "has ended"
            self._fail_with(
                EngineError(
                    f"the container {end}, and {self._grace:g} s later the engine still holds on to it",
                    hint="restart the engine; ./inv doctor says how",
                )
            )

    def _fail_with(self, error: EngineError) -> None:
        self.failure = error
        self._unblock()
