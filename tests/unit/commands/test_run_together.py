"""Requests of a lane that are configured by one make: what each is given, and that none disturbs another."""

from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.builder import lane_worker
from matrix.engine.protocol import ContainerResult
from matrix.record.run_model import Cell
from tests.fakes.kernel import Job, Settings
from tests.unit.commands.run_desk import CELL, Desk, code, states

Forked = tuple[Settings, str]
ALONE = ["empty", "unreachable", "pass", "empty", "pass", "pass"]
WRITTEN = "#\n# configuration written to .config\n#\n"


def make_well(_number: int, settings: Settings) -> Forked:
    return settings, WRITTEN


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.kernel.forks = make_well
    return desk


def configured(desk: Desk) -> list[str]:
    """The cells whose own make configured them."""
    jobs = desk.kernel.ran(configures=True)
    return [job.cell.removeprefix(CELL) for job in jobs if job.targets == ("olddefconfig",)]


def recorded(cell: Cell) -> tuple[object, ...]:
    """What must not depend on who configured it; seconds do."""
    stage = cell.stages[0].model_copy(update={"seconds": 0.0})
    return (cell.id, cell.state, cell.config_sha256, cell.reason, cell.diagnostics, stage)


def log_of(desk: Desk, cell: Cell) -> str:
    return (desk.directory / str(cell.log)).read_text()


def test_one_make_configures_all_requests_of_a_lane(desk: Desk, tmp_path: Path) -> None:
    done = desk.run()
    assert states(done) == ALONE
    assert configured(desk) == ["MODULES=n,VFIO=n"]
    each = Desk(tmp_path / "each")
    assert [*map(recorded, done.cells)] == [*map(recorded, each.run().cells)]
    assert len(configured(each)) == len(ALONE)


def test_a_cells_log_has_its_literal_make_and_says_whose_conf_it_was(desk: Desk) -> None:
    cell = desk.run().cells[-1]
    command, note, *rest = log_of(desk, cell).splitlines()
    assert command == f"$ {cell.stages[0].command}"
    assert f"by the make of {CELL}MODULES=n,VFIO=n" in note
    assert rest[:3] == WRITTEN.splitlines()


def test_a_log_of_the_cell_whose_make_it_was_has_its_own_lines_only(desk: Desk) -> None:
    cell = desk.run().cells[0]
    assert "kmatrix:" not in log_of(desk, cell)
    assert log_of(desk, cell).count("olddefconfig") == 1


def test_nothing_of_the_forks_stays_in_the_build_directory(desk: Desk) -> None:
    desk.run()
    assert [*desk.build_directory().glob(".configure*")] == []


def test_what_a_fork_printed_belongs_to_its_cell_alone(desk: Desk) -> None:
    def warn(number: int, settings: Settings) -> Forked:
        return settings, ".config:1:warning: symbol value 'x' invalid for VFIO\n" if number == 1 else ""

    desk.kernel.forks = warn
    done = desk.run()
    assert [len(cell.diagnostics) for cell in done.cells] == [0, 0, 1, 0, 0, 0]
    assert [cell.stages[0].state.value for cell in done.cells] == ["pass", "pass", "warn", *["pass"] * 3]


FAILING: dict[str, Callable[[int, Settings], Forked]] = {
    "none made": lambda number, settings: ({} if number == 1 else settings, ""),
    "refused memory": lambda number, settings: (settings, "out of memory\n" if number == 1 else ""),
    "killed": lambda number, settings: (settings, "sh: 1: Killed\n" if number == 1 else ""),
    "endless": lambda number, settings: (settings, "x" * (2**20 + 1) if number == 1 else ""),
}


@pytest.mark.parametrize("case", FAILING)
def test_a_request_whose_fork_failed_is_configured_by_its_own_make(desk: Desk, case: str) -> None:
    desk.kernel.forks = FAILING[case]
    assert states(desk.run()) == ALONE
    assert configured(desk) == ["MODULES=n,VFIO=n", "MODULES=n,VFIO=y"]


