"""Files from the future: what is found, by which clock, and what is left alone."""

import os
import time
from pathlib import Path

import pytest

from matrix.file_times import find_future_file, read_file_clock, touch_future_files
from matrix.foreign_files import ForeignFileError
from tests.fakes.small_tree import small_tree

DAY = 86400


@pytest.fixture
def build(tmp_path: Path) -> Path:
    (tmp_path / "build").mkdir()
    return tmp_path / "build"


def date(path: Path, seconds: float) -> None:
    moment = time.time() + seconds
    os.utime(path, (moment, moment), follow_symlinks=False)


def test_the_clock_is_now_and_leaves_nothing(tmp_path: Path) -> None:
    before = time.time()
    clock = read_file_clock(tmp_path)
    assert before - 1 < clock / 1e9 < time.time() + 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [0.1, 1, DAY, 100 * 365 * DAY])
def test_a_file_of_the_future_is_found_wherever_it_is(build: Path, seconds: float) -> None:
    path = build / "drivers/vfio/.group.o.cmd"
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_future_file(build) == ""
    date(path, seconds)
    assert find_future_file(build) == "drivers/vfio/.group.o.cmd"


@pytest.mark.parametrize("seconds", [-DAY, -100 * 365 * DAY])
def test_a_file_of_the_past_is_none_of_the_future(build: Path, seconds: float) -> None:
    (build / "a.o").touch()
    date(build / "a.o", seconds)
    assert find_future_file(build) == ""


@pytest.mark.parametrize("name", ["include", "source"])
def test_directories_and_links_have_times_as_well(build: Path, name: str) -> None:
    (build / "include").mkdir()
    (build / "source").symlink_to("nowhere")
    date(build / name, DAY)
    assert find_future_file(build) == name


def test_no_link_leads_to_another_directory(build: Path) -> None:
    late = build.parent / "outside/late"
    late.parent.mkdir()
    late.touch()
    date(late, DAY)
    (build / "link").symlink_to(late.parent)
    assert find_future_file(build) == ""


def test_what_cannot_be_looked_at_is_an_error(build: Path) -> None:
    with pytest.raises(ForeignFileError):
        find_future_file(build / "gone")


def test_what_is_newer_than_now_becomes_of_now_and_the_rest_keeps_its_time(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    date(tree / "Makefile", -DAY)
    for name in ("Kconfig", "scripts/include"):
        date(tree / name, DAY)
    touch_future_files(tree)
    for name in ("Kconfig", "scripts/include"):
        assert time.time() - 60 < (tree / name).lstat().st_mtime <= time.time()
    assert (tree / "Makefile").stat().st_mtime == pytest.approx(time.time() - DAY, abs=60)
