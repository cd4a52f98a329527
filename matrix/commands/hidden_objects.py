"""Hidden objects of recorded runs, made again by themselves: where, from which tree, and for how many."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from matrix.builder.cell_record import CellLog
from matrix.builder.lane_dir import LaneDirectory
from matrix.builder.lanes import Lane
from matrix.builder.look_through import DemotingBuilder, HiddenTarget
from matrix.builder.run_context import Session
from matrix.commands.restore import restore_session
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment
from matrix.errors import MachineError, RequestError
from matrix.findings.make_steps import find_object_target
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import translate_foreign_faults
from matrix.record.demoted_build import DemotedBuild, HiddenObject
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Cell

LOG_NAME = "look-through.log"
"""The log of such builds, beside the cell's own."""
MAX_OBJECTS = 200
"""Objects that are made for one verdict: a header that every object includes may hide thousands."""

Builds = dict[HiddenObject, DemotedBuild]


def build_hidden_objects(
    sides: Sequence[StoredRun],
    hidden: Collection[HiddenObject],
    emit: EventSink,
    environment: Environment = LOCAL_ENVIRONMENT,
) -> Builds:
    """How each of these came out with its promoted warnings demoted.

    What a fault of the machine, or a source that is gone, keeps from being made has that as its reason.
    """
    stored_by_directory = {stored.directory: stored for stored in sides}
    wanted = sorted(hidden)
    builds: Builds = {
        item: DemotedBuild(reason=f"only {MAX_OBJECTS} objects are made for one verdict")
        for item in wanted[MAX_OBJECTS:]
    }
    for run, group in groupby(wanted[:MAX_OBJECTS], key=lambda item: item.run):
        stored = stored_by_directory[run]
        for lane, items in _group_by_lane(stored, group):
            builds |= _build_in_lane(stored, lane, items, emit, environment)
    return builds


def _group_by_lane(
    stored: StoredRun, hidden: Iterable[HiddenObject]
) -> Iterator[tuple[Lane, Sequence[HiddenObject]]]:
    """The lanes that these objects' cells belong to, so that each is copied once."""
    by_lane: dict[tuple[str, str, str], list[HiddenObject]] = {}
    for item in hidden:
        cell = stored.find_cell(item.cell)
        by_lane.setdefault((cell.arch, cell.toolchain, cell.base), []).append(item)
    yield from ((Lane(*fields, ()), items) for fields, items in by_lane.items())


def _build_in_lane(
    stored: StoredRun,
    lane: Lane,
    hidden: Sequence[HiddenObject],
    emit: EventSink,
    environment: Environment,
) -> Builds:
    builds: Builds = {}
    try:
        with (
            restore_session(stored.run, lane.toolchain, emit, environment) as session,
            translate_foreign_faults(),
            _open_copy(session, lane, stored.find_cell(hidden[0].cell)) as directory,
        ):
            for name, group in groupby(hidden, key=lambda item: item.cell):
                items, cell = list(group), stored.find_cell(name)
                objects = ", ".join(item.object for item in items[:3]) + (", …" if len(items) > 3 else "")
                emit(ProgressNote(f"Looking at {objects} through other errors, in {name}."))
                builds |= _build_in_cell(stored, cell, items, session, directory)
    except (MachineError, RequestError) as error:
        return {item: DemotedBuild(reason=str(error)) for item in hidden} | builds
    return builds


def _open_copy(session: Session, lane: Lane, cell: Cell) -> AbstractContextManager[LaneDirectory]:
    """A copy of a lane that is gone at the end: with other flags than the cells', nothing that is made in it
    may be there for the next run."""
    return session.open_lane(lane, session.find_stages(lane.arch), cell.make_variables, copy=True)


def _build_in_cell(
    stored: StoredRun,
    cell: Cell,
    hidden: Sequence[HiddenObject],
    session: Session,
    directory: LaneDirectory,
) -> Builds:
    targets = [_describe_target(item, cell, stored) for item in hidden]
    steps = session.create_step_runner(name_look_owner(stored))
    runner = session.create_make_runner(steps, cell.toolchain, cell.make_variables, lambda: directory.build)
    log = _find_log(cell, stored.directory)
    with log.open_sink() as append_line:
        builder = DemotingBuilder(directory, runner, cell.id, stored.load_config(cell), append_line)
        made = builder.build([item for item in targets if item.target])
    unnamed = DemotedBuild(reason="its name cannot stand in a command")
    kept = log.name if log.path.exists() else None
    return {item: replace(made.get(item.object, unnamed), log=kept) for item in hidden}


def name_look_owner(stored: RunDirectory) -> str:
    """Whom the containers of such builds belong to: a verdict that goes on finds what was left at work."""
    return f"look-{stored.unique_name}"


def _describe_target(item: HiddenObject, cell: Cell, stored: StoredRun) -> HiddenTarget:
    known = stored.run.diagnostics
    errors = (known[ref.key] for ref in cell.proven_diagnostics if ref.object == item.object)
    return HiddenTarget(
        item.object,
        find_object_target(item.object, cell, stored),
        tuple(error for error in errors if error.severity == "error"),
    )


def _find_log(cell: Cell, directory: Path) -> CellLog:
    name = str(Path(cell.log).with_name(LOG_NAME)) if cell.log else LOG_NAME
    return CellLog(directory / name, name)
