"""JUnit's XML, read back by junitparser: what a CI shows is what the run's states and exit code say."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import PROVEN_STATES, UNTRIED_STATES, State, compute_run_exit_code
from matrix.verdict.baseline import KnownIssues, compare_with_baseline
from matrix.verdict.comparison import compare_runs
from matrix.verdict.gates import compute_verdict_exit_code
from reports import FORMATS, NO_OPTIONS, ReportOptions
from reports.limits import JUNIT_DETAIL_BYTES
from tests.fakes.foreign_words import LIVE
from tests.fakes.large_runs import a_large_side
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import OTHER, a_side, alone, mended, turned
from tests.fakes.verdicts import header_fix, kconfig_fix
from tests.unit.reports.test_foreign_words import foreign_run, foreign_verdict, keep_run

OLD = Path(__file__).parents[2] / "old_run"
EXPECTED: dict[State, Any] = {State.PASS: None, State.WARN: None, State.FAIL: Failure}
EXPECTED |= {State.EMPTY: Skipped, State.UNREACHABLE: Skipped} | dict.fromkeys(UNTRIED_STATES, Error)


def read(text: str) -> list[tuple[str, Any]]:
    """Each case's name in its suite, and what is said of it, by junitparser."""
    xml = JUnitXml.fromstring(text.encode())
    return [(f"{suite.name}/{case.name}", case) for suite in xml for case in suite]


def outcomes(text: str) -> dict[str, Any]:
    cases = read(text)
    assert len(dict(cases)) == len(cases)
    assert all(len(case.result) <= 1 for _, case in cases)
    return {name: type(case.result[0]) if case.result else None for name, case in cases}


def messages(text: str) -> dict[str, str]:
    return {name: case.result[0].message for name, case in read(text) if case.result}


