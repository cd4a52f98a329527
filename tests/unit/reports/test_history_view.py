"""The history of several runs, as it is shown."""

from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console

from matrix.errors import RequestError
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.run_history import RunHistory
from reports.history_view import HISTORY_FORMATS, HistoryView, select_history_format
from tests.fakes.foreign_words import LIVE
from tests.fakes.runs import GCC_ERROR, STARTED, a_cell
from tests.fakes.sides import OTHER, a_side, alone
from tests.unit.reports.test_pages import Page, commands

BAD, GOOD, UNTRIED = alone(State.FAIL, GCC_ERROR), alone(State.PASS), alone(State.TIMEOUT)


def view(*runs: Run) -> HistoryView:
    dated = [
        run.model_copy(update={"id": f"run-{number}", "started": STARTED + timedelta(hours=number)})
        for number, run in enumerate(runs, 1)
    ]
    return HistoryView(RunHistory.of_runs(map(a_side, dated)))


def shown(given: HistoryView, name: str) -> str:
    console = Console(file=StringIO(), width=100)
    select_history_format(name)(given, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("runs", "outcome"),
    [
        ((BAD, BAD), "bad in all"),
        ((GOOD, BAD, BAD), "bad since 2"),
        ((BAD, GOOD, BAD), "bad since 3"),
        ((GOOD, BAD, UNTRIED, BAD), "bad since 2"),
        ((BAD, BAD, GOOD), "bad until 2, good since 3"),
        ((GOOD, BAD, GOOD), "bad in 2, good since 3"),
        ((BAD, UNTRIED), "bad in 1, not known since"),
        ((BAD, UNTRIED, GOOD), "bad in 1, good since 3"),
    ],
)
def test_the_outcome_says_since_when(runs: tuple[Run, ...], outcome: str) -> None:
    (row,) = view(*runs).findings
    assert row.outcome == outcome


@pytest.mark.parametrize("name", HISTORY_FORMATS)
def test_every_format_has_the_runs_the_findings_and_the_cells(name: str) -> None:
    told = shown(view(GOOD, BAD), name)
    for words in (
        "run-1",
        "run-2",
        "weak declaration",
        "bad since 2",
        "powerpc/gcc-14/defconfig",
        "last fail",
    ):
        assert words in told


def test_signs_stand_in_the_order_of_the_runs() -> None:
    lines = shown(view(GOOD, BAD, UNTRIED), "terminal").splitlines()
    assert any(line.startswith("  . F ?  bad in 2, not known since: ") for line in lines)
    assert any(line.startswith("  . F T  last timeout: powerpc/gcc-14") for line in lines)


def test_a_cell_that_a_plan_lacks_has_no_sign_there() -> None:
    other = GOOD.model_copy(update={"cells": (a_cell("x86", state=State.FAIL),)})
    assert "\n    F  last fail: x86/" in shown(view(GOOD, other), "terminal")


def test_the_page_is_well_formed_and_loads_nothing() -> None:
    page = Page(shown(view(GOOD, BAD, alone(State.FAIL, OTHER)), "html"))
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.links == []


@pytest.mark.parametrize("words", LIVE)
@pytest.mark.parametrize("name", HISTORY_FORMATS)
def test_foreign_words_are_only_shown(name: str, words: str) -> None:
    odd = GCC_ERROR.model_copy(update={"message": words, "file": words})
    told = shown(view(alone(State.FAIL, odd)), name)
    assert commands(told) == []
    assert name != "html" or Page(told).tags == Page(shown(view(BAD), "html")).tags


def test_a_format_of_another_name_is_refused() -> None:
    with pytest.raises(RequestError, match="nearest: 'html'"):
        select_history_format("htm")
