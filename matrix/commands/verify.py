"""Builds remembered cells again, in empty directories, and compares."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from matrix.builder.object_comparison import ComparedObjects, compare_objects
from matrix.builder.run_context import Session
from matrix.catalog.types import Profile, parse_share
from matrix.commands.cover import take_recorded_rows
from matrix.commands.restore import list_changes, restore_session
from matrix.commands.run import build_cell_alone
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment
from matrix.errors import MachineError, RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.memory.layers import Memory
from matrix.plan import Request, plan_requests
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Cell, Run
from matrix.record.states import REUSED_EVIDENCE, UNTRIED_STATES

_MAX_SHOWN = 20


def verify_run(
    profile: Profile, stored: StoredRun, emit: EventSink, environment: Environment = LOCAL_ENVIRONMENT
) -> ExitCode:
    """Build the share of a run's remembered cells again that the profile asks for, of the run's own tree.

    Every difference is told as a note. BUG where there is any, MACHINE_FAULT where a cell could not be tried.
    MachineError where what the run was made of has changed since: nothing can be compared then.
    """
    share = parse_share(profile.verify or "0")
    if not share:
        return ExitCode.PASSED
    cells = choose_verified_cells(stored.run, share)
    if not cells or stored.run.interrupted:
        why = "the run was interrupted" if stored.run.interrupted else "no cell of this run is remembered"
        emit(ProgressNote(f"Nothing to verify: {why}."))
        return ExitCode.PASSED
    requests = {request.id: request for request in plan_requests(take_recorded_rows(profile, stored.run))}
    tally = _Tally()
    with (
        _reopen_session(profile, stored.run, emit, environment) as session,
        _open_empty_directories(session) as empty,
    ):
        for cell in cells:
            for text in tally.count_cell(stored, cell, empty.build(requests[cell.id])):
                emit(ProgressNote(f"verify: {cell.id}: {text}"))
    emit(ProgressNote(tally.describe()))
    return tally.find_exit_code()


@dataclass
class _Tally:
    """How many cells, and objects of them, were compared; how many cells differ, or could not be tried."""

    cells: int = 0
    objects: int = 0
    differing: int = 0
    untried: int = 0

    def count_cell(self, stored: StoredRun, cell: Cell, built: "_CellAlone") -> Sequence[str]:
        """Count a cell that was built again; what there is to tell of it, in sentences."""
        if built.cell.state in UNTRIED_STATES:
            self.untried += 1
            return [f"could not be tried: {built.cell.reason or built.cell.state}"]
        differences = [*compare_cell_builds(stored, cell, built.run, built.cell)]
        differences += describe_objects(built.objects)
        self.cells += 1
        self.objects += built.objects.count
        self.differing += bool(differences)
        return differences

    def describe(self) -> str:
        cells, objects = _count(self.cells, "cell"), _count(self.objects, "object")
        differ = f"{_count(self.differing, 'cell')} {'differs' if self.differing == 1 else 'differ'}"
        untried = f"; {_count(self.untried, 'cell')} could not be tried" if self.untried else ""
        return (
            f"Verified {cells}, and the content of {objects}: "
            f"{differ if self.differing else 'none differs'}{untried}."
        )

    def find_exit_code(self) -> ExitCode:
        if self.differing:
            return ExitCode.BUG
        return ExitCode.MACHINE_FAULT if self.untried else ExitCode.PASSED


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


@contextmanager
def _reopen_session(
    profile: Profile, run: Run, emit: EventSink, environment: Environment
) -> Iterator[Session]:
    """The session that a run was made in, with its own tree and images, whatever became of where they came
    from. MachineError where they are gone, or where a base's file was edited since."""
    hint = "run it again; a source that may be edited meanwhile is better named as --source DIR@REV"
    with ExitStack() as stack:
        try:
            session = stack.enter_context(restore_session(run, None, emit, environment))
        except RequestError as error:
            raise MachineError(f"nothing can be verified: {error}", hint) from error
        changed = [*list_changes(session, run)]
        if changed:
            raise MachineError(
                f"nothing can be verified: since the run {' and '.join(changed)} changed", hint
            )
        yield replace(session, profile=profile)


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
            "verify",
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
    """That share of the remembered cells, of whatever kind, at least one of them where it is not 0.

    Other ones in each run, and spread over all.
    """
    reused = [cell for cell in run.cells if cell.evidence in REUSED_EVIDENCE]
    reused.sort(key=lambda cell: hashlib.sha256(f"{run.id} {cell.id}".encode()).digest())
    chosen = {cell.id for cell in reused[: math.ceil(share * len(reused))]}
    return [cell for cell in run.cells if cell.id in chosen]


def compare_cell_builds(stored: RunDirectory, cell: Cell, again: RunDirectory, built: Cell) -> Iterator[str]:
    """What differs between a remembered cell and the same one built again, in sentences."""
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
    for names, change in ((known - built, "was there, and is not"), (built - known, "was not there, and is")):
        yield from (f"the {what} {name} {change}" for name in sorted(names)[:_MAX_SHOWN])
        if len(names) > _MAX_SHOWN:
            yield f"{_count(len(names) - _MAX_SHOWN, f'more {what}')}: {change}"
