"""What KCIDB is told of runs and verdicts: valid by its own schema, and nothing that no build shows."""

import hashlib
import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import Cell, GitState, PatchRecord, Pause, Run, SourceRecord
from matrix.record.states import UNFINISHED_STATES, Evidence, State, StateKind
from matrix.verdict.comparison import compare_runs
from matrix.verdict.verdict_model import Verdict
from reports import kcidb_issues
from reports.kcidb import render_run_kcidb, render_verdict_kcidb
from reports.kcidb_builds import BuildLister, choose_status, compute_patchset_hash
from reports.kcidb_issues import list_issues
from reports.kcidb_objects import NO_ORIGIN, KcidbOrigin, choose_issue_version
from reports.limits import KCIDB_EXCERPT_LENGTH, KCIDB_INCIDENTS
from tests.fakes.foreign_words import LIVE
from tests.fakes.kcidb_daemon import check_submission
from tests.fakes.large_runs import a_large_side
from tests.fakes.runs import CLANG_ERROR, GCC_ERROR, STARTED, WARNING, a_cell, a_run, the_story
from tests.fakes.sides import a_side, mended, turned, two
from tests.fakes.verdicts import Case, a_case, broken_story, header_fix, kconfig_fix
from tests.unit.reports.test_foreign_words import MIXTURES, foreign_run, foreign_verdict, keep_run

Document = dict[str, Any]
OLD_RUNS = Path(__file__).parents[2] / "old_run"
ORIGIN = KcidbOrigin("test")
WHERE = KcidbOrigin(
    "test", "mainline", "https://git.example.org/linux.git", "master", "https://ci.example.org/runs/1/"
)
COMMIT = "0123456789abcdef0123456789abcdef01234567"
GIT = GitState(commit=COMMIT, describe="v6.12-3-g0123456789ab", dirty=False)


def read_valid(text: str) -> Document:
    """A submission that is valid by KCIDB's own schema, with references that lead somewhere, each id once."""
    document: Document = json.loads(text)
    check_submission(document)
    text.encode()
    assert "\\u0000" not in text
    for kind in ("checkouts", "builds", "issues", "incidents"):
        ids = [item["id"] for item in document[kind]]
        assert len(ids) == len(set(ids)), kind
        assert all(item["origin"] == item["id"].partition(":")[0] for item in document[kind])
    known = {kind: {item["id"] for item in document[kind]} for kind in ("checkouts", "builds")}
    issues = {(item["id"], item["version"]) for item in document["issues"]}
    assert {build["checkout_id"] for build in document["builds"]} <= known["checkouts"]
    assert {item["build_id"] for item in document["incidents"]} <= known["builds"]
    assert {(item["issue_id"], item["issue_version"]) for item in document["incidents"]} <= issues
    return document


def submit_run(run: Run, origin: KcidbOrigin = ORIGIN) -> Document:
    return read_valid(render_run_kcidb(a_side(run), origin))


def submit_case(case: Case) -> Document:
    return read_valid(render_verdict_kcidb(*case.given, ORIGIN))


def cells_of(document: Document) -> dict[str, str]:
    """Build's id → its cell."""
    return {build["id"]: build["misc"]["kmatrix"]["cell"] for build in document["builds"]}


def places(document: Document, *, present: bool) -> Counter[str]:
    """The cells of the incidents of this kind."""
    cells = cells_of(document)
    return Counter(cells[item["build_id"]] for item in document["incidents"] if item["present"] is present)


def built(cell: Cell, **fields: Any) -> dict[str, Any]:
    """The build of a run's only cell."""
    [build] = submit_run(a_run([cell], **fields))["builds"]
    return dict(build)


def checked_out(source: SourceRecord, origin: KcidbOrigin = ORIGIN) -> dict[str, Any]:
    [checkout] = submit_run(a_run([a_cell()], source=source), origin)["checkouts"]
    return dict(checkout)


# --- runs


