"""Whether a cell need be built, or a result that is known already holds for it.

There are two sources of such a result, tried in this order:

1. An earlier run, where what changed in the tree since then has no effect on the cell. Either no build reads
   any of it, or all of it is .c, .h and .S files that exist in both trees, and none of them went into the
   cell.
2. A cell that was built in this lane, for every cell with the same configuration.

Any other cell is built, and its evidence is `built`, however little make compiled: other cells may have
compiled its objects before, in the same lane and on the changed tree.
"""

import re
import shlex
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property

from matrix.builder.cell_record import CellLog, CellResult
from matrix.errors import MachineError
from matrix.kernel_files import Impact, classify_impact
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import AxesKey, Cell, Run
from matrix.record.states import ANSWERED_STATES, COMPLETE_STATES, UNTRIED_STATES, Evidence, State
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree
from matrix.source.manifest import ManifestDiff, compare_manifests

_JOBS_OPTION = re.compile(r"-j\d+")
_MAX_PATHS = 3


@dataclass(frozen=True)
class CellInputs:
    """What a cell's result depends on, beside its sources. ``commands`` are those of its stages, without
    their -jN: targets and make variables."""

    image: str
    config_sha256: str
    commands: tuple[str, ...]


def build_cell_inputs(image: str, config_sha256: str, commands: Sequence[str]) -> CellInputs:
    """The value for these commands as they are typed."""
    return CellInputs(image, config_sha256, tuple(map(_strip_jobs_option, commands)))


def read_recorded_inputs(run: Run, cell: Cell) -> CellInputs | None:
    """What a recorded cell was made with; None where the record does not have all of it."""
    toolchain = run.toolchains.get(cell.toolchain)
    if toolchain is None or cell.config_sha256 is None:
        return None
    # What configured it is no input of the build: the .config that came of it is.
    commands = [stage.command for stage in cell.stages if stage.name != "configure"]
    return build_cell_inputs(toolchain.image_id, cell.config_sha256, commands)


def _strip_jobs_option(command: str) -> str:
    # The share of the jobs changes with the lanes at work, and nothing that is made depends on it.
    return shlex.join(word for word in shlex.split(command) if not _JOBS_OPTION.fullmatch(word))


def explain_unaffected(before: State, change: ManifestDiff, sources: Set[str] | None) -> str | None:
    """Why a cell whose state was ``before`` still has it, in one line; None when it has to be built.

    The cell must have been made on the tree before the change, and have the same inputs now. ``sources`` are
    the .c, .h and .S files that went into it, None where they are not known.
    """
    relevant = [path for path in change.paths if classify_impact(path) is not Impact.NOTHING]
    if not relevant:
        # Whatever make's result was, a failure too: it would read the very same files again.
        return _explain_nothing_read(change) if before in ANSWERED_STATES else None
    # A cell that failed was not made whole: its sources are not all of what its build would read.
    if before not in COMPLETE_STATES or sources is None or not sources.isdisjoint(relevant):
        return None
    # A new file can shadow another that was included, and where one is gone another may be found.
    moved = {*change.added, *change.removed}
    if not all(_is_plain_source(path) and path not in moved for path in relevant):
        return None
    return f"what changed went into no object here: {_format_first_paths(relevant)}"


def _is_plain_source(path: str) -> bool:
    """A source that acts through the objects made of it alone; a linker script acts on all objects."""
    return classify_impact(path) is Impact.OBJECTS and not path.endswith(".lds.S")


def _explain_nothing_read(change: ManifestDiff) -> str:
    if not change.paths:
        return "nothing changed"
    return f"only documentation changed, which no build reads: {_format_first_paths(change.paths)}"


def _format_first_paths(paths: Sequence[str]) -> str:
    more = len(paths) - _MAX_PATHS
    return ", ".join(paths[:_MAX_PATHS]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class ReusableRun:
    """A run, and what differs between its tree and the one that is built now."""

    stored: RunDirectory
    change: ManifestDiff

    def reuse_cell(self, cell: Cell, given: CellInputs, log: CellLog) -> CellResult | None:
        """The cell with its earlier result and a copy of its log, where the change does not reach it.

        None when it has to be built.
        """
        row = self._cells_by_axes.get(cell.axes_key)
        # Without evidence it was not built to an end; with other inputs it was another build.
        if row is None or row.evidence is None or read_recorded_inputs(self.stored.run, row) != given:
            return None
        sources = self.stored.load_sources(row)
        reason = explain_unaffected(row.state, self.change, sources)
        if reason is None:
            return None
        update = {name: getattr(row, name) for name in ("state", "stages", "diagnostics")}
        update |= {"evidence": Evidence.UNAFFECTED, "evidence_from": self._find_origin(row), "reason": reason}
        update |= {"log": self._copy_log(row, log)}
        diagnostics = {ref.key: self.stored.run.diagnostics[ref.key] for ref in row.diagnostics}
        objects = self.stored.load_objects(row)
        return CellResult(cell.model_copy(update=update), diagnostics, objects, sources or frozenset())

    @cached_property
    def _cells_by_axes(self) -> dict[AxesKey, Cell]:
        return {cell.axes_key: cell for cell in self.stored.run.cells}

    def _find_origin(self, row: Cell) -> str:
        """Where it was built: where the run took it over from an earlier one, that one's cell."""
        if row.evidence is Evidence.UNAFFECTED and row.evidence_from:
            return row.evidence_from
        return f"{self.stored.run.id}/{row.id}"

    def _copy_log(self, row: Cell, log: CellLog) -> str | None:
        text = self.stored.read_log(row)
        if text is None:
            return None
        # Copied, as the earlier run may be removed while this one is kept.
        log.write_lines(text.removesuffix("\n").split("\n"))
        return log.name


def load_reusable_run(stored: RunDirectory, tree: SourceTree, cache: SourceCache) -> ReusableRun | None:
    """A run to reuse on ``tree``; None when the tree that it was made on is not in the cache."""
    try:
        before = cache.load_manifest(stored.run.source.digest)
        change = compare_manifests(before, cache.load_manifest(tree.digest))
    except MachineError:
        return None
    return ReusableRun(stored, change)


@dataclass
class ReuseChain:
    """Finds results for the cells of one lane without building them: from a run, then from the lane."""

    reusable_run: ReusableRun | None
    _built: dict[CellInputs, CellResult] = field(default_factory=dict)

    def find_result(self, cell: Cell, inputs: CellInputs, log: CellLog) -> CellResult | None:
        """The cell with a result that is known already; None when it has to be built."""
        # In this order: a result of the earlier run can be there before any cell of this lane is built.
        return self._find_unaffected(cell, inputs, log) or self._find_same_config(cell, inputs)

    def add_built(self, inputs: CellInputs, result: CellResult) -> None:
        """Keep the result of a cell that was built, for those with the same inputs."""
        # Where a limit or a fault ended the build, it may end well for the next.
        if result.cell.state not in UNTRIED_STATES:
            self._built[inputs] = result

    def _find_unaffected(self, cell: Cell, inputs: CellInputs, log: CellLog) -> CellResult | None:
        return self.reusable_run.reuse_cell(cell, inputs, log) if self.reusable_run else None

    def _find_same_config(self, cell: Cell, inputs: CellInputs) -> CellResult | None:
        """Another request resolved to the same .config: what was built for it holds here."""
        built = self._built.get(inputs)
        if built is None:
            return None
        update = {name: getattr(built.cell, name) for name in ("state", "stages", "diagnostics", "log")}
        update |= {"evidence": Evidence.SAME_CONFIG, "evidence_from": built.cell.id}
        return replace(built, cell=cell.model_copy(update=update))
