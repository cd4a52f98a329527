"""How many pairs, or triples, of the symbols' values some cells have together: what `cover` came to. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from matrix.plan import LANE_AXES, MAX_COVERED, count_combinations
from matrix.record.run_model import Cell, Run
from matrix.record.states import PROVEN_STATES, State

_NAMES = {1: "values", 2: "pairs", 3: "triples"}


@dataclass(frozen=True)
class Coverage:
    """Over all lanes: how many there are of ``name``, in how many some cell proves something, and how many
    were asked for and not allowed by Kconfig."""

    name: str
    total: int
    covered: int
    unreachable: int

    @property
    def untried(self) -> int:
        """Those that are in no cell which came to a result."""
        return self.total - self.covered - self.unreachable


def measure_coverage(run: Run) -> Coverage | None:
    """What the cells of a run with `cover` prove; None where it has none, or no symbols."""
    return _measure(run, lambda cell: cell.state in PROVEN_STATES and cell.config_sha256 is not None)


def measure_planned_coverage(run: Run) -> Coverage | None:
    """What the cells of a plan will prove where each comes to a result."""
    return _measure(run, lambda cell: cell.is_reachable)


def _measure(run: Run, covers: Callable[[Cell], bool]) -> Coverage | None:
    symbols = {name: values for name, values in run.axes.items() if name not in LANE_AXES}
    cover = run.profile.get("cover")
    strength = min(cover, len(symbols)) if isinstance(cover, int) and cover > 1 else 0
    sizes = [len(values) for values in symbols.values()]
    # A record may be a stranger's, whose plan kmatrix would not have made.
    if strength not in _NAMES or count_combinations(sizes, strength) > MAX_COVERED:
        return None
    lanes: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in run.cells:
        lanes.setdefault((cell.arch, cell.toolchain, cell.base), []).append(cell)
    counts = [(0, 0, 0), *(_count_lane(cells, symbols, strength, covers) for cells in lanes.values())]
    total, covered, unreachable = (sum(column) for column in zip(*counts, strict=True))
    return Coverage(_NAMES[strength], total, covered, unreachable)


def _count_lane(
    cells: Sequence[Cell],
    symbols: Mapping[str, Sequence[str]],
    strength: int,
    covers: Callable[[Cell], bool],
) -> tuple[int, int, int]:
    """Of one lane: all, the covered, the unreachable."""
    made = _mark_values([cell for cell in cells if covers(cell)], symbols)
    # What the tree allows, and no cell proves, is not known to be unreachable.
    allowed = _mark_values([cell for cell in cells if cell.state is not State.UNREACHABLE], symbols)
    refused = _mark_values([cell for cell in cells if cell.state is State.UNREACHABLE], symbols)
    numbers = [range(len(values)) for values in symbols.values()]
    total = covered = unreachable = 0
    for axes in combinations(range(len(numbers)), strength):
        for chosen in product(*(numbers[axis] for axis in axes)):
            places = [*zip(axes, chosen, strict=True)]
            total += 1
            if _is_marked(made, places):
                covered += 1
            elif not _is_marked(allowed, places):
                unreachable += _is_marked(refused, places)
    return total, covered, unreachable


def _mark_values(cells: Iterable[Cell], symbols: Mapping[str, Sequence[str]]) -> list[list[int]]:
    """By symbol and value, as bits, the cells that have it."""
    marks = {(name, value): 0 for name, values in symbols.items() for value in values}
    for number, cell in enumerate(cells):
        for place in cell.request.items():
            if place in marks:
                marks[place] |= 1 << number
    return [[marks[name, value] for value in values] for name, values in symbols.items()]


def _is_marked(marks: Sequence[Sequence[int]], places: Iterable[tuple[int, int]]) -> bool:
    """Whether one cell has all of these values."""
    cells = -1
    for axis, number in places:
        cells &= marks[axis][number]
    return cells != 0
