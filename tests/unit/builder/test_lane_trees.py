"""A lane that is given another tree: kept where make itself sees what changed, dropped where it would not."""

import time
from dataclasses import replace

import pytest

from matrix.source.kernel_tree import AppliedPatch
from tests.unit.builder.lane_places import GOOD, KEPT, LONG_AGO, Open, Trees, kept, visit


@pytest.mark.parametrize(
    "name",
    [
        "include/linux/vfio.h",
        "virt/kvm/vfio.c",
        "arch/x86/entry.S",
        "init/Kconfig",
        "Kconfig",
        "kernel/bounds.c",
    ],
)
def test_a_changed_source_keeps_the_lane_and_becomes_newer_than_its_objects(
    lane: Open, trees: Trees, name: str
) -> None:
    good, other = trees(), trees({name: "changed, with an old time stamp\n"})
    visit(lane, good)
    started = time.time()
    with lane(other) as place:
        assert kept(place)
        assert place.tree.digest == other.digest
        assert place.listed_objects == KEPT
    assert (other.path / name).stat().st_mtime > started - 1


def test_only_what_differs_gets_a_fresh_time(lane: Open, trees: Trees) -> None:
    other = trees({"include/linux/vfio.h": "changed\n", "virt/kvm/vfio.c": "changed\n"})
    visit(lane, trees())
    with lane(other):
        pass
    fresh = {name for name in GOOD if (other.path / name).stat().st_mtime != LONG_AGO}
    assert fresh == {"include/linux/vfio.h", "virt/kvm/vfio.c"}


def test_the_way_back_to_the_first_tree_is_made_fresh_too(lane: Open, trees: Trees) -> None:
    good, other = trees(), trees({"include/linux/vfio.h": "changed\n"})
    visit(lane, good)
    visit(lane, other)
    started = time.time()
    with lane(good) as place:
        assert kept(place)
        assert place.tree.digest == good.digest
    assert (good.path / "include/linux/vfio.h").stat().st_mtime > started - 1


def test_a_lane_that_was_opened_for_a_tree_is_that_trees_even_if_nothing_was_built(
    lane: Open, trees: Trees
) -> None:
    good, other = trees(), trees({"include/linux/vfio.h": "changed\n"})
    visit(lane, good)
    with lane(other):
        pass
    with lane(other) as place:
        assert kept(place)
    assert (other.path / "include/linux/vfio.h").stat().st_mtime > LONG_AGO


def test_what_differed_between_two_trees_is_fresh_in_a_third_that_has_it_as_the_second_has(
    lane: Open, trees: Trees
) -> None:
    # An object that no cell needed since the first tree is still of it; the second tree's times do not help
    # in the third one's copy.
    other = {"include/linux/vfio.h": "changed\n"}
    third = trees({**other, "virt/kvm/vfio.c": "changed\n"})
    visit(lane, trees())
    visit(lane, trees(other))
    started = time.time()
    with lane(third) as place:
        assert kept(place)
        assert place.changed_files == ("include/linux/vfio.h", "virt/kvm/vfio.c")
    for name in ("include/linux/vfio.h", "virt/kvm/vfio.c"):
        assert (third.path / name).stat().st_mtime > started - 1


@pytest.mark.parametrize(
    "name",
    [
        "Makefile",
        "scripts/mod/modpost.c",
        "scripts/Makefile.build",
        "scripts/setlocalversion",
        "tools/objtool/check.c",
        "arch/x86/tools/relocs.h",
        "arch/x86/entry/syscalls/syscall_64.tbl",
    ],
)
def test_a_change_that_make_does_not_follow_drops_the_lane(lane: Open, trees: Trees, name: str) -> None:
    visit(lane, trees())
    other = trees({name: "changed\n"})
    with lane(other) as place:
        assert not kept(place)
        assert place.tree.digest == other.digest
        assert place.listed_objects == set()
    with lane(other) as place:
        assert place.listed_objects == set()


