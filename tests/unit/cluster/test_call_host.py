"""What a worker answers, and what the run's machine takes its answers for."""

from typing import Any, cast

from distributed import Future
from distributed.scheduler import KilledWorker, WorkerState

from matrix.cluster.dask_client import read_answer
from matrix.cluster.dask_worker import call_host
from matrix.cluster.visits import Answer, Ending, Lost, Opened, VisitFault, WorkerHost


class EndingHost:
    """A host that is closed while it is at its first order. ``done``: orders that it began."""

    def __init__(self) -> None:
        self.is_ending = False
        self.done = 0

    def close_run(self, _ticket: str, _name: str) -> Opened:
        self.done += 1
        self.is_ending = True
        return Opened()


class FakeFuture:
    """An order's future whose result comes, or fails, in these steps."""

    def __init__(self, status: str, *steps: Answer | Exception) -> None:
        self.status = status
        self.steps = [*steps]

    def result(self, timeout: float) -> Answer:
        assert timeout > 0
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


def read(status: str, *steps: Answer | Exception, is_there: bool = True) -> Answer:
    return read_answer(cast("Future[Any]", FakeFuture(status, *steps)), lambda: is_there)


def test_a_host_that_ends_gives_no_results_and_begins_nothing() -> None:
    host = EndingHost()
    answers = [call_host(cast("WorkerHost", host), "close_run", "ticket", "run") for _ in range(2)]
    assert answers == [Ending(), Ending()]
    assert host.done == 1


def test_an_answer_that_takes_long_is_waited_for_while_its_worker_is_there() -> None:
    steps = (TimeoutError(), TimeoutError(), Opened())
    assert read("finished", *steps) == Opened()
    assert read("finished", *steps, is_there=False) == Lost()


def test_an_error_of_dask_is_a_fault_and_no_loss() -> None:
    assert read("error", ValueError("no")) == VisitFault("Dask: ValueError: no")


def test_a_worker_that_was_killed_or_whose_order_was_taken_back_is_lost() -> None:
    worker = cast("WorkerState", None)
    assert read("error", KilledWorker("order", worker, 3)) == Lost()
    assert read("cancelled") == Lost()
