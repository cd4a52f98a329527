"""What else may lie where a lane's own files belong."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import MachineError
from matrix.foreign_files import ForeignFileError
from matrix.foreign_trees import remove_tree
from matrix.record.states import State
from tests.unit.builder.lane_places import Open, Trees, kept, visit
from tests.unit.test_foreign_trees import make_locked, make_odd_names, make_pipes_and_sockets, nest


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
