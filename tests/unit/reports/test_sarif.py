"""SARIF: valid by its schema and Microsoft's tool, within GitHub's limits, with keys that stay."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell
from matrix.record.states import State
from matrix.verdict.baseline import KnownIssues, compare_with_baseline
from reports import FORMATS, NO_OPTIONS, ReportOptions
from reports.format_outputs import parse_format_outputs
from tests.fakes.foreign_words import LIVE
from tests.fakes.large_runs import a_large_side
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import OTHER, a_side, alone, mended, turned
from tests.fakes.verdicts import header_fix
from tests.unit.reports.test_foreign_words import foreign_run, foreign_verdict, keep_run
from tests.validators import validate_sarif

SARIF = FORMATS["sarif"]
OLD = Path(__file__).parents[2] / "old_run"
NO_HOMEPAGE = "The tool 'kmatrix' does not provide 'informationUri'"


def read(text: str) -> dict[str, Any]:
    (run,) = json.loads(text)["runs"]
    assert isinstance(run, dict)
    return run


def results(stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> list[dict[str, Any]]:
    return list(read(SARIF.render_run(stored, options))["results"])


def place(location: dict[str, Any]) -> tuple[str, int, int]:
    physical = location["physicalLocation"]
    region = physical["region"]
    return physical["artifactLocation"]["uri"], region["startLine"], region.get("startColumn", 0)


def test_a_result_is_a_finding_at_its_first_place_with_the_others_beside_it() -> None:
    (result,) = results(a_side(the_story()))
    assert place(result["locations"][0]) == ("include/linux/vfio.h", 294, 35)
    assert [place(each) for each in result["relatedLocations"]] == [("virt/kvm/vfio.c", 89, 7)]
    assert (result["level"], result["ruleId"]) == ("error", "-Wignored-attributes")
    assert "KVM=y, MODULES=n, VFIO=n on powerpc, in 2 cells" in result["message"]["text"]


def test_rules_are_flags_or_tools_and_results_lead_to_them() -> None:
    run = a_run(
        [a_cell(state=State.FAIL, diagnostics=[WARNING, CLANG_ERROR, OTHER])], [WARNING, CLANG_ERROR, OTHER]
    )
    told = read(SARIF.render_run(a_side(run), NO_OPTIONS))
    rules = [rule["id"] for rule in told["tool"]["driver"]["rules"]]
    assert set(rules) == {"-Wunused-variable", "-Wignored-attributes", "gcc"}
    assert all(rules[each["ruleIndex"]] == each["ruleId"] for each in told["results"])
    assert {each["ruleId"]: each["level"] for each in told["results"]}["-Wunused-variable"] == "warning"


def test_the_rule_of_a_finding_is_the_same_whatever_cell_comes_first() -> None:
    story = the_story()
    turned_round = story.model_copy(
        update={
            "cells": story.cells[::-1],
            "axes": {**story.axes, "toolchain": story.axes["toolchain"][::-1]},
        }
    )
    (one,), (other,) = (results(a_side(run)) for run in (story, turned_round))
    assert one["ruleId"] == other["ruleId"] == "-Wignored-attributes"


def test_the_fingerprint_holds_when_lines_move() -> None:
    moved = GCC_ERROR.model_copy(update={"line": 300, "column": 1})
    one, other = (results(a_side(alone(State.FAIL, each)))[0] for each in (GCC_ERROR, moved))
    assert place(one["locations"][0]) != place(other["locations"][0])
    assert one["partialFingerprints"] == other["partialFingerprints"]
    assert results(a_side(alone(State.FAIL, OTHER)))[0]["partialFingerprints"] != one["partialFingerprints"]


def test_findings_have_different_fingerprints() -> None:
    told = results(a_large_side(600, 90))
    assert len({json.dumps(each["partialFingerprints"]) for each in told}) == len(told) > 50


def test_the_fingerprint_holds_when_another_compiler_agrees() -> None:
    story = the_story()
    gcc = story.model_copy(
        update={"cells": tuple(cell for cell in story.cells if cell.toolchain.startswith("gcc"))}
    )
    (one,), (both,) = (results(a_side(run)) for run in (gcc, story))
    assert (one["properties"]["cells"], both["properties"]["cells"]) == (1, 2)
    assert one["partialFingerprints"] == both["partialFingerprints"]


def test_findings_of_one_key_are_two_alerts() -> None:
    """One line, in cells that no condition joins."""
    stored = a_side(alone(State.FAIL, GCC_ERROR))
    (finding,) = stored.findings.findings
    findings = stored.findings.model_copy(update={"findings": (finding, finding)})
    stored.__dict__["findings"] = findings
    hashes = [each["partialFingerprints"]["primaryLocationLineHash"] for each in results(stored)]
    assert [each.partition(":")[2] for each in hashes] == ["1", "2"]


def test_what_has_no_place_names_its_object() -> None:
    linked = OTHER.model_copy(update={"file": None, "line": None, "tool": "ld"})
    (result,) = results(a_side(alone(State.FAIL, linked)))
    assert result["locations"] == [
        {"logicalLocations": [{"fullyQualifiedName": "arch/powerpc/kvm/vfio.o", "kind": "object"}]}
    ]


def test_against_a_baseline_each_result_says_what_it_is_to_that() -> None:
    story = the_story()
    before = turned(story, a_cell("s390", state=State.FAIL, diagnostics=[OTHER]), diagnostics=[OTHER], id="b")
    after = turned(
        story, a_cell("x86", state=State.WARN, diagnostics=[WARNING]), a_cell("s390"), diagnostics=[WARNING]
    )
    sides = a_side(before), a_side(after)
    regression = compare_with_baseline(*sides)
    told = results(sides[1], ReportOptions(regression=regression, baseline=sides[0]))
    states = {each["message"]["text"].partition(". Appears")[0]: each["baselineState"] for each in told}
    assert sorted(states.values()) == ["absent", "new", "unchanged"]
    assert next(state for title, state in states.items() if "unused variable" in title) == "new"
    assert next(state for title, state in states.items() if "'other' undeclared" in title) == "absent"
    assert all("baselineState" not in each for each in results(sides[1]))


def test_a_verdict_has_what_is_fixed_as_absent_and_what_is_new_as_new() -> None:
    case = header_fix()
    (result,) = read(SARIF.render_verdict(*case.given, NO_OPTIONS))["results"]
    assert result["baselineState"] == "absent"
    story = the_story()
    regression = compare_with_baseline(a_side(mended(story)), after := a_side(turned(story)))
    text = SARIF.render_verdict(regression.verdict, a_side(mended(story)), after, NO_OPTIONS)
    assert [each["baselineState"] for each in read(text)["results"]] == ["new"]


def test_what_is_lost_is_not_told_as_gone() -> None:
    story = the_story()
    failed = [cell for cell in story.cells if cell.state is State.FAIL]
    gone = [cell.model_copy(update={"state": State.UNREACHABLE, "diagnostics": ()}) for cell in failed]
    sides = a_side(story), a_side(turned(story, *gone))
    told = read(SARIF.render_verdict(compare_with_baseline(*sides).verdict, *sides, NO_OPTIONS))["results"]
    assert [(each["baselineState"], each["properties"]["outcome"]) for each in told] == [
        ("unchanged", "lost")
    ]


def test_what_is_known_is_suppressed_and_says_by_which_row() -> None:
    stored = a_side(alone(State.FAIL, GCC_ERROR))
    (result,) = results(stored, ReportOptions(known_issues=KnownIssues({"F1": "vfio-weak"}, {}, ())))
    assert result["suppressions"][0]["justification"] == "vfio-weak"
    assert "suppressions" not in results(stored)[0]


def test_cells_that_could_not_be_tried_are_a_notification() -> None:
    (invocation,) = read(SARIF.render_run(a_side(alone(State.INFRA)), NO_OPTIONS))["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "1 cell could not be tried" in json.dumps(invocation)


def notes(text: str) -> tuple[bool, dict[str, str]]:
    """Whether all was well, and what else is told, by name."""
    (invocation,) = read(text)["invocations"]
    told = invocation["toolExecutionNotifications"]
    return invocation["executionSuccessful"], {
        each["descriptor"]["id"]: each["message"]["text"] for each in told
    }


def test_a_patch_that_does_not_apply_is_a_notification() -> None:
    case = header_fix()
    (patch,) = case.verdict.patches
    refused = patch.model_copy(update={"name": "0002.patch", "refused": "hunk 1 fails"})
    text = SARIF.render_verdict(*case.having(patches=(patch, refused)).given, NO_OPTIONS)
    is_well, told = notes(text)
    assert not is_well
    assert told["refused-patch"].startswith("0002.patch does not apply")
    assert told["refused-patch"].endswith(": hunk 1 fails")
    assert notes(SARIF.render_verdict(*case.given, NO_OPTIONS)) == (True, {})


def test_cells_that_failed_without_a_finding_are_a_notification() -> None:
    rows = [a_cell(symbols={"NR": str(n)}, state=State.FAIL) for n in range(5)]
    warned = a_cell(symbols={"NR": "9"}, state=State.FAIL, diagnostics=[WARNING])
    is_well, told = notes(SARIF.render_run(a_side(a_run([*rows, warned], [WARNING])), NO_OPTIONS))
    assert not is_well
    assert told["unexplained"].startswith("6 cells without a known finding, fail (")
    assert told["unexplained"].endswith(" and 3 more")
    explained = SARIF.render_run(a_side(alone(State.FAIL, GCC_ERROR)), NO_OPTIONS)
    assert notes(explained) == (True, {})


def test_cells_that_a_verdict_loses_are_a_notification() -> None:
    before = alone(State.PASS)
    lost = turned(before, a_cell(state=State.UNREACHABLE, reason="gone"), a_cell("s390"))
    sides = a_side(turned(before, a_cell("s390"))), a_side(lost)
    verdict = compare_with_baseline(*sides).verdict
    assert "1 cell without a known finding, lost (gone)" in str(
        notes(SARIF.render_verdict(verdict, *sides, NO_OPTIONS))
    )
    allowed = SARIF.render_verdict(verdict, *sides, ReportOptions(allow_lost=True))
    assert notes(allowed) == (True, {})


@pytest.mark.parametrize("cells", [[], [a_cell(state=State.EMPTY)]])
def test_a_run_that_proves_nothing_says_so(cells: list[Cell]) -> None:
    is_well, told = notes(SARIF.render_run(a_side(a_run(cells)), NO_OPTIONS))
    assert (is_well, list(told)) == (False, ["unproven"])


def test_what_is_not_known_to_be_new_is_not_told_as_new() -> None:
    before = alone(State.TIMEOUT)
    after = turned(before, alone(State.FAIL, GCC_ERROR).cells[0], diagnostics=[GCC_ERROR])
    sides = a_side(before), a_side(after)
    verdict = compare_with_baseline(*sides).verdict
    (result,) = read(SARIF.render_verdict(verdict, *sides, NO_OPTIONS))["results"]
    assert result["properties"]["outcome"] == "unknown"
    assert "baselineState" not in result


# --- limits


def test_more_findings_than_github_shows_are_cut_and_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stored = a_large_side(600, 90)
    count = len(stored.findings.findings)
    monkeypatch.setattr("reports.sarif.SARIF_RESULTS", 10)
    parse_format_outputs([f"sarif={tmp_path}/x.sarif"]).write_run(stored)
    told = read((tmp_path / "x.sarif").read_text())
    assert [each["properties"]["finding"] for each in told["results"]] == [f"F{n}" for n in range(1, 11)]
    words = f"{count - 10} more findings left out"
    assert words in told["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    assert words in capsys.readouterr().err


def test_a_file_stays_below_its_size_and_says_what_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = a_large_side(600, 90)
    monkeypatch.setattr("reports.sarif.SARIF_BYTES", 60_000)
    text = SARIF.render_run(stored, NO_OPTIONS)
    assert 20_000 < len(text) < 60_000
    assert SARIF.find_notes(text)


def test_what_is_whole_says_nothing_of_cuts() -> None:
    assert SARIF.find_notes(SARIF.render_run(a_side(the_story()), NO_OPTIONS)) == []


def test_ten_thousand_cells_stay_within_githubs_limits() -> None:
    stored = a_large_side(10_000, 6_000)
    text = SARIF.render_run(stored, NO_OPTIONS)
    told = read(text)
    assert 1_000 < len(told["results"]) < 5_000
    assert len(text.encode()) < 10 * 10**6
    assert bool(SARIF.find_notes(text)) == (len(told["results"]) < len(stored.findings.findings))


# --- accepted by its consumers


def a_case(name: str) -> str:
    story = a_side(the_story())
    warned = a_run(
        [a_cell(state=State.FAIL, diagnostics=[WARNING, CLANG_ERROR, OTHER])], [WARNING, CLANG_ERROR, OTHER]
    )
    known = ReportOptions(known_issues=KnownIssues({"F1": "row"}, {}, ()))
    linked = OTHER.model_copy(update={"file": None, "line": None, "tool": "ld"})
    old = StoredRun.load(OLD / "before"), StoredRun.load(OLD / "after")
    verdict = compare_with_baseline(*old).verdict
    cases = {
        "story": lambda: SARIF.render_run(story, NO_OPTIONS),
        "nothing": lambda: SARIF.render_run(a_side(a_run()), NO_OPTIONS),
        "rules": lambda: SARIF.render_run(a_side(warned), NO_OPTIONS),
        "known": lambda: SARIF.render_run(story, known),
        "no place": lambda: SARIF.render_run(a_side(alone(State.FAIL, linked)), NO_OPTIONS),
        "untried": lambda: SARIF.render_run(a_side(alone(State.INFRA)), NO_OPTIONS),
        "large": lambda: SARIF.render_run(a_large_side(600, 90), NO_OPTIONS),
        "verdict": lambda: SARIF.render_verdict(*header_fix().given, NO_OPTIONS),
        "old run": lambda: SARIF.render_run(old[1], NO_OPTIONS),
        "old verdict": lambda: SARIF.render_verdict(verdict, *old, NO_OPTIONS),
        "a stranger's run": lambda: SARIF.render_run(
            keep_run(foreign_run("a%20 {0} [x](y) <b>")), NO_OPTIONS
        ),
    }
    return cases[name]()


ACCEPTED = (
    "story",
    "nothing",
    "rules",
    "known",
    "no place",
    "untried",
    "large",
    "verdict",
    "old run",
    "old verdict",
)


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What the checks say of each case."""
    texts = {name: a_case(name) for name in (*ACCEPTED, "a stranger's run")}
    return validate_sarif(texts, tmp_path_factory.mktemp("sarif"))


