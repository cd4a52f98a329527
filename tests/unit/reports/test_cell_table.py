"""CSV of cells: read back by Python's own reader, and no text of it is a formula."""

import csv
import re
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from reports import FORMATS, NO_OPTIONS
from tests.fakes.foreign_words import LIVE
from tests.fakes.large_runs import a_large_side
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import a_side, turned
from tests.fakes.verdicts import a_case, header_fix
from tests.unit.reports.test_foreign_words import foreign_run, foreign_verdict, keep_run

TABLE = FORMATS["csv"]
OLD = Path(__file__).parents[2] / "old_run"
Rows = list[dict[str, str]]


def read(text: str) -> Rows:
    reader = csv.DictReader(StringIO(text, newline=""), strict=True)
    rows = list(reader)
    names = list(reader.fieldnames or ())
    assert len(set(names)) == len(names)
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


def rows_of(stored: StoredRun) -> Rows:
    return read(TABLE.render_run(stored, NO_OPTIONS))


def test_there_is_a_row_for_each_cell_with_all_axes_and_what_came_out() -> None:
    run = the_story()
    rows = rows_of(a_side(run))
    assert [(row["id"], row["state"], row["reason"]) for row in rows] == [
        (cell.id, cell.state, cell.reason or "") for cell in run.cells
    ]
    for row, cell in zip(rows, run.cells, strict=True):
        assert {axis: row[axis] for axis in cell.axes} == cell.axes


def test_a_built_cell_has_its_seconds_objects_diagnostics_and_findings() -> None:
    run = a_run([a_cell(state=State.FAIL, diagnostics=[GCC_ERROR, WARNING])], [GCC_ERROR, WARNING])
    (row,) = rows_of(a_side(run))
    assert (row["seconds"], row["seconds_configure"], row["seconds_focus"]) == ("9.400", "2.500", "6.900")
    assert (row["seconds_vmlinux"], row["objects"], row["compiled"]) == ("", "41", "12")
    assert (row["errors"], row["warnings"], row["findings"]) == ("1", "1", "F1 F2")
    assert (row["attempts"], row["log"]) == ("1", run.cells[0].log)


def test_every_state_is_told() -> None:
    run = a_run([a_cell(symbols={"NR": str(n)}, state=state) for n, state in enumerate(State)])
    assert [row["state"] for row in rows_of(a_side(run))] == list(State)


def test_a_verdict_has_what_each_cell_was_and_became() -> None:
    case = header_fix()
    rows = read(TABLE.render_verdict(*case.given, NO_OPTIONS))
    told = {row["id"]: (row["transition"], row["before"], row["after"], row["state"]) for row in rows}
    assert told == {
        cell.id: (cell.transition, cell.before, cell.after, cell.after) for cell in case.verdict.cells
    }
    assert {row["findings_before"] for row in rows if row["transition"] == "fixed"} == {"F1"}


def test_a_cell_of_one_plan_alone_has_a_row() -> None:
    one, other = a_cell(symbols={"A": "y"}), a_cell(symbols={"A": "n"})
    before, after = a_run([one, other]), turned(a_run([one]), a_cell(symbols={"A": "m"}))
    case = a_case(a_side(before), a_side(after))
    rows = read(TABLE.render_verdict(*case.given, NO_OPTIONS))
    assert {(row["A"], row["before"], row["after"]) for row in rows} == {
        ("y", "pass", "pass"), ("n", "pass", ""), ("m", "", "pass"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["=1+1", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "|x", "\t=1+1", "  =1+1", "\r=1", "\uff1d1+1"],
)
def test_no_text_is_a_formula(words: str) -> None:
    for text in (TABLE.render_run(keep_run(foreign_run(words)), NO_OPTIONS), table_of_verdict(words)):
        for row in csv.reader(StringIO(text, newline="")):
            assert not [value for value in row if is_formula(value)]


@pytest.mark.parametrize(
    "words",
    ["x;=cmd|' /C calc'!A0", "x\t=1+1", "x; @SUM(A1)", 'x;"=1+1"', "x;\uff1d1+1", ";;-2+3", "a;b\t|x"],
)
def test_nor_is_one_behind_what_separates_columns_elsewhere(words: str) -> None:
    for text in (TABLE.render_run(keep_run(foreign_run(words)), NO_OPTIONS), table_of_verdict(words)):
        parts = [part for line in text.splitlines() for part in re.split("[;\t]", line)[1:]]
        assert parts
        assert not [part for part in parts if is_formula(part.replace('"', ""))]


def test_a_verdict_without_cells_has_the_same_columns() -> None:
    case = header_fix()
    with_cells, without = (
        TABLE.render_verdict(*each.given, NO_OPTIONS).splitlines()[0]
        for each in (case, case.having(cells=()))
    )
    assert without == with_cells


def is_formula(value: str) -> bool:
    """As spreadsheets decide, which skip blanks; a number is none."""
    text = value.strip()
    return (
        text[:1] in tuple("=+-@|\uff1d\uff0b\uff0d\uff20")
        and not text.lstrip("+-").replace(".", "").isdigit()
    )


def table_of_verdict(words: str) -> str:
    return TABLE.render_verdict(*foreign_verdict(words), NO_OPTIONS)


def test_numbers_below_nought_stay_numbers() -> None:
    (row,) = rows_of(a_side(a_run([a_cell(symbols={"SHIFT": "-1"})], axes={"SHIFT": ("-1",)})))
    assert row["SHIFT"] == "-1"


def test_an_axis_that_is_called_as_a_column_has_another() -> None:
    run = a_run([a_cell(symbols={"state": "y"})], axes={"state": ("y",)})
    (row,) = rows_of(a_side(run))
    assert (row["state"], row["axis state"]) == ("pass", "y")


@pytest.mark.parametrize("words", [*LIVE, "a,b", 'a"b', "a\nb", "a\r\nb", "", "'"])
def test_no_word_makes_another_row_or_column(words: str) -> None:
    for words_of, plain in (
        (TABLE.render_run(keep_run(foreign_run(words)), NO_OPTIONS), foreign_table()),
        (table_of_verdict(words), table_of_verdict("plain words")),
    ):
        shapes = [[len(row) for row in csv.reader(StringIO(text, newline=""))] for text in (words_of, plain)]
        assert shapes[0] == shapes[1]


def foreign_table() -> str:
    return TABLE.render_run(keep_run(foreign_run("plain words")), NO_OPTIONS)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_text_is_one_field(words: str) -> None:
    shapes = [len(row) for row in csv.reader(StringIO(table_of_verdict(words), newline=""))]
    assert len(set(shapes)) == 1


def test_old_runs_and_ten_thousand_cells() -> None:
    stored = StoredRun.load(OLD / "after")
    assert [row["id"] for row in rows_of(stored)] == [cell.id for cell in stored.run.cells]
    large = a_large_side(10_000, 1_000)
    text = TABLE.render_run(large, NO_OPTIONS)
    assert len(read(text)) == 10_000
    assert len(text) < 10 * 2**20
