"""A profile with `cover`: which cells it has, and that every command that makes a plan makes the same."""

import json
import signal
import time
from itertools import combinations
from pathlib import Path

import pytest

from matrix.commands.resume import find_resumption, resume_run
from matrix.commands.settings import GivenSettings, resolve_profile
from matrix.errors import InterruptedRunError, RequestError
from matrix.plan import find_matching_terms, plan_requests
from matrix.record.coverage import measure_coverage, measure_planned_coverage
from matrix.record.run_model import Run
from matrix.record.states import State
from reports.summary import format_coverage, format_planned_coverage
from tests.fakes.kernel import Job, quiet
from tests.unit.commands.run_desk import PROFILE, dying
from tests.unit.commands.test_shards import ShardedDesk

SYMBOLS = 'MODULES = ["n", "y"]\nVFIO = ["n", "m", "y"]\nGROUP = ["n", "y"]\n'
TWO_TOOLCHAINS = PROFILE.replace('["gcc-14"]', '["gcc-14", "clang-19"]')
COVERED = "pairs covered: 14 of 16; 2 unreachable"
"""VFIO=m takes MODULES, and GROUP=y takes VFIO."""


def interrupt(_job: Job) -> None:
    signal.raise_signal(signal.SIGINT)
    time.sleep(0.2)


@pytest.fixture
def desk(tmp_path: Path) -> ShardedDesk:
    made = ShardedDesk(tmp_path)
    made.asks(SYMBOLS, f"cover = 2\n{PROFILE}")
    return made


def count_rows(done: Run, state: State) -> int:
    return sum(cell.state is state for cell in done.cells)


def test_every_pair_that_kconfig_allows_is_built(desk: ShardedDesk) -> None:
    done = desk.run()
    built = [cell for cell in done.cells if cell.state in (State.PASS, State.EMPTY)]
    pairs = {frozenset(pair) for cell in built for pair in combinations(cell.request.items(), 2)}
    assert len(pairs) == 14
    assert frozenset({("VFIO", "m"), ("MODULES", "n")}) not in pairs
    assert frozenset({("VFIO", "n"), ("GROUP", "y")}) not in pairs


def test_a_plan_says_what_it_covers_and_a_run_what_it_proved(desk: ShardedDesk) -> None:
    planned = desk.plan()
    assert format_planned_coverage(planned) == COVERED
    assert format_coverage(planned) == "pairs covered: 0 of 16; 2 unreachable; 14 not tried"
    done = desk.run()
    assert [cell.id for cell in done.cells] == [cell.id for cell in planned.cells]
    assert done.plan_sha256 == planned.plan_sha256


def test_what_kconfig_does_not_allow_keeps_its_row_and_its_reason(desk: ShardedDesk) -> None:
    unreachable = [cell for cell in desk.plan().cells if cell.state is State.UNREACHABLE]
    asked = [cell.request for cell in unreachable]
    assert any(each["VFIO"] == "m" and each["MODULES"] == "n" for each in asked)
    assert any(each["VFIO"] == "n" and each["GROUP"] == "y" for each in asked)
    assert all(cell.reason for cell in unreachable)


def test_a_profile_without_cover_says_nothing_of_it(desk: ShardedDesk) -> None:
    desk.asks(SYMBOLS)
    done = desk.plan()
    assert len(done.cells) == 12
    assert measure_coverage(done) is measure_planned_coverage(done) is None
    assert "rows" not in done.profile


def test_both_toolchains_have_the_same_rows_where_kconfig_allows_the_same(desk: ShardedDesk) -> None:
    desk.asks(SYMBOLS, f"cover = 2\n{TWO_TOOLCHAINS}")
    cells = desk.plan().cells
    gcc, clang = ([c.request for c in cells if c.toolchain == name] for name in ("gcc-14", "clang-19"))
    assert gcc == clang != []


def test_the_same_seed_makes_the_same_plan_and_another_one_another(desk: ShardedDesk) -> None:
    first = desk.plan().plan_sha256
    assert desk.plan().plan_sha256 == first
    digests = set()
    for seed in range(5):
        desk.asks(SYMBOLS, f"cover = 2\ncover-seed = {seed}\n{PROFILE}")
        digests.add(desk.plan().plan_sha256)
    assert first in digests
    assert len(digests) > 1


