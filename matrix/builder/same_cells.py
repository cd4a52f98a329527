"""Cells of which every object was compiled for another cell.

At stage `focus`, where nothing else is made, their result is known without a make.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from matrix.builder.cell_record import CellLog, CellResult, StageOccurrence, finish_cell, pair_with_stage
from matrix.diagnostics.diagnostic import Occurrence
from matrix.kconfig.config import Config
from matrix.memory.object_setting import InputReader
from matrix.memory.objects import KnownObject, ObjectMemory
from matrix.memory.results import CellInputs, KeptResult, ResultMemory
from matrix.memory.same_objects import CellParts, find_links, find_same_objects, list_sources
from matrix.memory.store import Entry
from matrix.record.run_model import Cell, StageRecord
from matrix.record.states import Evidence, State
from matrix.resolve.resolution import Resolution

_MAX_TREES = 4
"""How many trees on which the cell was built before are looked at: the last ones are the nearest."""
_MAX_ORIGINS = 3


@dataclass
class SameCells:
    """Finds such results for the cells of one lane."""

    results: ResultMemory
    objects: ObjectMemory
    reader: InputReader

    def find_result(
        self, cell: Cell, resolution: Resolution, inputs: CellInputs, log: CellLog
    ) -> CellResult | None:
        """The cell with the result that make would come to; None where some object is not known."""
        config = Config.parse(str(resolution.config))
        for found in islice(self.results.find_on_other_sources(inputs), _MAX_TREES):
            parts = found.kept.parts
            same = find_same_objects(parts, self.objects, self.reader, config) if parts else None
            if parts and same is not None and not self._was_begun(cell, parts, same):
                self._record_use(found.entry, parts, same)
                return self._build_result(cell, resolution, found.kept, parts, same, log)
        return None

    def _was_begun(self, cell: Cell, parts: CellParts, same: Mapping[str, KnownObject]) -> bool:
        """Whether objects of this very cell were compiled by this very run, before it was resumed: then it is
        the cell that is built, and not one that is the same as others."""
        changed = (known for path, known in same.items() if known.key != parts.keys[path])
        run = self.results.memory.run
        return any(known.entry.run == run and known.value.cell == cell.id for known in changed)

    def _record_use(self, result: Entry, parts: CellParts, same: Mapping[str, KnownObject]) -> None:
        """Note that all was used on which the next cell that is the same will rest as well."""
        objects = (known.entry for known in same.values())
        links = filter(None, find_links(parts, same, self.objects))
        self.results.memory.record_use([result, *objects, *links])

    def _build_result(
        self,
        cell: Cell,
        resolution: Resolution,
        kept: KeptResult,
        parts: CellParts,
        same: Mapping[str, KnownObject],
        log: CellLog,
    ) -> CellResult:
        changed = {path: known for path, known in same.items() if known.key != parts.keys[path]}
        origins = {path: f"{known.entry.run}/{known.value.cell}" for path, known in changed.items()}
        log.write_lines(_format_log(kept, origins))
        occurrences = [*pair_with_stage("configure", resolution.diagnostics), *_list_occurrences(kept, same)]
        stages = _rejudge_stages(kept, has_warned=len(occurrences) > len(resolution.diagnostics))
        result = finish_cell(cell, [resolution.stage, *stages], occurrences, log, kept.objects)
        own = list(dict.fromkeys(origins.values())) or [f"{kept.run}/{kept.cell}"]
        evidence = {"evidence": Evidence.SAME_OBJECTS, "evidence_from": _join_origins(own)}
        return replace(
            result,
            cell=result.cell.model_copy(update=evidence),
            sources=list_sources(same, self.objects, self.reader) | {*parts.others},
            is_whole=True,
            parts=parts.model_copy(update={"keys": {path: known.key for path, known in same.items()}}),
        )


def _rejudge_stages(kept: KeptResult, *, has_warned: bool) -> list[StageRecord]:
    """The stages as make would leave them. One without an object of its own proves nothing, whatever was
    compiled beside: the kept one was empty, and so is this one."""
    state = State.WARN if has_warned else State.PASS
    update = {"seconds": 0.0, "compiled": 0}
    return [
        stage.model_copy(update={**update, "state": state if stage.objects else State.EMPTY})
        for stage in kept.stages
    ]


def _list_occurrences(kept: KeptResult, same: Mapping[str, KnownObject]) -> Iterator[StageOccurrence]:
    """What the compilers said of the objects, and what was printed of all else when the cell was built."""
    (stage,) = {stage.name for stage in kept.stages}
    for ref in kept.refs:
        if ref.object not in same:
            yield Occurrence(kept.diagnostics[ref.key], ref.object), ref.stage
    for path, known in same.items():
        yield from ((Occurrence(warning, path), stage) for warning in known.value.warnings)


def _format_log(kept: KeptResult, origins: Mapping[str, str]) -> Iterator[str]:
    yield "[kmatrix: nothing is made here: every object is the same as one that was compiled elsewhere]"
    yield f"[kmatrix: all but these were compiled for {kept.run}/{kept.cell}, or are the same as there]"
    for path, origin in origins.items():
        yield f"[kmatrix: {path}: {origin}]"


def _join_origins(origins: list[str]) -> str:
    more = len(origins) - _MAX_ORIGINS
    return ", ".join(origins[:_MAX_ORIGINS]) + (f" and {more} more" if more > 0 else "")
