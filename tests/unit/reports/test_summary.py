"""What a run amounts to, before any format tells it."""

from pathlib import Path

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Compiler, GitState, ToolchainRecord
from matrix.record.states import State
from reports import summary
from reports.formatting import format_duration
from reports.grid import build_grid, find_spans
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, STORY, WARNING, a_cell, a_run, the_story

NOWHERE = Path("/nowhere")


def test_errors_come_before_warnings_and_each_once() -> None:
    cell = a_cell(state=State.FAIL, diagnostics=[WARNING, GCC_ERROR, CLANG_ERROR, WARNING])
    run = a_run([cell], [WARNING, GCC_ERROR, CLANG_ERROR])
    assert summary.list_cell_diagnostics(run, cell) == [GCC_ERROR, CLANG_ERROR, WARNING]


def test_a_diagnostic_that_the_run_does_not_hold_is_left_out() -> None:
    cell = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    assert summary.list_cell_diagnostics(a_run([cell]), cell) == []


def test_a_failure_without_a_known_error_is_named_by_its_stage() -> None:
    (group,) = summary.group_failures([a_cell(state=State.FAIL)])
    assert group.title.startswith("focus ended with exit code 2: make -C /src")


def test_workers_are_named_with_what_they_built_and_why_they_were_left_alone() -> None:
    cells = [a_cell(worker="tcp://a:1"), a_cell(worker="tcp://b:1"), a_cell(worker="tcp://b:1"), a_cell()]
    run = a_run(cells).model_copy(
        update={"unused_workers": {"tcp://a:1": "it failed", "tcp://c:1": "no image"}}
    )
    assert summary.collect_run_facts(run)["workers"] == (
        "tcp://a:1: 1 cell, and nothing more: it failed",
        "tcp://c:1: 0 cells, and nothing more: no image",
        "tcp://b:1: 2 cells",
    )
    assert "workers" not in summary.collect_run_facts(a_run([a_cell()]))


def test_of_many_workers_some_are_named() -> None:
    run = a_run([a_cell(worker=f"tcp://a:{number}") for number in range(20)])
    rows = summary.collect_run_facts(run)["workers"]
    assert (len(rows), rows[-1]) == (9, "and 12 more")


def test_a_title_reads_as_the_compiler_wrote_it() -> None:
    assert summary.format_diagnostic_title(CLANG_ERROR) == (
        "virt/kvm/vfio.c:89:7: error: attribute declaration must precede definition"
        " [-Werror,-Wignored-attributes]"
    )


@pytest.mark.parametrize("flag", ["unused-variable", "-Wunused-variable"])
def test_a_flag_reads_the_same_with_and_without_its_dash(flag: str) -> None:
    assert summary.format_diagnostic_title(WARNING.model_copy(update={"flag": flag})).endswith(
        "[-Wunused-variable]"
    )


def test_unreachable_requests_are_told_in_one_line_the_most_frequent_reason_first() -> None:
    assert summary.format_unreachable(the_story()) == (
        "46 of 144 requests unreachable: 18 × KVM=m: MODULES=n makes it y; "
        "16 × VFIO=m: MODULES=n makes it y; 12 × KVM has no m on arm64"
    )


def test_many_reasons_end_in_a_count() -> None:
    cells = [a_cell(symbols={"A": str(i)}, state=State.UNREACHABLE, reason=f"reason {i}") for i in range(9)]
    assert summary.format_unreachable(a_run(cells)).endswith("; 3 for other reasons")


def test_nothing_unreachable_is_no_line() -> None:
    assert summary.format_unreachable(a_run([a_cell()])) == ""


def test_warnings_are_counted_by_flag_with_the_cells_that_show_them() -> None:
    other = WARNING.model_copy(update={"line": 40})
    modpost = WARNING.model_copy(update={"flag": None, "tool": "modpost"})
    cells = [
        a_cell(state=State.WARN, diagnostics=[WARNING, other, modpost]),
        a_cell("s390", state=State.WARN, diagnostics=[WARNING]),
    ]
    assert summary.count_warnings(a_run(cells, [WARNING, other, modpost])) == [
        summary.FlagCount("-Wunused-variable", 2, 2),
        summary.FlagCount("modpost", 1, 1),
    ]


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ([], "nothing was proven: no cell compiled anything"),
        ([State.EMPTY], "nothing was proven: no cell compiled anything"),
        ([State.UNREACHABLE], "nothing was proven: no cell compiled anything"),
        ([State.PASS], "1 cell tried, none failed"),
        ([State.PASS, State.WARN, State.UNREACHABLE], "2 cells tried, none failed, 1 with warnings"),
        ([State.FAIL, State.PASS], "1 of 2 cells failed"),
        ([State.FAIL, State.OOM, State.NOT_RUN], "1 of 3 cells failed, 2 could not be tried"),
        ([State.TIMEOUT, State.PASS], "1 of 2 cells could not be tried"),
    ],
)
def test_the_headline_says_the_worst_first(states: list[State], told: str) -> None:
    cells = [a_cell(symbols={"A": str(i)}, state=state) for i, state in enumerate(states)]
    assert summary.format_run_headline(StoredRun(a_run(cells), NOWHERE)) == told