def test_the_story_is_a_checkout_builds_an_issue_and_incidents() -> None:
    document = submit_run(the_story())
    assert Counter(build["status"] for build in document["builds"]) == {"PASS": 96, "SKIP": 46, "FAIL": 2}
    assert places(document, present=True) == dict.fromkeys(
        (f"powerpc/{tool}/defconfig/KVM=y,MODULES=n,VFIO=n" for tool in ("gcc-14", "clang-19")), 1
    )
    absent = places(document, present=False)
    assert set(absent) == {
        build["misc"]["kmatrix"]["cell"] for build in document["builds"] if build["status"] == "PASS"
    }
    [issue] = document["issues"]
    assert issue["culprit"] == {"code": True, "tool": False, "harness": False}
    assert "weak declaration of 'vfio_file_iommu_group'" in issue["report_subject"]
    assert issue["comment"].endswith("KVM=y, MODULES=n, VFIO=n on powerpc; error with gcc-14, clang-19")


@pytest.mark.parametrize("name", ["before", "after"])
def test_a_run_of_an_older_kmatrix_is_valid(name: str) -> None:
    document = read_valid(render_run_kcidb(StoredRun.load(OLD_RUNS / name), ORIGIN))
    assert len(document["builds"]) == 10
    assert document["issues"]
    assert document["checkouts"][0]["comment"].startswith("Linux 6.12.0-mini, patched with minitree-warning")
    assert "tests/tree" not in json.dumps(document["checkouts"])


def test_its_logs_are_told_around_the_error() -> None:
    document = read_valid(render_run_kcidb(StoredRun.load(OLD_RUNS / "after"), ORIGIN))
    failed = [build["log_excerpt"] for build in document["builds"] if build["status"] == "FAIL"]
    assert len(failed) == 2
    assert all(": error: " in excerpt for excerpt in failed)
    assert all("log_excerpt" not in build for build in document["builds"] if build["comment"] == "pass")


def test_a_run_of_nothing_is_valid() -> None:
    document = submit_run(a_run())
    assert [len(document[kind]) for kind in ("checkouts", "builds", "issues", "incidents")] == [1, 0, 0, 0]


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_status_and_only_a_refused_tree_fails(state: State) -> None:
    build = built(a_cell(state=state, reason="so it is"))
    assert build.get("status") == choose_status(state)
    assert (build.get("status") == "FAIL") is (state.row.kind is StateKind.REFUSED)
    assert (build.get("status") == "PASS") is (state.row.kind is StateKind.COMPLETE)
    if state not in UNFINISHED_STATES:
        assert build["misc"]["kmatrix"]["state"] == state
        assert build["comment"] == f"{state}: so it is"


def test_the_statuses_are_these() -> None:
    assert {state.value: choose_status(state) for state in State} == {
        "pass": "PASS",
        "warn": "PASS",
        "fail": "FAIL",
        "empty": "SKIP",
        "unreachable": "SKIP",
        "timeout": "ERROR",
        "oom": "ERROR",
        "infra": None,
        "cancelled": None,
        "not-run": None,
        "unknown": None,
    }


@pytest.mark.parametrize("state", [state for state in State if state.row.kind is not StateKind.COMPLETE])
def test_of_a_cell_that_shows_nothing_nothing_is_said(state: State) -> None:
    """It neither has the finding nor lacks it, whatever its tools printed before they were stopped."""
    other = a_cell("arm64", state=state, diagnostics=() if state is State.FAIL else [GCC_ERROR])
    run = a_run([a_cell(state=State.FAIL, diagnostics=[GCC_ERROR]), other], [GCC_ERROR])
    stored = StoredRun(run, Path("/nowhere"))
    document = read_valid(render_run_kcidb(stored, ORIGIN))
    known = {item["build_id"]: item["present"] for item in document["incidents"]}
    assert known.get(BuildLister(stored, ORIGIN).create_build_id(other.id)) is (
        True if other.id in stored.findings_by_cell else None
    )


def test_a_build_has_what_it_was_made_with() -> None:
    cell = a_cell(state=State.WARN, diagnostics=[WARNING], at_work=(61.5, 80.0))
    build = built(cell, diagnostics=[WARNING])
    assert build["architecture"] == "powerpc"
    assert build["compiler"] == "powerpc64le-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"
    assert build["config_name"] == "defconfig+KVM=y+MODULES=n+VFIO=n"
    assert build["command"].endswith("arch/powerpc/kvm/ drivers/vfio/")
    assert build["duration"] == 9.4
    assert build["start_time"] == "2025-06-01T12:01:01.500000+00:00"


