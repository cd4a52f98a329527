"""A machine that builds for runs of others: each visit is a small run of some cells, and goes back whole."""

import hashlib
import json
import re
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from matrix.builder.cell_record import create_blank_cell
from matrix.builder.lane_worker import run_lanes
from matrix.builder.lanes import group_into_lanes
from matrix.builder.run_context import JobBudget, RunContext, Session
from matrix.cluster.visits import NotOpen, Opened, Report, VisitOrder, VisitResult
from matrix.code_digest import compute_program_digest
from matrix.commands.restore import list_changes, restore_session
from matrix.commands.run import RunBegin, SharedParts, open_job_pool, record_run
from matrix.commands.session import Environment, build_tool_record
from matrix.commands.shards import order_cells
from matrix.errors import MachineError
from matrix.foreign_trees import walk_tree
from matrix.plan import Request, plan_requests
from matrix.record.events import ProgressEvent, StageStarted
from matrix.record.run_directory import RunDirectory, read_configure_sizes
from matrix.record.run_model import Run, Tool
from matrix.shards.lane_split import KnownTime
from matrix.source.cache import SourceCache
from matrix.source.transport import unpack_tree

_IDLE_SECONDS = 600.0
"""After so long without a visit a run is taken for one whose client is gone."""
_LANES_AHEAD = 10**6
"""Lanes of a run that may come here: nobody knows how many, so no share of the jobs grows by their end."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FOLDERS = ("configs", "objects", "sources", "cells")


@dataclass(frozen=True)
class HostLimits:
    """What a worker gives: visits at once, compile jobs in all (None: as many as processors), and the memory
    of a container (None: its share of the machine)."""

    lanes: int
    jobs: int | None = None
    memory: str | None = None


@dataclass
class _OpenRun:
    """A run that visits are made for, as long as ``on_close`` is not closed."""

    record: bytes
    run: Run
    session: Session
    requests: Mapping[str, Request]
    parts: SharedParts
    on_close: ExitStack
    used: float = field(default_factory=monotonic)
    visits: int = 0

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(self.requests)


class VisitHost:
    """What a worker does with what it is asked for; see `matrix.cluster.visits.WorkerHost`.

    The owners of its containers end with the ``token``, which no other worker has.
    """

    def __init__(self, environment: Environment, limits: HostLimits, token: str, report: Report) -> None:
        self._environment = environment
        self._limits = limits
        self._token = token
        self._report = report
        self._runs: dict[str, _OpenRun] = {}
        self._cancels: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._lanes_at_work: dict[str, str] = {}
        self._cells, self._began = 0, monotonic()
        self._is_ending = False
        # As it is now: the checkout may be changed while this process goes on.
        self._code = compute_program_digest()

    def open_run(self, ticket: str, name: str, record: bytes, code: str) -> Opened:
        """Prepare to build for a run, unless something here is not as it is where the run is."""
        with self._note_order(ticket):
            run = Run.model_validate_json(record)
            self._close_idle_runs()
            refusal = self._find_refusal(run, code)
            if refusal or self._is_open(name, record):
                return Opened(refusal)
            cache = self._environment.open_cache()
            if cache.find(run.source.digest) is None:
                return Opened(lacks_tree=True)
            with ExitStack() as stack:
                session = stack.enter_context(restore_session(run, None, lambda _: None, self._environment))
                changed = list(list_changes(session, run))
                if changed:
                    return Opened(f"{', '.join(changed)} is another here")
                parts = self._share_parts(session, name, stack)
                requests = {request.id: request for request in plan_requests(session.profile)}
                opened = _OpenRun(record, run, self._fit_session(session), requests, parts, stack.pop_all())
            with self._lock:
                self._runs[name] = opened
            return Opened()

    def _is_open(self, name: str, record: bytes) -> bool:
        """Whether this very run is open; one of its name that is another, as it was resumed, is closed."""
        with self._lock:
            opened = self._runs.get(name)
            if opened is None or opened.record == record:
                return opened is not None
            if opened.visits:
                raise MachineError("it is still at work on what this run was before")
            del self._runs[name]
        opened.on_close.close()
        return False

    def _find_refusal(self, run: Run, code: str) -> str:
        """Why nothing can be built for a run here: another kmatrix, and other compilers than its own, must
        never be mixed in."""
        if code != self._code:
            return _describe_other_code(run.tool)
        engine = self._environment.find_engine()
        missing = [
            f"{record.image}, {record.image_id}"
            for record in run.toolchains.values()
            if engine.find_image_id(record.image_id) is None
        ]
        if missing:
            return f"it lacks the image {missing[0]}: ./inv images --save FILE, and there --load FILE"
        return ""

    def _fit_session(self, session: Session) -> Session:
        """The run's session with this machine's own limits. What ends a run is its own machine's to say."""
        limits: dict[str, object] = {"jobs": self._limits.jobs, "lanes": self._limits.lanes}
        limits |= {"memory": self._limits.memory or session.profile.memory}
        limits |= {"deadline": None, "fail_fast": False}
        return replace(session, profile=session.profile.model_copy(update=limits))

    def _share_parts(self, session: Session, name: str, stack: ExitStack) -> SharedParts:
        lanes = self._limits.lanes
        fitted = self._fit_session(session)
        pool = stack.enter_context(open_job_pool(fitted, lanes))
        owner = f"{name}-{self._token}"
        return SharedParts(name, owner, lanes, JobBudget(fitted.jobs, lanes, _LANES_AHEAD, pool))

    def receive_tree(
        self, ticket: str, name: str, digest: str, part: int, content: bytes, is_last: bool
    ) -> Opened:
        """Take a part of a packed tree; with the last one it is unpacked into the cache."""
        with self._note_order(ticket):
            cache = self._environment.open_cache()
            packed = _locate_packed_tree(cache, name, digest)
            packed.parent.mkdir(parents=True, exist_ok=True)
            with cache.translate_disk_errors(), packed.open("wb" if part == 0 else "ab") as file:
                file.write(content)
            if is_last:
                try:
                    unpack_tree(packed, digest, cache)
                finally:
                    packed.unlink()
            return Opened()

    def visit(self, ticket: str, order: VisitOrder) -> VisitResult | NotOpen:
        """Resolve or build cells, where the run is open here."""
        with self._note_order(ticket) as cancel:
            with self._lock:
                opened = self._runs.get(order.run)
                if opened is None:
                    return NotOpen()
                # From now on it is not idle.
                opened.visits += 1
            with self._note_visit(ticket, opened, order):
                return self._make_visit(opened, order, cancel)

    @contextmanager
    def _note_visit(self, ticket: str, opened: _OpenRun, order: VisitOrder) -> Iterator[None]:
        try:
            (lane,) = group_into_lanes(opened.requests[name] for name in order.ids)
            with self._lock:
                self._lanes_at_work[ticket] = lane.name
            yield
        finally:
            with self._lock:
                opened.visits -= 1
                opened.used = monotonic()
                self._lanes_at_work.pop(ticket, None)
                self._cells += len(order.ids) if order.build else 0

    def _make_visit(self, opened: _OpenRun, order: VisitOrder, cancel: threading.Event) -> VisitResult:
        requests = [opened.requests[name] for name in order.ids]
        times: dict[str, KnownTime] = {}
        with TemporaryDirectory(prefix="kmatrix-visit-") as place:
            update = {"cells": tuple(map(create_blank_cell, requests)), "started": datetime.now(UTC)}
            begun = RunDirectory(opened.run.model_copy(update=update), Path(place))
            begin = RunBegin(parts=opened.parts)
            with record_run(
                opened.session, requests, begun, self._emit, build=order.build, begin=begin
            ) as context:
                steps = replace(context.steps, cancel=cancel)
                own = replace(context, steps=steps, elsewhere=opened.ids, note_time=times.__setitem__)
                run_lanes(own)
            return _pack_visit(context, times, build=order.build)

    def _emit(self, event: ProgressEvent) -> None:
        if isinstance(event, StageStarted):
            self._report(event.lane, event.cell, event.stage)

    def close_run(self, ticket: str, name: str) -> Opened:
        """Drop what was prepared for a run."""
        with self._note_order(ticket), self._lock:
            opened = self._runs.pop(name, None)
        if opened is not None:
            opened.on_close.close()
        return Opened()

    def _close_idle_runs(self) -> None:
        oldest = monotonic() - _IDLE_SECONDS
        with self._lock:
            idle = [name for name, each in self._runs.items() if not each.visits and each.used < oldest]
            closed = [self._runs.pop(name) for name in idle]
        for opened in closed:
            opened.on_close.close()

    def cancel(self, ticket: str) -> None:
        """End what an order began: its containers are killed."""
        with self._lock:
            event = self._cancels.get(ticket)
        if event is not None:
            event.set()

    def describe(self) -> dict[str, object]:
        """What it is at, for `WorkerState`: every second it goes to the scheduler."""
        with self._lock:
            lanes, seconds = sorted(self._lanes_at_work.values()), monotonic() - self._began
            return {"lanes": lanes, "cells": self._cells, "seconds": round(seconds, 1)}

    def close(self) -> None:
        """End all that is at work, and take no order any more."""
        with self._lock:
            self._is_ending = True
            events = [*self._cancels.values()]
        for event in events:
            event.set()

    @property
    def is_ending(self) -> bool:
        """Whether it was closed."""
        return self._is_ending

    @property
    def is_idle(self) -> bool:
        """Whether nothing is at work."""
        with self._lock:
            return not self._cancels

    @contextmanager
    def _note_order(self, ticket: str) -> Iterator[threading.Event]:
        event = threading.Event()
        with self._lock:
            self._cancels[ticket] = event
            if self._is_ending:
                event.set()
        try:
            yield event
        finally:
            with self._lock:
                self._cancels.pop(ticket, None)


