"""What GitHub shows of a job: annotations within its limits, a summary it takes, outputs that hold."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

import tasks
from matrix.errors import MachineError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.tasks import main_job, run_reporting
from matrix.verdict.baseline import KnownIssues, compare_with_baseline
from matrix.verdict.verdict_model import VerdictPatch
from reports import FORMATS, NO_OPTIONS, ReportOptions
from reports.format_outputs import parse_format_outputs
from reports.workflow_commands import stop_commands
from tests.fakes.foreign_words import LIVE
from tests.fakes.large_runs import a_large_side
from tests.fakes.runs import CLANG_ERROR, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import OTHER, a_side, alone, mended, turned
from tests.fakes.verdicts import Case, a_case, header_fix
from tests.unit.reports.test_foreign_words import CONTROL, foreign_run, foreign_verdict, keep_run
from tests.unit.reports.test_github_annotations import SMUGGLED, obey

GITHUB = FORMATS["github"]
SUMMARY, OUTPUT = "GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT"
OLD = Path(__file__).parents[2] / "old_run"
Said = pytest.CaptureFixture[str]


def annotate(stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> list[tuple[str, dict[str, str], str]]:
    return [obey(line) for line in GITHUB.render_run(stored, options).splitlines()]


def read_outputs(text: str) -> dict[str, str]:
    """As GitHub's runner reads the file: KEY<<DELIMITER, lines until the delimiter."""
    outputs: dict[str, str] = {}
    lines = iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        key, mark, delimiter = line.partition("<<")
        assert mark, line
        value = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        else:
            raise AssertionError("no end")
        assert key not in outputs
        outputs[key] = "\n".join(value)
    return outputs


def outputs_of(stored: StoredRun, options: ReportOptions = NO_OPTIONS) -> dict[str, str]:
    return read_outputs(GITHUB.run_additions[OUTPUT](stored, options))


# --- annotations


def test_a_finding_is_an_error_at_its_place() -> None:
    ((kind, properties, message),) = annotate(a_side(the_story()))
    assert (kind, properties) == (
        "error", {"file": "include/linux/vfio.h", "line": "294", "col": "35", "title": "F1"},
    )  # fmt: skip
    assert "KVM=y, MODULES=n, VFIO=n on powerpc" in message
    assert "attribute declaration must precede definition" in message
    assert "in 2 cells" in message


def test_against_a_baseline_only_what_is_new_is_told() -> None:
    story = the_story()
    regression = compare_with_baseline(a_side(story), after := a_side(turned(story)))
    assert annotate(after, ReportOptions(regression=regression)) == []
    regression = compare_with_baseline(a_side(mended(story)), after)
    assert [kind for kind, _, _ in annotate(after, ReportOptions(regression=regression))] == ["error"]


def test_cells_that_no_finding_explains_are_told_together() -> None:
    rows = [a_cell(symbols={"NR": str(n)}, state=State.FAIL) for n in range(5)]
    rows += [a_cell(symbols={"NR": f"1{n}"}, state=State.INFRA, reason="disk") for n in range(2)]
    told = annotate(a_side(a_run(rows)))
    assert [(kind, properties["title"]) for kind, properties, _ in told] == [
        ("error", "5 cells: fail"),
        ("error", "2 cells: infra"),
    ]
    assert told[1][2].startswith("disk\n")


def test_at_most_ten_of_a_kind_are_told_and_how_many_more() -> None:
    """Those that are not shown are no annotation: GitHub would drop what comes after the tenth."""
    stored = a_large_side(600, 90)
    told = annotate(stored)
    kinds = Counter(kind for kind, _, _ in told)
    assert len(told) == 21
    findings = stored.findings.findings
    errors = sum(each.is_error for each in findings) + 1  # and the cells that ran out of time
    assert kinds == {"error": 10, "warning": 10, "notice": 1}
    assert told[-1][2] == (
        f"and {errors - 10} more errors and {len(findings) - errors + 1 - 10} more warnings, in the report"
    )


