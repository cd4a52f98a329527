"""Builds cells whose results were taken from somewhere once more, in empty directories, and compares."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from matrix.catalog.types import Profile, parse_share
from matrix.commands.run import build_cell_alone
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, prepare_session
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.plan import plan_requests
from matrix.record.events import EventSink, ProgressNote
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Cell, Run
from matrix.record.states import UNTRIED_STATES, Evidence

_TAKEN = frozenset({Evidence.REMEMBERED, Evidence.SAME_OBJECTS, Evidence.SAME_CONFIG})


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
    untried, wrong = 0, 0
    with (
        prepare_session(profile, emit, environment, needs_focus=False) as session,
        TemporaryDirectory(prefix="kmatrix-verify-") as scratch,
    ):
        alone = replace(session, scratch=Path(scratch))
        for number, cell in enumerate(cells):
            again = build_cell_alone(alone, requests[cell.id], Path(scratch) / str(number))
            if again.run.interrupted:
                raise KeyboardInterrupt
            (built,) = again.run.cells
            untried += built.state in UNTRIED_STATES
            differences = list(compare_cell_builds(stored, cell, again, built))
            wrong += bool(differences) and built.state not in UNTRIED_STATES
            for text in differences:
                emit(ProgressNote(f"verify: {cell.id}: {text}"))
    emit(ProgressNote(f"Verified {len(cells)} of the cells that were not built: {wrong} differ."))
    if wrong:
        return ExitCode.BUG
    return ExitCode.MACHINE_FAULT if untried else ExitCode.PASSED


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


def _list_diagnostics(run: Run, cell: Cell) -> frozenset[str]:
    shown = ((ref, run.diagnostics[ref.key]) for ref in cell.diagnostics)
    return frozenset(
        f"{item.location}: {item.message} ({ref.object or ref.stage}, {ref.key})" for ref, item in shown
    )


def _compare_lists(what: str, known: frozenset[str], built: frozenset[str]) -> Iterator[str]:
    yield from (f"the {what} {name} was there, and is not" for name in _sort_first(known - built))
    yield from (f"the {what} {name} was not there, and is" for name in _sort_first(built - known))


def _sort_first(names: frozenset[str]) -> Sequence[str]:
    return sorted(names)[:20]
