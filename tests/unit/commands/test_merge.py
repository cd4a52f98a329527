"""The runs of shards become one, which is the run that one machine would have made."""

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.compare import apply_baseline
from matrix.commands.merge import merge_shards, parse_merge_request
from matrix.commands.run import run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.commands.shards import create_shard_chooser, parse_shard_request
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.errors import RequestError
from matrix.findings.stored_run import StoredRun
from matrix.foreign_files import ForeignFileError
from matrix.record.run_directory import load_run
from matrix.record.run_model import PatchRecord, Run
from matrix.record.states import Evidence, State, compute_run_exit_code
from matrix.source.cache import SourceCache
from reports.summary import collect_run_facts
from tests.fakes.described_runs import describe_run
from tests.fakes.edited_tree import FILES
from tests.fakes.engine import FakeEngine
from tests.fakes.kbuild import TreeKernel, put_files
from tests.unit.commands.run_desk import ERROR, GROUP, VFIO, WARNING, always
from tests.unit.commands.test_shards import NINE, TWINS, TWO_TOOLCHAINS, ShardedDesk

UNDEFINED = "ld: drivers/vfio/group.o: in function `x': group.c:(.text+0x1): undefined reference to `gone'"


class MergingDesk(ShardedDesk):
    """A desk on which shards are brought together."""

    def merge(self, *shards: StoredRun, out: str = "", baseline: str = "", known: str = "") -> StoredRun:
        names = [str(stored.directory) for stored in shards]
        runs = self.place / "runs"
        self.request = parse_merge_request(names, out, baseline, known, runs, ["./inv"])
        return merge_shards(self.request, ["test"], runs)

    def build(self, count: int, **options: Any) -> list[StoredRun]:
        return [self.run_shard(index, count, **options) for index in range(1, count + 1)]

    def describe(self, stored: StoredRun, shards: Sequence[StoredRun] = ()) -> dict[str, Any]:
        """All of a run and its findings, but for times and what only a merged one has."""
        names = [each.run.id for each in (stored, *shards)]
        described = describe_run(stored, self.place, names[1:])
        described.pop("shards", None)
        sort_diagnostics(described)
        findings = stored.findings.model_dump_json(by_alias=True).replace(stored.run.id, "RUN")
        return described | {"findings": json.loads(findings)}


def sort_diagnostics(described: dict[str, Any]) -> None:
    """Their order in a cell is that in which they were printed: it depends on what else was compiled."""
    for cell in described["cells"]:
        cell["diagnostics"].sort(key=str)


@pytest.fixture
def desk(tmp_path: Path) -> MergingDesk:
    made = MergingDesk(tmp_path)
    made.asks(NINE, TWO_TOOLCHAINS)
    made.says(VFIO, lambda config: [ERROR] if config["MODULES"] == "n" else [WARNING], sees=("MODULES",))
    made.says(GROUP, always(WARNING.replace("vfio.c", "group.c")), symbol="GROUP", sees=("MODULES",))
    return made


def code(run: Run) -> int:
    return compute_run_exit_code(cell.state for cell in run.cells)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 26])
def test_merged_shards_are_the_run_of_one_machine(desk: MergingDesk, count: int) -> None:
    whole = desk.run()
    expected = desk.describe(desk.stored)
    assert {State.FAIL, State.WARN, State.EMPTY, State.UNREACHABLE} == {cell.state for cell in whole.cells}
    assert expected["findings"]["findings"]
    shards = desk.build(count)
    merged = desk.merge(*shards)
    assert desk.describe(merged, shards) == expected
    assert code(merged.run) == code(whole) == 100
    assert load_run(merged.directory) == merged.run
    assert merged.run.shard is None
    assert (desk.place / "runs/latest").resolve() == merged.directory


@pytest.mark.parametrize("count", [2, 3])
def test_twins_take_the_result_of_the_same_cell(desk: MergingDesk, count: int) -> None:
    desk.asks(TWINS)
    desk.run()
    expected = desk.describe(desk.stored)
    shards = desk.build(count)
    assert desk.describe(desk.merge(*shards), shards) == expected


