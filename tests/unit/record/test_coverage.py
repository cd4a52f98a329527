"""What cells of a run with `cover` prove of the pairs and triples of its symbols' values."""

from itertools import product

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.coverage import Coverage, measure_coverage, measure_planned_coverage
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from reports import FORMATS, NO_OPTIONS, PROSE_FORMATS
from tests.fakes.runs import a_cell, a_run
from tests.fakes.sides import NOWHERE

AXES = {
    "arch": ("powerpc",),
    "toolchain": ("gcc-14", "clang-19"),
    "base": ("defconfig",),
    "A": ("n", "y"),
    "B": ("n", "y"),
    "C": ("n", "y"),
}
SHA = "0" * 64


def cell(values: str, state: State = State.PASS, toolchain: str = "gcc-14", sha: str | None = SHA) -> Cell:
    return a_cell("powerpc", toolchain, dict(zip("ABC", values, strict=True)), state=state, config_sha256=sha)


def a_covered_run(*cells: Cell, cover: object = 2) -> Run:
    return a_run(cells, axes=AXES, profile={"profile": "ours", "cover": cover})


FOUR = [cell(values) for values in ("nnn", "nyy", "yny", "yyn")]


def test_four_rows_cover_all_pairs_of_three_symbols() -> None:
    assert measure_coverage(a_covered_run(*FOUR)) == Coverage("pairs", 12, 12, 0)


def test_triples_are_counted_where_three_are_to_come_together() -> None:
    assert measure_coverage(a_covered_run(*FOUR, cover=3)) == Coverage("triples", 8, 4, 0)


def test_each_lane_is_to_cover_all_by_itself() -> None:
    run = a_covered_run(*FOUR, cell("nnn", toolchain="clang-19"))
    assert measure_coverage(run) == Coverage("pairs", 24, 15, 0)


@pytest.mark.parametrize("state", [State.EMPTY, State.TIMEOUT, State.OOM, State.INFRA, State.NOT_RUN])
def test_a_cell_without_a_result_covers_nothing_and_is_not_unreachable(state: State) -> None:
    run = a_covered_run(cell("nnn", state))
    assert measure_coverage(run) == Coverage("pairs", 12, 0, 0)


@pytest.mark.parametrize("state", [State.PASS, State.WARN, State.FAIL])
def test_a_cell_with_a_result_covers_its_pairs(state: State) -> None:
    run = a_covered_run(cell("nnn", state))
    assert measure_coverage(run) == Coverage("pairs", 12, 3, 0)


def test_a_configuration_that_the_tree_refused_to_make_covers_nothing() -> None:
    assert measure_coverage(a_covered_run(cell("nnn", State.FAIL, sha=None))) == Coverage("pairs", 12, 0, 0)


def test_what_one_row_lacks_and_another_has_is_covered() -> None:
    coverage = measure_coverage(a_covered_run(cell("nnn", State.UNREACHABLE), cell("nny")))
    assert coverage == Coverage("pairs", 12, 3, 2)
    assert coverage.untried == 7


def test_what_a_row_has_that_was_not_built_is_not_unreachable() -> None:
    coverage = measure_coverage(a_covered_run(cell("nnn", State.UNREACHABLE), cell("nnn", State.NOT_RUN)))
    assert coverage == Coverage("pairs", 12, 0, 0)


def test_a_plan_covers_what_it_will_build() -> None:
    planned = a_covered_run(*(cell("".join(values), State.NOT_RUN) for values in product("ny", repeat=3)))
    assert measure_planned_coverage(planned) == Coverage("pairs", 12, 12, 0)
    assert measure_coverage(planned) == Coverage("pairs", 12, 0, 0)


@pytest.mark.parametrize("cover", [None, "2", 1.5, [], True, 0, -1])
def test_a_record_that_names_no_cover_has_none(cover: object) -> None:
    assert measure_coverage(a_covered_run(*FOUR, cover=cover)) is None


def test_a_strangers_record_with_too_much_to_cover_is_not_counted() -> None:
    axes = AXES | {f"S{number}": ("n", "y") for number in range(400)}
    assert measure_coverage(a_covered_run(*FOUR).model_copy(update={"axes": axes})) is None


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_every_report_for_people_says_what_is_covered(name: str) -> None:
    run = a_covered_run(*FOUR[:3], cell("yyy", State.UNREACHABLE))
    text = " ".join(FORMATS[name].render_run(StoredRun(run, NOWHERE), NO_OPTIONS).split()).lower()
    assert "pairs covered: 9 of 12; 1 unreachable; 2 not tried" in text
    assert "covered" not in FORMATS[name].render_run(StoredRun(a_run(FOUR, axes=AXES), NOWHERE), NO_OPTIONS)
