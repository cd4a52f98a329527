"""How the lanes of a run share its compile jobs."""

import json
import threading

from matrix.record.events import CellFinished, LaneFinished, ProgressEvent
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import (
    PROFILE,
    TWO_LANES,
    Desk,
)


def test_the_lanes_share_the_jobs(desk: Desk) -> None:
    desk.asks(TWO_LANES, PROFILE.replace("lanes = 1", "lanes = 2").replace('"x86"', '"x86", "powerpc"'))
    working: dict[str, int] = {}
    most: list[int] = []
    met, lock = threading.Barrier(2), threading.Lock()

    def watch(job: Job) -> None:
        with lock:
            working[job.container.name] = job.parallel
            most.append(sum(working.values()))
        if not job.configures and job.cell.endswith("VFIO=y"):
            met.wait(10)
        with lock:
            del working[job.container.name]

    desk.kernel.before = watch
    desk.run(jobs=["6"])
    assert max(most) == 6


def test_more_lanes_than_jobs_do_not_make_more_jobs(desk: Desk) -> None:
    head = PROFILE.replace("lanes = 1", "lanes = 4").replace('"x86"', '"x86", "powerpc", "s390", "arm64"')
    desk.asks(TWO_LANES, head)
    working: set[str] = set()
    most: list[int] = []
    lock = threading.Lock()

    def watch(job: Job) -> None:
        with lock:
            working.add(job.container.name)
            most.append(len(working) * job.parallel)
        threading.Event().wait(0.05)
        with lock:
            working.remove(job.container.name)

    desk.kernel.before = watch
    desk.run(jobs=["2"])
    assert max(most) <= 2


def test_a_lane_takes_over_the_jobs_of_one_that_is_done_and_records_what_it_ran(desk: Desk) -> None:
    desk.asks(TWO_LANES, PROFILE.replace("lanes = 1", "lanes = 2").replace('"x86"', '"x86", "powerpc"'))
    done = threading.Event()

    def listen(event: ProgressEvent) -> None:
        if isinstance(event, LaneFinished):
            done.set()

    def wait_for_the_other(job: Job) -> None:
        if job.cell.startswith("powerpc") and job.targets == ("drivers/vfio/",):
            done.wait(10)

    desk.on_event, desk.kernel.before = listen, wait_for_the_other
    made = desk.run(jobs=["4"], stage=["vmlinux"])
    ran = {(job.cell, job.targets[0]): " ".join(job.command) for job in desk.kernel.ran(configures=False)}
    assert "-j4" in ran[made.cells[-1].id, "vmlinux"]
    recorded = {
        (cell.id, stage.command.rpartition(" ")[2]): stage.command
        for cell in made.cells
        for stage in cell.stages[1:]
    }
    assert recorded == ran


def test_the_journal_has_every_finished_cell_when_it_is_told(desk: Desk) -> None:
    seen: list[str] = []

    def read_journal(event: ProgressEvent) -> None:
        if isinstance(event, CellFinished):
            (journal,) = (desk.place / "runs").glob("2*/cells.jsonl")
            last = json.loads(journal.read_text().splitlines()[-1])["cell"]
            assert (last["id"], last["state"]) == (event.cell.id, event.cell.state)
            seen.append(event.cell.id)

    desk.on_event = read_journal
    done = desk.run()
    assert sorted(seen) == sorted(cell.id for cell in done.cells)
