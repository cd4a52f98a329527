"""The workers of a Dask cluster: what is asked of each, and what comes back.

Dask keeps no queue for kmatrix: an order is a task for one worker, and its future is dropped with its answer.
Imported only where a cluster is used, as Dask may be missing.
"""

import queue
import secrets
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from typing import Any

from distributed import Client, Future, Security, get_worker
from distributed.scheduler import KilledWorker

from matrix.cluster.addresses import ClusterAddress
from matrix.cluster.visits import Answer, Lost, Report, VisitFault, WorkerState
from matrix.errors import MachineError

STAGE_TOPIC = "kmatrix-stages"
HOST_ATTRIBUTE = "kmatrix_host"
"""Of Dask's worker: what calls its host."""
HOST_METRIC = "kmatrix"
"""What a worker's heartbeat calls its host's state."""
_CONNECT_SECONDS = 20
_RESULT_SECONDS = 30
"""So often it is asked whether a worker is there whose answer is on its way: nobody says that it was lost."""
_ANSWER_SECONDS = 60
"""What the scheduler may take to list its workers."""
_CLOSE_SECONDS = 5


def create_security(address: ClusterAddress) -> Security | None:
    """What Dask needs for TLS, in both directions; None on loopback."""
    files = address.tls
    if files is None:
        return None
    own = {
        f"tls_{role}_{part}": str(path)
        for role in ("client", "worker")
        for part, path in (("cert", files.cert), ("key", files.key))
    }
    return Security(tls_ca_file=str(files.ca), require_encryption=True, **own)


def run_host_method(method: str, *arguments: object) -> Answer:
    """Runs on a worker: let its host do something. The task's key is the order's ticket."""
    worker = get_worker()
    call_host = getattr(worker, HOST_ATTRIBUTE, None)
    if call_host is None:
        return VisitFault("it is no worker of kmatrix", "./inv worker starts one")
    answer: Answer = call_host(method, str(worker.get_current_task()), *arguments)
    return answer


def read_answer(future: Future[Any], is_there: Callable[[], bool]) -> Answer:
    """What an order came to. A large answer may take long: it is waited for while its worker ``is_there``."""
    while future.status in {"finished", "error"}:
        try:
            answer: Answer = future.result(timeout=_RESULT_SECONDS)
        except TimeoutError:
            if not _ask_whether(is_there):
                break
        except (KilledWorker, CancelledError):
            break
        except Exception as error:  # noqa: BLE001 - whatever kept it back, it will not come
            return VisitFault(f"Dask: {type(error).__name__}: {error}")
        else:
            return answer
    return Lost()


def _ask_whether(is_there: Callable[[], bool]) -> bool:
    try:
        return is_there()
    except MachineError:
        return False  # nobody can say: the run ends


class DaskCluster:
    """A cluster while the ``with`` block runs. ``report`` is told of each stage that begins on a worker.

    MachineError where the scheduler does not answer within ``patience``, in seconds.
    """

    def __init__(
        self,
        address: ClusterAddress,
        report: Report,
        patience: float = _CONNECT_SECONDS,
    ) -> None:
        self.answers: queue.SimpleQueue[tuple[str, Answer]] = queue.SimpleQueue()
        self._address = address
        self._futures: dict[str, Future[Any]] = {}
        self._known: Mapping[str, Mapping[str, Any]] = {}
        try:
            self._client: Client = Client(
                address.text,
                security=create_security(address),
                timeout=patience,
                set_as_default=False,
            )
        except (OSError, TimeoutError) as error:
            raise MachineError(
                f"the cluster {address.text} cannot be reached: {error}",
                "is its scheduler at work? docs/cluster.md says how one is started",
            ) from error
        self._client.subscribe_topic(STAGE_TOPIC, lambda event: report(*event[1]))

    def __enter__(self) -> "DaskCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close(timeout=_CLOSE_SECONDS)

    def _describe_workers(self) -> Mapping[str, Mapping[str, Any]]:
        """Address → what the scheduler knows of a worker. MachineError where it does not answer.

        While the client connects anew, the workers are those that were there last.
        """
        try:
            self._known = self._client.sync(self._ask_for_workers, callback_timeout=_ANSWER_SECONDS)
        except (TimeoutError, RuntimeError) as error:
            raise MachineError(
                f"the scheduler of {self._address.text} does not answer: {error}",
                "start it again; ./inv run --resume goes on",
            ) from error
        except OSError:
            pass  # Dask's own limit for connecting ends this: the client is closed then.
        return self._known

    async def _ask_for_workers(self) -> Mapping[str, Mapping[str, Any]]:
        # Not `Client.scheduler_info`: what it returns has no workers in it where Dask's own regular look at
        # the scheduler ended a moment ago.
        scheduler = self._client.scheduler
        if scheduler is None:
            raise RuntimeError("the connection was lost")
        identity = await scheduler.identity(n_workers=-1)
        workers: Mapping[str, Mapping[str, Any]] = identity["workers"]
        return workers

    def list_states(self) -> list[WorkerState]:
        """The workers, by address, and what each is at."""
        return [
            WorkerState(
                str(worker["name"]),
                address,
                worker["nthreads"],
                **worker["metrics"].get(HOST_METRIC, {}),
            )
            for address, worker in sorted(self._describe_workers().items())
        ]

    @property
    def dashboard(self) -> str:
        """The address of the scheduler's page, or nothing."""
        return str(self._client.dashboard_link or "")

    def list_workers(self) -> Mapping[str, int]:
        """Address → its threads."""
        return {address: worker["nthreads"] for address, worker in self._describe_workers().items()}

    def order(self, worker: str, method: str, *arguments: object) -> str:
        """Let a worker do something; the ticket by which its answer comes."""
        ticket = f"kmatrix-{method}-{secrets.token_hex(8)}"
        future = self._client.submit(
            run_host_method,
            method,
            *arguments,
            key=ticket,
            pure=False,
            workers=[worker],
            allow_other_workers=False,
        )
        self._futures[ticket] = future
        future.add_done_callback(lambda done: self._take_answer(ticket, worker, done))
        return ticket

    def _take_answer(self, ticket: str, worker: str, future: Future[Any]) -> None:
        answer = read_answer(future, lambda: worker in self.list_workers())
        self._futures.pop(ticket, None)
        future.release()
        self.answers.put((ticket, answer))

    def cancel(self, ticket: str) -> None:
        """Take an order back: its worker ends what it began."""
        future = self._futures.pop(ticket, None)
        if future is not None:
            future.cancel()