def render(stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> str:
    return FORMATS["junit"].render_run(stored, options)


def all_states() -> Run:
    rows = [
        a_cell(symbols={"NR": str(number)}, state=state, diagnostics=[GCC_ERROR] if state == "fail" else ())
        for number, state in enumerate(State)
    ]
    return a_run(rows, [GCC_ERROR])


def test_every_state_is_what_a_ci_knows_of_it() -> None:
    run = all_states()
    assert EXPECTED.keys() == set(State)
    assert outcomes(render(a_side(run))) == {cell.id: EXPECTED[cell.state] for cell in run.cells}


def test_the_story_is_told_by_suites_of_lanes() -> None:
    run = the_story()
    told = outcomes(render(a_side(run)))
    assert told == {cell.id: EXPECTED[cell.state] for cell in run.cells}
    xml = JUnitXml.fromstring(render(a_side(run)).encode())
    assert {suite.name for suite in xml} == {f"{c.arch}/{c.toolchain}/{c.base}" for c in run.cells}
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (144, 2, 0, 46)
    for suite in xml:
        seen = [type(case.result[0]) if case.result else None for case in suite]
        assert (suite.tests, suite.failures, suite.skipped) == (
            len(seen), seen.count(Failure), seen.count(Skipped),
        )  # fmt: skip


def test_an_unreachable_cell_is_skipped_with_its_reason() -> None:
    run = the_story()
    told = messages(render(a_side(run)))
    reasons = {cell.id: cell.reason for cell in run.cells if cell.state is State.UNREACHABLE}
    assert {name: told[name] for name in reasons} == reasons


def test_a_failure_has_its_finding_and_its_diagnostics() -> None:
    cases = [case for _, case in read(render(a_side(the_story()))) if case.result]
    failed = [case.result[0] for case in cases if isinstance(case.result[0], Failure)]
    assert all("weak declaration" in each.message for each in failed)
    assert any("include/linux/vfio.h:294:35: error: weak declaration" in each.text for each in failed)
    assert any("static inline struct iommu_group" in each.text for each in failed)


def test_warnings_of_a_cell_that_was_built_are_in_its_output() -> None:
    ((_, case),) = read(render(a_side(alone(State.WARN, WARNING))))
    assert case.result == []
    assert "unused variable 'x'" in case.system_out


def test_a_cell_that_the_machine_failed_is_an_error_with_the_reason() -> None:
    run = a_run([a_cell(state=State.INFRA, reason="the disk is full")])
    assert messages(render(a_side(run))) == {run.cells[0].id: "the disk is full"}


def test_times_are_those_of_the_cells_own_stages() -> None:
    run = the_story()
    xml = JUnitXml.fromstring(render(a_side(run)).encode())
    assert xml.time == pytest.approx(sum(cell.own_seconds for cell in run.cells), abs=0.1)


# --- comparisons: red only for what is new or lost


def judge(before: Run, after: Run, **options: Any) -> tuple[dict[str, Any], ExitCode]:
    """What a run's file says against a baseline, and the run's exit code."""
    baseline, current = a_side(before), a_side(after)
    known = options.get("known", KnownIssues({}, {}, ()))
    regression = compare_with_baseline(baseline, current, known)
    text = render(current, ReportOptions(regression=regression, known_issues=known))
    return outcomes(text), regression.exit_code


def test_what_failed_before_is_skipped_against_a_baseline() -> None:
    story = the_story()
    told, code = judge(story, turned(story))
    assert code is ExitCode.PASSED
    failing = {cell.id for cell in story.cells if cell.state is State.FAIL}
    assert {told[name] for name in failing} == {Skipped}
    assert Failure not in told.values()


def test_what_is_broken_or_lost_since_a_baseline_fails() -> None:
    story = mended(the_story())
    broken = next(cell for cell in story.cells if cell.state is State.PASS)
    lost = [cell for cell in story.cells if cell.state is State.PASS][1]
    after = turned(
        story,
        broken.model_copy(update={"state": State.FAIL}),
        lost.model_copy(update={"state": State.UNREACHABLE, "reason": "gone"}),
    )
    told, code = judge(story, after)
    assert code is ExitCode.FAILED
    assert {name for name, kind in told.items() if kind is Failure} == {broken.id, lost.id}


def test_a_new_error_in_a_cell_that_failed_already_fails() -> None:
    before = alone(State.FAIL, GCC_ERROR)
    after = turned(before, a_cell(state=State.FAIL, diagnostics=[GCC_ERROR, OTHER]), diagnostics=[OTHER])
    told, code = judge(before, after)
    assert (list(told.values()), code) == ([Failure], ExitCode.FAILED)


def test_what_is_known_is_skipped_and_says_which_row() -> None:
    stored = a_side(alone(State.FAIL, GCC_ERROR))
    known = KnownIssues({"F1": "vfio-weak"}, {}, ())
    ((name, said),) = messages(render(stored, ReportOptions(known_issues=known))).items()
    assert said.startswith("known: vfio-weak; F1 ")
    assert outcomes(render(stored, ReportOptions(known_issues=known))) == {name: Skipped}


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_what_could_not_be_tried_is_an_error_in_a_comparison_too(state: State) -> None:
    before = the_story()
    cell = next(cell for cell in before.cells if cell.state is State.PASS)
    told, code = judge(before, turned(before, cell.model_copy(update={"state": state, "reason": "so"})))
    assert (told[cell.id], code) == (Error, ExitCode.MACHINE_FAULT)


def test_a_fix_passes_and_each_finding_that_was_asked_for_is_a_case() -> None:
    case = header_fix()
    verdict = compare_runs(case.before, case.after, fixes=["F1"])
    told = outcomes(FORMATS["junit"].render_verdict(verdict, case.before, case.after, NO_OPTIONS))
    assert told["fixes/F1"] is None
    assert Failure not in told.values()
    same = replace(case.before, run=case.before.run.model_copy(update={"id": "again"}))
    unfixed = compare_runs(case.before, same, fixes=["F1"])
    told = outcomes(FORMATS["junit"].render_verdict(unfixed, case.before, same, NO_OPTIONS))
    assert [name for name, kind in told.items() if kind is Failure] == ["fixes/F1"]


def test_a_patch_that_does_not_apply_is_an_error_and_what_follows_it_too() -> None:
    case = header_fix()
    (first,) = case.verdict.patches
    second = first.model_copy(update={"name": "2.patch", "refused": "hunk 1 fails"})
    third = first.model_copy(update={"name": "3.patch"})
    whole = case.having(patches=(first, second, third))
    text = FORMATS["junit"].render_verdict(*whole.given, NO_OPTIONS)
    told = {name: kind for name, kind in outcomes(text).items() if name.startswith("patches/")}
    assert told == {f"patches/{first.name}": None, "patches/2.patch": Error, "patches/3.patch": Error}
    assert messages(text)["patches/2.patch"] == "hunk 1 fails"
    assert messages(text)["patches/3.patch"] == "2.patch does not apply"


def test_lost_cells_that_are_allowed_are_skipped() -> None:
    before = alone(State.PASS)
    after = turned(before, a_cell(state=State.UNREACHABLE, reason="gone"))
    sides = a_side(before), a_side(after)
    row, verdict = FORMATS["junit"], compare_runs(*sides)
    assert set(outcomes(row.render_verdict(verdict, *sides, NO_OPTIONS)).values()) == {Failure}
    allowed = row.render_verdict(verdict, *sides, ReportOptions(allow_lost=True))
    told = outcomes(allowed)
    assert told.pop("run/outcome") is Error  # nothing is left that proves anything
    assert set(told.values()) == {Skipped}


def test_a_new_error_of_a_verdict_in_a_cell_that_failed_already_fails() -> None:
    before = alone(State.FAIL, GCC_ERROR)
    both = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR, OTHER])
    sides = a_side(before), a_side(turned(before, both, diagnostics=[OTHER]))
    told = FORMATS["junit"].render_verdict(compare_runs(*sides), *sides, NO_OPTIONS)
    assert list(outcomes(told).values()) == [Failure]


