"""What became of each cell between two runs."""

import itertools
from typing import Any

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.record.run_model import BaseRecord, Cell, Compiler, Run, ToolchainRecord
from matrix.record.states import UNTRIED_STATES, Evidence, State
from matrix.verdict.cell_status import classify_transition
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import CellChange, EnvironmentDifference, Transition, Verdict
from tests.fakes.runs import GCC_ERROR, STORY, WARNING, a_cell, a_run
from tests.fakes.sides import OTHER, alone, newer, turned, two

P, W, F, E, U = State.PASS, State.WARN, State.FAIL, State.EMPTY, State.UNREACHABLE
SECOND = WARNING.model_copy(update={"flag": "unused-function", "message": "'f' defined but not used"})


def verdict(before: Run, after: Run) -> Verdict:
    return compare_runs(*two(before, after))


def the_cell(before: Run, after: Run) -> CellChange:
    (cell,) = verdict(before, after).cells
    return cell


def shows(state: State, *diagnostics: Diagnostic, **fields: Any) -> Run:
    return alone(state, *diagnostics, **fields)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((F, GCC_ERROR), (P,), "fixed"),
        ((F, GCC_ERROR), (W, WARNING), "fixed"),
        ((P,), (F, GCC_ERROR), "broken"),
        ((W, WARNING), (F, GCC_ERROR), "broken"),
        ((E,), (F, GCC_ERROR), "broken"),
        ((U,), (F, GCC_ERROR), "broken"),
        ((F, GCC_ERROR), (F, GCC_ERROR), "still-failing"),
        ((F, GCC_ERROR), (F, OTHER), "changed"),
        ((F, GCC_ERROR), (F, GCC_ERROR, OTHER), "changed"),
        ((F, GCC_ERROR, OTHER), (F, GCC_ERROR), "changed"),
        ((P,), (W, WARNING), "changed"),
        ((W, WARNING), (P,), "changed"),
        ((W, WARNING), (W, SECOND), "changed"),
        ((W, WARNING), (W, WARNING), "unchanged"),
        ((P,), (P,), "unchanged"),
        ((P,), (W,), "changed"),
        ((E,), (U,), "unchanged"),
        ((U,), (E,), "unchanged"),
        ((P,), (E,), "lost"),
        ((P,), (U,), "lost"),
        ((W, WARNING), (U,), "lost"),
        ((F, GCC_ERROR), (U,), "lost"),
        ((F, GCC_ERROR), (E,), "lost"),
        ((E,), (P,), "gained"),
        ((U,), (P,), "gained"),
        ((U,), (W, WARNING), "gained"),
    ],
)
def test_every_transition(before: tuple[Any, ...], after: tuple[Any, ...], expected: str) -> None:
    assert the_cell(shows(*before), shows(*after)).transition == expected


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_nothing_is_claimed_of_a_cell_that_either_side_could_not_try(state: State) -> None:
    late = the_cell(shows(P), shows(state, reason="the disk is full"))
    assert (late.transition, late.why) == (Transition.UNKNOWN, f"{state} after: the disk is full")
    early = the_cell(shows(state), shows(F, GCC_ERROR))
    assert (early.transition, early.why) == (Transition.UNKNOWN, f"{state} before")


def test_every_pair_of_states_has_one_transition_and_a_fix_is_never_something_unreachable() -> None:
    for before, after, same in itertools.product(State, State, (False, True)):
        found = classify_transition(before, after, same=same)
        assert (found is Transition.UNKNOWN) == bool({before, after} & UNTRIED_STATES)
        if after in (E, U):
            assert found not in (Transition.FIXED, Transition.CHANGED, Transition.BROKEN)


