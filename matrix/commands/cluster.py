"""The cluster that ``run --cluster`` has its lanes worked on by, and that the task ``cluster`` shows."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from matrix.builder.run_context import RunContext
from matrix.cluster.addresses import ClusterAddress, parse_cluster_address
from matrix.cluster.dask_extra import require_dask
from matrix.cluster.visits import WorkerState
from matrix.commands.cluster_run import work_on_cluster
from matrix.commands.session import LOCAL_ENVIRONMENT, Environment
from matrix.errors import RequestError
from matrix.record.events import StageStarted


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
