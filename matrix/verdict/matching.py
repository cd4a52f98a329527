"""The two sides of a verdict: which of their cells and which of their findings belong together."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.plan import LANE_AXES
from matrix.record.run_model import Cell, Run
from matrix.record.states import ANSWERED_STATES


class CellPair(NamedTuple):
    """A request's cell on both sides; None where that side's plan has no such cell."""

    before: Cell | None
    after: Cell | None

    @property
    def cell(self) -> Cell:
        """The after side's, where it has one."""
        cell = self.after or self.before
        assert cell is not None, "one of the plans has it"
        return cell


def pair_cells(before: Run, after: Run) -> tuple[CellPair, ...]:
    """The cells of both plans: those of the before-side in its order, then those that only the other has.

    RequestError when no cell is in both.
    """
    after_cells = {cell.axes_key: cell for cell in after.cells}
    before_keys = {cell.axes_key for cell in before.cells}
    pairs = [CellPair(cell, after_cells.get(cell.axes_key)) for cell in before.cells]
    if not any(pair.after for pair in pairs):
        raise _build_disjoint_error(before, after)
    return (*pairs, *(CellPair(None, cell) for cell in after.cells if cell.axes_key not in before_keys))


def _build_disjoint_error(before: Run, after: Run) -> RequestError:
    hint = "compare runs whose profiles share axes and values"
    if before.is_imported or after.is_imported:
        hint += "; ./inv import --symbols names the symbols that are axes"
    return RequestError(
        f"the runs {before.id} and {after.id} have no cell in common{_explain_disjoint_runs(before, after)}",
        hint,
    )


def _explain_disjoint_runs(before: Run, after: Run) -> str:
    """``: toolchain is gcc-13 there, gcc-14 here``: the first thing that keeps all cells apart."""
    symbols = [{name for cell in run.cells for name in cell.request} for run in (before, after)]
    if symbols[0] != symbols[1]:
        return f": the symbols are {_format_names(symbols[0])} there, {_format_names(symbols[1])} here"
    for axis in (*LANE_AXES, *sorted(symbols[0])):
        before_values, after_values = (_list_axis_values(run, axis) for run in (before, after))
        if not before_values & after_values:
            return f": {axis} is {_format_names(before_values)} there, {_format_names(after_values)} here"
    return ""


def _list_axis_values(run: Run, axis: str) -> set[str]:
    return {cell.axes.get(axis, "") for cell in run.cells}


def _format_names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def has_run_stages(cell: Cell, stages: Iterable[str]) -> bool:
    """Whether all of these stages were gone through in this cell, well or not."""
    return set(stages) <= {stage.name for stage in cell.stages if stage.state in ANSWERED_STATES}


MatchedIds = dict[str, tuple[str, ...]]
"""Finding's id on one side → the ids of those on the other that have a key in common with it.

What follows from a finding leads to it from before to after: that is left of it where the error that it
followed from is gone. The other way only a finding's own keys do: the error may be new, and what follows not.
"""


@dataclass(frozen=True)
class FindingMatches:
    """Two sides, and which of their findings are the same problems."""

    before: StoredRun
    after: StoredRun

    @cached_property
    def after_ids(self) -> MatchedIds:
        return dict(_match_findings(self.before, self.after, lambda finding: finding.keys))

    @cached_property
    def before_ids(self) -> MatchedIds:
        return dict(_match_findings(self.after, self.before, lambda finding: finding.own_keys))

    def has_same_findings(self, before: str, after: str) -> bool:
        """Whether two cells, by their ids, show the same problems."""
        before_findings = self.before.findings_by_cell.get(before, {}).keys()
        after_findings = self.after.findings_by_cell.get(after, {}).keys()
        return _all_have_match(before_findings, after_findings, self.after_ids) and _all_have_match(
            after_findings, before_findings, self.before_ids
        )


def _all_have_match(ids: Set[str], others: Set[str], matches: MatchedIds) -> bool:
    return all(any(other in others for other in matches[name]) for name in ids)


def _match_findings(
    side: StoredRun, other: StoredRun, list_keys: Callable[[Finding], Iterable[str]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    owners: dict[str, list[str]] = {}
    order = {name: number for number, name in enumerate(other.findings_by_id)}
    for finding in other.findings.findings:
        for key in finding.keys:
            owners.setdefault(key, []).append(finding.id)
    for finding in side.findings.findings:
        matches = dict.fromkeys(name for key in list_keys(finding) for name in owners.get(key, ()))
        yield finding.id, tuple(sorted(matches, key=order.__getitem__))
