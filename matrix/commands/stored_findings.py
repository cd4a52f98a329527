"""A run's findings, derived from its directory, and kept beside it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from matrix.errors import RequestError, format_nearest
from matrix.findings.derive import derive_findings
from matrix.findings.evidence import find_made_objects
from matrix.findings.finding import Finding, Findings
from matrix.fs import write_atomically
from matrix.record.run_model import Cell, Run
from matrix.record.stored_run import load_cell_objects

FINDINGS_FILE = "findings.json"


def derive_run_findings(run: Run, directory: Path) -> Findings:
    """The findings of a run, made anew from what it recorded."""
    return derive_findings(run, find_made_objects(run, partial(load_cell_objects, directory)))


def write_findings(findings: Findings, directory: Path) -> None:
    """Write ``findings.json`` into the run's directory. DiskFullError when there is no space for it."""
    write_atomically(directory / FINDINGS_FILE, findings.model_dump_json(by_alias=True, indent=1) + "\n")


def find_finding(findings: Findings, name: str) -> Finding:
    """The finding of this id (``F1``, ``f1``) or with this key. RequestError when there is none."""
    for finding in findings.findings:
        if name.upper() == finding.id or name in finding.keys:
            return finding
    known = [finding.id for finding in findings.findings]
    told = f"{known[0]} to {known[-1]}" if len(known) > 1 else "".join(known) or "none"
    raise RequestError(
        f"the run {findings.run} has no finding {name!r} (it has {told})",
        f"./inv explain --run {findings.run} shows them",
    )


def select_finding(findings: Findings, name: str) -> Finding:
    """The finding of this name; without a name, the only one that there is."""
    if name or not findings.findings:
        return find_finding(findings, name or "F1")
    if len(findings.findings) > 1:
        raise RequestError(
            f"the run {findings.run} has {len(findings.findings)} findings", "name one: --finding F1"
        )
    return findings.findings[0]


def filter_cells_by_toolchain(finding: Finding, cells: Sequence[Cell], toolchain: str) -> list[Cell]:
    """Those of a finding's cells that have this toolchain; all without a name. RequestError when none has."""
    fitting = [cell for cell in cells if toolchain in ("", cell.toolchain)]
    if not fitting:
        known = tuple(dict.fromkeys(cell.toolchain for cell in cells))
        raise RequestError(
            f"{finding.id} was not seen with {toolchain}{format_nearest(toolchain, known)}",
            f"it was with {', '.join(known)}",
        )
    return fitting
