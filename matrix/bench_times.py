"""What a bench measured, and the ratios in it, with their spread. Pure."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from matrix.record.run_model import Host, SourceRecord

T = TypeVar("T")


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
    """Seconds that a way takes for all ``cells``, from the ``built`` ones that agree.

    ``error``: its standard error, 0 where every cell was built, and None where one cell alone says nothing
    of it.
    """

    seconds: float
    error: float | None
    built: int
    cells: int


@dataclass(frozen=True)
class Ratio:
    """kmatrix's time over another way's. ``low`` and ``high`` are None where the spread is not known."""

    median: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class WayRow:
    """One other way in a case: an estimate for each repetition, or one for all of them. None of them, and no
    ratio, where no cell can be counted. ``unlike``: cells that did not end as kmatrix's own did."""

    way: str
    estimates: tuple[Estimate, ...]
    ratio: Ratio | None
    unlike: int = 0

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
        return any(item.built < item.cells for item in self.estimates)


@dataclass(frozen=True)
class Compilations:
    """Objects that kmatrix compiled in a case. ``distinct``: how many different (object, inputs) they are;
    None where the run does not record it."""

    compiled: int
    distinct: int | None = None

    @property
    def ratio(self) -> float | None:
        return self.compiled / self.distinct if self.distinct else None


@dataclass(frozen=True)
class CaseRow:
    """One case: kmatrix's wall time in ``seconds``, once for each repetition, and the other ways beside it.

    ``target``: the ratio against tuxmake that is aimed at, if any.
    """

    name: str
    title: str
    target: float | None
    cells: int
    seconds: tuple[float, ...]
    ways: tuple[WayRow, ...]
    compilations: Compilations

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


def pick_sample(items: Sequence[T], count: int, shift: int = 0) -> tuple[T, ...]:
    """``count`` items, evenly spread, in their order; all of them for 0 or for more than there are.

    Another ``shift`` picks others.
    """
    if not 0 < count < len(items):
        return tuple(items)
    step = len(items) / count
    places = {(int((number + 0.5) * step) + shift) % len(items) for number in range(count)}
    return tuple(items[place] for place in sorted(places))


def estimate_independent(times: Sequence[CellTime], cells: int) -> Estimate | None:
    """The time for all cells of a way that keeps nothing: each costs the same, whatever came before."""
    seconds = [time.seconds for time in times if time.agrees]
    if not seconds:
        return None
    return Estimate(
        seconds=statistics.fmean(seconds) * cells,
        error=_compute_error(seconds, cells),
        built=len(seconds),
        cells=cells,
    )


def estimate_walk(times: Sequence[CellTime], lanes: Mapping[str, int], *, fresh: bool) -> Estimate | None:
    """The time for all cells of a way that walks each lane's cells in one directory.

    ``times`` are in the order of the walk, ``lanes`` has the number of cells of each lane. With ``fresh`` the
    directories were empty: a lane's first cell makes what the others find, and counts once.
    """
    parts = list(_estimate_lanes(times, lanes, fresh=fresh))
    if not parts or any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    errors = [part.error for part in known]
    return Estimate(
        seconds=sum(part.seconds for part in known),
        error=None if None in errors else math.hypot(*(error or 0.0 for error in errors)),
        built=sum(part.built for part in known),
        cells=sum(lanes.values()),
    )


def _estimate_lanes(
    times: Sequence[CellTime], lanes: Mapping[str, int], *, fresh: bool
) -> Iterator[Estimate | None]:
    for lane, cells in lanes.items():
        walked = [time for time in times if time.lane == lane]
        first, rest = walked[:1], walked[1:]
        if not fresh or not rest or not first[0].agrees:
            yield estimate_independent(walked, cells)
            continue
        later = estimate_independent(rest, cells - 1)
        begun = first[0].seconds
        yield later and Estimate(later.seconds + begun, later.error, later.built + 1, cells)


def _compute_error(seconds: Sequence[float], cells: int) -> float | None:
    """The standard error of the sum of all cells, with the correction for a finite population."""
    count = len(seconds)
    if count >= cells:
        return 0.0
    if count == 1:
        return None
    left = 1 - count / cells
    return cells * statistics.stdev(seconds) / math.sqrt(count) * math.sqrt(left)


def compute_ratio(own: Sequence[float], others: Sequence[Estimate]) -> Ratio | None:
    """kmatrix's times over another way's: the median of all pairs, and from the lowest to the highest, each
    estimate taken one standard error to either side."""
    pairs = [(seconds, other) for seconds in own for other in others if other.seconds > 0]
    if not pairs:
        return None
    median = statistics.median(seconds / other.seconds for seconds, other in pairs)
    if any(other.error is None for _, other in pairs):
        return Ratio(median, None, None)
    low = min(seconds / (other.seconds + (other.error or 0.0)) for seconds, other in pairs)
    # An error as large as the estimate bounds nothing.
    rest = [(seconds, other.seconds - (other.error or 0.0)) for seconds, other in pairs]
    if any(least <= 0 for _, least in rest):
        return Ratio(median, None, None)
    return Ratio(median, low, max(seconds / least for seconds, least in rest))