@pytest.mark.parametrize("known", [[GCC_ERROR], []])
def test_a_failure_that_is_not_known_from_before_is_never_told_as_not_new(known: list[Diagnostic]) -> None:
    """In a cell that the plan before lacks, and after another failure: in each format, with its code."""
    old, added = a_cell(), a_cell("x86", state=State.FAIL, diagnostics=known)
    before, after = a_side(a_run([old])), a_side(a_run([old, added], [GCC_ERROR]))
    label = "new error" if known else "new failure"
    assert_told_alike(before, after, added.id, (Failure, label, ExitCode.FAILED, "fail"))
    if not known:
        before = a_side(alone(State.FAIL, GCC_ERROR))
        assert_told_alike(
            before,
            a_side(alone(State.FAIL)),
            old.id,
            (Error, "unknown", ExitCode.MACHINE_FAULT, "warning"),
        )


def assert_told_alike(
    before: StoredRun, after: StoredRun, name: str, expected: tuple[Any, str, ExitCode, str]
) -> None:
    kind, label, code, state = expected
    verdict, regression = compare_runs(before, after), compare_with_baseline(before, after)
    assert (compute_verdict_exit_code(verdict), regression.exit_code) == (code, code)
    sides = verdict, before, after, NO_OPTIONS
    options = ReportOptions(regression=regression)
    for text in (render(after, options), FORMATS["junit"].render_verdict(*sides)):
        (said,) = dict(read(text))[name].result
        assert (type(said), said.type) == (kind, label)
    for text in (FORMATS["github"].render_run(after, options), FORMATS["github"].render_verdict(*sides)):
        assert "\n::error" in f"\n{text}"
    check = json.loads(FORMATS["patchwork"].render_verdict(*sides))
    assert check["state"] == state
    assert "breaks nothing" not in check["description"] or state == "warning"


def strict(run: Run) -> Run:
    """The run, made with ``--werror``."""
    return run.model_copy(update={"profile": {**run.profile, "werror": True}})


