"""The machine of a run that workers build, as a process of its own, with an engine in memory.

    python -m tests.fakes.cluster_client ADDRESS PLACE

PLACE is made: there its run is kept, and its cache. It prints a line for each cell that has a result.
"""

import sys
from pathlib import Path

from matrix.cluster.addresses import parse_cluster_address
from matrix.cluster.dask_client import DaskCluster
from matrix.record.events import CellFinished, ProgressEvent
from tests.unit.commands.cluster_desk import ClusterDesk
from tests.unit.commands.run_desk import let_speak
from tests.unit.commands.test_shards import NINE, TWO_TOOLCHAINS


def main(address: str, place: Path) -> None:
    desk = ClusterDesk(place)
    desk.asks(NINE, TWO_TOOLCHAINS)
    let_speak(desk)
    desk.on_event = print_finished
    with DaskCluster(parse_cluster_address(address, {}, {}), lambda *_: None) as cluster:
        desk.run_there(cluster)


def print_finished(event: ProgressEvent) -> None:
    if isinstance(event, CellFinished):
        print(event.cell.id, flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
