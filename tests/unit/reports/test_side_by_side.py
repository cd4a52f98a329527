"""A run and the one before it in one page: what is claimed of each cell, and where both are found."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run
from matrix.record.states import State
from matrix.verdict.baseline import compare_with_baseline
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import CellChange
from reports import NO_OPTIONS, ReportOptions, find_format, limits
from reports.side_by_side import SideBySide
from tests.fakes.foreign_words import LIVE
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run
from tests.fakes.sides import NOWHERE, OTHER, Values, a_side, alone, mended, newer, turned
from tests.unit.reports.test_page_data import read_row
from tests.unit.reports.test_pages import Page, runs

_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def pair(before: StoredRun, after: StoredRun) -> SideBySide:
    verdict = compare_runs(before, after)
    return SideBySide(before, after, verdict.cells, verdict.findings)


def change_of(before: Run, after: Run) -> CellChange:
    (change,) = pair(a_side(before), a_side(after)).cells
    return change


def pages(before: StoredRun, after: StoredRun) -> list[str]:
    """The page of the run with its baseline, and that of the verdict on both."""
    html = find_format("html")
    regression = compare_with_baseline(before, after)
    return [
        html.render_run(after, ReportOptions(regression=regression)),
        html.render_verdict(compare_runs(before, after), before, after, NO_OPTIONS),
    ]


def data_of(before: StoredRun, after: StoredRun) -> list[Any]:
    found = [json.loads(_DATA.findall(text)[0]) for text in pages(before, after)]
    for data in found:
        data["cells"] = [read_row(data, row) for row in data["cells"]]
        data["before"]["cells"] = [row and read_row(data, row) for row in data["before"]["cells"]]
    return found


def test_the_page_says_what_a_cell_became_wherever_it_marks_one() -> None:
    """Though nothing is claimed by it: neither side was built."""
    sides = a_side(alone(State.EMPTY)), a_side(newer(alone(State.UNREACHABLE)))
    for data in data_of(*sides):
        assert data["changes"] == [["unchanged", "unchanged: empty -> unreachable", "0"]]
    for data in data_of(sides[0], a_side(newer(alone(State.EMPTY)))):
        assert data["changes"] == []


@pytest.mark.parametrize(
    ("before", "after", "mark", "words"),
    [
        (alone(State.PASS), alone(State.PASS), "", "pass"),
        (alone(State.UNREACHABLE), alone(State.UNREACHABLE), "", "unreachable"),
        (alone(State.FAIL, GCC_ERROR), alone(State.FAIL, GCC_ERROR), "", "still-failing: fail -> fail"),
        (alone(State.FAIL, GCC_ERROR), alone(State.PASS), "→", "fixed: fail -> pass"),
        (alone(State.PASS), alone(State.FAIL, GCC_ERROR), "→", "broken: pass -> fail"),
        (alone(State.PASS), alone(State.UNREACHABLE), "→", "lost: pass -> unreachable"),
        (alone(State.UNREACHABLE), alone(State.PASS), "→", "gained: unreachable -> pass"),
        (alone(State.FAIL, GCC_ERROR), alone(State.FAIL, OTHER), "≠", "changed: fail -> fail"),
        (alone(State.PASS), alone(State.WARN, WARNING), "→", "changed: pass -> warn"),
        (alone(State.PASS), alone(State.TIMEOUT), "?", "unknown: pass -> timeout: timeout after"),
        (alone(State.TIMEOUT), alone(State.TIMEOUT), "?", "unknown: timeout -> timeout: timeout before"),
    ],
)
def test_what_became_of_a_cell_has_a_shape_and_words(before: Run, after: Run, mark: str, words: str) -> None:
    change = change_of(before, after)
    assert (SideBySide.find_mark(change), SideBySide.describe_change(change)) == (mark, words)


def test_of_another_compiler_nothing_is_claimed_and_the_reason_is_told() -> None:
    change = change_of(alone(State.PASS), newer(alone(State.FAIL, GCC_ERROR)))
    assert SideBySide.find_mark(change) == "?"
    assert SideBySide.describe_change(change).startswith("unknown: pass -> fail: compiler of gcc-14 ")


@pytest.mark.parametrize("run", runs()[1:])
@pytest.mark.parametrize("number", [0, 1])
def test_the_page_is_well_formed_and_its_ids_are_its_own(run: Run, number: int) -> None:
    text = pages(a_side(run), a_side(turned(run)))[number]
    seen = Page(text)
    assert len(seen.ids) == len(set(seen.ids))


def test_cells_are_the_same_by_their_axes_and_those_of_one_plan_are_told() -> None:
    both, gone, added = (a_cell(symbols={"A": value}) for value in "nmy")
    renamed = both.model_copy(update={"id": "cut"})
    before, after = a_side(a_run([gone, renamed])), a_side(turned(a_run([added, both]), id="later"))
    for data in data_of(before, after):
        assert [cell["id"] for cell in data["cells"]] == [added.id, both.id]
        assert [cell and cell["id"] for cell in data["before"]["cells"]] == [None, "cut", gone.id]
        assert [[words, ranges] for _, words, ranges in data["changes"]] == [
            ["unknown: not planned -> pass", "0"],
            ["unknown: pass -> not planned", "2"],
        ]


def test_findings_have_their_cells_on_either_side_together() -> None:
    cells = [a_cell(symbols={"A": str(n)}, state=State.FAIL, diagnostics=[GCC_ERROR]) for n in range(3)]
    moved = [a_cell(symbols={"A": "0"}), *cells[1:2], a_cell(symbols={"A": "2"})]
    plain = a_cell(symbols={"A": "x"})
    failing = a_cell(symbols={"A": "x"}, state=State.FAIL, diagnostics=[GCC_ERROR])
    before = a_side(a_run([*cells, plain], [GCC_ERROR]))
    after = a_side(turned(a_run([*moved, failing], [GCC_ERROR])))
    for data in data_of(before, after):
        assert [(name, ranges) for name, _, ranges in data["compared"]] == [("F1", "0-3")]
        assert [finding["cells"] for finding in data["findings"]] == ["1 3"]
        assert [ranges for *_, ranges in data["before"]["findings"]] == ["0-2"]


def test_a_finding_that_is_gone_has_a_place_of_its_own() -> None:
    for text in pages(a_side(alone(State.FAIL, GCC_ERROR)), a_side(turned(alone(State.PASS)))):
        seen = Page(text)
        assert "before-F1" in seen.ids
        assert "weak declaration" in seen.words


def configured(run: Run, value: str) -> StoredRun:
    configs: Values = {cell.id: {"KVM_VFIO": value, "SAME": "y"} for cell in run.cells}
    return a_side(run, configs=configs)


def test_what_changed_in_the_config_of_a_cell_that_changed() -> None:
    before, after = alone(State.FAIL, GCC_ERROR), turned(alone(State.PASS))
    for data in data_of(configured(before, "y"), configured(after, "n")):
        assert data["before"]["symbols"] == {"0": [0, ["KVM_VFIO", "y", "n"]]}
    for data in data_of(configured(before, "y"), configured(after, "y")):
        assert data["before"]["symbols"] == {}
    for data in data_of(configured(alone(State.PASS), "y"), configured(after, "n")):
        assert data["before"]["symbols"] == {}  # the cell is as it was


def test_of_the_run_before_fewer_parts_of_logs_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTML_EXCERPTS", 8)
    cells = [a_cell(symbols={"A": str(n)}, state=State.FAIL, diagnostics=[GCC_ERROR]) for n in range(10)]

    def kept(name: str) -> StoredRun:
        for cell in cells:
            log = tmp_path / name / str(cell.log)
            log.parent.mkdir(parents=True)
            log.write_text(f"error: {GCC_ERROR.message}\n")
        return StoredRun(a_run(cells, [GCC_ERROR], id=name), tmp_path / name)

    for data in data_of(kept("before"), kept("after")):
        assert sum("excerpt" in cell for cell in data["cells"]) == 8
        assert sum("excerpt" in cell for cell in data["before"]["cells"]) == 2


def test_the_files_of_the_run_before_are_reached_from_the_page() -> None:
    before = a_side(alone(State.PASS))
    after = a_side(turned(alone(State.PASS)))
    assert pair(before, after).before_path == f"../{before.directory.name}"
    elsewhere = StoredRun(before.run, NOWHERE / "deep" / "er")
    assert pair(elsewhere, after).before_path == "../deep/er"


@pytest.mark.parametrize("words", LIVE)
def test_no_words_of_the_run_before_are_obeyed(words: str) -> None:
    odd = GCC_ERROR.model_copy(update={"message": words, "excerpt": (words,), "notes": (words,)})
    plain = GCC_ERROR.model_copy(update={"message": "plain", "excerpt": ("plain",), "notes": ("plain",)})
    tags = []
    for said in (odd, plain):
        failing: list[Cell] = [a_cell(state=State.FAIL, diagnostics=[said], reason=said.message)]
        before = a_side(a_run(failing, [said]))
        texts = pages(before, a_side(turned(alone(State.PASS))))
        tags.append([Page(text).tags for text in texts])
        assert not any(re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text) for text in texts)
    assert tags[0] == tags[1]


def test_a_mended_story_is_told_in_counts() -> None:
    before = a_run([a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])], [GCC_ERROR])
    sides = pair(a_side(before), a_side(mended(before)))
    assert sides.state_counts == {State.PASS: (0, 2), State.FAIL: (1, 0)}
