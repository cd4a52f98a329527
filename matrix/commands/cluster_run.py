"""A run whose lanes are worked on by other machines. Its journal here is the truth; workers keep nothing."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from time import monotonic

from matrix.builder.lanes import weigh_template
from matrix.builder.run_context import RunContext
from matrix.cluster.lane_queue import MAX_FAILURES, MAX_LOSSES, LaneQueue
from matrix.cluster.queued_lane import Unit
from matrix.cluster.visits import (
    Answer,
    Cluster,
    Ending,
    NotOpen,
    Opened,
    VisitFault,
    VisitOrder,
    VisitResult,
)
from matrix.code_digest import compute_program_digest
from matrix.commands.visit_results import VisitReader
from matrix.record.events import LaneFinished, ProgressNote
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.shards.lane_split import PlannedCell
from matrix.source.transport import pack_tree

PATIENCE = 60.0
"""Seconds that a run waits while no worker is there that builds for it."""
_OPENINGS = 3
"""A worker that so often could not open the run, of a fault of its machine, is left out."""
_OPENING_PAUSE = 5.0
"""Seconds before it is asked again."""
_CLOSE_SECONDS = 5.0
"""What workers may take to close the run at its end."""
_PART_BYTES = 4 * 2**20
"""Of a packed tree, in one message."""
_POLL_SECONDS = 0.5


@dataclass
class _Worker:
    """One that can be reached. ``slots``: orders at once; ``busy`` of them are at work. It ``is_ready`` when
    the run is open there, never where there is a ``refusal``. ``sent``: bytes of the tree so far. ``faults``:
    so often the run could not be opened; ``wakes``: when that is tried again, on the monotonic clock."""

    address: str
    slots: int
    busy: int = 0
    is_ready: bool = False
    refusal: str = ""
    sent: int = 0
    faults: int = 0
    wakes: float | None = None

    @property
    def is_free(self) -> bool:
        return self.is_ready and self.busy < self.slots


@dataclass
class _Order:
    """What a worker was asked for, and when. Without a ``unit`` it is being made ready."""

    worker: str
    unit: Unit | None
    began: float
    elapsed: float


def work_on_cluster(cluster: Cluster, context: RunContext) -> None:
    """Let workers resolve and build all lanes of a run. What each sends back is recorded here.

    Ends without those cells that no worker is left for: they are `not-run`, and a resumed run builds them.
    """
    ClusterRun(cluster, context).run()


class ClusterRun:
    """A run while workers are at it, in one thread."""

    def __init__(self, cluster: Cluster, context: RunContext) -> None:
        self._cluster = cluster
        self._context = context
        self._queue = LaneQueue()
        self._workers: dict[str, _Worker] = {}
        self._orders: dict[str, _Order] = {}
        self._reader = VisitReader(context)
        self._finished_lanes: set[str] = set()
        self._alone_since = monotonic()
        self._named: set[str] = set()
        self._tree = ExitStack()

    def run(self) -> None:
        toolchains = self._context.session.catalog.toolchains
        for lane in self._context.lanes:
            unit = Unit(lane.name, tuple(request.id for request in lane.requests), resolves=True)
            self._queue.add_lane(lane.name, [unit], weigh_template(toolchains[lane.toolchain].template))
        try:
            while not self._queue.is_empty:
                self._follow_workers()
                self._stop_or_start()
                self._take_answers()
        except KeyboardInterrupt:
            self._drain("not started: interrupted")
            raise
        finally:
            self._tree.close()
            # What ended the run is told, not what that broke here; workers close what is idle themselves.
            with suppress(Exception):
                self._close_run()

    def _close_run(self) -> None:
        """Take back all orders, and wait a moment for the workers to close the run."""
        for ticket in [*self._orders]:
            self._cluster.cancel(ticket)
        ready = [worker.address for worker in self._workers.values() if worker.is_ready]
        waiting = {self._cluster.order(address, "close_run", self._name) for address in ready}
        deadline = monotonic() + _CLOSE_SECONDS
        while waiting and (left := deadline - monotonic()) > 0:
            waiting.discard(self._cluster.answers.get(timeout=left)[0])

    @property
    def _name(self) -> str:
        return self._context.steps.owner

    @property
    def _ready(self) -> set[str]:
        return {worker.address for worker in self._workers.values() if worker.is_ready}

    def _follow_workers(self) -> None:
        """Ask those that are new whether they can build for this run; give up those that are gone."""
        present = self._cluster.list_workers()
        for address in self._workers.keys() - present.keys():
            self._lose_worker(address)
        for address, slots in present.items():
            if address not in self._workers:
                self._workers[address] = worker = _Worker(address, slots)
                self._open_run(worker)
        self._open_again()
        if self._ready:
            for unit in self._queue.take_stranded(self._ready):
                self._give_up(unit, "no worker is left that could try it")
        if any(self._is_of_use(worker) for worker in self._workers.values()):
            self._alone_since = monotonic()

    def _is_of_use(self, worker: _Worker) -> bool:
        """Whether a worker builds for this run, or may soon."""
        return not worker.refusal and not self._queue.is_left_alone(worker.address)

    def _open_again(self) -> None:
        for worker in self._workers.values():
            if worker.wakes is not None and monotonic() >= worker.wakes:
                worker.wakes = None
                self._open_run(worker)

    def _lose_worker(self, address: str) -> None:
        del self._workers[address]
        self._give_to_others(address, counts=True)

    def _leave_ending(self, worker: _Worker) -> None:
        """Expect nothing more of a worker that ends; it is listed for a moment yet."""
        worker.refusal, worker.is_ready = "it ends", False
        self._give_to_others(worker.address, counts=False)

    def _give_to_others(self, address: str, *, counts: bool) -> None:
        for ticket, order in [*self._orders.items()]:
            if order.worker == address:
                del self._orders[ticket]
                self._cluster.cancel(ticket)
        lost = self._queue.lose_worker(address, counts=counts)
        count = sum(len(unit.ids) for unit in lost)
        self._emit_note(f"The worker {address} is gone, and {count} cells that it was at go to others.")
        for unit in lost:
            if unit.losses >= MAX_LOSSES:
                self._give_up(unit, f"{MAX_LOSSES} workers were lost while they were at it")
                self._note_finished_lane(unit.lane)

    def _emit_note(self, text: str) -> None:
        self._context.emit(ProgressNote(text))

    def _open_run(self, worker: _Worker) -> None:
        self._order(worker, None, "open_run", self._name, self._record, compute_program_digest())

    @cached_property
    def _record(self) -> bytes:
        """The run without its cells, for workers."""
        run = self._context.journal.snapshot_run()
        bare = run.model_copy(update={"cells": (), "diagnostics": {}, "pauses": (), "shard": None})
        bare = bare.model_copy(update={"unused_workers": {}})
        return bare.model_dump_json(by_alias=True).encode()

    def _order(self, worker: _Worker, unit: Unit | None, method: str, *arguments: object) -> None:
        ticket = self._cluster.order(worker.address, method, *arguments)
        elapsed = self._context.journal.measure_elapsed()
        self._orders[ticket] = _Order(worker.address, unit, monotonic(), elapsed)
        worker.busy += 1

    def _stop_or_start(self) -> None:
        reason = self._context.find_stop_reason()
        if not reason and monotonic() - self._alone_since > PATIENCE:
            reason = "not started: no worker is left"
        if reason:
            self._drain(reason)
            return
        for worker in self._workers.values():
            while worker.is_free and (taken := self._queue.take(worker.address)) is not None:
                order = VisitOrder(self._name, taken.ids, build=not taken.resolves)
                self._order(worker, taken, "visit", order)

    def _drain(self, reason: str) -> None:
        """Start nothing more of what waits."""
        for unit in self._queue.drain():
            for name in unit.ids:
                self._reader.record_not_run(name, reason)

    def _take_answers(self) -> None:
        """Take what has come, and wait a moment where nothing has."""
        try:
            ticket, answer = self._cluster.answers.get(timeout=_POLL_SECONDS)
            while True:
                self._take_answer(ticket, answer)
                ticket, answer = self._cluster.answers.get_nowait()
        except queue.Empty:
            return

    def _take_answer(self, ticket: str, answer: Answer) -> None:
        order = self._orders.pop(ticket, None)
        if order is None:
            return  # of a worker that was given up
        worker = self._workers[order.worker]
        worker.busy -= 1
        if order.unit is None:
            self._go_on_opening(worker, answer)
        else:
            self._take_visit(worker, order, order.unit, answer)
            self._note_finished_lane(order.unit.lane)

    def _go_on_opening(self, worker: _Worker, answer: Answer) -> None:
        match answer:
            case Opened(lacks_tree=True):
                self._emit_note(f"The worker {worker.address} lacks the source: it is sent.")
                self._send_part(worker)
            case Opened(refusal="") if worker.sent:
                self._send_part(worker)
            case Opened(refusal=""):
                worker.is_ready = True
            case VisitFault(is_bug=False) if worker.faults < _OPENINGS - 1:
                worker.faults += 1
                worker.sent, worker.wakes = 0, monotonic() + _OPENING_PAUSE
            case Opened(refusal=reason) | VisitFault(reason=reason):
                worker.refusal = reason
                self._context.journal.record_unused_worker(worker.address, reason)
                self._emit_note(f"The worker {worker.address} is left out: {reason}")
            case Ending():
                self._leave_ending(worker)
            case _:
                self._lose_worker(worker.address)

    def _send_part(self, worker: _Worker) -> None:
        """Send the next part of the packed tree; after the last one, ask the worker once more."""
        digest = self._context.session.tree.digest
        with self._packed_tree.open("rb") as file:
            file.seek(worker.sent)
            content = file.read(_PART_BYTES)
        if not content:
            worker.sent = 0
            self._open_run(worker)
            return
        part, size = worker.sent // _PART_BYTES, self._packed_tree.stat().st_size
        worker.sent += len(content)
        self._order(worker, None, "receive_tree", self._name, digest, part, content, worker.sent >= size)

    @cached_property
    def _packed_tree(self) -> Path:
        session = self._context.session
        packed = self._tree.enter_context(pack_tree(session.cache, session.tree.digest))
        self._alone_since = monotonic()  # nobody looked for workers meanwhile
        return packed

    def _take_visit(self, worker: _Worker, order: _Order, unit: Unit, answer: Answer) -> None:
        match answer:
            case VisitResult():
                self._take_result(unit, order, answer)
            case VisitFault(is_bug=True):
                raise RuntimeError(f"kmatrix failed on the worker {worker.address}: {answer.reason}")
            case VisitFault():
                if not self._fail(unit, worker.address, unit.ids, answer.reason):
                    self._give_up(unit, f"on {worker.address}: {answer.reason}")
            case NotOpen():
                self._queue.give_back(unit)
                if worker.is_ready:
                    worker.is_ready = False
                    self._open_run(worker)
            case Ending():
                self._leave_ending(worker)
            case _:
                self._lose_worker(worker.address)

    def _take_result(self, unit: Unit, order: _Order, result: VisitResult) -> None:
        """Record the cells of a visit, but for those that a fault ended and that another worker can try."""
        visit = self._reader.read(result, unit.ids, order.elapsed, order.worker)
        faulty = tuple(cell.id for cell in visit.cells if cell.state is State.INFRA)
        for cell in visit.cells:
            if cell.state is not State.INFRA:
                self._reader.record(visit, cell)
        if unit.resolves:
            self._queue.add_units(unit.lane, _split_order(unit.lane, visit.order))
        if not faulty:
            self._queue.finish(unit, monotonic() - order.began)
        elif not self._fail(unit, order.worker, faulty, _find_reason(visit.cells)):
            for cell in visit.cells:
                if cell.id in faulty:
                    self._reader.record(visit, cell)

    def _fail(self, unit: Unit, worker: str, ids: Sequence[str], reason: str) -> bool:
        """Give a worker's unit to another, if one can try it, and leave alone a worker that fails often."""
        can_try = self._queue.fail(unit, self._ready, ids)
        if self._queue.is_left_alone(worker) and worker not in self._named:
            self._named.add(worker)
            self._context.journal.record_unused_worker(
                worker, f"it failed {MAX_FAILURES} times in a row, the last time: {reason}"
            )
            self._emit_note(f"The worker {worker} fails too often, and is given nothing more: {reason}")
        return can_try

    def _give_up(self, unit: Unit, reason: str) -> None:
        for name in unit.ids:
            self._reader.record_fault(name, reason)

    def _note_finished_lane(self, name: str) -> None:
        if name not in self._finished_lanes and self._queue.is_lane_done(name):
            self._finished_lanes.add(name)
            self._context.emit(LaneFinished(name))


def _find_reason(cells: Sequence[Cell]) -> str:
    """Why the machine failed, by the first of these cells that it did not try."""
    return next((cell.reason for cell in cells if cell.state is State.INFRA and cell.reason), "no reason")


def _split_order(lane: str, cells: Sequence[PlannedCell]) -> Iterator[Unit]:
    """The cells of a resolved lane as units, in their order: those of one configuration stay together."""
    for _, members in groupby(cells, key=lambda cell: cell.config_sha256):
        group = [*members]
        known = [cell.seconds for cell in group if cell.seconds is not None]
        yield Unit(lane, tuple(cell.id for cell in group), sum(known) if known else None)