def test_what_links_lack_is_known_of_all_shards(desk: MergingDesk) -> None:
    merged = desk.merge(*desk.build(2))
    some = [
        stored.run.model_copy(update={"providers": {f"gone{n}": "CONFIG_X"}})
        for n, stored in enumerate(desk.request.shards)
    ]
    for stored, run in zip(desk.request.shards, some, strict=True):
        (stored.directory / "run.json").write_text(run.model_dump_json(by_alias=True))
    again = desk.merge(*(StoredRun.load(stored.directory) for stored in desk.request.shards))
    assert merged.run.providers == {}
    assert again.run.providers == {"gone0": "CONFIG_X", "gone1": "CONFIG_X"}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_order_in_which_shards_are_named_is_nothing(desk: MergingDesk, order: Sequence[int]) -> None:
    shards = desk.build(3)
    first = desk.merge(*shards).run
    other = desk.merge(*(shards[number] for number in order)).run
    assert other.model_copy(update={"id": first.id}) == first


def test_a_merged_run_names_its_shards_with_their_machines_and_times(desk: MergingDesk) -> None:
    shards = desk.build(2)
    run = desk.merge(*shards).run
    assert [(part.shard.name, part.id, part.cells) for part in run.shards] == [
        (f"{n}/2", stored.run.id, 12) for n, stored in enumerate(shards, 1)
    ]
    assert [(part.started, part.finished, part.host) for part in run.shards] == [
        (stored.run.started, stored.run.finished, stored.run.host) for stored in shards
    ]
    assert (run.started, run.finished) == (shards[0].run.started, shards[1].run.finished)
    facts = collect_run_facts(run)
    assert [line.split(":")[0] for line in facts["shards"]] == [
        f"{n}/2 {s.run.id}" for n, s in enumerate(shards, 1)
    ]
    assert len(facts["machine"]) == 1
    other = run.shards[1].model_copy(update={"host": run.host.model_copy(update={"cpus": 64})})
    assert len(collect_run_facts(run.model_copy(update={"shards": (run.shards[0], other)}))["machine"]) == 2


def test_the_time_of_a_cell_is_on_the_clock_of_the_whole_run(desk: MergingDesk) -> None:
    shards = desk.build(2)
    run = desk.merge(*shards).run
    shift = (shards[1].run.started - shards[0].run.started).total_seconds()
    assert shift > 0
    for cell in shards[1].run.cells:
        if cell.at_work:
            found = next(each for each in run.cells if each.id == cell.id).at_work
            assert found == pytest.approx([moment + shift for moment in cell.at_work], abs=0.06)


def test_shards_that_one_machine_built_one_after_another_have_each_cell_once(desk: MergingDesk) -> None:
    """Where a second base resolves to the same configuration, the other shard's cell is remembered."""
    head = TWO_TOOLCHAINS.replace(
        "[symbols]", 'base = ["defconfig", "own"]\n[bases.own]\ntarget = "defconfig"\n[symbols]'
    )
    desk.asks('VFIO = ["y"]\nMODULES = ["y"]\n', head)
    shards = [desk.run_shard(index, 4, machine="one") for index in range(1, 5)]
    assert Evidence.REMEMBERED in {cell.evidence for stored in shards for cell in stored.run.cells}
    merged = desk.merge(*shards).run
    found = {cell.id: (cell.evidence, cell.evidence_from) for cell in merged.cells}
    assert {evidence for evidence, _ in found.values()} == {Evidence.BUILT, Evidence.SAME_CONFIG}
    assert all(origin in found for evidence, origin in found.values() if evidence is Evidence.SAME_CONFIG)


# Shards that are missing, or were stopped


def test_the_cells_of_a_missing_shard_were_not_run(desk: MergingDesk) -> None:
    shards = desk.build(3)
    merged = desk.merge(shards[0], shards[2]).run
    lost = {cell.id for cell in shards[1].run.cells}
    for cell in merged.cells:
        if cell.id in lost:
            assert (cell.state, cell.reason) == (State.NOT_RUN, "not started: shard 2/3 is missing")
    assert {cell.id for cell in merged.cells if cell.state is State.NOT_RUN} == lost
    desk.asks('VFIO = ["y"]\nMODULES = ["y"]\nGROUP = ["n"]\n', TWO_TOOLCHAINS)
    one = desk.merge(desk.run_shard(1, 2)).run
    assert code(one) == 2, "never 0 where something was not tried"


