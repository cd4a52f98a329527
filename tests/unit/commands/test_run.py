"""The whole pipeline, from profile to record, with an engine in memory and a make that is played."""

import pytest

from matrix.engine.images import compute_base_tag
from matrix.engine.protocol import LABEL
from matrix.errors import RequestError
from matrix.record.events import ProgressNote
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.states import Evidence, State
from tests.fakes.kernel import Job, Made
from tests.unit.commands.run_desk import (
    CELL,
    ERROR,
    GROUP,
    PROFILE,
    TWO_LANES,
    VFIO,
    WARNING,
    Desk,
    always,
    cell_of,
    code,
    in_cell,
    messages,
    states,
)

# Rows and states


def test_every_request_has_its_row_in_plan_order_with_what_came_of_it(desk: Desk) -> None:
    done = desk.run()
    assert [(cell.id.removeprefix(CELL), cell.state.value) for cell in done.cells] == [
        ("MODULES=n,VFIO=n", "empty"),
        ("MODULES=n,VFIO=m", "unreachable"),
        ("MODULES=n,VFIO=y", "pass"),
        ("MODULES=y,VFIO=n", "empty"),
        ("MODULES=y,VFIO=m", "pass"),
        ("MODULES=y,VFIO=y", "pass"),
    ]
    assert code(done) == 0
    assert load_run(desk.directory) == done


def test_a_cell_records_what_was_appended_to_its_base_and_which_objects_belong_to_it(desk: Desk) -> None:
    done = desk.run()
    built = cell_of(done, "MODULES=n,VFIO=y")
    assert built.fragment == {"MODULES": "n", "VFIO": "y"}
    assert RunDirectory.load(desk.directory).load_objects(built) == {VFIO}
    assert RunDirectory.load(desk.directory).load_objects(cell_of(done, "MODULES=n,VFIO=n")) == frozenset()
    assert cell_of(done, "MODULES=n,VFIO=m").fragment == {"MODULES": "n", "VFIO": "m"}


def test_a_failing_cell_records_what_it_tried(desk: Desk) -> None:
    desk.asks('VFIO = ["y"]\nGROUP = ["y"]\n')
    desk.says(VFIO, always(ERROR))
    (failed,) = desk.run().cells
    assert failed.state is State.FAIL
    assert VFIO in RunDirectory.load(desk.directory).load_objects(failed)


def test_a_run_records_how_its_base_starts_and_what_its_images_are_made_of(desk: Desk) -> None:
    own = desk.place / "own.config"
    own.write_text("CONFIG_MODULES=y\n")
    head = PROFILE.replace(
        "[symbols]",
        f"""base = ["defconfig", "own"]
[bases.own]
file = "{own}"
fragment = ["CONFIG_GROUP=y"]
[symbols]""",
    )
    desk.asks(TWO_LANES, head)
    done = desk.run()
    assert done.bases["defconfig"].targets == {"x86": "defconfig"}
    base = done.bases["own"]
    assert base.targets == {}
    assert base.fragment == ("CONFIG_GROUP=y",)
    kept = desk.directory / "configs" / str(base.config_sha256)
    assert kept.read_text() == "CONFIG_MODULES=y\n"
    recipe = done.toolchains["gcc-14"].recipe
    assert [text.splitlines()[0] for text in recipe] == [
        f"FROM {done.toolchains['gcc-14'].root}",
        f"FROM {compute_base_tag()}",
    ]


def test_an_unreachable_request_says_why_and_what_it_became_and_is_never_built(desk: Desk) -> None:
    cell = cell_of(desk.run(), "MODULES=n,VFIO=m")
    assert (cell.reason, cell.resolves_to) == ("VFIO=m: MODULES=n makes it y", f"{CELL}MODULES=n,VFIO=y")
    assert cell.id in {job.cell for job in desk.kernel.ran(configures=True)}
    assert cell.id not in {job.cell for job in desk.kernel.ran(configures=False)}


def test_a_plan_resolves_builds_nothing_and_leaves_no_run(desk: Desk) -> None:
    done = desk.plan()
    assert states(done) == ["not-run", "unreachable", *["not-run"] * 4]
    assert desk.kernel.ran(configures=False) == []
    assert not (desk.place / "runs").exists()


