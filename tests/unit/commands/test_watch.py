"""A branch that is watched: what is built, what is not built twice, what goes on, what is told of."""

import fcntl
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.commands.compare import BaselineResult
from matrix.commands.watch import (
    Look,
    fetch_remote,
    repeat_looks,
)
from matrix.commands.watch_news import WATCH_MAIL_FILE, find_good_run, find_news
from matrix.commands.watch_request import hold_watch, parse_watch_request
from matrix.errors import EngineError, MachineError, RequestError
from matrix.exit_codes import ExitCode
from matrix.record.run_directory import load_run
from matrix.record.states import State
from matrix.side_failures import record_side_failure
from matrix.verdict.baseline import KnownIssues
from tests.fakes.host_git import git
from tests.fakes.kernel import Job, Symbol
from tests.unit.commands.run_desk import ERROR, VFIO, WARNING, always
from tests.unit.commands.watch_desk import WatchedDesk


@pytest.fixture
def desk(tmp_path: Path) -> WatchedDesk:
    return WatchedDesk(tmp_path)


# --- what is built


def test_a_commit_is_built_once(desk: WatchedDesk) -> None:
    first = desk.look()
    assert first.stored is not None
    assert first.is_new
    assert first.stored.run.source.git is not None
    assert first.stored.run.source.git.commit == git(desk.tree, "rev-parse", "HEAD")
    assert desk.look() == Look()
    assert desk.look() == Look()
    assert len(desk.runs()) == 1
    assert "was built" in desk.notes()[-1]


def test_a_new_commit_is_built_against_the_run_before(desk: WatchedDesk) -> None:
    desk.look()
    desk.commit("int second;\n")
    second = desk.look()
    assert second.baseline is not None
    assert second.baseline.baseline is not None
    assert second.baseline.baseline.directory == desk.runs()[0]
    assert load_run(desk.runs()[1]).baseline == str(desk.runs()[0])


def test_of_several_new_commits_only_the_newest_is_built(desk: WatchedDesk) -> None:
    desk.look()
    desk.commit("int second;\n")
    newest = desk.commit("int third;\n")
    desk.look()
    built = [load_run(path).source.git for path in desk.runs()]
    assert len(built) == 2
    assert built[1] is not None
    assert built[1].commit == newest


def test_a_branch_that_goes_back_is_not_built_again(desk: WatchedDesk) -> None:
    first = git(desk.tree, "rev-parse", "HEAD")
    desk.look()
    desk.commit("int second;\n")
    desk.look()
    git(desk.tree, "reset", "--quiet", "--hard", first)
    assert desk.look() == Look()
    assert len(desk.runs()) == 2


def test_another_profile_and_another_branch_have_runs_of_their_own(desk: WatchedDesk) -> None:
    desk.look()
    assert desk.look(desk.request(stage=["vmlinux"])).is_new
    git(desk.tree, "branch", "other")
    other = desk.look(desk.request(source=[f"{desk.tree}@other"]))
    assert other.is_new
    assert other.baseline is None  # what was found on master is not known here
    assert desk.look(desk.request(jobs=["1"])) == Look()  # no result depends on it