def test_with_several_missing_shards_each_is_named(desk: MergingDesk) -> None:
    merged = desk.merge(desk.run_shard(2, 12)).run
    reasons = {cell.reason for cell in merged.cells if cell.state is State.NOT_RUN}
    assert reasons == {
        "not started: its shard is missing, one of 1/12, 3/12, 4/12, 5/12, 6/12, 7/12 and 5 more"
    }


def test_of_a_killed_shard_what_was_finished_counts(desk: MergingDesk) -> None:
    first = desk.run_shard(1, 2)
    desk.world = desk.machine("2")
    asked = parse_shard_request("2/2", "", "", "", desk.place / "runs")
    assert asked is not None
    chooser = create_shard_chooser(asked)

    def run() -> None:
        run_matrix(resolve_profile(desk._settled({}), {}), desk._tell, [], desk.world, choose_shard=chooser)

    desk.on_event = desk._stop_after(3, lambda: signal.raise_signal(signal.SIGKILL))
    assert desk.fork(run) == signal.SIGKILL
    desk.on_event = desk.events.append
    killed = StoredRun.load((desk.place / "runs/latest").resolve())
    assert killed.run.finished is None
    merged = desk.merge(first, killed).run
    states = {cell.id: cell.state for cell in merged.cells}
    assert {states[cell.id] for cell in killed.run.cells} > {State.NOT_RUN}
    assert {cell.reason for cell in merged.cells if cell.state is State.NOT_RUN} == {
        "not started: shard 2/2 was stopped"
    }
    assert merged.finished is not None
    assert collect_run_facts(merged)["shards"][1].endswith("stopped")
    resumed = desk.resume(killed.run.id)
    assert (
        desk.merge(first, StoredRun(resumed, killed.directory)).run.cells
        == desk.merge(first, desk.stored).run.cells
    )
    assert code(desk.merge(first, desk.stored).run) == 100


def test_an_interrupted_shard_does_not_interrupt_the_whole(
    desk: MergingDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = desk.run_shard(1, 2)
    monkeypatch.setattr("matrix.commands.run.monotonic", lambda: time.monotonic() - 1000)
    stopped = desk.run_shard(2, 2, deadline=["1s"])
    data = stopped.run.model_copy(update={"interrupted": True})
    (stopped.directory / "run.json").write_text(data.model_dump_json(by_alias=True))
    merged = desk.merge(first, StoredRun.load(stopped.directory)).run
    assert not merged.interrupted
    assert merged.shards[1].interrupted
    assert State.NOT_RUN in {cell.state for cell in merged.cells}


def test_a_merged_run_that_lacks_a_shard_can_go_on(desk: MergingDesk) -> None:
    desk.run()
    expected = {cell.id: cell.state for cell in desk.stored.run.cells}
    merged = desk.merge(desk.run_shard(1, 2))
    done = desk.resume(merged.run.id)
    assert {cell.id: cell.state for cell in done.cells} == expected


# What is held against


def test_a_baseline_and_known_findings_are_the_merged_runs(desk: MergingDesk) -> None:
    whole = desk.run()
    merged = desk.merge(*desk.build(2), baseline=whole.id)
    assert desk.request.baseline is not None
    assert apply_baseline(merged, desk.request.baseline).exit_code == 0
    assert merged.run.baseline == str(desk.place / "runs" / whole.id)


# What will not do


def refuse(desk: MergingDesk, *shards: StoredRun, out: str = "") -> str:
    before = sorted((desk.place / "runs").iterdir())
    with pytest.raises(RequestError) as caught:
        desk.merge(*shards, out=out)
    assert caught.value.hint
    assert sorted((desk.place / "runs").iterdir()) == before
    return str(caught.value)


def test_the_same_shard_twice_is_refused(desk: MergingDesk) -> None:
    first, again = desk.run_shard(1, 2), desk.run_shard(1, 2)
    assert "are the same run" in refuse(desk, first, first)
    assert "are both shard 1/2" in refuse(desk, first, again)


def test_a_run_that_is_no_shard_is_refused(desk: MergingDesk) -> None:
    desk.run()
    whole, first = desk.stored, desk.run_shard(1, 2)
    assert "is a whole run" in refuse(desk, first, whole)
    merged = desk.merge(first)
    assert "is merged already" in refuse(desk, merged, first)
    with pytest.raises(RequestError, match="needs 'dir'"):
        desk.merge()
    with pytest.raises(RequestError, match="there is no run"):
        parse_merge_request(["nosuch"], "", "", "", desk.place / "runs")


def test_shards_of_other_splits_are_refused(desk: MergingDesk) -> None:
    first = desk.run_shard(1, 2)
    assert "it is shard 2/3, and not one of 2" in refuse(desk, first, desk.run_shard(2, 3))
    other = desk.run_shard(2, 2)
    shares = other.run.shard
    assert shares is not None
    moved = shares.model_copy(update={"shares": ("0" * 64, shares.shares[1])})
    write(other, other.run.model_copy(update={"shard": moved}))
    assert "was split otherwise" in refuse(desk, first, other)


def write(stored: StoredRun, run: Run) -> None:
    (stored.directory / "run.json").write_text(run.model_dump_json(by_alias=True))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stage": ["vmlinux"]}, "stage is vmlinux, and not focus"),
        ({"make": ["W=1"]}, "make is W=1, and not nothing"),
        ({"select": ["MODULES=y"]}, "select is MODULES=y, and not nothing"),
    ],
)
def test_shards_of_another_request_are_refused(
    desk: MergingDesk, options: dict[str, Any], words: str
) -> None:
    assert words in refuse(desk, desk.run_shard(1, 2), desk.run_shard(2, 2, **options))