@pytest.mark.parametrize("focus", ["drivers/nosuch/", "drivers/vfio"])
def test_a_plan_needs_no_focus_as_it_builds_nothing(desk: Desk, focus: str) -> None:
    desk.asks(TWO_LANES, PROFILE.replace("drivers/vfio/", focus))
    assert states(desk.plan()) == ["not-run", "not-run"]
    notes = [event.text for event in desk.events if isinstance(event, ProgressNote)]
    assert [text for text in notes if "focus:" in text] == []
    with pytest.raises(RequestError, match="focus"):
        desk.run()
    assert not (desk.place / "runs").exists()


def test_a_warning_is_warn_and_belongs_to_its_object(desk: Desk) -> None:
    desk.says(VFIO, always(WARNING))
    done = desk.run()
    cell = cell_of(done, "MODULES=y,VFIO=y")
    assert cell.state is State.WARN
    assert [(ref.object, ref.stage) for ref in cell.diagnostics] == [(VFIO, "focus")]
    assert code(done) == 0


def test_a_compilers_error_is_fail_and_exit_100_and_the_others_are_built(desk: Desk) -> None:
    desk.says(VFIO, lambda config: [ERROR] if config["MODULES"] == "n" else [], sees=("MODULES",))
    done = desk.run()
    assert states(done) == ["empty", "unreachable", "fail", "empty", "pass", "pass"]
    assert messages(done, cell_of(done, "MODULES=n,VFIO=y")) == ["'x' undeclared"]
    assert code(done) == 100


def test_a_failure_in_which_nothing_is_recognised_keeps_makes_last_words(desk: Desk) -> None:
    def grumble(job: Job) -> int:
        job.say("the frobnicator refuses")
        return 2

    desk.kernel.before = in_cell("MODULES=n,VFIO=y", grumble)
    done = desk.run()
    cell = cell_of(done, "MODULES=n,VFIO=y")
    assert cell.state is State.FAIL
    assert messages(done, cell) == ["the frobnicator refuses"]


def test_a_refusing_kconfig_fails_every_cell_of_the_lane(desk: Desk) -> None:
    def refuse(job: Job) -> int | None:
        if not job.configures:
            return None
        job.say("drivers/vfio/Kconfig:3: syntax error")
        return 1

    desk.kernel.before = refuse
    done = desk.run()
    assert set(states(done)) == {"fail"}
    assert all(messages(done, cell) for cell in done.cells)
    assert desk.kernel.ran(configures=False) == []


def test_two_requests_with_one_config_are_built_once(desk: Desk) -> None:
    desk.asks(
        'TWIN = ["n", "y"]\nVFIO = ["y"]\n'
        "[knobs.TWIN.x86]\nn = { set = {}, proof = {} }\ny = { set = {}, proof = {} }\n"
    )
    desk.says(VFIO, always(WARNING))
    first, second = desk.run().cells
    assert (first.evidence, second.evidence) == (Evidence.BUILT, Evidence.SAME_CONFIG)
    assert second.evidence_from == first.id
    assert (second.state, second.diagnostics) == (State.WARN, first.diagnostics)
    # Each has a configure step of its own, which takes its own time.
    own = second.stages[0].model_copy(update={"seconds": first.stages[0].seconds})
    assert (own, *second.stages[1:]) == first.stages
    assert len(desk.kernel.ran(configures=False)) == 1


# Stages


def test_a_cell_records_when_it_was_built_and_others_do_not(desk: Desk) -> None:
    desk.asks('MODULES = ["n", "y"]\nVFIO = ["m", "y"]\n')
    run = desk.run()
    spans = {cell.id.removeprefix(CELL): cell.at_work for cell in run.cells}
    assert spans.pop("MODULES=n,VFIO=m") is None
    assert run.finished is not None
    times = [moment for span in spans.values() if span for moment in span]
    assert len(times) == 6
    assert all(0 <= moment <= run.measure_elapsed(run.finished) + 0.1 for moment in times)
    assert {cell.at_work for cell in desk.run().cells} == {None}


def test_stages_are_cumulative_and_modules_is_empty_without_modules(desk: Desk) -> None:
    done = desk.run(stage=["modules"], select=["VFIO=y"])
    found = {cell.request["MODULES"]: [(s.name, s.state.value) for s in cell.stages] for cell in done.cells}
    built = [("configure", "pass"), ("focus", "pass"), ("vmlinux", "pass")]
    assert found == {"n": [*built, ("modules", "empty")], "y": [*built, ("modules", "empty")]}
    asked = [job.targets for job in desk.kernel.ran(configures=False)]
    assert asked.count(("vmlinux",)) == 2
    assert asked.count(("modules",)) == 1, "MODULES=n has no such target"


