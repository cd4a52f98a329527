"""What follows from a finding stands below it, in every format."""

from dataclasses import replace

import pytest
from rich.console import Console

from matrix.findings.make_steps import RunLocation
from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs
from reports import FORMATS, NO_OPTIONS, PROSE_FORMATS
from reports.explain import show_explanation
from reports.finding_view import FindingView
from reports.limits import ALIKE_NEIGHBOURS, CONSEQUENCES, EXPLANATION
from tests.fakes.cascades import CAUSE, FOLLOWER
from tests.fakes.runs import GCC_ERROR, a_cell, a_run
from tests.fakes.sides import NOWHERE, a_side, alone, turned

FOLLOWS = "control reaches end of non-void function"


def a_cascade(followers: int = 1) -> StoredRun:
    more = [FOLLOWER.model_copy(update={"line": 13 + n, "flag": f"-Wflag-{n}"}) for n in range(1, followers)]
    return StoredRun(alone(State.FAIL, CAUSE, FOLLOWER, *more), NOWHERE)


def a_view(stored: StoredRun) -> FindingView:
    (finding,) = stored.findings.findings
    return FindingView(RunLocation.from_cwd(stored), finding, EXPLANATION)


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_every_format_shows_what_follows(name: str) -> None:
    text = FORMATS[name].render_run(a_cascade(), NO_OPTIONS)
    assert "ONE_MAX" in text
    assert "and after it" in text
    assert text.index("and after it") < text.rindex(FOLLOWS)


@pytest.mark.parametrize("name", [name for name in PROSE_FORMATS if name != "mail"])
def test_every_format_of_a_verdict_shows_it(name: str) -> None:
    run = alone(State.FAIL, CAUSE, FOLLOWER)
    before, after = a_side(run), a_side(turned(run))
    text = FORMATS[name].render_verdict(compare_runs(before, after), before, after, NO_OPTIONS)
    assert "and after it" in text
    assert FOLLOWS in text


def test_explain_shows_it_with_the_compilers_own_line(capsys: pytest.CaptureFixture[str]) -> None:
    stored = a_cascade()
    show_explanation(stored, stored.findings.findings, Console(width=80))
    shown = capsys.readouterr().out
    assert f"  and after it\n    virt/kvm/vfio.c:13:1: error: {FOLLOWS}" in shown


def test_what_has_no_room_is_counted() -> None:
    view = a_view(a_cascade(CONSEQUENCES + 4))
    labels = [message.label for message in view.messages if message.follows]
    assert labels == ["and after it", "and after it", "and after it, with 4 more"]
    assert view.hidden_message_count == 0


def test_what_the_record_lost_is_not_shown() -> None:
    stored = a_cascade()
    (finding,) = stored.findings.findings
    assert finding.consequences == (FOLLOWER.key,)
    damaged = stored.run.model_copy(update={"diagnostics": {CAUSE.key: CAUSE}})
    view = replace(a_view(stored), location=RunLocation.from_cwd(StoredRun(damaged, NOWHERE)))
    assert [message.follows for message in view.messages] == [False]


def test_a_cell_shows_it_as_one_finding() -> None:
    stored = a_cascade()
    (refs,) = stored.findings_by_cell.values()
    assert [ref.key for ref in refs["F1"]] == [CAUSE.key, FOLLOWER.key]
    assert stored.find_unexplained_cells() == []


def test_neighbours_that_prove_the_same_have_rows_and_then_one_for_the_rest() -> None:
    others = [a_cell(symbols={"NR_CPUS": str(number)}) for number in range(2, 12)]
    failing = a_cell(symbols={"NR_CPUS": "1"}, state=State.FAIL, diagnostics=[GCC_ERROR])
    view = a_view(StoredRun(a_run([failing, *others], [GCC_ERROR]), NOWHERE))
    (conjunction,) = view.conjunctions
    rows = [(row.to, row.cell) for row in conjunction.rows if row.axis == "NR_CPUS"]
    values = sorted(str(number) for number in range(2, 12))
    assert [to for to, _ in rows] == [*values[:4], ", ".join(values[4:])]
    assert rows[0][1] == f"powerpc/gcc-14/defconfig/NR_CPUS={values[0]}"
    assert rows[-1][1] == "6 more cells"


def test_a_neighbour_more_than_there_are_rows_for_has_one_all_the_same() -> None:
    others = [a_cell(symbols={"A": str(number)}) for number in range(ALIKE_NEIGHBOURS + 1)]
    failing = a_cell(symbols={"A": "x"}, state=State.FAIL, diagnostics=[GCC_ERROR])
    view = a_view(StoredRun(a_run([failing, *others], [GCC_ERROR]), NOWHERE))
    (conjunction,) = view.conjunctions
    cells = [row.cell for row in conjunction.rows if row.axis == "A"]
    assert cells == [other.id for other in others]
