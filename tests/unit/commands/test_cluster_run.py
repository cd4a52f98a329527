"""A run whose lanes other machines work on: what comes of it is what one machine would have made."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.cluster.dask_worker import call_host
from matrix.cluster.visits import VisitOrder
from matrix.commands.visit_host import VisitHost
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.errors import EngineError
from matrix.record.events import CellFinished, ProgressEvent
from matrix.record.run_directory import load_run
from matrix.record.run_model import Run, Tool
from matrix.record.states import State
from reports.summary import collect_run_facts
from tests.fakes.cluster import FakeCluster
from tests.fakes.engine import FakeEngine
from tests.unit.commands.cluster_desk import ClusterDesk
from tests.unit.commands.run_desk import code, let_speak
from tests.unit.commands.test_shards import NINE, TWINS, TWO_TOOLCHAINS


@pytest.fixture
def desk(tmp_path: Path) -> ClusterDesk:
    made = ClusterDesk(tmp_path)
    made.asks(NINE, TWO_TOOLCHAINS)
    let_speak(made)
    return made


@pytest.mark.parametrize("count", [1, 2, 3])
def test_workers_make_the_run_of_one_machine(desk: ClusterDesk, count: int) -> None:
    with desk.start_workers(count) as cluster:
        there = desk.describe(desk.run_there(cluster))
    builders = {worker for worker, method, _ in cluster.orders if method == "visit"}
    assert len(builders) >= min(count, 2)  # two lanes; a third worker may take from their ends
    recorded = {cell.worker for cell in load_run(desk.directory).cells}
    assert builders <= recorded <= set(cluster.list_workers())
    whole = desk.run()
    assert {cell.worker for cell in whole.cells} == {""}
    assert there == desk.describe(desk.stored)
    assert {State.FAIL, State.WARN, State.EMPTY, State.UNREACHABLE} == {cell.state for cell in whole.cells}


def test_twins_stay_together(desk: ClusterDesk) -> None:
    desk.asks(TWINS)
    with desk.start_workers(2) as cluster:
        there = desk.describe(desk.run_there(cluster))
    desk.run()
    assert there == desk.describe(desk.stored)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 8])
def test_a_worker_that_is_lost_at_any_order_loses_no_cell(desk: ClusterDesk, number: int) -> None:
    with desk.start_workers(2) as cluster:
        lost: list[str] = []

        def lose_one(worker: str, *_: object) -> None:
            if len(cluster.orders) >= number and not lost:
                lost.append(worker)
                cluster.kill(worker)

        cluster.before = lose_one
        there = desk.describe(desk.run_there(cluster))
    results = desk.count_results()
    desk.run()
    assert there == desk.describe(desk.stored)
    assert set(results.values()) == {1}


def test_a_cell_that_a_fault_ended_is_tried_on_another_worker(desk: ClusterDesk) -> None:
    with desk.start_workers(2) as cluster:
        desk.break_machine("0")
        done = desk.run_there(cluster, retries=["0"]).run
    assert {cell.state for cell in done.cells} & {State.INFRA} == set()
    assert any("is given nothing more" in note for note in desk.notes())
    reason = "it failed 3 times in a row, the last time: the engine of this machine is out of order"
    assert load_run(desk.directory).unused_workers == {"fake://0:1": reason}
    assert collect_run_facts(done)["workers"][0] == f"fake://0:1: 0 cells, and nothing more: {reason}"


def test_a_fault_of_every_worker_is_the_cells_own(desk: ClusterDesk) -> None:
    with desk.start_workers(1) as cluster:
        desk.break_machine("0")
        done = desk.run_there(cluster, retries=["0"]).run
    states = {cell.state for cell in done.cells}
    assert states <= {State.INFRA, State.UNREACHABLE, State.NOT_RUN}
    assert code(done) == 2


def test_a_worker_with_another_compiler_is_left_out(desk: ClusterDesk) -> None:
    tag = ImageRecipe("gcc-14", "gcc", 14).tag
    other = FakeEngine(desk.kernel, images=[compute_base_tag()])
    machines = {"0": desk.machine("0"), "1": replace(desk.machine("1"), engine=other)}
    with FakeCluster(machines) as cluster:
        there = desk.describe(desk.run_there(cluster))
    assert {worker for worker, method, _ in cluster.orders if method == "visit"} == {"fake://0:1"}
    assert any(f"lacks the image {tag}" in note for note in desk.notes())
    assert f"lacks the image {tag}" in desk.stored.run.unused_workers["fake://1:2"]
    desk.run()
    assert there == desk.describe(desk.stored)


def test_a_worker_whose_code_was_changed_is_left_out(desk: ClusterDesk) -> None:
    with desk.start_workers(2) as cluster:
        cluster.find_host("fake://1:2")._code = "another"
        there = desk.describe(desk.run_there(cluster))
    assert {worker for worker, method, _ in cluster.orders if method == "visit"} == {"fake://0:1"}
    assert any("was changed here or where the run is" in note for note in desk.notes())
    desk.run()
    assert there == desk.describe(desk.stored)


def test_another_commit_of_the_same_code_will_do(desk: ClusterDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Tool(version="0.1.0", commit="another")
    monkeypatch.setattr("matrix.commands.visit_host.build_tool_record", lambda: other)
    with desk.start_workers(1) as cluster:
        done = desk.run_there(cluster).run
    assert State.NOT_RUN not in {cell.state for cell in done.cells}
    assert done.tool != other


def test_a_run_without_workers_says_so_and_goes_on_later(
    desk: ClusterDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrix.commands.cluster_run.PATIENCE", 1.0)
    with desk.start_workers(0) as cluster:
        stopped = desk.run_there(cluster).run
    assert {cell.reason for cell in stopped.cells} == {"not started: no worker is left"}
    assert code(stopped) == 2
    with desk.start_workers(2) as cluster:
        there = desk.describe(desk.resume_there(cluster))
    desk.run()
    assert there == desk.describe(desk.stored)


def test_a_worker_that_is_slow_to_begin_is_waited_for(
    desk: ClusterDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrix.commands.cluster_run.PATIENCE", 0.5)

    def be_slow(_worker: str, method: str, _: tuple[object, ...]) -> None:
        if method == "receive_tree":
            time.sleep(2.0)

    with desk.start_workers(1) as cluster:
        cluster.before = be_slow
        done = desk.run_there(cluster).run
    assert State.NOT_RUN not in {cell.state for cell in done.cells}


def test_a_run_that_a_worker_closed_is_opened_there_again(desk: ClusterDesk) -> None:
    with desk.start_workers(1) as cluster:
        closed: list[str] = []

        def close_once(worker: str, method: str, arguments: tuple[object, ...]) -> None:
            if method == "visit" and isinstance(order := arguments[0], VisitOrder) and not closed:
                closed.append(order.run)
                call_host(cluster.find_host(worker), "close_run", "idle", order.run)

        cluster.before = close_once
        there = desk.describe(desk.run_there(cluster))
    assert closed
    desk.run()
    assert there == desk.describe(desk.stored)


def test_a_worker_that_is_stopped_at_work_gives_no_results(desk: ClusterDesk) -> None:
    with desk.start_workers(2) as cluster:
        stopped: list[str] = []

        def stop_one(worker: str, method: str, _: tuple[object, ...]) -> None:
            if method == "visit" and not stopped:
                stopped.append(worker)
                cluster.find_host(worker).close()

        cluster.before = stop_one
        there = desk.describe(desk.run_there(cluster))
    assert stopped
    desk.run()
    assert there == desk.describe(desk.stored)


def test_a_fault_while_a_run_is_opened_is_tried_again(
    desk: ClusterDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrix.commands.cluster_run._OPENING_PAUSE", 0.1)
    monkeypatch.setattr("matrix.commands.cluster_run.PATIENCE", 2.0)
    with desk.start_workers(1) as cluster:
        failed: list[str] = []

        def fail_once(_host: VisitHost, run: Run, _code: str) -> str:
            if not failed:
                failed.append(run.source.digest)
                raise EngineError("the engine begins")
            return ""

        monkeypatch.setattr(VisitHost, "_find_refusal", fail_once)
        done = desk.run_there(cluster).run
    assert failed
    assert State.NOT_RUN not in {cell.state for cell in done.cells}


def test_no_new_cell_starts_after_a_failure_where_that_is_asked_for(desk: ClusterDesk) -> None:
    with desk.start_workers(1) as cluster:
        done = desk.run_there(cluster, fail_fast=["yes"]).run
    assert [cell.state for cell in done.cells].count(State.FAIL) == 1
    assert {cell.reason for cell in done.cells if cell.state is State.NOT_RUN} == {
        "not started: --fail-fast, and a cell had failed"
    }


def test_ctrl_c_ends_the_visits_and_the_run_goes_on_later(desk: ClusterDesk) -> None:
    def interrupt(event: ProgressEvent) -> None:
        desk.events.append(event)
        if isinstance(event, CellFinished) and event.cell.state is State.WARN:
            desk.on_event = desk.events.append
            raise KeyboardInterrupt

    with desk.start_workers(2) as cluster:
        desk.on_event = interrupt
        stopped = desk.run_there(cluster).run
    assert stopped.interrupted
    assert code(stopped) == 130
    kept = {cell.id: cell for cell in stopped.cells if cell.is_finished}
    with desk.start_workers(2) as cluster:
        resumed = desk.resume_there(cluster)
    assert {cell.id: cell for cell in resumed.run.cells if cell.id in kept} == kept
    there = desk.describe(resumed)
    desk.run()
    assert there == desk.describe(desk.stored)
