"""What a reproducer is about: the finding, and the cell to see it in."""

from dataclasses import dataclass
from pathlib import Path

from matrix.commands.stored_findings import filter_cells_by_toolchain, select_finding
from matrix.errors import RequestError
from matrix.findings.evidence import index_cells, list_affected_cells
from matrix.findings.finding import Finding, Findings
from matrix.fs import translate_disk_full, write_atomically
from matrix.plan import escape_path_part
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.record.stored_run import find_cell


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


def select_repro_target(run: Run, findings: Findings, finding: str, cell: str, toolchain: str) -> ReproTarget:
    """What was asked for by name. Without a finding, the cell must be named.

    RequestError when a name is none of the run's, or the two do not belong together.
    """
    if not cell:
        found = select_finding(findings, finding)
        return ReproTarget(_find_first_cell(run, found, toolchain), found)
    here = find_cell(run, cell)
    if finding:
        found = select_finding(findings, finding)
        if here.id not in found.cells:
            raise RequestError(
                f"{found.id} was not seen in {here.id}", f"it was in {found.cells[0]}, for example"
            )
        return ReproTarget(here, found)
    if here.state is not State.FAIL:
        raise RequestError(
            f"{here.id} did not fail ({here.state}), so there is nothing to reproduce",
            "name a finding of it: --finding",
        )
    mine = next((one for one in findings.findings if one.is_error and here.id in one.cells), None)
    return ReproTarget(here, mine)


def _find_first_cell(run: Run, found: Finding, toolchain: str) -> Cell:
    return filter_cells_by_toolchain(found, list_affected_cells(index_cells(run), found), toolchain)[0]


def write_script(script: str, path: Path) -> Path:
    """Write a script that can be executed; returns its place."""
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, script)
    path.chmod(0o755)
    return path
