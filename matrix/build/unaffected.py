"""Whether a cell is what it was before a change, told without building it. Pure.

Either nothing that changed is read by any build, or all of it is .c, .h and .S files that were there before
and still are, and none of them went into the cell. Everything else is make's to say, and asking make means
to build: what it then leaves uncompiled in a lane that other cells visited on the changed tree proves nothing
about this one, so a cell that was built is `built`, however little was compiled.
"""

import re
import shlex
from collections.abc import Sequence, Set
from dataclasses import dataclass

from matrix.record.model import Cell, Run
from matrix.record.outcome import COMPLETE_STATES, PROVEN_STATES, State
from matrix.source.manifest import ManifestDiff
from matrix.source.reach import Impact, classify_impact

_JOBS_OPTION = re.compile(r"-j\d+")
_MAX_PATHS = 3


@dataclass(frozen=True)
class CellInputs:
    """What a cell follows from beside its sources. ``commands`` are those of its stages, but for their -jN:
    targets, make variables, and what they are called by."""

    image: str
    config_sha256: str
    commands: tuple[str, ...]


def build_cell_inputs(image: str, config_sha256: str, commands: Sequence[str]) -> CellInputs:
    """The value for these commands as they are typed."""
    return CellInputs(image, config_sha256, tuple(map(_strip_jobs_option, commands)))


def read_recorded_inputs(run: Run, cell: Cell) -> CellInputs | None:
    """What a recorded cell was made with; None where the record does not say."""
    toolchain = run.toolchains.get(cell.toolchain)
    if toolchain is None or cell.config_sha256 is None:
        return None
    commands = [stage.command for stage in cell.stages if stage.name != "configure"]
    return build_cell_inputs(toolchain.image_id, cell.config_sha256, commands)


def _strip_jobs_option(command: str) -> str:
    return shlex.join(word for word in shlex.split(command) if not _JOBS_OPTION.fullmatch(word))


def explain_unaffected(before: State, change: ManifestDiff, sources: Set[str] | None) -> str | None:
    """Why a cell that was ``before`` is so still, in one line; None when make has to be asked.

    The cell must have been made on the tree before the change, and be given the same now. ``sources`` are
    the .c, .h and .S files that went into it, None where nobody knows.
    """
    left = [path for path in change.paths if classify_impact(path) is not Impact.NOTHING]
    if not left:
        # Whatever make's answer was, a failure too: it reads the very same files again.
        return _explain_nothing_read(change) if before in PROVEN_STATES | {State.EMPTY} else None
    if before not in COMPLETE_STATES or sources is None or not sources.isdisjoint(left):
        return None
    # A new file can shadow another that was included, and where one is gone another may be found.
    moved = {*change.added, *change.removed}
    if not all(_is_plain_source(path) and path not in moved for path in left):
        return None
    return f"what changed went into no object here: {_format_first_paths(left)}"


def _is_plain_source(path: str) -> bool:
    """A source that acts through the objects made of it alone; a linker script places all of them."""
    return classify_impact(path) is Impact.OBJECTS and not path.endswith(".lds.S")


def _explain_nothing_read(change: ManifestDiff) -> str:
    if not change.paths:
        return "nothing changed"
    return f"only documentation changed, which no build reads: {_format_first_paths(change.paths)}"


def _format_first_paths(paths: Sequence[str]) -> str:
    more = len(paths) - _MAX_PATHS
    return ", ".join(paths[:_MAX_PATHS]) + (f" and {more} more" if more > 0 else "")