def test_a_module_is_an_object_of_the_modules_stage_only(desk: Desk) -> None:
    (cell,) = desk.run(stage=["modules"], select=["VFIO=m,MODULES=y"]).cells
    assert [(s.name, s.state.value, s.objects) for s in cell.stages[1:]] == [
        ("focus", "pass", 1),
        ("vmlinux", "empty", 0),
        ("modules", "pass", 1),
    ]
    assert cell.state is State.PASS


# Warnings that are carried


def test_a_warning_is_carried_while_its_object_is_not_compiled_again(desk: Desk) -> None:
    desk.says(VFIO, always(WARNING))
    first = desk.run(select=["VFIO=y"])
    desk.forget_results()
    again = desk.run(select=["VFIO=y"])
    assert [cell.stages[-1].compiled for cell in again.cells] == [0, 0]
    assert [cell.state for cell in again.cells] == [State.WARN, State.WARN]
    assert again.cells[0].diagnostics == first.cells[0].diagnostics


def test_a_warning_goes_when_its_object_leaves_the_configuration_and_comes_back_with_it(desk: Desk) -> None:
    desk.asks('GROUP = ["y", "n"]\nVFIO = ["y"]\n')
    desk.says(GROUP, always(WARNING.replace("vfio.c", "group.c")), symbol="GROUP")
    assert states(desk.run()) == ["warn", "pass"]
    desk.forget_results()
    back = desk.run(select=["GROUP=y"])
    assert back.cells[0].stages[-1].compiled == 0
    assert states(back) == ["warn"]


def test_a_warning_is_forgotten_when_its_object_is_compiled_without_it(desk: Desk) -> None:
    desk.says(VFIO, lambda config: [WARNING] if config["MODULES"] == "n" else [], sees=("MODULES",))
    assert states(desk.run(select=["VFIO=y"])) == ["warn", "pass"]
    desk.forget_results()
    again = desk.run(select=["MODULES=y,VFIO=y"])
    assert again.cells[0].stages[-1].compiled == 0
    assert states(again) == ["pass"]


def test_a_warning_beside_a_failure_does_not_outlive_its_object(desk: Desk) -> None:
    """A failing directory leaves no list, so what belongs to it is not read from there."""
    desk.asks('GROUP = ["y", "n"]\nVFIO = ["y"]\n')
    desk.says(GROUP, always(WARNING.replace("vfio.c", "group.c")), symbol="GROUP")
    desk.says(VFIO, lambda config: [ERROR] if config["GROUP"] == "y" else [], sees=("GROUP",))
    done = desk.run()
    assert states(done) == ["fail", "pass"]
    assert done.cells[1].diagnostics == ()


def test_a_warning_is_carried_beside_a_failure(desk: Desk) -> None:
    """What a lane has built before must not decide what is found in a cell."""
    desk.asks('GROUP = ["n", "y"]\nVFIO = ["y"]\n')
    desk.kernel.objects["drivers/vfio/main.o"] = Made("VFIO", (), always(WARNING.replace("vfio.c", "main.c")))
    (desk.tree / "drivers/vfio/main.c").write_text("int main;\n")
    desk.says(VFIO, lambda config: [ERROR] if config["GROUP"] == "y" else [], sees=("GROUP",))
    done = desk.run()
    assert states(done) == ["warn", "fail"]
    assert "unused variable 'x'" in messages(done, done.cells[1])


# What tells runs apart


def test_containers_of_two_runs_are_told_apart_though_the_runs_have_one_id(desk: Desk) -> None:
    owners = set()
    for name in ("one", "other"):
        desk.engine.ran.clear()
        desk.forget_results()
        done = desk.run(out=[str(desk.place / name)])
        own = {job.container.labels[LABEL] for job in desk.kernel.jobs if job.container in desk.engine.ran}
        assert all(owner.startswith(f"{done.id}-") for owner in own)
        assert len(own) == 1
        owners |= {owner.rpartition("-")[2] for owner in own}
    assert len(owners) == 2


def test_runs_that_start_in_one_second_are_kept_apart(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.commands.run.generate_run_id", lambda *_: "20261125-174221-quick")
    directories = [(desk.run(), desk.directory)[1] for _ in range(3)]
    assert [path.name for path in directories] == [f"20261125-174221-quick{end}" for end in ("", ".2", ".3")]
    assert [load_run(path).id for path in directories] == [path.name for path in directories]
