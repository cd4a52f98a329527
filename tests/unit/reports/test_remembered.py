"""How many cells were not built, and from which run they are, as every format tells it."""

import re
from typing import Any

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import Evidence, State
from matrix.verdict.comparison import compare_runs
from reports import FORMATS, NO_OPTIONS, PROSE_FORMATS, summary
from reports.changes import RunChanges
from reports.verdict_text import collect_summary_lines
from tests.fakes.runs import a_cell, a_run
from tests.fakes.sides import a_side

SYMBOLS = [{"KVM": value} for value in ("a", "b", "c", "d")]


def run_of(*evidence: tuple[Evidence, str | None], **fields: Any) -> Run:
    """A run of passing cells with these origins."""
    cells = [
        a_cell(symbols=symbols, evidence=kind, evidence_from=origin)
        for symbols, (kind, origin) in zip(SYMBOLS, evidence, strict=False)
    ]
    return a_run(cells, **fields)


BUILT, TWIN, SAME = (Evidence.BUILT, None), (Evidence.SAME_CONFIG, "cell"), (Evidence.SAME_OBJECTS, "first/x")


def remembered(run: str, cell: str = "some/cell") -> tuple[Evidence, str]:
    return Evidence.REMEMBERED, f"{run}/{cell}"


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_every_format_says_how_many_and_from_where(name: str) -> None:
    stored = a_side(run_of(BUILT, remembered("20261125-first"), remembered("20261125-first"), SAME))
    text = re.sub(r"\s+", " ", FORMATS[name].render_run(stored, NO_OPTIONS))
    assert "2 of 4 cells, from 20261125-first" in text
    assert "1 of 4 cells" in text


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_a_run_that_built_all_does_not_speak_of_it(name: str) -> None:
    text = FORMATS[name].render_run(a_side(run_of(BUILT, TWIN)), NO_OPTIONS)
    assert "remembered" not in text
    assert "same objects" not in text


def test_the_run_that_most_are_from_is_first_and_few_are_named() -> None:
    run = run_of(remembered("a"), remembered("b"), remembered("c"), remembered("c"))
    assert summary.format_remembered(run) == "4 of 4 cells, from c, a, 1 more"


def test_a_cell_that_could_not_be_tried_is_not_counted() -> None:
    run = run_of(remembered("a"))
    lost = a_cell(symbols={"KVM": "z"}, state=State.UNREACHABLE)
    assert summary.format_remembered(run.model_copy(update={"cells": (*run.cells, lost)})) == (
        "1 of 1 cell, from a"
    )


def tell(before: StoredRun, after: StoredRun) -> dict[str, list[str]]:
    verdict = compare_runs(before, after)
    return collect_summary_lines(verdict, RunChanges.from_verdict(verdict, before, after))


def test_a_verdict_tells_what_the_patch_does_not_reach_from_what_was_built_with_it_before() -> None:
    before = run_of(BUILT, remembered("first"), TWIN, BUILT, id="base")
    ids = [cell.id for cell in before.cells]
    twin = (Evidence.REMEMBERED, "base/cell")
    after = run_of(remembered("base", ids[0]), remembered("first"), twin, remembered("hour-ago"), id="after")
    lines = tell(a_side(before), a_side(after))
    assert lines["unaffected"] == ["3 cells: the same .config, and nothing of what went into it is changed"]
    assert lines["remembered"] == ["1 cell, from hour-ago"]


def test_a_patch_of_which_all_was_built_speaks_of_neither() -> None:
    lines = tell(a_side(run_of(BUILT, id="base")), a_side(run_of(BUILT, id="after")))
    assert lines.keys() == {"looked at"}
