"""A cell's row: as it is planned, and as it stands when its stages have spoken. Pure, but for its log."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.fs import translate_disk_full
from matrix.plan import Request
from matrix.record.run_model import Cell, DiagnosticRef, StageRecord, Verified
from matrix.record.states import COMPLETE_STATES, Evidence, State, StateKind, find_worst_state
from matrix.resolve.resolution import Resolution

StageOccurrence = tuple[Occurrence, str]
"""Something that was said, and the name of the stage that said it."""


@dataclass(frozen=True)
class CellLog:
    """A cell's log: where it is, and how the record names it."""

    path: Path
    name: str

    def write_lines(self, lines: Iterable[str]) -> None:
        with translate_disk_full(self.path), self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class CellResult:
    """A finished cell, with its diagnostics by key, the objects known to belong to its stages, and the source
    files that went into them (none where nobody knows)."""

    cell: Cell
    diagnostics: Mapping[str, Diagnostic]
    objects: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()

    @property
    def first_error(self) -> str:
        """The first error, as one line; empty where there is none."""
        for ref in self.cell.diagnostics:
            item = self.diagnostics[ref.key]
            if item.severity == "error":
                return f"{item.location}: {item.message}" if item.file else item.message
        return ""


def create_blank_cell(request: Request) -> Cell:
    """A row for a request of which nothing is known yet."""
    return Cell(
        id=request.id,
        arch=request.arch,
        toolchain=request.toolchain,
        base=request.base,
        request=request.symbol_values,
    )


def create_resolved_cell(
    resolution: Resolution,
    fragment: Mapping[str, str],
    make_line: str,
    reason: str | None = None,
    resolves_to: str | None = None,
) -> Cell:
    """The cell as it is known before it is built: `not-run`, or `unreachable` with its reason."""
    unreachable = resolution.config is not None and not resolution.is_reachable
    update = {
        "fragment": dict(fragment),
        "verified": tuple(Verified(symbol=c.symbol, want=c.want, got=c.got) for c in resolution.checks),
        "config_sha256": resolution.config_sha256,
        "make": make_line,
        "state": State.UNREACHABLE if unreachable else State.NOT_RUN,
        "stages": (resolution.stage,) if resolution.stage.command else (),
        "reason": reason,
        "resolves_to": resolves_to,
    }
    return create_blank_cell(resolution.request).model_copy(update=update)


def finish_unconfigured_cell(cell: Cell, resolution: Resolution, log: CellLog) -> CellResult:
    """A cell whose configuration could not be made: its state is the configure step's."""
    return finish_cell(cell, [resolution.stage], pair_with_stage("configure", resolution.diagnostics), log)


def pair_with_stage(stage: str, seen: Iterable[Occurrence]) -> list[StageOccurrence]:
    return [(item, stage) for item in seen]


def finish_cell(
    cell: Cell,
    records: list[StageRecord],
    seen: list[StageOccurrence],
    log: CellLog,
    objects: frozenset[str] = frozenset(),
) -> CellResult:
    state = find_worst_state(record.state for record in _select_proving_records(records))
    update = {
        "state": state,
        "evidence": None if state.row.kind is StateKind.ABANDONED else Evidence.BUILT,
        "stages": tuple(records),
        "diagnostics": tuple(_build_diagnostic_refs(seen)),
        "log": log.name if log.path.exists() else None,
    }
    said = {item.diagnostic.key: item.diagnostic for item, _ in seen}
    return CellResult(cell.model_copy(update=update), said, objects)


def _select_proving_records(records: list[StageRecord]) -> list[StageRecord]:
    """Configuring well proves nothing about a build: it counts only when it went wrong, or warned."""
    first, *stages = records
    if not stages or first.state not in COMPLETE_STATES:
        return records
    proven = any(record.state is not State.EMPTY for record in stages)
    return [first, *stages] if proven else stages


def _build_diagnostic_refs(seen: list[StageOccurrence]) -> Iterator[DiagnosticRef]:
    """One for each diagnostic of each object: a later stage that says it again adds nothing."""
    known: set[tuple[str, str | None]] = set()
    for item, stage in seen:
        mark = (item.diagnostic.key, item.object)
        if mark not in known:
            known.add(mark)
            yield DiagnosticRef(key=item.diagnostic.key, object=item.object, stage=stage)
