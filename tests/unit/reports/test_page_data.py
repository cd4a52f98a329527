"""The data that a page's script works on, and the stories of single cells in it."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, Run, Verified
from matrix.record.states import Evidence, State
from reports import NO_OPTIONS, ReportOptions, find_format, limits
from reports.cell_story import CellStories
from reports.formatting import join_ranges
from reports.page_data import embed_json
from tests.fakes.foreign_words import LIVE
from tests.fakes.runs import GCC_ERROR, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import a_side

NOWHERE = Path("/nowhere")
FAILING = "powerpc/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n"
_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
_LOG = re.compile(r'<script type="application/gzip" id="log-(\d+)">(.*?)</script>')


def page_text(stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> str:
    return find_format("html").render_run(stored, options)


def data_of(run: Run, directory: Path = NOWHERE) -> Any:
    """The data of a run's page, each cell's row as an object, as the page's script makes it."""
    (found,) = _DATA.findall(page_text(StoredRun(run, directory)))
    data = json.loads(found)
    return data | {"cells": [read_row(data, row) for row in data["cells"]]}


def read_row(data: Any, row: Any) -> Any:
    state, at, stages, config, line, evidence, log, *rest = row
    (rare,) = rest or ({},)
    values = [(name, known[n]) for (name, known), n in zip(data["axes"], at, strict=True) if n >= 0]
    symbols = ",".join(map("=".join, values[3:]))
    return {
        "id": "/".join([*(value for _, value in values[:3]), symbols]),
        "at": at,
        "state": data["states"][state][0],
        "stages": [[data["stages"][n], time] for n, time in zip(stages[::2], stages[1::2], strict=True)],
        "config": data["configs"][config] if config >= 0 else None,
        "line": data["texts"][line] if line >= 0 else None,
        "evidence": data["evidence"][evidence] if evidence >= 0 else None,
        "log": log,
    } | rare


def cell_of(data: Any, name: str) -> Any:
    return next(cell for cell in data["cells"] if cell["id"] == name)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([4], "4"), ([0, 1, 2], "0-2"), ([9, 0, 1, 3, 4, 7], "0-1 3-4 7 9"), ([5, 6], "5-6")],
)
def test_numbers_that_follow_each_other_are_a_range(numbers: list[int], text: str) -> None:
    assert join_ranges(numbers) == text


def test_the_first_text_of_a_page_is_told_where_it_is_a_reason() -> None:
    data = data_of(a_run([a_cell(state=State.UNREACHABLE, reason="no such m")]))
    assert data["texts"][data["cells"][0]["reason"]] == "no such m"


def test_each_cell_has_its_values_by_number() -> None:
    data = data_of(the_story())
    names = [name for name, _ in data["axes"]]
    values = {
        name: dict(data["axes"])[name][place]
        for name, place in zip(names, cell_of(data, FAILING)["at"], strict=True)
    }
    assert values == {
        "arch": "powerpc",
        "toolchain": "gcc-14",
        "base": "defconfig",
        "KVM": "y",
        "MODULES": "n",
        "VFIO": "n",
    }


def test_an_axis_that_a_cell_has_not_and_a_value_that_the_plan_has_not() -> None:
    run = a_run([a_cell(symbols={"A": "y"}), a_cell(symbols={"B": "z"})], axes={"arch": ("powerpc",)})
    data = data_of(run)
    axes = dict(data["axes"])
    assert (axes["A"], axes["B"]) == (["y"], ["z"])
    assert [cell["at"][-2:] for cell in data["cells"]] == [[0, -1], [-1, 0]]


def test_what_became_of_a_request_is_there_where_it_is_not_as_asked() -> None:
    seen = (Verified(symbol="A", want="y", got="y"), Verified(symbol="B", want="m", got="y"))
    data = data_of(a_run([a_cell(verified=seen)]))
    assert data["cells"][0]["got"] == [["B", "m", "y"]]


def test_a_finding_names_its_cells_and_its_messages() -> None:
    data = data_of(the_story())
    (finding,) = data["findings"]
    numbers = [number for number, cell in enumerate(data["cells"]) if cell["state"] == "fail"]
    assert finding["cells"] == join_ranges(numbers)
    assert {data["diagnostics"][number][1].split(":")[0] for number in finding["shown"]} == {
        "include/linux/vfio.h", "virt/kvm/vfio.c",
    }  # fmt: skip


def test_a_failing_cell_has_its_make_line_and_its_recipe_and_a_passing_one_the_former() -> None:
    data = data_of(the_story())
    failing, passing = (cell_of(data, FAILING.replace("KVM=y", f"KVM={value}")) for value in "yn")
    assert failing["line"].startswith("make ARCH=powerpc")
    assert data["texts"][failing["steps"][-1]].startswith("make O=/tmp/kmatrix ARCH=powerpc")
    assert passing["line"].startswith("make ARCH=powerpc")
    assert "steps" not in passing


@pytest.mark.parametrize("words", LIVE)
def test_no_words_end_the_data_or_bring_a_control_character(words: str) -> None:
    told = embed_json({"a": [words, {words: "</script><!--"}]})
    assert "<" not in told
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", told)
    assert json.loads(told)["a"][1]


def test_a_log_is_shown_around_its_error_and_one_that_is_missing_is_not(tmp_path: Path) -> None:
    cells = [a_cell(symbols={"A": v}, state=State.FAIL, diagnostics=[GCC_ERROR]) for v in "ny"]
    log = tmp_path / str(cells[0].log)
    log.parent.mkdir(parents=True)
    log.write_text("quiet\n" * 90 + f"error: {GCC_ERROR.message}\n" + "quiet\n" * 90)
    data = data_of(a_run(cells, [GCC_ERROR]), tmp_path)
    first, total, error, *lines = data["cells"][0]["excerpt"]
    assert (first, total, error) == (79, 181, 91)
    assert data["texts"][lines[error - first]] == f"error: {GCC_ERROR.message}"
    assert "excerpt" not in data["cells"][1]


