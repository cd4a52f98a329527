"""The rows of a profile with `cover`: asked for and resolved until they have all that Kconfig allows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import product

from matrix.builder.run_context import RunContext, Session
from matrix.catalog.load import parse_recorded_profile
from matrix.catalog.types import LaneRows, Profile
from matrix.covering_rows import RowAnswer, RowSearch, ValueRow
from matrix.errors import InterruptedRunError
from matrix.kconfig.config import Config
from matrix.plan import Request, find_cover_strength, list_axes
from matrix.record.events import EventSink, OutputLine, ProgressEvent, ProgressNote
from matrix.record.journal import Journal
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.resolve.resolution import find_actual_request

PlanResolver = Callable[[Session, Sequence[Request], EventSink], AbstractContextManager[RunContext]]
"""Resolves requests, as `resolve_plan` does."""


def cover_profile(session: Session, emit: EventSink, resolve_plan: PlanResolver) -> Session:
    """The session with a profile that has its rows, where it needs any and lacks them.

    InterruptedRunError when the user stopped it.
    """
    if not session.profile.lacks_rows:
        return session
    emit(ProgressNote("Kconfig is asked first which values go together."))
    lanes = _open_lanes(session)
    # Neither ends a plan: its rows would be others.
    free = session.profile.model_copy(update={"deadline": None, "fail_fast": False})
    asking = replace(session, profile=free)

    def emit_notes(event: ProgressEvent) -> None:
        if isinstance(event, ProgressNote | OutputLine):
            emit(event)

    while requests := {each.id: each for lane in lanes for each in lane.propose_requests()}:
        with resolve_plan(asking, tuple(requests.values()), emit_notes) as context:
            planned = context.journal.snapshot_run()
            if planned.interrupted:
                raise InterruptedRunError("interrupted while the plan was made")
            for lane in lanes:
                lane.learn([cell for cell in planned.cells if cell.id in requests], requests, context.journal)
    rows = tuple(lane.describe_rows() for lane in lanes)
    return replace(session, profile=session.profile.model_copy(update={"rows": rows}))


def take_recorded_rows(profile: Profile, run: Run) -> Profile:
    """A profile with the rows that a run of it has on record, where it has any."""
    rows = parse_recorded_profile(run.profile, f"the profile of {run.id}").rows
    return profile.model_copy(update={"rows": rows})


def _open_lanes(session: Session) -> list["_CoveredLane"]:
    """The lanes of the session's profile. All begin with the same rows, and go on so while answers are."""
    profile, symbols = session.profile, dict(sorted(session.profile.symbols.items()))
    strength = find_cover_strength(profile)
    return [
        _CoveredLane(session, names, RowSearch([*symbols.values()], strength, profile.cover_seed))
        for names in product(profile.arch, profile.toolchain, profile.base)
    ]


@dataclass
class _CoveredLane:
    """The rows of one lane while Kconfig is asked. ``names``: its arch, toolchain and base."""

    session: Session
    names: tuple[str, str, str]
    search: RowSearch
    _is_over: bool = False

    def propose_requests(self) -> Iterator[Request]:
        """The requests to resolve next."""
        symbols = sorted(self.session.profile.symbols)
        for row in () if self._is_over else self.search.propose_rows():
            yield Request(*self.names, tuple(zip(symbols, row, strict=True)))

    def learn(self, cells: Sequence[Cell], requests: Mapping[str, Request], journal: Journal) -> None:
        """Take what came of requests, of whatever lane. Where nothing of this one could be resolved, no more
        is asked for."""
        own = [cell for cell in cells if (cell.arch, cell.toolchain, cell.base) == self.names]
        answers = [self._read_answer(cell, requests[cell.id], journal) for cell in own if _is_answered(cell)]
        self._is_over = not answers
        self.search.learn(answers)

    def _read_answer(self, cell: Cell, request: Request, journal: Journal) -> RowAnswer:
        row = _list_row(request)
        if cell.is_reachable:
            return RowAnswer(row, True, row)
        axes = list_axes(self.session.profile)
        config = Config.parse(journal.load_config(str(cell.config_sha256)))
        actual = find_actual_request(request, self.session.catalog, axes, config)
        values = (value if value in axes[name] else None for name, value in actual.symbols)
        return RowAnswer(row, False, tuple(values))

    def describe_rows(self) -> LaneRows:
        """All rows that were asked for, those that Kconfig did not allow as well."""
        arch, toolchain, base = self.names
        return LaneRows(arch=arch, toolchain=toolchain, base=base, rows=self.search.rows)


def _is_answered(cell: Cell) -> bool:
    return cell.config_sha256 is not None and (cell.is_reachable or cell.state is State.UNREACHABLE)


def _list_row(request: Request) -> ValueRow:
    return tuple(value for _, value in request.symbols)
