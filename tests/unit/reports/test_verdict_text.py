"""A verdict in words, in a terminal, as HTML and as Markdown: the comparison first."""

import re
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from rich.console import Console

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import RequestError
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs, extract_patch_step
from matrix.verdict.verdict_model import (
    CellFindingStatus,
    EnvironmentDifference,
    FindingChange,
    FindingStatus,
    SymbolChange,
    SymbolFlip,
    Transition,
    VerdictPatch,
)
from reports import NO_OPTIONS, find_format, verdict_text, write_verdict_reports
from reports.changes import FINDING_STATUS_STATES, TRANSITION_STATES
from reports.terminal import show_verdict
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, STORY, WARNING
from tests.fakes.sides import OTHER, a_side, newer
from tests.fakes.verdicts import (
    MAIL,
    Case,
    a_case,
    broken_story,
    header_fix,
    kconfig_fix,
    kept_in,
    patched,
    turning,
)
from tests.unit.reports.test_pages import ANYTHING, Page, commands

ON_POWERPC = {"arch": "powerpc", **STORY}
RUN = broken_story()
FORMS = ["html", "markdown", "text"]
THE_FIX = """\

fixes F1, breaks nothing that was looked at (98 cells)

  patch       0001-kvm-vfio.patch  [PATCH rc] kvm: Prevent compiling
              virt/kvm/vfio.c unless VFIO is selected
  looked at   98 cells (arm64 20, powerpc 26, s390 26, x86 26)
  unaffected  60 cells: what changed went into no object here

fixed: F1 before  arch/powerpc/kvm/vfio.o: include/linux/vfio.h: weak
  declaration of 'vfio_file_iommu_group' being applied to a already
  existing, static definition
  before      KVM=y, MODULES=n, VFIO=n on powerpc
  severity    error with gcc-14, clang-19
  outcome     gone in all of its 2 cells: not built any more (KVM_VFIO is n
              there)
    include/linux/vfio.h:294:35: error: weak declaration of 'vfio_file_iommu_group' \
being applied to a already existing, static definition
      294 | static inline struct iommu_group *vfio_file_iommu_group(struct file *file)
          |                                   ^~~~~~~~~~~~~~~~~~~~~
    virt/kvm/vfio.c:89:7: error: attribute declaration must precede definition \
[-Werror,-Wignored-attributes]
       89 |         fn = symbol_get(vfio_file_iommu_group);
          |              ^
    note: include/linux/vfio.h:294: previous definition is here

fixed: fail -> pass, 2 cells (powerpc 2)
    powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n
    powerpc/clang-19/defconfig/KVM=y,MODULES=n,VFIO=n

  symbols     KVM_VFIO y -> n in 22 cells: every one with KVM=m or y, VFIO=n
"""


def after(*turned: Any, diagnostics: tuple[Diagnostic, ...] = (), **asked: Any) -> Case:
    """The verdict on a patch that fixes the story, but for what it does to other cells."""
    return a_case(a_side(RUN), a_side(patched(RUN, *turned, diagnostics=diagnostics)), **asked)


def told_as(case: Case, name: str) -> str:
    return find_format(name).render_verdict(*case.given, NO_OPTIONS)


def headline(case: Case) -> str:
    return verdict_text.format_verdict_headline(case.changes)


def the_fate(case: Case, which: FindingStatus) -> FindingChange:
    (found,) = (one for one in case.verdict.findings if one.fate is which)
    return found


def still_in_gcc(**asked: Any) -> Case:
    """The wrong fix, which silences clang only."""
    return after(*turning(RUN, {**ON_POWERPC, "toolchain": "gcc-14"}, State.FAIL, GCC_ERROR), **asked)


def broken() -> Case:
    return after(
        *turning(RUN, {"arch": "s390", "KVM": "y", "VFIO": "y"}, State.FAIL, OTHER), diagnostics=(OTHER,)
    )


