"""A prompt in a cell's container: what is there, what it costs, and that nothing of it stays."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.commands.shell import MAKE_VARIABLE, open_cell_shell
from matrix.commands.sweep import sweep_leftovers
from matrix.engine.images import ImageRecipe
from matrix.engine.protocol import ContainerSpec, LineCallback
from matrix.errors import EngineError, RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.events import ProgressNote
from matrix.record.run_directory import load_run
from matrix.record.run_model import Run
from matrix.record.states import State
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import CELL, VFIO, WARNING, Desk, always, applying

BOTH = f"{CELL}MODULES=n,VFIO=y"
MODULE = f"{CELL}MODULES=y,VFIO=m"
Visit = Callable[[ContainerSpec, Path], int | None]
"""What somebody does in the container, whose build directory is given; an exit code that is not 0."""


def nothing(_container: ContainerSpec, _build: Path) -> None:
    """Look around, and leave."""


class Visitor:
    """Somebody who opens shells in the cells of a desk's runs. ``containers`` are those that were entered."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.containers: list[ContainerSpec] = []

    def enter(self, cell: str, visit: Visit = nothing, run: Run | None = None, command: str = "") -> int:
        """Do something in a cell's container; the exit code."""
        desk, directory = self.desk, self.desk.directory

        def play(container: ContainerSpec, _say: LineCallback) -> int:
            self.containers.append(container)
            [build] = [mount.host for mount in container.mounts if mount.path == "/build"]
            return visit(container, build) or 0

        desk.events.clear()
        with _playing(desk, play):
            stored = StoredRun(run or load_run(directory), directory)
            with open_cell_shell(stored, cell, desk.on_event, desk.world) as room:
                return room.run_shell(command)

    def notes(self) -> str:
        """What was told before the last one."""
        return "\n".join(event.text for event in self.desk.events if isinstance(event, ProgressNote))


@contextmanager
def _playing(desk: Desk, handler: Callable[[ContainerSpec, LineCallback], int]) -> Iterator[None]:
    """What has the command of a shell is played by ``handler``, all else by the desk's kernel."""
    kernel = desk.kernel

    def play(container: ContainerSpec, say: LineCallback) -> object:
        return handler(container, say) if MAKE_VARIABLE in container.env else kernel(container, say)

    desk.engine.handler = play  # type: ignore[assignment]
    try:
        yield
    finally:
        desk.engine.handler = kernel


@pytest.fixture
def visitor(desk: Desk) -> Visitor:
    return Visitor(desk)


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below, with its content and its time."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


# Where one is


def test_the_container_is_that_of_a_build_step_but_for_its_command_and_its_time(
    desk: Desk, visitor: Visitor
) -> None:
    desk.run(memory=["3G"], make=["KCFLAGS=-g -O1"])
    step = next(job.container for job in desk.kernel.ran(configures=False) if job.cell == BOTH)
    visitor.enter(BOTH)
    [container] = visitor.containers
    assert container.env.items() >= step.env.items()
    assert container.labels["kmatrix.cell"] == BOTH
    assert container.mounts[0] == step.mounts[0]
    assert [(m.path, m.read_only) for m in container.mounts] == [("/src", True), ("/build", False)]
    assert (container.limits.seconds, container.limits.lifetime) == (None, 24 * 60 * 60)
    same = {name: getattr(step, name) for name in ("name", "command", "env", "labels", "mounts")}
    limits = replace(container.limits, seconds=step.limits.seconds, lifetime=step.limits.lifetime)
    assert replace(container, **same, limits=limits) == step


def test_the_build_directory_has_the_cells_configuration_whatever_the_lane_saw_last(
    desk: Desk, visitor: Visitor
) -> None:
    done = desk.run()
    for cell in done.cells:
        if cell.state is not State.UNREACHABLE:
            kept = (desk.directory / "configs" / str(cell.config_sha256)).read_text()

            def look(_: ContainerSpec, build: Path, kept: str = kept) -> None:
                assert (build / ".config").read_text() == kept

            visitor.enter(cell.id, look)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_configuration_is_the_containers_user_to_edit(desk: Desk, visitor: Visitor) -> None:
    desk.run()

    def look(container: ContainerSpec, build: Path) -> None:
        assert (build / ".config").stat().st_uid == int(container.user.split(":")[0])

    visitor.enter(MODULE, look)


def test_it_starts_with_what_the_lane_has_built(desk: Desk, visitor: Visitor) -> None:
    desk.run()

    def look(_: ContainerSpec, build: Path) -> None:
        assert (build / VFIO).exists()

    visitor.enter(BOTH, look)


