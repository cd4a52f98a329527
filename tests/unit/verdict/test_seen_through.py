"""Verdicts where other errors hide a finding: what neighbours show, and how it is told."""

from collections.abc import Mapping
from typing import Any

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.record.demoted_build import DemotedBuild, HiddenObject
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs
from matrix.verdict.gates import check_fix, explain_withheld_tested_by, format_fix_check
from matrix.verdict.seen_through import HiddenBuilds
from matrix.verdict.through_text import (
    format_look_methods,
    format_toolchain_outcomes,
    list_demotions,
    list_look_commands,
)
from matrix.verdict.verdict_model import CellFindingStatus, FindingChange, FindingStatus, Verdict
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, a_cell, a_run
from tests.fakes.sides import OBJECT, OTHER_OBJECT, a_side

VEIL = Diagnostic(
    severity="error",
    tool="clang",
    file="include/linux/kvm_host.h",
    line=9,
    message="explicitly assigning value to itself",
    flag="-Wself-assign",
    promoted=True,
)
VEIL_BEHIND = VEIL.model_copy(update={"severity": "warning", "promoted": False})
KCONFIG, MAKEFILE, SOURCE = "virt/kvm/Kconfig", "virt/kvm/Makefile.kvm", "include/linux/vfio.h"
ON, OFF = {"KVM_VFIO": "y", "KVM": "y"}, {"KVM": "y"}
GCC_CELL, CLANG_CELL = (a_cell(toolchain=name).id for name in ("gcc-14", "clang-19"))
HIDDEN = HiddenObject(a_side(a_run(id="after")).directory, CLANG_CELL, OBJECT)


def before_run() -> Run:
    """Both compilers refuse the object for the finding, clang for a header as well."""
    gcc = a_cell(toolchain="gcc-14", state=State.FAIL, diagnostics=[GCC_ERROR])
    clang = a_cell(toolchain="clang-19", state=State.FAIL, diagnostics=[CLANG_ERROR, VEIL])
    return a_run([gcc, clang], [GCC_ERROR, CLANG_ERROR, VEIL])


def after_run(*errors: Diagnostic, where: str = OBJECT, gcc: State = State.PASS) -> Run:
    """gcc's cell is built, clang's fails for these errors in this object."""
    clang = a_cell(toolchain="clang-19", state=State.FAIL, diagnostics=errors)
    refs = tuple(ref.model_copy(update={"object": where}) for ref in clang.diagnostics)
    cells = [
        a_cell(toolchain="gcc-14", state=gcc),
        clang.model_copy(update={"diagnostics": refs}),
    ]
    return a_run(cells, errors, id="after")


def verdict_on(after: Run, builds: Mapping[HiddenObject, DemotedBuild] | None = None, **more: Any) -> Verdict:
    book = HiddenBuilds(dict(builds or {}))
    return compare_runs(a_side(before_run()), a_side(after), builds=book, touched=[SOURCE], **more)


def the_finding(verdict: Verdict) -> FindingChange:
    return next(row for row in verdict.findings if row.before and row.before.ids == ("F1",))


def made(*printed: Diagnostic, **fields: Any) -> dict[HiddenObject, DemotedBuild]:
    build = DemotedBuild("make KCFLAGS=-Wno-error=self-assign x.o", printed, is_made=True)
    return {HIDDEN: build.__class__(**{**vars(build), "demoted": ("-Wself-assign",), **fields})}


def test_what_is_wanted_is_told_and_leaves_it_open_until_then() -> None:
    book = HiddenBuilds()
    verdict = compare_runs(a_side(before_run()), a_side(after_run(VEIL)), builds=book, touched=[SOURCE])
    assert book.wanted == {HIDDEN}
    assert the_finding(verdict).fate is FindingStatus.UNKNOWN
    book.add(made(VEIL_BEHIND))
    assert book.wanted == set()


def test_it_reads_as_an_engineer_would_say_it() -> None:
    verdict = verdict_on(after_run(VEIL), made(VEIL_BEHIND), fixes=("F1",))
    change = the_finding(verdict)
    assert change.fate is FindingStatus.FIXED
    assert format_toolchain_outcomes(change) == (
        "fixed with gcc-14; with clang-19 fixed, seen through F2, which stays"
    )
    assert format_toolchain_outcomes(change, list_demotions).endswith(
        "seen through -Wself-assign, which stays"
    )
    assert format_fix_check(verdict.fixes[0]) == (
        "F1 is fixed with gcc-14; with clang-19 fixed, seen through F2, which stays"
    )
    assert format_look_methods(change) == f"{OBJECT} was made by itself with -Wno-error=self-assign"
    assert list_look_commands(change) == ["after: make KCFLAGS=-Wno-error=self-assign x.o"]
    assert (change.unknown_in, verdict.cells[1].transition.value) == ((), "changed")


