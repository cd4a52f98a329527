"""Ctrl-C and the signals that end a process: the first two become KeyboardInterrupt in the main thread.

The first ends what is at work, the second what waits for that. Those that follow do not break into what the
two have begun, the removal of a container among it; but the process ends some seconds after the third,
whatever holds it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_THREADS_GRACE = 6.0
"""Seconds. An engine on a machine that is busy takes two or three to remove a container."""
_MAX_RAISED = 2
_EXIT_CODE = 130  # ExitCode.INTERRUPTED, without the import


class _Deferral:
    """Whether a signal has to wait, and how many were raised. Python runs all handlers in the main thread:
    nothing else changes it."""

    depth = 0
    whole_depth = 0
    has_signal = False
    raised = 0


def handle_interrupts() -> None:
    """Make each of the signals a KeyboardInterrupt. One that is ignored, as under nohup, stays ignored."""
    _Deferral.raised = 0
    _set_handlers(_raise_interrupt)


def ignore_interrupts() -> None:
    """Let no further signal break into the end of an interrupted process."""
    _set_handlers(signal.SIG_IGN)


def _set_handlers(handler: Callable[..., object] | signal.Handlers) -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _raise_interrupt(*_: object) -> None:
    if _Deferral.depth and (_Deferral.whole_depth or not _Deferral.has_signal):
        _Deferral.has_signal = True
        return
    _Deferral.raised += 1
    if _Deferral.raised <= _MAX_RAISED:
        raise KeyboardInterrupt
    if _Deferral.raised == _MAX_RAISED + 1:
        # By the clock, and not by a thread: this may have come while one was being started.
        signal.signal(signal.SIGALRM, _end_process)
        signal.setitimer(signal.ITIMER_REAL, _THREADS_GRACE)


def _end_process(*_: object) -> None:
    os._exit(_EXIT_CODE)


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
            _Deferral.raised += 1
            raise KeyboardInterrupt


def exit_without_threads(code: int) -> NoReturn:
    """End the process, some seconds after this was called at the latest: Python would wait for its threads.

    For the end of an interrupted command. Threads have time to remove a container. What they write is damaged
    no more than by a kill. A signal cannot end it otherwise: Python's own end would fall to one.
    """
    deadline = time.monotonic() + _THREADS_GRACE
    for thread in threading.enumerate():
        if not _has_ended(thread, deadline):
            break
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
