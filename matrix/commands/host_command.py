"""Run a program of the user's own on this machine, within a time: no shell, no terminal, no way to ask."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from matrix.errors import MachineError
from matrix.foreign_text import clean_text

_KEPT_BYTES = 4096
_KEPT_LINES = 6
_TIMED_OUT = 124


@dataclass(frozen=True)
class HostCommandResult:
    """How a program ended: its exit code, and the last lines that it printed, as one harmless one."""

    program: str
    exit: int
    last_words: str

    def describe(self) -> str:
        """``git ended with 128: fatal: …``."""
        said = f": {self.last_words}" if self.last_words else ""
        how = "took too long" if self.exit == _TIMED_OUT else f"ended with {self.exit}"
        return f"{self.program} {how}{said}"


def run_host_command(
    command: Sequence[str],
    seconds: float,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> HostCommandResult:
    """Run a program and wait for it; it and all that it started end at the time limit, or with Ctrl-C.

    ``environment`` is added to this process's. MachineError where it cannot be started.
    """
    # Files, not pipes: what stays behind in the background, as mailers do, must not keep this waiting.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(stdin)
        given.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=printed,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise MachineError(
                f"{clean_text(command[0])} could not be run: {error.strerror}", "look at it, and try again"
            ) from error
        code = _wait_or_kill(process, seconds)
        size = printed.seek(0, os.SEEK_END)
        printed.seek(max(0, size - _KEPT_BYTES))
        lines = printed.read().decode("utf-8", "replace").strip().splitlines()
    return HostCommandResult(Path(command[0]).name, code, clean_text(" ".join(lines[-_KEPT_LINES:])))


def _wait_or_kill(process: "subprocess.Popen[bytes]", seconds: float) -> int:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return _TIMED_OUT
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