def test_no_time_is_told_that_is_another_builds_or_not_known() -> None:
    reused = built(a_cell(evidence=Evidence.REMEMBERED, evidence_from="20250101-000000-x/a", at_work=(1, 2)))
    assert reused["comment"] == "pass; remembered: built as 20250101-000000-x/a"
    assert not {"start_time", "duration"} & reused.keys()
    pause = Pause(stopped=STARTED, resumed=STARTED + timedelta(hours=1))
    assert "start_time" not in built(a_cell(at_work=(1, 2)), pauses=(pause,))
    assert not {"start_time", "duration", "command"} & built(a_cell(state=State.NOT_RUN)).keys()


def test_files_are_linked_where_they_can_be_read() -> None:
    [build] = submit_run(a_run([a_cell(symbols={"NAME": 'a b"ü'})]), WHERE)["builds"]
    assert build["log_url"].startswith("https://ci.example.org/runs/1/cells/powerpc/gcc-14/defconfig/NAME%3D")
    assert build["log_url"].isascii()
    assert " " not in build["log_url"]
    assert build["config_url"].startswith("https://ci.example.org/runs/1/configs/")
    assert not {"log_url", "config_url"} & built(a_cell()).keys()


@pytest.mark.parametrize(
    ("config", "architecture"),
    [
        ({"X86": "y", "X86_64": "y"}, "x86_64"),
        ({"X86": "y", "X86_32": "y"}, "i386"),
        ({"X86": "y"}, "x86"),
        (None, "x86"),
    ],
)
def test_of_x86_it_is_told_which(config: dict[str, str] | None, architecture: str, tmp_path: Path) -> None:
    text = "".join(f"CONFIG_{name}={value}\n" for name, value in (config or {}).items())
    digest = hashlib.sha256(text.encode()).hexdigest()
    if config is not None:
        (tmp_path / "configs").mkdir()
        (tmp_path / "configs" / digest).write_text(text)
    stored = StoredRun(a_run([a_cell("x86", config_sha256=digest)]), tmp_path)
    [build] = read_valid(render_run_kcidb(stored, ORIGIN))["builds"]
    assert build["architecture"] == architecture


def test_a_warning_that_makes_a_build_fail_is_a_builds_own() -> None:
    broke = GCC_ERROR.model_copy(
        update={"internal": True, "message": "internal compiler error: in a, at b.c:1"}
    )
    document = submit_run(a_run([a_cell(state=State.FAIL, diagnostics=[broke])], [broke]))
    assert document["issues"][0]["culprit"] == {"code": False, "tool": True, "harness": False}


# --- checkouts


def test_the_patchset_hash_is_what_kcidbs_command_gives(tmp_path: Path) -> None:
    files = [tmp_path / f"000{number}.patch" for number in (1, 2)]
    for file in files:
        file.write_text(file.name)
    patches = tuple(
        PatchRecord(name=file.name, sha256=hashlib.sha256(file.read_bytes()).hexdigest()) for file in files
    )
    command = "sha256sum *.patch | cut -c-64 | sha256sum | cut -c-64"
    expected = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    source = SourceRecord(spec="x", version="6.12", digest="", patches=patches)
    assert compute_patchset_hash(source) == expected.stdout.strip()
    assert (
        compute_patchset_hash(source.model_copy(update={"patches": patches[::-1]})) != expected.stdout.strip()
    )


def test_a_commit_is_told_with_where_it_comes_from() -> None:
    checkout = checked_out(
        SourceRecord(spec="/home/me/linux@HEAD", version="6.12", digest="", git=GIT), WHERE
    )
    assert checkout["git_commit_hash"] == COMMIT
    assert checkout["git_commit_name"] == "v6.12-3-g0123456789ab"
    assert checkout["git_repository_url"] == "https://git.example.org/linux.git"
    assert (checkout["tree_name"], checkout["git_repository_branch"]) == ("mainline", "master")
    assert checkout["patchset_hash"] == ""
    assert "/home/me" not in json.dumps(checkout)


def test_a_tree_with_changes_is_no_commit() -> None:
    dirty = GIT.model_copy(update={"dirty": True})
    checkout = checked_out(SourceRecord(spec="linux", version="6.12", digest="", git=dirty))
    assert not {"git_commit_hash", "git_commit_name", "patchset_hash"} & checkout.keys()
    assert "with changes that are not committed" in checkout["comment"]


@pytest.mark.parametrize("commit", ["", "HEAD", "f" * 64, COMMIT.upper(), COMMIT + "\n"])
def test_what_is_no_commit_of_gits_is_left_out(commit: str) -> None:
    source = SourceRecord(spec="x", version="6.12", digest="", git=GIT.model_copy(update={"commit": commit}))
    assert "git_commit_hash" not in checked_out(source)


