"""How a command ends: every error is a sentence on stderr and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from matrix.errors import KmatrixError
from matrix.exit_codes import ExitCode, choose_worse_code
from matrix.foreign_text import clean_text
from matrix.interrupts import handle_interrupts
from matrix.side_failures import take_side_failures

_MAX_LINE_LENGTH = 2000
_MAX_LINES = 200


def run_reporting_errors(work: Callable[[], int]) -> int:
    """Run ``work``, which returns an exit code; whatever it raises becomes one, with a sentence on stderr.

    No other function does that. What failed beside the work is told at the end.
    """
    handle_interrupts()
    take_side_failures()
    return _report_side_failures(_run_to_exit_code(work))


def run_telling_errors(work: Callable[[], int]) -> int:
    """The same for one of several pieces of work: what of it fails, or beside it, is told, and is its exit
    code. Ctrl-C and bugs are raised: they end all."""
    return _report_side_failures(_run_telling_errors(work))


def _run_telling_errors(work: Callable[[], int]) -> int:
    try:
        return work()
    except KmatrixError as error:
        return _report_error(error.exit_code, str(error), error.hint)
    except OSError as error:
        # Files, sockets and processes fail for reasons of the machine's.
        return _report_error(ExitCode.MACHINE_FAULT, _describe_os_error(error), _format_trace_hint())


def _run_to_exit_code(work: Callable[[], int]) -> int:
    try:
        return _run_telling_errors(work)
    except KeyboardInterrupt:
        return _report_error(ExitCode.INTERRUPTED, "interrupted")
    except MemoryError:
        return _report_error(ExitCode.MACHINE_FAULT, "there is no memory left", "use fewer lanes: --lanes 1")
    except Exception as error:  # noqa: BLE001 - whatever comes here is a bug, and is reported as one
        message = f"this is a bug: {type(error).__name__}: {error}"
        return _report_error(ExitCode.BUG, message, _format_trace_hint())


def _describe_os_error(error: OSError) -> str:
    reason = error.strerror or str(error)
    if isinstance(error.filename, str | bytes):
        return f"{os.fsdecode(error.filename)}: {reason}"
    return reason if _has_working_directory() else "the working directory is gone; change to one that exists"


def _has_working_directory() -> bool:
    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _format_trace_hint() -> str:
    """How to see where the error that is being handled came from; its trace where that was asked for."""
    if os.environ.get("KMATRIX_TRACEBACK"):
        return traceback.format_exc()
    return "KMATRIX_TRACEBACK=1 shows where"


def _report_side_failures(code: int) -> int:
    """Tell what failed beside the work; the exit code with that."""
    sys.stdout.flush()
    failures = take_side_failures()
    for error in failures:
        code = choose_worse_code(code, _report_error(error.exit_code, str(error), error.hint))
    return code


def _report_error(code: int, message: str, hint: str = "") -> int:
    sys.stderr.write(format_message(f"kmatrix: {message}", hint) + "\n")
    return code


def format_message(message: str, hint: str = "") -> str:
    """A sentence, which may hold foreign words, and what to do about it, as a terminal gets them.

    No line of it can control the terminal, and none but the first can pass for a message, as it is indented.
    """
    first, *more = _clean_lines(message)
    cut = [f"and {len(more) - _MAX_LINES} more lines"] if len(more) > _MAX_LINES else []
    return "\n  ".join([first, *more[:_MAX_LINES], *cut, *(_clean_lines(hint) if hint else [])])


def _clean_lines(text: str) -> list[str]:
    return [clean_text(_shorten_middle(line), _MAX_LINE_LENGTH) for line in text.rstrip("\n").split("\n")]


def _shorten_middle(line: str) -> str:
    """A line of bounded length. A name stands in the middle, and what is wrong with it at the end."""
    half = _MAX_LINE_LENGTH // 2 - 1
    return line if len(line) <= _MAX_LINE_LENGTH else f"{line[:half]}…{line[-half:]}"
