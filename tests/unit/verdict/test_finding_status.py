"""What became of each finding between two runs."""

from collections.abc import Mapping
from typing import Any

import pytest

from matrix.diagnostics.diagnostic import Diagnostic, Site
from matrix.findings.finding import Findings
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, DiagnosticRef, Run
from matrix.record.states import UNTRIED_STATES, Evidence, State
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import CellFindingStatus, FindingChange, FindingStatus, SymbolFlip
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import OBJECT, OTHER, OTHER_OBJECT, a_side, alone, mended, newer, turned, two

ON = {"KVM_VFIO": "y"}
WITHOUT = {"objects": (OTHER_OBJECT,)}
LINK = Diagnostic(severity="error", tool="ld", message="undefined reference to `f'", symbols=("f",))


def changes(before: StoredRun, after: StoredRun, **options: Any) -> list[FindingChange]:
    return list(compare_runs(before, after, **options).findings)


def the_change(before: StoredRun, after: StoredRun, **options: Any) -> FindingChange:
    (found,) = changes(before, after, **options)
    return found


def failing(*diagnostics: Diagnostic, **fields: Any) -> Run:
    return alone(State.FAIL, *(diagnostics or (GCC_ERROR,)), **fields)


def at(diagnostic: Diagnostic, place: str | None, stage: str = "focus") -> dict[str, Any]:
    """A failing cell's fields with this diagnostic in this object."""
    ref = DiagnosticRef(key=diagnostic.key, object=place, stage=stage)
    return {"state": State.FAIL, "diagnostics": (ref,)}


def with_refs(*refs: tuple[Diagnostic, str | None], **fields: Any) -> Run:
    """A failing cell with these diagnostics in these objects."""
    rows = tuple(DiagnosticRef(key=one.key, object=place, stage="focus") for one, place in refs)
    cell = a_cell(state=State.FAIL).model_copy(update={"diagnostics": rows} | fields)
    return a_run([cell], [one for one, _ in refs])


def listing(run: Run, *objects: str, config: Mapping[str, str] | None = None) -> StoredRun:
    """A side whose cells all have these objects, and this configuration."""
    configs = {} if config is None else {cell.id: config for cell in run.cells}
    return a_side(run, {cell.id: objects for cell in run.cells}, configs)


def test_the_story_mended_by_a_header_is_fixed_with_its_condition_before() -> None:
    found = the_change(*two(the_story(), mended(the_story())))
    assert (found.fate, found.became) == (FindingStatus.FIXED, {CellFindingStatus.COMPILED: 2})
    assert found.before is not None
    assert found.before.ids == ("F1",)
    assert found.before.condition == (
        {"arch": ("powerpc",), "KVM": ("y",), "MODULES": ("n",), "VFIO": ("n",)},
    )
    assert len(found.before.cells) == 2
    assert (found.after, found.new_in, found.unknown_in, found.why) == (None, (), (), None)


def test_mended_by_kconfig_it_is_not_built_any_more_and_the_symbol_says_why() -> None:
    before, after = failing(), alone(State.PASS)
    on, off = ON | {"X": "y", "KVM": "y"}, {"X": "y", "KVM": "y"}
    one, other = listing(before, OBJECT, config=on), listing(after, OTHER_OBJECT, config=off)
    found = the_change(one, other)
    assert (found.fate, found.became) == (FindingStatus.FIXED, {CellFindingStatus.NOT_BUILT: 1})
    assert found.flips == (SymbolFlip(symbol="KVM_VFIO", from_="y", to="n"),)
    assert found.why == "KVM_VFIO y → n"


def test_only_symbols_that_changed_in_all_its_cells_explain_it() -> None:
    run = a_run(
        [a_cell(t, state=State.FAIL, diagnostics=[GCC_ERROR]) for t in ("powerpc", "x86")], [GCC_ERROR]
    )
    one, two_ = (cell.id for cell in run.cells)
    after = turned(run, a_cell(), a_cell("x86"))
    gone = {one: (OTHER_OBJECT,), two_: (OTHER_OBJECT,)}
    found = the_change(
        a_side(run, configs={one: {"A": "y", "B": "y"}, two_: {"A": "y", "C": "y"}}),
        a_side(after, gone, {one: {}, two_: {}}),
    )
    assert found.flips == (SymbolFlip(symbol="A", from_="y", to="n"),)


