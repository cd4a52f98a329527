"""Several runs, oldest first: when each finding and each cell was good or bad, and how times moved (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from statistics import median

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import AxesKey, Cell
from matrix.record.states import COMPLETE_STATES, State


class FindingMark(StrEnum):
    """What a run shows of a finding."""

    ERROR = "error"
    WARNING = "warning"
    ABSENT = "absent"
    """Every cell of its plan in which any of the runs has it was built without it."""
    UNKNOWN = "not known"


@dataclass
class FindingHistory:
    """One problem in all runs. ``findings`` has what each run calls it, by the run's place."""

    title: str
    findings: dict[int, Finding] = field(default_factory=dict)
    cells: set[AxesKey] = field(default_factory=set)


@dataclass(frozen=True)
class CellHistory:
    """One cell in all runs: by the run's place its state, and the seconds that it took where it was built."""

    id: str
    states: Mapping[int, State]
    seconds: Mapping[int, float]

    @property
    def time_ratio(self) -> float:
        """Its last time beside the median of those before; 1 where there are none."""
        times = [self.seconds[place] for place in sorted(self.seconds)]
        before = median(times[:-1]) if len(times) > 1 else 0
        return times[-1] / before if before else 1.0


@dataclass(frozen=True)
class RunHistory:
    """Runs, oldest first, and what became of findings and cells in them."""

    runs: tuple[StoredRun, ...]

    @classmethod
    def of_runs(cls, runs: Iterable[StoredRun]) -> "RunHistory":
        return cls(tuple(sorted(runs, key=lambda stored: stored.run.started)))

    @cached_property
    def findings(self) -> list[FindingHistory]:
        """The problems, in the order in which they came up."""
        problems: list[FindingHistory] = []
        by_key: dict[str, FindingHistory] = {}
        for place, stored in enumerate(self.runs):
            for finding in stored.findings.findings:
                keys = sorted(finding.own_keys)
                problem = next((by_key[key] for key in keys if key in by_key), None)
                if problem is None:
                    problem = FindingHistory(finding.title)
                    problems.append(problem)
                by_key |= dict.fromkeys(keys, problem)
                self._add_finding(problem, place, finding)
        return problems

    def _add_finding(self, problem: FindingHistory, place: int, finding: Finding) -> None:
        known = self.runs[place].cells_by_id
        problem.cells |= {known[name].axes_key for name in finding.cells if name in known}
        # Where two of a run's findings are one in another run, the worse of them counts.
        if place not in problem.findings or finding.is_error:
            problem.findings[place] = finding

    def mark_finding(self, problem: FindingHistory, place: int) -> FindingMark:
        """What one run shows of a problem."""
        seen = problem.findings.get(place)
        if seen is not None:
            return FindingMark.ERROR if seen.is_error else FindingMark.WARNING
        planned = [cell.state for key, cell in self._cells_by_axes[place].items() if key in problem.cells]
        built = bool(planned) and all(state in COMPLETE_STATES for state in planned)
        return FindingMark.ABSENT if built else FindingMark.UNKNOWN

    @cached_property
    def _cells_by_axes(self) -> Sequence[Mapping[AxesKey, Cell]]:
        return [{cell.axes_key: cell for cell in stored.run.cells} for stored in self.runs]

    @cached_property
    def cells(self) -> list[CellHistory]:
        """All cells that any of the runs planned."""
        keys = dict.fromkeys(key for cells in self._cells_by_axes for key in cells)
        return [self._trace_cell(key) for key in keys]

    def _trace_cell(self, key: AxesKey) -> CellHistory:
        seen = {place: cells[key] for place, cells in enumerate(self._cells_by_axes) if key in cells}
        return CellHistory(
            id=next(iter(seen.values())).id,
            states={place: cell.state for place, cell in seen.items()},
            seconds={
                place: cell.own_seconds
                for place, cell in seen.items()
                if cell.state in COMPLETE_STATES and not cell.is_reused
            },
        )

    @property
    def changed_cells(self) -> list[CellHistory]:
        """The cells that were not in the same state in all runs that planned them, or fail in the last."""
        return [
            cell
            for cell in self.cells
            if len(set(cell.states.values())) > 1 or State.FAIL in cell.states.values()
        ]

    @property
    def moved_times(self) -> list[CellHistory]:
        """The cells that two runs built, what moved most first, slower before faster."""
        timed = [cell for cell in self.cells if len(cell.seconds) > 1]
        return sorted(timed, key=lambda cell: -max(cell.time_ratio, 1 / max(cell.time_ratio, 1e-9)))
