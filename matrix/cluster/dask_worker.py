"""This machine as a worker of a Dask cluster. Imported only where one is started, as Dask may be missing."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin

from matrix.cluster.addresses import ClusterAddress
from matrix.cluster.dask_client import HOST_ATTRIBUTE, HOST_METRIC, STAGE_TOPIC, create_security
from matrix.cluster.visits import Answer, Ending, Report, VisitFault, WorkerHost
from matrix.errors import KmatrixError, MachineError

_CONNECT_SECONDS = 20
_END_SECONDS = 15.0
"""What orders may take to remove their containers when the worker ends."""
_POLL_SECONDS = 0.1


def call_host(host: WorkerHost, method: str, ticket: str, *arguments: object) -> Answer:
    """Let the host do something; a fault of its machine is an answer, and so is a bug.

    Of a host that ends nothing else is an answer: what it was at was cut short.
    """
    answer = Ending() if host.is_ending else _call_method(host, method, ticket, *arguments)
    return Ending() if host.is_ending else answer


def _call_method(host: WorkerHost, method: str, ticket: str, *arguments: object) -> Answer:
    try:
        answer: Answer = getattr(host, method)(ticket, *arguments)
    except KmatrixError as error:
        return VisitFault(str(error), error.hint)
    except OSError as error:
        return VisitFault(f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - the machine that has the run says what broke
        return VisitFault(f"{type(error).__name__}: {error}", is_bug=True)
    return answer


class _HostPlugin(WorkerPlugin):
    """Gives Dask's worker its host, and lets that end what nobody waits for any more: the client took it
    back, or is gone."""

    def __init__(self, host: WorkerHost) -> None:
        self._host = host

    def setup(self, worker: Worker) -> None:
        setattr(worker, HOST_ATTRIBUTE, partial(call_host, self._host))

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:  # noqa: ARG002 - Dask's
        if finish in {"cancelled", "released", "forgotten"}:
            self._host.cancel(str(key))


def run_worker(
    address: ClusterAddress,
    lanes: int,
    create_host: Callable[[Report], WorkerHost],
    note: Callable[[str], None],
) -> None:
    """Work for a cluster until a signal comes, or its scheduler is gone. ``lanes``: orders at once.

    MachineError where the scheduler cannot be reached, or has gone.
    """
    if asyncio.run(_serve(address, lanes, create_host, note)):
        return
    raise MachineError(
        f"the scheduler of {address.text} is gone", "start it again, and then this worker: docs/cluster.md"
    )


async def _serve(
    address: ClusterAddress,
    lanes: int,
    create_host: Callable[[Report], WorkerHost],
    note: Callable[[str], None],
) -> bool:
    """Whether a signal ended it."""
    logging.getLogger("distributed").setLevel(logging.ERROR)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    workers: list[Worker] = []
    host = create_host(lambda *stage: workers[0].log_event(STAGE_TOPIC, stage))
    try:
        worker = await _start_worker(address, lanes, host)
    except (OSError, TimeoutError, ValueError) as error:
        raise MachineError(
            f"the cluster {address.text} cannot be reached: {error}",
            "is its scheduler at work? docs/cluster.md says how one is started",
        ) from error
    workers.append(worker)
    note(f"This machine works for {address.text}, on {lanes} lanes at once, as {worker.address}.")
    ends = [asyncio.create_task(stopped.wait()), asyncio.create_task(worker.finished())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    await _end_orders(host)
    await worker.close(timeout=2)
    return stopped.is_set()


async def _start_worker(address: ClusterAddress, lanes: int, host: WorkerHost) -> Worker:
    worker: Worker = await Worker(
        address.text,
        nthreads=lanes,
        name=f"{socket.gethostname()}-{os.getpid()}",
        # Dask would end a worker by its own memory; what builds has its containers' limits.
        memory_limit=0,
        # What listens on loopback is reached by nobody else.
        host=None if address.tls else address.host.strip("[]"),
        security=create_security(address),
        death_timeout=_CONNECT_SECONDS,
        # It has a page of its own, which needs no certificate.
        dashboard_address="127.0.0.1:0",
        plugins=(_HostPlugin(host),),
        metrics={HOST_METRIC: lambda _: host.describe()},
    )
    return worker


async def _end_orders(host: WorkerHost) -> None:
    host.close()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _END_SECONDS
    while not host.is_idle and loop.time() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