def test_a_makefile_that_the_patch_touches_explains_it_where_no_symbol_changed() -> None:
    one, other = listing(failing(), OBJECT), listing(alone(State.PASS), OTHER_OBJECT)
    assert the_change(one, other).why is None
    assert the_change(one, other, touched=["virt/kvm/vfio.c", "virt/kvm/Makefiles"]).why is None
    assert the_change(one, other, touched=["virt/kvm/Makefile.kvm"]).why == "virt/kvm/Makefile.kvm changed"


def test_many_symbols_are_told_in_short_those_that_went_off_first() -> None:
    many = {"A": "n", "B": "y", "C": "y", "D": "y", "E": "y"}
    one = listing(failing(), OBJECT, config=many)
    found = the_change(one, listing(alone(State.PASS), OTHER_OBJECT, config={"A": "y"}))
    assert found.why == "B y → n, C y → n, D y → n, 2 more"
    assert len(found.flips) == 5


@pytest.mark.parametrize("state", [State.UNREACHABLE, State.EMPTY])
def test_what_cannot_be_built_any_more_is_lost_and_not_fixed(state: State) -> None:
    found = the_change(*two(failing(), alone(state, reason="KVM depends on MODULES")))
    assert (found.fate, found.became) == (FindingStatus.LOST, {CellFindingStatus.LOST: 1})
    assert found.why == f"{state} after: KVM depends on MODULES"


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_one_cell_that_could_not_be_tried_after_makes_it_unknown(state: State) -> None:
    story = the_story()
    gcc, clang = (
        a_cell(toolchain="gcc-14"),
        a_cell(toolchain="clang-19", state=state, diagnostics=(), reason="broken disk"),
    )
    found = the_change(*two(story, turned(story, gcc, clang)))
    assert (found.fate, found.why) == (FindingStatus.UNKNOWN, f"{state} after: broken disk")
    assert found.became == {CellFindingStatus.COMPILED: 1, CellFindingStatus.UNKNOWN: 1}
    assert found.unknown_in == (clang.id,)


def test_a_fix_that_silences_one_compiler_only_leaves_it_there() -> None:
    story = the_story()
    found = the_change(*two(story, turned(story, a_cell(toolchain="gcc-14"))))
    assert (found.fate, found.became) == (
        FindingStatus.STILL,
        {CellFindingStatus.COMPILED: 1, CellFindingStatus.STILL: 1},
    )
    assert found.after is not None
    assert found.after.cells == ("powerpc/clang-19/defconfig/KVM=y,MODULES=n,VFIO=n",)
    assert found.after.severity == {"clang-19": "error"}


def test_seen_beats_unknown_and_unknown_beats_lost() -> None:
    run = a_run(
        [a_cell(a, state=State.FAIL, diagnostics=[GCC_ERROR]) for a in ("arm64", "powerpc", "x86")],
        [GCC_ERROR],
    )
    unreachable, infra = a_cell("arm64", state=State.UNREACHABLE), a_cell("powerpc", state=State.INFRA)
    assert the_change(*two(run, turned(run, unreachable, infra))).fate is FindingStatus.STILL
    assert the_change(*two(run, turned(run, unreachable, infra, a_cell("x86")))).fate is FindingStatus.UNKNOWN
    assert (
        the_change(*two(run, turned(run, unreachable, a_cell("powerpc"), a_cell("x86")))).fate
        is FindingStatus.LOST
    )


def test_a_cell_that_the_after_plan_lacks_leaves_it_unknown_without_an_open_cell() -> None:
    run = a_run(
        [a_cell(a, state=State.FAIL, diagnostics=[GCC_ERROR]) for a in ("powerpc", "x86")], [GCC_ERROR]
    )
    found = the_change(*two(run, a_run([a_cell("powerpc")])))
    assert (found.fate, found.became) == (
        FindingStatus.UNKNOWN,
        {CellFindingStatus.COMPILED: 1, CellFindingStatus.NOT_PLANNED: 1},
    )
    assert (found.why, found.unknown_in) == ("not planned after", ())


