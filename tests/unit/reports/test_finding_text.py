"""A finding in words: who says what, what proves it, and everything that explain owes its reader."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from matrix.findings.derive import derive_findings
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import State
from reports import finding_text
from reports.explain import show_explanation
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, a_cell, a_run, the_story

NOWHERE = Path("/nowhere")


def three_toolchains() -> tuple[Run, Finding]:
    said = {"gcc-13": GCC_ERROR, "gcc-14": GCC_ERROR, "clang-19": CLANG_ERROR}
    cells = [
        a_cell(toolchain=name, symbols={"VFIO": value}, state=State.FAIL, diagnostics=[one])
        if value == "n"
        else a_cell(toolchain=name, symbols={"VFIO": value})
        for name, one in said.items()
        for value in ("n", "y")
    ]
    run = a_run(cells, [GCC_ERROR, CLANG_ERROR])
    (found,) = derive_findings(run, {}).findings
    return run, found


def explained(run: Run) -> str:
    out = StringIO()
    stored = StoredRun(run, NOWHERE)
    show_explanation(stored, stored.findings.findings, Console(file=out, width=80))
    return out.getvalue()


def test_toolchains_that_say_the_same_are_told_together_and_none_is_given_anothers_words() -> None:
    run, found = three_toolchains()
    assert finding_text.label_diagnostics(run, found) == {
        "gcc-13, gcc-14 say": GCC_ERROR,
        "clang-19 says": CLANG_ERROR,
    }
    assert "more message" not in explained(run)


def test_a_diagnostic_that_the_run_lost_shifts_nobodys_words() -> None:
    run, found = three_toolchains()
    lost = run.model_copy(update={"diagnostics": {CLANG_ERROR.key: CLANG_ERROR}})
    assert finding_text.label_diagnostics(lost, found) == {"clang-19 says": CLANG_ERROR}


def test_explain_tells_title_severity_condition_proof_scope_excerpt_and_how_to_see_it() -> None:
    told = explained(the_story())
    for part in (
        "weak declaration of 'vfio_file_iommu_group'",
        "error with gcc-14, clang-19",
        "KVM=y, MODULES=n, VFIO=n on powerpc",
        "base=defconfig everywhere",
        "each term is necessary",
        "MODULES: n -> y: pass, without it",
        "KVM: y -> m: says nothing: unreachable: KVM=m: MODULES=n",
        "powerpc with gcc-14, clang-19: 2 cells",
        "gcc-14 says",
        GCC_ERROR.excerpt[1],
        "clang-19 says",
        CLANG_ERROR.excerpt[0],
        "with a cross compiler",
        "./inv repro --finding F1",
    ):
        assert part in told