def test_what_the_patchs_own_lines_show_comes_first() -> None:
    """Twelve new errors, and the last of them is where the patch is: it is the first that is told."""
    errors = [
        OTHER.model_copy(update={"line": n, "file": f"f{n}.c", "message": f"bad {n}"}) for n in range(12)
    ]
    mine = OTHER.model_copy(update={"line": 70, "file": "z.c", "message": "mine"})
    near = OTHER.model_copy(update={"line": 99, "file": "z.c", "message": "near"})
    said = [*errors, near, mine]
    before = alone(State.PASS)
    after = turned(before, a_cell(state=State.FAIL, diagnostics=said), diagnostics=said)
    case = a_case(a_side(before), a_side(after))
    (patch,) = case.verdict.patches
    told = annotate_case(case, patch.model_copy(update={"lines": {"z.c": ((3, 4), (70, 71))}}))
    assert [properties.get("file") for _, properties, _ in told][:2] == ["z.c", "z.c"]
    assert [properties.get("line") for _, properties, _ in told][:2] == ["70", "99"]
    assert annotate_case(case, patch)[0][1]["file"] != "z.c"


def annotate_case(case: Case, patch: VerdictPatch) -> list[tuple[str, dict[str, str], str]]:
    text = GITHUB.render_verdict(*case.having(patches=(patch,)).given, NO_OPTIONS)
    return [obey(line) for line in text.splitlines()]


def test_of_several_places_the_one_in_the_patch_is_taken() -> None:
    """gcc names the header, clang the source: the patch changes the source."""
    story = the_story()
    case = a_case(a_side(mended(story)), a_side(turned(story, id="after")))
    (patch,) = case.verdict.patches
    assert CLANG_ERROR.file == "virt/kvm/vfio.c"
    ((_, place, _),) = annotate_case(
        case, patch.model_copy(update={"lines": {"virt/kvm/vfio.c": ((80, 90),)}})
    )
    assert (place["file"], place["line"], place["col"]) == ("virt/kvm/vfio.c", "89", "7")
    ((_, place, _),) = annotate_case(case, patch)
    assert place["file"] == "include/linux/vfio.h"


def test_a_patch_that_does_not_apply_is_an_error_and_the_first() -> None:
    case = header_fix()
    refused = case.verdict.patches[0].model_copy(update={"name": "2.patch", "refused": "hunk 1 fails"})
    kind, properties, message = annotate_case(case, refused)[0]
    assert (kind, properties["title"], message) == ("error", "2.patch does not apply", "hunk 1 fails")
    summary = GITHUB.verdict_additions[SUMMARY](*case.having(patches=(refused,)).given, NO_OPTIONS)
    assert "patch 1 of 1 does not apply: fixes F1" in summary


def test_a_verdict_tells_what_is_fixed_as_a_notice_and_what_is_not_as_an_error() -> None:
    case = header_fix()
    ((kind, properties, _),) = annotate_case(case, case.verdict.patches[0])
    assert (kind, properties["title"]) == ("notice", "F1 is fixed")
    same = replace(case.before, run=case.before.run.model_copy(update={"id": "again"}))
    told = annotate_case(a_case(case.before, same, fixes=["F1"]), case.verdict.patches[0])
    assert [(kind, properties["title"]) for kind, properties, _ in told] == [("error", "F1 is not fixed")]
    assert annotate_case(a_case(case.before, same), case.verdict.patches[0]) == []


@pytest.mark.parametrize("words", [*SMUGGLED, *LIVE])
def test_no_word_of_a_run_or_a_verdict_is_a_command(words: str) -> None:
    texts = (
        GITHUB.render_run(keep_run(foreign_run(words)), NO_OPTIONS),
        GITHUB.render_verdict(*foreign_verdict(words), NO_OPTIONS),
    )
    for text in texts:
        for line in text.splitlines():
            command, properties, _ = obey(line)
            assert command in {"error", "warning", "notice"}
            assert set(properties) <= {"file", "line", "col", "title"}


# --- outputs of the step


