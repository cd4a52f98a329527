"""A cell's row, before and after its stages are made. Pure, except for the cell's log."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TextIO

from matrix.diagnostics.diagnostic import Diagnostic, Occurrence
from matrix.engine.protocol import LineCallback
from matrix.fs import translate_write_errors
from matrix.kconfig.config import SymbolCheck
from matrix.memory.same_objects import CellParts
from matrix.plan import Request
from matrix.record.run_model import Cell, DiagnosticRef, StageRecord, Verified
from matrix.record.states import COMPLETE_STATES, Evidence, State, StateKind, find_worst_state
from matrix.resolve.resolution import Resolution

StageOccurrence = tuple[Occurrence, str]
"""Something that a tool printed, and the name of the stage in which it did."""


@dataclass(frozen=True)
class CellLog:
    """A cell's log: where it is, and how the record names it."""

    path: Path
    name: str

    @contextmanager
    def open_sink(self) -> Iterator[LineCallback]:
        """What appends a line to the log, at once, in the ``with`` block. The first one makes the file."""
        file: TextIO | None = None
        with translate_write_errors(self.path), ExitStack() as files:

            def append_line(line: str) -> None:
                nonlocal file
                if file is None:
                    file = files.enter_context(self.path.open("a", encoding="utf-8", buffering=1))
                file.write(f"{line}\n")

            yield append_line

    def cut(self, size: int) -> None:
        """Leave no more than so many bytes in it."""
        with translate_write_errors(self.path):
            if size == 0:
                self.path.unlink(missing_ok=True)
            elif self.measure() > size:
                os.truncate(self.path, size)

    def measure(self) -> int:
        """Bytes that are in it."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read_from(self, start: int) -> str:
        """What was written to it after so many bytes."""
        with translate_write_errors(self.path):
            return self.path.read_bytes()[start:].decode(errors="replace") if self.path.exists() else ""

    def write_lines(self, lines: Iterable[str]) -> None:
        with translate_write_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class CellResult:
    """A finished cell, with its diagnostics by key, the objects known to belong to its stages, and the source
    files that went into them (none where they are not known).

    ``build_refs`` are the diagnostics of what came after its configure step. ``is_whole``: every stage came
    to its own end, and all that it printed was read. ``parts`` is what it was made of, object by object.
    """

    cell: Cell
    diagnostics: Mapping[str, Diagnostic]
    objects: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    build_refs: tuple[DiagnosticRef, ...] = ()
    is_whole: bool = False
    parts: CellParts | None = None

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
        "verified": tuple(map(_build_verified, resolution.checks)),
        "config_sha256": resolution.config_sha256,
        "make": make_line,
        "state": State.UNREACHABLE if unreachable else State.NOT_RUN,
        "stages": (resolution.stage,) if resolution.stage.command else (),
        "reason": reason,
        "resolves_to": resolves_to,
    }
    return create_blank_cell(resolution.request).model_copy(update=update)


@lru_cache(maxsize=4096)
def _build_verified(check: SymbolCheck) -> Verified:
    # One value for all cells that have it: they are a third of what a cell takes.
    return Verified(symbol=check.symbol, want=check.want, got=check.got)


def finish_unconfigured_cell(cell: Cell, resolution: Resolution, log: CellLog) -> CellResult:
    """A cell whose configuration could not be made: its state is the configure step's."""
    cell = cell.model_copy(update={"reason": resolution.reason or None})
    return finish_cell(cell, [resolution.stage], pair_with_stage("configure", resolution.diagnostics), log)


def fail_cell(cell: Cell, reason: str) -> CellResult:
    """A cell that a fault of the machine ended: nothing is known of it."""
    return CellResult(cell.model_copy(update={"state": State.INFRA, "reason": reason}), {})


def pair_with_stage(stage: str, occurrences: Iterable[Occurrence]) -> list[StageOccurrence]:
    return [(item, stage) for item in occurrences]


def finish_cell(
    cell: Cell,
    records: list[StageRecord],
    occurrences: list[StageOccurrence],
    log: CellLog,
    objects: frozenset[str] = frozenset(),
) -> CellResult:
    """A cell of these stages, in order: its state is the worst of those that prove something."""
    state = find_worst_state(record.state for record in _select_proving_records(records))
    update = {
        "state": state,
        "evidence": None if state.row.kind is StateKind.ABANDONED else Evidence.BUILT,
        "stages": tuple(records),
        "diagnostics": tuple(build_diagnostic_refs(occurrences)),
        "log": log.name if log.path.exists() else None,
    }
    diagnostics = {item.diagnostic.key: item.diagnostic for item, _ in occurrences}
    # By themselves: what both print stands at the configure step alone in the row.
    built = build_diagnostic_refs(item for item in occurrences if item[1] != "configure")
    return CellResult(cell.model_copy(update=update), diagnostics, objects, build_refs=tuple(built))


def _select_proving_records(records: list[StageRecord]) -> list[StageRecord]:
    """A configure step that passed proves nothing about a build: it counts when it failed or warned."""
    first, *stages = records
    if not stages or first.state not in COMPLETE_STATES:
        return records
    proven = any(record.state is not State.EMPTY for record in stages)
    return [first, *stages] if proven else stages


def build_diagnostic_refs(occurrences: Iterable[StageOccurrence]) -> Iterator[DiagnosticRef]:
    """One for each diagnostic of each object: a later stage that repeats it adds nothing."""
    known: set[tuple[str, str | None]] = set()
    for item, stage in occurrences:
        pair = (item.diagnostic.key, item.object)
        if pair not in known:
            known.add(pair)
            yield DiagnosticRef(key=item.diagnostic.key, object=item.object, stage=stage)
