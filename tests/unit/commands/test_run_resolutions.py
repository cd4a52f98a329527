"""What a run keeps for the next, and for whom: resolutions, lanes; and what it patches."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix import file_times, foreign_trees
from matrix.builder import run_context
from matrix.cache_layout import CacheLayout
from matrix.errors import RequestError
from matrix.foreign_trees import TreeEntry
from matrix.kconfig.definitions import Definitions, read_tree_definitions
from matrix.record.events import ProgressNote
from matrix.resolve import reasons
from tests.fakes.mails import a_diff, a_mail, a_mbox, a_patch
from tests.unit.commands.run_desk import (
    SIX,
    TWO_LANES,
    Desk,
    applying,
    cell_of,
    states,
)


def test_a_second_run_configures_nothing(desk: Desk) -> None:
    first = desk.run()
    second = desk.run()
    assert desk.kernel.ran(configures=True) == []
    assert states(second) == states(first)
    assert [cell.config_sha256 for cell in second.cells] == [cell.config_sha256 for cell in first.cells]


def test_a_resolution_that_a_run_reads_counts_as_used(desk: Desk) -> None:
    desk.run()
    stored = list(CacheLayout(desk.place / "cache").resolutions.rglob("*.json.gz"))
    assert stored
    for path in stored:
        os.utime(path, (1, 1))
    desk.run()
    assert all(path.stat().st_mtime > 1 for path in stored)


@pytest.mark.parametrize(
    "name", ["Kconfig", "Makefile", "scripts/conf.c", "arch/x86/configs/x86_64_defconfig"]
)
def test_another_tree_is_resolved_anew(desk: Desk, name: str) -> None:
    desk.run()
    changed = desk.tree / name
    changed.parent.mkdir(parents=True, exist_ok=True)
    with changed.open("a") as file:
        file.write("\n# changed\n")
    desk.run()
    assert desk.kernel.ran(configures=True)


@pytest.mark.parametrize("name", ["drivers/vfio/vfio.c", "Documentation/vfio.rst"])
def test_a_tree_in_which_conf_sees_no_change_is_not_resolved_again(desk: Desk, name: str) -> None:
    desk.run()
    (desk.tree / "Documentation").mkdir(exist_ok=True)
    (desk.tree / name).write_text("int other;\n")
    assert states(desk.run()) == ["empty", "unreachable", "pass", "empty", "pass", "pass"]
    assert desk.kernel.ran(configures=True) == []


def refuse_to_read(*_: object) -> Definitions:
    raise AssertionError("the tree's Kconfig files were read")


def test_why_a_request_is_not_reached_is_not_looked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = desk.run()
    monkeypatch.setattr(run_context, "read_tree_definitions", refuse_to_read)
    second = desk.run()
    assert [cell.reason for cell in second.cells] == [cell.reason for cell in first.cells]
    assert any(cell.reason for cell in second.cells)


def test_another_code_looks_for_the_reason_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.run()
    monkeypatch.setattr(run_context, "read_tree_definitions", refuse_to_read)
    monkeypatch.setattr(reasons, "compute_code_digest", lambda *_: "another")
    with pytest.raises(AssertionError, match="were read"):
        desk.run()


def test_a_reason_out_of_a_part_of_the_tree_is_looked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as bounded:
        partial_definitions = Definitions({}, "the tree is too large")
        bounded.setattr(run_context, "read_tree_definitions", lambda *_: partial_definitions)
        assert "is too large" in str(cell_of(desk.run(), "MODULES=n,VFIO=m").reason)
    assert cell_of(desk.run(), "MODULES=n,VFIO=m").reason == "VFIO=m: MODULES=n makes it y"


def test_lanes_side_by_side_read_the_tree_s_kconfig_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()

    def read_slowly(tree: Path, srcarch: str) -> Definitions:
        read.append(srcarch)
        time.sleep(0.2)
        return read_tree_definitions(tree, srcarch)

    monkeypatch.setattr(run_context, "read_tree_definitions", read_slowly)
    desk.run(toolchain=["gcc-14,clang-19"], lanes=["2"], jobs=["2"])
    assert read == ["x86"]


def test_another_make_variable_is_resolved_anew(desk: Desk) -> None:
    desk.run()
    desk.run(make=["W=1"])
    assert desk.kernel.ran(configures=True)


def test_another_image_is_resolved_anew(desk: Desk) -> None:
    desk.run()
    mine = '[toolchains.gcc-14]\nimage = "mine:1"\nmake = { CROSS_COMPILE = "{triplet}-" }\n'
    desk.asks(SIX + mine)
    desk.run()
    assert desk.kernel.ran(configures=True)


def test_the_users_make_variables_reach_the_command_and_the_record(desk: Desk) -> None:
    done = desk.run(make=["W=1", "KCFLAGS=-g -O1"])
    assert all(job.variables["KCFLAGS"] == "-g -O1" for job in desk.kernel.jobs)
    line = "ARCH=x86 CROSS_COMPILE=x86_64-linux-gnu- W=1 KCFLAGS='-g -O1'"
    assert {cell.make for cell in done.cells} == {line}


def test_a_patched_tree_has_a_lane_of_its_own_that_starts_as_a_copy(desk: Desk, tmp_path: Path) -> None:
    desk.run(select=["VFIO=y"])
    base = desk.lanes()
    mark = desk.build_directory() / "made by the base"
    mark.touch()
    patch = tmp_path / "fix.patch"
    patch.write_text(
        "--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n+int v;\n"
    )
    desk.kernel.applies = applying
    done = desk.run(select=["VFIO=y"], patch=[str(patch)])
    assert states(done) == ["pass", "pass"]
    assert len(desk.lanes()) == 2
    assert desk.build_directory() != mark.parent
    assert (desk.build_directory() / mark.name).exists()
    assert base < desk.lanes()


def test_a_mailbox_is_the_patches_of_its_newest_version_and_that_is_told(desk: Desk, tmp_path: Path) -> None:
    series = [a_mail(f"[PATCH {number}/2] fix it", a_patch(f"old{number}")) for number in (1, 2)]
    series += [a_mail(f"[PATCH v2 {number}/2] fix it", a_patch(f"new{number}")) for number in (2, 1)]
    (tmp_path / "t.mbox").write_text(a_mbox(series))
    (tmp_path / "last.diff").write_text(a_diff("last"))
    done = desk.run(select=["VFIO=y"], patch=[str(tmp_path / name) for name in ("t.mbox", "last.diff")])
    names = [patch.name for patch in done.source.patches]
    assert names == ["0001-fix-it.patch", "0002-fix-it.patch", "last.diff"]
    notes = [event.text for event in desk.events if isinstance(event, ProgressNote)]
    assert "v2 is taken, the newest whole version of v1, v2" in notes


def test_a_bad_patch_is_refused_before_anything_is_done(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "x.patch").touch()
    with pytest.raises(RequestError, match="holds no diff"):
        desk.run(patch=[str(tmp_path / "x.patch")])
    assert not (tmp_path / "cache/sources").exists()
    assert desk.engine.ran == []


def test_a_cell_that_is_built_has_its_directory_walked_seven_times(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each walk of a kernel's takes long; there were eleven."""
    desk.asks(TWO_LANES)
    desk.run(select=["VFIO=n"])
    walked, open_walk = list[Path](), foreign_trees.walk_tree

    def count_walk(root: Path, *, force: bool = False) -> Iterator[TreeEntry]:
        walked.append(root)
        return open_walk(root, force=force)

    # What gives files the present walks by itself, and has nothing to do where none is from the future.
    for module in (foreign_trees, file_times):
        monkeypatch.setattr(module, "walk_tree", count_walk)
    desk.run(select=["VFIO=y"])
    assert walked.count(desk.build_directory()) == 7
