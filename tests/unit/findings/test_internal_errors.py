"""A compiler that broke by itself is a problem of its own, marked as the toolchain's in every format."""

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.finding import Finding
from matrix.record.run_model import Run
from matrix.record.states import State
from matrix.verdict.comparison import compare_runs
from reports import FORMATS, NO_OPTIONS, PROSE_FORMATS
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, STUB, a_cell, a_run
from tests.fakes.sides import a_side, alone, two
from tests.unit.findings.test_grouping import error, log, of

BROKE = Diagnostic(
    severity="error",
    tool="gcc",
    file="include/linux/vfio.h",
    line=294,
    message="internal compiler error: in expand_expr_real_1, at expr.cc:11363",
    sites=(STUB,),
    internal=True,
)
CRASHED = Diagnostic(
    severity="error", tool="clang", message="clang frontend command failed with exit code 139", internal=True
)


def list_findings(run: Run) -> tuple[Finding, ...]:
    return a_side(run).findings.findings


def both_compilers(gcc: Diagnostic, clang: Diagnostic) -> Run:
    cells = [
        a_cell(toolchain=toolchain, state=State.FAIL, diagnostics=[said])
        for toolchain, said in (("gcc-14", gcc), ("clang-19", clang))
    ]
    return a_run(cells, [gcc, clang])


def test_it_blames_the_toolchain_and_its_title_says_what_broke() -> None:
    (finding,) = list_findings(alone(State.FAIL, BROKE))
    assert finding.blames == "toolchain"
    assert finding.title.startswith(
        "arch/powerpc/kvm/vfio.o: gcc broke: include/linux/vfio.h: internal compiler error"
    )


def test_any_other_finding_blames_nobody_and_is_written_as_it_was() -> None:
    (finding,) = list_findings(alone(State.FAIL, GCC_ERROR))
    assert finding.blames is None
    assert "blames" not in finding.model_dump()


@pytest.mark.parametrize("clang", [CLANG_ERROR, CRASHED, GCC_ERROR.model_copy(update={"tool": "clang"})])
def test_what_another_compiler_says_of_the_same_line_stays_another_problem(clang: Diagnostic) -> None:
    first, second = list_findings(both_compilers(BROKE, clang))
    assert {first.blames, second.blames} == {"toolchain", "toolchain" if clang.internal else None}
    assert set(first.keys).isdisjoint(second.keys)


def test_nor_is_it_one_with_what_the_same_compiler_says_of_the_source_there() -> None:
    findings = list_findings(alone(State.FAIL, GCC_ERROR, BROKE))
    assert [finding.blames for finding in findings] == [None, "toolchain"]


def test_two_versions_that_break_alike_are_one() -> None:
    said = error("internal compiler error: in expand_expr, at expr.cc:7", 3, internal=True)
    other = error("internal compiler error: in expand_expr, at expr.cc:912", 3, internal=True)
    (found,) = of({("gcc-13", "y"): [said], ("gcc-14", "y"): [other]})
    assert (found.blames, list(found.severity)) == ("toolchain", ["gcc-13", "gcc-14"])


@pytest.mark.parametrize("name", ["gcc-14-internal-error", "clang-19-internal-error"])
def test_the_log_of_a_real_one_does_so_too(name: str) -> None:
    assert "toolchain" in {problem.blames for problem in of({("gcc-14", "y"): log(name)})}


WORDS = "the toolchain: gcc-14 broke by itself"


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_every_format_says_so(name: str) -> None:
    run = FORMATS[name].render_run(a_side(alone(State.FAIL, BROKE)), NO_OPTIONS)
    assert WORDS in " ".join(run.replace("&#39;", "'").split())
    assert "1 finding (1 of the toolchain: gcc-14 broke)" in run.replace("\\", "")
    assert WORDS not in FORMATS[name].render_run(a_side(alone(State.FAIL, GCC_ERROR)), NO_OPTIONS)


@pytest.mark.parametrize("name", PROSE_FORMATS)
def test_and_every_format_of_a_verdict(name: str) -> None:
    before, after = two(alone(State.PASS), alone(State.FAIL, BROKE))
    text = FORMATS[name].render_verdict(compare_runs(before, after), before, after, NO_OPTIONS)
    assert WORDS in " ".join(text.split())
    assert "breaks 1 cell (1 new error, gcc-14 broke)" in text.replace("\\", "")


def test_the_subject_of_a_mail_has_it() -> None:
    mail = FORMATS["mail"].render_run(a_side(alone(State.FAIL, BROKE)), NO_OPTIONS)
    subject = next(line for line in mail.splitlines() if line.startswith("Subject:"))
    assert "(1 of the toolchain: gcc-14 broke)" in subject