def lost() -> Case:
    reason = "KVM=y: depends on MODULES (=n)"
    return after(
        *turning(RUN, {"arch": "powerpc", "KVM": "y", "MODULES": "n"}, State.UNREACHABLE, reason=reason)
    )


def untried() -> Case:
    return after(*turning(RUN, ON_POWERPC, State.TIMEOUT))


def of_another_compiler(**fields: Any) -> Case:
    return a_case(a_side(RUN), a_side(newer(patched(RUN))), **fields)


def test_the_fix_reads_like_this() -> None:
    text = told_as(kconfig_fix(), "text")
    assert text.startswith(THE_FIX)
    assert "before: 96 pass, 2 fail, 46 unreachable\n              after: 98 pass, 46 unreachable\n" in text
    assert text.endswith("./inv explain --finding F1 --run 20250601-120000-kvm-vfio\n")


def test_the_terminal_says_what_the_file_says() -> None:
    out = StringIO()
    show_verdict(*kconfig_fix().given, Console(file=out, width=80, color_system=None))
    assert out.getvalue().startswith(THE_FIX)


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (header_fix, "fixes F1, breaks nothing that was looked at (98 cells)"),
        (still_in_gcc, "does not fix F1, breaks nothing that was looked at (98 cells)"),
        (broken, "breaks 4 cells (1 new error), fixes F1"),
        (lost, "loses 4 cells, loses and does not fix F1"),
        (
            untried,
            (
                "leaves open what became of F1, breaks nothing that was looked at (96 cells),"
                " says nothing of 2 cells"
            ),
        ),
        (
            of_another_compiler,
            (
                "leaves open what became of F1, breaks nothing that was looked at (97 cells),"
                " says nothing of 1 cell"
            ),
        ),
    ],
)
def test_the_headline_says_the_worst_first(case: Any, told: str) -> None:
    assert headline(case()) == told


def test_what_was_asked_for_and_is_not_fixed_comes_before_what_is_not_broken() -> None:
    case = still_in_gcc(fixes=["f1"])
    assert headline(case) == "does not fix F1, breaks nothing that was looked at (98 cells)"
    assert verdict_text.collect_summary_lines(case.verdict, case.changes)["asked"][0].startswith(
        "f1 is not fixed: still there"
    )


def test_what_was_asked_for_and_is_not_known_is_left_open() -> None:
    case = of_another_compiler(fixes=["F1"])
    assert headline(case).startswith("leaves open what became of F1, ")
    (asked,) = verdict_text.collect_summary_lines(case.verdict, case.changes)["asked"]
    assert asked.startswith("F1: not known whether it is fixed: compiler of gcc-14 powerpc differs: ")


def test_where_no_cell_was_built_on_both_sides_nothing_is_claimed() -> None:
    nothing = turning(RUN, {}, State.INFRA)
    assert headline(after(*nothing)) == "nothing is claimed: no cell was built on both sides"


def test_a_new_warning_is_no_new_error() -> None:
    warned = turning(RUN, {"arch": "x86", "VFIO": "y"}, State.WARN, WARNING)
    case = after(*warned, diagnostics=(WARNING,))
    assert headline(case) == "fixes F1, brings 1 new warning, breaks nothing that was looked at (98 cells)"
    assert (
        verdict_text.format_finding_status(the_fate(case, FindingStatus.NEW))
        == "new in 10 cells, as a warning"
    )


def test_a_cell_that_fails_without_a_known_error_is_counted_when_it_is_fixed() -> None:
    silent = RUN.model_copy(
        update={
            "cells": tuple(
                cell.model_copy(update={"diagnostics": ()}) if cell.state is State.FAIL else cell
                for cell in RUN.cells
            )
        }
    )
    case = a_case(a_side(silent), a_side(patched(silent)))
    assert headline(case).startswith("fixes 2 cells without a known error, ")


def test_an_interrupted_run_says_so_first() -> None:
    case = a_case(a_side(RUN), a_side(patched(RUN, interrupted=True)))
    assert headline(case).startswith("interrupted: fixes F1, ")