UNLIKE: dict[str, Callable[[int, Settings], Forked]] = {
    "another .config": lambda _, settings: ({**settings, "GROUP": "y"}, ""),
    "another output": lambda _, settings: (
        settings,
        ".config:1:warning: symbol value 'x' invalid for VFIO\n",
    ),
    "nothing": lambda _number, _settings: ({}, ""),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_forks_that_do_not_what_make_does_are_not_believed(desk: Desk, case: str) -> None:
    desk.kernel.forks = UNLIKE[case]
    done = desk.run()
    assert states(done) == ALONE
    assert len(configured(desk)) == len(ALONE)
    assert all(cell.diagnostics == () for cell in done.cells)


def test_only_the_last_fork_is_made_to_say_what_make_said(desk: Desk) -> None:
    """The first request is forked after all others: what they left behind would show in it."""
    seen: list[Settings] = []

    def note(_: int, settings: Settings) -> Forked:
        seen.append(settings)
        return settings, ""

    desk.kernel.forks = note
    desk.run()
    assert seen[-1] == {"MODULES": "n", "VFIO": "n", "GROUP": "n"}
    assert len(seen) == len(ALONE)


ENDS: dict[str, int | ContainerResult] = {
    "failed": 2,
    "timed out": ContainerResult(137, 1.0, timed_out=True),
    "oom": ContainerResult(137, 1.0, oom=True),
    "killed": 137,
    "processes": ContainerResult(0, 1.0, report=("pids.events max 7",)),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_fault_of_the_common_make_is_no_requests_fault(desk: Desk, case: str) -> None:
    def end_common(job: Job) -> int | ContainerResult | None:
        if "conf_forks.so" not in job.container.command[2]:
            return None
        (job.host("/build") / "half-written.o").touch()
        (job.host("/build") / ".configured-0").write_text("CONFIG_MODULES=y\n")
        return ENDS[case]

    desk.kernel.before = end_common
    done = desk.run(retries=["0"])
    assert states(done) == ALONE
    assert code(done) == 0
    # Tried once, then each by itself.
    assert configured(desk) == ["MODULES=n,VFIO=n", *(cell.id.removeprefix(CELL) for cell in done.cells)]
    assert (desk.build_directory() / "half-written.o").exists() == (case == "failed")
    assert [*desk.build_directory().glob(".configure*")] == []


def test_a_link_in_place_of_a_made_configuration_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("CONFIG_MODULES=n\nCONFIG_VFIO=y\nCONFIG_SECRET=y\n")

    def link(job: Job) -> None:
        if "conf_forks.so" in job.container.command[2]:
            (job.host("/build") / ".configured-1").symlink_to(tmp_path / "secret")

    desk.kernel.before = link
    desk.kernel.forks = FAILING["none made"]
    assert states(desk.run()) == ALONE
    assert configured(desk) == ["MODULES=n,VFIO=n", "MODULES=n,VFIO=y"]


def test_what_is_known_already_is_not_made_again(desk: Desk) -> None:
    desk.asks('MODULES = ["n"]\nVFIO = ["n", "m", "y"]\n')
    desk.run()
    desk.asks('MODULES = ["n", "y"]\nVFIO = ["n", "m", "y"]\n')
    seen: list[int] = []

    def note(number: int, settings: Settings) -> Forked:
        seen.append(number)
        return settings, ""

    desk.kernel.forks = note
    assert states(desk.run()) == ALONE
    assert configured(desk) == ["MODULES=y,VFIO=n"]
    assert seen == [0, 1, 2]


def test_one_request_alone_is_made_as_it_is_typed(desk: Desk) -> None:
    desk.asks('VFIO = ["y"]\n')
    desk.run()
    assert all("conf_forks.so" not in job.container.command[2] for job in desk.kernel.jobs)


def test_many_requests_are_shared_out_over_several_makes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_worker, "MAX_TOGETHER", 4)
    assert states(desk.run()) == ALONE
    assert configured(desk) == ["MODULES=n,VFIO=n", "MODULES=y,VFIO=m"]


def test_a_base_that_cannot_be_made_is_told_once_and_by_every_cell(desk: Desk) -> None:
    desk.kernel.before = lambda job: 2 if job.configures else None
    done = desk.run()
    assert states(done) == ["fail"] * len(ALONE)
    assert [job.targets for job in desk.kernel.jobs] == [("defconfig",)]