def test_with_werror_a_warning_is_a_failure() -> None:
    stored = a_side(strict(alone(State.WARN, WARNING)))
    ((name, case),) = read(render(stored))
    assert isinstance(case.result[0], Failure)
    assert (case.result[0].type, case.result[0].message.split()[0]) == ("warn", "F1")
    known = ReportOptions(known_issues=KnownIssues({"F1": "row"}, {}, ()))
    assert outcomes(render(stored, known)) == {name: Skipped}
    assert messages(render(stored, known))[name].startswith("known: row; F1 ")
    assert outcomes(render(a_side(alone(State.WARN, WARNING)))) == {name: None}


def test_with_werror_a_warning_beside_a_known_error_is_a_failure() -> None:
    run = strict(alone(State.FAIL, GCC_ERROR, WARNING))
    stored = a_side(run)
    error = next(finding.id for finding in stored.findings.findings if finding.is_error)
    (warning,) = {finding.id for finding in stored.findings.findings} - {error}
    options = ReportOptions(known_issues=KnownIssues({error: "row"}, {}, ()))
    assert options.compute_run_code(stored) is ExitCode.WARNED
    ((_, case),) = read(render(stored, options))
    assert isinstance(case.result[0], Failure)
    assert case.result[0].message.startswith(f"{warning} ")


def test_with_werror_a_new_warning_is_a_failure_and_an_old_one_is_not() -> None:
    before, after = a_side(alone(State.PASS)), a_side(strict(turned(alone(State.WARN, WARNING))))
    regression = compare_with_baseline(before, after, werror=True)
    told, same = (
        read(render(after, ReportOptions(regression=each)))
        for each in (regression, compare_with_baseline(after, after, werror=True))
    )
    assert [(type(each), each.type) for _, case in told for each in case.result] == [(Failure, "new warning")]
    assert [case.result for _, case in same] == [[]]
    sides = compare_runs(before, after), before, after
    verdict = [FORMATS["junit"].render_verdict(*sides, ReportOptions(werror=each)) for each in (True, False)]
    assert [Failure in outcomes(text).values() for text in verdict] == [True, False]


@pytest.mark.parametrize("state", [State.WARN, State.FAIL])
def test_what_is_new_in_a_cell_is_named_before_what_was_there(state: State) -> None:
    both = (
        (WARNING, OTHER.model_copy(update={"severity": "warning"}))
        if state is State.WARN
        else (GCC_ERROR, OTHER)
    )
    for old, new in (both, both[::-1]):
        before, after = a_side(alone(state, old)), a_side(strict(turned(alone(state, old, new))))
        regression = compare_with_baseline(before, after, werror=True)
        (told,) = messages(render(after, ReportOptions(regression=regression))).values()
        title = next(found.title for found in after.findings.findings if new.message in found.title)
        assert title in told
        assert told.endswith((" (and 1 more warning)", " (and 1 more error)"))
        sides = compare_runs(before, after), before, after
        text = FORMATS["junit"].render_verdict(*sides, ReportOptions(werror=True))
        assert title in next(iter(messages(text).values()))


def test_an_exit_code_that_no_cell_explains_is_a_case_of_its_own() -> None:
    warned = a_side(alone(State.WARN, WARNING))
    empty, none = a_side(alone(State.EMPTY)), a_side(a_run([]))
    stopped = a_side(alone(State.PASS).model_copy(update={"interrupted": True}))
    for stored, code, kind in (
        (warned, ExitCode.WARNED, Failure),
        (warned, ExitCode.BUG, Error),
        (empty, None, Error),
        (none, None, Error),
        (stopped, None, Error),
    ):
        options = ReportOptions(exit_code=code)
        told = outcomes(render(stored, options))
        assert told.pop("run/outcome") is kind
        assert not {Failure, Error} & {*told.values()}
        assert "::error" in FORMATS["github"].render_run(stored, options)
    sides = compare_runs(empty, empty), empty, empty
    assert outcomes(FORMATS["junit"].render_verdict(*sides, NO_OPTIONS))["run/outcome"] is Error
    assert "::error" in FORMATS["github"].render_verdict(*sides, NO_OPTIONS)
    assert "run/outcome" not in outcomes(render(warned))
    assert "run/outcome" not in outcomes(render(a_side(all_states())))


