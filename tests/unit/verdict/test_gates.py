"""Questions to a verdict: is a finding fixed, is a Tested-by earned, which exit code does it deserve."""

from collections.abc import Iterable
from typing import Any

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run
from matrix.record.states import UNTRIED_STATES, Evidence, State
from matrix.verdict.baseline import compare_with_baseline
from matrix.verdict.comparison import compare_runs
from matrix.verdict.gates import (
    compute_verdict_exit_code,
    explain_withheld_tested_by,
    format_fix_check,
)
from matrix.verdict.verdict_model import FixCheck, Transition
from tests.fakes.runs import GCC_ERROR, STORY, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import OBJECT, OTHER, OTHER_OBJECT, Objects, a_side, alone, mended, newer, turned, two

FAILING = alone(State.FAIL, GCC_ERROR)
PASSING = alone(State.PASS)
GONE = alone(State.UNREACHABLE, reason="KVM depends on MODULES")


def both(one: Cell, other: Cell, *diagnostics: Diagnostic) -> Run:
    return a_run([one, other], diagnostics)


def failing_cell() -> Cell:
    return a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])


def fixes(before: StoredRun, after: StoredRun, name: str = "F1", **options: Any) -> FixCheck:
    (answer,) = compare_runs(before, after, fixes=[name], **options).fixes
    return answer


def listing(run: Run, *objects: str, config: dict[str, str] | None = None) -> StoredRun:
    configs = {} if config is None else {cell.id: config for cell in run.cells}
    return a_side(run, {cell.id: objects for cell in run.cells}, configs)


def test_a_finding_is_asked_for_by_id_or_key() -> None:
    before, after = a_side(the_story()), a_side(mended(the_story()))
    finding = before.findings.findings[0]
    for name in ("F1", "f1", *finding.keys):
        answer = fixes(before, after, name)
        assert answer == FixCheck(finding=name, title=finding.title, fixed=True)


def test_a_finding_that_the_before_run_lacks_is_refused_with_those_that_it_has() -> None:
    with pytest.raises(RequestError, match=r"has no finding 'F7' \(it has F1\)"):
        fixes(*two(FAILING, PASSING), "F7")
    with pytest.raises(RequestError, match=r"has no finding 'F1' \(it has none\)"):
        fixes(*two(PASSING, FAILING))


def test_without_a_usable_before_run_nothing_is_claimed() -> None:
    answer = fixes(*two(alone(State.INFRA), PASSING))
    assert not answer.fixed
    assert answer.reason == "no cell of the before-run was tried, so nothing is known of what was there"


@pytest.mark.parametrize(
    ("after", "known", "reason"),
    [
        (FAILING, True, "still there, in 1 cell"),
        (GONE, True, "lost, not fixed, in 1 of its cells: unreachable after: KVM depends on MODULES"),
        (alone(State.INFRA, reason="no space"), False, "infra after: no space"),
        (newer(PASSING), False, "compiler of gcc-14 powerpc differs: "),
    ],
)
def test_what_is_not_fixed_has_a_reason(after: Run, known: bool, reason: str) -> None:
    answer = fixes(*two(FAILING, after))
    assert (answer.fixed, answer.known) == (False, known)
    assert (answer.reason or "").startswith(reason)


def test_an_object_that_is_not_built_any_more_needs_an_explanation() -> None:
    before, after = listing(FAILING, OBJECT), listing(PASSING, OTHER_OBJECT)
    refused = fixes(before, after)
    assert (refused.fixed, refused.known) == (False, False)
    assert refused.reason == "its object is not built any more, and nothing explains why"
    assert fixes(before, after, touched=["virt/kvm/Makefile.kvm"]).fixed
    on = listing(FAILING, OBJECT, config={"KVM_VFIO": "y"})
    assert fixes(on, listing(PASSING, OTHER_OBJECT, config={})).fixed


def test_a_passing_cell_without_a_list_of_objects_proves_no_fix() -> None:
    answer = fixes(a_side(FAILING), listing(PASSING))
    assert (answer.fixed, answer.known) == (False, False)
    assert answer.reason == "its cells pass, but no list says whether its object was made for that"


