"""A verdict as a check of Patchwork's: what its API takes, and the state of the exit code."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import tasks
from matrix.errors import RequestError
from matrix.exit_codes import ExitCode
from matrix.record.states import State
from reports import FORMATS, NO_OPTIONS, ReportOptions
from reports.format_outputs import parse_format_outputs
from reports.patchwork import find_report_url
from tests.fakes.foreign_words import LIVE
from tests.fakes.sides import OTHER, a_side, alone, turned
from tests.fakes.verdicts import Case, a_case, header_fix, kconfig_fix
from tests.unit.reports.test_foreign_words import foreign_verdict

PATCHWORK = FORMATS["patchwork"]
OLD = Path(__file__).parents[2] / "old_run"
# What Patchwork's model of a check takes: a slug and Django's lengths.
CHECK = Draft202012Validator(
    {
        "type": "object",
        "required": ["state", "context", "description"],
        "additionalProperties": False,
        "properties": {
            "state": {"enum": ["pending", "success", "warning", "fail"]},
            "context": {"type": "string", "pattern": "^[-a-zA-Z0-9_]+$", "maxLength": 255},
            "description": {
                "type": "string",
                "minLength": 1,
                "maxLength": 254,
                "pattern": r"^[^\x00-\x1f]*$",
            },
            "target_url": {"type": "string", "pattern": "^https?://", "maxLength": 200},
        },
    }
)


def check(case: Case, options: ReportOptions = NO_OPTIONS) -> dict[str, str]:
    told = json.loads(PATCHWORK.render_verdict(*case.given, options))
    CHECK.validate(told)
    return dict(told)


def test_a_fix_is_a_success_and_says_what_it_does() -> None:
    told = check(header_fix(), ReportOptions(url="https://ci.example.org/job/7"))
    assert told == {
        "context": "kmatrix",
        "state": "success",
        "description": "fixes F1, breaks nothing that was looked at (98 cells)",
        "target_url": "https://ci.example.org/job/7",
    }
    assert "target_url" not in check(kconfig_fix())


def test_what_breaks_is_a_fail_and_what_was_not_tried_a_warning() -> None:
    before = alone(State.PASS)
    broken = turned(before, alone(State.FAIL, OTHER).cells[0], diagnostics=[OTHER])
    assert check(a_case(a_side(before), a_side(broken)))["state"] == "fail"
    untried = turned(before, alone(State.INFRA).cells[0])
    assert check(a_case(a_side(before), a_side(untried)))["state"] == "warning"


def test_a_series_that_was_not_applied_whole_is_no_success() -> None:
    case = header_fix()
    (patch,) = case.verdict.patches
    assert check(case.having(patches=(patch.model_copy(update={"refused": "no"}),)))["state"] == "warning"
    told = check(case.having(patches=(patch, patch.model_copy(update={"refused": "no"}))))
    assert told["description"].startswith("patch 2 of 2 does not apply: fixes F1")


def test_a_run_that_was_interrupted_is_pending_unless_it_failed() -> None:
    case = header_fix()
    after = a_side(case.after.run.model_copy(update={"interrupted": True}))
    case = Case(case.verdict, case.before, after)
    assert check(case)["state"] == "pending"
    assert check(case, ReportOptions(exit_code=ExitCode.FAILED))["state"] == "fail"


@pytest.mark.parametrize(
    ("code", "state"),
    [
        (ExitCode.PASSED, "success"),
        (ExitCode.FAILED, "fail"),
        (ExitCode.MACHINE_FAULT, "warning"),
        (ExitCode.WRONG_REQUEST, "warning"),
        (ExitCode.WARNED, "warning"),
        (ExitCode.INTERRUPTED, "pending"),
    ],
)
def test_the_state_is_that_of_the_exit_code(code: ExitCode, state: str) -> None:
    assert check(header_fix(), ReportOptions(exit_code=code))["state"] == state


def test_each_profile_has_a_context_of_its_own() -> None:
    case = header_fix()
    run = case.after.run.model_copy(update={"profile": {"profile": "kvm vfio/2.toml" + "x" * 300}})
    after = a_side(run)
    told = check(Case(case.verdict, case.before, after))
    assert told["context"].startswith("kmatrix-kvm-vfio-2-toml")
    assert len(told["context"]) == 254


@pytest.mark.parametrize("words", [*LIVE, "x" * 5000, "\x00\n\x1b[2J", "ü" * 500])
def test_any_words_make_a_check_that_is_taken(words: str) -> None:
    told = json.loads(PATCHWORK.render_verdict(*foreign_verdict(words), NO_OPTIONS))
    CHECK.validate(told)


def test_a_run_is_refused_with_what_can_be_shown() -> None:
    with pytest.raises(RequestError, match="this is a run") as caught:
        parse_format_outputs(["patchwork"]).require_run()
    assert "./inv patch makes a verdict" in caught.value.hint


def test_a_run_is_refused_before_it_is_built(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for words in (
        ("run", "--profile", "quick", "--format", f"patchwork={tmp_path}/x"),
        ("report", "--run", str(OLD / "after"), "--format", "patchwork"),
    ):
        with pytest.raises(SystemExit) as end:
            tasks.program.run(["kmatrix", *words])
        assert end.value.code == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert "--format patchwork: a check of Patchwork is on a patch" in err


def test_an_old_verdict_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", "--run", str(OLD), "--format", "patchwork", "--report-url", "https://x.example/"]
    tasks.program.run(["kmatrix", *words])
    told = json.loads(capsys.readouterr().out)
    CHECK.validate(told)
    assert told["target_url"] == "https://x.example/"


GITHUB = {
    "GITHUB_SERVER_URL": "https://github.example",
    "GITHUB_REPOSITORY": "a/b",
    "GITHUB_RUN_ID": "7",
}


@pytest.mark.parametrize(
    ("given", "environment", "url"),
    [
        ("", {}, ""),
        ("https://own.example/x", {"CI_JOB_URL": "https://lab.example/1"}, "https://own.example/x"),
        ("", {"CI_JOB_URL": "https://lab.example/1", **GITHUB}, "https://lab.example/1"),
        ("", GITHUB, "https://github.example/a/b/actions/runs/7"),
        ("", {"GITHUB_RUN_ID": "7"}, ""),
    ],
)
def test_the_page_is_the_jobs_where_no_other_is_named(
    given: str, environment: dict[str, str], url: str
) -> None:
    assert find_report_url(given, environment) == url


@pytest.mark.parametrize(
    "url", ["x", "ftp://a", "javascript:alert(1)", "https://a b", "https://a\nb", "https://ü"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match="no address of a page"):
        find_report_url(url, {})


@pytest.mark.parametrize(
    "environment",
    [
        {"CI_JOB_URL": "https://gitlab.example.org/" + "group/" * 40},
        {"CI_JOB_URL": "gitlab/-/jobs/1"},
        {"CI_JOB_URL": "https://gitlab.example.org/ü"},
        {
            "GITHUB_SERVER_URL": "https://github.example.org",
            "GITHUB_REPOSITORY": "a" * 200,
            "GITHUB_RUN_ID": "1",
        },
    ],
)
def test_an_address_that_nobody_gave_is_left_out_where_it_is_of_no_use(environment: dict[str, str]) -> None:
    assert find_report_url("", environment) == ""
    assert find_report_url("https://a/b", environment) == "https://a/b"


def test_an_address_that_is_too_long_is_refused() -> None:
    with pytest.raises(RequestError, match=re.escape("has 208 characters, and may have 200")):
        find_report_url("https://" + "a" * 200, {})


def test_a_long_headline_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.patchwork.PATCHWORK_DESCRIPTION", 20)
    assert check(header_fix())["description"] == "fixes F1, breaks no…"