def test_what_the_run_before_has_elsewhere_is_not_new_in_another_cell() -> None:
    old = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    added = a_cell("x86", state=State.FAIL, diagnostics=[GCC_ERROR])
    before, after = a_side(a_run([old], [GCC_ERROR])), a_side(a_run([old, added], [GCC_ERROR]))
    told = messages(render(after, ReportOptions(regression=compare_with_baseline(before, after))))
    assert told[added.id].startswith("not new: F1 ")


def test_what_nothing_before_is_like_is_not_compared() -> None:
    """Whether the error is new is not known where it could have been hidden, so neither is it elsewhere."""
    before = a_side(a_run([a_cell(state=State.INFRA), a_cell("s390")]))
    failing = [a_cell(arch, state=State.FAIL, diagnostics=[GCC_ERROR]) for arch in ("powerpc", "x86")]
    after = a_side(a_run([*failing, a_cell("s390")], [GCC_ERROR]))
    told = messages(render(after, ReportOptions(regression=compare_with_baseline(before, after))))
    assert told[failing[1].id].startswith("not compared: the plan before has no such cell: F1 ")


SAID = st.sampled_from([(GCC_ERROR,), (OTHER,), (GCC_ERROR, OTHER), ()])
ENDED = st.tuples(st.sampled_from([*State, *[State.FAIL] * len(State)]), SAID, st.booleans())
"""A cell's state, what it says where it fails, and whether it is known to have made its objects."""
Ended = tuple[State, tuple[Diagnostic, ...], bool]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ENDED, ENDED), min_size=1, max_size=5))
@example([((State.FAIL, (GCC_ERROR, OTHER), False), (State.FAIL, (GCC_ERROR,), False))])
def test_the_file_is_red_where_the_exit_code_is(pairs: list[tuple[Ended, Ended]]) -> None:
    """Failures mean 100, errors without them 2, whatever cells were before and are after."""
    before, after = (side_of([pair[side] for pair in pairs], name) for side, name in enumerate("ba"))
    verdict, regression = compare_runs(before, after), compare_with_baseline(before, after)
    told = FORMATS["junit"].render_verdict(verdict, before, after, NO_OPTIONS)
    assert_agrees(told, compute_verdict_exit_code(verdict))
    assert_agrees(render(after, ReportOptions(regression=regression)), regression.exit_code)
    assert_agrees(render(after), compute_run_exit_code(cell.state for cell in after.run.cells))


def side_of(ends: list[Ended], name: str) -> StoredRun:
    rows = [
        a_cell(symbols={"NR": str(number)}, state=state, diagnostics=said if state is State.FAIL else ())
        for number, (state, said, _) in enumerate(ends)
    ]
    unknown: dict[str, tuple[str, ...]] = {
        row.id: ()
        for row, (state, _, made) in zip(rows, ends, strict=True)
        if state is State.FAIL and not made
    }
    return a_side(a_run(rows, [GCC_ERROR, OTHER], id=name), unknown)


def assert_agrees(text: str, code: ExitCode) -> None:
    seen = Counter(outcomes(text).values())
    if code is ExitCode.FAILED:
        assert seen[Failure]
    elif code is ExitCode.MACHINE_FAULT:
        assert seen[Error]
        assert not seen[Failure]
    elif code is ExitCode.WRONG_REQUEST:
        assert outcomes(text)["run/outcome"] is Error
        assert (seen[Error], seen[Failure]) == (1, 0)
    else:
        assert not seen[Failure]
        assert not seen[Error]


# --- whatever is in a log is valid XML


