"""A lane's directory: kept where make itself sees what changed, dropped where it would not."""

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.builder.idle_lanes import empty_idle_lanes, list_idle_lanes, list_lanes
from matrix.builder.kbuild_objects import find_made_since
from matrix.builder.lane_dir import LaneDirectory, format_lane_key, open_lane, open_lane_copy
from matrix.cache_layout import CacheLayout
from matrix.errors import DiskFullError, MachineError
from matrix.foreign_files import ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.record.states import State
from matrix.source.cache import SourceCache
from matrix.source.kernel_tree import AppliedPatch, SourceTree
from matrix.source.snapshot import hash_tree, list_files
from tests.unit.test_foreign_trees import make_locked, make_odd_names, make_pipes_and_sockets, nest

LONG_AGO = 1_500_000_000
ME = f"{os.getuid()}:{os.getgid()}"
GOOD = {
    "Makefile": "VERSION = 6\n",
    "Kconfig": "source init/Kconfig\n",
    "init/Kconfig": "config A\n",
    "include/linux/vfio.h": "extern int f(void);\n",
    "virt/kvm/vfio.c": "int g;\n",
    "arch/x86/entry.S": "ret\n",
    "scripts/mod/modpost.c": "int main;\n",
    "scripts/Makefile.build": "obj :=\n",
    "scripts/setlocalversion": "#!/bin/sh\n",
    "tools/objtool/check.c": "int o;\n",
    "arch/x86/tools/relocs.h": "int r;\n",
    "arch/x86/entry/syscalls/syscall_64.tbl": "0 read\n",
    "kernel/bounds.c": "int b;\n",
}
KEPT = {"virt/kvm/vfio.o"}


class Trees:
    """A cache with small trees in it."""

    def __init__(self, root: Path) -> None:
        self.cache = SourceCache(CacheLayout(root))

    def __call__(self, changes: Mapping[str, str | None] | None = None) -> SourceTree:
        """GOOD with these changes (None: the file is gone), all of it long ago."""
        files = {name: text for name, text in (GOOD | dict(changes or {})).items() if text is not None}
        with self.cache.create_import_area() as area:
            for name, text in files.items():
                path = area / "tree" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
                os.utime(path, (LONG_AGO, LONG_AGO))
            manifest = hash_tree(area / "tree", list_files(area / "tree"))
            known = self.cache.store_tree(area, manifest, "6.12")
        return SourceTree(spec="test", path=known.path, version="6.12", digest=known.digest)


Open = Callable[[SourceTree], AbstractContextManager[LaneDirectory]]


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path / "cache")


@pytest.fixture
def lane(trees: Trees) -> Open:
    def opened(tree: SourceTree) -> AbstractContextManager[LaneDirectory]:
        return open_lane("x86-gcc-14-0123", tree, trees.cache, ME)

    return opened


def visit(lane: Open, tree: SourceTree) -> None:
    """Build something from this tree, as well as a container would, and remember a warning of it."""
    with lane(tree) as place:
        place.mark_busy()
        (place.build / "vfio.o").write_text("object")
        place.mark_idle()
        place.listed_objects = set(KEPT)
        place.save_state()


def kept(place: LaneDirectory) -> bool:
    """Whether what `visit` built is still there."""
    return (place.build / "vfio.o").exists()


# The same tree


def test_a_new_lane_is_empty_whole_and_knows_its_tree(lane: Open, trees: Trees) -> None:
    tree = trees()
    with lane(tree) as place:
        assert list(place.build.iterdir()) == []
        assert place.tree.digest == tree.digest
        assert place.listed_objects == set()
        assert not place.is_broken


def test_a_lane_is_kept_from_run_to_run_with_its_objects_and_their_warnings(lane: Open, trees: Trees) -> None:
    tree = trees()
    visit(lane, tree)
    with lane(tree) as place:
        assert kept(place)
        assert place.listed_objects == KEPT
    assert (tree.path / "virt/kvm/vfio.c").stat().st_mtime == LONG_AGO


