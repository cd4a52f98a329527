"""The whole pipeline, from profile to record, with an engine in memory and a make that is played."""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from matrix.builder.lane_dir import LaneDirectory
from matrix.cache_layout import CacheLayout
from matrix.commands.run import plan_matrix, run_matrix
from matrix.commands.session import Environment
from matrix.commands.settings import resolve_profile
from matrix.engine.images import ImageRecipe, compute_base_tag
from matrix.engine.protocol import LABEL, ContainerResult
from matrix.errors import EngineError, RequestError
from matrix.record.events import CellFinished, EventSink, LaneFinished, ProgressEvent, ProgressNote
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.run_model import Cell, Run
from matrix.record.states import Evidence, State, compute_run_exit_code
from matrix.source.cache import SourceCache
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import Job, Kernel, Made, Messages, Symbol
from tests.fakes.mails import a_diff, a_mail, a_mbox, a_patch
from tests.fakes.small_tree import small_tree

VFIO, GROUP = "drivers/vfio/vfio.o", "drivers/vfio/group.o"
KCONFIG = """\
config MODULES
	bool "modules"
config VFIO
	tristate "vfio"
config GROUP
	bool "group"
	depends on VFIO
"""
SYMBOLS = {"MODULES": Symbol(), "VFIO": Symbol(tristate=True), "GROUP": Symbol(needs="VFIO")}
PROFILE = """
focus = ["drivers/vfio/"]
arch = ["x86"]
toolchain = ["gcc-14"]
lanes = 1
[symbols]
"""
SIX = 'MODULES = ["n", "y"]\nVFIO = ["n", "m", "y"]\n'
TWO_LANES = 'VFIO = ["n", "y"]\n'
WARNING = "/src/drivers/vfio/vfio.c:7:5: warning: unused variable 'x' [-Wunused-variable]"
ERROR = "/src/drivers/vfio/vfio.c:7:5: error: 'x' undeclared"
CELL = "x86/gcc-14/defconfig/"


def always(*lines: str) -> Messages:
    return lambda _: list(lines)