@pytest.mark.parametrize("words", [*LIVE, "]]>", "\ufffe\uffff", "\x00\x0b\x1b[2J", "&#0;", "x" * 5000])
def test_no_word_is_obeyed_in_xml(words: str) -> None:
    for text, plain in zip(renderings(words), renderings("plain words"), strict=True):
        assert tags(text) == tags(plain)
        JUnitXml.fromstring(text.encode())


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(codec="utf-8", exclude_categories=()), min_size=1, max_size=30))
def test_nor_is_any_other_text(words: str) -> None:
    for text in renderings(words):
        assert tags(text)


def renderings(words: str) -> Iterator[str]:
    yield render(keep_run(foreign_run(words)))
    yield FORMATS["junit"].render_verdict(*foreign_verdict(words), NO_OPTIONS)


def tags(text: str) -> Counter[str]:
    return Counter(element.tag for element in ElementTree.fromstring(text).iter())


def test_the_name_of_a_case_is_whole_where_a_cells_id_is_cut() -> None:
    cell = a_cell(symbols={"LONG": "v" * 400})
    ((_, case),) = read(render(a_side(a_run([cell]))))
    assert case.name == f"LONG={'v' * 400}"


def test_an_old_run_and_its_verdict_are_told() -> None:
    before, after = StoredRun.load(OLD / "before"), StoredRun.load(OLD / "after")
    assert outcomes(render(after)) == {cell.id: EXPECTED[cell.state] for cell in after.run.cells}
    text = FORMATS["junit"].render_verdict(compare_runs(before, after), before, after, NO_OPTIONS)
    assert outcomes(text).keys() == {cell.id for cell in after.run.cells}


def test_ten_thousand_cells_make_a_file_that_a_forge_takes() -> None:
    stored = a_large_side(10_000, 1_000)
    text = render(stored)
    told = outcomes(text)
    assert len(told) == 10_000
    assert sum(kind is Failure for kind in told.values()) == sum(
        cell.state is State.FAIL for cell in stored.run.cells
    )
    assert len(text) < 20 * 2**20


def test_details_end_where_there_is_no_room_for_more_and_messages_stay() -> None:
    long = [
        GCC_ERROR.model_copy(update={"message": f"{number} {'m' * 480}", "excerpt": ("e" * 480,) * 9})
        for number in range(5)
    ]
    rows = [a_cell(symbols={"NR": str(n)}, state=State.FAIL, diagnostics=long) for n in range(900)]
    text = render(a_side(a_run(rows, long)))
    assert len(text) < JUNIT_DETAIL_BYTES * 1.3
    assert_details_end(text)


def test_room_is_that_of_the_file_and_not_of_its_characters() -> None:
    """Each of these makes several bytes."""
    wide = [
        GCC_ERROR.model_copy(update={"message": f"{number} mmm", "excerpt": ("<&ü" * 160,) * 9})
        for number in range(5)
    ]
    rows = [a_cell(symbols={"NR": str(n)}, state=State.FAIL, diagnostics=wide) for n in range(900)]
    text = render(a_side(a_run(rows, wide)))
    assert len(text.encode()) < JUNIT_DETAIL_BYTES * 1.3
    assert_details_end(text)


def assert_details_end(text: str) -> None:
    last = read(text)[-1][1].result[0]
    assert last.text.startswith("see the log: cells/")
    assert "mmm" in last.message


def test_kinds_of_proof_are_not_mixed_up() -> None:
    """Every state is in one of the sets that the record has."""
    for state, kind in EXPECTED.items():
        assert (kind in (None, Failure)) == (state in PROVEN_STATES)


def test_the_kconfig_fix_is_green() -> None:
    case = kconfig_fix()
    assert Failure not in outcomes(FORMATS["junit"].render_verdict(*case.given, NO_OPTIONS)).values()


def test_a_stored_run_is_judged_with_the_werror_that_it_was_made_with() -> None:
    run = a_run([a_cell(state=State.WARN, diagnostics=[WARNING])], [WARNING])
    strict = run.model_copy(update={"profile": {**run.profile, "werror": True}})
    assert NO_OPTIONS.compute_run_code(a_side(run)) is ExitCode.PASSED
    assert NO_OPTIONS.compute_run_code(a_side(strict)) is ExitCode.WARNED
