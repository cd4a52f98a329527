"""A lane's directory: made, kept, dropped when it cannot be trusted, held by one process alone."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from matrix.builder.lane_dir import format_lane_key, open_lane
from matrix.errors import DiskFullError
from tests.unit.builder.lane_places import KEPT, LONG_AGO, Open, Trees, kept, visit


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


# What a cell leaves


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
