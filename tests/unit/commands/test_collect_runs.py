"""Which runs a history is made of."""

import shutil
from pathlib import Path

import pytest

from matrix.commands.collect_runs import NEWEST_RUNS, collect_history
from matrix.errors import RequestError

OLD = Path(__file__).parents[2] / "old_run"


def put(runs: Path, *names: str) -> None:
    for name in names:
        shutil.copytree(OLD / "after", runs / name, ignore=shutil.ignore_patterns("golden"))


def directories(names: list[str], runs: Path) -> list[str]:
    return sorted(stored.directory.name for stored in collect_history(names, runs).runs)


def test_without_names_those_that_can_be_read_are_taken(tmp_path: Path) -> None:
    put(tmp_path, "1-a", "2-b", "3-verdict/after")
    (tmp_path / "4-damaged").mkdir()
    (tmp_path / "4-damaged" / "run.json").write_text("{")
    (tmp_path / "latest").symlink_to("2-b")
    assert directories([], tmp_path) == ["1-a", "2-b"]


def test_of_very_many_the_newest(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number:03}" for number in range(NEWEST_RUNS + 2)))
    taken = directories([], tmp_path)
    assert (len(taken), taken[0]) == (NEWEST_RUNS, "002")


def test_runs_are_named_by_directory_or_below_the_folder(tmp_path: Path) -> None:
    put(tmp_path, "1-a", "2-b")
    assert directories(["2-b", str(OLD / "before")], tmp_path) == ["2-b", "before"]


def test_a_run_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no run 'nosuch'"):
        collect_history(["nosuch"], tmp_path)


def test_no_run_at_all_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no run in") as caught:
        collect_history([], tmp_path / "runs")
    assert "./inv run" in str(caught.value.hint)