def test_a_cell_that_passes_without_a_list_of_objects_may_not_have_built_it() -> None:
    found = the_change(a_side(failing()), listing(alone(State.PASS)))
    assert (found.fate, found.became) == (FindingStatus.FIXED, {CellFindingStatus.UNLISTED: 1})
    never = the_change(listing(failing(), OTHER_OBJECT), listing(alone(State.PASS), OTHER_OBJECT))
    assert never.became == {CellFindingStatus.UNLISTED: 1}


@pytest.mark.parametrize("place", [None, "scripts/mod/modpost.o", "arch/x86/entry/vdso/vma.o", "vmlinux"])
def test_what_kbuild_lists_nowhere_is_built_without_it_when_its_stage_ended(place: str | None) -> None:
    found = the_change(a_side(with_refs((LINK, place))), listing(alone(State.PASS), OTHER_OBJECT))
    assert (found.fate, found.became) == (FindingStatus.FIXED, {CellFindingStatus.BUILT: 1})


def test_a_cell_that_still_fails_lacks_it_where_its_object_was_made() -> None:
    after = with_refs((OTHER, "kernel/fork.o"))
    fixed, new = sorted(changes(a_side(failing()), listing(after, OBJECT, "kernel/fork.o")), key=fate)
    assert (fixed.fate, fixed.became) == (FindingStatus.FIXED, {CellFindingStatus.COMPILED: 1})
    assert (new.fate, new.title) == (FindingStatus.UNKNOWN, "kernel/fork.o: 'other' undeclared")


def fate(change: FindingChange) -> str:
    return change.fate


def test_and_nobody_knows_where_it_was_not() -> None:
    after = with_refs((OTHER, "kernel/fork.o"))
    found = next(c for c in changes(a_side(failing()), listing(after, "kernel/fork.o")) if c.before)
    assert (found.fate, found.why) == (
        FindingStatus.UNKNOWN,
        f"it fails for another reason after, and {OBJECT} was not made",
    )
    assert len(found.unknown_in) == 1


def test_all_its_objects_must_have_been_made_there() -> None:
    before = with_refs((GCC_ERROR, OBJECT), (GCC_ERROR, "drivers/vfio/group.o"))
    after = with_refs((OTHER, "kernel/fork.o"))
    found = next(c for c in changes(a_side(before), listing(after, OBJECT, "kernel/fork.o")) if c.before)
    assert found.became == {CellFindingStatus.UNKNOWN: 1}
    assert (found.why or "").endswith("drivers/vfio/group.o was not made")


def test_an_object_that_is_refused_for_something_else_is_not_fixed_and_the_other_error_is_new() -> None:
    new, old = changes(*two(failing(), failing(OTHER)))
    assert (new.fate, new.new_error, len(new.new_in)) == (FindingStatus.NEW, True, 1)
    assert (old.fate, old.became) == (FindingStatus.UNKNOWN, {CellFindingStatus.UNKNOWN: 1})


def test_a_stage_that_was_not_gone_through_after_says_nothing() -> None:
    cell = a_cell(state=State.PASS)
    after = a_run([cell.model_copy(update={"stages": cell.stages[:1]})])
    found = the_change(*two(failing(), after))
    assert (found.fate, found.why) == (FindingStatus.UNKNOWN, "after, stage focus was not built")


def test_but_an_unaffected_cell_is_as_it_was() -> None:
    cell = a_cell(state=State.PASS, evidence=Evidence.UNAFFECTED)
    after = a_run([cell.model_copy(update={"stages": ()})])
    assert the_change(*two(failing(), after)).fate is FindingStatus.FIXED


def test_what_another_compiler_no_longer_says_is_not_fixed_and_what_it_says_is_not_new() -> None:
    gone = the_change(*two(failing(), newer(alone(State.PASS))))
    assert gone.fate is FindingStatus.UNKNOWN
    assert (gone.why or "").startswith("compiler of gcc-14 powerpc differs")
    come = the_change(*two(alone(State.PASS), newer(failing())))
    assert (come.fate, come.new_in, come.new_error) == (FindingStatus.UNKNOWN, (), False)
    assert (come.why or "").startswith("compiler of gcc-14 powerpc differs")
    assert len(come.unknown_in) == 1
    assert the_change(*two(failing(), newer(failing()))).fate is FindingStatus.STILL