def test_shards_of_another_source_are_refused(desk: MergingDesk) -> None:
    first = desk.run_shard(1, 2)
    (desk.tree / "drivers/vfio/vfio.c").write_text("int other;\n")
    assert "the source is Linux" in refuse(desk, first, desk.run_shard(2, 2))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("image_id", "sha256:0", "the image of gcc-14 is sha256:0, and not sha256:"),
        (
            "compilers",
            {"x86": {"version": "gcc 15", "binutils": "ld 3"}},
            "gcc-14 for x86 is gcc 15, ld 3, and not",
        ),
    ],
)
def test_shards_of_another_compiler_are_refused(
    desk: MergingDesk, key: str, value: object, words: str
) -> None:
    first, other = desk.build(2)
    data = json.loads((other.directory / "run.json").read_text())
    data["toolchains"]["gcc-14"][key] = value
    (other.directory / "run.json").write_text(json.dumps(data))
    assert words in refuse(desk, first, other)


def test_shards_of_another_kmatrix_or_patch_or_base_are_refused(desk: MergingDesk) -> None:
    first, other = desk.build(2)
    run = other.run
    for update, words in (
        ({"tool": run.tool.model_copy(update={"version": "9.9"})}, "kmatrix is 9.9"),
        (
            {"source": run.source.model_copy(update={"patches": (PatchRecord(name="a.patch", sha256="0"),)})},
            "what it is patched with is a.patch, and not nothing",
        ),
        ({"bases": {}}, "the base defconfig is another"),
        ({"plan_sha256": "0"}, "the cells of the plan are others"),
    ):
        write(other, run.model_copy(update=update))
        assert words in refuse(desk, first, other)


def test_a_shard_whose_cells_are_not_its_own_is_refused(desk: MergingDesk) -> None:
    first, other = desk.build(2)
    write(other, other.run.model_copy(update={"cells": other.run.cells[1:]}))
    assert "its cells are not those of shard 2/2" in refuse(desk, first, other)
    shard = other.run.shard
    assert shard is not None
    for index in (0, 3, -1):
        write(other, other.run.model_copy(update={"shard": shard.model_copy(update={"index": index})}))
        assert "is damaged" in refuse(desk, first, other)