def test_what_was_not_remembered_is_not_known_later(lane: Open, trees: Trees) -> None:
    with lane(trees()) as place:
        place.listed_objects = set(KEPT)
    with lane(trees()) as place:
        assert place.listed_objects == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_containers_user_owns_the_build_directory(trees: Trees) -> None:
    with open_lane("key", trees(), trees.cache, "1234:2345") as place:
        info = place.build.stat()
        assert (info.st_uid, info.st_gid) == (1234, 2345)


# Files from the future


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


# Another tree


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


# What cannot be trusted


def test_a_lane_whose_container_did_not_end_is_dropped(lane: Open, trees: Trees) -> None:
    tree = trees()
    visit(lane, tree)
    with suppress(KeyboardInterrupt), lane(tree) as place:
        place.mark_busy()
        raise KeyboardInterrupt
    with lane(tree) as place:
        assert not kept(place)
        assert place.listed_objects == set()
        assert not place.is_broken


def test_a_lane_is_broken_from_the_beginning_of_a_container_to_its_end(lane: Open, trees: Trees) -> None:
    with lane(trees()) as place:
        assert not place.is_broken
        place.mark_busy()
        assert place.is_broken
        place.mark_idle()
        assert not place.is_broken


def test_renewing_a_lane_makes_it_empty_and_whole_and_forgets_its_warnings(lane: Open, trees: Trees) -> None:
    visit(lane, trees())
    with lane(trees()) as place:
        place.mark_busy()
        place.reset_build()
        assert (kept(place), place.is_broken, place.listed_objects) == (False, False, set())
    with lane(trees()) as place:
        assert place.listed_objects == set()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"warnings": {}}', b"\xff\xfe", b'{"tree": 7}', b"\0" * 80]
)
def test_a_lane_with_a_damaged_memory_is_dropped(lane: Open, trees: Trees, content: bytes) -> None:
    visit(lane, trees())
    next((trees.cache.layout.lanes).glob("*/lane.json")).write_bytes(content)
    with lane(trees()) as place:
        assert not kept(place)


def test_a_lane_of_an_older_kmatrix_is_dropped(lane: Open, trees: Trees) -> None:
    """It counted on warnings on record there: what had warned would stand, and say nothing."""
    visit(lane, trees())
    file = next((trees.cache.layout.lanes).glob("*/lane.json"))
    state = json.loads(file.read_text())
    assert state.pop("schema_") == 2
    file.write_text(json.dumps({**state, "warnings": {}}))
    with lane(trees()) as place:
        assert not kept(place)


@pytest.mark.parametrize("boot", ["another", None])
def test_a_lane_that_was_used_before_the_machine_started_is_dropped(
    lane: Open, trees: Trees, boot: str | None
) -> None:
    """A power cut may have emptied its objects, and left their time stamps."""
    visit(lane, trees())
    with lane(trees()) as place:
        assert kept(place), "nobody has started it"
    file = next((trees.cache.layout.lanes).glob("*/lane.json"))
    state = json.loads(file.read_text())
    assert len(state.pop("boot")) == 36
    file.write_text(json.dumps(state if boot is None else {**state, "boot": boot}))
    with lane(trees()) as place:
        assert not kept(place)


@pytest.mark.parametrize("gone", ["lane.json", "build/vfio.o"])
def test_a_lane_that_lacks_its_memory_or_its_build_directory_is_new(
    lane: Open, trees: Trees, gone: str
) -> None:
    visit(lane, trees())
    root = next((trees.cache.layout.lanes).iterdir())
    (root / gone).unlink()
    with suppress(OSError):
        (root / "build").rmdir()
    with lane(trees()) as place:
        assert not kept(place)
        assert place.build.is_dir()
        assert place.listed_objects == set()


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


# Two at once


