"""What was not tried proves nothing: not in findings, verdicts, baselines, mails, known issues."""

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from datetime import date
from io import StringIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from matrix.commands.repro import select_repro_target
from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, DiagnosticRef, Run, StageRecord
from matrix.record.states import SPEECHLESS_STATES, State
from matrix.verdict.baseline import (
    KnownIssue,
    compare_with_baseline,
    compute_excused_exit_code,
    match_known_issues,
)
from matrix.verdict.comparison import compare_runs
from matrix.verdict.gates import compute_verdict_exit_code
from reports.explain import show_explanation
from reports.mail_run import render_run_mail
from reports.mail_verdict import render_verdict_mail
from reports.pages import render_html, render_markdown, render_verdict_html, render_verdict_markdown
from reports.terminal import render_text, render_verdict_text
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, STORY, WARNING, a_cell, a_run
from tests.fakes.sides import OBJECT, OTHER, OTHER_OBJECT, a_side, alone, two

KILLED = Diagnostic(severity="error", tool="make", message="Killed")
CRASHED = Diagnostic(
    severity="error", tool="gcc", message="fatal error: Killed signal terminated program cc1"
)
SAID = (GCC_ERROR, CLANG_ERROR, WARNING, OTHER, KILLED, CRASHED)
STAGES = ("configure", "focus", "vmlinux", "modules")
TRIED = [State.PASS, State.WARN, State.FAIL, State.EMPTY, State.UNREACHABLE, State.UNKNOWN]
SYMBOLS = ({"KVM": "y"}, {"KVM": "n"})
EXCUSE = KnownIssue(
    keys=a_side(alone(State.FAIL, KILLED)).findings.findings[0].keys,
    reason="known",
    link="https://example.org/",
    expires=date(2999, 1, 1),
)


def refer(said: Iterable[Diagnostic], stage: str = "focus", object_: str | None = OBJECT) -> tuple[Any, ...]:
    return tuple(DiagnosticRef(key=one.key, object=object_, stage=stage) for one in said)


@st.composite
def references(draw: st.DrawFn) -> tuple[DiagnosticRef, ...]:
    objects = st.sampled_from([OBJECT, OTHER_OBJECT, None])
    rows = st.tuples(st.sampled_from(SAID), st.sampled_from(STAGES), objects)
    return tuple(DiagnosticRef(key=d.key, stage=s, object=o) for d, s, o in draw(st.lists(rows, max_size=3)))


@st.composite
def rows(draw: st.DrawFn) -> tuple[Cell, ...]:
    """Cells of two arches and compilers, in any states, with anything said in them."""
    cells = []
    for arch, tool, symbols in itertools.product(("x86", "s390"), ("gcc-14", "clang-19"), SYMBOLS):
        state = draw(st.sampled_from([*TRIED, *sorted(SPEECHLESS_STATES)]))
        cells.append(
            a_cell(arch, tool, symbols, state=state).model_copy(update={"diagnostics": draw(references())})
        )
    return tuple(cells)


def resaid(cells: Sequence[Cell], other: Sequence[tuple[DiagnosticRef, ...]]) -> list[Cell]:
    """The same cells; in those that were not tried something else is said."""
    return [
        cell.model_copy(update={"diagnostics": refs}) if cell.state in SPEECHLESS_STATES else cell
        for cell, refs in zip(cells, other, strict=True)
    ]


def explain(stored: StoredRun) -> str:
    out = StringIO()
    show_explanation(stored, stored.findings.findings, Console(file=out, width=200))
    return out.getvalue()


def collect_claims(before: StoredRun, after: StoredRun) -> dict[str, object]:
    """Everything that is claimed of two runs, the one alone and both together, and every exit code."""
    verdict = compare_runs(before, after)
    known = match_known_issues(after.findings, {"row": EXCUSE}, date(2026, 1, 1))
    regression = compare_with_baseline(before, after, known, werror=True)
    return {
        "findings": after.findings,
        "unexplained": after.find_unexplained_cells(),
        "verdict": verdict,
        "exit": compute_verdict_exit_code(verdict, werror=True),
        "baseline": (regression.exit_code, regression.new_findings, regression.undecided_cells),
        "known": (known, compute_excused_exit_code(after, known, werror=True)),
        "explain": explain(after),
        "mail": render_run_mail(after),
        "text": render_text(after),
        "markdown": render_markdown(after),
        "verdict mail": render_verdict_mail(verdict, before, after),
        "verdict text": render_verdict_text(verdict, before, after),
        "verdict markdown": render_verdict_markdown(verdict, before, after),
        **split_page(render_verdict_html(verdict, before, after)),
    }


def split_page(page: str) -> dict[str, object]:
    """What a verdict's page claims: itself, and of the data that its script shows all but what single cells
    said."""
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    claimed = ("changes", "compared", "findings", "states")
    return {
        "verdict html": re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL),
        "verdict data": {name: json.loads(data)[name] for name in claimed},
    }


@settings(deadline=None, max_examples=60)
@given(rows(), rows(), st.lists(references(), min_size=8, max_size=8), st.booleans())
def test_what_an_untried_cell_said_changes_no_claim(
    first: tuple[Cell, ...], second: tuple[Cell, ...], other: list[tuple[DiagnosticRef, ...]], early: bool
) -> None:
    """Neither before nor after: whatever stands there, all that is claimed of the runs is the same."""
    before, after = a_run(first, SAID, id="before"), a_run(second, SAID, id="after")
    claims = collect_claims(a_side(before), a_side(after))
    changed = a_run(resaid(first, other) if early else first, SAID, id="before")
    again = a_run(second if early else resaid(second, other), SAID, id="after")
    for name, claim in collect_claims(a_side(changed), a_side(again)).items():
        assert claim == claims[name], name