def test_what_may_differ_between_machines_is_no_difference(desk: MergingDesk) -> None:
    first, other = desk.run_shard(1, 2), desk.run_shard(2, 2, jobs=["7"], lanes=["2"], memory=["3G"])
    copy = desk.place / "elsewhere"
    shutil.copytree(desk.tree, copy, symlinks=True)
    again = desk.run_shard(2, 2, source=[str(copy)])
    assert desk.merge(first, other).run.cells
    assert desk.merge(first, again).run.cells


def test_a_shard_at_work_is_refused(desk: MergingDesk) -> None:
    first, other = desk.build(2)
    with (other.directory / "cells.jsonl").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "is being built" in refuse(desk, first, other)


def test_a_directory_in_use_is_refused(desk: MergingDesk) -> None:
    shards = desk.build(2)
    used = desk.place / "used"
    used.mkdir()
    (used / "file").touch()
    assert "in use" in refuse(desk, *shards, out=str(used))
    assert desk.merge(*shards, out=str(desk.place / "new")).directory == desk.place / "new"


def test_a_damaged_file_of_a_shard_is_refused(desk: MergingDesk) -> None:
    first, other = desk.build(2)
    path = next((other.directory / "configs").iterdir())
    path.write_text("CONFIG_OTHER=y\n")
    assert "is damaged" in refuse(desk, first, other)


@pytest.mark.parametrize("pattern", ["configs/*", "objects/*", "cells/**/build.log"])
def test_a_file_of_a_shard_that_is_lost_is_refused(desk: MergingDesk, pattern: str) -> None:
    first, other = desk.build(2)
    path = next(other.directory.glob(pattern))
    path.unlink()
    assert "is not there" in refuse(desk, first, other)


def test_an_empty_log_of_a_shard_is_refused(desk: MergingDesk) -> None:
    first, other = desk.build(2)
    next(other.directory.glob("cells/**/build.log")).write_text("")
    assert "empty" in refuse(desk, first, other)


def test_links_and_pipes_of_a_shard_lead_nowhere(desk: MergingDesk) -> None:
    first, other = desk.build(2)
    logs = sorted(other.directory.glob("cells/**/build.log"))
    secret = desk.place / "secret"
    secret.write_text("secret")
    (logs[0].parent / "link").symlink_to(secret)
    os.mkfifo(logs[1].parent / "pipe")
    merged = desk.merge(first, other)
    copied = [path for path in merged.directory.rglob("*") if path.is_file()]
    assert all("secret" not in path.read_text(errors="replace") for path in copied)
    for path in (logs[0], next((first.directory / "configs").iterdir())):
        text = path.read_text()
        path.unlink()
        path.symlink_to(secret)
        with pytest.raises(ForeignFileError, match="link"):
            desk.merge(first, other)
        path.unlink()
        path.write_text(text)


# On a make that reads a tree


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_tree_that_is_read_comes_to_the_same_in_shards(tmp_path: Path, count: int) -> None:
    desk = MergingDesk(tmp_path)
    shutil.rmtree(desk.tree)
    variants = {"drivers/vfio/vfio_main.c": 2, "include/linux/kvm.h": 2, "drivers/vfio/blob.S": 1}
    texts = {name: choices[variants.get(name, 0)] for name, choices in FILES.items()}
    put_files(desk.tree, texts)
    kernel = TreeKernel()
    tags = [ImageRecipe(name, name.split("-")[0], int(name[-2:])).tag for name in ("gcc-14", "clang-19")]
    desk.engine = FakeEngine(kernel, images=[compute_base_tag(), *tags])
    desk.kernel = kernel
    desk.world = Environment(desk.engine, SourceCache(CacheLayout(tmp_path / "cache")), tmp_path / "runs")
    desk.asks(
        'GROUP = ["n", "y"]\nMODULES = ["n", "y"]\nNET = ["n", "y"]\nVFIO = ["n", "m", "y"]\n', TWO_TOOLCHAINS
    )
    desk.run()
    expected = desk.describe(desk.stored)
    assert expected["findings"]["findings"]
    shards = desk.build(count)
    assert desk.describe(desk.merge(*shards), shards) == expected
