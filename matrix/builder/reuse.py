"""Results that are known already, so that their cells need not be built.

A cell of this lane that was built for the same inputs gives its result to each further one. Any other result
comes out of the memory: another run built the cell, or another lane of this one, with all that it depends on
as it is now. What is taken over are the stages after the configure step, which every cell has of its own.

Any other cell is built, and its evidence is `built`, however little make compiled: other cells may have
compiled its objects before, in the same lane and on a tree that was changed.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from matrix.builder.cell_record import CellLog, CellResult, finish_cell, pair_with_stage
from matrix.diagnostics.diagnostic import Occurrence
from matrix.memory.results import CellInputs, FoundResult, KeptResult, ResultMemory
from matrix.record.run_model import Cell
from matrix.record.states import UNTRIED_STATES, Evidence
from matrix.resolve.resolution import Resolution
from matrix.shards.lane_split import KnownTime

_JOBS_OPTION = re.compile(r"-j\d+")


def build_cell_inputs(
    image: str, config_sha256: str, commands: Sequence[str], targets: Sequence[tuple[str, ...]]
) -> CellInputs:
    """The value for these commands as they are typed, and what each of them is judged by."""
    return CellInputs(image, config_sha256, tuple(map(_strip_jobs_option, commands)), tuple(targets))


def _strip_jobs_option(command: str) -> str:
    # The share of the jobs changes with the lanes at work, and nothing that is made depends on it.
    return shlex.join(word for word in shlex.split(command) if not _JOBS_OPTION.fullmatch(word))


@dataclass
class KnownResults:
    """Finds results for the cells of one lane. ``run`` is the id of the run that they are recorded in."""

    results: ResultMemory
    run: str
    _built: dict[CellInputs, CellResult] = field(default_factory=dict)
    _loaders: dict[CellInputs, Callable[[], CellResult]] = field(default_factory=dict)

    def find_result(
        self, cell: Cell, resolution: Resolution, inputs: CellInputs, log: CellLog
    ) -> CellResult | None:
        """The cell with a result that is known already; None when it has to be built."""
        built = self._find_built(inputs)
        if built is not None:
            kept = _extract_result(built, self.run, "")
            result = _take_over(cell, resolution, kept, log)
            return _claim(result, Evidence.SAME_CONFIG, built.cell.id, built.cell.log)
        found = self.results.find(inputs)
        return self._take_remembered(cell, resolution, inputs, found, log) if found else None

    def _find_built(self, inputs: CellInputs) -> CellResult | None:
        if inputs in self._loaders:
            self._built[inputs] = self._loaders.pop(inputs)()
        return self._built.get(inputs)

    def find_origin(self, inputs: CellInputs) -> str | None:
        """The run and cell that a result is remembered from, as in ``RUN/CELL``; None where none is."""
        return self.results.find_origin(inputs)

    def find_time(self, inputs: CellInputs) -> KnownTime | None:
        """What such a cell took when it was last built, of this tree or of one with other contents of
        sources; None where that is not remembered."""
        kept = self.results.find_last(inputs)
        seconds = sum(stage.seconds for stage in kept.stages) if kept else 0.0
        return KnownTime(seconds, _format_origin(kept)) if kept and seconds else None

    def add_built(self, inputs: CellInputs, result: CellResult, log: str) -> None:
        """Keep the result of a cell that was built, with its part of the log, for those with the same
        inputs."""
        # Where a limit or a fault ended the build, it may end well for the next.
        if result.cell.state in UNTRIED_STATES:
            return
        self._built[inputs] = result
        if result.is_whole:
            self.results.keep(inputs, _extract_result(result, self.run, log))

    def add_finished(self, inputs: CellInputs, load: Callable[[], CellResult]) -> None:
        """The same for a cell that was built before the run was resumed; it is loaded when it is asked
        for."""
        self._loaders.setdefault(inputs, load)

    def _take_remembered(
        self, cell: Cell, resolution: Resolution, inputs: CellInputs, found: FoundResult, log: CellLog
    ) -> CellResult:
        kept = found.kept
        if kept.log:
            # Copied, as the earlier run may be removed while this one is kept.
            log.write_lines(kept.log.removesuffix("\n").split("\n"))
        result = _take_over(cell, resolution, kept, log)
        if found.is_own and kept.cell == cell.id:
            # It was made, and remembered, and the process ended before the record had it.
            result = _claim(result, kept.evidence, kept.evidence_from, result.cell.log)
            self._built[inputs] = result
            return result
        if found.is_own:
            return _claim(result, Evidence.SAME_CONFIG, kept.cell, result.cell.log)
        return _claim(result, Evidence.REMEMBERED, _format_origin(kept), result.cell.log)


def _format_origin(kept: KeptResult) -> str:
    return f"{kept.run}/{kept.cell}"


def _extract_result(result: CellResult, run: str, log: str) -> KeptResult:
    cell = result.cell
    return KeptResult(
        run=run,
        cell=cell.id,
        state=cell.state,
        stages=tuple(stage for stage in cell.stages if stage.name != "configure"),
        refs=result.build_refs,
        diagnostics={ref.key: result.diagnostics[ref.key] for ref in result.build_refs},
        objects=result.objects,
        reason=cell.reason,
        log=log,
        parts=result.parts,
        sources=result.sources,
        evidence=cell.evidence or Evidence.BUILT,
        evidence_from=cell.evidence_from,
    )


def _take_over(cell: Cell, resolution: Resolution, kept: KeptResult, log: CellLog) -> CellResult:
    """The cell with its own configure step, and the later stages of the other."""
    own = pair_with_stage("configure", resolution.diagnostics)
    other = [(Occurrence(kept.diagnostics[ref.key], ref.object), ref.stage) for ref in kept.refs]
    cell = cell.model_copy(update={"reason": kept.reason})
    result = finish_cell(cell, [resolution.stage, *kept.stages], [*own, *other], log, kept.objects)
    return replace(result, sources=kept.sources)


def _claim(result: CellResult, evidence: Evidence, origin: str | None, log: str | None) -> CellResult:
    update = {"evidence": evidence, "evidence_from": origin, "log": log}
    return replace(result, cell=result.cell.model_copy(update=update))
