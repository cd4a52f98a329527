"""A run after others, of the same tree or a changed one: what is built, remembered, touched."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matrix.commands.run import run_matrix
from matrix.commands.settings import resolve_profile
from matrix.diagnostics.diagnostic import BuildLog
from matrix.diagnostics.log_parser import parse_build_log
from matrix.errors import MachineError
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.run_model import Run
from matrix.record.states import Evidence, State
from matrix.side_failures import take_side_failures
from reports.terminal import format_plan_totals
from tests.fakes.kernel import Job, Made, Symbol, quiet
from tests.unit.commands.run_desk import (
    CELL,
    ERROR,
    GROUP,
    PROFILE,
    VFIO,
    WARNING,
    Desk,
    always,
    dying,
    in_cell,
    states,
)

HEADER = "include/linux/group.h"
TWO = 'GROUP = ["n", "y"]\nVFIO = ["y"]\n'
BOTH = [Evidence.REMEMBERED, Evidence.REMEMBERED]


class Patching:
    """A user's tree with two cells, GROUP=n and GROUP=y; a run of it, and runs after it was changed."""

    def __init__(self, place: Path) -> None:
        self.desk = Desk(place)
        self.desk.asks(TWO)
        self.desk.says(VFIO, always(WARNING))
        self.desk.kernel.objects[GROUP] = Made("GROUP", includes=(f"/src/{HEADER}",))
        self.put(HEADER, "int group;\n")
        self.put("lib/other.c", "int other;\n")

    def put(self, name: str, text: str) -> None:
        path = self.desk.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def before(self, **options: list[str]) -> StoredRun:
        self.desk.run(**options)
        return self.desk.stored

    def after(self, **options: list[str]) -> Run:
        """Run again, on the tree as it is now. What make is asked is in ``self.asked``."""
        self.desk.run(**options)
        self.directory = self.desk.directory
        return self.desk.stored.run

    @property
    def asked(self) -> list[str]:
        return [job.cell.removeprefix(CELL) for job in self.desk.kernel.ran(configures=False)]


@pytest.fixture
def patching(tmp_path: Path) -> Patching:
    return Patching(tmp_path)


def evidence(done: Run) -> list[Evidence | None]:
    return [cell.evidence for cell in done.cells]


def test_a_run_records_what_each_cell_was_made_of(patching: Patching) -> None:
    before = patching.before()
    done, directory = before.run, before.directory
    assert [RunDirectory.load(directory).load_sources(cell) for cell in done.cells] == [
        frozenset({"drivers/vfio/vfio.c"}),
        frozenset({"drivers/vfio/vfio.c", "drivers/vfio/group.c", HEADER}),
    ]
    assert load_run(directory) == done


def test_an_object_that_its_lane_made_for_another_cell_is_no_part_of_a_cell(patching: Patching) -> None:
    patching.desk.asks(TWO.replace('"n", "y"', '"y", "n"'))
    before = patching.before()
    done, directory = before.run, before.directory
    assert [len(RunDirectory.load(directory).load_sources(cell) or ()) for cell in done.cells] == [3, 1]


def test_what_a_cell_that_failed_had_made_is_no_part_of_another_configuration(patching: Patching) -> None:
    """A failure kept kbuild from writing its list; the object does not fit what the next cell has."""
    patching.desk.asks(TWO.replace('"n", "y"', '"y", "n"'))
    patching.desk.says(VFIO, lambda config: [ERROR] if config["GROUP"] == "y" else [], sees=("GROUP",))
    before = patching.before()
    done, directory = before.run, before.directory
    assert states(done) == ["fail", "pass"]
    assert RunDirectory.load(directory).load_sources(done.cells[1]) == frozenset({"drivers/vfio/vfio.c"})
    assert not (patching.desk.build_directory() / GROUP).exists()


def test_a_cell_that_failed_records_no_sources(patching: Patching) -> None:
    patching.desk.says(GROUP, always(ERROR.replace("vfio.c", "group.c")), symbol="GROUP")
    done = patching.before().run
    assert states(done) == ["warn", "fail"]
    assert [cell.sources_sha256 is None for cell in done.cells] == [False, True]