@pytest.mark.parametrize("digest", ["", "b" * 63, "B" * 64, "b" * 64 + "\n"])
def test_of_a_patch_that_is_not_known_there_is_no_hash(digest: str) -> None:
    patches = (PatchRecord(name="a", sha256="a" * 64), PatchRecord(name="b", sha256=digest))
    assert "patchset_hash" not in checked_out(
        SourceRecord(spec="x", version="6.12", digest="", patches=patches)
    )


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=12))])
@pytest.mark.parametrize("year", [1, 1969, 2025, 2038, 9999])
def test_any_time_makes_a_valid_submission(zone: timezone, year: int) -> None:
    for moment in (datetime(year, 1, 1, tzinfo=zone), datetime(year, 12, 31, 23, 59, 59, tzinfo=zone)):
        run = a_run([a_cell(at_work=(1e18, 2e18))], started=moment, finished=moment)
        document = submit_run(run)
        assert 0 <= choose_issue_version(run) < 2**31
        assert "start_time" not in document["builds"][0]


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -float("inf"), -1.0])
def test_a_time_that_is_none_is_left_out(seconds: float) -> None:
    cell = a_cell()
    stages = tuple(stage.model_copy(update={"seconds": seconds}) for stage in cell.stages)
    assert "duration" not in built(a_cell(stages=stages, at_work=(seconds, seconds)))


# --- what is submitted before a run goes on


def stop_run(run: Run, state: State, **fields: Any) -> Run:
    """The run with every other cell in this state, as a machine or a user may stop it."""
    stopped = {"state": state, "stages": (), "diagnostics": (), "reason": "stopped", "at_work": None}
    stopped |= {"config_sha256": None, "resolves_to": None, "log": None}
    cells = tuple(
        cell.model_copy(update=stopped) if place % 2 else cell for place, cell in enumerate(run.cells)
    )
    return run.model_copy(update={"cells": cells} | fields)


def keep_first(*documents: Document) -> dict[str, dict[str, Any]]:
    """What KCIDB has after these submissions, by kind and id: of each property the first value."""
    kept: dict[str, dict[str, Any]] = {}
    for document in documents:
        for kind in ("checkouts", "builds", "issues", "incidents"):
            for item in document[kind]:
                key = f"{kind} {item['id']} {item.get('version')}"
                kept[key] = item | kept.get(key, {})
    return kept


@pytest.mark.parametrize("state", sorted(UNFINISHED_STATES))
@pytest.mark.parametrize(
    "fields",
    [{"interrupted": True}, {"finished": None}, {"interrupted": False}],
    ids=["interrupted", "killed", "faults"],
)
def test_a_run_that_goes_on_is_told_whole_in_the_end(state: State, fields: dict[str, Any]) -> None:
    pause = Pause(stopped=STARTED + timedelta(hours=1), resumed=STARTED + timedelta(hours=2))
    whole = the_story(pauses=(pause,), finished=STARTED + timedelta(hours=3))
    stopped = stop_run(whole, state, pauses=(), finished=STARTED + timedelta(hours=1))
    documents = [submit_run(run) for run in (stopped.model_copy(update=fields), whole)]
    kept = keep_first(*documents)
    for key, item in keep_first(documents[1]).items():
        assert item.items() <= kept[key].items()
    builds = [item for key, item in kept.items() if key.startswith("builds")]
    assert Counter(build["status"] for build in builds) == {"PASS": 96, "SKIP": 46, "FAIL": 2}


def test_a_run_that_was_stopped_with_all_of_its_cells_has_no_end_yet() -> None:
    [stopped] = submit_run(the_story(interrupted=True))["checkouts"]
    [whole] = submit_run(the_story())["checkouts"]
    assert "origin_builds_finish_time" not in stopped
    assert whole["origin_builds_finish_time"]


# --- ids


def ids_of(document: Document) -> dict[str, set[str]]:
    return {
        kind: {item["id"] for item in document[kind]}
        for kind in ("checkouts", "builds", "issues", "incidents")
    }


def test_a_run_has_the_same_ids_wherever_it_lies() -> None:
    stored = a_side(the_story())
    moved = replace(stored, directory=Path("/elsewhere"))
    assert render_run_kcidb(stored, ORIGIN) == render_run_kcidb(moved, ORIGIN)