def test_a_finding_that_vanished_with_its_object_is_only_fixed_if_something_says_why() -> None:
    gone = {cell.id: ("other.o",) for cell in RUN.cells}
    case = a_case(a_side(RUN), a_side(patched(RUN), gone))
    assert headline(case).startswith("no longer shows F1, and nothing says why, ")
    assert verdict_text.format_finding_status(the_fate(case, FindingStatus.FIXED)).endswith(
        "not built any more; its object is not built any more, and nothing explains why"
    )
    explained = a_case(a_side(RUN), a_side(patched(RUN), gone), touched=["virt/kvm/Makefile.kvm"])
    assert headline(explained).startswith("fixes F1, ")
    assert verdict_text.format_finding_status(the_fate(explained, FindingStatus.FIXED)).endswith(
        "; virt/kvm/Makefile.kvm changed"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"fate": FindingStatus.FIXED, "became": {CellFindingStatus.COMPILED: 1}},
            "gone in its only cell: compiled without it",
        ),
        (
            {
                "fate": FindingStatus.FIXED,
                "became": {CellFindingStatus.COMPILED: 1, CellFindingStatus.NOT_BUILT: 2},
                "flips": tuple(SymbolFlip(symbol=name, from_="y", to="n") for name in "ABCDE"),
                "why": "A y → n",
            },
            (
                "gone in all of its 3 cells: 1 compiled without it, "
                "2 not built any more (A is n, B is n, C is n, 2 more there)"
            ),
        ),
        (
            {"fate": FindingStatus.LOST, "became": {CellFindingStatus.LOST: 2}, "why": "unreachable after"},
            "lost, and so not fixed: lost; unreachable after",
        ),
        (
            {
                "fate": FindingStatus.UNKNOWN,
                "became": {CellFindingStatus.UNKNOWN: 1, CellFindingStatus.COMPILED: 1},
                "why": "timeout after",
            },
            "nothing is claimed: 1 unknown, 1 compiled without it; timeout after",
        ),
        (
            {"fate": FindingStatus.STILL, "became": {CellFindingStatus.STILL: 1}},
            "still there in 1 of its 1 cell",
        ),
        (
            {
                "fate": FindingStatus.STILL,
                "became": {CellFindingStatus.STILL: 1, CellFindingStatus.BUILT: 1},
                "new_in": ("x",),
                "new_error": True,
            },
            "still there in 1 of its 2 cells, new in 1 cell, as an error: 1 built without it",
        ),
        ({"fate": FindingStatus.NEW, "new_in": ("x", "y")}, "new in 2 cells, as a warning"),
    ],
)
def test_every_fate_has_its_words(change: dict[str, Any], told: str) -> None:
    assert verdict_text.format_finding_status(FindingChange(title="t", keys=("k",), **change)) == told


def test_every_transition_and_fate_has_a_look_and_an_order() -> None:
    assert set(TRANSITION_STATES) == set(Transition)
    assert set(FINDING_STATUS_STATES) == set(FindingStatus)
    # Two enums may share values, and so keys.
    assert list(FINDING_STATUS_STATES) == [
        FindingStatus.NEW,
        FindingStatus.LOST,
        FindingStatus.UNKNOWN,
        FindingStatus.FIXED,
        FindingStatus.STILL,
    ]


def test_findings_are_told_in_that_order() -> None:
    text = told_as(broken(), "text")
    assert text.index("\nnew: F1 after") < text.index("\nfixed: F1 before")


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (({"VFIO": ("n",)},), "every one with VFIO=n"),
        (
            ({"arch": ("s390",)}, {"VFIO": ("n",), "arch": ("x86",)}),
            "every one on s390, or with VFIO=n on x86",
        ),
        (({},), "every one that was compared"),
        ((), "every one that was compared"),
    ],
)
def test_flips_say_in_which_cells(condition: Any, told: str) -> None:
    flips = (SymbolFlip(symbol="KVM_VFIO", from_="y", to="n"), SymbolFlip(symbol="X", from_="n", to="m"))
    change = SymbolChange(flips=flips, cells=34, condition=condition, minimal=True)
    assert verdict_text.format_symbol_change(change) == f"KVM_VFIO y -> n, X n -> m in 34 cells: {told}"


