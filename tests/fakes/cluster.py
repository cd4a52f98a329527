"""A cluster in this process: each worker is a host with a cache of its own, and orders run in threads."""

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Self

from matrix.cluster.dask_worker import call_host
from matrix.cluster.visits import Answer
from matrix.commands.session import Environment
from matrix.commands.visit_host import HostLimits, VisitHost


class FakeCluster:
    """``before`` is called with the worker and the method of each order, in its thread, before it begins.

    A worker that is killed answers nothing any more, and is listed no more.
    """

    def __init__(self, machines: Mapping[str, Environment], slots: int = 1) -> None:
        self.answers: queue.SimpleQueue[tuple[str, Answer]] = queue.SimpleQueue()
        self.stages: list[tuple[str, str, str]] = []
        self.before: Callable[[str, str, tuple[object, ...]], None] = lambda *_: None
        self.orders: list[tuple[str, str, tuple[object, ...]]] = []
        self.slots = slots
        self._machines = dict(machines)
        self._hosts: dict[str, VisitHost] = {}
        self._workers: dict[str, str] = {}
        """Address → its machine."""
        self._numbers = count(1)
        self._tickets: dict[str, str] = {}
        self._threads = ThreadPoolExecutor(16)
        self._lock = threading.Lock()
        for machine in machines:
            self.start(machine)

    def start(self, machine: str) -> str:
        """Start a worker on a machine; its address."""
        number = next(self._numbers)
        address = f"fake://{machine}:{number}"
        limits = HostLimits(self.slots)
        host = VisitHost(self._machines[machine], limits, f"{number:08x}", self._report)
        self._hosts[address] = host
        self._workers[address] = machine
        return address

    def _report(self, lane: str, cell: str, stage: str) -> None:
        self.stages.append((lane, cell, stage))

    def kill(self, address: str) -> None:
        """End a worker as SIGKILL does, with its containers."""
        with self._lock:
            self._workers.pop(address, None)
        self._hosts[address].close()

    def find_host(self, address: str) -> VisitHost:
        """What works there."""
        return self._hosts[address]

    def list_workers(self) -> Mapping[str, int]:
        with self._lock:
            return dict.fromkeys(self._workers, self.slots)

    def order(self, worker: str, method: str, *arguments: object) -> str:
        ticket = f"{method}-{next(self._numbers)}"
        self._tickets[ticket] = worker
        self.orders.append((worker, method, arguments))
        self._threads.submit(self._work, ticket, worker, method, arguments)
        return ticket

    def _work(self, ticket: str, worker: str, method: str, arguments: tuple[object, ...]) -> None:
        self.before(worker, method, arguments)
        answer = call_host(self._hosts[worker], method, ticket, *arguments)
        with self._lock:
            if worker in self._workers:
                self.answers.put((ticket, answer))

    def cancel(self, ticket: str) -> None:
        self._hosts[self._tickets[ticket]].cancel(ticket)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
