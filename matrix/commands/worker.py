"""The task ``worker``: this machine is checked, and builds for the runs of others."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from matrix.cache_layout import CacheLayout
from matrix.catalog.types import MAX_LANES, parse_size
from matrix.cluster.addresses import ClusterAddress
from matrix.cluster.dask_extra import require_dask
from matrix.cluster.visits import Report
from matrix.commands.doctor import list_machine_problems
from matrix.commands.session import Environment, choose_safe_user
from matrix.commands.settings import parse_number
from matrix.commands.visit_host import HostLimits, VisitHost
from matrix.commands.worker_guard import guard_containers
from matrix.errors import RequestError
from matrix.source.cache import SourceCache
from matrix.user_files import expand_user_path


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
    for problem in list_machine_problems(request.environment.open_cache(), engine, info):
        note(f"Not well: {problem.subject}: {problem.message}: {problem.advice}")
    limits = replace(request.limits, lanes=request.limits.lanes or request.limits.jobs or info.cpus)
    environment = replace(request.environment, engine=engine)
    token = secrets.token_hex(4)

    def create_host(report: Report) -> VisitHost:
        return VisitHost(environment, limits, token, report)

    with guard_containers(token):
        run_worker(request.address, limits.lanes, create_host, note)