def tag(
    before: StoredRun, after: StoredRun, objects: Iterable[str] = (OBJECT,), names: Iterable[str] = ()
) -> str:
    verdict = compare_runs(before, after, fixes=list(names))
    return explain_withheld_tested_by(verdict, before, after, list(objects))


def test_a_tag_is_earned_when_what_the_patch_touches_was_compiled_and_the_finding_is_gone() -> None:
    assert tag(a_side(the_story()), a_side(mended(the_story()))) == ""
    assert tag(a_side(the_story()), a_side(mended(the_story())), names=["F1"]) == ""
    assert tag(*two(PASSING, PASSING)) == ""


def test_it_is_not_when_nothing_of_that_was_compiled() -> None:
    refused = "nothing that the patch touches was compiled with it"
    assert tag(*two(FAILING, PASSING), objects=["kernel/fork.o"]) == refused
    assert tag(*two(FAILING, PASSING), objects=[]) == refused
    assert tag(*two(PASSING, alone(State.PASS, evidence=Evidence.UNAFFECTED))) == refused
    assert tag(*two(PASSING, alone(State.PASS, evidence=Evidence.SAME_OBJECTS))) == refused
    cell = a_cell()
    stages = tuple(stage.model_copy(update={"compiled": 0}) for stage in cell.stages)
    assert tag(*two(PASSING, a_run([cell.model_copy(update={"stages": stages})]))) == refused


def test_a_remembered_cell_counts_where_it_was_built_with_the_patch() -> None:
    cell = a_cell()

    def remembered(origin: str) -> Run:
        return alone(State.PASS, evidence=Evidence.REMEMBERED, evidence_from=origin)

    refused = "nothing that the patch touches was compiled with it"
    assert tag(*two(PASSING, remembered(f"{PASSING.id}/{cell.id}"))) == refused
    assert tag(*two(remembered("first/cell"), remembered("first/cell"))) == refused
    assert tag(*two(PASSING, remembered("the-same-patch-an-hour-ago/cell"))) == ""


def test_unless_its_object_is_explained_as_excluded() -> None:
    on = listing(FAILING, OBJECT, config={"KVM_VFIO": "y"})
    assert tag(on, listing(PASSING, OTHER_OBJECT, config={}), objects=()) == ""
    assert tag(listing(FAILING, OBJECT), listing(PASSING, OTHER_OBJECT), objects=()) != ""


def test_a_failing_cell_that_made_the_object_compiled_it() -> None:
    other = [OTHER_OBJECT]
    assert tag(*two(alone(State.FAIL, OTHER), alone(State.FAIL, OTHER)), objects=other) == ""
    assert tag(*two(alone(State.FAIL, OTHER), alone(State.FAIL, OTHER)), objects=[OBJECT]) != ""


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_a_cell_of_the_condition_that_could_not_be_tried_spoils_it(state: State) -> None:
    """It had not to show the finding before: the condition says that it would."""
    cells = [a_cell(t, state=State.FAIL, diagnostics=[GCC_ERROR]) for t in ("powerpc", "x86")]
    skipped = a_cell("s390", state=State.TIMEOUT)
    before = a_run([*cells, skipped], [GCC_ERROR])
    spoiled = turned(before, a_cell(), a_cell("x86"), a_cell("s390", state=state))
    assert tag(a_side(before), a_side(spoiled)) == f"{skipped.id} is {state} after"


def test_and_so_does_one_that_is_not_planned_any_more() -> None:
    before = both(failing_cell(), a_cell("x86", state=State.OOM), GCC_ERROR)
    assert tag(a_side(before), a_side(PASSING)).endswith("is not planned after")


def test_one_outside_the_condition_does_not() -> None:
    story = the_story()
    outside = a_cell("x86", state=State.INFRA, symbols={"KVM": "y", "MODULES": "y", "VFIO": "y"})
    assert tag(a_side(story), a_side(turned(mended(story), outside))) == ""


def test_a_finding_that_was_asked_for_and_is_not_fixed_earns_nothing() -> None:
    refused = tag(*two(FAILING, GONE), names=["F1"])
    assert refused.startswith("F1 is not fixed: lost, not fixed")