def test_very_many_flips_are_counted() -> None:
    flips = tuple(SymbolFlip(symbol=f"S{i}", from_="y", to="n") for i in range(900))
    assert verdict_text.format_flips(flips).endswith("S5 y -> n and 894 more symbols")


def test_a_finding_that_is_where_it_was_is_no_news() -> None:
    failing = (
        cell
        for tool, error in (("gcc-14", GCC_ERROR), ("clang-19", CLANG_ERROR))
        for cell in turning(RUN, {**ON_POWERPC, "toolchain": tool}, State.FAIL, error)
    )
    assert headline(after(*failing)) == "breaks nothing that was looked at (98 cells)"


def test_cells_that_only_one_side_has_are_told_but_not_counted_as_untried() -> None:
    x86 = tuple(cell for cell in RUN.cells if cell.arch == "x86")
    others = tuple(cell for cell in RUN.cells if cell.arch != "x86")
    run = RUN.model_copy(update={"cells": others})
    fewer = a_case(a_side(RUN), a_side(patched(run)))
    assert headline(fewer) == "fixes F1, breaks nothing that was looked at (72 cells)"
    assert verdict_text.format_cell_group(fewer.changes.cell_groups[0]) == (
        "unknown: pass -> not planned, 26 cells (x86 26): not planned after"
    )
    link = f"./../{fewer.before.run.id}/report.html#{x86[1].id}"
    assert link in Page(told_as(fewer, "html")).links
    assert f"./report.html#{others[0].id}" not in Page(told_as(fewer, "html")).links
    more = a_case(a_side(run), a_side(patched(RUN)))
    assert headline(more) == "fixes F1, breaks nothing that was looked at (72 cells)"
    assert f"./report.html#{x86[1].id}" in Page(told_as(more, "html")).links


def test_a_finding_that_is_still_there_is_shown_as_it_is_now() -> None:
    text = told_as(still_in_gcc(), "text")
    assert "weak declaration of 'vfio_file_iommu_group' being applied" in text
    assert "attribute declaration must precede definition" not in text
    assert text.endswith("./inv explain --finding F1 --run 20250601-130000-kvm-vfio\n")
    assert "In the tree after," in told_as(still_in_gcc(), "markdown")
    assert "In the tree before," in told_as(header_fix(), "markdown")


def test_what_is_fixed_comes_before_what_is_still_there() -> None:
    warned = turning(RUN, {"arch": "x86", "VFIO": "y"}, State.WARN, WARNING)
    run = patched(RUN, *warned, *turning(RUN, ON_POWERPC, State.FAIL, GCC_ERROR), diagnostics=(WARNING,))
    text = told_as(a_case(a_side(run), a_side(patched(run, *warned))), "text")
    assert text.index("\nfixed: F1") < text.index("\nstill: F2")


def test_cells_are_grouped_the_worst_first_and_those_as_before_left_out() -> None:
    states = {State.FAIL: "x86", State.TIMEOUT: "arm64", State.WARN: "s390"}
    case = after(*(cell for state, arch in states.items() for cell in turning(RUN, {"arch": arch}, state)))
    assert [(one.transition, verdict_text.format_group_counts(one)) for one in case.changes.cell_groups] == [
        (Transition.BROKEN, "pass -> fail, 26 cells (x86 26)"),
        (Transition.UNKNOWN, "pass -> timeout, 20 cells (arm64 20)"),
        (Transition.CHANGED, "pass -> warn, 26 cells (s390 26)"),
        (Transition.FIXED, "fail -> pass, 2 cells (powerpc 2)"),
    ]


