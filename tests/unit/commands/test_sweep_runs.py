"""What a sweep does with runs: the dead are told of, what they left half-made goes, and the rest stays."""

import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.commands.kept_runs import describe_stopped_run, is_run_held, list_dead_runs
from matrix.commands.sweep import parse_age, sweep_leftovers
from matrix.engine.protocol import LABEL
from matrix.engine.step import label_writer, list_containers_of_others
from matrix.errors import MachineError, RequestError
from matrix.fs import lock_path
from matrix.record.run_directory import RunDirectory
from matrix.record.states import State
from tests.fakes.kernel import Job
from tests.unit.commands.resume_desk import ResumedDesk

HOUR, DAY = 60 * 60, 24 * 60 * 60


def sweep_runs(
    desk: ResumedDesk, runs_older: int | None = None, *, remove: bool = False
) -> list[tuple[str, str]]:
    found = sweep_leftovers(
        remove=remove, engine=desk.engine, cache=desk.world.cache, runs=desk.world.runs, runs_older=runs_older
    )
    return [(waste.kind, waste.name) for waste in found if waste.kind in {"run", "half-made", "container"}]


def age(path: Path, seconds: float) -> None:
    """Nothing was written to this for so long."""
    then = time.time() - seconds
    for name in (path, *path.rglob("*")):
        os.utime(name, (then, then), follow_symlinks=False)


