"""The tasks ``worker`` and ``cluster``, and what ``run --cluster`` works on its lanes with."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from matrix.builder.run_context import RunContext
from matrix.cache_layout import CacheLayout
from matrix.catalog.types import MAX_LANES, parse_size
from matrix.cluster.addresses import ClusterAddress, parse_cluster_address
from matrix.cluster.dask_extra import require_dask
from matrix.cluster.visits import Report, WorkerState
from matrix.commands.cluster_run import work_on_cluster
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment, choose_safe_user
from matrix.commands.settings import parse_number
from matrix.commands.visit_host import HostLimits, VisitHost
from matrix.commands.worker_guard import guard_containers
from matrix.errors import RequestError
from matrix.record.events import StageStarted
from matrix.source.cache import SourceCache
from matrix.user_files import expand_user_path


def name_tls_options(values: Mapping[str, str]) -> dict[str, str]:
    """The values of the certificates' options by the options' names."""
    return {name.replace("_", "-"): value for name, value in values.items()}


def parse_given_cluster(
    text: str, tls: Mapping[str, str], variables: Mapping[str, str]
) -> ClusterAddress | None:
    """The cluster that a run names; None where it names none. RequestError for what will not do."""
    options = name_tls_options(tls)
    if text:
        return parse_cluster_address(text, options, variables)
    given = [name for name, value in options.items() if value]
    if given:
        raise RequestError(
            f"--{given[0]} is for a cluster, and none is named", "add --cluster tls://HOST:PORT"
        )
    return None


def create_cluster_environment(address: ClusterAddress) -> Environment:
    """The environment of a run whose lanes are worked on by a cluster."""
    require_dask()
    return replace(LOCAL_ENVIRONMENT, work_on_lanes=partial(_work_on, address))


def _work_on(address: ClusterAddress, context: RunContext) -> None:
    from matrix.cluster.dask_client import DaskCluster  # noqa: PLC0415 - Dask may be missing

    def report(lane: str, cell: str, stage: str) -> None:
        if cell in context.request_ids:
            context.emit(StageStarted(lane, cell, stage))

    with DaskCluster(address, report) as cluster:
        work_on_cluster(cluster, context)


def describe_cluster(address: ClusterAddress) -> tuple[list[WorkerState], str]:
    """The workers of a cluster, and the address of its dashboard."""
    require_dask()
    from matrix.cluster.dask_client import DaskCluster  # noqa: PLC0415 - Dask may be missing

    with DaskCluster(address, lambda *_: None) as cluster:
        return cluster.list_states(), cluster.dashboard


@dataclass(frozen=True)
class WorkerRequest:
    """How this machine is to work for a cluster."""

    address: ClusterAddress
    environment: Environment
    limits: HostLimits


def parse_worker_request(
    address: ClusterAddress, lanes: str, cpus: str, memory: str, cache: str
) -> WorkerRequest:
    """What these options ask for, each empty where it was not given. RequestError for what will not do."""
    count = _parse_count("lanes", lanes, MAX_LANES)
    jobs = _parse_count("cpus", cpus, 10_000)
    try:
        memory and parse_size(memory)
    except ValueError as error:
        raise RequestError(f"--memory: {error}", "for example --memory 4G") from error
    layout = CacheLayout(expand_user_path(cache).absolute()) if cache else CacheLayout()
    environment = Environment(cache=SourceCache(layout))
    return WorkerRequest(address, environment, HostLimits(count or 0, jobs, memory or None))


def _parse_count(name: str, text: str, most: int) -> int | None:
    if not text:
        return None
    try:
        count = parse_number([text])
    except RequestError as error:
        raise RequestError(f"--{name}: {error}", f"for example --{name} 4") from error
    if not 1 <= count <= most:
        raise RequestError(f"--{name}: expected 1 to {most}, got {count}", f"for example --{name} 4")
    return count


def work_for_cluster(request: WorkerRequest, note: Callable[[str], None]) -> None:
    """Check this machine, and build for the runs of others until a signal comes, or the scheduler is gone.

    MachineError where the machine cannot build, or the cluster is gone.
    """
    require_dask()
    from matrix.cluster.dask_worker import run_worker  # noqa: PLC0415 - Dask may be missing

    engine = request.environment.find_engine()
    info = engine.query_info()
    choose_safe_user(engine, info, lambda _: None)
    limits = replace(request.limits, lanes=request.limits.lanes or request.limits.jobs or info.cpus)
    environment = replace(request.environment, engine=engine)
    token = secrets.token_hex(4)

    def create_host(report: Report) -> VisitHost:
        return VisitHost(environment, limits, token, report)

    with guard_containers(token):
        run_worker(request.address, limits.lanes, create_host, note)
