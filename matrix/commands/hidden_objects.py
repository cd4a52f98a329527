"""Hidden objects of recorded runs, made again by themselves: where, from which tree, and for how many."""

import secrets
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from matrix.builder.cell_record import CellLog
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
    for (run, cell), group in groupby(wanted[:MAX_OBJECTS], key=lambda item: item[:2]):
        items, stored = list(group), stored_by_directory[run]
        names = ", ".join(item.object for item in items[:3]) + (", …" if len(items) > 3 else "")
        emit(ProgressNote(f"Looking at {names} through other errors, in {cell}."))
        builds |= _build_in_cell(stored, stored.find_cell(cell), items, emit, environment)
    return builds


def _build_in_cell(
    stored: StoredRun,
    cell: Cell,
    hidden: Sequence[HiddenObject],
    emit: EventSink,
    environment: Environment,
) -> Builds:
    targets = [_describe_target(item, cell, stored) for item in hidden]
    possible = [item for item in targets if item.target]
    log = _find_log(cell, stored.directory)
    try:
        config = stored.load_config(cell)
        with (
            restore_session(stored.run, cell.toolchain, emit, environment) as session,
            translate_foreign_faults(),
            _open_builder(session, cell, config, log) as builder,
        ):
            made = builder.build(possible)
    except (MachineError, RequestError) as error:
        made = {item.object: DemotedBuild(reason=str(error)) for item in possible}
    unnamed = DemotedBuild(reason="its name cannot stand in a command")
    kept = log.name if log.path.exists() else None
    return {item: replace(made.get(item.object, unnamed), log=kept) for item in hidden}


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


@contextmanager
def _open_builder(session: Session, cell: Cell, config: str, log: CellLog) -> Iterator[DemotingBuilder]:
    """What builds in a copy of the cell's lane, which is gone at the end: with other flags than the cell's,
    nothing of it may be there for the next."""
    lane = Lane(cell.arch, cell.toolchain, cell.base, ())
    stages, variables = session.find_stages(cell.arch), cell.make_variables
    steps = session.create_step_runner(f"look-{secrets.token_hex(4)}")
    with (
        session.open_lane(lane, stages, variables, copy=True) as directory,
        log.open_sink() as append_line,
    ):
        runner = session.create_make_runner(steps, cell.toolchain, variables, lambda: directory.build)
        yield DemotingBuilder(directory, runner, cell.id, config, append_line)
