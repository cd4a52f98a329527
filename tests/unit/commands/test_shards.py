"""A share of a plan is built by itself: which cells it has, what it records, how it ends."""

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from matrix.cache_layout import CacheLayout
from matrix.commands.run import run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.commands.shards import (
    check_resumed_options,
    create_shard_chooser,
    parse_plan_request,
    parse_shard_request,
    plan_lanes,
)
from matrix.errors import MachineError, RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import load_run
from matrix.record.run_model import Run
from matrix.record.states import Evidence
from matrix.shards.plan_file import PlanFile, format_plan_file
from matrix.source.cache import SourceCache
from matrix.tasks import run_reporting
from reports.summary import collect_run_facts, format_run_headline
from tests.unit.commands.resume_desk import ResumedDesk
from tests.unit.commands.run_desk import ERROR, PROFILE, SIX, VFIO, dying, states

TWO_TOOLCHAINS = PROFILE.replace('["gcc-14"]', '["gcc-14", "clang-19"]')
NINE = 'GROUP = ["n", "y"]\nMODULES = ["n", "y"]\nVFIO = ["n", "m", "y"]\n'
TWINS = """\
TWIN = ["n", "y"]
VFIO = ["y", "n"]
MODULES = ["n", "y"]
[knobs.TWIN.x86]
n = { set = {}, proof = {} }
y = { set = {}, proof = {} }
"""


class ShardedDesk(ResumedDesk):
    """A desk whose plan is built by several machines: each has a cache of its own, and nothing in it."""

    def machine(self, name: str) -> Environment:
        cache = SourceCache(CacheLayout(self.place / f"cache-{name}"))
        return Environment(self.engine, cache, self.place / "runs")

    def run_shard(
        self,
        index: int,
        count: int,
        plan: Path | None = None,
        baseline: str = "",
        machine: str = "",
        **options: list[str],
    ) -> StoredRun:
        """One shard of so many, on a machine of its own, or on the one of this name."""
        self.kernel.jobs.clear()
        asked = parse_shard_request(
            f"{index}/{count}", str(plan or ""), baseline, "", self.place / "runs", ["./inv"]
        )
        assert asked is not None
        self.stored = run_matrix(
            resolve_profile(self._settled(options), {}),
            self._tell,
            ["test"],
            self.machine(machine or str(index)),
            choose_shard=create_shard_chooser(asked),
        )
        self.directory = self.stored.directory
        return self.stored

    def write_plan(self, baseline: Run | None = None, **options: list[str]) -> Path:
        """What `plan --json` prints, in a file."""
        profile = resolve_profile(self._settled(options), {})
        planned, lanes = plan_lanes(profile, self._tell, baseline, self.world)
        path = self.place / "plan.json"
        path.write_text(json.dumps(format_plan_file(planned, lanes, 4)))
        return path


@pytest.fixture
def desk(tmp_path: Path) -> ShardedDesk:
    made = ShardedDesk(tmp_path)
    made.asks(NINE, TWO_TOOLCHAINS)
    return made


def ids(runs: Sequence[StoredRun]) -> list[str]:
    return [cell.id for stored in runs for cell in stored.run.cells]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_cell_is_built_by_one_of_the_shards(desk: ShardedDesk, count: int) -> None:
    whole = [cell.id for cell in desk.plan().cells]
    shards = [desk.run_shard(index, count) for index in range(1, count + 1)]
    assert sorted(ids(shards)) == sorted(whole)
    for stored in shards:
        assert [name for name in whole if name in ids([stored])] == ids([stored]), "in plan order"
        assert stored.run.shard is not None
        assert stored.run.shard.requests == len(whole)
    assert len({stored.run.shard.shares for stored in shards if stored.run.shard}) == 1
    assert len({stored.run.plan_sha256 for stored in shards}) == 1


def test_a_shard_builds_its_own_cells_only_and_is_called_by_its_number(desk: ShardedDesk) -> None:
    stored = desk.run_shard(2, 2)
    assert {job.cell for job in desk.kernel.ran(configures=False)} <= set(ids([stored]))
    assert stored.run.id.endswith("-small-2of2")
    assert stored.directory.name == stored.run.id
    assert collect_run_facts(stored.run)["shard"] == ("2/2, 12 of 24 requests",)
    assert format_run_headline(stored).startswith("shard 2/2: ")
    assert load_run(stored.directory) == stored.run


def test_a_plans_file_splits_as_a_machine_without_it_does_where_no_times_are_known(
    desk: ShardedDesk,
) -> None:
    plan = desk.write_plan()
    with_file = [desk.run_shard(index, 3, plan) for index in (1, 2, 3)]
    without = [desk.run_shard(index, 3) for index in (1, 2, 3)]
    assert [ids([stored]) for stored in with_file] == [ids([stored]) for stored in without]


