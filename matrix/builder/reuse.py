"""Whether a cell is what it was before a change, told without building it. Pure.

Either nothing that changed is read by any build, or all of it is .c, .h and .S files that were there before
and still are, and none of them went into the cell. Everything else is make's to say, and asking make means
to build: what it then leaves uncompiled in a lane that other cells visited on the changed tree proves nothing
about this one, so a cell that was built is `built`, however little was compiled.
"""

import re
import shlex
from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from matrix.builder.cell_record import CellLog, CellResult
from matrix.errors import MachineError
from matrix.kernel_files import Impact, classify_impact
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import AxesKey, Cell, Run
from matrix.record.states import ANSWERED_STATES, COMPLETE_STATES, Evidence, State
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import SourceTree
from matrix.source.manifest import ManifestDiff, compare_manifests

_JOBS_OPTION = re.compile(r"-j\d+")
_MAX_PATHS = 3


@dataclass(frozen=True)
class CellInputs:
    """What a cell follows from beside its sources. ``commands`` are those of its stages, but for their -jN:
    targets, make variables, and what they are called by."""

    image: str
    config_sha256: str
    commands: tuple[str, ...]


def build_cell_inputs(image: str, config_sha256: str, commands: Sequence[str]) -> CellInputs:
    """The value for these commands as they are typed."""
    return CellInputs(image, config_sha256, tuple(map(_strip_jobs_option, commands)))


def read_recorded_inputs(run: Run, cell: Cell) -> CellInputs | None:
    """What a recorded cell was made with; None where the record does not say."""
    toolchain = run.toolchains.get(cell.toolchain)
    if toolchain is None or cell.config_sha256 is None:
        return None
    commands = [stage.command for stage in cell.stages if stage.name != "configure"]
    return build_cell_inputs(toolchain.image_id, cell.config_sha256, commands)


def _strip_jobs_option(command: str) -> str:
    return shlex.join(word for word in shlex.split(command) if not _JOBS_OPTION.fullmatch(word))


def explain_unaffected(before: State, change: ManifestDiff, sources: Set[str] | None) -> str | None:
    """Why a cell that was ``before`` is so still, in one line; None when make has to be asked.

    The cell must have been made on the tree before the change, and be given the same now. ``sources`` are
    the .c, .h and .S files that went into it, None where nobody knows.
    """
    left = [path for path in change.paths if classify_impact(path) is not Impact.NOTHING]
    if not left:
        # Whatever make's answer was, a failure too: it reads the very same files again.
        return _explain_nothing_read(change) if before in ANSWERED_STATES else None
    if before not in COMPLETE_STATES or sources is None or not sources.isdisjoint(left):
        return None
    # A new file can shadow another that was included, and where one is gone another may be found.
    moved = {*change.added, *change.removed}
    if not all(_is_plain_source(path) and path not in moved for path in left):
        return None
    return f"what changed went into no object here: {_format_first_paths(left)}"


def _is_plain_source(path: str) -> bool:
    """A source that acts through the objects made of it alone; a linker script places all of them."""
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
        """The cell with all that was found in it before, where nothing that changed reaches it.

        Its log is copied. None when make has to be asked: `matrix.builder.reuse` has the rules.
        """
        row = self._cells_by_axes.get(cell.axes_key)
        if row is None or row.evidence is None or read_recorded_inputs(self.stored.run, row) != given:
            return None
        sources = self.stored.load_sources(row)
        reason = explain_unaffected(row.state, self.change, sources)
        if reason is None:
            return None
        update = {name: getattr(row, name) for name in ("state", "stages", "diagnostics")}
        update |= {"evidence": Evidence.UNAFFECTED, "evidence_from": self._find_origin(row), "reason": reason}
        update |= {"log": self._copy_log(row, log)}
        said = {ref.key: self.stored.run.diagnostics[ref.key] for ref in row.diagnostics}
        objects = self.stored.load_objects(row)
        return CellResult(cell.model_copy(update=update), said, objects, sources or frozenset())

    @cached_property
    def _cells_by_axes(self) -> dict[AxesKey, Cell]:
        return {cell.axes_key: cell for cell in self.stored.run.cells}

    def _find_origin(self, row: Cell) -> str:
        """Where it was built: a run that took it over itself says where from."""
        if row.evidence is Evidence.UNAFFECTED and row.evidence_from:
            return row.evidence_from
        return f"{self.stored.run.id}/{row.id}"

    def _copy_log(self, row: Cell, log: CellLog) -> str | None:
        kept = self.stored.directory / str(row.log)
        if row.log is None or not kept.is_file():
            return None
        log.write_lines(kept.read_text("utf-8", "replace").removesuffix("\n").split("\n"))
        return log.name


def load_reusable_run(stored: RunDirectory, tree: SourceTree, cache: SourceCache) -> ReusableRun | None:
    """What a run can say about ``tree``; None when the tree that it was made on is not in the cache."""
    try:
        before = cache.load_manifest(stored.run.source.digest)
        change = compare_manifests(before, cache.load_manifest(tree.digest))
    except MachineError:
        return None
    return ReusableRun(stored, change)
