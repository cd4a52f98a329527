"""The data that a page's script works on, and the stories of single cells in it."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Run, Verified
from matrix.record.states import State
from reports import NO_OPTIONS, ReportOptions, find_format, limits
from reports.cell_story import CellStories
from reports.page_data import embed_json, join_ranges
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
    (found,) = _DATA.findall(page_text(StoredRun(run, directory)))
    return json.loads(found)


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
    steps = [data["texts"][number] for number in cell_of(data, FAILING)["steps"]]
    assert steps[0].startswith("make ARCH=powerpc")
    assert steps[-1].startswith("make O=/tmp/kmatrix ARCH=powerpc")
    assert len(cell_of(data, FAILING.replace("KVM=y", "KVM=n"))["steps"]) == 1


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
