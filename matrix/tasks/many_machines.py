"""Many machines: this one as a worker of others' runs, and who else is one."""

import os
from functools import partial

from rich.console import Console

from matrix.cluster.addresses import parse_cluster_address
from matrix.command_line import POSITIONAL, TaskOption, define_task
from matrix.commands.cluster import describe_cluster, name_tls_options
from matrix.commands.worker import parse_worker_request, work_for_cluster
from reports.style import print_line
from reports.task_output import show_cluster

TLS_OPTIONS: tuple[TaskOption, ...] = (
    ("tls-ca", "", "the certificate that all others of the cluster are signed with; or KMATRIX_TLS_CA"),
    ("tls-cert", "", "this machine's certificate; or KMATRIX_TLS_CERT"),
    ("tls-key", "", "its key; or KMATRIX_TLS_KEY"),
)


@define_task(
    own=[
        ("address", POSITIONAL, "the scheduler: tls://HOST:PORT, or tcp://127.0.0.1:PORT on this machine"),
        ("lanes", "", "lanes at once (default: as many as --cpus)"),
        ("cpus", "", "compile jobs in total (default: the engine's processors)"),
        ("memory", "", "memory limit of a container, such as 4G (default: its share of the machine)"),
        ("cache", "", "the cache, on a disk of this machine (default: as for other tasks)"),
        *TLS_OPTIONS,
    ]
)
def worker(*, address: str, lanes: str, cpus: str, memory: str, cache: str, **tls: str) -> int:
    """Build for runs of other machines, until Ctrl-C or until the scheduler is gone: docs/cluster.md."""
    scheduler = parse_cluster_address(address, name_tls_options(tls), os.environ)
    request = parse_worker_request(scheduler, lanes, cpus, memory, cache)
    work_for_cluster(request, partial(print_line, Console()))
    return 0


@define_task(own=[("address", POSITIONAL, "the scheduler, as for worker"), *TLS_OPTIONS])
def cluster(*, address: str, **tls: str) -> int:
    """The workers of a cluster, what each is at, how much it has built; the dashboard's address."""
    scheduler = parse_cluster_address(address, name_tls_options(tls), os.environ)
    workers, dashboard = describe_cluster(scheduler)
    show_cluster(workers, dashboard, Console())
    return 0