def test_cells_that_fail_as_they_did_are_told_last_and_without_an_arrow() -> None:
    case = still_in_gcc()
    assert verdict_text.format_cell_group(case.changes.cell_groups[-1]) == "still-failing: 1 cell (powerpc 1)"


def test_a_lost_cell_has_its_reason() -> None:
    assert verdict_text.format_cell_group(lost().changes.cell_groups[0]) == (
        "lost: fail -> unreachable, 2 cells (powerpc 2): KVM=y: depends on MODULES (=n)"
    )


def test_thousands_of_cells_take_a_few_lines() -> None:
    text = told_as(after(*turning(RUN, {}, State.FAIL)), "text")
    assert "… and 90 more cells" in text
    assert len(text.splitlines()) < 80


def test_what_differs_besides_the_patch_is_said_with_what_that_means() -> None:
    case = of_another_compiler()
    assert verdict_text.format_differences(case.changes) == [
        (
            "compiler of gcc-14 powerpc: powerpc64le-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0 before, "
            "gcc 14.3.0 after"
        ),
        "nothing is claimed of what came out otherwise there",
    ]
    assert verdict_text.format_differences(header_fix().changes) == []


def test_what_matters_comes_first_and_many_differences_are_counted() -> None:
    image = EnvironmentDifference(what="image", where="gcc-14", before="a", after="b", matters=False)
    stage = EnvironmentDifference(what="stage", before="focus", after="")
    assert verdict_text.format_differences(header_fix().having(differences=(image, stage)).changes, 1) == [
        "stage: focus before, none after",
        "and 1 more difference",
        "nothing is claimed of what came out otherwise there",
    ]
    assert verdict_text.format_differences(header_fix().having(differences=(image,)).changes) == [
        "image of gcc-14: a before, b after; it changes no outcome"
    ]


def test_facts_are_told_once_where_both_runs_agree() -> None:
    facts = verdict_text.compare_run_facts(*header_fix().given[1:])
    assert facts["clang-19"] == ("Debian clang version 19.1.7 (3), Debian LLD 19.1.7",)
    assert facts["run"] == ("before: 20250601-120000-kvm-vfio", "after: 20250601-130000-kvm-vfio")


def test_patches_that_do_not_apply_the_base_and_the_steps_are_named() -> None:
    side = a_side(RUN)
    one = compare_runs(side, a_side(patched(RUN)))
    refused = VerdictPatch(name="0002-x.patch", subject="x", sha256="e" * 64, refused="hunk 1 of Makefile")
    case = after(steps=[extract_patch_step("0001-a.patch", "a", one)]).having(
        patches=(refused,), base_commit="0bb80ecc33a8", notes=("the newest version, 2, was taken",)
    )
    assert verdict_text.collect_summary_lines(case.verdict, case.changes) == {
        "patch": ["0002-x.patch  x; it does not apply: hunk 1 of Makefile"],
        "base": ["the patch names base-commit 0bb80ecc33a8", "the newest version, 2, was taken"],
        "looked at": ["98 cells (arm64 20, powerpc 26, s390 26, x86 26)"],
        "steps": ["0001-a.patch (a): 2 cells fixed, 1 finding fixed"],
    }
    differs = case.having(base_differs="0bb80ecc33a8 is not what was built on", notes=())
    assert verdict_text.list_base_notes(differs.verdict) == ["0bb80ecc33a8 is not what was built on"]


def test_prose_keeps_to_80_columns() -> None:
    for case in (kconfig_fix(), still_in_gcc(), broken(), lost(), untried(), of_another_compiler()):
        lines = told_as(case, "text").splitlines()
        prose = [line for line in lines if not re.search(r": error: |^ +\d* \| |\./inv ", line)]
        assert max(map(len, prose)) <= 80


CASES = [kconfig_fix, header_fix, still_in_gcc, broken, lost, untried, of_another_compiler]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", FORMS)
def test_every_format_has_the_headline_first_and_each_group(case: Any, name: str) -> None:
    made = case()
    shown = told_as(made, name)
    first = Page(shown).words if name == "html" else shown.replace("-&gt;", "->").lstrip("# \n")
    told = " ".join(first.split())
    assert headline(made) in told[:250]
    assert all(verdict_text.format_group_counts(group) in told for group in made.changes.cell_groups)