def test_triples_by_the_option(desk: ShardedDesk) -> None:
    done = desk.plan(cover=["3"])
    # VFIO=m with MODULES=n is two of twelve, GROUP=y with VFIO=n two more.
    assert format_planned_coverage(done) == "triples covered: 8 of 12; 4 unreachable"


def test_a_selection_chooses_among_the_rows(desk: ShardedDesk) -> None:
    whole = [cell.id for cell in desk.plan().cells]
    selected = [cell.id for cell in desk.plan(select=["MODULES=y"]).cells]
    assert selected == [name for name in whole if "MODULES=y" in name]
    with pytest.raises(RequestError, match="matches no request"):
        desk.plan(select=["*/nothing"])


def test_a_run_that_was_stopped_goes_on_with_its_rows(desk: ShardedDesk) -> None:
    def stop(job: Job) -> None:
        if not job.configures:
            interrupt(job)

    desk.kernel.before = stop
    stopped = desk.run()
    assert stopped.interrupted
    desk.kernel.before = quiet
    resumption = find_resumption(str(desk.directory), GivenSettings({}, {}), desk.place / "runs")
    assert resumption is not None
    done = resume_run(resumption, desk.events.append, desk.world).run
    assert [cell.id for cell in done.cells] == [cell.id for cell in stopped.cells]
    assert format_coverage(done).startswith("pairs covered")


def test_shards_build_all_rows_between_them(desk: ShardedDesk) -> None:
    whole = sorted(cell.id for cell in desk.plan().cells)
    plan = desk.write_plan()
    shards = [desk.run_shard(index, 2) for index in (1, 2)]
    assert sorted(cell.id for stored in shards for cell in stored.run.cells) == whole
    told = [desk.run_shard(index, 2, plan) for index in (1, 2)]
    assert sorted(cell.id for stored in told for cell in stored.run.cells) == whole


def test_what_could_not_be_resolved_is_not_asked_for_again_and_again(desk: ShardedDesk) -> None:
    desk.kernel.before = dying("the engine is gone")
    done = desk.plan(retries=["0"])
    assert count_rows(done, State.INFRA) == len(done.cells) > 0
    assert format_planned_coverage(done) == "pairs covered: 0 of 16; 0 unreachable; 16 not tried"


def test_an_interrupt_while_kconfig_is_asked_ends_it(desk: ShardedDesk) -> None:
    desk.kernel.before = interrupt
    with pytest.raises(InterruptedRunError, match="while the plan was made"):
        desk.run()


def test_a_bench_does_not_know_the_rows(desk: ShardedDesk) -> None:
    profile = resolve_profile({"profile": [str(desk.profile)]}, {})
    with pytest.raises(RequestError, match="known only when"):
        plan_requests(profile)
    terms = ["MODULES=y", "MODULES=m", "arch=arm64", "x86/*", "!VFIO=m"]
    assert find_matching_terms(profile, terms) == ("MODULES=y", "x86/*", "!VFIO=m")


@pytest.mark.parametrize("row", [["n"], ["n", "n", "x"], ["n", "n", "n", "n"]])
def test_rows_of_other_symbols_are_refused(desk: ShardedDesk, row: list[str]) -> None:
    lane = f'{{ arch = "x86", toolchain = "gcc-14", base = "defconfig", rows = [{json.dumps(row)}] }}'
    desk.asks(SYMBOLS, f"cover = 2\nrows = [{lane}]\n{PROFILE}")
    with pytest.raises(RequestError, match="is no row of the symbols"):
        resolve_profile({"profile": [str(desk.profile)]}, {})


def test_too_much_to_cover_is_refused_before_anything_is_asked(desk: ShardedDesk) -> None:
    many = "".join(f'SYM{number} = ["n", "m", "y"]\n' for number in range(40))
    desk.asks(many, f"cover = 3\n{PROFILE}")
    with pytest.raises(RequestError, match="the symbols have 266760 combinations of 3 values"):
        desk.plan()
    assert not desk.kernel.jobs


def test_many_symbols_need_no_product(desk: ShardedDesk) -> None:
    many = "".join(f'SYM{number} = ["n", "y"]\n' for number in range(30))
    desk.asks(many, f"cover = 2\n{PROFILE}")
    assert resolve_profile({"profile": [str(desk.profile)], "arch": ["x86"]}, {}).cover == 2