def test_the_finding_itself_behind_it_as_a_warning_is_still_there() -> None:
    shown = CLANG_ERROR.model_copy(update={"severity": "warning"})
    change = the_finding(verdict_on(after_run(VEIL), made(VEIL_BEHIND, shown)))
    assert change.became == {CellFindingStatus.COMPILED: 1, CellFindingStatus.STILL: 1}
    assert change.fate is FindingStatus.STILL
    assert "with clang-19 still there, seen through F2" in format_toolchain_outcomes(change)
    assert not check_fix(verdict_on(after_run(VEIL), made(VEIL_BEHIND, shown)), "F1").fixed


def test_the_finding_itself_counts_even_where_the_object_was_not_made() -> None:
    change = the_finding(verdict_on(after_run(VEIL), made(CLANG_ERROR, is_made=False, reason="an error")))
    assert change.fate is FindingStatus.STILL


def test_what_else_comes_up_behind_it_is_told() -> None:
    news = Diagnostic(severity="warning", tool="clang", file="virt/kvm/vfio.c", line=7, message="odd")
    change = the_finding(verdict_on(after_run(VEIL), made(VEIL_BEHIND, news)))
    assert change.seen_through[0].beyond == (f"{OBJECT}: virt/kvm/vfio.c: odd",)
    assert list_look_commands(change)[-1].startswith("which also shows")


def test_a_tag_needs_more_than_what_was_seen_through() -> None:
    """gcc's cell is of no use here: only clang had the finding."""
    run = before_run()
    gcc = a_cell(toolchain="gcc-14")
    run = run.model_copy(update={"cells": (gcc, run.cells[1])})
    after = a_side(after_run(VEIL))
    verdict = compare_runs(a_side(run), after, builds=HiddenBuilds(made(VEIL_BEHIND)), touched=[SOURCE])
    fixed = next(row for row in verdict.findings if row.fate is FindingStatus.FIXED)
    assert (fixed.seen_through != (), fixed.gone_with) == (True, ())
    why = explain_withheld_tested_by(verdict, a_side(run), after, [OBJECT])
    assert "only seen to be gone through other errors" in why


# What a neighbour shows


def left_out(flips_in_clang: Mapping[str, str], touched: str = KCONFIG, **after: Any) -> FindingChange:
    """gcc leaves the object out with KVM_VFIO=n; clang's cell fails in another object."""
    run = after_run(VEIL, where=OTHER_OBJECT, **after)
    before = a_side(before_run(), configs={GCC_CELL: ON, CLANG_CELL: {**ON, "CLANG": "y"}})
    objects = {GCC_CELL: (OTHER_OBJECT,), CLANG_CELL: ()}
    configs = {GCC_CELL: OFF, CLANG_CELL: {**flips_in_clang, "CLANG": "y"}}
    return the_finding(compare_runs(before, a_side(run, objects, configs), touched=[touched]))


def test_a_failing_cell_leaves_out_what_its_neighbour_leaves_out() -> None:
    change = left_out(OFF)
    assert change.fate is FindingStatus.FIXED
    assert change.became == {CellFindingStatus.NOT_BUILT: 2}
    (like,) = change.excluded_like
    assert (like.cell, like.neighbour) == (CLANG_CELL, GCC_CELL)
    assert [flip.symbol for flip in change.flips] == ["KVM_VFIO"]
    assert format_toolchain_outcomes(change) == (
        "fixed with gcc-14; with clang-19 not built any more, as with gcc-14"
    )


@pytest.mark.parametrize("other", [ON, OFF | {"MORE": "y"}, OFF | {"KVM_VFIO": "m"}])
def test_not_where_other_symbols_changed(other: Mapping[str, str]) -> None:
    change = left_out(other)
    assert (change.fate, change.excluded_like) == (FindingStatus.UNKNOWN, ())


def test_not_where_a_makefile_may_have_decided_it() -> None:
    assert left_out(OFF, MAKEFILE).fate is FindingStatus.UNKNOWN


@pytest.mark.parametrize("state", [State.TIMEOUT, State.FAIL])
def test_not_where_the_neighbour_was_not_built_to_its_end(state: State) -> None:
    """A failing cell's list is short of what it did not come to."""
    assert left_out(OFF, gcc=state).excluded_like == ()


def test_not_where_the_failing_cell_shows_that_it_was_made_for_it() -> None:
    run = after_run(VEIL, where=OTHER_OBJECT)
    before = a_side(before_run(), configs={GCC_CELL: ON, CLANG_CELL: ON})
    objects = {GCC_CELL: (OTHER_OBJECT,), CLANG_CELL: (OBJECT,)}
    after: StoredRun = a_side(run, objects, {GCC_CELL: OFF, CLANG_CELL: OFF})
    change = the_finding(compare_runs(before, after, touched=[KCONFIG]))
    assert (change.excluded_like, change.became[CellFindingStatus.COMPILED]) == ((), 1)