def _describe_other_code(other: Tool) -> str:
    names = [f"{each.version} {each.commit or ''}".strip() for each in (build_tool_record(), other)]
    if names[0] == names[1]:
        return f"its kmatrix, {names[0]}, was changed here or where the run is"
    return f"kmatrix is {names[0]}, and the run's is {names[1]}"


def _locate_packed_tree(cache: SourceCache, name: str, digest: str) -> Path:
    """Where the parts of a tree are put together; each run has its own. MachineError for no digest."""
    if not _DIGEST.fullmatch(digest):
        raise MachineError(f"{digest!r} is no digest of a source", "run again")
    # In no import area: those are gone with the thread that made them, and parts come in any. But it is named
    # as one that nobody keeps locked, so that a sweep removes it; the sender then begins again.
    own = hashlib.sha256(f"{name}/{digest}".encode()).hexdigest()[:32]
    return cache.layout.sources / f"{cache.layout.import_area_prefix}{own}"


def _pack_visit(context: RunContext, times: Mapping[str, KnownTime], *, build: bool) -> VisitResult:
    journal = context.journal
    run = journal.snapshot_run()
    waiting = () if build else tuple(order_cells(run.cells, journal, times))
    packed = zlib.compress(run.model_dump_json(by_alias=True).encode(), level=1)
    # What a configuration is was sent back when it was made.
    folders = [folder for folder in _FOLDERS if not (build and folder == "configs")]
    return VisitResult(
        run=packed,
        files=dict(_pack_files(journal.directory, folders)),
        order=json.dumps([cell.model_dump(mode="json") for cell in waiting]).encode(),
        log_sizes=read_configure_sizes(journal.directory),
    )


def _pack_files(directory: Path, folders: list[str]) -> Iterator[tuple[str, bytes]]:
    for folder in folders:
        if (directory / folder).is_dir():
            for entry in walk_tree(directory / folder):
                if entry.is_file:
                    content = (directory / folder / entry.path).read_bytes()
                    yield f"{folder}/{entry.path}", zlib.compress(content, level=1)
