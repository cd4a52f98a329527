"""Copies of a lane, which nobody else sees: what a patch builds in."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from matrix.builder.idle_lanes import empty_idle_lanes, list_idle_lanes, list_lanes
from tests.unit.builder.lane_places import KEPT, Open, Trees, kept, patched_with, visit


def test_a_copy_that_a_killed_process_left_goes_with_the_idle_lanes(trees: Trees, copy: Open) -> None:
    lanes = trees.cache.layout.lanes
    with copy(trees()) as place:
        (place.build / "vfio.o").write_text("object")
        assert list_idle_lanes(lanes, time.time() + 1) == [], "it is at work"
    assert list(lanes.iterdir()) == []
    if not (child := os.fork()):
        with copy(trees()):
            os._exit(0)
    os.waitpid(child, 0)
    assert len(list_idle_lanes(lanes, time.time() + 1)) == 1
    empty_idle_lanes(lanes, time.time() + 1, lambda _: None)
    assert list_lanes(lanes) == []


def test_a_copy_has_the_lanes_objects_with_their_times_and_what_was_said_of_them(
    lane: Open, copy: Open, trees: Trees
) -> None:
    visit(lane, trees())
    with copy(trees()) as mine, lane(trees()) as place:
        assert mine.listed_objects == KEPT
        ours, theirs = (each.build / "vfio.o" for each in (mine, place))
        assert ours.read_text() == "object"
        assert ours.stat().st_mtime_ns == theirs.stat().st_mtime_ns
        assert ours.stat().st_ino != theirs.stat().st_ino


def test_a_copy_without_a_lane_is_empty_and_gone_at_the_end(copy: Open, trees: Trees) -> None:
    with copy(trees()) as mine:
        assert list(mine.build.iterdir()) == []
    with suppress(KeyboardInterrupt), copy(trees()):
        raise KeyboardInterrupt
    assert list((trees.cache.layout.lanes).iterdir()) == []


def test_two_copies_are_two(lane: Open, copy: Open, trees: Trees) -> None:
    visit(lane, trees())
    with copy(trees()) as one, copy(trees()) as other:
        assert one.root != other.root
        assert kept(one)
        assert kept(other)


def test_no_copy_is_made_of_a_lane_that_somebody_works_in_or_was_killed_in(
    lane: Open, copy: Open, trees: Trees
) -> None:
    visit(lane, trees())
    with lane(trees()) as place, copy(trees()) as mine:
        assert kept(place)
        assert not kept(mine)
    with lane(trees()) as place:
        place.mark_busy()
    with copy(trees()) as mine:
        assert not kept(mine)
        assert mine.listed_objects == set()


def test_a_copy_for_another_tree_is_as_careful_as_a_lane(lane: Open, copy: Open, trees: Trees) -> None:
    visit(lane, trees())
    started = time.time()
    changed = trees({"include/linux/vfio.h": "changed\n"})
    with copy(changed) as mine:
        assert kept(mine)
    assert (changed.path / "include/linux/vfio.h").stat().st_mtime > started - 1
    with copy(trees({"Makefile": "changed\n"})) as mine:
        assert not kept(mine)
    with lane(trees()) as place:
        assert place.tree.digest == trees().digest
        assert kept(place)


def test_a_copy_for_a_patched_tree_is_of_its_own_lane_or_else_of_its_bases(
    lane: Open, copy: Open, trees: Trees
) -> None:
    patched = patched_with(trees, "patched\n")
    visit(lane, trees())
    with copy(patched) as mine:
        assert kept(mine)
    with lane(patched) as place:
        (place.build / "by the patch").touch()
    with copy(patched) as mine:
        assert (mine.build / "by the patch").exists()
    with copy(trees()) as mine:
        assert not (mine.build / "by the patch").exists()


def test_half_a_copy_is_not_mixed_with_another(
    lane: Open, copy: Open, trees: Trees, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cp that fails after its first file: the patched lane's objects must not lie among the base's."""
    patched = patched_with(trees, "patched\n")
    visit(lane, trees())
    with lane(patched) as place:
        (place.build / "by the patch").touch()
    program = tmp_path / "bin" / "cp"
    program.parent.mkdir()
    failing = "case $* in */x86-gcc-14-0123-*/build*) exit 1;; esac"
    program.write_text(f'#!/bin/sh\n/bin/cp "$@"\n{failing}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    with copy(patched) as mine:
        assert kept(mine)
        assert not (mine.build / "by the patch").exists()