def test_the_headline_counts_the_findings() -> None:
    run = the_story()
    assert summary.format_run_headline(StoredRun(run, NOWHERE)) == "2 of 98 cells failed, 1 finding"


def test_an_interrupted_run_says_so_first() -> None:
    run = a_run([a_cell(), a_cell("s390", state=State.CANCELLED)], interrupted=True)
    headline = summary.format_run_headline(StoredRun(run, NOWHERE))
    assert headline == "interrupted: 1 of 2 cells could not be tried"


def test_the_source_is_told_with_its_package_revision_and_patches() -> None:
    run = the_story()
    git = GitState(commit="c" * 40, describe="v6.12-3-gabc", dirty=True)
    found = run.source.model_copy(update={"package": "6.12.48-1", "git": git})
    assert summary.format_source(run.model_copy(update={"source": found})) == (
        "Linux 6.12.48, debian:linux-source-6.12 6.12.48-1, sha256 4f1c4f1c4f1c, v6.12-3-gabc (dirty), "
        "patched with 0001-vfio-static-stub.patch"
    )


def test_one_compiler_for_all_arches_is_told_once_and_different_ones_by_arch() -> None:
    run = the_story(("powerpc", "x86"))
    assert summary.format_toolchains(run)["gcc-14"] == (
        "gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44",
    )
    two = {name: Compiler(version=f"gcc {name}", binutils="") for name in ("powerpc", "x86")}
    mixed = run.model_copy(
        update={"toolchains": {"t": ToolchainRecord(image="i", image_id="", compilers=two)}}
    )
    assert summary.format_toolchains(mixed)["t"] == ("powerpc: gcc powerpc", "x86: gcc x86")


def test_an_unreachable_cell_resolves_to_a_neighbour_by_its_symbols() -> None:
    run = the_story(("powerpc",))
    cell = next(c for c in run.cells if c.request == {"KVM": "m", "MODULES": "n", "VFIO": "n"})
    cells = StoredRun(run, NOWHERE).cells_by_id
    assert summary.format_resolved_target(cells, cell) == "KVM=y,MODULES=n,VFIO=n"
    stranger = cell.model_copy(update={"resolves_to": "x86/gcc-14/other"})
    assert summary.format_resolved_target(cells, stranger) == "x86/gcc-14/other"


def test_the_grid_has_a_place_for_every_cell_and_its_columns_in_plan_order() -> None:
    run = the_story()
    grid = build_grid(run)
    assert [cell for row in grid.rows for cell in row.cells] == list(run.cells)
    assert grid.columns[:4] == (("n", "n", "n"), ("n", "n", "m"), ("n", "n", "y"), ("n", "y", "n"))
    assert grid.rows[2].heading == ("powerpc", "gcc-14")


def test_a_plan_with_gaps_keeps_regular_columns() -> None:
    cells = [
        a_cell("arm64", symbols={"A": "y"}),
        a_cell("x86", symbols={"A": "n"}),
        a_cell("x86", symbols={"A": "y"}),
    ]
    grid = build_grid(a_run(cells))
    assert grid.columns == (("n",), ("y",))
    assert grid.rows[0].cells == (None, cells[0])


def test_bases_have_their_rows_when_there_are_several() -> None:
    grid = build_grid(a_run([a_cell(base="defconfig"), a_cell(base="allnoconfig")]))
    assert [row.heading[2] for row in grid.rows] == ["defconfig", "allnoconfig"]


def test_neighbouring_values_are_joined_under_their_parent_only() -> None:
    grid = build_grid(the_story(("powerpc",)))
    assert [(span.value, span.columns) for span in find_spans(grid, 0)] == [("n", 6), ("m", 6), ("y", 6)]
    assert [span.first_column for span in find_spans(grid, 1)] == [0, 3, 6, 9, 12, 15]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0.0 s"), (9.44, "9.4 s"), (59.96, "1 min 00 s"), (192, "3 min 12 s"), (3840, "1 h 04 min")],
)
def test_durations_read_easily(seconds: float, told: str) -> None:
    assert format_duration(seconds) == told


def test_the_story_is_what_it_says() -> None:
    states = summary.count_states(the_story().cells)
    assert states == {State.PASS: 96, State.FAIL: 2, State.UNREACHABLE: 46}
    assert {tuple(cell.request.items()) for cell in the_story().cells if cell.state is State.FAIL} == {
        tuple(STORY.items())
    }


@pytest.mark.parametrize(
    ("tool", "flag", "promoted", "shown"),
    [
        ("gcc", "-Wunused", False, "[-Wunused]"),
        ("clang", "-Wunused", True, "[-Werror,-Wunused]"),
        ("rustc", "E0425", False, "[E0425]"),
        ("rustc", "unused_imports", True, "[unused_imports]"),
        ("dtc", "duplicate_label", False, "[duplicate_label]"),
    ],
)
def test_a_diagnostic_shows_what_its_own_tool_calls_it(
    tool: str, flag: str, promoted: bool, shown: str
) -> None:
    diagnostic = Diagnostic(severity="error", tool=tool, message="no", flag=flag, promoted=promoted)
    assert summary.format_diagnostic_title(diagnostic) == f"{tool}: error: no {shown}"
