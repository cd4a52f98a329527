"""Builds cells whose results were taken from somewhere once more, in empty directories, and compares."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from matrix.builder.object_comparison import ComparedObjects, compare_objects
from matrix.builder.run_context import Session
from matrix.catalog.types import Profile, parse_share
from matrix.commands.run import build_cell_alone
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, prepare_session
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.memory.layers import Memory
from matrix.plan import Request, plan_requests
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Cell, Run
from matrix.record.states import UNTRIED_STATES, Evidence

_TAKEN = frozenset({Evidence.REMEMBERED, Evidence.SAME_OBJECTS, Evidence.SAME_CONFIG})
_MAX_SHOWN = 20


def verify_run(
    profile: Profile, stored: StoredRun, emit: EventSink, environment: Environment = LOCAL_ENVIRONMENT
) -> ExitCode:
    """Build the share of a run's cells again that the profile asks for, of those that were not built.

    Every difference is told as a note. BUG where there is any, MACHINE_FAULT where a cell could not be tried.
    """
    cells = choose_verified_cells(stored.run, parse_share(profile.verify or "0"))
    if not cells or stored.run.interrupted:
        return ExitCode.PASSED
    requests = {request.id: request for request in plan_requests(profile)}
    untried, wrong, compared = 0, 0, 0
    with (
        prepare_session(profile, emit, environment, needs_focus=False) as session,
        _open_empty_directories(session) as empty,
    ):
        for cell in cells:
            built = empty.build(requests[cell.id])
            untried += built.cell.state in UNTRIED_STATES
            compared += built.objects.count
            differences = [*compare_cell_builds(stored, cell, built.run, built.cell)]
            differences += describe_objects(built.objects)
            wrong += bool(differences) and built.cell.state not in UNTRIED_STATES
            for text in differences:
                emit(ProgressNote(f"verify: {cell.id}: {text}"))
    what = f"{len(cells)} of the cells that were not built, and the content of {compared} objects"
    emit(ProgressNote(f"Verified {what}: {wrong} cells differ."))
    if wrong:
        return ExitCode.BUG
    return ExitCode.MACHINE_FAULT if untried else ExitCode.PASSED


class _CellAlone(NamedTuple):
    """A cell that was built alone, the run that it is in, and its objects against those on record."""

    run: StoredRun
    cell: Cell
    objects: ComparedObjects


@dataclass
class _EmptyDirectories:
    """Builds cells, each in an empty directory. ``memory`` is what their objects are compared with."""

    session: Session
    place: Path
    memory: Memory
    _count: int = 0

    def build(self, request: Request) -> _CellAlone:
        """Build a request; KeyboardInterrupt where the user ended that."""
        alone, tree = replace(self.session, scratch=self.place), self.session.tree_contents
        compared = [ComparedObjects(0, {})]
        self._count += 1
        run = build_cell_alone(
            alone,
            request,
            self.place / str(self._count),
            lambda built: compared.append(compare_objects(built, self.memory, tree)),
        )
        if run.run.interrupted:
            raise KeyboardInterrupt
        (cell,) = run.run.cells
        return _CellAlone(run, cell, compared[-1])


@contextmanager
def _open_empty_directories(session: Session) -> Iterator[_EmptyDirectories]:
    # Not the session's own: --fresh leaves out what other runs remembered, and the run's name is not known.
    memory = Memory(session.cache.layout.memory, session.tree.patches, "verify")
    with closing(memory), TemporaryDirectory(prefix="kmatrix-verify-") as scratch:
        yield _EmptyDirectories(session, Path(scratch), memory)


def choose_verified_cells(run: Run, share: float) -> list[Cell]:
    """That share of the cells that were not built, at least one of them where it is not 0.

    Other ones in each run, and spread over all.
    """
    taken = [cell for cell in run.cells if cell.evidence in _TAKEN]
    taken.sort(key=lambda cell: hashlib.sha256(f"{run.id} {cell.id}".encode()).digest())
    chosen = {cell.id for cell in taken[: math.ceil(share * len(taken))]}
    return [cell for cell in run.cells if cell.id in chosen]


def compare_cell_builds(stored: RunDirectory, cell: Cell, again: RunDirectory, built: Cell) -> Iterator[str]:
    """What differs between a cell that was taken from somewhere and the same one built, in sentences."""
    if cell.state is not built.state:
        reason = f": {built.reason}" if built.reason else ""
        yield f"the state was {cell.state}, and is {built.state}{reason}"
    if cell.config_sha256 != built.config_sha256:
        yield f"the configuration was {cell.config_sha256}, and is {built.config_sha256}"
    yield from _compare_lists("object", stored.load_objects(cell), again.load_objects(built))
    yield from _compare_lists(
        "diagnostic", _list_diagnostics(stored.run, cell), _list_diagnostics(again.run, built)
    )


def describe_objects(objects: ComparedObjects) -> Iterator[str]:
    """Which of a cell's objects have another content than the memory has of them, in sentences."""
    for path, (known, built) in sorted(objects.differing.items())[:_MAX_SHOWN]:
        yield f"the content of {path} without debug information was {known}, and is {built}"
    if len(objects.differing) > _MAX_SHOWN:
        yield f"the content of {len(objects.differing) - _MAX_SHOWN} more objects differs"


def _list_diagnostics(run: Run, cell: Cell) -> frozenset[str]:
    shown = ((ref, run.diagnostics[ref.key]) for ref in cell.diagnostics)
    return frozenset(
        f"{item.location}: {item.message} ({ref.object or ref.stage}, {ref.key})" for ref, item in shown
    )


def _compare_lists(what: str, known: frozenset[str], built: frozenset[str]) -> Iterator[str]:
    yield from (f"the {what} {name} was there, and is not" for name in _sort_first(known - built))
    yield from (f"the {what} {name} was not there, and is" for name in _sort_first(built - known))


def _sort_first(names: frozenset[str]) -> Sequence[str]:
    return sorted(names)[:_MAX_SHOWN]