def test_a_row_has_both_states_the_reason_the_evidence_and_the_findings_of_both_sides() -> None:
    unreachable = shows(U, reason="KVM=y: KVM depends on MODULES", resolves_to="another")
    lost = the_cell(shows(F, GCC_ERROR), unreachable)
    assert (lost.before, lost.after, lost.reason) == (F, U, "KVM=y: KVM depends on MODULES")
    assert lost.resolves_to == "another"
    assert (lost.findings_before, lost.findings_after) == (("F1",), ())
    same = shows(F, OTHER, GCC_ERROR, evidence=Evidence.UNAFFECTED, evidence_from="run x cell y")
    kept = the_cell(shows(F, GCC_ERROR), same)
    assert (kept.evidence, kept.evidence_from) == (Evidence.UNAFFECTED, "run x cell y")
    assert (kept.findings_before, len(kept.findings_after)) == (("F1",), 2)


def test_cells_meet_by_their_fields_whatever_they_are_called() -> None:
    renamed = a_run([a_cell().model_copy(update={"id": "called/otherwise"})])
    found = the_cell(a_run([a_cell()]), renamed)
    assert (found.transition, found.id) == (Transition.UNCHANGED, "called/otherwise")


@pytest.mark.parametrize(
    "other",
    [
        a_cell("x86"),
        a_cell(toolchain="clang-19"),
        a_cell(base="allnoconfig"),
        a_cell(symbols=STORY | {"VFIO": "y"}),
        a_cell(symbols={"KVM": "y"}),
    ],
    ids=lambda cell: str(cell.id),
)
def test_and_do_not_where_one_field_differs(other: Cell) -> None:
    with pytest.raises(RequestError, match="have no cell in common"):
        verdict(a_run([a_cell()]), a_run([other]))


def test_runs_without_a_common_cell_are_refused_with_what_keeps_them_apart() -> None:
    with pytest.raises(RequestError, match="toolchain is gcc-14 there, clang-19 here"):
        verdict(a_run([a_cell()]), a_run([a_cell(toolchain="clang-19")]))
    with pytest.raises(RequestError, match="the symbols are KVM, MODULES, VFIO there, KVM here"):
        verdict(a_run([a_cell()]), a_run([a_cell(symbols={"KVM": "y"})]))


def test_a_cell_that_one_plan_lacks_is_unknown_and_says_so() -> None:
    mine, yours = a_cell("x86"), a_cell("s390")
    found = verdict(a_run([mine, a_cell()]), a_run([yours, a_cell()])).cells
    assert [(cell.arch, cell.before, cell.after, cell.why) for cell in found] == [
        ("x86", P, None, "not planned after"),
        ("powerpc", P, P, None),
        ("s390", None, P, "not planned before"),
    ]
    assert [cell.is_in_both_plans for cell in found] == [False, True, False]


def test_transitions_are_counted() -> None:
    before = a_run([a_cell("x86"), a_cell("s390"), a_cell(state=F, diagnostics=[GCC_ERROR])], [GCC_ERROR])
    after = turned(before, a_cell())
    assert verdict(before, after).counts == {Transition.FIXED: 1, Transition.UNCHANGED: 2}


@pytest.mark.parametrize(
    ("after", "field"),
    [
        (newer, "compiler of gcc-14 powerpc differs: powerpc64le"),
        (lambda run: newer(run, binutils="2.45"), "binutils of gcc-14 powerpc differs: GNU ld"),
        (lambda run: run.model_copy(update={"profile": {"stage": "vmlinux"}}), "stage differs: none before"),
        (lambda run: run.model_copy(update={"profile": {"focus": ["a/", "b/"]}}), "focus differs: none"),
    ],
)
def test_what_may_be_somebody_elses_doing_is_never_called_the_patchs(after: Any, field: str) -> None:
    for one, other in itertools.permutations((shows(P), shows(F, GCC_ERROR), shows(U)), 2):
        found = the_cell(one, after(other))
        assert found.transition is Transition.UNKNOWN
        assert (found.why or "").startswith(field)


def test_a_make_line_and_a_fragment_of_another_kind_are_somebody_elses_doing_too() -> None:
    found = the_cell(shows(P, make="ARCH=powerpc"), shows(W, WARNING, make="ARCH=powerpc W=1"))
    assert found.why == "make of gcc-14 powerpc differs: ARCH=powerpc before, ARCH=powerpc W=1 after"
    found = the_cell(shows(P, fragment={"A": "y", "B": "n"}), shows(W, WARNING, fragment={"A": "y"}))
    assert found.why == "fragment differs: B=n before, none after"


