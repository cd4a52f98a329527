"""Every row of the table of states has a look in every report, one that is added too."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matrix.record.states import PROVEN_STATES, State
from reports.jinja_templates import load_html_template
from reports.style import STATE_SIGNS, STATE_STYLES
from reports.summary import group_unproven_cells
from tests.fakes.runs import a_cell, a_run

ROOT = Path(__file__).parents[3]
ADDED = """\
    THROTTLED = StateRow(
        name="throttled",
        kind=StateKind.STOPPED,
        rank=45,
        sign="t",
        style="magenta",
        meaning="the machine was too hot",
        reason="waited for the machine to cool",
    )


def _select_states("""
SHOW = """
import json
from pathlib import Path

from matrix.findings.stored_run import StoredRun
from matrix.record.states import State, compute_run_exit_code, find_worst_state
from reports import FORMATS, NO_OPTIONS, PROSE_FORMATS
from tests.fakes.runs import a_cell, a_run

run = a_run([a_cell(state=State.THROTTLED), a_cell("x86")])
stored = StoredRun(run, Path())
shown = {name: row.render_run(stored, NO_OPTIONS) for name, row in FORMATS.items()
         if name in PROSE_FORMATS}
worst = find_worst_state([State.PASS, State.NOT_RUN, State.THROTTLED])
code = compute_run_exit_code(cell.state for cell in run.cells)
print(json.dumps({"shown": shown, "worst": worst, "exit": code}))
"""


def css_rules() -> str:
    return load_html_template("style.css.j2").render()


def test_no_two_states_have_one_sign_or_one_rank() -> None:
    assert len({state.row.sign for state in State}) == len(State)
    assert len({state.row.rank for state in State}) == len(State)
    assert all(state.row.meaning for state in State)


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_sign_a_style_and_a_colour_in_pages(state: State) -> None:
    assert (STATE_SIGNS[state], STATE_STYLES[state]) == (state.row.sign, state.row.style)
    assert len(re.findall(rf"\.{state}\b[^{{}}]*{{ color: ", css_rules())) == 1


@pytest.mark.parametrize("state", sorted(set(State) - PROVEN_STATES - {State.UNREACHABLE}))
def test_every_cell_that_proves_nothing_is_told_with_a_reason(state: State) -> None:
    (group,) = group_unproven_cells(a_run([a_cell(state=state).model_copy(update={"reason": None})]))
    assert (group.state, group.title) == (state, state.row.reason)
    assert group.title


def test_a_new_state_is_one_row(tmp_path: Path) -> None:
    """It is known to the record, counted, told with its reason, and coloured, in all formats."""
    for name in ("matrix", "reports", "tests/fakes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests/__init__.py").touch()
    table = tmp_path / "matrix/record/states.py"
    before = table.read_text()
    table.write_text(before.replace("\n\ndef _select_states(", ADDED, 1))
    assert table.read_text() != before
    done = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["worst"], shown["exit"]) == ("throttled", 2)
    for text in shown["shown"].values():
        assert "waited for the machine to cool" in text
        assert "1 throttled" in text or "Throttled: 1 cell" in text
    assert re.search(r"\.throttled\b[^{}]*{ color: var\(--violet\)", shown["shown"]["html"])