def test_a_second_holder_gets_a_twin_of_its_own(lane: Open, trees: Trees) -> None:
    tree = trees()
    visit(lane, tree)
    with lane(tree) as first, lane(tree) as second, lane(tree) as third:
        assert len({first.root, second.root, third.root}) == 3
        assert kept(first)
        assert not kept(second)
        (second.build / "only here").touch()
        assert not (first.build / "only here").exists()
    with lane(tree) as again:
        assert again.root == first.root


def test_a_lane_is_free_again_after_an_exception(lane: Open, trees: Trees) -> None:
    with suppress(ValueError), lane(trees()) as first:
        raise ValueError
    with lane(trees()) as second:
        assert second.root == first.root


# A copy that nobody else sees


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


@pytest.fixture
def copy(trees: Trees) -> Open:
    def opened(tree: SourceTree) -> AbstractContextManager[LaneDirectory]:
        return open_lane_copy("x86-gcc-14-0123", tree, trees.cache, ME)

    return opened


def patched_with(trees: Trees, text: str) -> SourceTree:
    return replace(
        trees({"include/linux/vfio.h": text}), patches=(AppliedPatch(name="fix.patch", sha256="0" * 64),)
    )


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


def test_what_warned_is_removed_and_nothing_outside_whatever_a_log_called_it(
    lane: Open, trees: Trees, tmp_path: Path
) -> None:
    victim = tmp_path / "victim.o"
    victim.touch()
    with lane(trees()) as place:
        for name in ("vfio.o", "other.o"):
            (place.build / name).touch()
        (place.build / "way").symlink_to(tmp_path)
        names = ("vfio.o", "gone.o", "../../../../victim.o", str(victim), "way/victim.o")
        assert (place.build / "../../../../victim.o").exists()
        place.remove_objects(names)
        assert sorted(path.name for path in place.build.iterdir()) == ["other.o", "way"]
        assert victim.exists()


def test_a_configuration_keeps_its_time_when_it_is_the_same(lane: Open, trees: Trees) -> None:
    with lane(trees()) as place:
        place.put_config("CONFIG_A=y\n")
        path = place.build / ".config"
        os.utime(path, (LONG_AGO, LONG_AGO))
        place.put_config("CONFIG_A=y\n")
        assert path.stat().st_mtime == LONG_AGO
        place.put_config("CONFIG_A=m\n")
        assert path.stat().st_mtime > LONG_AGO
        assert path.read_text() == "CONFIG_A=m\n"


# Keys

FIELDS = {"arch": "x86", "toolchain": "gcc-14", "base": "defconfig", "image": "sha256:1", "make": ""}


def test_a_key_is_readable_and_the_same_for_the_same_fields() -> None:
    assert format_lane_key(FIELDS).startswith("x86-gcc-14-")
    assert format_lane_key(FIELDS) == format_lane_key(dict(reversed(list(FIELDS.items()))))


@pytest.mark.parametrize("name", list(FIELDS))
def test_whatever_differs_has_another_key(name: str) -> None:
    assert format_lane_key(FIELDS) != format_lane_key(FIELDS | {name: "other"})


@pytest.mark.parametrize("toolchain", ["vendor/gcc", "../../gcc", "x" * 300])
def test_a_toolchain_of_any_name_has_a_directory_right_below_the_lanes(
    tmp_path: Path, toolchain: str
) -> None:
    place = tmp_path / format_lane_key(FIELDS | {"toolchain": toolchain})
    place.mkdir()
    assert place.resolve().parent == tmp_path.resolve()


