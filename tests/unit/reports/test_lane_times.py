"""What each lane built, and how long it took."""

from datetime import timedelta
from pathlib import Path

from matrix.record.run_model import Cell, Pause, Run
from matrix.record.states import Evidence, State
from reports.lane_times import measure_lanes
from tests.fakes.runs import a_cell, a_run
from tests.unit.reports.test_pages import page


def taking(seconds: float, arch: str, value: str, **fields: object) -> Cell:
    """A cell whose configure step took a second, and all of it so many."""
    cell = a_cell(arch, symbols={"A": value}, **fields)  # type: ignore[arg-type]
    times = (1.0, seconds - 1)
    stages = (s.model_copy(update={"seconds": t}) for s, t in zip(cell.stages, times, strict=True))
    return cell.model_copy(update={"stages": tuple(stages)})


CELLS = [
    taking(5, "x86", "n"),
    taking(7, "arm64", "n"),
    taking(8, "arm64", "y"),
    taking(60, "x86", "y", evidence=Evidence.REMEMBERED),
    taking(60, "x86", "m", evidence=Evidence.SAME_CONFIG),
    a_cell("x86", symbols={"A": "?"}, state=State.UNREACHABLE, stages=taking(1, "x86", "?").stages[:1]),
    a_cell("s390", state=State.UNREACHABLE),
]


def test_the_longest_lane_comes_first_and_what_is_known_costs_its_configure_step_only() -> None:
    assert [
        (lane.arch, lane.seconds, lane.built_count, lane.known) for lane in measure_lanes(a_run(CELLS)).lanes
    ] == [
        ("arm64", 15.0, 2, ""),
        ("x86", 8.0, 1, "1 same-config, 1 remembered"),
    ]


def test_builds_of_others_have_no_lanes() -> None:
    assert measure_lanes(a_run([taking(5, "x86", "n", evidence=Evidence.IMPORTED)])).lanes == ()


def test_the_page_has_them_without_a_script(tmp_path: Path) -> None:
    words = " ".join(page(a_run(CELLS), tmp_path).words.split())
    assert "Known already arm64 gcc-14 15.0 s 2 x86 gcc-14 8.0 s 1 1 same-config" in words


TIMED = [
    taking(9, "x86", "n", at_work=(1.0, 9.0)),
    taking(5, "x86", "y", at_work=(10.0, 14.0), state=State.FAIL),
    taking(8, "arm64", "n", at_work=(2.0, 9.0)),
    taking(60, "arm64", "y", evidence=Evidence.REMEMBERED),
]


def timed_run(cells: list[Cell]) -> Run:
    run = a_run(cells)
    return run.model_copy(update={"finished": run.started + timedelta(seconds=20)})


def test_when_cells_were_built_is_drawn_on_the_line_of_their_lane() -> None:
    times = measure_lanes(timed_run(TIMED))
    assert times.span == "20.0 s"
    x86, arm64 = times.lanes
    assert [(bar.begin, bar.length, bar.state) for bar in x86.bars] == [
        (0.05, 0.4, State.PASS),
        (0.5, 0.2, State.FAIL),
    ]
    assert x86.bars[1].title == "x86/gcc-14/defconfig/A=y: fail, 4.0 s from 10.0 s on"
    assert x86.when == "built from 1.0 s to 14.0 s"
    assert [bar.title for bar in arm64.bars] == ["arm64/gcc-14/defconfig/A=n: pass, 7.0 s from 2.0 s on"]


def test_how_many_lanes_were_at_work_at_once_is_told() -> None:
    assert measure_lanes(timed_run(TIMED)).at_work == "2 lanes for 7.0 s, 1 lane for 5.0 s, none for 8.0 s"


def test_a_resumed_runs_pause_is_no_part_of_its_time() -> None:
    run = timed_run(TIMED)
    pause = Pause(stopped=run.started + timedelta(seconds=15), resumed=run.started + timedelta(seconds=18))
    assert measure_lanes(run.model_copy(update={"pauses": (pause,)})).span == "17.0 s"


def test_of_very_many_cells_neighbours_are_drawn_as_one() -> None:
    cells = [taking(1, "x86", str(n), at_work=(n, n + 1.0)) for n in range(1000)]
    [lane] = measure_lanes(timed_run(cells)).lanes
    assert len(lane.bars) == 334
    assert lane.bars[0].title == "3 cells from x86/gcc-14/defconfig/A=0 on: pass, 3.0 s from 0.0 s on"


def test_the_page_draws_them_without_a_script(tmp_path: Path) -> None:
    shown = page(timed_run(TIMED), tmp_path)
    assert shown.tags.count("rect") == 3
    assert "In 20.0 s: 2 lanes for 7.0 s, 1 lane for 5.0 s, none for 8.0 s." in shown.words
