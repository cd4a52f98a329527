"""What goes between the machine that has a run and those that build for it."""

import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

Report = Callable[[str, str, str], None]
"""Told of each stage that begins: the lane, the cell's id, the stage's name."""


@dataclass(frozen=True)
class VisitOrder:
    """Cells of a run's lane that a worker is to build, or only to resolve. ``run`` is its unique name."""

    run: str
    ids: tuple[str, ...]
    build: bool


@dataclass(frozen=True)
class VisitResult:
    """What came of a visit, which was a small run: its ``run.json``, packed, and its other files by name,
    each packed. ``order`` is the JSON of the cells that wait to be built, in the order in which they are best
    visited; ``log_sizes``: id → the bytes at the begin of its log that are of its configure step.
    """

    run: bytes
    files: Mapping[str, bytes]
    order: bytes
    log_sizes: Mapping[str, int]


@dataclass(frozen=True)
class VisitFault:
    """Why a worker could not do what it was asked for, in words. ``is_bug``: kmatrix itself failed there."""

    reason: str
    hint: str = ""
    is_bug: bool = False


@dataclass(frozen=True)
class Lost:
    """The worker is gone, and with it whatever it was at."""


@dataclass(frozen=True)
class Opened:
    """A worker's answer to a run that it is to build for: nothing in ``refusal`` where it can. It may lack
    the tree, which is sent then."""

    refusal: str = ""
    lacks_tree: bool = False


@dataclass(frozen=True)
class NotOpen:
    """The run of a visit is not open at the worker any more: nothing was tried."""


@dataclass(frozen=True)
class Ending:
    """The worker ends: it takes no order any more, and what it was at may have been cut short."""


Answer = VisitResult | Opened | VisitFault | NotOpen | Ending | Lost


@dataclass(frozen=True)
class WorkerState:
    """A worker, and what its host last said: the ``lanes`` that it is at, and how many ``cells`` it has built
    since it was started, ``seconds`` ago. ``slots``: orders at once."""

    name: str
    address: str
    slots: int
    lanes: tuple[str, ...] = ()
    cells: int = 0
    seconds: float = 0.0


class WorkerHost(Protocol):
    """What a worker does. Orders come in several threads at once. ``ticket`` is a name of the order's own."""

    def open_run(self, ticket: str, name: str, record: bytes, code: str) -> Opened:
        """Prepare to build for a run: ``record`` is its ``run.json``, ``name`` its unique name, ``code`` the
        digest of the kmatrix that has it."""

    def receive_tree(
        self, ticket: str, name: str, digest: str, part: int, content: bytes, is_last: bool
    ) -> Opened:
        """Take a part, from 0, of the packed tree of this digest, for the run of this name."""

    def visit(self, ticket: str, order: VisitOrder) -> VisitResult | NotOpen:
        """Resolve or build cells of a run, if it is open."""

    def close_run(self, ticket: str, name: str) -> Opened:
        """Drop what was prepared for a run."""

    def cancel(self, ticket: str) -> None:
        """End what an order began, soon."""

    def describe(self) -> dict[str, object]:
        """What it is at: see `WorkerState`."""

    def close(self) -> None:
        """End what all orders began, soon."""

    @property
    def is_ending(self) -> bool:
        """Whether it was closed."""

    @property
    def is_idle(self) -> bool:
        """Whether no order is at work."""


class Cluster(Protocol):
    """The workers that can be reached, and what they were asked for. One thread uses it."""

    answers: "queue.SimpleQueue[tuple[str, Answer]]"
    """By an order's ticket what came of it. A `Lost` one may come, or not."""

    def list_workers(self) -> Mapping[str, int]:
        """Address → how many orders it works on at once. MachineError where nobody can say."""

    def order(self, worker: str, method: str, *arguments: object) -> str:
        """Let a worker do something of `WorkerHost`; the order's ticket, by which its answer will come."""

    def cancel(self, ticket: str) -> None:
        """Take an order back: no answer is wanted any more."""