def test_an_error_in_a_cell_that_passed_is_new() -> None:
    found = the_change(*two(alone(State.PASS), failing()))
    assert (found.fate, found.new_error, found.before) == (FindingStatus.NEW, True, None)
    assert found.new_in == (a_cell().id,)
    assert found.after is not None
    assert found.after.condition == ({},)


def test_a_warning_is_new_without_being_an_error() -> None:
    found = the_change(*two(alone(State.PASS), alone(State.WARN, WARNING)))
    assert (found.fate, found.new_error) == (FindingStatus.NEW, False)


@pytest.mark.parametrize("state", [State.EMPTY, State.UNREACHABLE])
def test_so_is_one_where_nothing_was_built_before(state: State) -> None:
    assert the_change(*two(alone(state), failing())).fate is FindingStatus.NEW


@pytest.mark.parametrize("state", sorted(UNTRIED_STATES))
def test_nobody_calls_new_what_could_not_be_tried_before(state: State) -> None:
    found = the_change(*two(alone(state), failing()))
    assert (found.fate, found.new_in, found.why) == (FindingStatus.UNKNOWN, (), f"{state} before")


def test_nor_what_a_failure_may_have_hidden() -> None:
    rows = changes(*two(failing(), with_refs((GCC_ERROR, OBJECT), (LINK, None))))
    found = next(row for row in rows if row.before is None)
    assert (found.fate, found.why) == (
        FindingStatus.UNKNOWN,
        "it failed before for another reason, which may have hidden this",
    )


def said_by(tool: str, message: str, **fields: Any) -> Diagnostic:
    return Diagnostic(severity="error", tool=tool, message=message, symbols=(), **fields)


STOPPED_BEFORE = {
    "shell": said_by("sh", "scripts/basic/fixdep: Text file busy"),
    "make": said_by("make", "No rule to make target 'a.h', needed by 'a.o'"),
    "no header": said_by("gcc", "asm/a.h: No such file or directory", file="a.c", line=1),
    "no header of clang": said_by("clang", "'asm/a.h' file not found", file="a.c", line=1),
    "broken": said_by("gcc", "internal compiler error: Segmentation fault", internal=True),
}
READ_BEFORE = {
    "compiler": said_by("gcc", "'other' undeclared", file="a.c", line=9),
    "assembler": said_by("as", "no such instruction", file="a.c", line=9),
    "objtool": said_by("objtool", "f+0x3: stack state mismatch"),
    "fixdep": said_by("fixdep", "error opening file: .a.o.d: No such file or directory"),
}


def find_new(said_before: Diagnostic, said_after: Diagnostic) -> FindingChange:
    before, after = with_refs((said_before, OBJECT)), with_refs((said_after, OBJECT))
    return next(row for row in changes(*two(before, after)) if row.before is None)


@pytest.mark.parametrize("case", STOPPED_BEFORE)
def test_what_ended_before_the_source_was_read_may_hide_any_error_of_it(case: str) -> None:
    assert find_new(STOPPED_BEFORE[case], GCC_ERROR).fate is FindingStatus.UNKNOWN


@pytest.mark.parametrize("case", READ_BEFORE)
def test_a_compiler_that_read_the_source_would_have_said_it(case: str) -> None:
    expected = FindingStatus.UNKNOWN if case == "fixdep" else FindingStatus.NEW
    assert find_new(READ_BEFORE[case], GCC_ERROR).fate is expected


def test_what_comes_after_the_compiler_is_hidden_by_its_error() -> None:
    assert find_new(READ_BEFORE["compiler"], READ_BEFORE["objtool"]).fate is FindingStatus.UNKNOWN
    assert find_new(READ_BEFORE["compiler"], READ_BEFORE["assembler"]).fate is FindingStatus.UNKNOWN


def test_unless_its_object_was_made_before() -> None:
    after = with_refs((OTHER, "kernel/fork.o"))
    rows = changes(listing(failing(), OBJECT, "kernel/fork.o"), a_side(after))
    assert [row.fate for row in rows if row.before is None] == [FindingStatus.NEW]