def test_documentation_that_appears_or_vanishes_keeps_the_lane(lane: Open, trees: Trees) -> None:
    visit(lane, trees({"Documentation/old.rst": "old\n"}))
    with lane(trees({"Documentation/new.rst": "new\n", "MAINTAINERS": "me\n"})) as place:
        assert kept(place)


def test_a_lane_knows_later_what_its_configurations_lists_named_and_forgets_it_with_them(
    lane: Open, trees: Trees
) -> None:
    with lane(trees()) as place:
        place.listed_objects |= {"virt/kvm/vfio.o", "a.o"}
        place.save_state()
    with lane(trees()) as place:
        assert place.listed_objects == {"virt/kvm/vfio.o", "a.o"}
        place.reset_build()
    with lane(trees()) as place:
        assert place.listed_objects == set()


def test_one_such_change_among_harmless_ones_drops_the_lane(lane: Open, trees: Trees) -> None:
    visit(lane, trees())
    with lane(trees({"include/linux/vfio.h": "changed\n", "Makefile": "changed\n"})) as place:
        assert not kept(place)


@pytest.mark.parametrize("name", ["include/linux/new.h", "arch/x86/new.c", "scripts/new.sh"])
def test_a_file_that_appeared_drops_the_lane(lane: Open, trees: Trees, name: str) -> None:
    # A new header can shadow one that an object was made from.
    visit(lane, trees())
    with lane(trees({name: "new\n"})) as place:
        assert not kept(place)


@pytest.mark.parametrize("name", ["include/linux/vfio.h", "virt/kvm/vfio.c", "scripts/setlocalversion"])
def test_a_file_that_vanished_drops_the_lane(lane: Open, trees: Trees, name: str) -> None:
    visit(lane, trees())
    with lane(trees({name: None})) as place:
        assert not kept(place)


def test_a_lane_of_a_tree_that_is_not_known_any_more_is_dropped(lane: Open, trees: Trees) -> None:
    good = trees()
    visit(lane, good)
    trees.cache.remove(good.digest)
    with lane(trees({"include/linux/vfio.h": "changed\n"})) as place:
        assert not kept(place)


def test_a_tree_that_was_fetched_again_with_old_times_is_not_taken_for_built(
    lane: Open, trees: Trees
) -> None:
    # The lane saw the changed header in a copy where it was fresh; in the new copy it is old again, and the
    # objects of the good tree, which nothing has rebuilt yet, would pass for its own.
    change = {"include/linux/vfio.h": "changed\n"}
    visit(lane, trees())
    with lane(trees(change)):
        pass
    trees.cache.remove(trees(change).digest)
    again = trees(change)
    with lane(again) as place:
        assert not kept(place) or (again.path / "include/linux/vfio.h").stat().st_mtime > LONG_AGO


def test_what_a_patch_built_is_never_seen_by_the_base_again(lane: Open, trees: Trees) -> None:
    base = trees()
    patched = replace(
        trees({"include/linux/vfio.h": "patched\n"}),
        patches=(AppliedPatch(name="fix.patch", sha256="0" * 64),),
    )
    visit(lane, patched)
    with lane(base) as place:
        assert not kept(place)


@pytest.mark.parametrize(
    "shell", ["config A\n\tdefault $(shell,touch vfio.o)\n", "config A\n\tdefault $(cc-option,-g)\n"]
)
@pytest.mark.parametrize("first", [True, False])
def test_a_kconfig_that_runs_commands_drops_the_lane(
    lane: Open, trees: Trees, shell: str, first: bool
) -> None:
    plain, running = trees(), trees({"init/Kconfig": shell})
    visit(lane, running if first else plain)
    with lane(plain if first else running) as place:
        assert not kept(place)


def test_a_kconfig_without_macros_keeps_the_lane(lane: Open, trees: Trees) -> None:
    visit(lane, trees())
    with lane(trees({"init/Kconfig": "config B\n"})) as place:
        assert kept(place)
