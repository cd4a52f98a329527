"""Reproducers as a command writes them."""

from matrix.commands.repro import ReproTarget, render_reproducer
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from reports.finding_text import describe_repro_target


def script_of(stored: StoredRun, cell: Cell, finding: Finding | None) -> str:
    """The reproducer of a cell and a finding of it, with the comment that it has in a command."""
    return render_reproducer(
        stored, ReproTarget(cell, finding), describe_repro_target(stored.run, cell, finding)
    )
