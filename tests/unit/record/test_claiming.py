"""A run's directory: named, claimed once, its owner's alone."""

import multiprocessing
import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from matrix.errors import DiskFullError, RequestError
from matrix.record.journal import claim_run_directory, create_run_directory, generate_run_id, link_latest_run
from tests.unit.record.written_runs import STARTED, full_disk, names


def test_a_run_id_sorts_by_time_and_says_what_it_was() -> None:
    assert generate_run_id("kvm-vfio", STARTED) == "20261122-093015-kvm-vfio"


@pytest.mark.parametrize("profile", ["my story", "KVM=y"])
def test_a_run_id_can_stand_in_a_containers_name(profile: str) -> None:
    # Containers are named kmatrix-<run>-<n>, and engines take no other characters.
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", generate_run_id(profile, STARTED))


def test_a_new_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    claim_run_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_an_empty_directory_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    claim_run_directory(tmp_path / "out")


@pytest.mark.parametrize("name", ["run.json", "cells.jsonl", "letter.txt", ".hidden"])
def test_a_directory_in_use_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RequestError, match="in use") as caught:
        claim_run_directory(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code == 1
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_directory_is_claimed_once(tmp_path: Path) -> None:
    claim_run_directory(tmp_path / "out")
    with pytest.raises(RequestError, match="in use"):
        claim_run_directory(tmp_path / "out")


def test_of_many_claims_at_once_one_wins(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def attempt(place: Path) -> bool:
        together.wait()
        try:
            claim_run_directory(place)
        except RequestError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            assert sum(pool.map(attempt, [tmp_path / f"{number}"] * 8)) == 1


def test_of_two_who_both_saw_the_directory_empty_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    claim_run_directory(tmp_path / "out")
    with pytest.raises(RequestError, match="in use"):
        claim_run_directory(tmp_path / "out")


def test_out_that_is_a_file_or_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RequestError, match="file"):
            claim_run_directory(place)
    assert (tmp_path / "file").read_text() == "mine"


def test_out_that_is_too_long_for_a_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        claim_run_directory(tmp_path / ("x" * 300))


def test_claiming_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", full_disk)
    with pytest.raises(DiskFullError):
        claim_run_directory(tmp_path / "out")


def _create_when_told(runs: Path, told: Barrier, made: "Queue[str]") -> None:
    for second in range(50):
        told.wait(60)
        made.put(create_run_directory(runs, f"20261125-1742{second:02}-quick").name)


def test_three_processes_in_one_second_have_a_directory_each(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told, made = context.Barrier(3), context.Queue()
    arguments = (tmp_path / "runs", told, made)
    processes = [context.Process(target=_create_when_told, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    names_made = [made.get(timeout=60) for _ in range(150)]
    for process in processes:
        process.join(60)
    expected = (f"20261125-1742{second:02}-quick{end}" for second in range(50) for end in ("", ".2", ".3"))
    assert sorted(names_made) == sorted(expected)


def test_a_name_that_anything_has_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("mine")
    (tmp_path / "name.2").symlink_to("nowhere")
    assert create_run_directory(tmp_path, "name").name == "name.3"


def test_where_no_directory_can_be_made_the_request_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for runs in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RequestError, match="no run can be kept in") as caught:
            create_run_directory(runs, "name")
        assert "--out" in caught.value.hint


def test_latest_points_to_the_newest_run_and_survives_a_move_of_the_whole(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("one", "two"):
        claim_run_directory(runs / name)
        link_latest_run(runs / name)
    assert sorted(path.name for path in runs.iterdir()) == ["latest", "one", "two"]
    runs.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "latest").resolve() == tmp_path / "moved" / "two"


def test_a_runs_directory_is_its_owners_alone(tmp_path: Path) -> None:
    directory = create_run_directory(tmp_path / "runs", "a-run")
    claim_run_directory(tmp_path / "new/out")
    made = (tmp_path / "runs", directory, tmp_path / "new", tmp_path / "new/out")
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


def test_a_directory_that_was_made_for_a_run_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o755)
    claim_run_directory(tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755
