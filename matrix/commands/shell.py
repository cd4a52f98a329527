"""A prompt where a cell was built: its image, its tree, its configuration, its make command."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matrix.builder.cell_build import Stages
from matrix.builder.lanes import Lane
from matrix.commands.restore import restore_session
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.events import EventSink
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.resolve.make_runner import MakeRunner
from matrix.shell_words import format_command

MAKE_VARIABLE = "make_again"
"""The variable in the container that holds the make command: a shell's ``eval "$make_again"`` runs it."""

# bash, for its line editing, where the image has it: a user's own image may have no more than sh. Without
# startup files, since Debian's print a complaint about a user id that has no name, and a prompt with it.
_SHELL_COMMAND = ("sh", "-c", 'command -v bash >/dev/null && exec bash --norc "$@"; exec sh "$@"', "sh")
_PROMPT = "kmatrix$ "


@dataclass(frozen=True)
class CellShell:
    """A cell's container. ``make_command`` is the literal command that decided the cell's state."""

    cell: Cell
    make_command: str
    make_runner: MakeRunner

    def run_shell(self, command: str = "") -> int:
        """Run a prompt, or one shell command, on the caller's own terminal; returns the shell's exit code.

        Without a command, and where stdin is no terminal, the shell reads its commands there.
        """
        words = ("-c", command) if command else ()
        return self.make_runner.enter(
            (*_SHELL_COMMAND, *words), self.cell.id, {MAKE_VARIABLE: self.make_command, "PS1": _PROMPT}
        )


@contextmanager
def open_cell_shell(
    stored: StoredRun,
    name: str,
    emit: EventSink,
    environment: Environment = LOCAL_ENVIRONMENT,
) -> Iterator[CellShell]:
    """Open a shell in a cell's container. All that is done in it is gone after the ``with`` block.

    RequestError when the run has no such cell, the cell no configuration of its own, or its source cannot
    be had again.
    """
    cell = stored.find_cell(name)
    _check_cell_reachable(cell, stored.directory)
    config = stored.load_config(cell)
    with restore_session(stored.run, cell.toolchain, emit, environment) as session:
        stages, variables = session.find_stages(cell.arch), cell.make_variables
        lane = Lane(cell.arch, cell.toolchain, cell.base, ())
        steps = session.create_step_runner(f"shell-{secrets.token_hex(4)}")
        with session.open_lane(lane, stages, variables, copy=True) as lane_directory:
            lane_directory.put_config(config)
            # Compiled again, it prints again what it printed in the cell.
            lane_directory.remove_objects(ref.object for ref in cell.diagnostics if ref.object)
            runner = session.create_make_runner(
                steps, cell.toolchain, variables, lambda: lane_directory.build
            )
            yield CellShell(cell, _find_deciding_command(cell, runner, stages), runner)


def _check_cell_reachable(cell: Cell, directory: Path) -> None:
    if cell.state is not State.UNREACHABLE:
        return
    command = format_command("./inv", "shell", str(cell.resolves_to), "--run", str(directory))
    other = f"the tree makes this of it: {command}"
    raise RequestError(
        f"{cell.id} is unreachable, so nothing was built there: {cell.reason}",
        other if cell.resolves_to else "no cell of the run has the configuration that the tree makes of it",
    )


def _find_deciding_command(cell: Cell, runner: MakeRunner, stages: Stages) -> str:
    """The recorded command; for a cell that was never built, the one that would be its last."""
    stage = cell.deciding_stage
    if stage is not None and stage.name != "configure":
        return stage.command
    return stages.format_command(stages.list_stages()[-1], runner)
