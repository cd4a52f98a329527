"""Files from the future: what is found, by which clock, and what is left alone."""

import os
import time
from pathlib import Path

import pytest

from matrix.file_times import has_future_files, list_newer_files, read_file_clock

DAY = 86400


def date(path: Path, seconds: float) -> None:
    moment = time.time() + seconds
    os.utime(path, (moment, moment), follow_symlinks=False)


def test_the_clock_is_now_and_leaves_nothing(tmp_path: Path) -> None:
    before = time.time()
    clock = read_file_clock(tmp_path)
    assert before - 1 < clock / 1e9 < time.time() + 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.1, 1, DAY, 100 * 365 * DAY])
def test_a_file_of_the_future_is_found_wherever_it_is(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "drivers/vfio/.group.o.cmd"
    path.parent.mkdir(parents=True)
    path.touch()
    assert not has_future_files(tmp_path, read_file_clock(tmp_path))
    date(path, seconds)
    assert has_future_files(tmp_path, read_file_clock(tmp_path))


@pytest.mark.parametrize("seconds", [-DAY, -100 * 365 * DAY])
def test_a_file_of_the_past_is_none_of_the_future(tmp_path: Path, seconds: float) -> None:
    (tmp_path / "a.o").touch()
    date(tmp_path / "a.o", seconds)
    assert not has_future_files(tmp_path, read_file_clock(tmp_path))


def test_directories_and_links_have_times_as_well(tmp_path: Path) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "source").symlink_to("nowhere")
    moment = read_file_clock(tmp_path)
    for name in ("include", "source"):
        date(tmp_path / name, DAY)
    assert {*list_newer_files(tmp_path, moment)} == {f"{tmp_path}/include", f"{tmp_path}/source"}


def test_no_link_leads_to_another_directory(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/late").touch()
    date(tmp_path / "outside/late", DAY)
    (tmp_path / "build").mkdir()
    (tmp_path / "build/link").symlink_to(tmp_path / "outside")
    assert not has_future_files(tmp_path / "build", read_file_clock(tmp_path))


def test_what_cannot_be_looked_at_counts_as_of_the_future(tmp_path: Path) -> None:
    assert has_future_files(tmp_path / "gone", read_file_clock(tmp_path))
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        # Deeper than any path may be long.
        below = here
        for _ in range(30):
            os.mkdir("d" * 200, dir_fd=below)
            next_one = os.open("d" * 200, os.O_RDONLY, dir_fd=below)
            if below != here:
                os.close(below)
            below = next_one
        os.close(below)
    finally:
        os.close(here)
    assert has_future_files(tmp_path, read_file_clock(tmp_path))