def test_the_place_that_it_is_watched_from_does_not_matter(
    desk: WatchedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.look()
    monkeypatch.chdir(desk.place)
    assert desk.look(desk.request(source=["tree@master"])) == Look()


# --- what was stopped goes on


def test_a_run_that_was_interrupted_goes_on(desk: WatchedDesk) -> None:
    desk.on_event = desk._stop_after(1, _interrupt)
    stopped = desk.look()
    assert stopped.stored is not None
    assert stopped.stored.run.interrupted
    desk.on_event = desk.events.append
    done = desk.look()
    assert done.stored is not None
    assert len(desk.runs()) == 1
    assert len(desk.built()) == 1
    assert [cell.state for cell in done.stored.run.cells] == [State.EMPTY, State.PASS]
    assert desk.look() == Look()


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_run_that_was_killed_goes_on(desk: WatchedDesk) -> None:
    desk.on_event = desk._stop_after(1, lambda: signal.raise_signal(signal.SIGKILL))
    assert desk.fork(desk.look) == signal.SIGKILL
    assert load_run(desk.runs()[0]).finished is None
    desk.on_event = desk.events.append
    assert desk.look().is_new
    assert desk.look() == Look()
    assert len(desk.runs()) == 1


def test_one_that_goes_on_keeps_its_baseline(desk: WatchedDesk) -> None:
    desk.look()
    desk.commit("int second;\n")
    desk.on_event = desk._stop_after(1, _interrupt)
    desk.look()
    desk.on_event = desk.events.append
    done = desk.look()
    assert done.baseline is not None
    assert done.baseline.baseline is not None
    assert done.baseline.baseline.directory == desk.runs()[0]


def test_one_whose_baseline_is_gone_goes_on_and_records_the_one_before(desk: WatchedDesk) -> None:
    desk.look()
    desk.commit("int second;\n")
    desk.look()
    desk.commit("int third;\n")
    desk.on_event = desk._stop_after(1, _interrupt)
    desk.look()
    desk.on_event = desk.events.append
    first, second, third = desk.runs()
    assert load_run(third).baseline == str(second)
    shutil.rmtree(second)
    done = desk.look()
    assert done.baseline is not None
    assert done.baseline.baseline is not None
    assert done.baseline.baseline.directory == first
    assert load_run(third).baseline == str(first)


def test_one_that_cannot_go_on_is_built_anew(desk: WatchedDesk) -> None:
    desk.on_event = desk._stop_after(1, _interrupt)
    desk.look()
    desk.on_event = desk.events.append
    file = desk.runs()[0] / "run.json"
    file.write_text(file.read_text().replace('"version": "0.', '"version": "9.', 1))
    assert desk.look().is_new
    assert len(desk.runs()) == 2
    assert any("kmatrix is 0." in note and "built again" in note for note in desk.notes())
    assert not any("which is new" in note for note in desk.notes()[-2:])
    assert desk.look() == Look()


def test_a_stopped_run_of_an_older_commit_is_left(desk: WatchedDesk) -> None:
    desk.on_event = desk._stop_after(1, _interrupt)
    desk.look()
    desk.on_event = desk.events.append
    desk.commit("int second;\n")
    newest = desk.look()
    assert newest.stored is not None
    assert newest.baseline is None  # a run that was stopped is no good one
    assert len(desk.runs()) == 2
    assert load_run(desk.runs()[0]).interrupted


def test_what_the_machine_left_out_is_tried_again_three_times(desk: WatchedDesk) -> None:
    desk.kernel.before = lambda job: _break(job) if "focus" in str(job.cell) or not job.configures else None
    request = desk.request(retries=["0"])
    done = [desk.look(request).is_new for _ in range(6)]
    assert done == [True, True, True, True, False, False]
    assert len(desk.runs()) == 1
    assert len(load_run(desk.runs()[0]).pauses) == 3


def _break(_: Job) -> int:
    raise EngineError("the engine is gone")


def test_what_a_deadline_left_out_is_not_tried_again(desk: WatchedDesk) -> None:
    seen = desk.look(desk.request(deadline=["1s"]))
    assert seen.stored is not None
    cells = [cell.model_copy(update={"state": State.NOT_RUN}) for cell in seen.stored.run.cells]
    left = seen.stored.run.model_copy(update={"cells": tuple(cells)})
    (desk.runs()[0] / "run.json").write_text(left.model_dump_json(by_alias=True, indent=1))
    assert desk.look(desk.request(deadline=["1s"])) == Look()


def test_a_run_that_another_process_writes_is_left_to_it(desk: WatchedDesk) -> None:
    seen = desk.look()
    assert seen.stored is not None
    with seen.stored.directory.joinpath("cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert desk.look() == Look()
        assert "is being built already" in desk.notes()[-1]


# --- the last good run


def test_a_good_run_may_have_failed(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.look()
    desk.commit("int second;\n")
    second = desk.look()
    assert second.baseline is not None
    assert desk.result is not None
    assert desk.result.exit_code is ExitCode.PASSED  # what was known before does not fail it


def test_a_good_run_is_one_with_results(desk: WatchedDesk) -> None:
    good = desk.look().stored
    desk.commit("int second;\n")
    desk.kernel.before = lambda job: None if job.configures else _break(job)
    desk.look(desk.request(retries=["0"]))
    request = desk.request(retries=["0"])
    found = find_good_run(request, desk.world.runs)
    assert good is not None
    assert found is not None
    assert found.directory == good.directory


def test_without_a_whole_run_the_one_with_most_results_is_good(desk: WatchedDesk) -> None:
    def strike(share: str) -> None:
        desk.kernel.before = lambda job: _break(job) if not job.configures and share in job.cell else None

    strike("VFIO=y")
    desk.look(desk.request(retries=["0"]))
    desk.commit("int second;\n")
    strike("")
    desk.look(desk.request(retries=["0"]))
    found = find_good_run(desk.request(mail_to=""), desk.world.runs)
    assert found is not None
    assert found.directory == desk.runs()[0]


# --- what is told


def test_only_what_is_new_or_fixed_is_told(desk: WatchedDesk) -> None:
    desk.look()
    assert desk.subjects() == []  # nothing is wrong
    desk.commit("int second;\n")
    desk.says(VFIO, always(ERROR))
    desk.look()
    assert desk.subjects() == ["1 new, 0 fixed, 0 lost, 0 known, 1 cell broken"]
    desk.commit("int third;\n")
    desk.look()
    desk.look()
    assert len(desk.subjects()) == 1  # it is known
    desk.commit("int fourth;\n")
    desk.says(VFIO, always())
    desk.look()
    assert len(desk.subjects()) == 2
    assert "0 new, 1 fixed" in desk.subjects()[1]
    desk.look()
    assert len(desk.subjects()) == 2


def test_a_cell_that_is_lost_is_told(desk: WatchedDesk) -> None:
    desk.look()
    desk.commit("int second;\n")
    desk.kernel.symbols = {**desk.kernel.symbols, "VFIO": Symbol(tristate=True, needs="MODULES")}
    text = (desk.tree / "Kconfig").read_text()
    (desk.tree / "Kconfig").write_text(text + "# another\n")
    desk.commit("int second;\n")
    desk.look()
    assert len(desk.subjects()) == 1
    assert "1 cell lost" in desk.subjects()[0]
    body = desk.read_mails()[0].get_payload()
    assert "lost:      x86/gcc-14/defconfig/VFIO=y" in str(body)


def test_all_that_a_first_run_finds_is_new(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(WARNING))
    desk.look()
    assert len(desk.subjects()) == 1
    assert "warning" in desk.subjects()[0]


def test_what_is_known_is_no_news(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    first = desk.look(hands_on=False).stored
    assert first is not None
    known = desk.place / "known.toml"
    keys = first.findings.findings[0].own_keys
    known.write_text(
        f'[it]\nkeys = {list(keys)}\nreason = "r"\nlink = "https://example.org/1"\nexpires = 2999-01-01\n'
    )
    desk.look(desk.request(known=str(known)))
    assert desk.subjects() == []
    assert desk.result is not None
    assert desk.result.exit_code is ExitCode.PASSED


def test_a_mail_that_did_not_get_through_is_handed_on_at_the_next_look(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    with pytest.raises(MachineError, match="false ended with 1"):
        desk.look(desk.request(mail_to="false"))
    again = desk.look()
    assert again.stored is not None
    assert not again.is_new
    assert len(desk.subjects()) == 1
    desk.look()
    assert len(desk.subjects()) == 1
    assert len(desk.runs()) == 1


def test_a_mail_is_not_lost_with_a_watch_that_is_killed_before_it(desk: WatchedDesk) -> None:
    desk.look()
    desk.commit("int second;\n")
    desk.says(VFIO, always(ERROR))
    desk.look(hands_on=False)  # and is killed
    desk.look()
    assert desk.subjects() == ["1 new, 0 fixed, 0 lost, 0 known, 1 cell broken"]


def test_a_mail_that_did_not_get_through_is_not_lost_when_the_branch_moves(desk: WatchedDesk) -> None:
    desk.look()
    desk.commit("int second;\n")
    desk.says(VFIO, always(ERROR))
    with pytest.raises(MachineError, match="false ended with 1"):
        desk.look(desk.request(mail_to="false"))
    desk.commit("int third;\n")
    third = desk.look()
    assert third.baseline is not None
    assert third.baseline.baseline is not None
    assert third.baseline.baseline.directory == desk.runs()[0]  # the last that was told
    assert desk.subjects() == ["1 new, 0 fixed, 0 lost, 0 known, 1 cell broken"]
    desk.commit("int fourth;\n")
    desk.look()
    assert len(desk.subjects()) == 1  # it is known


def test_a_mail_of_a_watch_that_was_killed_is_not_lost_when_the_branch_moves(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.look(hands_on=False)  # the first, and is killed
    desk.commit("int second;\n")
    desk.look(hands_on=False)
    desk.commit("int third;\n")
    assert desk.look().baseline is None
    assert desk.subjects() == ["1 of 2 cells failed, 1 finding"]


def test_what_a_run_found_that_was_to_go_on_is_not_lost_when_the_branch_moves(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.kernel.before = lambda job: None if job.configures or "VFIO=y" in job.cell else _break(job)
    assert not desk.look(desk.request(retries=["0"])).is_complete
    assert desk.subjects() == []
    desk.kernel.before = lambda _: None
    desk.commit("int second;\n")
    desk.look()
    assert desk.subjects() == ["1 of 2 cells failed, 1 finding"]


def test_a_run_that_goes_on_is_held_against_one_that_was_told(desk: WatchedDesk) -> None:
    silent = desk.request(mail_to="")
    desk.look(silent)
    desk.commit("int second;\n")
    desk.says(VFIO, always(ERROR))
    assert desk.look(silent).baseline is not None
    assert desk.look().baseline is None  # from now on somebody is told, and of none was


def test_a_run_that_is_not_complete_is_not_told_of_yet(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.on_event = desk._stop_after(2, _interrupt)
    desk.look()
    assert desk.subjects() == []
    assert not (desk.runs()[0] / WATCH_MAIL_FILE).exists()
    desk.on_event = desk.events.append
    desk.look()
    assert len(desk.subjects()) == 1


def test_nothing_is_written_without_a_mailbox(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    desk.look(desk.request(mail_to=""))
    assert not (desk.runs()[0] / WATCH_MAIL_FILE).exists()


def test_a_finding_without_a_baseline_is_news_unless_it_is_known(desk: WatchedDesk) -> None:
    desk.says(VFIO, always(ERROR))
    stored = desk.look(hands_on=False).stored
    assert stored is not None
    request, runs = desk.request(), desk.world.runs
    assert [*find_news(request, stored, None, runs)] == [None]
    result = BaselineResult(ExitCode.PASSED, _excusing(*(f.id for f in stored.findings.findings)))
    assert [*find_news(request, stored, result, runs)] == []


def _excusing(*ids: str) -> KnownIssues:
    return KnownIssues(dict.fromkeys(ids, "row"), {}, ())


# --- again and again


class _Clock:
    """What is waited for, and how often."""

    def __init__(self, looks: int) -> None:
        self.left = looks
        self.waited: list[float] = []
        self.told: list[str] = []

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def test_a_look_that_fails_does_not_end_the_watch(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(looks: Iterator[BaseException]) -> int:
        raise next(looks)

    failures = [
        EngineError("the engine is gone", "start it"),
        RequestError("DIR has no revision x"),
        OSError(28, "No space left on device"),
        MachineError("git fetch ended with 128"),
    ]
    clock, looks = _Clock(4), iter(failures)
    with pytest.raises(KeyboardInterrupt):
        repeat_looks(60, lambda: fail(looks), clock.told.append, clock.wait)
    said = capsys.readouterr().err
    assert all(
        word in said for word in ("engine is gone", "no revision x", "No space left", "ended with 128")
    )
    assert all(59 < seconds <= 60 for seconds in clock.waited)
    assert all(line.startswith("The next look is at ") for line in clock.told)


def test_what_fails_beside_a_look_is_told_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    def look() -> int:
        record_side_failure(MachineError("the mail was not handed on"))
        return 0

    with pytest.raises(KeyboardInterrupt):
        repeat_looks(60, look, print, _Clock(2).wait)
    assert capsys.readouterr().err.count("the mail was not handed on") == 2


def test_ctrl_c_in_a_build_ends_the_watch() -> None:
    assert repeat_looks(60, lambda: ExitCode.INTERRUPTED, print, _Clock(1).wait) == ExitCode.INTERRUPTED


def test_a_bug_ends_the_watch() -> None:
    with pytest.raises(ZeroDivisionError):
        repeat_looks(60, lambda: 1 // 0, print, _Clock(1).wait)


def test_after_a_long_build_the_next_look_begins_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, times = _Clock(1), iter([0.0, 7200.0])
    monkeypatch.setattr("matrix.commands.watch.time.monotonic", lambda: next(times))
    with pytest.raises(KeyboardInterrupt):
        repeat_looks(3600, lambda: 0, print, clock.wait)
    assert clock.waited == [0.0]


def test_two_watches_of_one_request_are_one_too_many(desk: WatchedDesk) -> None:
    request = desk.request()
    with (
        hold_watch(request, desk.world.runs),
        hold_watch(desk.request(stage=["vmlinux"]), desk.world.runs),
        pytest.raises(RequestError, match="is watched already"),
        hold_watch(desk.request(jobs=["1"]), desk.world.runs),
    ):
        pass
    with hold_watch(request, desk.world.runs):
        assert find_good_run(request, desk.world.runs) is None  # the lock is no run


# --- what git fetches


def test_a_remote_branch_is_fetched_first(desk: WatchedDesk) -> None:
    clone = desk.place / "clone"
    git(desk.place, "clone", "--quiet", str(desk.tree), str(clone))
    request = desk.request(source=[f"{clone}@origin/master"], fetch="origin")
    desk.look(request)
    newest = desk.commit("int second;\n")
    unfetched = desk.request(source=[f"{clone}@origin/master"])
    assert desk.look(unfetched) == Look()
    seen = desk.look(request)
    assert seen.stored is not None
    assert seen.stored.run.source.git is not None
    assert seen.stored.run.source.git.commit == newest


def test_what_cannot_be_fetched_is_a_fault_of_the_machine(desk: WatchedDesk) -> None:
    with pytest.raises(
        MachineError, match="could not be brought up to date: git ended with 128: fatal: 'nosuch' does not"
    ):
        fetch_remote(desk.request(fetch="nosuch"))


def test_the_name_of_a_remote_is_no_option_of_git(desk: WatchedDesk) -> None:
    with pytest.raises(RequestError, match="names no remote"):
        desk.request(fetch=f"--upload-pack=touch {desk.place}/owned")
    assert not (desk.place / "owned").exists()


@pytest.mark.parametrize("source", ["debian:linux-source-6.12", "tree"])
def test_only_a_branch_can_be_watched(
    desk: WatchedDesk, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(desk.place)
    with pytest.raises(RequestError, match="only a branch can be watched"):
        desk.request(source=[source])


def test_the_interval_is_a_duration(desk: WatchedDesk) -> None:
    profile = desk.request().profile
    for wrong in ("0", "often", "-1h", "9999d"):
        with pytest.raises(RequestError, match="--every: expected a duration"):
            parse_watch_request(profile, wrong, "", "", "")
    assert parse_watch_request(profile, "90s", "", "", "").seconds == 90