@pytest.mark.parametrize("name", ACCEPTED)
def test_schema_and_tool_accept_it(name: str, problems: dict[str, list[str]]) -> None:
    """The one warning is that kmatrix has no page in the web."""
    (warning,) = problems[name]
    assert NO_HOMEPAGE in warning


def test_a_strangers_words_are_accepted_too(problems: dict[str, list[str]]) -> None:
    """A version that is no number is warned of as well."""
    found = problems["a stranger's run"]
    assert all("warning SARIF2005" in problem for problem in found)
    assert len(found) == 2


def test_the_checks_find_what_is_wrong(tmp_path: Path) -> None:
    """By the schema, and by the tool's own rules: a column before the first, an address with a blank."""
    log = json.loads(a_case("story"))
    log["runs"][0]["results"][0]["level"] = "awful"
    found = validate_sarif({"level": json.dumps(log)}, tmp_path)["level"]
    assert any("'awful' is not one of" in problem for problem in found)
    log = json.loads(a_case("story"))
    region = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]
    region |= {"endLine": 1}
    found = validate_sarif({"region": json.dumps(log)}, tmp_path)["region"]
    assert any("error SARIF1" in problem for problem in found)


@pytest.mark.parametrize("words", LIVE)
def test_no_word_changes_its_structure(words: str) -> None:
    for text in (
        SARIF.render_run(keep_run(foreign_run(words)), NO_OPTIONS),
        SARIF.render_verdict(*foreign_verdict(words), NO_OPTIONS),
    ):
        told = read(text)
        assert told["tool"]["driver"]["name"] == "kmatrix"
        for result in told["results"]:
            assert not set("[]{}") & set(result["message"]["text"])
            for each in result["locations"]:
                uri = each.get("physicalLocation", {}).get("artifactLocation", {}).get("uri", "x")
                assert ":" not in uri.split("/")[0]


def test_the_same_run_makes_the_same_file() -> None:
    stored = a_side(the_story())
    again = replace(stored, run=stored.run)
    assert SARIF.render_run(stored, NO_OPTIONS) == SARIF.render_run(again, NO_OPTIONS)