def test_with_a_plans_file_no_machine_resolves_what_others_build(desk: ShardedDesk) -> None:
    plan = desk.write_plan()
    stored = desk.run_shard(1, 3, plan)
    assert {job.cell for job in desk.kernel.ran(configures=True)} <= set(ids([stored]))


def test_what_a_machine_remembers_changes_no_split(desk: ShardedDesk) -> None:
    fresh = [ids([desk.run_shard(index, 3)]) for index in (1, 2, 3)]
    warm = [ids([desk.run_shard(index, 3)]) for index in (1, 2, 3)]
    assert fresh == warm


def test_cells_with_one_configuration_are_built_once_by_one_shard(desk: ShardedDesk) -> None:
    desk.asks(TWINS)
    found = [cell for index in (1, 2, 3) for cell in desk.run_shard(index, 3).run.cells]
    assert {cell.evidence for cell in found if cell.request["TWIN"] == "n"} == {Evidence.BUILT}
    assert {cell.evidence for cell in found if cell.request["TWIN"] == "y"} == {Evidence.SAME_CONFIG}


def test_an_unreachable_request_names_what_it_became_also_where_another_shard_builds_that(
    desk: ShardedDesk,
) -> None:
    desk.asks(SIX)
    became = {cell.id: cell.resolves_to for cell in desk.run().cells}
    found = {
        cell.id: cell.resolves_to for index in range(1, 5) for cell in desk.run_shard(index, 4).run.cells
    }
    assert found == became


def test_an_empty_shard_is_a_result(desk: ShardedDesk) -> None:
    desk.asks('VFIO = ["y"]\n')
    stored = desk.run_shard(2, 2)
    assert stored.run.cells == ()
    assert stored.run.finished is not None
    assert not stored.run.interrupted
    assert format_run_headline(stored) == "shard 2/2: nothing to build"
    assert "Shard 2/2 has nothing to build: the plan has fewer parts." in desk.notes()
    assert run_reporting._compute_exit_code(stored.run, resolve_profile(desk._settled({}), {})) == 0


def test_a_shard_ends_as_its_own_cells_do(desk: ShardedDesk) -> None:
    profile = resolve_profile(desk._settled({}), {})
    desk.asks('VFIO = ["n", "y"]\nMODULES = ["n"]\n', TWO_TOOLCHAINS)
    desk.says(VFIO, lambda _: [ERROR] if desk.kernel.jobs[-1].cell.startswith("x86/clang") else [])
    codes = {
        stored.run.cells[0].toolchain: run_reporting._compute_exit_code(stored.run, profile)
        for stored in (desk.run_shard(1, 2), desk.run_shard(2, 2))
    }
    assert codes == {"gcc-14": 0, "clang-19": 100}


def test_a_shard_in_which_nothing_had_to_be_compiled_has_done_its_part(desk: ShardedDesk) -> None:
    desk.asks('VFIO = ["n"]\n')
    stored = desk.run_shard(1, 1)
    assert states(stored.run) == ["empty"]
    assert run_reporting._compute_exit_code(stored.run, resolve_profile(desk._settled({}), {})) == 0
    assert "compiled nothing" in format_run_headline(stored)


# Times


def test_the_times_of_a_baseline_decide_who_builds_what(desk: ShardedDesk) -> None:
    desk.asks('MODULES = ["y"]\nGROUP = ["n", "y"]\nVFIO = ["m", "y"]\n', TWO_TOOLCHAINS)
    done = desk.run()
    slow = {"seconds": 500.0}
    cells = tuple(
        cell.model_copy(
            update={
                "stages": tuple(
                    stage.model_copy(update=slow if cell.toolchain == "gcc-14" else {})
                    for stage in cell.stages
                )
            }
        )
        for cell in done.cells
    )
    path = desk.place / "runs" / "slow"
    path.mkdir()
    (path / "run.json").write_text(
        done.model_copy(update={"cells": cells, "id": "slow"}).model_dump_json(by_alias=True)
    )
    by_counts = [{cell.toolchain for cell in desk.run_shard(index, 2).run.cells} for index in (1, 2)]
    by_times = [
        {cell.toolchain for cell in desk.run_shard(index, 2, baseline="slow").run.cells} for index in (1, 2)
    ]
    assert by_counts == [{"clang-19"}, {"gcc-14"}]
    assert by_times[0] | by_times[1] == {"gcc-14", "clang-19"}
    assert "gcc-14" in by_times[0] & by_times[1], "its lane takes longer than half of all"


