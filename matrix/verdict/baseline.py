"""A run against a baseline and known issues: it fails only for what is new or lost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from matrix.catalog.load import validate_toml_data
from matrix.catalog.toml_file import read_toml
from matrix.catalog.types import TomlModel, UniqueNames
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode, choose_exit_code
from matrix.findings.finding import Findings
from matrix.findings.stored_run import StoredRun
from matrix.record.states import (
    COMPLETE_STATES,
    PROVEN_STATES,
    UNTRIED_STATES,
    State,
    compute_run_exit_code,
)
from matrix.verdict.comparison import compare_runs
from matrix.verdict.finding_outcome import FindingOutcome, classify_outcome
from matrix.verdict.gates import is_added_cell_error, is_broken_cell
from matrix.verdict.verdict_model import CellChange, FindingChange, Transition, Verdict

_GONE_OUTCOMES = frozenset({FindingOutcome.FIXED, FindingOutcome.LOST, FindingOutcome.GONE})


def _require_text(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; whoever reviews this wants to know")
    return text


def _require_link(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError(f"expected a link (https://…), got {text!r}")
    return text


class KnownIssue(TomlModel):
    """One row: findings with any of these keys do not fail a run, up to and with the day it expires."""

    keys: UniqueNames
    reason: Annotated[str, AfterValidator(_require_text)]
    link: Annotated[str, AfterValidator(_require_link)]
    expires: date


@dataclass(frozen=True)
class KnownIssues:
    """The rows of a file of known issues, matched with the findings of a run.

    ``excused_by``: finding's id → the row that excuses it. ``expired``: row → the ids that it does not excuse
    any more. ``unseen``: rows that no finding matches, which can go if the run looked there; it did not in
    ``untried_count`` of its cells.
    """

    excused_by: Mapping[str, str]
    expired: Mapping[str, tuple[str, ...]]
    unseen: tuple[str, ...]
    untried_count: int = 0


NO_KNOWN_ISSUES = KnownIssues({}, {}, ())


def load_known_issues(path: Path) -> dict[str, KnownIssue]:
    """The rows of a file by name. RequestError names file, row, key, and what was expected."""
    rows = {
        name: validate_toml_data(KnownIssue, row, {}, default=f"{path}: {name}")
        for name, row in read_toml(path).items()
    }
    owners: dict[str, str] = {}
    for name, row in rows.items():
        for key in row.keys:
            if owners.setdefault(key, name) != name:
                raise RequestError(f"{path}: {name}: keys: {key!r} is {owners[key]}'s already")
    return rows


def match_known_issues(findings: Findings, known: Mapping[str, KnownIssue], today: date) -> KnownIssues:
    """Which findings are excused on this day, by which rows; which rows are out of date."""
    rows = {name: tuple(_find_matching_ids(findings, row.keys)) for name, row in known.items()}
    seen = {name: ids for name, ids in rows.items() if ids}
    valid = {name: ids for name, ids in seen.items() if known[name].expires >= today}
    return KnownIssues(
        # Of two rows that excuse one finding, the first of the file is named.
        excused_by={finding: name for name, ids in reversed(valid.items()) for finding in ids},
        expired={name: ids for name, ids in seen.items() if name not in valid},
        unseen=tuple(name for name in rows if name not in seen),
    )


def _find_matching_ids(findings: Findings, keys: Iterable[str]) -> Iterable[str]:
    wanted = frozenset(keys)
    # A known consequence excuses no new error before it.
    return (finding.id for finding in findings.findings if not wanted.isdisjoint(finding.own_keys))


@dataclass(frozen=True)
class Regression:
    """What is new or lost since a baseline, the run ``before``. ``exit_code`` is the run's.

    ``broken_cells`` are also those that only this run has, and that fail without a known error.
    ``excused_findings`` would be new, but are known. ``undecided_cells`` are those of both plans of which
    nothing is claimed. ``removed_count`` and ``added_count``: the cells that only the baseline, and only this
    run, has in its plan.
    """

    before: StoredRun
    verdict: Verdict
    exit_code: ExitCode
    new_findings: tuple[FindingChange, ...]
    broken_cells: tuple[CellChange, ...]
    lost_cells: tuple[CellChange, ...]
    excused_findings: tuple[FindingChange, ...]
    undecided_cells: tuple[CellChange, ...]
    removed_count: int
    added_count: int

    @property
    def news(self) -> dict[str, tuple[str, ...]]:
        """What is new, fixed or lost: a finding's key, or the id of a cell in which no such finding is → the
        cells in which it is.

        What is known is no news, nor what is not claimed.
        """
        gone = (row for row in self.verdict.findings if classify_outcome(row) in _GONE_OUTCOMES)
        fixed = (cell for cell in self.verdict.cells if cell.transition is Transition.FIXED)
        findings = {
            **{row.keys[0]: row.before.cells for row in gone if row.before},
            **{row.keys[0]: row.new_in or row.after.cells for row in self.new_findings if row.after},
        }
        cells = {cell.id: (cell.id,) for cell in (*self.broken_cells, *self.lost_cells, *fixed)}
        explained = frozenset(chain.from_iterable(findings.values()))
        return findings | {name: where for name, where in cells.items() if name not in explained}


def compare_with_baseline(
    baseline: StoredRun,
    current: StoredRun,
    known_issues: KnownIssues = NO_KNOWN_ISSUES,
    *,
    allow_lost: bool = False,
    werror: bool = False,
) -> Regression:
    """What is new or lost in a run since its baseline, and its exit code.

    Cells are compared where both plans have them. An error in a cell that the baseline does not have is new,
    unless the baseline has the finding elsewhere, and so is a failure without a known error there. The run
    has failed when something is new or lost, and counts as untried where nothing is claimed; ``werror``: new
    warnings count. RequestError when the two have no cell in common.
    """
    selection = _RegressionFilter(compare_runs(baseline, current), current, known_issues)
    failing = [
        *selection.new_errors,
        *selection.broken_cells,
        *(() if allow_lost else selection.lost_cells),
    ]
    undecided = selection.find_undecided_cells(werror=werror)
    return Regression(
        before=baseline,
        verdict=selection.verdict,
        exit_code=choose_exit_code(
            interrupted=current.run.interrupted,
            failed=bool(failing),
            untried=bool(undecided),
            unproven=not any(cell.state in PROVEN_STATES for cell in current.run.cells),
            warned=werror and bool(selection.new_findings),
        ),
        new_findings=selection.new_findings,
        broken_cells=selection.broken_cells,
        lost_cells=selection.lost_cells,
        excused_findings=tuple(row for row in selection.appeared_findings if selection.is_excused(row)),
        undecided_cells=undecided,
        removed_count=sum(cell.after is None for cell in selection.verdict.cells),
        added_count=sum(cell.before is None for cell in selection.verdict.cells),
    )


@dataclass(frozen=True)
class _RegressionFilter:
    """Selects what fails a run: not what was there before, and not what is known."""

    verdict: Verdict
    current: StoredRun
    known_issues: KnownIssues

    @cached_property
    def appeared_findings(self) -> tuple[FindingChange, ...]:
        """Findings in cells where the baseline does not have them, or that only this run has."""
        return tuple(row for row in self.verdict.findings if row.new_in or is_added_cell_error(row))

    def is_excused(self, row: FindingChange) -> bool:
        return row.after is not None and all(name in self.known_issues.excused_by for name in row.after.ids)

    @cached_property
    def new_findings(self) -> tuple[FindingChange, ...]:
        return tuple(row for row in self.appeared_findings if not self.is_excused(row))

    @property
    def new_errors(self) -> tuple[FindingChange, ...]:
        return tuple(row for row in self.new_findings if row.new_error or is_added_cell_error(row))

    @cached_property
    def broken_cells(self) -> tuple[CellChange, ...]:
        cells = (cell for cell in self.verdict.cells if is_broken_cell(cell))
        return tuple(cell for cell in cells if not self._has_only_known_errors(cell))

    @cached_property
    def lost_cells(self) -> tuple[CellChange, ...]:
        return tuple(cell for cell in self.verdict.cells if cell.transition is Transition.LOST)

    def find_undecided_cells(self, *, werror: bool) -> tuple[CellChange, ...]:
        """Cells that this run could not try; and those of which it is not known what was there before."""
        hidden = {
            name
            for row in self.verdict.findings
            if row.before is None and not self.is_excused(row) and (werror or _is_error_after(row))
            for name in row.unknown_in
        }
        harmless = COMPLETE_STATES - {State.WARN} if werror else COMPLETE_STATES
        return tuple(
            cell
            for cell in self.verdict.cells
            if cell.after in UNTRIED_STATES
            or cell.id in hidden
            or (_is_undecided(cell) and cell.after not in harmless and not self._has_only_known_errors(cell))
        )

    def _has_only_known_errors(self, cell: CellChange) -> bool:
        """Whether all errors of a failing cell are known."""
        return (
            cell.after is State.FAIL
            and excuse_state(State.FAIL, cell.id, self.current, self.known_issues) is not State.FAIL
        )


def _is_undecided(cell: CellChange) -> bool:
    return cell.is_in_both_plans and cell.transition is Transition.UNKNOWN


def _is_error_after(row: FindingChange) -> bool:
    return row.after is not None and row.after.is_error


def compute_excused_exit_code(
    current: StoredRun, known_issues: KnownIssues, *, werror: bool = False
) -> ExitCode:
    """The exit code of a run without a baseline, whose known findings do not fail it."""
    run = current.run
    states = (excuse_state(cell.state, cell.id, current, known_issues) for cell in run.cells)
    return compute_run_exit_code(
        states, interrupted=run.interrupted, werror=werror, is_part=run.shard is not None
    )


def excuse_state(state: State, cell: str, side: StoredRun, known_issues: KnownIssues) -> State:
    """A cell's state without its known findings. A failure that no finding explains stays one."""
    names = side.findings_by_cell.get(cell, {})
    if state not in {State.FAIL, State.WARN} or not names:
        return state
    left = [name for name in names if name not in known_issues.excused_by]
    failing = any(side.is_error(cell, name) for name in left)
    if state is State.FAIL and (failing or not any(side.is_error(cell, name) for name in names)):
        return State.FAIL
    return State.WARN if left else State.PASS
