"""What a page has of single cells beside their rows: the log around the error, and what differs from the
nearest cell that passed. Both cost time and space, so only the cells that a reader looks at first have them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice, zip_longest

from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.kconfig.config import Config
from matrix.record.run_model import Cell
from matrix.record.states import COMPLETE_STATES, QUIET_STATES, State
from reports import limits, summary
from reports.log_excerpt import LogExcerpt, excerpt_log, excerpt_tail


@dataclass(frozen=True)
class ConfigDifference:
    """The symbols that differ between a cell and ``cell``, the nearest that passed: (its value, the other's);
    ``hidden_count`` more are left out."""

    cell: Cell
    symbols: Mapping[str, tuple[str, str]]
    hidden_count: int = 0


@dataclass(frozen=True)
class CellStory:
    """What is known of one cell; each part is None where it is left out."""

    excerpt: LogExcerpt | None = None
    difference: ConfigDifference | None = None


_NOTHING = CellStory()


@dataclass
class CellStories:
    """The stories of a run's cells: of the first cells of its findings, in their order, then of others.

    ``is_former``: they stand beside those of another run, so there are fewer, and none is compared with a
    cell that passed.
    """

    stored: StoredRun
    findings: Sequence[Finding]
    is_former: bool = False
    _configs: dict[str, Config | None] = field(default_factory=dict)

    def find(self, cell: Cell) -> CellStory:
        return self._stories.get(cell.id, _NOTHING)

    @cached_property
    def _stories(self) -> dict[str, CellStory]:
        names = list(islice(self._list_in_order(), limits.HTML_EXCERPTS // self._share))
        cells = [self.stored.cells_by_id[name] for name in names]
        failing = (cell for cell in cells if cell.state is State.FAIL and not self.is_former)
        differences = {
            cell.id: self._compare_with_passing(cell)
            for cell in islice(failing, limits.HTML_CONFIG_DIFFERENCES)
        }
        excerpts = self._read_excerpts(cells)
        return {name: CellStory(excerpts.get(name), differences.get(name)) for name in names}

    @property
    def _share(self) -> int:
        return limits.HTML_FORMER_SHARE if self.is_former else 1

    def _list_in_order(self) -> Iterator[str]:
        """Ids, each once: the first cell of each finding, the second of each, and so on; then the others."""
        by_turn = chain.from_iterable(zip_longest(*(finding.cells for finding in self.findings)))
        others = (cell.id for cell in self.stored.run.cells if cell.state not in QUIET_STATES)
        left = dict.fromkeys(self.stored.cells_by_id)
        for name in chain(by_turn, others):
            if name in left:
                del left[name]
                yield name

    def _read_excerpts(self, cells: Iterable[Cell]) -> dict[str, LogExcerpt]:
        excerpts, left = {}, limits.HTML_EXCERPT_BYTES // self._share
        for cell in cells:
            excerpt = self._excerpt_log(cell) if left > 0 else None
            if excerpt:
                excerpts[cell.id] = excerpt
                left -= sum(map(len, excerpt.lines))
        return excerpts

    def _excerpt_log(self, cell: Cell) -> LogExcerpt | None:
        """The part of a log around its error, or its end where it is too large to be read."""
        if text := self.stored.read_log(cell):
            return excerpt_log(text, summary.list_cell_diagnostics(self.stored.run, cell))
        tail = self.stored.read_log_tail(cell, limits.HTML_LOG_LINES)
        return excerpt_tail(tail) if any(tail) else None

    def _compare_with_passing(self, cell: Cell) -> ConfigDifference | None:
        near = self._find_nearest_passing(cell)
        return self.compare_configs(cell, near, self) if near else None

    def compare_configs(self, cell: Cell, other: Cell, others: "CellStories") -> ConfigDifference | None:
        """What differs between the ``.config`` of a cell and that of one of ``others``, which may be this run
        or another; None where one of them cannot be read."""
        mine, theirs = self.load_config(cell), others.load_config(other)
        if mine is None or theirs is None:
            return None
        differing = {} if mine is theirs else mine.diff(theirs)
        shown = dict(islice(differing.items(), limits.HTML_DIFFERING_SYMBOLS))
        return ConfigDifference(other, shown, len(differing) - len(shown))

    def load_config(self, cell: Cell) -> Config | None:
        """A cell's ``.config``, read once; None where it cannot be."""
        digest = cell.config_sha256 or ""
        if digest not in self._configs:
            self._configs[digest] = self.stored.find_config(cell)
        return self._configs[digest]

    def _find_nearest_passing(self, cell: Cell) -> Cell | None:
        """The cell that was built and differs in the fewest axes, one of the same lane where there is any."""
        lane = self._passing_by_lane.get((cell.arch, cell.toolchain, cell.base))
        return min(lane, key=lambda other: _count_differing_axes(cell, other)) if lane else None

    @cached_property
    def _passing_by_lane(self) -> dict[tuple[str, str, str], list[Cell]]:
        lanes: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in self.stored.run.cells:
            if cell.state in COMPLETE_STATES:
                lanes.setdefault((cell.arch, cell.toolchain, cell.base), []).append(cell)
        return lanes


def _count_differing_axes(one: Cell, other: Cell) -> int:
    names = {*one.request, *other.request}
    return sum(one.request.get(name) != other.request.get(name) for name in names)