# A full disk


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said_when_a_lane_is_remembered(
    lane: Open, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lane(trees()) as place:
        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(DiskFullError):
            place.save_state()


def test_a_full_disk_is_said_when_a_container_is_about_to_begin(
    lane: Open, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lane(trees()) as place:
        monkeypatch.setattr(Path, "touch", full_disk)
        with pytest.raises(DiskFullError):
            place.mark_busy()


def test_a_full_disk_is_said_when_a_lane_is_made(
    lane: Open, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = trees()
    monkeypatch.setattr(Path, "mkdir", full_disk)
    with pytest.raises(DiskFullError), lane(tree):
        pass


# What else may lie where a lane's own files belong


def replace_by(path: Path, kind: str) -> None:
    remove_tree(path)
    if kind == "directory":
        (path / "below").mkdir(parents=True)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "file":
        path.write_text("junk")
    else:
        path.symlink_to(
            {"link": "/etc", "loop": path.name, "endless": "/dev/zero", "nothing": "/no/such"}[kind]
        )


KINDS = ["directory", "pipe", "file", "link", "loop", "endless", "nothing"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lane.json", "busy", "build"])
def test_a_lane_with_something_else_in_its_place_is_made_anew(
    lane: Open, trees: Trees, name: str, kind: str
) -> None:
    visit(lane, trees())
    (root,) = trees.cache.layout.lanes.iterdir()
    if (name, kind) == ("build", "directory"):
        pytest.skip("a build directory is what belongs there")
    replace_by(root / name, kind)
    with lane(trees()) as place:
        assert not kept(place)
        place.mark_busy()
        place.put_config("CONFIG_A=y\n")
        place.finish_step(State.PASS)
        assert not place.is_broken
        assert (root / "build/.config").read_text() == "CONFIG_A=y\n"
        assert not (root / "build").is_symlink()
    assert sorted(path.name for path in root.iterdir()) == ["build", "lane.json", "lock"]


@pytest.mark.parametrize("kind", [*KINDS, "huge"])
def test_a_config_that_is_none_is_replaced(lane: Open, trees: Trees, kind: str) -> None:
    with lane(trees()) as place:
        path = place.build / ".config"
        if kind == "huge":
            path.touch()
            os.truncate(path, 2**40)
        else:
            replace_by(path, kind)
        place.put_config("CONFIG_A=y\n")
        assert (path.read_text(), path.is_symlink()) == ("CONFIG_A=y\n", False)


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 1000,
        b"[" * 100_000,
        b'{"tree":' * 50_000,
        b'{"tree": 1' + b"0" * 5000 + b"}",
        b"\xff",
        b"null",
        b"[]",
    ],
)
def test_a_lane_of_which_nothing_sensible_is_written_down_is_made_anew(
    lane: Open, trees: Trees, content: bytes
) -> None:
    visit(lane, trees())
    (root,) = trees.cache.layout.lanes.iterdir()
    (root / "lane.json").write_bytes(content)
    with lane(trees()) as place:
        assert not kept(place)


@pytest.mark.parametrize(
    "spoil", [make_locked, make_pipes_and_sockets, make_odd_names, lambda root: nest(root, 1500)]
)
def test_a_lane_with_a_strangers_tree_is_copied_or_made_anew(
    lane: Open, copy: Open, trees: Trees, spoil: Callable[[Path], None]
) -> None:
    visit(lane, trees())
    (root,) = trees.cache.layout.lanes.iterdir()
    spoil(root / "build")
    with copy(trees()) as place:
        place.put_config("CONFIG_A=y\n")
    with lane(trees()) as place:
        place.put_config("CONFIG_A=y\n")
        place.reset_build()
        assert list(place.build.iterdir()) == []
    assert [path.name for path in trees.cache.layout.lanes.iterdir()] == [root.name]


def test_what_a_step_left_is_looked_at_before_the_next(lane: Open, trees: Trees) -> None:
    with lane(trees()) as place:
        place.mark_busy()
        (place.build / "su").touch()
        (place.build / "su").chmod(0o4755)
        place.finish_step(State.PASS)
        assert (place.build / "su").stat().st_mode & 0o7777 == 0o755
        place.mark_busy()
        nest(place.build, 70)
        with pytest.raises(ForeignFileError, match="directories deep"):
            place.finish_step(State.PASS)
        assert place.is_broken


def test_a_lane_that_cannot_be_emptied_is_named(
    lane: Open, trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    with lane(trees()) as place:
        (place.build / "stuck").touch()
        monkeypatch.setattr(os, "unlink", refuse)
        with pytest.raises(MachineError, match="build/stuck cannot be removed: Operation not permitted"):
            place.reset_build()


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