@pytest.mark.parametrize("state", sorted(SPEECHLESS_STATES))
@pytest.mark.parametrize("said", SAID, ids=lambda said: said.message[:20])
def test_an_untried_cell_brings_no_finding_and_blames_nobody(state: State, said: Diagnostic) -> None:
    before, after = two(alone(State.PASS), alone(state, said, reason="the memory limit of 300 MiB"))
    assert after.findings.findings == ()
    verdict = compare_runs(before, after)
    assert compute_verdict_exit_code(verdict) is ExitCode.MACHINE_FAULT
    assert compare_with_baseline(before, after).new_findings == ()
    for shown in (
        *(render(after) for render in (render_text, render_markdown, render_run_mail)),
        *(render(verdict, before, after) for render in (render_verdict_text, render_verdict_mail)),
    ):
        assert said.message not in shown
        assert "reproduce:" not in shown
        assert "To see it" not in shown
    with pytest.raises(RequestError, match="did not fail"):
        select_repro_target(after, "", after.run.cells[0].id, "")
    with pytest.raises(RequestError, match="has no finding"):
        select_repro_target(after, "F1", "", "")


@pytest.mark.parametrize("state", sorted(SPEECHLESS_STATES - {State.NOT_RUN}))
def test_the_page_shows_what_was_said_as_what_it_is(state: State) -> None:
    # What is shown without the script, whose data have all messages.
    page = re.sub(r"<script.*?</script>", "", render_html(a_side(alone(state, KILLED))), flags=re.DOTALL)
    shown = page.count("Killed")
    note = page.count("Said before it was stopped, which proves nothing of the tree:")
    assert (shown, note) == ((1, 1) if state is not State.CANCELLED else (0, 0))


def two_stages(first: State, second: State, *, said: Iterable[DiagnosticRef]) -> Run:
    """A cell that failed in one of its stages, whatever became of the other."""
    stages = [
        StageRecord.model_validate({"name": name, "state": state, "command": "make"})
        for name, state in (("focus", first), ("vmlinux", second))
    ]
    cell = a_cell(state=State.FAIL, stages=tuple(stages))
    return a_run([cell.model_copy(update={"diagnostics": tuple(said)})], SAID)


@pytest.mark.parametrize("state", sorted(SPEECHLESS_STATES))
def test_a_stage_that_was_stopped_adds_nothing_to_one_that_failed(state: State) -> None:
    run = two_stages(
        State.FAIL,
        state,
        said=[*refer([GCC_ERROR]), *refer([KILLED], "vmlinux"), *refer([WARNING], "vmlinux")],
    )
    stored = a_side(run)
    (finding,) = stored.findings.findings
    assert finding.diagnostics == (GCC_ERROR.key,)
    assert {ref.key for ref in stored.findings_by_cell[finding.cells[0]]["F1"]} == {GCC_ERROR.key}
    assert "Said before it was stopped" in render_html(stored)


def test_a_failure_whose_only_words_are_of_a_stopped_stage_has_no_finding() -> None:
    stored = a_side(two_stages(State.FAIL, State.OOM, said=refer([KILLED], "vmlinux")))
    assert stored.findings.findings == ()
    assert [cell.id for cell in stored.find_unexplained_cells()] == [stored.run.cells[0].id]
    assert "Killed" not in render_text(stored)


def test_an_error_that_a_time_limit_came_after_stands() -> None:
    """cell_build makes such a stage `fail`: its error has a line in the source."""
    stored = a_side(two_stages(State.FAIL, State.NOT_RUN, said=refer([GCC_ERROR])))
    assert [finding.id for finding in stored.findings.findings] == ["F1"]


def test_an_object_that_a_stopped_stage_had_trouble_with_was_not_made() -> None:
    """Words that prove nothing of the tree still show that nothing came of the object."""
    run = two_stages(
        State.FAIL, State.OOM, said=[*refer([GCC_ERROR]), *refer([KILLED], "vmlinux", OTHER_OBJECT)]
    )
    assert OTHER_OBJECT not in a_side(run).made_objects[run.cells[0].id]


def test_warnings_of_an_untried_cell_are_not_counted() -> None:
    cells = [a_cell(state=State.TIMEOUT, diagnostics=[WARNING]), a_cell("x86", symbols=STORY)]
    assert "warnings:" not in render_text(a_side(a_run(cells, [WARNING])))


def test_explain_says_how_much_was_tried() -> None:
    cells = [a_cell(state=State.OOM, diagnostics=[KILLED]), a_cell("x86")]
    silence = "no compiler said anything in the 1 cell that could be tried, of 2"
    assert silence in explain(a_side(a_run(cells, SAID)))


@pytest.mark.parametrize("state", [State.UNREACHABLE, State.EMPTY])
def test_explain_does_not_count_what_no_compiler_saw(state: State) -> None:
    silence = "no compiler said anything in the 1 cell that could be tried, of 2"
    assert silence in explain(a_side(a_run([a_cell(state=state), a_cell("x86")])))


def test_explain_does_not_hide_a_failure_without_words() -> None:
    silence = "no compiler said anything in its 1 cell; 1 cell failed all the same"
    assert silence in explain(a_side(alone(State.FAIL)))