def test_nor_does_a_patch_that_breaks_something() -> None:
    before = both(failing_cell(), a_cell("x86"), GCC_ERROR)
    broken = a_cell("x86", state=State.FAIL, diagnostics=[OTHER])
    after = turned(before, a_cell(), broken, diagnostics=[OTHER])
    assert tag(*two(before, after)) == "something breaks with it"


def code(before: Run, after: Run, names: Iterable[str] = (), **options: bool) -> int:
    return compute_verdict_exit_code(compare_runs(*two(before, after), fixes=list(names)), **options)


WARNING_ = alone(State.WARN, WARNING)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (PASSING, PASSING, 0),
        (FAILING, FAILING, 0),
        (FAILING, PASSING, 0),
        (alone(State.UNREACHABLE), PASSING, 0),
        (PASSING, WARNING_, 0),
        (PASSING, FAILING, 100),
        (FAILING, alone(State.FAIL, GCC_ERROR, OTHER), 100),
        (PASSING, GONE, 100),
        (FAILING, GONE, 100),
        (PASSING, alone(State.INFRA), 2),
        (alone(State.TIMEOUT), PASSING, 2),
        (PASSING, newer(FAILING), 2),
        (GONE, GONE, 1),
        (alone(State.EMPTY), GONE, 1),
    ],
)
def test_the_exit_code_of_one_cell(before: Run, after: Run, expected: int) -> None:
    assert code(before, after) == expected


def test_lost_cells_can_be_allowed_but_then_something_must_be_left() -> None:
    before = a_run([a_cell(), a_cell("x86")])
    after = turned(before, a_cell("x86", state=State.UNREACHABLE))
    assert code(before, after) == 100
    assert code(before, after, allow_lost=True) == 0
    assert code(PASSING, GONE, allow_lost=True) == 1


def test_new_warnings_count_with_werror_only_and_old_ones_never() -> None:
    assert code(PASSING, WARNING_, werror=True) == 101
    assert code(WARNING_, WARNING_, werror=True) == 0
    assert code(WARNING_, PASSING, werror=True) == 0


def test_several_at_once_are_100_2_101_0() -> None:
    before = both(a_cell(), a_cell("x86"))
    fail, warn = (a_cell(state=s, diagnostics=[d]) for s, d in ((State.FAIL, OTHER), (State.WARN, WARNING)))
    infra = a_cell("x86", state=State.INFRA)
    broken = both(fail, infra, OTHER)
    assert code(before, broken) == 100
    assert code(before, both(warn, infra, WARNING), werror=True) == 2


def test_a_hidden_error_is_unknown_and_so_is_the_verdict() -> None:
    """It is in an object that was never made before: the first failure may have hidden it."""
    before = listing(FAILING, OBJECT)
    cell = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    ref = cell.diagnostics[0].model_copy(update={"key": OTHER.key, "object": "kernel/fork.o"})
    after = a_run([cell.model_copy(update={"diagnostics": (*cell.diagnostics, ref)})], [GCC_ERROR, OTHER])
    assert compute_verdict_exit_code(compare_runs(before, a_side(after))) == 2
    assert (
        compute_verdict_exit_code(compare_runs(listing(FAILING, OBJECT, "kernel/fork.o"), a_side(after)))
        == 100
    )


def test_a_finding_that_was_asked_for_makes_it_100_where_it_is_known_not_to_be_fixed() -> None:
    assert code(FAILING, PASSING, ["F1"]) == 0
    assert code(FAILING, FAILING, ["F1"]) == 100
    assert code(FAILING, GONE, ["F1"], allow_lost=True) == 100


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_it_is_2_where_that_is_not_known(state: State) -> None:
    assert code(FAILING, alone(state), ["F1"]) == 2
    assert code(FAILING, newer(PASSING), ["F1"]) == 2


def test_a_fix_that_nothing_explains_is_not_known_either() -> None:
    excluded = compare_runs(listing(FAILING, OBJECT), listing(PASSING, OTHER_OBJECT), fixes=["F1"])
    unlisted = compare_runs(a_side(FAILING), listing(PASSING), fixes=["F1"])
    assert [compute_verdict_exit_code(verdict) for verdict in (excluded, unlisted)] == [2, 2]
    (check,) = unlisted.fixes
    assert format_fix_check(check).startswith(
        "F1: not known whether it is fixed: its cells pass, but no list"
    )