def test_another_run_has_other_builds_and_the_same_issues() -> None:
    first = submit_run(the_story())
    later = submit_run(the_story(started=STARTED + timedelta(days=1)))
    one, other = ids_of(first), ids_of(later)
    assert one["issues"] == other["issues"]
    assert all(one[kind].isdisjoint(other[kind]) for kind in ("checkouts", "builds", "incidents"))
    assert first["issues"][0]["version"] + 86400 == later["issues"][0]["version"]


def test_another_origin_shares_nothing() -> None:
    one, other = (ids_of(submit_run(the_story(), origin)) for origin in (ORIGIN, NO_ORIGIN))
    assert all(one[kind].isdisjoint(other[kind]) for kind in one)


@pytest.mark.parametrize("toolchain", ["gcc-14", "clang-19"])
def test_one_compiler_alone_tells_of_the_same_issue(toolchain: str) -> None:
    for run in (the_story(), StoredRun.load(OLD_RUNS / "after").run):
        alone = run.model_copy(
            update={"cells": tuple(cell for cell in run.cells if cell.toolchain == toolchain)}
        )
        assert ids_of(submit_run(alone))["issues"] == ids_of(submit_run(run))["issues"]


def test_two_findings_with_the_same_keys_are_one_issue() -> None:
    [finding] = a_side(the_story()).findings.findings
    twin = finding.model_copy(update={"id": "F2"})
    assert len({issue.create_id(ORIGIN) for issue in list_issues([finding, twin], 1)}) == 1
    apart = twin.model_copy(update={"keys": (*finding.keys, "a b `its own line of source`")})
    assert len({issue.create_id(ORIGIN) for issue in list_issues([finding, apart], 1)}) == 2


def test_more_incidents_than_a_submission_has_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kcidb_issues, "KCIDB_INCIDENTS", 10)
    document = submit_run(the_story())
    assert [item["present"] for item in document["incidents"]] == [True] * 2 + [False] * 8
    assert document["checkouts"][0]["misc"]["kmatrix"]["incidents_left_out"] == 88


