"""A run in which a limit or a fault of the machine ends a cell: it is never the tree's failure."""

from collections.abc import Callable

import pytest

from matrix.engine.protocol import ContainerResult
from matrix.errors import EngineError
from matrix.record.run_directory import load_run
from matrix.record.states import State
from tests.fakes.kernel import Job
from tests.unit.commands.run_desk import CELL, Desk, cell_of, code, dying, in_cell, messages, states


def _fill_disk(message: str) -> Callable[[Job], int]:
    def run(job: Job) -> int:
        job.say(f"fatal error: error writing to /build/x.o: {message}")
        return 2

    return run


FAULTS = [
    pytest.param(lambda _: ContainerResult(137, 1.0, timed_out=True), "timeout", id="time"),
    pytest.param(lambda _: ContainerResult(137, 1.0, oom=True), "oom", id="memory"),
    pytest.param(lambda _: 137, "infra", id="killed"),
    pytest.param(_fill_disk("No space left on device"), "infra", id="disk"),
    pytest.param(_fill_disk("Disk quota exceeded"), "infra", id="quota"),
]


@pytest.mark.parametrize(("fault", "state"), FAULTS)
def test_a_fault_of_the_machine_is_its_own_state_and_the_next_cell_has_a_new_directory(
    desk: Desk, fault: Callable[[Job], int | ContainerResult], state: str
) -> None:
    def faulty(job: Job) -> int | ContainerResult:
        (job.host("/build") / "half-written.o").touch()
        return fault(job)

    desk.kernel.before = in_cell("MODULES=n,VFIO=n", faulty)
    done = desk.run()
    assert states(done) == [state, "unreachable", "pass", "empty", "pass", "pass"]
    assert code(done) == 2
    assert not (desk.build_directory() / "half-written.o").exists()


@pytest.mark.parametrize("fault", ["timed_out", "oom"])
def test_an_error_that_the_compiler_had_found_stands_though_the_machine_gave_up_later(
    desk: Desk, fault: str
) -> None:
    def refused(job: Job) -> ContainerResult:
        job.say("  CC      drivers/vfio/vfio.o")
        job.say("/src/drivers/vfio/vfio.c:1:5: error: unknown type name 'v'")
        (job.host("/build") / "half-written.o").touch()
        return ContainerResult(137, 1.0, timed_out=fault == "timed_out", oom=fault == "oom")

    desk.kernel.before = in_cell("MODULES=n,VFIO=y", refused)
    done = desk.run()
    assert states(done) == ["empty", "unreachable", "fail", "empty", "pass", "pass"]
    assert code(done) == 100
    assert not (desk.build_directory() / "half-written.o").exists()


@pytest.mark.parametrize("fault", ["timed_out", "oom"])
def test_what_a_tool_says_as_it_is_stopped_is_no_finding_even_beside_one(desk: Desk, fault: str) -> None:
    def refused(job: Job) -> ContainerResult:
        job.say("  CC      drivers/vfio/vfio.o")
        job.say("/src/drivers/vfio/vfio.c:1:5: error: unknown type name 'v'")
        job.say("  CC      drivers/vfio/other.o")
        job.say("gcc: fatal error: Killed signal terminated program cc1")
        job.say("make[3]: *** [/src/scripts/Makefile.build:229: drivers/vfio/other.o] Error 1")
        return ContainerResult(137, 1.0, timed_out=fault == "timed_out", oom=fault == "oom")

    desk.kernel.before = in_cell("MODULES=n,VFIO=y", refused)
    done = desk.run()
    cell = cell_of(done, "MODULES=n,VFIO=y")
    assert cell.state is State.FAIL
    assert messages(done, cell) == ["unknown type name 'v'"]
    assert not {"drivers/vfio/vfio.o", "drivers/vfio/other.o"} & desk.stored.made_objects[cell.id]


@pytest.mark.parametrize(("fault", "state"), FAULTS)
def test_a_fault_while_configuring_leaves_nothing_to_the_next_cell(
    desk: Desk, fault: Callable[[Job], int | ContainerResult], state: str
) -> None:
    def faulty(job: Job) -> int | ContainerResult | None:
        if job.targets != ("olddefconfig",) or job.cell != f"{CELL}MODULES=n,VFIO=n":
            return None
        (job.host("/build") / "half-written.o").touch()
        return fault(job)

    desk.kernel.before = faulty
    done = desk.run()
    assert states(done) == [state, "unreachable", "pass", "empty", "pass", "pass"]
    assert not (desk.build_directory() / "half-written.o").exists()


def test_an_engine_that_fails_in_one_cell_leaves_the_others_their_try(desk: Desk) -> None:
    desk.kernel.before = in_cell("MODULES=n,VFIO=y", dying("the engine hiccups"))
    done = desk.run()
    assert states(done) == ["empty", "unreachable", "infra", "empty", "pass", "pass"]
    assert cell_of(done, "MODULES=n,VFIO=y").reason == "the engine hiccups"
    assert code(done) == 2


def test_an_engine_that_dies_makes_every_cell_infra_and_the_record_is_whole(desk: Desk) -> None:
    def die(_job: Job) -> int:
        desk.engine.broken = "the engine is gone"
        raise EngineError(desk.engine.broken)

    desk.kernel.before = die
    done = desk.run()
    assert set(states(done)) == {"infra"}
    assert {cell.reason for cell in done.cells} == {"the engine is gone"}
    assert code(done) == 2
    assert load_run(desk.directory) == done


def test_a_build_that_changes_its_configuration_is_not_believed(desk: Desk) -> None:
    def meddle(job: Job) -> None:
        (job.host("/build") / ".config").write_text("CONFIG_VFIO=y\nCONFIG_MODULES=y\n")

    desk.kernel.before = in_cell("MODULES=n,VFIO=y", meddle)
    done = desk.run()
    cell = cell_of(done, "MODULES=n,VFIO=y")
    assert cell.state is State.INFRA
    assert "its own configuration" in str(cell.reason)
    assert states(done)[3:] == ["empty", "pass", "pass"]


def test_a_build_that_removes_its_configuration_is_not_believed_either(desk: Desk) -> None:
    def meddle(job: Job) -> int:
        (job.host("/build") / ".config").unlink()
        return 0

    desk.kernel.before = in_cell("MODULES=n,VFIO=y", meddle)
    assert cell_of(desk.run(), "MODULES=n,VFIO=y").state is State.INFRA
