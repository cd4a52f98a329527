"""The end summary and the plan, in a terminal and as a text file."""

from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run
from matrix.record.states import State
from reports.grid import build_grid, render_grid
from reports.run_terminal import render_text, show_plan, show_run_summary
from reports.style import STATE_SIGNS, STATE_STYLES
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run, the_story

RUN = Path("/nowhere/20250601-120000-kvm-vfio")
THE_STORY = """\

2 of 26 cells failed, 1 finding

run       20250601-120000-kvm-vfio
source    Linux 6.12.48, debian:linux-source-6.12, sha256 4f1c4f1c4f1c, patched
          with 0001-vfio-static-stub.patch
gcc-14    gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian)
          2.44
clang-19  Debian clang version 19.1.7 (3), Debian LLD 19.1.7
machine   Debian GNU/Linux 12, 2 CPUs, 8 GiB, Docker 20.10.24
time      21 min 07 s

F1 arch/powerpc/kvm/vfio.o: include/linux/vfio.h: weak declaration of
   'vfio_file_iommu_group' being applied to a already existing, static
   definition
   KVM=y, MODULES=n, VFIO=n
   error with gcc-14, clang-19; 2 cells
  include/linux/vfio.h:294:35: error: weak declaration of 'vfio_file_iommu_group' \
being applied to a already existing, static definition
    294 | static inline struct iommu_group *vfio_file_iommu_group(struct file *file)
        |                                   ^~~~~~~~~~~~~~~~~~~~~
  virt/kvm/vfio.c:89:7: error: attribute declaration must precede definition \
[-Werror,-Wignored-attributes]
     89 |         fn = symbol_get(vfio_file_iommu_group);
        |              ^
  note: include/linux/vfio.h:294: previous definition is here
  powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n
    cells/powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n/build.log
  powerpc/clang-19/defconfig/KVM=y,MODULES=n,VFIO=n
    cells/powerpc/clang-19/defconfig/KVM=y,MODULES=n,VFIO=n/build.log

                KVM  n n n n n n  m m m m m m  y y y y y y
            MODULES  n n n y y y  n n n y y y  n n n y y y
               VFIO  n m y n m y  n m y n m y  n m y n m y
  powerpc  gcc-14    . - . . . .  - - - . . .  F - . . . .
  powerpc  clang-19  . - . . . .  - - - . . .  F - . . . .

  . 24 pass   F 2 fail   - 10 unreachable

10 of 36 requests unreachable: 6 × KVM=m: MODULES=n makes it y; 4 × VFIO=m:
MODULES=n makes it y

kept in  20250601-120000-kvm-vfio
next     ./inv report --run 20250601-120000-kvm-vfio --format html
         ./inv explain --finding F1 --run 20250601-120000-kvm-vfio
"""


def shown(run: Run, width: int = 80, directory: Path = RUN) -> str:
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    show_run_summary(StoredRun(run, directory), console)
    return out.getvalue()


def planned(run: Run, width: int = 80, *, terminal: bool = True) -> list[str]:
    out = StringIO()
    show_plan(run, Console(file=out, width=width, force_terminal=terminal, color_system=None))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_story_reads_like_this() -> None:
    run = the_story(("powerpc",))
    assert render_text(StoredRun(run, RUN)) == THE_STORY


def test_every_state_has_a_sign_of_its_own_and_a_style() -> None:
    assert set(STATE_SIGNS) == set(STATE_STYLES) == set(State)
    assert len(set(STATE_SIGNS.values())) == len(State)


@pytest.mark.parametrize("state", list(State))
def test_the_sign_in_the_grid_is_explained_below_it(state: State) -> None:
    told = shown(a_run([a_cell(state=state)]))
    assert f"{STATE_SIGNS[state]} 1 {state}" in told
    assert f"powerpc  gcc-14  {STATE_SIGNS[state]}" in told


def test_the_counts_break_between_states_only() -> None:
    run = a_run([a_cell(symbols={"A": str(number)}, state=state) for number, state in enumerate(State)])
    lines = [line.strip() for line in shown(run, 40).splitlines()]
    assert ". 1 pass   w 1 warn   F 1 fail" in lines
    assert "e 1 empty   - 1 unreachable" in lines


def test_a_run_of_no_cells_still_says_what_it_was() -> None:
    told = shown(a_run())
    assert "nothing was proven" in told
    assert "debian:linux-source-6.12" in told


def test_one_cell_without_symbols_is_a_grid_of_one() -> None:
    assert "powerpc  gcc-14  ." in shown(a_run([a_cell(symbols={})]))


@pytest.mark.parametrize("width", [80, 120])
def test_the_grid_of_the_default_profile_fits(width: int) -> None:
    assert max(line.cell_len for line in render_grid(build_grid(the_story()), width)) <= width