@pytest.mark.parametrize("limit", [1, 40, 150, 700])
def test_what_is_left_out_is_counted_as_if_it_were_listed(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    stored = a_large_side(128, 12)
    listed = submit_run(stored.run)["incidents"]
    monkeypatch.setattr(kcidb_issues, "KCIDB_INCIDENTS", limit)
    document = submit_run(stored.run)
    assert document["incidents"] == listed[:limit]
    told = document["checkouts"][0]["misc"]["kmatrix"].get("incidents_left_out", 0)
    assert told == max(0, len(listed) - limit)


def test_an_issue_of_two_findings_is_not_counted_as_absent_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = a_cell(), a_cell("x86")
    stored = a_side(a_run([first, second]))
    choice = kcidb_issues.IncidentChoice()
    issue = submitted_issue()
    monkeypatch.setattr(kcidb_issues, "KCIDB_INCIDENTS", 1)
    choice.add_all([kcidb_issues.Incident(issue, "build:1", is_present=True)])
    builds = {first.id: "build:1", second.id: "build:2"}
    cells = [cell.id for cell in stored.run.cells]
    by_build = {build: cell for cell, build in builds.items()}
    choice.add_absences([kcidb_issues.BuildsWithoutIssue(issue, cells, builds, by_build)])
    assert choice.left_out == 1


def submitted_issue() -> kcidb_issues.Issue:
    finding = a_side(the_story()).findings.findings[0]
    return kcidb_issues.Issue(finding, min(finding.own_keys), 1)


@dataclass(frozen=True)
class LargeSubmission:
    """What is sent of a run of ten thousand cells with a thousand findings, and the CPU seconds of it."""

    stored: StoredRun
    document: Document
    seconds: float


@pytest.fixture(scope="module")
def large() -> LargeSubmission:
    stored = a_large_side(10_000, 1_000)
    assert stored.findings.findings
    began = time.process_time()
    document = json.loads(render_run_kcidb(stored, ORIGIN))
    return LargeSubmission(stored, document, time.process_time() - began)


def test_a_thousand_findings_in_ten_thousand_cells_are_told_in_seconds(large: LargeSubmission) -> None:
    # A build for each cell and fifty thousand incidents take 8 seconds of one core; with an incident for
    # each of the millions of pairs it was 33.
    assert large.seconds < 24
    assert len(large.document["issues"]) == len(large.stored.findings.findings)
    assert large.document["checkouts"][0]["misc"]["kmatrix"]["incidents_left_out"] > 5_000_000


def test_ten_thousand_cells_are_one_submission(large: LargeSubmission) -> None:
    stored, document = large.stored, large.document
    # KCIDB's validator takes minutes for all of them.
    check_submission(
        {name: part[:500] if isinstance(part, list) else part for name, part in document.items()}
    )
    assert len(document["builds"]) == 10_000
    assert len(document["issues"]) == len(stored.findings.findings)
    assert len(document["incidents"]) == KCIDB_INCIDENTS
    shown = sum(item["present"] for item in document["incidents"])
    assert shown == sum(len(finding.cells) for finding in stored.findings.findings)
    assert document["checkouts"][0]["misc"]["kmatrix"]["incidents_left_out"] > 0


# --- verdicts


@pytest.mark.parametrize("case", [header_fix(), kconfig_fix()])
def test_a_fix_is_absent_from_the_builds_that_had_it(case: Case) -> None:
    document = submit_case(case)
    base, patched = document["checkouts"]
    assert patched["message_id"] == case.verdict.patches[0].mail.message_id  # type: ignore[union-attr]
    assert "message_id" not in base
    assert base["patchset_hash"] != patched["patchset_hash"]
    checkouts = {build["id"]: build["checkout_id"] for build in document["builds"]}
    failed = [item for item in document["incidents"] if item["present"]]
    assert {checkouts[item["build_id"]] for item in failed} == {base["id"]}
    cells = cells_of(document)
    after = {
        cells[item["build_id"]]
        for item in document["incidents"]
        if not item["present"] and checkouts[item["build_id"]] == patched["id"]
    }
    assert after == {cells[item["build_id"]] for item in failed}


@pytest.mark.parametrize("has_cover", [False, True])
def test_a_series_that_does_not_apply_is_not_what_was_built(has_cover: bool) -> None:
    case = header_fix()
    [told] = case.verdict.patches
    assert told.mail
    refused = told.model_copy(update={"name": "0002.patch", "refused": "hunk 1 of a.c does not apply"})
    patches = (told, refused, refused)
    cover = {"cover": told.mail} if has_cover else {}
    verdict = case.verdict.model_copy(update={"patches": patches} | cover)
    document = submit_case(replace(case, verdict=verdict))
    assert not any("message_id" in checkout for checkout in document["checkouts"])
    verdict = verdict.model_copy(update={"patches": (told,)})
    assert "message_id" in submit_case(replace(case, verdict=verdict))["checkouts"][1]


def test_a_run_and_a_verdict_on_it_share_no_incident() -> None:
    """Their issues have other versions, and of an incident that is in both only one could be kept."""
    run = broken_story()
    case = a_case(*two(run, turned(run, started=STARTED + timedelta(hours=1), id="after")))
    alone, compared = submit_run(run), submit_case(case)
    versions = {item["id"]: item["issue_version"] for item in alone["incidents"]}
    assert versions
    for item in compared["incidents"]:
        assert versions.get(item["id"], item["issue_version"]) == item["issue_version"]


def test_what_is_on_both_sides_is_one_issue() -> None:
    run = broken_story()
    case = a_case(*two(run, turned(run, started=STARTED + timedelta(hours=1), id="after")))
    document = submit_case(case)
    assert len(document["issues"]) == 1
    assert document["issues"][0]["version"] == int((STARTED + timedelta(hours=1)).timestamp())
    assert len([item for item in document["incidents"] if item["present"]]) == 4


def test_what_is_new_is_absent_from_the_builds_before() -> None:
    run = the_story()
    case = a_case(*two(turned(mended(run), id="before"), turned(run, id="after")))
    document = submit_case(case)
    base, patched = (checkout["id"] for checkout in document["checkouts"])
    checkouts = {build["id"]: build["checkout_id"] for build in document["builds"]}
    shown = {(item["present"], checkouts[item["build_id"]]) for item in document["incidents"]}
    assert shown == {(True, patched), (False, patched), (False, base)}
    before = [item for item in document["incidents"] if checkouts[item["build_id"]] == base]
    assert len(before) == 2


@pytest.mark.parametrize("state", [State.TIMEOUT, State.INFRA, State.UNREACHABLE, State.NOT_RUN, State.EMPTY])
def test_nothing_is_fixed_where_nothing_was_built(state: State) -> None:
    run = broken_story()
    lost = [cell for cell in run.cells if cell.state is State.FAIL]
    after = [cell.model_copy(update={"state": state, "diagnostics": (), "stages": ()}) for cell in lost]
    document = submit_case(a_case(*two(run, turned(run, *after, id="after"))))
    patched = document["checkouts"][1]["id"]
    checkouts = {build["id"]: build["checkout_id"] for build in document["builds"]}
    assert patched not in {checkouts[item["build_id"]] for item in document["incidents"]}


def test_nothing_is_fixed_where_another_error_may_hide_it() -> None:
    run = broken_story()
    failing = [cell for cell in run.cells if cell.state is State.FAIL]
    after = [cell.model_copy(update={"diagnostics": ()}) for cell in failing]
    nothing_made = {cell.id: () for cell in after}
    case = a_case(a_side(run), a_side(turned(run, *after, id="after"), nothing_made))
    document = submit_case(case)
    patched = document["checkouts"][1]["id"]
    checkouts = {build["id"]: build["checkout_id"] for build in document["builds"]}
    assert patched not in {checkouts[item["build_id"]] for item in document["incidents"]}


@pytest.mark.parametrize("state", [State.UNREACHABLE, State.EMPTY])
def test_what_is_new_was_not_absent_where_nothing_was_built(state: State) -> None:
    run = the_story()
    failing = [cell for cell in run.cells if cell.state is State.FAIL]
    before = [cell.model_copy(update={"state": state, "diagnostics": (), "stages": ()}) for cell in failing]
    document = submit_case(a_case(*two(turned(run, *before, id="before"), turned(run, id="after"))))
    base = document["checkouts"][0]["id"]
    checkouts = {build["id"]: build["checkout_id"] for build in document["builds"]}
    assert document["issues"]
    assert base not in {checkouts[item["build_id"]] for item in document["incidents"]}


def test_old_runs_compared_are_valid() -> None:
    before, after = (StoredRun.load(OLD_RUNS / side) for side in ("before", "after"))
    document = read_valid(render_verdict_kcidb(compare_runs(before, after), before, after, ORIGIN))
    assert len(document["issues"]) == 2


def test_a_verdict_of_other_runs_is_valid() -> None:
    """Its ids lead nowhere in these runs: a directory may be put together by hand."""
    case, empty = header_fix(), a_side(a_run())
    for before, after in (
        (empty, case.after),
        (case.before, empty),
        (empty, empty),
        (case.after, case.before),
    ):
        verdict: Verdict = case.verdict
        read_valid(render_verdict_kcidb(verdict, before, after, ORIGIN))


# --- foreign words


@pytest.mark.parametrize("words", [*LIVE, "\0", "a\0b", "\x1b[2J", "a\nb", "", " ", "ü", "😀", "\u202e"])
def test_foreign_words_make_a_valid_submission(words: str) -> None:
    read_valid(render_run_kcidb(keep_run(foreign_run(words)), WHERE))
    read_valid(render_verdict_kcidb(*foreign_verdict(words), WHERE))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MIXTURES)
def test_and_so_does_any_mixture(words: str) -> None:
    read_valid(render_run_kcidb(keep_run(foreign_run(words)), WHERE))
    read_valid(render_verdict_kcidb(*foreign_verdict(words), WHERE))


@pytest.mark.parametrize(
    "line",
    ["x" * 100_000, "😀" * 5000, "a\0" * 3000, "\ud800" * 600, "\x1b[31mred\x1b[0m" * 100, "\r" * 2000],
)
def test_a_logs_part_fits_whatever_it_says(line: str, tmp_path: Path) -> None:
    cell = a_cell(state=State.FAIL, diagnostics=[CLANG_ERROR])
    log = tmp_path / str(cell.log)
    log.parent.mkdir(parents=True)
    log.write_bytes("\n".join([line] * 60).encode("utf-8", "surrogatepass"))
    [build] = read_valid(render_run_kcidb(StoredRun(a_run([cell], [CLANG_ERROR]), tmp_path), ORIGIN))[
        "builds"
    ]
    assert 0 < len(build["log_excerpt"]) <= KCIDB_EXCERPT_LENGTH
    assert "\x1b" not in build["log_excerpt"]
