"""A build that the machine stops, in a real container: its words are no finding, and blame nobody."""

from pathlib import Path

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.states import STOPPED_STATES, State
from matrix.verdict.baseline import compare_with_baseline
from matrix.verdict.comparison import compare_runs
from matrix.verdict.gates import compute_verdict_exit_code
from reports import FORMATS, NO_OPTIONS, PROSE_FORMATS
from tests.e2e.conftest import Kmatrix
from tests.minitree import patched

pytestmark = pytest.mark.engine
RULE = "$(p)%.o: $(srctree)/$(p)%.c FORCE\n"
HUNGRY = "\t@$(PYTHON3) -c 'bytearray(600 << 20)'\n"
ONE_CELL = {
    "select": ["KVM=y,MODULES=n,VFIO=y,toolchain=gcc-14"],
    "memory": ["300M"],
    "retries": ["0"],
}


def made_of(tree: Path, *lines: str) -> str:
    """A tree in which these lines run before each object is compiled."""
    rules = patched(tree) / "scripts/Makefile.build"
    text = rules.read_text()
    assert text.count(RULE) == 1
    rules.write_text(text.replace(RULE, RULE + "".join(lines)))
    return str(tree)


def list_messages(stored: StoredRun) -> list[Diagnostic]:
    run = stored.run
    return [run.diagnostics[ref.key] for cell in run.cells for ref in cell.diagnostics]


def test_a_cell_that_wanted_too_much_memory_brings_no_finding_and_breaks_nothing(
    kmatrix: Kmatrix, tmp_path: Path
) -> None:
    kmatrix.run(source=[kmatrix.tree], **ONE_CELL)
    before = kmatrix.stored
    assert [cell.state for cell in before.run.cells] == [State.PASS]
    kmatrix.run(source=[made_of(tmp_path / "hungry", HUNGRY)], **ONE_CELL)
    after = kmatrix.stored
    assert {cell.state for cell in after.run.cells} <= STOPPED_STATES
    assert "Killed" in {message.message for message in list_messages(after)}
    assert after.findings.findings == ()
    verdict = compare_runs(before, after)
    assert compute_verdict_exit_code(verdict) is ExitCode.MACHINE_FAULT
    assert compare_with_baseline(before, after).exit_code is ExitCode.MACHINE_FAULT
    for name in PROSE_FORMATS:
        shown = FORMATS[name]
        told = shown.render_run(after, NO_OPTIONS), shown.render_verdict(verdict, before, after, NO_OPTIONS)
        assert not any("reproduce:" in text or "To see it" in text for text in told), name
