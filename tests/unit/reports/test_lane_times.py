"""What each lane built, and how long it took."""

from pathlib import Path

from matrix.record.run_model import Cell
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
        (lane.arch, lane.seconds, lane.built_count, lane.known) for lane in measure_lanes(a_run(CELLS))
    ] == [
        ("arm64", 15.0, 2, ""),
        ("x86", 8.0, 1, "1 same-config, 1 remembered"),
    ]


def test_builds_of_others_have_no_lanes() -> None:
    assert measure_lanes(a_run([taking(5, "x86", "n", evidence=Evidence.IMPORTED)])) == []


def test_the_page_has_them_without_a_script(tmp_path: Path) -> None:
    words = " ".join(page(a_run(CELLS), tmp_path).words.split())
    assert "Beside the longest arm64 gcc-14 15.0 s 2 15.0 s x86 gcc-14 8.0 s 1 1 same-config" in words