def test_the_outputs_tell_state_counts_findings_and_the_page() -> None:
    stored = a_side(the_story())
    told = outputs_of(stored)
    assert (told["state"], told["run"], told["cells"]) == ("failed", stored.run.id, "144")
    assert (told["passed"], told["failed"], told["error"], told["skipped"]) == ("96", "2", "0", "46")
    assert json.loads(told["counts"]) == {"pass": 96, "fail": 2, "unreachable": 46}
    assert told["new-findings"] == "1"
    assert "weak declaration" in told["new-finding-titles"]
    assert told["report"] == str(stored.directory / "report.html")


def test_without_a_baseline_what_is_known_is_a_notice_and_not_new() -> None:
    stored = a_side(alone(State.FAIL, CLANG_ERROR))
    options = ReportOptions(known_issues=KnownIssues({"F1": "vfio-weak"}, {}, ()))
    (told,) = annotate(stored, options)
    assert (told[0], told[1]["title"]) == ("notice", "F1 is known: vfio-weak")
    outputs = outputs_of(stored, options)
    assert (outputs["state"], outputs["new-findings"], outputs["new-finding-titles"]) == ("passed", "0", "")
    expired = ReportOptions(known_issues=KnownIssues({}, {"vfio-weak": ("F1",)}, ()))
    assert (annotate(stored, expired)[0][0], outputs_of(stored, expired)["new-findings"]) == ("error", "1")


def test_the_state_is_that_of_the_exit_code() -> None:
    for code in (ExitCode.PASSED, ExitCode.MACHINE_FAULT, ExitCode.WARNED, ExitCode.INTERRUPTED):
        told = outputs_of(a_side(the_story()), ReportOptions(exit_code=code))
        assert told["state"] == code.name.lower().replace("_", "-")


def test_a_verdicts_page_is_its_own() -> None:
    case = header_fix()
    told = read_outputs(GITHUB.verdict_additions[OUTPUT](*case.given, NO_OPTIONS))
    assert (told["state"], told["new-findings"]) == ("passed", "0")
    assert told["report"] == str(case.after.directory / "verdict.html")


@pytest.mark.parametrize(
    "words", [*SMUGGLED, *LIVE, "x\nstate=passed", "x\nstate<<E\npassed\nE", "kmatrix_0\nstate<<kmatrix_0"]
)
def test_no_value_smuggles_another_key(words: str) -> None:
    plain = outputs_of(keep_run(foreign_run("plain")))
    text = GITHUB.run_additions[OUTPUT](keep_run(foreign_run(words)), NO_OPTIONS)
    assert CONTROL.search(text) is None
    told = read_outputs(text)
    assert told.keys() == plain.keys()
    assert told["state"] == "failed"


def test_the_delimiter_is_another_each_time() -> None:
    texts = [GITHUB.run_additions[OUTPUT](a_side(the_story()), NO_OPTIONS) for _ in range(3)]
    marks = [re.findall("<<(.*)", text) for text in texts]
    assert len({mark for each in marks for mark in each}) == 3
    assert all(len(mark) > 30 for each in marks for mark in each)


def test_many_findings_are_counted_and_not_all_named() -> None:
    told = outputs_of(a_large_side(600, 90))
    titles = told["new-finding-titles"].splitlines()
    assert titles[-1] == f"and {int(told['new-findings']) - 20} more"
    assert len(titles) == 21


# --- the summary


def test_the_summary_is_the_report_in_markdown() -> None:
    stored = a_side(the_story())
    assert GITHUB.run_additions[SUMMARY](stored, NO_OPTIONS) == FORMATS["markdown"].render_run(
        stored, NO_OPTIONS
    )
    case = header_fix()
    assert GITHUB.verdict_additions[SUMMARY](*case.given, NO_OPTIONS) == FORMATS["markdown"].render_verdict(
        *case.given, NO_OPTIONS
    )


def test_against_a_baseline_the_summary_opens_on_what_is_new() -> None:
    story = the_story()
    after = a_side(turned(story))
    regression = compare_with_baseline(a_side(mended(story)), after)
    text = GITHUB.run_additions[SUMMARY](after, ReportOptions(regression=regression))
    assert text.startswith(f"# Since {regression.verdict.before.run}: 1 new, 0 fixed")
    assert "\n- new: F1 " in text