class Desk:
    """One user's kmatrix on a small tree, with the kernel that its make plays."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tree = place / "tree"
        sources = {VFIO: "int vfio;\n", GROUP: "int group;\n"}
        more = {name.replace(".o", ".c"): text for name, text in sources.items()}
        small_tree(self.tree, Kconfig=KCONFIG, **more)
        self.kernel = Kernel(SYMBOLS, {VFIO: Made("VFIO"), GROUP: Made("GROUP")})
        toolchains = [ImageRecipe("gcc-14", "gcc", 14).tag, ImageRecipe("clang-19", "clang", 19).tag]
        self.engine = FakeEngine(self.kernel, images=[compute_base_tag(), *toolchains, "mine:1"])
        self.world = Environment(self.engine, SourceCache(CacheLayout(place / "cache")), place / "runs")
        self.profile = place / "small.toml"
        self.asks(SIX)
        self.events: list[ProgressEvent] = []
        self.on_event: EventSink = self.events.append
        self.directory = place

    def asks(self, symbols: str, head: str = PROFILE) -> None:
        self.profile.write_text(head + symbols)

    def says(self, name: str, says: Messages, *, symbol: str = "VFIO", sees: tuple[str, ...] = ()) -> None:
        self.kernel.objects[name] = Made(symbol, sees, says)

    def _tell(self, event: ProgressEvent) -> None:
        self.on_event(event)

    def _settled(self, options: dict[str, list[str]]) -> dict[str, list[str]]:
        given = {name.replace("_", "-"): words for name, words in options.items()}
        return {"profile": [str(self.profile)], "source": [str(self.tree)], **given}

    def run(self, **options: list[str]) -> Run:
        self.kernel.jobs.clear()
        self.stored = run_matrix(
            resolve_profile(self._settled(options), {}), self._tell, ["test"], self.world
        )
        self.directory = self.stored.directory
        return self.stored.run

    def forget_results(self) -> None:
        """Make the next run build its cells once more, in the lanes as they are."""
        for index in (self.place / "cache/memory").glob("*/index.sqlite"):
            with closing(sqlite3.connect(index)) as connection, connection:
                connection.execute("DELETE FROM entries WHERE kind = 'result'")

    def plan(self, **options: list[str]) -> Run:
        return plan_matrix(resolve_profile(self._settled(options), {}), self._tell, self.world)

    def build_directory(self) -> Path:
        return self.kernel.jobs[-1].host("/build")

    def lanes(self) -> set[str]:
        return {path.name for path in (self.place / "cache/lanes").iterdir()}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def states(done: Run) -> list[str]:
    return [cell.state.value for cell in done.cells]


def code(done: Run) -> int:
    return compute_run_exit_code((cell.state for cell in done.cells), interrupted=done.interrupted)


def cell_of(done: Run, tail: str) -> Cell:
    return next(cell for cell in done.cells if cell.id == f"{CELL}{tail}")


def messages(done: Run, cell: Cell) -> list[str]:
    return [done.diagnostics[ref.key].message for ref in cell.diagnostics]


def in_cell(
    tail: str, act: Callable[[Job], int | ContainerResult | None]
) -> Callable[[Job], int | ContainerResult | None]:
    """Act on the build of one cell only."""
    return lambda job: act(job) if job.cell == f"{CELL}{tail}" and not job.configures else None


def applying(job: Job) -> int:
    """What the patch of these tests does, in the container that applies it."""
    (job.host("/work") / "drivers/vfio/vfio.c").write_text("int v;\n")
    return 0


def dying(sentence: str) -> Callable[[Job], int]:
    def act(_job: Job) -> int:
        raise EngineError(sentence)

    return act


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


# The machine's limits and faults


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


# Stopping early


def test_an_interruption_leaves_a_complete_record(desk: Desk) -> None:
    def interrupt(_job: Job) -> None:
        os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C does
        threading.Event().wait(30)

    desk.kernel.before = in_cell("MODULES=n,VFIO=y", interrupt)
    done = desk.run()
    assert states(done) == ["empty", "unreachable", "cancelled", *["not-run"] * 3]
    assert done.interrupted
    assert code(done) == 130
    assert load_run(desk.directory) == done
    assert desk.engine.list_containers() == {}


def test_a_lane_that_is_deaf_keeps_nobody_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the host does by itself, such as a copy of gigabytes, sees no cancellation.
    monkeypatch.setattr("matrix.builder.lane_worker._STOP_GRACE", 0.5)
    at_work, over = threading.Event(), threading.Event()

    def work(*_: object) -> bool:
        at_work.set()
        return over.wait(30)

    def interrupt() -> None:
        at_work.wait(30)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(LaneDirectory, "prepare_configure", work)
    threading.Thread(target=interrupt).start()
    started = time.monotonic()
    done = desk.run()
    seconds = time.monotonic() - started
    over.set()
    assert done.interrupted
    assert seconds < 15
    assert set(states(done)) == {"not-run"}


def test_fail_fast_starts_nothing_after_a_failure(desk: Desk) -> None:
    desk.says(VFIO, always(ERROR))
    done = desk.run(fail_fast=["yes"])
    assert states(done).count("fail") == 1
    skipped = [cell for cell in done.cells if cell.state is State.NOT_RUN]
    assert skipped
    assert all("--fail-fast" in str(cell.reason) for cell in skipped)
    assert code(done) == 100


def test_after_the_deadline_no_cell_starts(desk: Desk) -> None:
    def slow(_job: Job) -> None:
        threading.Event().wait(1.1)

    desk.kernel.before = in_cell("MODULES=n,VFIO=n", slow)
    done = desk.run(deadline=["1s"])
    assert states(done) == ["empty", "unreachable", *["not-run"] * 4]
    assert "--deadline" in str(done.cells[-1].reason)
    assert code(done) == 2


def test_a_bug_in_a_lane_comes_out_after_everything_stopped(desk: Desk) -> None:
    desk.asks(TWO_LANES, PROFILE.replace("lanes = 1", "lanes = 2").replace('"x86"', '"x86", "powerpc"'))
    both = threading.Barrier(2)

    def bug(job: Job) -> None:
        if job.configures:
            return
        both.wait(10)
        if job.cell.startswith("x86"):
            raise AssertionError("a bug")
        threading.Event().wait(30)

    desk.kernel.before = bug
    with pytest.raises(AssertionError, match="a bug"):
        desk.run()
    assert desk.engine.list_containers() == {}
    (directory,) = {path.resolve() for path in (desk.place / "runs").iterdir()}
    written = load_run(directory)
    assert written.finished is not None
    assert len(written.cells) == 4


# What is kept, and for whom


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


# The job budget


def test_the_lanes_share_the_jobs(desk: Desk) -> None:
    desk.asks(TWO_LANES, PROFILE.replace("lanes = 1", "lanes = 2").replace('"x86"', '"x86", "powerpc"'))
    working: dict[str, int] = {}
    most: list[int] = []
    met, lock = threading.Barrier(2), threading.Lock()

    def watch(job: Job) -> None:
        with lock:
            working[job.container.name] = job.parallel
            most.append(sum(working.values()))
        if not job.configures and job.cell.endswith("VFIO=y"):
            met.wait(10)
        with lock:
            del working[job.container.name]

    desk.kernel.before = watch
    desk.run(jobs=["6"])
    assert max(most) == 6


def test_more_lanes_than_jobs_do_not_make_more_jobs(desk: Desk) -> None:
    head = PROFILE.replace("lanes = 1", "lanes = 4").replace('"x86"', '"x86", "powerpc", "s390", "arm64"')
    desk.asks(TWO_LANES, head)
    working: set[str] = set()
    most: list[int] = []
    lock = threading.Lock()

    def watch(job: Job) -> None:
        with lock:
            working.add(job.container.name)
            most.append(len(working) * job.parallel)
        threading.Event().wait(0.05)
        with lock:
            working.remove(job.container.name)

    desk.kernel.before = watch
    desk.run(jobs=["2"])
    assert max(most) <= 2


def test_a_lane_takes_over_the_jobs_of_one_that_is_done_and_records_what_it_ran(desk: Desk) -> None:
    desk.asks(TWO_LANES, PROFILE.replace("lanes = 1", "lanes = 2").replace('"x86"', '"x86", "powerpc"'))
    done = threading.Event()

    def listen(event: ProgressEvent) -> None:
        if isinstance(event, LaneFinished):
            done.set()

    def wait_for_the_other(job: Job) -> None:
        if job.cell.startswith("powerpc") and job.targets == ("drivers/vfio/",):
            done.wait(10)

    desk.on_event, desk.kernel.before = listen, wait_for_the_other
    made = desk.run(jobs=["4"], stage=["vmlinux"])
    ran = {(job.cell, job.targets[0]): " ".join(job.command) for job in desk.kernel.ran(configures=False)}
    assert "-j4" in ran[made.cells[-1].id, "vmlinux"]
    recorded = {
        (cell.id, stage.command.rpartition(" ")[2]): stage.command
        for cell in made.cells
        for stage in cell.stages[1:]
    }
    assert recorded == ran


def test_the_journal_has_every_finished_cell_when_it_is_told(desk: Desk) -> None:
    seen: list[str] = []

    def read_journal(event: ProgressEvent) -> None:
        if isinstance(event, CellFinished):
            (journal,) = (desk.place / "runs").glob("2*/cells.jsonl")
            last = json.loads(journal.read_text().splitlines()[-1])["cell"]
            assert (last["id"], last["state"]) == (event.cell.id, event.cell.state)
            seen.append(event.cell.id)

    desk.on_event = read_journal
    done = desk.run()
    assert sorted(seen) == sorted(cell.id for cell in done.cells)


# A tree that means harm: what its makefiles print and leave in the build directory


def test_an_object_that_a_log_places_elsewhere_is_not_removed_there(desk: Desk) -> None:
    victim = desk.place / "victim.o"
    victim.touch()
    warning = WARNING.replace("drivers/vfio/vfio.c", "way/victim.c")
    claims = (f"  CC      {victim}", warning, "  CC      way/victim.o", warning, f"  CC      {VFIO}", ERROR)
    desk.says(VFIO, always(*claims))

    def a_way_out(job: Job) -> None:
        if not (job.host("/build") / "way").is_symlink():
            (job.host("/build") / "way").symlink_to(desk.place)

    desk.kernel.before = a_way_out
    done = desk.run(select=["MODULES=n,VFIO=y"])
    assert states(done) == ["fail"]
    assert any(ref.object == "way/victim.o" for ref in done.cells[0].diagnostics)
    assert victim.exists()


def test_a_config_that_is_a_link_to_elsewhere_is_not_read(desk: Desk) -> None:
    secret = desk.place / "secret"
    secret.write_text("CONFIG_SECRET=y\n")

    def link(job: Job) -> int:
        (job.host("/build") / ".config").unlink(missing_ok=True)
        (job.host("/build") / ".config").symlink_to(secret)
        return 0

    desk.kernel.before = link
    done = desk.run(select=["MODULES=n,VFIO=y"])
    assert done.cells[0].config_sha256 is None
    assert not any("SECRET" in path.read_text() for path in desk.directory.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("left", "reason"),
    [
        (Path.exists, "left no .config"),
        (lambda path: path.symlink_to("/etc/passwd"), "'.config' is a link"),
        (lambda path: path.symlink_to("/dev/zero"), "'.config' is a link"),
        (os.mkfifo, "'.config' is no regular file"),
        (lambda path: path.mkdir(), "'.config' is a directory"),
        (lambda path: path.write_bytes(b"\0\n"), "line 1 is no line of a .config"),
        (lambda path: path.write_bytes(b"\n" * (16 * 2**20 + 1)), "'.config' has more than"),
    ],
)
def test_without_the_config_that_conf_reports_nothing_has_passed(
    desk: Desk, left: Callable[[Path], object], reason: str
) -> None:
    def spoil(job: Job) -> int | None:
        path = job.host("/build") / ".config"
        if job.targets != ("olddefconfig",) or not job.cell.endswith("MODULES=n,VFIO=y"):
            return None
        path.unlink()
        left(path)
        return 0

    desk.kernel.before = spoil
    done = desk.run(select=["MODULES=n", "!VFIO=m"], retries=["0"])
    assert states(done) == ["empty", "infra"]
    assert reason in str(done.cells[1].reason)
    assert done.cells[1].config_sha256 is None


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), RecursionError("too deep"), ValueError("odd")]
)
def test_an_error_of_a_cells_files_is_that_cells_infra(
    desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(lane: LaneDirectory, text: str) -> None:
        if "CONFIG_VFIO=y" in text:
            raise error
        real(lane, text)

    real = LaneDirectory.put_config
    monkeypatch.setattr(LaneDirectory, "put_config", refuse)
    done = desk.run(select=["MODULES=n", "!VFIO=m"], retries=["0"])
    assert states(done) == ["empty", "infra"]
    assert type(error).__name__ in str(done.cells[1].reason)
    assert (desk.build_directory().parent / "busy").exists()


def test_a_bug_is_in_the_record_before_it_ends_the_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(LaneDirectory, "put_config", stumble)
    with pytest.raises(TypeError, match="a bug"):
        desk.run(select=["MODULES=n,VFIO=y"])
    (directory,) = {path.resolve() for path in (desk.place / "runs").iterdir()}
    (cell,) = load_run(directory).cells
    assert (cell.state, cell.reason) == (State.INFRA, "kmatrix failed: TypeError: a bug")
