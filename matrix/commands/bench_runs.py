"""What a run of kmatrix's gives a bench: its cells by lane, how much it compiled, what its makes took."""

from collections.abc import Iterable, Sequence
from contextlib import closing

from matrix.bench_times import Compilations
from matrix.commands.bench_ways import BenchCell
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.memory.layers import list_layers
from matrix.memory.store import MemoryStore, WrittenEntry
from matrix.record.run_model import Cell, Run
from matrix.record.states import Evidence, State
from matrix.source.cache import SourceCache


def group_bench_cells(stored: StoredRun) -> dict[str, list[BenchCell]]:
    """The cells of a run that every way builds, by lane, in plan order: each configuration of a lane once.

    RequestError without any.
    """
    cells: dict[tuple[str, ...], Cell] = {}
    for cell in stored.run.cells:
        if cell.state is not State.UNREACHABLE and cell.config_sha256 is not None:
            cells.setdefault((cell.arch, cell.toolchain, cell.base, cell.config_sha256), cell)
    if not cells:
        count, reason = len(stored.run.cells), stored.run.cells[0].reason
        raise RequestError(
            f"no cell of the bench can be built: all {count} requests are unreachable; the first: {reason}",
            "choose others: --select, --arch, --toolchain",
        )
    return group_by_lane([BenchCell(cell, stored.load_config(cell)) for cell in cells.values()])


def group_by_lane(cells: Sequence[BenchCell]) -> dict[str, list[BenchCell]]:
    lanes: dict[str, list[BenchCell]] = {}
    for cell in cells:
        lanes.setdefault(cell.lane.name, []).append(cell)
    return lanes


def list_remembered_objects(cache: SourceCache) -> set[WrittenEntry]:
    """All objects that are remembered in a cache."""
    written: set[WrittenEntry] = set()
    for layer in list_layers(cache.layout.memory):
        with closing(MemoryStore(layer)) as store:
            written.update(store.list_written("object"))
    return written


def count_compilations(stored: StoredRun, remembered: Iterable[WrittenEntry]) -> Compilations:
    """How many objects of its targets a run compiled, in the cells that it built itself.

    ``remembered``: what it wrote of objects. Those that lie beside the targets do not count.
    """
    built = _list_built_cells(stored.run)
    own = {path for cell in built for path in stored.load_objects(cell)}
    distinct = sum(entry.name in own for entry in remembered)
    return Compilations(sum(stage.compiled for cell in built for stage in cell.stages), distinct or None)


def sum_make_seconds(run: Run) -> float:
    """Wall time of all makes of a run together, without those that configured."""
    stages = (stage for cell in _list_built_cells(run) for stage in cell.stages)
    return sum(stage.seconds for stage in stages if stage.name != "configure")


def _list_built_cells(run: Run) -> list[Cell]:
    return [cell for cell in run.cells if cell.evidence is Evidence.BUILT]