def test_of_a_log_that_is_too_large_the_end_is_shown_and_no_place_in_it(tmp_path: Path) -> None:
    class LargeRun(StoredRun):
        def read_log(self, _: Cell) -> None:
            return None

    cell = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    log = tmp_path / str(cell.log)
    log.parent.mkdir(parents=True)
    log.write_text("quiet\n" * 500 + f"error: {GCC_ERROR.message}\n" + "quiet\n" * 9)
    stored = LargeRun(a_run([cell], [GCC_ERROR]), tmp_path)
    excerpt = CellStories(stored, stored.findings.findings).find(cell).excerpt
    assert excerpt
    assert (excerpt.first, excerpt.total, excerpt.error) == (0, 0, 0)
    assert len(excerpt.lines) == limits.HTML_LOG_LINES


def test_where_a_state_comes_from_is_kept_however_it_is_shortened() -> None:
    first, second, third = (a_cell(symbols={"A": str(n)}) for n in range(3))
    cells = [
        first.model_copy(update={"evidence": Evidence.REMEMBERED, "evidence_from": f"old/{first.id}"}),
        second.model_copy(update={"evidence": Evidence.SAME_CONFIG, "evidence_from": first.id}),
        third.model_copy(update={"evidence": Evidence.REMEMBERED, "evidence_from": f"old/{first.id}"}),
    ]
    data = data_of(a_run(cells))
    assert [cell["from"] for cell in data["cells"]] == [[data["texts"].index("old")], 0, f"old/{first.id}"]
    assert [cell["evidence"] for cell in data["cells"]] == ["remembered", "same-config", "remembered"]


@pytest.mark.parametrize("name", ["cut/off", "powerpc/gcc-14/defconfig/A=z", "a%20b/gcc-14/defconfig/A=y"])
def test_an_id_that_is_not_made_of_the_values_stands_in_its_row(name: str) -> None:
    cells = [a_cell(symbols={"A": "y"}, id=name), a_cell(symbols={"A": "n"})]
    data = data_of(a_run(cells))
    assert [cell["id"] for cell in data["cells"]] == [name, cells[1].id]


def test_excerpts_end_where_they_would_make_the_page_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTML_EXCERPT_BYTES", 3000)
    cells = [a_cell(symbols={"A": str(n)}, state=State.FAIL, diagnostics=[GCC_ERROR]) for n in range(9)]
    for cell in cells:
        log = tmp_path / str(cell.log)
        log.parent.mkdir(parents=True)
        log.write_text("x" * 40 + "\n" + ("y" * 40 + "\n") * 60)
    data = data_of(a_run(cells, [GCC_ERROR]), tmp_path)
    assert ["excerpt" in cell for cell in data["cells"]] == [True] * 2 + [False] * 7


def test_a_config_is_compared_with_the_nearest_cell_that_passed() -> None:
    failing = a_cell(symbols={"A": "y", "B": "y"}, state=State.FAIL, diagnostics=[GCC_ERROR])
    near, far = a_cell(symbols={"A": "y", "B": "n"}), a_cell(symbols={"A": "n", "B": "n"})
    elsewhere = a_cell("x86", symbols={"A": "y", "B": "y"})
    stored = a_side(a_run([elsewhere, far, failing, near], [GCC_ERROR]))
    story = CellStories(stored, stored.findings.findings).find(failing)
    assert story.difference
    assert (story.difference.cell.id, dict(story.difference.symbols)) == (near.id, {"B": ("y", "n")})


def test_without_a_cell_of_its_lane_that_passed_nothing_is_compared() -> None:
    failing = a_cell(state=State.FAIL, diagnostics=[GCC_ERROR])
    stored = a_side(a_run([failing, a_cell("x86")], [GCC_ERROR]))
    assert CellStories(stored, stored.findings.findings).find(failing).difference is None


def test_each_finding_s_first_cell_has_its_story_before_any_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTML_EXCERPTS", 2)
    other = GCC_ERROR.model_copy(update={"message": "'other' undeclared", "symbols": ("other",), "line": 7})
    cells = [
        a_cell(symbols={"A": str(n)}, state=State.FAIL, diagnostics=[GCC_ERROR if n < 5 else other])
        for n in range(9)
    ]
    stored = a_side(a_run([*cells, a_cell(symbols={"A": "x"})], [GCC_ERROR, other]))
    stories = CellStories(stored, stored.findings.findings)
    told = [number for number, cell in enumerate(cells) if stories.find(cell).difference]
    assert told == [0, 5]


def test_a_single_file_has_the_whole_logs_of_what_failed(tmp_path: Path) -> None:
    states = (State.PASS, State.FAIL, State.WARN, State.FAIL)
    said = {State.FAIL: [GCC_ERROR], State.WARN: [WARNING]}
    cells = [
        a_cell(symbols={"A": str(n)}, state=state, diagnostics=said.get(state, []))
        for n, state in enumerate(states)
    ]
    for cell in cells[:3]:
        log = tmp_path / str(cell.log)
        log.parent.mkdir(parents=True)
        log.write_bytes(b"one\n" * 500 + b"</script>\xff\n")
    stored = StoredRun(a_run(cells, [GCC_ERROR, WARNING]), tmp_path)
    ((number, text),) = _LOG.findall(page_text(stored, ReportOptions(single_file=True)))
    assert number == "1"
    assert gzip.decompress(base64.b64decode(text)).decode() == "one\n" * 500 + "</script>\ufffd\n"
    assert not _LOG.findall(page_text(stored))