def test_what_is_broken_or_not_fixed_outweighs_what_is_not_known() -> None:
    before = both(failing_cell(), a_cell("x86"), GCC_ERROR)
    broken = a_cell("x86", state=State.FAIL, diagnostics=[OTHER])
    after = turned(before, a_cell(state=State.OOM), broken, diagnostics=[OTHER])
    assert code(before, after, ["F1"]) == 100


def test_without_a_usable_before_run_it_is_2_whatever_comes_after() -> None:
    for state in UNTRIED_STATES:
        assert code(alone(state), FAILING) == 2
        assert code(alone(state), FAILING, ["F1"]) == 2


def test_cells_that_only_the_plan_before_has_are_not_counted() -> None:
    other = a_cell("x86", state=State.FAIL, diagnostics=[OTHER])
    assert code(both(a_cell(), other, OTHER), PASSING) == 0


@pytest.mark.parametrize("known", [[OTHER], []])
def test_nobody_vouches_for_a_failure_in_one_that_only_the_plan_after_has(known: list[Diagnostic]) -> None:
    other = a_cell("x86", state=State.FAIL, diagnostics=known)
    after = a_run([a_cell(), other], [OTHER])
    assert code(PASSING, after) == 100
    assert code(alone(State.TIMEOUT), after) == 100
    assert judge_baseline(PASSING, after) == 100
    elsewhere = both(failing_cell(), a_cell("s390"), GCC_ERROR)
    as_there = a_cell("x86", state=State.FAIL, diagnostics=[GCC_ERROR])
    joined = a_run([*elsewhere.cells, as_there], [GCC_ERROR])
    assert (code(elsewhere, joined), judge_baseline(elsewhere, joined)) == (0, 0)


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_nor_for_one_that_could_not_be_tried(state: State) -> None:
    after = a_run([a_cell(), a_cell("x86", state=state)])
    assert (code(PASSING, after), judge_baseline(PASSING, after)) == (2, 2)


def judge_baseline(before: Run, after: Run) -> int:
    return compare_with_baseline(*two(before, after)).exit_code


STRANGE = alone(State.FAIL)


@pytest.mark.parametrize("objects", [None, {STRANGE.cells[0].id: ()}])
def test_a_failure_without_a_known_error_after_one_with_it_is_unknown(objects: Objects | None) -> None:
    before, after = a_side(FAILING), a_side(STRANGE, objects)
    verdict = compare_runs(before, after)
    assert [cell.transition for cell in verdict.cells] == [Transition.UNKNOWN]
    assert "failed for a known one before" in (verdict.cells[0].why or "")
    assert compute_verdict_exit_code(verdict) == compare_with_baseline(before, after).exit_code == 2


def test_two_without_a_known_error_are_one_where_they_ended_alike() -> None:
    assert (code(STRANGE, STRANGE), judge_baseline(STRANGE, STRANGE)) == (0, 0)
    (cell,) = STRANGE.cells
    *others, last = cell.stages
    for ended in (
        cell.model_copy(update={"stages": (*others, last.model_copy(update={"exit": 137}))}),
        cell.model_copy(update={"stages": (*others, last.model_copy(update={"name": "modules"}))}),
        cell.model_copy(update={"reason": "make had no rule"}),
    ):
        after = turned(STRANGE, ended)
        assert (code(STRANGE, after), judge_baseline(STRANGE, after)) == (2, 2)
    again = cell.model_copy(update={"stages": (*others, last.model_copy(update={"command": "make -j3"}))})
    assert code(STRANGE, turned(STRANGE, again)) == 0


def test_nor_do_they_prove_anything_of_the_others() -> None:
    assert code(GONE, both(GONE.cells[0], a_cell("x86"))) == 1


def test_a_cell_that_fails_as_before_and_one_of_its_kind_that_joins_it() -> None:
    yes = a_cell(symbols=STORY | {"VFIO": "y"}, state=State.FAIL, diagnostics=[GCC_ERROR])
    before = both(a_cell(state=State.FAIL, diagnostics=[GCC_ERROR]), a_cell(symbols=yes.request), GCC_ERROR)
    assert code(before, turned(before, yes)) == 100
