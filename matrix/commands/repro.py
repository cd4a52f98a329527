"""What a reproducer is about: the finding, and the cell to see it in."""

from dataclasses import dataclass
from pathlib import Path

from matrix.errors import RequestError
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun, filter_cells_by_toolchain
from matrix.fs import translate_disk_full, write_atomically
from matrix.plan import escape_path_part
from matrix.record.run_model import Cell
from matrix.record.states import State


@dataclass(frozen=True)
class ReproTarget:
    """The cell to build, and the finding to look for; without one, whether the build fails."""

    cell: Cell
    finding: Finding | None

    @property
    def script_name(self) -> str:
        """``repro-F1-powerpc-gcc-14.sh``."""
        name = self.finding.id if self.finding else "cell"
        return f"repro-{name}-{self.cell.arch}-{escape_path_part(self.cell.toolchain)}.sh"


def select_repro_target(stored: StoredRun, finding: str, cell: str, toolchain: str) -> ReproTarget:
    """What was asked for by name. Without a finding, the cell must be named.

    RequestError when a name is none of the run's, or the two do not belong together.
    """
    if not cell:
        asked = stored.select_finding(finding)
        affected = stored.list_affected_cells(asked)
        return ReproTarget(filter_cells_by_toolchain(asked, affected, toolchain)[0], asked)
    target = stored.find_cell(cell)
    if finding:
        asked = stored.select_finding(finding)
        if target.id not in asked.cells:
            raise RequestError(
                f"{asked.id} was not seen in {target.id}", f"it was in {asked.cells[0]}, for example"
            )
        return ReproTarget(target, asked)
    if target.state is not State.FAIL:
        raise RequestError(
            f"{target.id} did not fail ({target.state}), so there is nothing to reproduce",
            "name a finding of it: --finding",
        )
    errors = (one for one in stored.findings.findings if one.is_error and target.id in one.cells)
    return ReproTarget(target, next(errors, None))


def write_script(script: str, path: Path) -> Path:
    """Write a script that can be executed; returns its place."""
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, script)
    path.chmod(0o755)
    return path