@pytest.mark.parametrize("count", [30, 60, 90, 400])
def test_a_wide_grid_closes_up_and_then_continues_underneath(count: int) -> None:
    cells = [a_cell(symbols={"A": str(i % 10), "B": str(i // 10)}, state=State.FAIL) for i in range(count)]
    lines = render_grid(build_grid(a_run(cells)), 60)
    assert max(line.cell_len for line in lines) <= 60
    assert sum(line.plain.partition("gcc-14")[2].count("F") for line in lines) == count


def test_long_values_become_letters_with_a_key() -> None:
    cells = [a_cell(symbols={"HZ": value}) for value in ("hundred", "thousand")]
    lines = [line.plain for line in render_grid(build_grid(a_run(cells)), 80)]
    assert lines[0].endswith("HZ  a b")
    assert lines[-1] == "HZ: a = hundred  b = thousand"


def test_many_cells_of_one_failure_are_counted_after_the_first() -> None:
    cells = [a_cell(symbols={"A": str(i)}, state=State.FAIL, diagnostics=[GCC_ERROR]) for i in range(40)]
    told = shown(a_run(cells, [GCC_ERROR]))
    assert told.count("weak declaration") == 2, "its title, and once as the compiler said it"
    assert "… and 34 more cells" in told


def test_a_fault_of_the_machine_is_told_with_its_cells() -> None:
    told = shown(
        a_run([a_cell(state=State.OOM), a_cell("s390", state=State.INFRA, reason="the engine died")])
    )
    assert "O ran out of memory" in told
    assert "! the engine died" in told
    assert "s390/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n" in told


def test_warnings_are_summed_up_by_flag() -> None:
    run = a_run([a_cell(state=State.WARN, diagnostics=[WARNING])], [WARNING])
    assert "warnings: 1 × -Wunused-variable in 1 cell" in shown(run)


def test_the_written_report_is_named_and_another_format_offered(tmp_path: Path) -> None:
    (tmp_path / "report.html").touch()
    told = shown(a_run([a_cell()]), 300, tmp_path)
    assert f"report   {tmp_path}/report.html" in told
    assert f"./inv report --run {tmp_path} --format markdown" in told


def test_paths_below_the_working_directory_are_shown_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "kept in  runs/one\n" in shown(a_run([a_cell()]), 80, tmp_path / "runs" / "one")


def test_markup_in_a_message_is_only_text() -> None:
    odd = Diagnostic(severity="error", tool="gcc", message="[bold]x[/nope] :smile: <script>")
    run = a_run([a_cell(state=State.FAIL, diagnostics=[odd])], [odd])
    assert "gcc: error: [bold]x[/nope] :smile: <script>" in shown(run)


def test_markup_in_an_id_is_only_text() -> None:
    cell = a_cell("[red]", "[/nope]", state=State.FAIL)
    assert "  [red]/%5B%2Fnope%5D/defconfig" in shown(a_run([cell]))
    assert planned(a_run([cell]))[0].startswith("fail         [red]/")


@given(st.text(st.characters(codec="utf-8", exclude_categories=())))
def test_no_message_reaches_the_terminal_as_a_command(words: str) -> None:
    odd = Diagnostic(severity="error", tool="gcc", file=words, message=words, excerpt=(words,), flag=words)
    run = a_run([a_cell(state=State.FAIL, diagnostics=[odd], reason=words)], [odd])
    told = render_text(StoredRun(run, RUN))
    assert not any(char < " " and char not in "\n\t" for char in told)


def test_a_stream_that_lacks_the_signs_gets_question_marks(tmp_path: Path) -> None:
    file = tmp_path / "out"
    with file.open("w", encoding="ascii") as stream:
        show_run_summary(StoredRun(the_story(), RUN), Console(file=stream, width=80))
    assert "18 ? KVM=m" in file.read_text()


def test_what_is_piped_has_no_blanks_at_the_ends_of_its_lines() -> None:
    out = StringIO()
    show_run_summary(StoredRun(the_story(), RUN), Console(file=out, width=80))
    assert [line for line in out.getvalue().splitlines() if line != line.rstrip()] == []
    assert "F1 " in out.getvalue()


def test_the_plan_has_a_line_for_every_request_and_totals() -> None:
    run = the_story()
    lines = planned(run.model_copy(update={"cells": tuple(unbuilt(run))}), terminal=False)
    assert [line.split()[1] for line in lines[:144]] == [cell.id for cell in run.cells]
    assert lines[0].startswith("reachable ")
    assert lines[-1] == "144 requests, 98 reachable, 46 unreachable, 8 lanes"


def test_the_plan_says_why_and_what_the_tree_made_of_it() -> None:
    lines = planned(the_story(("powerpc",)), terminal=False)
    assert (
        "unreachable  powerpc/gcc-14/defconfig/KVM=m,MODULES=n,VFIO=n"
        "  KVM=m: MODULES=n makes it y → KVM=y,MODULES=n,VFIO=n"
    ) in lines


def test_in_a_narrow_terminal_the_reason_has_its_own_line() -> None:
    lines = planned(the_story(("powerpc",)))
    at = lines.index("unreachable  powerpc/gcc-14/defconfig/KVM=m,MODULES=n,VFIO=n")
    assert lines[at + 1] == "             KVM=m: MODULES=n makes it y → KVM=y,MODULES=n,VFIO=n"


def test_what_could_not_be_resolved_is_neither_reachable_nor_unreachable() -> None:
    reached = a_cell(state=State.NOT_RUN).model_copy(update={"config_sha256": "c" * 64})
    run = a_run([reached, a_cell("s390", state=State.INFRA, reason="no image")])
    lines = planned(run)
    assert lines[-1] == "2 requests, 1 reachable, 0 unreachable, 1 unknown, 2 lanes"
    assert lines[1].startswith("infra")


def unbuilt(run: Run) -> list[object]:
    return [
        cell if cell.state is State.UNREACHABLE else cell.model_copy(update={"state": State.NOT_RUN})
        for cell in run.cells
    ]