def test_what_is_new_beyond_what_is_shown_is_counted() -> None:
    errors = [OTHER.model_copy(update={"file": f"f{n}.c", "message": f"bad {n}"}) for n in range(60)]
    cells = [a_cell(symbols={"NR": str(n)}) for n in range(60)]
    failed = [
        a_cell(symbols={"NR": str(n)}, state=State.FAIL, diagnostics=[error])
        for n, error in enumerate(errors)
    ]
    sides = a_side(a_run(cells)), a_side(a_run(failed, errors, id="after"))
    for (before, after), word in ((sides, "new"), (sides[::-1], "fixed")):
        regression = compare_with_baseline(before, after)
        text = GITHUB.run_additions[SUMMARY](after, ReportOptions(regression=regression))
        assert text.count(f"- {word}: ") == 40
        assert f"- and 20 more {word}\n" in text


def test_ten_thousand_cells_have_a_summary_that_github_takes() -> None:
    text = GITHUB.run_additions[SUMMARY](a_large_side(10_000, 1_000), NO_OPTIONS)
    assert len(text.encode()) < 2**20
    assert "Findings" in text


def test_what_would_be_too_long_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = a_large_side(600, 90)
    whole = GITHUB.run_additions[SUMMARY](stored, NO_OPTIONS)
    monkeypatch.setattr("reports.github_job.STEP_SUMMARY_BYTES", limit := len(whole.encode()) // 3)
    text = GITHUB.run_additions[SUMMARY](stored, NO_OPTIONS)
    assert len(text.encode()) < limit
    assert "This is cut, as GitHub shows no more than 1 MiB" in text
    assert text.splitlines()[0] == whole.splitlines()[0]
    assert "### F10:" in text
    monkeypatch.setattr("reports.github_job.STEP_SUMMARY_BYTES", 1_000)
    text = GITHUB.run_additions[SUMMARY](stored, NO_OPTIONS)
    assert text.splitlines()[0] == whole.splitlines()[0]
    assert len(text) < 300


def test_an_old_run_is_told() -> None:
    stored = StoredRun.load(OLD / "after")
    assert annotate(stored)
    assert outputs_of(stored)["cells"] == str(len(stored.run.cells))


# --- where they go


@pytest.fixture
def workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (SUMMARY, OUTPUT):
        (tmp_path / name).write_text("before\n")
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def test_summary_and_outputs_are_appended_where_github_wants_them(workflow: Path, capsys: Said) -> None:
    parse_format_outputs(["github"]).show_run(a_side(the_story()))
    out, err = capsys.readouterr()
    assert err == ""
    assert (workflow / SUMMARY).read_text().startswith("before\n# 2 of 98 cells failed")
    assert read_outputs((workflow / OUTPUT).read_text().removeprefix("before\n"))["failed"] == "2"
    assert out.count("::error file=") == 1
    assert "2 of 98 cells failed" in out


def test_without_a_workflow_it_is_said_that_nothing_was_appended(
    capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (SUMMARY, OUTPUT):
        monkeypatch.delenv(name, raising=False)
    parse_format_outputs(["github"]).show_run(a_side(the_story()))
    assert f"not set, so not written: {SUMMARY}, {OUTPUT}" in capsys.readouterr().err


def test_a_file_without_room_stays_as_it_is(workflow: Path, capsys: Said) -> None:
    (workflow / SUMMARY).write_bytes(b"x" * (2**20 - 10))
    parse_format_outputs(["github"]).show_run(a_side(the_story()))
    assert (workflow / SUMMARY).stat().st_size == 2**20 - 10
    assert f"the file of {SUMMARY} has no room" in capsys.readouterr().err
    assert "failed<<" in (workflow / OUTPUT).read_text()


def test_what_is_no_file_is_a_side_failure_and_the_rest_is_written(workflow: Path, capsys: Said) -> None:
    (workflow / SUMMARY).unlink()
    (workflow / SUMMARY).mkdir()
    code = run_task("report", "--run", str(OLD / "after"), "--format", "github")
    assert code == 2
    assert f"the file of {SUMMARY} could not be written" in capsys.readouterr().err
    assert "failed<<" in (workflow / OUTPUT).read_text()


def run_task(*words: str) -> int:
    try:
        tasks.program.run(["kmatrix", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def commands_of(text: str) -> list[str]:
    """What GitHub's runner obeys of a log: its two forms, unless commands are stopped."""
    obeyed, token = [], None
    for line in text.splitlines():
        if token is not None:
            token = None if line.strip() == f"::{token}::" else token
            continue
        modern = re.match(r"\s*::([\w-]+)(?: [^\n]*?)?::(.*)", line)
        if modern and modern[1] == "stop-commands":
            token = modern[2]
        elif modern:
            obeyed.append(modern[1])
        elif legacy := re.search(r"##\[([\w-]+)", line):
            obeyed.append(f"##{legacy[1]}")
    assert token is None
    return obeyed


@pytest.mark.usefixtures("workflow")
@pytest.mark.parametrize(
    "words", ["::add-mask::x", "##[add-path]/tmp", "::stop-commands::x", "  ::warning::y"]
)
def test_what_the_terminal_shows_of_a_log_is_no_command(words: str, capsys: Said) -> None:
    stored = keep_run(foreign_run(words))
    parse_format_outputs(["github"]).show_run(stored)
    out = capsys.readouterr().out
    assert words in out
    assert set(commands_of(out)) <= {"error", "warning", "notice"}


@pytest.mark.usefixtures("workflow")
def test_nor_is_what_a_build_prints_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    def build(*_: object) -> StoredRun:
        Console().print("::add-mask::build\n##[error]build")
        return StoredRun(a_run([a_cell(state=State.WARN, diagnostics=[WARNING])], [WARNING]), tmp_path)

    monkeypatch.setattr(main_job, "run_matrix", build)
    assert run_task("run", "--format", "github") == 0
    assert commands_of(capsys.readouterr().out) == ["warning"]


def test_the_outputs_have_the_code_that_a_verification_made_worse(
    workflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> ExitCode:
        raise MachineError("the images changed")

    monkeypatch.setattr(main_job, "run_matrix", lambda *_: StoredRun(a_run([a_cell()]), tmp_path))
    words = "run", "--verify", "1.0", "--format", "github", "--format", f"junit={tmp_path}/junit.xml"
    for verify, code, state in (
        (lambda *_: ExitCode.PASSED, 0, "passed"),
        (lambda *_: ExitCode.BUG, 70, "bug"),
        (fail, 2, "machine-fault"),
    ):
        (workflow / OUTPUT).unlink(missing_ok=True)
        monkeypatch.setattr(run_reporting, "verify_run", verify)
        assert run_task(*words) == code
        assert read_outputs((workflow / OUTPUT).read_text())["state"] == state
        assert ("<error" in (tmp_path / "junit.xml").read_text()) == (code != 0)


def test_what_a_broken_off_verification_leaves_is_written(
    workflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> ExitCode:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_job, "run_matrix", lambda *_: StoredRun(a_run([a_cell()]), tmp_path))
    monkeypatch.setattr(run_reporting, "verify_run", stop)
    (workflow / OUTPUT).unlink(missing_ok=True)
    assert run_task("run", "--verify", "1.0", "--format", "github") == 130
    assert read_outputs((workflow / OUTPUT).read_text())["run"]


@pytest.mark.usefixtures("workflow")
def test_commands_are_obeyed_again_when_the_build_breaks(
    monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    def build(*_: object) -> StoredRun:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_job, "run_matrix", build)
    assert run_task("run", "--format", "github") == 130
    assert commands_of(capsys.readouterr().out) == []


def test_the_token_is_another_each_time(capsys: Said) -> None:
    for _ in range(3):
        with stop_commands(Console()):
            pass
    assert len(set(re.findall("stop-commands::(.{32})", capsys.readouterr().out))) == 3
