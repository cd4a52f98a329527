"""A message that sums up warnings of the same step, and makes an error of them, is no problem of its own.

WARNING: modpost: vmlinux: section mismatch in reference: f+0x10 (section: .text) -> g (section: .init.text)
ERROR: modpost: Section mismatches detected.          what is refused are the mismatches
"""

from collections.abc import Sequence

from matrix.findings.diagnostic_group import DiagnosticGroup
from matrix.findings.problem_forms import MISMATCH
from matrix.record.run_model import Run


def find_refusing_cells(run: Run) -> frozenset[int]:
    """Numbers of the cells in which such a message is an error."""
    known = run.diagnostics
    summaries = {key for key, each in known.items() if each.summary and each.severity == "error"}
    return frozenset(
        number
        for number, cell in enumerate(run.cells)
        if summaries and any(ref.key in summaries for ref in cell.proven_diagnostics)
    )


def is_summed_up(group: DiagnosticGroup) -> bool:
    """Whether a group is of the warnings that are summed up: only section mismatches are."""
    return any(kind.construct == MISMATCH for kind in group.kinds)


def drop_summaries(groups: Sequence[DiagnosticGroup], run: Run) -> list[DiagnosticGroup]:
    """The groups without those that only sum up.

    One that refuses stays where a cell shows nothing that it sums up.
    """
    explained = frozenset().union(*(group.cells for group in groups if is_summed_up(group)))
    return [group for group in groups if not _only_sums_up(group, run, explained)]


def _only_sums_up(group: DiagnosticGroup, run: Run, explained: frozenset[int]) -> bool:
    diagnostics = [run.diagnostics[key] for key, _ in group.toolchains_by_diagnostic]
    refuses = any(each.severity == "error" for each in diagnostics)
    return all(each.summary for each in diagnostics) and (not refuses or group.cells <= explained)