def test_nor_what_a_stage_says_that_was_skipped_before() -> None:
    skipped = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    first, second = skipped.stages
    stages = (first, second.model_copy(update={"state": State.NOT_RUN}))
    before = a_run([skipped.model_copy(update={"stages": stages})], [GCC_ERROR])
    rows = changes(listing(before, OBJECT, "kernel/fork.o"), a_side(with_refs((OTHER, "kernel/fork.o"))))
    found = next(row for row in rows if row.before is None)
    assert (found.fate, found.why) == (FindingStatus.UNKNOWN, "before, stage focus was not built")


def test_one_cell_in_which_it_is_an_error_is_enough() -> None:
    mild = CLANG_ERROR.model_copy(update={"severity": "warning", "promoted": False})
    cells = [a_cell("powerpc", "clang-19"), a_cell("x86", "clang-19")]
    before = a_run(cells)
    refused = a_cell("powerpc", "clang-19", state=State.FAIL, diagnostics=[CLANG_ERROR])
    warned = a_cell("x86", "clang-19", state=State.WARN, diagnostics=[mild])
    found = the_change(*two(before, turned(before, refused, warned, diagnostics=[CLANG_ERROR, mild])))
    assert (found.new_in, found.new_error) == ((refused.id, warned.id), True)


def test_what_spreads_to_another_cell_is_still_there_and_new_in_that() -> None:
    cells = [a_cell(a, state=State.FAIL, diagnostics=[GCC_ERROR]) for a in ("powerpc", "x86")]
    before, after = a_run([cells[0], a_cell("x86")], [GCC_ERROR]), a_run(cells, [GCC_ERROR])
    found = the_change(*two(before, after))
    assert (found.fate, found.new_in, found.new_error) == (FindingStatus.STILL, (cells[1].id,), True)


def test_what_moves_to_another_cell_is_still_there() -> None:
    failing_ = [a_cell(a, state=State.FAIL, diagnostics=[GCC_ERROR]) for a in ("powerpc", "x86")]
    before = a_run([failing_[0], a_cell("x86")], [GCC_ERROR])
    found = the_change(*two(before, a_run([a_cell("powerpc"), failing_[1]], [GCC_ERROR])))
    assert (found.fate, found.became) == (FindingStatus.STILL, {CellFindingStatus.COMPILED: 1})
    assert found.why == "gone where it was, and now in other cells"


def test_a_warning_that_becomes_an_error_is_new_as_an_error() -> None:
    mild = CLANG_ERROR.model_copy(update={"severity": "warning", "promoted": False})
    found = the_change(*two(alone(State.WARN, mild), failing(CLANG_ERROR)))
    assert (found.fate, found.new_error, len(found.new_in)) == (FindingStatus.STILL, True, 1)
    back = the_change(*two(failing(CLANG_ERROR), alone(State.WARN, mild)))
    assert (back.fate, back.new_error, back.new_in) == (FindingStatus.STILL, False, ())


def keyed(run: Run, *keys: tuple[str, ...]) -> StoredRun:
    """A side whose findings have these keys, in place of their own."""
    side = a_side(run)
    rows = [
        one.model_copy(update={"keys": among})
        for one, among in zip(side.findings.findings, keys, strict=True)
    ]
    # What was derived once is kept there.
    side.__dict__["findings"] = Findings(run=run.id, tool=run.tool, findings=tuple(rows))
    return side


def test_a_finding_that_falls_into_two_is_one_row_with_both_their_conditions() -> None:
    off, on, module = ({"VFIO": value} for value in "nym")
    cells = [a_cell(symbols=off, state=State.FAIL, diagnostics=[GCC_ERROR]), a_cell(symbols=on)]
    broken = a_cell(symbols=on, state=State.FAIL, diagnostics=[OTHER])
    before = a_run([*cells, a_cell(symbols=module)], [GCC_ERROR])
    after = turned(before, broken, diagnostics=[OTHER])
    found = the_change(keyed(before, ("a", "b")), keyed(after, ("a",), ("b", "c")))
    assert (found.fate, found.keys) == (FindingStatus.STILL, ("a", "b", "c"))
    assert found.after is not None
    assert found.after.ids == ("F1", "F2")
    assert found.after.condition == ({"VFIO": ("n",)}, {"VFIO": ("y",)})
    assert found.new_in == (broken.id,)