@pytest.mark.parametrize("case", CASES)
def test_the_page_is_well_formed_and_its_links_lead_to_cells_of_a_run(case: Any) -> None:
    made = case()
    page = Page(told_as(made, "html"))
    assert len(page.ids) == len(set(page.ids))
    reports = {f"./../{made.before.run.id}/report.html", "./report.html"}
    ids = {cell.id for cell in made.verdict.cells}
    for link in page.links:
        report, _, cell = link.partition("#")
        assert report in reports
        assert not cell or unquote(cell) in ids
    assert set(page.scopes) <= {"col", "colgroup", "row"}


def test_the_grid_shows_both_sides_of_what_changed_and_one_of_the_rest() -> None:
    told = told_as(header_fix(), "html")
    (turned,) = re.findall(r"<td[^>]*><a [^>]*gcc-14[^>]*fail -&gt; pass.*?</a></td>", told)
    assert [*re.findall(r'class="sign (\w+)"', turned)] == ["fail", "pass"]
    assert told.count('<span class="turn"') == 2
    assert told.index("0001-kvm-vfio.patch") < told.index("<h1>")


def test_a_change_is_readable_without_colours() -> None:
    page = told_as(broken(), "html")
    assert '<span class="sign fail">broken</span> pass' in page
    assert '<span class="sign fail">new</span> F1 after' in page
    assert '<span class="sign pass">fixed</span> F1 before' in page


@pytest.mark.parametrize("case", CASES)
def test_every_table_of_the_markdown_is_rectangular(case: Any) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", told_as(case(), "markdown"), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def hostile(text: str) -> Case:
    """Everything foreign says the same."""
    odd = Diagnostic(severity="error", tool="gcc", file=text, message=text, excerpt=(text,), notes=(text,))
    mail = MAIL.model_copy(update={"subject": text})
    patch = VerdictPatch(name=text, subject=text, sha256="f" * 64, mail=mail, refused=text)
    fails = turning(RUN, {"arch": "x86"}, State.FAIL, odd)
    lost = turning(RUN, {"arch": "s390"}, State.UNREACHABLE, reason=text)
    case = after(*fails, *lost, diagnostics=(odd,))
    return case.having(patches=(patch,), base_differs=text or None, notes=(text,))


@pytest.mark.parametrize("name", FORMS)
def test_control_characters_reach_no_report(name: str) -> None:
    shown = told_as(hostile("a\x00b\x1b[31mc\x9bd\u202ee\rf\n\ng"), name)
    assert commands(shown) == []
    assert "a\ufffdbc\ufffdd\ufffde\ufffdf" in shown


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING.filter(lambda text: text.strip()))
def test_no_words_change_the_structure_of_the_page(text: str) -> None:
    shown = told_as(hostile(text), "html")
    assert commands(shown) == []
    assert Page(shown).tags == Page(told_as(hostile("plain"), "html")).tags


def test_an_unknown_format_names_the_nearest() -> None:
    with pytest.raises(RequestError, match=r"no report format 'htlm' .*'html'"):
        told_as(header_fix(), "htlm")


def test_all_formats_are_written_beside_the_run_after_and_both_runs_have_their_reports(
    tmp_path: Path,
) -> None:
    case = header_fix()
    sides = [
        kept_in(a_side(side.run), tmp_path / name) for name, side in (("b", case.before), ("a", case.after))
    ]
    for side in sides:
        side.directory.mkdir(parents=True)
    files = write_verdict_reports(case.verdict, sides)
    assert sorted(file.name for file in files) == ["mail.txt", "verdict.html", "verdict.md", "verdict.txt"]
    assert all(file.parent == sides[1].directory and file.stat().st_size for file in files)
    assert all((side.directory / "report.html").stat().st_size for side in sides)