def test_a_plan_names_the_times_that_are_known_and_from_where(desk: ShardedDesk) -> None:
    def read_times(plan: Path) -> dict[str, tuple[float | None, str | None]]:
        lanes = json.loads(plan.read_text())["lanes"]
        return {cell["id"]: (cell["seconds"], cell["times_from"]) for lane in lanes for cell in lane["cells"]}

    assert set(read_times(desk.write_plan()).values()) == {(None, None)}
    desk.kernel.before = lambda job: time.sleep(0.15) if not job.configures else None
    done = desk.run()
    remembered = read_times(desk.write_plan())
    built = {cell.id: cell for cell in done.cells if cell.evidence is Evidence.BUILT and cell.objects_sha256}
    assert built
    for name, cell in built.items():
        assert remembered[name] == (round(cell.seconds - cell.stages[0].seconds, 1), f"{done.id}/{name}")
    first = done.cells[0]
    old = done.model_copy(update={"id": "old", "cells": done.cells[:1]})
    held = read_times(desk.write_plan(old))
    assert held.pop(first.id) == (round(first.seconds, 1), f"old/{first.id}")
    assert held.items() <= remembered.items()


def test_a_plan_says_what_each_shard_has(desk: ShardedDesk) -> None:
    plan = json.loads(desk.write_plan().read_text())
    assert [shard["shard"] for shard in plan["shards"]] == ["1/4", "2/4", "3/4", "4/4"]
    assert [shard["cells"] for shard in plan["shards"]] == [ids([desk.run_shard(n, 4)]) for n in (1, 2, 3, 4)]
    assert {"axes", "source", "cells"} <= plan.keys(), "what it had before"
    assert [lane["toolchain"] for lane in plan["lanes"]] == ["gcc-14", "clang-19"]


# Requests that will not do


@pytest.mark.parametrize(
    "text",
    ["0/4", "5/4", "a/b", "1", "1/0", "/", "1/", "-1/4", "1/4/2", " 1/4", "1.0/4", "١/٤", "1/1001", "0/0"],
)
def test_what_is_no_share_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="shard"):
        parse_shard_request(text, "", "", "", tmp_path)


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "1001", "999999999999999999999"])
def test_what_is_no_number_of_shards_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="shard"):
        parse_plan_request(text, "", tmp_path, as_json=True)


