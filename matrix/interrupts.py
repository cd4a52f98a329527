"""Ctrl-C and the signals that end a process: one of them becomes KeyboardInterrupt in the main thread."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_THREADS_GRACE = 3.0


class _Deferral:
    """Whether a signal has to wait. Python runs all handlers in the main thread: nothing else changes it."""

    depth = 0
    whole_depth = 0
    has_signal = False


def handle_interrupts() -> None:
    """Make each of the signals a KeyboardInterrupt. One that is ignored, as under nohup, stays ignored."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_interrupt)


def _raise_interrupt(*_: object) -> None:
    if _Deferral.depth and (_Deferral.whole_depth or not _Deferral.has_signal):
        _Deferral.has_signal = True
        return
    raise KeyboardInterrupt


def _has_ended(thread: threading.Thread, deadline: float) -> bool:
    if thread is threading.main_thread() or thread.daemon:
        return True
    thread.join(max(0.0, deadline - time.monotonic()))
    return not thread.is_alive()


@contextmanager
def defer_interrupts(*, every: bool = False) -> Iterator[None]:
    """Let a signal wait until the ``with`` block has ended; a second one does not wait, unless ``every``.

    For what must not be left half done. The removal of a container may hang, and people press Ctrl-C twice.
    ``every`` is for what takes no longer than a file to write. In other threads than the main one there is
    nothing to defer.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Deferral.depth += 1
    _Deferral.whole_depth += every
    try:
        yield
    finally:
        _Deferral.whole_depth -= every
        _Deferral.depth -= 1
        if not _Deferral.depth and _Deferral.has_signal:
            _Deferral.has_signal = False
            raise KeyboardInterrupt


def exit_without_threads(code: int) -> None:
    """End the process where threads of it are still at work after some seconds: Python would wait for them.

    For the end of an interrupted command. They have time to remove a container. What they write is damaged
    no more than by a kill.
    """
    deadline = time.monotonic() + _THREADS_GRACE
    if not all(_has_ended(thread, deadline) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)
