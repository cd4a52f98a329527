"""Times of files in a lane: none from the future, and a moment for each beginning."""

import os
import time
from pathlib import Path

import pytest

from matrix.builder.kbuild_objects import find_made_since
from matrix.builder.lane_dir import open_lane_copy
from matrix.record.states import State
from tests.unit.builder.lane_places import LONG_AGO, ME, Open, Trees, kept, visit


def date_from_now(path: Path, seconds: float) -> None:
    moment = time.time() + seconds
    os.utime(path, (moment, moment), follow_symlinks=False)


@pytest.mark.parametrize("name", ["vfio.o", "drivers/.vfio.o.cmd", "include/config", "link"])
@pytest.mark.parametrize("seconds", [1, 86400, 200 * 365 * 86400])
def test_a_lane_with_files_from_the_future_is_dropped(
    lane: Open, trees: Trees, name: str, seconds: float
) -> None:
    tree = trees()
    visit(lane, tree)
    with lane(tree) as place:
        (place.build / "drivers").mkdir()
        (place.build / "drivers/.vfio.o.cmd").touch()
        (place.build / "include/config").mkdir(parents=True)
        (place.build / "link").symlink_to("nowhere")
        date_from_now(place.build / name, seconds)
    with lane(tree) as place:
        assert not kept(place)
        assert place.listed_objects == set()


@pytest.mark.parametrize("seconds", [0, -1, -86400, -200 * 365 * 86400])
def test_a_lane_with_files_from_any_past_is_kept(lane: Open, trees: Trees, seconds: float) -> None:
    tree = trees()
    visit(lane, tree)
    with lane(tree) as place:
        date_from_now(place.build / "vfio.o", seconds)
    with lane(tree) as place:
        assert kept(place)


def test_a_step_that_leaves_files_from_the_future_breaks_the_lane(lane: Open, trees: Trees) -> None:
    with lane(trees()) as place:
        for seconds, broken in ((0, False), (86400, True)):
            place.mark_busy()
            (place.build / "vfio.o").touch()
            date_from_now(place.build / "vfio.o", seconds)
            place.finish_step(State.PASS)
            assert place.is_broken is broken


def test_a_copy_of_a_lane_with_files_from_the_future_is_dropped_too(lane: Open, trees: Trees) -> None:
    tree = trees()
    visit(lane, tree)
    with lane(tree) as place:
        date_from_now(place.build / "vfio.o", 86400)
    with open_lane_copy("x86-gcc-14-0123", tree, trees.cache, ME) as place:
        assert not kept(place)


# The moment


def test_what_is_made_after_the_beginning_is_newer_than_its_moment(lane: Open, trees: Trees) -> None:
    visit(lane, trees())
    with lane(trees()) as place:
        os.utime(place.build / "vfio.o", (LONG_AGO, LONG_AGO))
        moment = place.mark_busy()
        (place.build / "new.o").write_text("object")
        assert find_made_since(place.build, ["vfio.o", "new.o"], moment) == {"new.o"}


def test_each_beginning_has_a_moment_of_its_own(lane: Open, trees: Trees) -> None:
    with lane(trees()) as place:
        first = place.mark_busy()
        time.sleep(0.02)
        assert place.mark_busy() > first
