"""What each lane of a run built and when, what was known already, and how long it took, the longest first."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from matrix.record.run_model import Cell, Run
from matrix.record.states import QUIET_STATES, Evidence, State, find_worst_state
from reports import summary
from reports.formatting import format_count, format_duration

_MAX_BARS = 400
"""In all lanes together. Where there are more cells, neighbours are drawn as one."""


@dataclass(frozen=True)
class WorkBar:
    """A cell, or several one after another, on the line of its lane. ``begin`` and ``length`` are parts of
    the run's time, ``state`` is the worst."""

    begin: float
    length: float
    state: State
    title: str

    @property
    def height(self) -> int:
        """Of 12, so that its colour is not the only sign: what failed is high, what passed low."""
        return 12 if self.state is State.FAIL else 6 if self.state in QUIET_STATES else 9


@dataclass(frozen=True)
class LaneTime:
    """A lane: its cells by where their states come from, and the seconds of what ran for them."""

    arch: str
    toolchain: str
    seconds: float
    cells: dict[Evidence, int]
    bars: tuple[WorkBar, ...]
    when: str
    """``built from 2.0 s to 3 min 01 s``."""

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


@dataclass(frozen=True)
class LaneTimes:
    """All lanes. ``span``: the run's time, where it is known when what was built."""

    lanes: tuple[LaneTime, ...]
    span: str = ""
    at_work: str = ""
    """``2 lanes at work for 7.0 s, 1 lane for 2.0 s, none for 1.0 s``."""


def measure_lanes(run: Run) -> LaneTimes:
    """The lanes of a run in which anything was resolved or built; none of builds that others made."""
    lanes: dict[tuple[str, str], list[Cell]] = {}
    for cell in run.cells:
        if cell.stages and cell.evidence is not Evidence.IMPORTED:
            lanes.setdefault((cell.arch, cell.toolchain), []).append(cell)
    spans = [cell.at_work for cells in lanes.values() for cell in cells if cell.at_work]
    end = max([summary.measure_wall_time(run) or 0.0, *(span[1] for span in spans)]) if spans else 0.0
    measured = (
        LaneTime(
            *lane,
            sum(cell.own_seconds for cell in cells),
            _count_evidence(cells),
            tuple(_draw_bars(cells, end, _MAX_BARS // len(lanes) or 1)) if end else (),
            _describe_when([cell.at_work for cell in cells if cell.at_work]),
        )
        for lane, cells in lanes.items()
    )
    ordered = tuple(sorted(measured, key=lambda lane: -lane.seconds))
    return LaneTimes(ordered, format_duration(end), _describe_work(spans, end)) if end else LaneTimes(ordered)


def _count_evidence(cells: list[Cell]) -> dict[Evidence, int]:
    """Of a record that has no evidence, each cell that was reachable was built."""
    reachable = (cell for cell in cells if cell.state is not State.UNREACHABLE)
    seen = Counter(cell.evidence or Evidence.BUILT for cell in reachable)
    return {evidence: seen[evidence] for evidence in Evidence if seen[evidence]}


def _draw_bars(cells: Iterable[Cell], end: float, most: int) -> Iterator[WorkBar]:
    timed = sorted((cell.at_work, cell.id, cell) for cell in cells if cell.at_work)
    drawn = [cell for _, _, cell in timed]
    together = -(-len(drawn) // most)
    for first in range(0, len(drawn), together or 1):
        yield _draw_bar(drawn[first : first + together], end)


def _draw_bar(cells: Sequence[Cell], end: float) -> WorkBar:
    spans = [cell.at_work for cell in cells if cell.at_work]
    begin, last = spans[0][0], max(span[1] for span in spans)
    names = cells[0].id if len(cells) == 1 else f"{format_count(len(cells), 'cell')} from {cells[0].id} on"
    state = find_worst_state(cell.state for cell in cells)
    title = f"{names}: {state}, {format_duration(last - begin)} from {format_duration(begin)} on"
    return WorkBar(begin / end, (last - begin) / end, state, title)


def _describe_when(spans: Sequence[tuple[float, float]]) -> str:
    if not spans:
        return "built nothing"
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    return f"built from {format_duration(first)} to {format_duration(last)}"


def _describe_work(spans: Iterable[tuple[float, float]], end: float) -> str:
    """For how long how many lanes were at work at once, most first."""
    steps = sorted(step for begin, last in spans for step in ((begin, 1), (last, -1)))
    seconds, lanes, before = defaultdict[int, float](float), 0, 0.0
    for moment, change in [*steps, (end, 0)]:
        seconds[lanes] += max(0.0, moment - before)
        lanes, before = lanes + change, max(before, moment)
    parts = (
        f"{format_count(count, 'lane') if count else 'none'} for {format_duration(seconds[count])}"
        for count in sorted(seconds, reverse=True)
        if seconds[count] >= 0.05
    )
    return ", ".join(parts)