def test_a_change_of_documentation_asks_make_nothing(patching: Patching) -> None:
    before = patching.before()
    patching.put("Documentation/vfio.rst", "VFIO\n")
    done = patching.after()
    assert patching.asked == []
    assert evidence(done) == BOTH
    assert states(done) == states(before.run) == ["warn", "warn"]
    assert [cell.evidence_from for cell in done.cells] == [
        f"{before.run.id}/{cell.id}" for cell in before.run.cells
    ]


def test_only_the_cells_that_a_changed_file_went_into_are_built(patching: Patching) -> None:
    patching.before()
    for name in (HEADER, "drivers/vfio/group.c"):
        patching.put(name, "int changed;\n")
        done = patching.after()
        assert patching.asked == ["GROUP=y,VFIO=y"]
        assert evidence(done) == [Evidence.REMEMBERED, Evidence.BUILT]
        assert done.cells[1].reason is None


READERS = ("matrix.memory.results", "matrix.memory.objects", "matrix.resolve.resolver")


def test_what_an_older_reader_of_logs_made_of_them_is_not_taken(
    patching: Patching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had no form for the compiler's warning, nor for conf's."""
    patching.desk.kernel.before = saying_at_configure("Kconfig:1: warning: a default that is no good")
    with monkeypatch.context() as older:
        older.setattr("matrix.builder.cell_build.parse_build_log", read_no_messages)
        older.setattr("matrix.resolve.resolver.parse_build_log", read_no_messages)
        for module in READERS:
            older.setattr(f"{module}.compute_parser_digest", lambda: "older")
        assert states(patching.before().run) == ["pass", "pass"]
    done = patching.after()
    assert states(done) == ["warn", "warn"]
    assert {done.diagnostics[ref.key].tool for cell in done.cells for ref in cell.diagnostics} == {
        "gcc",
        "kconfig",
    }


def saying_at_configure(line: str) -> Callable[[Job], None]:
    def say(job: Job) -> None:
        if job.configures:
            job.say(line)

    return say


def read_no_messages(lines: Sequence[str], *, failed: bool) -> BuildLog:
    return parse_build_log(lines, failed=failed)._replace(occurrences=())


def test_a_plan_reads_no_result_and_uses_none(patching: Patching, monkeypatch: pytest.MonkeyPatch) -> None:
    first = patching.before().run

    def touch(*_: object) -> None:
        raise AssertionError("a plan asks for the name alone")

    monkeypatch.setattr("matrix.memory.results._unpack", touch)
    monkeypatch.setattr("matrix.memory.layers.Memory.record_use", touch)
    monkeypatch.setattr("matrix.memory.layers.Memory.put_entries", touch)
    planned = patching.desk.plan()
    assert evidence(planned) == BOTH
    assert [cell.evidence_from for cell in planned.cells] == [f"{first.id}/{cell.id}" for cell in first.cells]


def test_a_source_that_goes_into_none_builds_none(patching: Patching) -> None:
    patching.before()
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after()
    assert patching.asked == []
    assert evidence(done) == BOTH


@pytest.mark.parametrize("name", ["lib/new.c", "drivers/vfio/Makefile", "scripts/new.sh", "lib/Kconfig"])
def test_what_dependency_files_cannot_tell_is_asked_of_make(patching: Patching, name: str) -> None:
    patching.before()
    patching.put(name, "# new\n")
    done = patching.after()
    assert evidence(done) == [Evidence.BUILT, Evidence.BUILT]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("config GROUP\n\tbool\n\tdepends on VFIO\n", BOTH),
        ("config GROUP\n\tbool\n\tdepends on $(success,true)\n", [Evidence.BUILT, Evidence.BUILT]),
    ],
)
def test_kconfig_reaches_a_cell_through_its_config(
    patching: Patching, text: str, expected: Sequence[Evidence]
) -> None:
    patching.put("drivers/vfio/Kconfig", "config GROUP\n\tbool\n")
    patching.before()
    patching.put("drivers/vfio/Kconfig", text)
    assert evidence(patching.after()) == expected


def test_another_value_that_kconfig_gives_is_built(patching: Patching) -> None:
    kernel, symbols = patching.desk.kernel, patching.desk.kernel.symbols
    for default, expected in {"n": BOTH, "y": [Evidence.BUILT, Evidence.BUILT]}.items():
        kernel.symbols = {**symbols, "OTHER": Symbol("n")}
        patching.put("drivers/vfio/Kconfig", "config OTHER\n\tbool\n")
        patching.before()
        kernel.symbols = {**symbols, "OTHER": Symbol(default)}
        patching.put("drivers/vfio/Kconfig", f"config OTHER\n\tbool\n\tdefault {default}\n")
        assert evidence(patching.after()) == expected


def test_a_run_of_remembered_cells_stands_alone(patching: Patching) -> None:
    """Its objects, sources, logs and diagnostics are its own."""
    before = patching.before()
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after()
    was = {cell.id: cell for cell in before.run.cells}
    logs = {cell.id: (before.directory / str(cell.log)).read_text() for cell in before.run.cells}
    shutil.rmtree(before.directory)
    for cell in done.cells:
        assert cell.evidence_from == f"{before.run.id}/{cell.id}"
        assert cell.stages[1:] == was[cell.id].stages[1:]
        assert VFIO in RunDirectory.load(patching.directory).load_objects(cell)
        assert "drivers/vfio/vfio.c" in (RunDirectory.load(patching.directory).load_sources(cell) or ())
        log = (patching.directory / str(cell.log)).read_text()
        assert log.startswith("$ make ")
        assert "config\n" not in log
        assert logs[cell.id].endswith(log), (
            "it is what was printed of the build, and not of its configuration"
        )
        assert [done.diagnostics[ref.key].message for ref in cell.diagnostics] == ["unused variable 'x'"]
    assert load_run(patching.directory) == done


def test_a_cell_that_failed_before_is_built_again_though_nothing_it_is_made_of_changed(
    patching: Patching,
) -> None:
    patching.desk.says(GROUP, always(ERROR.replace("vfio.c", "group.c")), symbol="GROUP")
    patching.before()
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after()
    assert patching.asked == ["GROUP=y,VFIO=y"]
    assert states(done) == ["warn", "fail"]


def test_a_failure_stands_after_a_change_of_documentation(patching: Patching) -> None:
    patching.desk.says(GROUP, always(ERROR.replace("vfio.c", "group.c")), symbol="GROUP")
    before = patching.before()
    patching.put("MAINTAINERS", "me\n")
    done = patching.after()
    assert patching.asked == []
    assert states(done) == ["warn", "fail"]
    taken_over = RunDirectory(done, patching.directory).load_objects(done.cells[1])
    assert taken_over == before.load_objects(before.run.cells[1])


def test_what_the_machine_kept_from_an_answer_is_tried_again(patching: Patching) -> None:
    patching.desk.kernel.before = in_cell("GROUP=n,VFIO=y", dying("the engine hiccups"))
    patching.before()
    patching.desk.kernel.before = lambda _: None
    done = patching.after()
    assert patching.asked == ["GROUP=n,VFIO=y"]
    assert evidence(done) == [Evidence.BUILT, Evidence.REMEMBERED]


CHANGES: Mapping[str, Mapping[str, list[str]]] = {
    "make line": {"make": ["W=1"]},
    "stage": {"stage": ["vmlinux"]},
}


@pytest.mark.parametrize("options", CHANGES.values(), ids=CHANGES)
def test_another_make_line_or_stage_is_built(patching: Patching, options: Mapping[str, list[str]]) -> None:
    patching.before()
    patching.put("Documentation/vfio.rst", "VFIO\n")
    assert evidence(patching.after(**options)) == [Evidence.BUILT, Evidence.BUILT]


def test_another_image_is_built(patching: Patching) -> None:
    patching.before()
    mine = '[toolchains.gcc-14]\nimage = "mine:1"\nmake = { CROSS_COMPILE = "{triplet}-" }\n'
    patching.desk.asks(TWO + mine)
    assert evidence(patching.after()) == [Evidence.BUILT, Evidence.BUILT]


def test_another_focus_is_built(patching: Patching) -> None:
    patching.before()
    head = patching.desk.profile.read_text().replace('"drivers/vfio/"', '"drivers/vfio/", "lib/"')
    patching.desk.profile.write_text(head)
    assert evidence(patching.after()) == [Evidence.BUILT, Evidence.BUILT]


def test_another_config_of_the_same_request_is_built(patching: Patching) -> None:
    patching.before()
    patching.desk.profile.write_text(f'{patching.desk.profile.read_text()}[fixed]\nMODULES = "y"\n')
    assert evidence(patching.after()) == [Evidence.BUILT, Evidence.BUILT]


def test_a_cell_that_the_run_before_did_not_have_is_built(patching: Patching) -> None:
    patching.before(select=["GROUP=n"])
    done = patching.after()
    assert evidence(done) == [Evidence.REMEMBERED, Evidence.BUILT]


def test_a_third_run_names_the_run_that_built(patching: Patching) -> None:
    first = patching.before()
    patching.put("lib/other.c", "int second;\n")
    StoredRun(patching.after(), patching.directory)
    patching.put("lib/other.c", "int third;\n")
    third = patching.after()
    assert evidence(third) == BOTH
    assert {cell.evidence_from for cell in third.cells} == {f"{first.run.id}/{c.id}" for c in first.run.cells}


def test_whatever_differs_from_the_tree_that_was_built_counts(patching: Patching) -> None:
    """And not what some patch says of itself."""
    patching.before()
    patching.put(HEADER, "int edited by hand;\n")
    patching.put("Documentation/vfio.rst", "VFIO\n")
    assert evidence(patching.after()) == [Evidence.REMEMBERED, Evidence.BUILT]


def test_neither_the_old_tree_nor_the_old_run_is_needed(patching: Patching) -> None:
    before = patching.before()
    patching.put("Documentation/vfio.rst", "VFIO\n")
    assert patching.desk.world.cache is not None
    patching.desk.world.cache.remove(before.run.source.digest)
    with pytest.raises(MachineError):
        patching.desk.world.cache.load_manifest(before.run.source.digest)
    shutil.rmtree(before.directory)
    done = patching.after()
    assert (patching.asked, evidence(done)) == ([], BOTH)


def test_a_lane_of_remembered_cells_takes_no_directory(patching: Patching) -> None:
    patching.before()
    shutil.rmtree(patching.desk.place / "cache/lanes")
    patching.put("lib/other.c", "int changed;\n")
    done = patching.after()
    assert State.INFRA not in {cell.state for cell in done.cells}
    assert not (patching.desk.place / "cache/lanes").exists()


# Any run, any order


def test_the_same_again_takes_no_container_and_builds_nothing(patching: Patching) -> None:
    before = patching.before()
    patching.desk.engine.ran.clear()
    done = patching.after()
    assert [container for container in patching.desk.engine.ran if container.mounts] == []
    assert (patching.asked, evidence(done), states(done)) == ([], BOTH, states(before.run))


def test_a_tree_that_was_changed_and_changed_back_is_as_it_was(patching: Patching) -> None:
    first = patching.before()
    old = (patching.desk.tree / HEADER).read_text()
    patching.put(HEADER, "int changed;\n")
    changed = patching.after()
    assert evidence(changed) == [Evidence.REMEMBERED, Evidence.BUILT]
    patching.put(HEADER, old)
    back = patching.after()
    assert (patching.asked, evidence(back)) == ([], BOTH)
    assert {cell.evidence_from for cell in back.cells} == {f"{first.run.id}/{c.id}" for c in first.run.cells}
    patching.put(HEADER, "int changed;\n")
    again = patching.after()
    assert (patching.asked, evidence(again)) == ([], BOTH)
    assert again.cells[1].evidence_from == f"{changed.id}/{changed.cells[1].id}"


def test_another_order_and_a_part_find_the_same(patching: Patching) -> None:
    patching.before()
    patching.desk.asks(TWO.replace('"n", "y"', '"y", "n"'))
    assert (evidence(patching.after()), patching.asked) == (BOTH, [])
    assert evidence(patching.after(select=["GROUP=y"])) == [Evidence.REMEMBERED]


def test_runs_of_parts_add_up(patching: Patching) -> None:
    one = patching.after(select=["GROUP=y"])
    other = patching.after(select=["GROUP=n"])
    whole = patching.after()
    assert (patching.asked, evidence(whole)) == ([], BOTH)
    assert [str(cell.evidence_from).partition("/")[0] for cell in whole.cells] == [other.id, one.id]


def test_a_failure_is_found_on_the_very_same_tree_and_on_no_other(patching: Patching) -> None:
    patching.desk.says(GROUP, always(ERROR.replace("vfio.c", "group.c")), symbol="GROUP")
    patching.before()
    done = patching.after()
    assert (patching.asked, evidence(done), states(done)) == ([], BOTH, ["warn", "fail"])
    patching.put("lib/other.c", "int changed;\n")
    assert evidence(patching.after()) == [Evidence.REMEMBERED, Evidence.BUILT]


def patched(patching: Patching, name: str) -> Run:
    """The run of the tree with a patch that makes another variable of the driver's."""
    text = f"int {name};\n"

    def apply(job: Job) -> int:
        (job.host("/work") / "drivers/vfio/vfio.c").write_text(text)
        return 0

    patching.desk.kernel.applies = apply
    path = patching.desk.place / f"{name}.patch"
    path.write_text(f"--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n+{text}")
    return patching.after(patch=[str(path)])


def test_two_patches_in_turn_each_find_their_own(patching: Patching) -> None:
    before = patching.before()
    one, two = patched(patching, "one"), patched(patching, "two")
    assert [evidence(done) for done in (one, two)] == [[Evidence.BUILT, Evidence.SAME_OBJECTS]] * 2
    for first, name in ((two, "two"), (one, "one")):
        again = patched(patching, name)
        assert (patching.asked, evidence(again)) == ([], BOTH)
        assert {cell.evidence_from for cell in again.cells} == {
            f"{first.id}/{cell.id}" for cell in first.cells
        }
    base = patching.after()
    assert {cell.evidence_from for cell in base.cells} == {
        f"{before.run.id}/{c.id}" for c in before.run.cells
    }


def test_the_same_content_without_the_patch_finds_nothing_that_the_patch_built(patching: Patching) -> None:
    """What a hostile patch produced serves that patch only."""
    assert evidence(patched(patching, "one")) == [Evidence.BUILT] * 2
    patching.put("drivers/vfio/vfio.c", "int one;\n")
    assert evidence(patching.after()) == [Evidence.BUILT] * 2


def test_what_a_patch_does_not_reach_is_the_bases(patching: Patching) -> None:
    before = patching.before(select=["GROUP=n"])
    patching.desk.asks(TWO.replace('"n", "y"', '"n"'))
    patching.put("drivers/vfio/vfio.c", "int vfio;\n")
    unused = patching.desk.place / "unused.patch"
    unused.write_text("--- a/lib/other.c\n+++ b/lib/other.c\n@@ -1 +1 @@\n-int other;\n+int another;\n")

    def apply(job: Job) -> int:
        (job.host("/work") / "lib/other.c").write_text("int another;\n")
        return 0

    patching.desk.kernel.applies = apply
    done = patching.after(patch=[str(unused)])
    assert (patching.asked, evidence(done)) == ([], [Evidence.REMEMBERED])
    assert done.cells[0].evidence_from == f"{before.run.id}/{before.run.cells[0].id}"


def test_a_fresh_run_builds_all_in_empty_directories_and_is_remembered(patching: Patching) -> None:
    patching.before()
    left = list((patching.desk.place / "cache/lanes").glob("*/build"))
    for path in left:
        (path / "left.o").touch()
    done = patching.after(fresh=["yes"])
    assert evidence(done) == [Evidence.BUILT] * 2
    assert all(cell.stages[-1].compiled for cell in done.cells)
    assert [path for path in left if (path / "left.o").exists()] == []
    later = patching.after()
    assert {cell.evidence_from for cell in later.cells} == {f"{done.id}/{cell.id}" for cell in done.cells}


def test_a_fresh_run_builds_one_config_once(patching: Patching) -> None:
    patching.desk.asks(
        'TWIN = ["n", "y"]\nVFIO = ["y"]\n'
        "[knobs.TWIN.x86]\nn = { set = {}, proof = {} }\ny = { set = {}, proof = {} }\n"
    )
    patching.before()
    assert evidence(patching.after(fresh=["yes"])) == [Evidence.BUILT, Evidence.SAME_CONFIG]
    assert evidence(patching.after()) == BOTH


def test_one_config_in_two_lanes_is_built_once(patching: Patching) -> None:
    """Two bases end in the same .config: their lanes share no directory, and the run no work."""
    other = patching.desk.place / "other.config"
    other.write_text("CONFIG_MODULES=n\n")
    head = PROFILE.replace(
        "[symbols]", f'base = ["defconfig", "other"]\n[bases.other]\nfile = "{other}"\n[symbols]'
    )
    patching.desk.asks('VFIO = ["y"]\n', head)
    first, second = patching.after().cells
    assert first.config_sha256 == second.config_sha256
    assert (first.evidence, second.evidence) == (Evidence.BUILT, Evidence.SAME_CONFIG)
    assert second.evidence_from == first.id


def test_an_object_of_a_directory_is_not_the_directory(patching: Patching) -> None:
    """make is asked for the same, and the cell is judged by something else."""
    patching.before()
    head = patching.desk.profile.read_text().replace('"drivers/vfio/"', '"drivers/vfio/group.o"')
    patching.desk.profile.write_text(head)
    done = patching.after()
    assert [(cell.state, cell.evidence) for cell in done.cells] == [
        (State.EMPTY, Evidence.BUILT),
        (State.WARN, Evidence.BUILT),
    ]


def test_what_a_killed_run_had_finished_is_found(patching: Patching) -> None:
    """Its record says that it never ended; each of its cells did."""

    def kill(_job: Job) -> int:
        raise RuntimeError("the process is killed here")

    patching.desk.kernel.before = in_cell("GROUP=y,VFIO=y", kill)
    with pytest.raises(RuntimeError):
        patching.before()
    patching.desk.kernel.before = quiet
    done = patching.after()
    assert evidence(done) == [Evidence.REMEMBERED, Evidence.BUILT]
    assert states(done) == ["warn", "warn"]


def test_without_a_memory_everything_is_built(patching: Patching) -> None:
    before = patching.before()
    shutil.rmtree(patching.desk.place / "cache/memory")
    (patching.desk.place / "cache/memory").write_text("no folder")
    done = patching.after()
    assert evidence(done) == [Evidence.BUILT] * 2
    assert states(done) == states(before.run)
    assert take_side_failures()


def test_a_plan_knows_what_is_remembered(patching: Patching) -> None:
    assert evidence(patching.desk.plan()) == [None, None]
    before = patching.before(select=["GROUP=y"])
    planned = patching.desk.plan()
    assert evidence(planned) == [None, Evidence.REMEMBERED]
    assert planned.cells[1].evidence_from == f"{before.run.id}/{before.run.cells[0].id}"
    assert states(planned) == ["not-run", "not-run"]
    assert format_plan_totals(planned) == "2 requests, 2 reachable (1 remembered), 0 unreachable, 1 lane"


def test_many_runs_at_once_share_what_they_remember(patching: Patching) -> None:
    """Each ends as if it were alone; and afterwards all is known."""
    profile = resolve_profile(patching.desk._settled({}), {})
    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(run_matrix, profile, lambda _: None, ["test"], patching.desk.world) for _ in range(4)
        ]
        done = [run.result().run for run in runs]
    assert [states(run) for run in done] == [["warn", "warn"]] * 4
    assert evidence(patching.after()) == BOTH


def test_what_conf_warns_of_is_said_of_the_configure_step_alone(patching: Patching) -> None:
    """make runs conf again after a flip; where its files are there already, it does not."""

    def warn(job: Job) -> None:
        if not job.is_dry_run:
            job.say("")
            job.say("WARNING: unmet direct dependencies detected for GROUP")
            job.say("  Depends on [n]: OTHER [=n]")

    patching.desk.says(VFIO, always())
    patching.desk.kernel.before = warn
    built = patching.before().run
    remembered = patching.after()
    assert evidence(remembered) == BOTH
    for done in (built, remembered):
        assert states(done) == ["warn", "warn"]
        assert [[stage.state for stage in cell.stages] for cell in done.cells] == [
            [State.WARN, State.PASS],
            [State.WARN, State.PASS],
        ]
        assert [[ref.stage for ref in cell.diagnostics] for cell in done.cells] == [["configure"]] * 2