def test_another_start_of_a_base_counts_where_it_is_used() -> None:
    one, other = (
        BaseRecord(targets={"powerpc": t, "x86": "defconfig"}) for t in ("a_defconfig", "b_defconfig")
    )
    before = a_run([a_cell(), a_cell("x86")], bases={"defconfig": one})
    after = a_run(
        [a_cell(state=W, diagnostics=[WARNING]), a_cell("x86", state=W, diagnostics=[WARNING])],
        [WARNING],
        bases={"defconfig": other},
    )
    found = {cell.arch: cell for cell in verdict(before, after).cells}
    assert found["powerpc"].why == "base of defconfig powerpc differs: a_defconfig before, b_defconfig after"
    assert found["x86"].transition is Transition.CHANGED


def test_what_came_out_alike_is_compared_whatever_made_it() -> None:
    for run in (shows(P), shows(W, WARNING), shows(F, GCC_ERROR), shows(E)):
        found = the_cell(run, newer(run))
        assert found.transition in (Transition.UNCHANGED, Transition.STILL_FAILING)


def test_another_compiler_of_one_arch_says_nothing_of_the_others() -> None:
    before = a_run([a_cell(), a_cell("x86")])
    broken = [a_cell(a, state=F, diagnostics=[GCC_ERROR]) for a in ("powerpc", "x86")]
    found = verdict(before, newer(a_run(broken, [GCC_ERROR])))
    assert {cell.arch: cell.transition for cell in found.cells} == {
        "powerpc": Transition.UNKNOWN,
        "x86": Transition.BROKEN,
    }


def imaged(run: Run, image_id: str, compilers: dict[str, Compiler] | None = None) -> Run:
    known = run.toolchains["gcc-14"].compilers if compilers is None else compilers
    record = ToolchainRecord(image="i", image_id=image_id, compilers=known)
    return run.model_copy(update={"toolchains": {"gcc-14": record}})


def test_another_image_with_the_same_compiler_is_said_and_does_not_matter() -> None:
    found = verdict(shows(P), imaged(shows(F, GCC_ERROR), "sha256:b"))
    (said,) = found.differences
    assert (said.what, said.where, said.after, said.matters) == ("image", "gcc-14", "sha256:b", False)
    assert found.cells[0].transition is Transition.BROKEN


def test_where_no_compiler_is_recorded_the_image_must_be_the_same() -> None:
    before = imaged(shows(P), "sha256:a", {})
    same = verdict(before, imaged(shows(F, GCC_ERROR), "sha256:a", {}))
    assert same.cells[0].transition is Transition.BROKEN
    other = verdict(before, imaged(shows(F, GCC_ERROR), "sha256:b", {}))
    assert other.cells[0].transition is Transition.UNKNOWN
    unrecorded = verdict(shows(P), imaged(shows(F, GCC_ERROR), "sha256:" + "a" * 64, {}))
    assert unrecorded.cells[0].transition is Transition.UNKNOWN


def test_differences_are_listed_once_with_full_versions() -> None:
    before = a_run([a_cell(), a_cell(symbols=STORY | {"VFIO": "y"})])
    found = verdict(before, newer(before, version="gcc (Debian 14.3.0-1) 14.3.0"))
    old = before.toolchains["gcc-14"].compilers["powerpc"].version
    assert found.differences == (
        EnvironmentDifference(
            what="compiler", where="gcc-14 powerpc", before=old, after="gcc (Debian 14.3.0-1) 14.3.0"
        ),
    )


def test_the_order_of_a_focus_says_nothing() -> None:
    one = a_run([a_cell()], profile={"focus": ["b/", "a/"]})
    assert verdict(one, one.model_copy(update={"profile": {"focus": ("a/", "b/")}})).differences == ()