def test_options_that_say_nothing_together_are_refused(tmp_path: Path) -> None:
    for wrong in (("", "plan.json", "", ""), ("1/2", "plan.json", "old", ""), ("1/2", "", "", "known.toml")):
        with pytest.raises(RequestError) as caught:
            parse_shard_request(*wrong, tmp_path)
        assert caught.value.hint
    for count, baseline in (("4", ""), ("", "old")):
        with pytest.raises(RequestError, match="is for the plan as JSON"):
            parse_plan_request(count, baseline, tmp_path, as_json=False)
    assert parse_shard_request("", "", "old", "known.toml", tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff\x00", b'{"schema": 2}', b"[" * 100_000, b'{"schema": 1, "lanes": "x"}'],
)
def test_what_is_no_plan_is_refused(desk: ShardedDesk, content: bytes) -> None:
    path = desk.place / "plan.json"
    path.write_bytes(content)
    with pytest.raises(RequestError, match="is no plan"):
        desk.run_shard(1, 2, path)
    assert not (desk.place / "runs").exists()


def test_a_plan_that_is_not_there_is_refused(desk: ShardedDesk) -> None:
    with pytest.raises(RequestError, match=r"nosuch\.json cannot be read"):
        desk.run_shard(1, 2, desk.place / "nosuch.json")


@pytest.mark.parametrize("value", ["1e999", "NaN", "-1", '"x"'])
def test_a_plan_with_a_time_that_is_none_is_refused(desk: ShardedDesk, value: str) -> None:
    path = desk.write_plan()
    path.write_text(path.read_text().replace('"seconds": null', f'"seconds": {value}'))
    with pytest.raises(RequestError, match="is no plan"):
        desk.run_shard(1, 2, path)


def refuse_plan(desk: ShardedDesk, plan: Path, **options: Any) -> str:
    with pytest.raises(RequestError) as caught:
        desk.run_shard(1, 2, plan, **options)
    assert not (desk.place / "runs").exists()
    return str(caught.value)


def test_a_plan_of_something_else_is_refused_with_what_differs(desk: ShardedDesk) -> None:
    plan = desk.write_plan()
    assert "stage is vmlinux, and not focus" in refuse_plan(desk, plan, stage=["vmlinux"])
    assert "arch is arm64" in refuse_plan(desk, plan, arch=["arm64"])
    (desk.tree / "drivers/vfio/vfio.c").write_text("int other;\n")
    assert "the source is Linux" in refuse_plan(desk, plan)


def test_a_plan_of_another_image_or_kmatrix_is_refused(desk: ShardedDesk) -> None:
    plan = desk.write_plan()
    text = plan.read_text()
    known = PlanFile.parse(text.encode(), "plan").toolchains["gcc-14"]
    plan.write_text(text.replace(known.image_id, "sha256:other"))
    assert "the image of gcc-14 is " in refuse_plan(desk, plan)
    plan.write_text(text.replace('"version": "', '"version": "9', 1))
    assert "kmatrix is " in refuse_plan(desk, plan)


def test_a_plan_whose_lanes_lack_a_cell_or_have_one_twice_is_refused(desk: ShardedDesk) -> None:
    plan = desk.write_plan()
    shown = json.loads(plan.read_text())
    cells = shown["lanes"][0]["cells"]
    for wrong in (cells[1:], [*cells, cells[0]]):
        shown["lanes"][0]["cells"] = wrong
        plan.write_text(json.dumps(shown))
        assert "other cells" in refuse_plan(desk, plan)


def test_what_may_differ_between_machines_is_not_asked_of_a_plan(desk: ShardedDesk) -> None:
    plan = desk.write_plan()
    assert desk.run_shard(1, 2, plan, jobs=["3"], memory=["2G"], deadline=["1h"]).run.cells


def test_a_plan_that_cannot_be_resolved_here_is_not_split(desk: ShardedDesk) -> None:
    desk.kernel.before = lambda job: dying("the daemon is gone")(job) if job.configures else None
    with pytest.raises(MachineError, match="cannot be split alike: 24 of its requests"):
        desk.run_shard(1, 2)
    assert not (desk.place / "runs").exists()


def test_a_deadline_and_fail_fast_end_no_plan(desk: ShardedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.commands.run.monotonic", lambda: time.monotonic() - 1000)
    stored = desk.run_shard(1, 2, deadline=["1s"], fail_fast=["yes"])
    assert len(stored.run.cells) == 12
    assert set(states(stored.run)) == {"not-run"}


# Shards that were stopped


def test_a_killed_shard_goes_on_with_its_own_cells(desk: ShardedDesk) -> None:
    desk.world = desk.machine("2")
    expected = ids([desk.run_shard(2, 3)])
    done = {cell.id: cell.state for cell in desk.stored.run.cells}
    desk.world = desk.machine("9")

    def run() -> None:
        asked = parse_shard_request("2/3", "", "", "", desk.place / "runs")
        assert asked is not None
        profile = resolve_profile(desk._settled({}), {})
        run_matrix(profile, desk._tell, ["test"], desk.world, choose_shard=create_shard_chooser(asked))

    desk.on_event = desk._stop_after(2, lambda: signal.raise_signal(signal.SIGKILL))
    assert desk.fork(run) == signal.SIGKILL
    desk.on_event = desk.events.append
    resumed = desk.resume()
    assert [cell.id for cell in resumed.cells] == expected
    assert {cell.id: cell.state for cell in resumed.cells} == done
    assert resumed.shard is not None
    assert resumed.shard.name == "2/3"


def test_a_run_that_goes_on_keeps_its_share(desk: ShardedDesk) -> None:
    shard, whole = desk.run_shard(2, 3).run, desk.run()
    for run, said in ((shard, "2/3"), (shard, ""), (whole, ""), (shard, "02/3")):
        check_resumed_options(run, shard=said, plan="", baseline="", known="")
    for run, said in ((shard, "1/3"), (shard, "2/4"), (whole, "1/1")):
        with pytest.raises(RequestError, match="cannot be resumed: shard is"):
            check_resumed_options(run, shard=said, plan="", baseline="", known="")


def test_what_has_no_effect_on_a_run_that_goes_on_is_refused(desk: ShardedDesk) -> None:
    shard, whole = desk.run_shard(2, 3).run, desk.run()
    check_resumed_options(whole, shard="", plan="", baseline="good", known="known.toml")
    for run in (shard, whole):
        with pytest.raises(RequestError, match="--plan says how a plan is split"):
            check_resumed_options(run, shard="", plan="plan.json", baseline="", known="")
    with pytest.raises(RequestError, match="--known is for a whole run"):
        check_resumed_options(shard, shard="", plan="", baseline="", known="known.toml")
    with pytest.raises(RequestError, match="--baseline is for a whole run"):
        check_resumed_options(shard, shard="", plan="", baseline="good", known="")


def test_a_stopped_shard_is_told_of_to_the_same_shard_only(
    desk: ShardedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("matrix.commands.run.monotonic", lambda: time.monotonic() - 1000)
        desk.run_shard(1, 2, deadline=["1s"])
    desk.events.clear()
    desk.run_shard(2, 2)
    assert [text for text in desk.notes() if "was stopped" in text] == []
    desk.run_shard(1, 2)
    assert len([text for text in desk.notes() if "was stopped" in text]) == 1
