"""A worker as a process of its own, as ``./inv worker`` starts it, but with an engine in memory.

    python -m tests.fakes.cluster_worker ADDRESS PLACE CA CERT KEY

PLACE is where its cache lies, and its own copy of the tree that its kernel is played for. A file PLACE/slow
has the seconds that each build takes.
"""

import sys
import time
from functools import partial
from pathlib import Path

from matrix.cache_layout import CacheLayout
from matrix.cluster.addresses import parse_cluster_address
from matrix.cluster.dask_worker import run_worker
from matrix.commands.session import Environment
from matrix.commands.visit_host import HostLimits, VisitHost
from matrix.engine.protocol import ContainerResult
from matrix.source.cache import SourceCache
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import Desk, let_speak


def main(address: str, place: Path, *files: str) -> None:
    desk = Desk(place)
    let_speak(desk)

    def be_slow(job: Job) -> int | ContainerResult | None:
        slow = place / "slow"
        if not job.configures and slow.exists():
            time.sleep(float(slow.read_text()))
        return None

    desk.kernel.before = be_slow
    options = dict(zip(("tls-ca", "tls-cert", "tls-key"), files, strict=False))
    environment = Environment(desk.engine, SourceCache(CacheLayout(place / "cache")), place / "runs")
    create_host = partial(VisitHost, environment, HostLimits(1), place.name)
    run_worker(parse_cluster_address(address, options, {}), 1, create_host, partial(print, flush=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