def test_a_dead_run_is_told_of_with_what_goes_on_with_it_and_stays(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    (dead,) = list_dead_runs(desk.world.runs)
    name = directory.name
    assert describe_stopped_run(dead) == (
        f"{name} was stopped, with 2 of 6 cells finished; to go on: ./inv run --resume {name}"
    )
    age(directory, 100 * DAY)
    assert sweep_runs(desk, remove=True) == []
    assert "not-run" not in {cell.state for cell in desk.resume().cells}


def test_neither_an_ended_run_nor_one_at_work_is_dead(desk: ResumedDesk) -> None:
    desk.run()
    directory = desk.kill_after(2, fresh=["yes"])
    with (directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert is_run_held(directory)
        assert list(list_dead_runs(desk.world.runs)) == []
    assert [dead.directory for dead in list_dead_runs(desk.world.runs)] == [directory]


def test_what_a_dead_run_left_half_written_goes(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    left = [directory / ".run.json.abcdefgh", directory / "configs" / f".{'0' * 64}.x_34567y"]
    for path in left:
        path.write_text("half")
    whole = sorted(path for path in directory.rglob("*") if path not in left)
    assert sweep_runs(desk) == [("half-made", f"2 files of {directory.name}")]
    assert sweep_runs(desk, remove=True) == [("half-made", f"2 files of {directory.name}")]
    assert sorted(directory.rglob("*")) == whole


def test_what_was_left_half_written_in_a_whole_run_goes_after_an_hour(desk: ResumedDesk) -> None:
    """A report of it may be at work now, which takes no lock."""
    desk.run()
    left = [desk.directory / name for name in (".report.html.abcdefgh", ".findings.json.abcdefgh")]
    mine = desk.directory / ".mine.txt.abcdefgh"
    for path in (*left, mine):
        path.write_text("half")
    assert sweep_runs(desk, remove=True) == []
    for path in (*left, mine):
        age(path, 2 * HOUR)
    with (desk.directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert sweep_runs(desk, remove=True) == [], "it is at work"
    os.utime(left[1])
    assert sweep_runs(desk, remove=True) == [("half-made", f"1 files of {desk.directory.name}")]
    assert [path.exists() for path in (*left, mine)] == [False, True, True]


def test_what_was_left_half_written_in_a_verdict_goes_after_an_hour(desk: ResumedDesk) -> None:
    verdict = desk.world.runs / "night/20260101-000000-small-patch"
    desk.run(out=[str(verdict / "after")])
    (verdict / "patches").mkdir()
    names = (".request.json", "patches/.0001-fix.patch", "after/.verdict.json", "after/.mail.txt")
    left = [verdict / f"{name}.abcdefgh" for name in names]
    for path in (*left, verdict / "patches/0001-fix.patch", verdict / "patches/.lock"):
        path.write_text("half")
    whole = sorted(path for path in verdict.rglob("*") if path not in left)
    assert sweep_runs(desk, remove=True) == []
    age(verdict, 2 * HOUR)
    with (verdict / "patches/.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert sweep_runs(desk, remove=True) == [], "it is at work"
    name = str(verdict.relative_to(desk.world.runs))
    shown = [("half-made", f"2 files of {name}"), ("half-made", f"2 files of {name}/after")]
    assert sweep_runs(desk, remove=True) == shown
    assert sorted(verdict.rglob("*")) == whole


def test_a_directory_in_which_no_run_began_goes_after_an_hour(desk: ResumedDesk) -> None:
    begun, link = desk.world.runs / "20260101-000000-begun", desk.world.runs / ".latest.123"
    begun.mkdir(parents=True)
    (begun / "cells.jsonl").touch()
    link.symlink_to("nowhere")
    (desk.world.runs / "mine").mkdir()
    (desk.world.runs / "mine/letter.txt").write_text("mine")
    assert sweep_runs(desk, remove=True) == []
    age(desk.world.runs, 2 * HOUR)
    assert sweep_runs(desk, remove=True) == [("half-made", ".latest.123"), ("half-made", begun.name)]
    assert [path.name for path in desk.world.runs.iterdir()] == ["mine"]


def test_runs_go_when_they_are_old_and_that_is_asked_for(desk: ResumedDesk) -> None:
    old = desk.run()
    age(desk.directory, 31 * DAY)
    verdict = desk.world.runs / "20260101-000000-small-patch"
    desk.run(out=[str(verdict / "before")])
    age(verdict, 31 * DAY)
    desk.run(fresh=["yes"])
    new = desk.directory
    assert sweep_runs(desk, remove=True) == []
    shown = sweep_runs(desk, 30 * DAY)
    assert shown == [("run", old.id), ("run", verdict.name)]
    assert sweep_runs(desk, 30 * DAY, remove=True) == shown
    assert {path.name for path in desk.world.runs.iterdir()} == {new.name, "latest"}


def test_an_old_run_stays_while_it_goes_on(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    age(directory, 31 * DAY)
    with (directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        assert sweep_runs(desk, 30 * DAY) == []
    assert sweep_runs(desk, 30 * DAY) == [("run", directory.name)]


def test_a_folder_of_ones_own_stays_with_all_that_is_new_or_at_work_in_it(desk: ResumedDesk) -> None:
    night = desk.world.runs / "night"
    desk.run(out=[str(night / "old")])
    desk.run(fresh=["yes"], out=[str(night / "verdict/before")])
    for name in ("verdict/request.json", "notes.txt"):
        (night / name).write_text("{}")
    age(night, 40 * DAY)
    (night / "verdict/patches").mkdir()
    (night / "verdict/patches/.lock").touch()
    with (night / "verdict/patches/.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert sweep_runs(desk, 30 * DAY, remove=True) == [("run", "night/old")]
    assert {path.name for path in night.iterdir()} == {"verdict", "notes.txt"}
    assert sweep_runs(desk, 30 * DAY) == [("run", "night/verdict")]


def test_a_killed_run_is_as_old_as_its_journal(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    age(directory, 31 * DAY)
    os.utime(directory / "cells.jsonl")
    assert sweep_runs(desk, 30 * DAY) == []


def test_a_run_that_is_resumed_after_it_was_listed_stays(desk: ResumedDesk) -> None:
    directory = desk.kill_after(2)
    age(directory, 31 * DAY)
    leftovers = sweep_leftovers(
        engine=desk.engine, cache=desk.world.cache, runs=desk.world.runs, runs_older=30 * DAY
    )
    (old,) = (leftover for leftover in leftovers if leftover.kind == "run")
    with (directory / "cells.jsonl").open("a") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        with pytest.raises(MachineError, match="was written to meanwhile"):
            old.remove()
    assert directory.exists()


def test_a_directory_that_is_another_users_ends_no_sweep(
    desk: ResumedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = desk.world.runs / "20260101-000000-foreign"
    foreign.mkdir(parents=True)
    list_names = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        if path == foreign:
            raise PermissionError(13, "Permission denied")
        return list_names(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    age(foreign, 2 * HOUR)
    assert sweep_runs(desk, 30 * DAY) == []


def test_the_link_to_the_newest_goes_with_it(desk: ResumedDesk) -> None:
    desk.run()
    age(desk.directory, 31 * DAY)
    sweep_runs(desk, 30 * DAY, remove=True)
    assert list(desk.world.runs.iterdir()) == []


def test_containers_of_dead_runs_go_though_another_run_is_at_work(
    desk: ResumedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = RunDirectory.load(desk.kill_after(2)).unique_name
    running, removed = {"one": own, "two": "at-work"}, list[str]()
    monkeypatch.setattr(desk.engine, "list_containers", lambda label=LABEL: running if label == LABEL else {})
    monkeypatch.setattr(desk.engine, "remove_container", removed.append)
    assert desk.world.cache is not None
    with desk.world.cache.lock_shared():
        assert sweep_runs(desk, remove=True) == [("container", "one")]
    assert removed == ["one"]
    assert sweep_runs(desk) == [("container", "one"), ("container", "two")]


def test_what_looked_through_errors_for_a_killed_verdict_goes_though_another_run_is_at_work(
    desk: ResumedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that it was for has ended. It is known by its lane, which no process holds any more."""
    assert desk.world.cache is not None
    lanes = [desk.world.cache.layout.lanes / f"x86-gcc-14-copy-{name}" for name in ("dead", "held")]
    labels = {label_writer(lane / "build"): {lane.name: "look-run"} for lane in lanes}
    labels[LABEL] = {lane.name: "look-run" for lane in lanes} | {"other": "at-work"}
    removed: list[str] = []
    monkeypatch.setattr(desk.engine, "list_containers", lambda label=LABEL: labels.get(label, {}))
    monkeypatch.setattr(desk.engine, "remove_container", removed.append)
    for lane in lanes:
        lane.mkdir(parents=True)
        (lane / "lock").touch()
    with desk.world.cache.lock_shared(), lock_path(lanes[1] / "lock"):
        assert sweep_runs(desk) == [("container", lanes[0].name)]
        found = sweep_leftovers(engine=desk.engine, cache=desk.world.cache, runs=desk.world.runs)
        with lock_path(lanes[0] / "lock"):
            found[0].remove()
        assert removed == [], "another has taken the lane meanwhile"
        assert sweep_runs(desk, remove=True) == [("container", lanes[0].name)]
    assert removed == [lanes[0].name]


def test_the_containers_of_another_cache_stay(desk: ResumedDesk) -> None:
    """A run of the same user with another cache is at work: this cache's lock says nothing of it."""
    other = ResumedDesk(desk.place / "other")
    other.engine = desk.engine
    other.world = replace(other.world, engine=desk.engine)
    seen: list[list[tuple[str, str]]] = []

    def look(_: Job) -> None:
        seen.extend(sweep_runs(one, remove=True) for one in (desk, other))

    desk.kernel.before = look
    other.run(select=["MODULES=n,VFIO=y"])
    assert len(seen) >= 4, "the configure step and the build, swept by either"
    assert not any(seen)
    assert other.stored.run.cells[0].state is State.PASS


def test_what_a_killed_process_left_of_its_own_cache_goes(desk: ResumedDesk) -> None:
    names: list[str] = []

    def look(_: Job) -> None:
        (name,) = desk.engine.list_containers()
        assert desk.world.cache is not None
        root = desk.world.cache.layout.root
        others = [list_containers_of_others(desk.engine, path) for path in (root, desk.place)]
        assert others == [set(), {name}]
        names.append(name)

    desk.kernel.before = look
    desk.run(select=["MODULES=n,VFIO=y"])
    assert names


def test_an_age_is_a_duration() -> None:
    assert (parse_age(""), parse_age("30d")) == (None, 30 * DAY)
    with pytest.raises(RequestError, match="--runs-older: expected a duration"):
        parse_age("old")
    with pytest.raises(RequestError, match="30 has no unit"):
        parse_age("30")