def test_of_several_that_are_one_the_worst_counts_for_each_toolchain() -> None:
    found = the_change(keyed(failing(), ("a", "b")), keyed(failing(GCC_ERROR, WARNING), ("a",), ("b",)))
    assert found.after is not None
    assert found.after.severity == {"gcc-14": "error"}


def test_two_findings_that_merge_are_two_rows_that_name_the_same() -> None:
    run = with_refs((GCC_ERROR, OBJECT), (OTHER, "kernel/fork.o"))
    rows = changes(keyed(run, ("a",), ("b",)), keyed(failing(), ("a", "b")))
    assert [row.before.ids for row in rows if row.before] == [("F1",), ("F2",)]
    assert {row.after.ids for row in rows if row.after} == {("F1",)}
    assert {row.fate for row in rows} == {FindingStatus.STILL}
    assert not any(row.new_in for row in rows)


def test_findings_that_share_no_key_are_two() -> None:
    rows = changes(keyed(failing(), ("a",)), keyed(failing(), ("b",)))
    assert len(rows) == 2


def test_what_is_new_comes_first_then_errors_before_warnings() -> None:
    before = a_run(
        [
            a_cell("arm64", state=State.FAIL, diagnostics=[GCC_ERROR]),
            a_cell("powerpc"),
            a_cell("x86", state=State.WARN, diagnostics=[WARNING]),
        ],
        [GCC_ERROR, WARNING],
    )
    linked = Diagnostic(severity="warning", tool="gcc", file="a/b.c", line=1, message="odd", flag="odd")
    after = turned(
        before,
        a_cell("arm64"),
        a_cell("powerpc", state=State.FAIL, diagnostics=[linked, OTHER]),
        diagnostics=[linked, OTHER],
    )
    rows = changes(*two(before, after))
    errors = [bool(side and side.is_error) for row in rows for side in [row.after or row.before]]
    assert [row.fate for row in rows] == [
        FindingStatus.NEW,
        FindingStatus.NEW,
        FindingStatus.STILL,
        FindingStatus.FIXED,
    ]
    assert errors == [True, False, False, True]


def test_errors_come_before_warnings_whichever_side_has_them() -> None:
    warned = a_cell(state=State.WARN, diagnostics=[WARNING])
    refused = a_cell("x86", state=State.FAIL, diagnostics=[GCC_ERROR])
    before = a_run([warned, a_cell("x86", state=State.INFRA)], [WARNING])
    rows = changes(*two(before, a_run([a_cell(state=State.INFRA), refused], [GCC_ERROR])))
    assert [(row.fate, row.before is None) for row in rows] == [
        (FindingStatus.UNKNOWN, True),
        (FindingStatus.UNKNOWN, False),
    ]


def test_one_source_in_two_objects_is_two_findings_each_with_its_own() -> None:
    before = with_refs((OTHER, "a/fork.o"), (OTHER, "b/fork.o"))
    after = listing(alone(State.PASS), "a/fork.o")
    rows = changes(listing(before, "a/fork.o", "b/fork.o"), after)
    assert {row.title.split(":")[0]: list(row.became) for row in rows} == {
        "a/fork.o": [CellFindingStatus.COMPILED],
        "b/fork.o": [CellFindingStatus.NOT_BUILT],
    }


def test_a_finding_of_objects_is_judged_by_those_of_each_cell() -> None:
    """One warning comes up in two objects; the cell without the second one is not asked for it."""
    header = Diagnostic(
        severity="warning",
        tool="gcc",
        file="include/x.h",
        line=3,
        message="'f' defined but not used",
        symbols=("f",),
        flag="unused-function",
        sites=(Site(file="include/x.h", line=3, symbol="f", code="static int f(void)"),),
    )

    def cell(arch: str, place: str) -> Cell:
        ref = DiagnosticRef(key=header.key, object=place, stage="focus")
        return a_cell(arch, state=State.WARN).model_copy(update={"diagnostics": (ref,)})

    run = a_run([cell("powerpc", "a/one.o"), cell("x86", "b/two.o")], [header])
    after = turned(run, a_cell("powerpc"), a_cell("x86"))
    lists = dict(zip((c.id for c in run.cells), (("a/one.o",), ("b/two.o",)), strict=True))
    assert the_change(a_side(run, lists), a_side(after, lists)).became == {CellFindingStatus.COMPILED: 2}
