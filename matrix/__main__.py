"""The program's start. An interrupt is one line and 130 from here on, also while all the rest is imported."""

import os
import signal
from contextlib import suppress
from types import FrameType

_INTERRUPTED = 130  # ExitCode.INTERRUPTED, without the import


def main() -> None:
    """Run the command line. SystemExit with its exit code, unless that is 0."""
    _end_at_interrupts()
    from matrix.interrupts import exit_without_threads, ignore_interrupts  # noqa: PLC0415 - as the next
    from tasks import program  # noqa: PLC0415 - takes half a second, in which somebody may press Ctrl-C

    try:
        program.run()
    except KeyboardInterrupt:
        # The second one, while the first was told.
        ignore_interrupts()
    except SystemExit as end:
        if end.code != _INTERRUPTED:
            raise
        ignore_interrupts()
    else:
        return
    finally:
        _end_at_interrupts()
    exit_without_threads(_INTERRUPTED)


def _end_at_interrupts() -> None:
    """End the process at once: nothing is at work before and after the program runs, and an exception may be
    lost in an import or in Python's own end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # One that is ignored, as under nohup, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end_interrupted)


def _end_interrupted(_number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, b"kmatrix: interrupted\n")
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
