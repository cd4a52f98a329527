"""What a bench has measured so far → its table, whether all of it was measured or not."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from matrix.bench_times import (
    BenchTable,
    CaseRow,
    CellTime,
    Compilations,
    Estimate,
    Overhead,
    WayRow,
    compute_ratio,
    estimate_independent,
    estimate_walk,
)
from matrix.commands.bench_cases import BenchCase
from matrix.commands.bench_request import BenchRequest
from matrix.record.run_model import Run


@dataclass
class CaseTimes:
    """What was measured of a case. ``seconds``: kmatrix's, of each repetition; ``lanes``: the number of cells
    of each; ``walks``: the estimates of the ways that keep something; ``unlike``: their cells that did not
    end as kmatrix's own."""

    case: BenchCase
    seconds: list[float] = field(default_factory=list)
    lanes: dict[str, int] = field(default_factory=dict)
    walks: dict[str, list[Estimate]] = field(default_factory=dict)
    unlike: dict[str, int] = field(default_factory=dict)
    compilations: Compilations = field(default_factory=lambda: Compilations(0))
    overhead: Overhead = field(default_factory=lambda: Overhead(0.0, 0.0))

    def add_walk(self, way: str, built: Sequence[CellTime]) -> None:
        """Take what one walk of a way that keeps something took."""
        self.unlike[way] = self.unlike.get(way, 0) + sum(not time.agrees for time in built)
        estimate = estimate_walk(built, self.lanes, fresh=self.case.starts_empty)
        self.walks.setdefault(way, []).extend([estimate] if estimate else [])


@dataclass
class BenchResults:
    """All that a bench has measured. ``pooled``: pool and way → what ways that keep nothing took for single
    cells; ``runs``: kmatrix's own."""

    request: BenchRequest
    times: list[CaseTimes] = field(default_factory=list)
    pooled: dict[tuple[str, str], list[CellTime]] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def build_table(self, jobs: int | None) -> BenchTable:
        """The table, with a row for each case that kmatrix has been measured in: one at least.

        ``jobs``: of the profile, None for one for each CPU.
        """
        first = self.runs[0]
        toolchains = {name: record for run in self.runs for name, record in run.toolchains.items()}
        return BenchTable(
            host=first.host,
            source=first.source,
            compilers={
                name: next(iter(record.compilers.values())).version for name, record in toolchains.items()
            },
            jobs=jobs or first.host.cpus,
            repeat=self.request.repeat,
            sample=self.request.sample,
            rows=tuple(self.build_row(times) for times in self.times if times.seconds),
        )

    def build_row(self, times: CaseTimes) -> CaseRow:
        """A case as it stands now: what is still to be measured in its pool can change it."""
        case = times.case
        return CaseRow(
            name=case.name,
            title=case.title,
            target=case.target,
            cells=sum(times.lanes.values()),
            seconds=tuple(times.seconds),
            ways=tuple(self._build_way_row(times, name) for name in self.request.against),
            compilations=times.compilations,
            overhead=times.overhead,
        )

    def _build_way_row(self, times: CaseTimes, way: str) -> WayRow:
        pooled, case = self.pooled.get((times.case.pool, way)), times.case
        if pooled is None:
            estimates, unlike, sharing = times.walks.get(way, []), times.unlike.get(way, 0), [case]
        else:
            estimate = estimate_independent(pooled, times.lanes)
            estimates, unlike = [estimate] if estimate else [], sum(not time.agrees for time in pooled)
            sharing = [item.case for item in self.times if item.case.pool == case.pool]
        ratio = compute_ratio(times.seconds, estimates)
        return WayRow(way, tuple(estimates), ratio, unlike, tuple(item.name for item in sharing))


def describe_row(row: CaseRow) -> str:
    """A row in one line, for who follows the bench."""
    return "; ".join(
        [
            f"{row.name}: kmatrix {row.median_seconds:.1f} s, {row.cells} cells",
            *(_describe_way(way) for way in row.ways),
        ]
    )


def _describe_way(way: WayRow) -> str:
    if way.seconds is None or way.ratio is None:
        return f"{way.way} not known"
    return f"{way.way} {way.seconds:.1f} s by {way.built} builds, ratio {way.ratio.median:.3f}"