def test_what_warned_is_made_again_there_so_that_it_warns_again(desk: Desk, visitor: Visitor) -> None:
    desk.says(VFIO, always(WARNING))
    desk.run(select=["MODULES=n,VFIO=y"])

    def look(_: ContainerSpec, build: Path) -> None:
        assert not (build / VFIO).exists()

    visitor.enter(BOTH, look)
    desk.forget_results()
    desk.run(select=["MODULES=n,VFIO=y"])
    assert [job for job in desk.kernel.jobs if job.targets == (VFIO,)] == []
    assert [cell.state for cell in load_run(desk.directory).cells] == [State.WARN]
    assert load_run(desk.directory).cells[0].stages[-1].compiled == 0


def test_the_command_that_decided_the_cell_is_at_hand(desk: Desk, visitor: Visitor) -> None:
    desk.says(VFIO, always("/src/drivers/vfio/vfio.c:7:5: error: 'x' undeclared"))
    done = desk.run(stage=["vmlinux"])
    visitor.enter(BOTH)
    failed = next(cell for cell in done.cells if cell.id == BOTH)
    assert [stage.name for stage in failed.stages] == ["configure", "focus", "vmlinux"]
    assert visitor.containers[-1].env[MAKE_VARIABLE] == failed.stages[1].command


def test_of_a_cell_that_passed_it_is_the_last_one_that_proved_something(desk: Desk, visitor: Visitor) -> None:
    done = desk.run(stage=["modules"])
    passed = next(cell for cell in done.cells if cell.id == BOTH)
    assert [stage.state.value for stage in passed.stages] == ["pass", "pass", "pass", "empty"]
    visitor.enter(BOTH)
    assert visitor.containers[-1].env[MAKE_VARIABLE] == passed.stages[2].command


def test_of_a_cell_that_was_never_built_it_is_the_one_that_would_have_been(
    desk: Desk, visitor: Visitor
) -> None:
    def break_(job: Job) -> int | None:
        if not job.configures:
            raise EngineError("gone")
        return None

    desk.kernel.before = break_
    done = desk.run(fail_fast=["yes"], deadline=["1s"])
    assert {cell.state for cell in done.cells} <= {State.INFRA, State.UNREACHABLE, State.NOT_RUN}
    bare = done.cells[2].model_copy(update={"stages": done.cells[2].stages[:1]})
    visitor.enter(bare.id, run=done.model_copy(update={"cells": (bare,)}))
    command = visitor.containers[-1].env[MAKE_VARIABLE]
    assert command.startswith("make -C /src O=/build -k -j2 ")
    assert command.endswith(f"{bare.make} drivers/vfio/")


@pytest.mark.parametrize(("command", "words"), [("", ()), ("make -k; exit 3", ("-c", "make -k; exit 3"))])
def test_a_command_is_the_shells_own(
    desk: Desk, visitor: Visitor, command: str, words: tuple[str, ...]
) -> None:
    desk.run()
    assert visitor.enter(BOTH, lambda *_: 3, command=command) == 3
    assert visitor.containers[-1].command[4:] == words


# What stays


def test_nothing_that_is_done_there_reaches_the_lanes(desk: Desk, visitor: Visitor) -> None:
    desk.says(VFIO, always(WARNING))
    desk.run()
    before = everything(desk.place / "cache/lanes")

    def spoil(_: ContainerSpec, build: Path) -> None:
        for path in [path for path in build.rglob("*") if path.is_file()]:
            path.write_text("spoilt")
        (build / "new.o").touch()
        shutil.rmtree(build / "drivers")

    visitor.enter(BOTH, spoil)
    assert everything(desk.place / "cache/lanes") == before


def test_the_copy_is_gone_however_it_ends(desk: Desk, visitor: Visitor) -> None:
    desk.run()
    lanes = desk.lanes()

    def die(_: ContainerSpec, build: Path) -> int:
        assert build.parent.name not in lanes
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        visitor.enter(BOTH, die)
    assert desk.lanes() == lanes


def test_a_sweep_leaves_it_alone_while_somebody_is_in_and_takes_what_a_killed_one_left(
    desk: Desk, visitor: Visitor
) -> None:
    desk.run()
    found: list[str] = []

    def look(_: ContainerSpec, build: Path) -> None:
        shutil.copytree(build.parent, build.parent.with_name("killed"))
        found.extend(waste.kind for waste in sweep_leftovers(engine=desk.engine, cache=desk.world.cache))

    visitor.enter(BOTH, look)
    assert not {"lane", "container", "source"} & set(found)
    assert "killed" in [waste.name for waste in sweep_leftovers(engine=desk.engine, cache=desk.world.cache)]


# The very tree


def test_a_lane_that_went_on_to_another_tree_does_not_fool_make(desk: Desk, visitor: Visitor) -> None:
    """The lane's objects are of the newer tree; by time stamps alone they would pass for this one's."""
    first = desk.run()
    source = desk.tree / "drivers/vfio/vfio.c"
    source.write_text("int other;\n")
    os.utime(source, (10**9, 10**9))
    directory = desk.directory
    desk.run()
    desk.directory = directory
    fresh: list[bool] = []

    def look(container: ContainerSpec, build: Path) -> None:
        mine = container.mounts[0].host / "drivers/vfio/vfio.c"
        assert mine.read_text() == "int vfio;\n"
        fresh.append(mine.stat().st_mtime_ns > (build / VFIO).stat().st_mtime_ns)

    visitor.enter(BOTH, look, run=first)
    assert fresh == [True]


