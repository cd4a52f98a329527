"""What a bench measured, and the ratios in it, with their spread. Pure."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from matrix.record.run_model import Host, SourceRecord


@dataclass(frozen=True)
class CellTime:
    """One cell, built by one way: wall time in ``seconds``.

    ``agrees``: it ended as kmatrix's own did, so that both did the same work; others are not counted.
    """

    cell: str
    lane: str
    seconds: float
    agrees: bool = True


@dataclass(frozen=True)
class Estimate:
    """Seconds that a way takes for all ``cells``, from ``built`` builds that agree.

    ``error``: its standard error, 0 where every cell was built, and None where one cell alone says nothing
    of it. ``sampled``: some cells were not built, or do not count.
    """

    seconds: float
    error: float | None
    built: int
    cells: int
    sampled: bool = False


@dataclass(frozen=True)
class Ratio:
    """kmatrix's time over another way's. ``low`` and ``high`` are None where the spread is not known."""

    median: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class WayRow:
    """One other way in a case: an estimate for each repetition, or one for all of them. None of them, and no
    ratio, where no cell can be counted.

    ``unlike``: builds that did not end as kmatrix's own did. ``cases``: those in which the builds were made.
    """

    way: str
    estimates: tuple[Estimate, ...]
    ratio: Ratio | None
    unlike: int = 0
    cases: tuple[str, ...] = ()

    @property
    def seconds(self) -> float | None:
        """For all cells."""
        return statistics.median(item.seconds for item in self.estimates) if self.estimates else None

    @property
    def built(self) -> int:
        """How many builds that rests on."""
        return sum(item.built for item in self.estimates)

    @property
    def is_sampled(self) -> bool:
        """Whether some estimate rests on fewer cells than it is for."""
        return any(item.sampled for item in self.estimates)


@dataclass(frozen=True)
class Compilations:
    """Objects of the targets that kmatrix compiled in a case. ``distinct``: how many of these that differ in
    object or inputs it remembers; None where it remembers none."""

    compiled: int
    distinct: int | None = None

    @property
    def ratio(self) -> float | None:
        return self.compiled / self.distinct if self.distinct else None


@dataclass(frozen=True)
class Overhead:
    """What kmatrix itself took in a case: CPU seconds of its process and those that it started, without what
    ran in containers. ``make_seconds``: wall time of all its makes together."""

    cpu_seconds: float
    make_seconds: float

    @property
    def share(self) -> float | None:
        return self.cpu_seconds / self.make_seconds if self.make_seconds > 0 else None


@dataclass(frozen=True)
class CaseRow:
    """One case: kmatrix's wall time in ``seconds``, once for each repetition, and the other ways beside it.

    ``target``: the ratio against tuxmake that is aimed at, if any. ``compilations`` and ``overhead`` are of
    the last repetition.
    """

    name: str
    title: str
    target: float | None
    cells: int
    seconds: tuple[float, ...]
    ways: tuple[WayRow, ...]
    compilations: Compilations
    overhead: Overhead

    @property
    def median_seconds(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class BenchTable:
    """All that a bench measured, and on what. ``compilers``: toolchain → the versions of its tools."""

    host: Host
    source: SourceRecord
    compilers: Mapping[str, str]
    jobs: int
    repeat: int
    sample: int
    rows: tuple[CaseRow, ...]


def estimate_independent(times: Sequence[CellTime], lanes: Mapping[str, int]) -> Estimate | None:
    """The time for all cells of a way that keeps nothing: each costs the same, whatever came before.

    ``lanes`` has the number of cells of each lane, whose own cells stand for it: arches and compilers differ.
    None where of some lane no cell counts.
    """
    counted = _average_cells(times)
    # Where a lane has a single cell, all lanes' cells show how far cells lie apart: too far, rather, as the
    # lanes themselves differ.
    every = [seconds for cells in counted.values() for seconds in cells.values()]
    return _add_lanes(
        [_estimate_lane(list(counted.get(lane, {}).values()), cells, every) for lane, cells in lanes.items()],
        built=sum(time.agrees and time.lane in lanes for time in times),
    )


def estimate_walk(times: Sequence[CellTime], lanes: Mapping[str, int], *, fresh: bool) -> Estimate | None:
    """The time for all cells of a way that walks each lane's cells in one directory.

    ``times`` are in the order of the walk, ``lanes`` has the number of cells of each lane. With ``fresh`` the
    directories were empty: a lane's first cell makes what the others find, and counts once. None where of
    some lane nothing counts, or only the first cell of several.
    """
    return _add_lanes(
        [
            _estimate_walked_lane([time for time in times if time.lane == lane], cells, fresh=fresh)
            for lane, cells in lanes.items()
        ],
        built=sum(time.agrees and time.lane in lanes for time in times),
    )


def _average_cells(times: Sequence[CellTime]) -> dict[str, dict[str, float]]:
    """Lane → cell → the mean of its builds that agree: a cell that was built twice is one cell."""
    builds: dict[str, dict[str, list[float]]] = {}
    for time in times:
        if time.agrees:
            builds.setdefault(time.lane, {}).setdefault(time.cell, []).append(time.seconds)
    return {
        lane: {cell: statistics.fmean(seconds) for cell, seconds in cells.items()}
        for lane, cells in builds.items()
    }


def _add_lanes(parts: Sequence[Estimate | None], built: int) -> Estimate | None:
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    errors = [part.error for part in known]
    return Estimate(
        seconds=sum(part.seconds for part in known),
        error=None if None in errors else math.hypot(*(error or 0.0 for error in errors)),
        built=built,
        cells=sum(part.cells for part in known),
        sampled=any(part.sampled for part in known),
    )


def _estimate_walked_lane(walked: Sequence[CellTime], cells: int, *, fresh: bool) -> Estimate | None:
    if len(walked) == 1 < cells:
        return None
    begun = walked[0].seconds if fresh and cells > 1 and walked and walked[0].agrees else None
    seconds = [time.seconds for time in walked[begun is not None :] if time.agrees]
    later = _estimate_lane(seconds, cells - (begun is not None), seconds)
    if later is None or begun is None:
        return later
    return replace(later, seconds=later.seconds + begun, cells=cells)


def _estimate_lane(seconds: Sequence[float], cells: int, every: Sequence[float]) -> Estimate | None:
    """From the seconds of different cells of one lane, and of all lanes."""
    if not seconds:
        return None
    error = _compute_error(seconds, cells, every)
    return Estimate(statistics.fmean(seconds) * cells, error, len(seconds), cells, len(seconds) < cells)


def _compute_error(seconds: Sequence[float], cells: int, every: Sequence[float]) -> float | None:
    """The standard error of the sum of all cells, with the correction for a finite population."""
    count = len(seconds)
    if count >= cells:
        return 0.0
    apart = seconds if count > 1 else every
    if len(apart) == 1:
        return None
    left = 1 - count / cells
    return cells * statistics.stdev(apart) / math.sqrt(count) * math.sqrt(left)


def compute_ratio(own: Sequence[float], others: Sequence[Estimate]) -> Ratio | None:
    """kmatrix's times over another way's: the median of all pairs, and from the lowest to the highest, each
    estimate taken one standard error to either side. One pair of which all cells were built has no spread."""
    pairs = [(seconds, other) for seconds in own for other in others if other.seconds > 0]
    if not pairs:
        return None
    median = statistics.median(seconds / other.seconds for seconds, other in pairs)
    if any(other.error is None for _, other in pairs) or (len(pairs) == 1 and not pairs[0][1].error):
        return Ratio(median, None, None)
    low = min(seconds / (other.seconds + (other.error or 0.0)) for seconds, other in pairs)
    # An error as large as the estimate bounds nothing.
    rest = [(seconds, other.seconds - (other.error or 0.0)) for seconds, other in pairs]
    if any(least <= 0 for _, least in rest):
        return Ratio(median, None, None)
    return Ratio(median, low, max(seconds / least for seconds, least in rest))
