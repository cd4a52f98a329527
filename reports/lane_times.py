"""What each lane of a run built and what was known already, and how long it took, the longest first."""

from collections import Counter
from dataclasses import dataclass

from matrix.record.run_model import Cell, Run
from matrix.record.states import Evidence, State
from reports.formatting import format_duration


@dataclass(frozen=True)
class LaneTime:
    """A lane: its cells by where their states come from, and the seconds of what ran for them."""

    arch: str
    toolchain: str
    seconds: float
    cells: dict[Evidence, int]

    @property
    def built_count(self) -> int:
        return self.cells.get(Evidence.BUILT, 0)

    @property
    def known(self) -> str:
        """``24 remembered, 2 same-config``: what needed no make."""
        return ", ".join(
            f"{count} {name}" for name, count in self.cells.items() if name is not Evidence.BUILT
        )

    @property
    def time(self) -> str:
        return format_duration(self.seconds)


def measure_lanes(run: Run) -> list[LaneTime]:
    """The lanes of a run in which anything was resolved or built; none of builds that others made."""
    lanes: dict[tuple[str, str], list[Cell]] = {}
    for cell in run.cells:
        if cell.stages and cell.evidence is not Evidence.IMPORTED:
            lanes.setdefault((cell.arch, cell.toolchain), []).append(cell)
    measured = [
        LaneTime(*lane, sum(cell.own_seconds for cell in cells), _count_evidence(cells))
        for lane, cells in lanes.items()
    ]
    return sorted(measured, key=lambda lane: -lane.seconds)


def _count_evidence(cells: list[Cell]) -> dict[Evidence, int]:
    """Of a record that has no evidence, each cell that was reachable was built."""
    reachable = (cell for cell in cells if cell.state is not State.UNREACHABLE)
    seen = Counter(cell.evidence or Evidence.BUILT for cell in reachable)
    return {evidence: seen[evidence] for evidence in Evidence if seen[evidence]}