def test_a_patched_runs_shell_starts_from_the_patched_lane(desk: Desk, visitor: Visitor) -> None:
    desk.run(select=["VFIO=y"])
    patch = desk.place / "fix.patch"
    patch.write_text(
        "--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n+int v;\n"
    )
    desk.kernel.applies = applying
    desk.run(select=["VFIO=y"], patch=[str(patch)])
    (desk.build_directory() / "by the patch").touch()

    def look(container: ContainerSpec, build: Path) -> None:
        assert (container.mounts[0].host / "drivers/vfio/vfio.c").read_text() == "int v;\n"
        assert (build / "by the patch").exists()

    visitor.enter(BOTH, look)


def _forget_sources(desk: Desk) -> None:
    cache = desk.world.cache
    assert cache is not None
    for tree in cache.list_trees():
        cache.remove(tree.digest)


# The very image


def test_an_image_that_was_tagged_anew_is_still_the_recorded_one(desk: Desk, visitor: Visitor) -> None:
    done = desk.run()
    recorded = done.toolchains["gcc-14"]
    desk.engine.tag_image(recorded.image, "somewhere:else")
    desk.engine.tag_image("mine:1", recorded.image)
    visitor.enter(BOTH)
    assert visitor.containers[-1].image == recorded.image_id
    assert visitor.notes() == ""


def test_an_image_that_is_gone_is_built_anew_and_that_is_said(desk: Desk, visitor: Visitor) -> None:
    done = desk.run()
    recorded = done.toolchains["gcc-14"]
    desk.engine.remove_image(recorded.image)

    def look(_: ContainerSpec, build: Path) -> None:
        assert not (build / VFIO).exists(), "objects of another compiler"

    visitor.enter(BOTH, look)
    made = desk.engine.find_image_id(ImageRecipe("gcc-14", "gcc", 14).tag)
    assert visitor.containers[-1].image == made
    assert made not in (None, recorded.image_id)
    assert recorded.image_id in visitor.notes()
    assert str(made) in visitor.notes()


# What cannot be entered


def test_an_unreachable_cell_is_refused_with_its_reason_and_the_cell_that_it_became(
    desk: Desk, visitor: Visitor
) -> None:
    desk.run()
    with pytest.raises(RequestError, match="VFIO=m: MODULES=n makes it y") as caught:
        visitor.enter(f"{CELL}MODULES=n,VFIO=m")
    assert BOTH in caught.value.hint


def test_a_cell_that_was_never_configured_is_refused_with_its_log(desk: Desk, visitor: Visitor) -> None:
    desk.kernel.before = lambda job: 2 if job.configures else None
    done = desk.run()
    assert {cell.state for cell in done.cells} == {State.FAIL}
    with pytest.raises(RequestError, match="has no configuration: fail") as caught:
        visitor.enter(done.cells[0].id)
    assert str(desk.directory / str(done.cells[0].log)) in caught.value.hint
    with pytest.raises(RequestError, match="has no configuration: fail") as caught:
        visitor.enter(BOTH)
    assert "report" in caught.value.hint


def test_an_id_that_the_run_has_not_is_told_with_the_nearest(desk: Desk, visitor: Visitor) -> None:
    desk.run()
    with pytest.raises(RequestError, match=f"nearest: '{BOTH}'"):
        visitor.enter(BOTH.replace("VFIO", "VIFO"))


@pytest.mark.parametrize("damage", [lambda path: path.write_text("CONFIG_A=y\n"), lambda path: path.unlink()])
def test_a_configuration_that_is_not_what_was_built_is_refused(
    desk: Desk, visitor: Visitor, damage: Callable[[Path], None]
) -> None:
    done = desk.run()
    damage(desk.directory / "configs" / str(done.cells[2].config_sha256))
    with pytest.raises(RequestError, match="configs"):
        visitor.enter(BOTH)
    assert visitor.containers == []


def test_a_profile_of_another_kmatrix_is_refused_by_its_key(desk: Desk, visitor: Visitor) -> None:
    done = desk.run()
    with pytest.raises(RequestError, match=f"the profile of {done.id}: shiny: unknown key"):
        visitor.enter(BOTH, run=done.model_copy(update={"profile": {**done.profile, "shiny": 1}}))
    with pytest.raises(RequestError, match=f"the profile of {done.id}: arch: unknown arch 'x68'"):
        visitor.enter(BOTH, run=done.model_copy(update={"profile": {**done.profile, "arch": ["x68"]}}))
    known = json.loads(json.dumps(done.profile))
    assert visitor.enter(BOTH, run=done.model_copy(update={"profile": known})) == 0
