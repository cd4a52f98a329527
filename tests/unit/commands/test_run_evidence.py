"""What a failing cell proves, through the whole pipeline: what was made in it, and what was not."""

from pathlib import Path

import pytest

from matrix.engine.protocol import ContainerResult
from matrix.findings.finding import Finding
from matrix.findings.stored_run import StoredRun
from matrix.record.run_directory import load_run
from matrix.record.run_model import Run
from tests.fakes.kernel import Job, Made, Settings
from tests.unit.commands.run_desk import ERROR, VFIO, WARNING, Desk, always, cell_of

OTHER, THIRD = "drivers/vfio/group.o", "drivers/vfio/main.o"
DETOUR = "virt/kvm/vfio.o"
OTHER_ERROR = ERROR.replace("vfio.c", "group.c").replace("'x'", "'y'")
HEAD = 'GROUP = ["n", "y"]\nVFIO = ["y"]\n'
TURNED = HEAD.replace('"n", "y"', '"y", "n"')
OFF, ON = "GROUP=n,VFIO=y", "GROUP=y,VFIO=y"


def is_on(config: Settings) -> bool:
    return config["GROUP"] == "y"


def is_off(config: Settings) -> bool:
    return config["GROUP"] == "n"


def add(desk: Desk, name: str, made: Made) -> None:
    source = desk.tree / name.replace(".o", ".c")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("int f;\n")
    desk.kernel.objects[name] = made


def objects_in(desk: Desk, done: Run, cell: str) -> frozenset[str]:
    return desk.stored.load_objects(cell_of(done, cell))


def made_in(desk: Desk, done: Run, cell: str) -> frozenset[str]:
    return desk.stored.made_objects[cell_of(done, cell).id]


def finding_of(stored: StoredRun, name: str) -> Finding:
    return next(finding for finding in stored.findings.findings if name in finding.objects)


# An object whose target failed was not made, whatever was said of it.

SILENT = [
    "fixdep: error opening file: drivers/vfio/.vfio.o.d: No such file or directory",
    "drivers/vfio/vfio.o: this tool has words of its own",
    "/bin/sh: 1: scripts/basic/fixdep: Text file busy",
    "",
]


@pytest.mark.parametrize("words", SILENT)
@pytest.mark.parametrize("order", [HEAD, TURNED])
def test_a_cell_in_which_its_target_failed_is_no_proof_of_a_finding_s_absence(
    desk: Desk, words: str, order: str
) -> None:
    desk.asks(order)
    silent = [words] if words else []
    desk.kernel.objects[VFIO] = Made(
        "VFIO", ("GROUP",), lambda config: [ERROR] if is_on(config) else silent, fails=is_off
    )
    add(desk, THIRD, Made("VFIO", (), always(OTHER_ERROR.replace("group.c", "main.c"))))
    done = desk.run()
    assert {cell.state.value for cell in done.cells} == {"fail"}
    assert VFIO not in made_in(desk, done, OFF)
    finding = finding_of(desk.stored, VFIO)
    assert finding.condition == ({},)
    assert not any(proof.has_finding is False for proof in finding.proof)


def test_a_failed_target_whose_cause_is_another_object_s_error_was_not_made(desk: Desk) -> None:
    """An error that names another object is the cause: nothing in the record names this one."""
    desk.asks(HEAD)
    said = "drivers/vfio/other.o: error: objtool: f+0x3: stack state mismatch"
    desk.kernel.objects[VFIO] = Made("VFIO", (), always(said), fails=lambda _: True)
    done = desk.run()
    for cell in (OFF, ON):
        assert VFIO not in made_in(desk, done, cell)


def test_what_a_later_stage_refuses_is_not_made_though_an_earlier_one_made_it(desk: Desk) -> None:
    desk.asks('GROUP = ["n"]\nVFIO = ["y"]\n')
    refused = "vmlinux"
    desk.kernel.objects[VFIO] = Made(
        "VFIO", (), lambda _: [ERROR] if desk.kernel.jobs[-1].targets == (refused,) else []
    )

    def forget(job: Job) -> None:
        if job.targets == (refused,):
            (job.host("/build") / VFIO).unlink(missing_ok=True)

    desk.kernel.before = forget
    done = desk.run(stage=["vmlinux"])
    assert [stage.state.value for stage in done.cells[0].stages[1:]] == ["pass", "fail"]
    assert VFIO not in made_in(desk, done, OFF)


# What was made counts, wherever it lies and whenever it was compiled.


@pytest.mark.parametrize("order", [HEAD, TURNED])
def test_what_a_makefile_reaches_in_another_directory_was_made(desk: Desk, order: str) -> None:
    desk.asks(order)
    add(desk, DETOUR, Made("VFIO", ("GROUP",), folder="drivers/vfio/"))
    desk.says(VFIO, always(ERROR))
    done = desk.run()
    for cell in (OFF, ON):
        assert DETOUR in made_in(desk, done, cell)
    assert [cell_of(done, cell).stages[-1].objects for cell in (OFF, ON)] == [2, 3]


@pytest.mark.parametrize("order", [HEAD, TURNED])
def test_a_finding_in_another_directory_is_decided_beside_a_failure(desk: Desk, order: str) -> None:
    desk.asks(order)
    said = ERROR.replace("drivers/vfio/vfio.c", "virt/kvm/vfio.c")
    add(desk, DETOUR, Made("VFIO", ("GROUP",), lambda c: [said] if is_on(c) else [], folder="drivers/vfio/"))
    desk.says(VFIO, always(OTHER_ERROR.replace("group.c", "vfio.c")))
    desk.run()
    finding = finding_of(desk.stored, DETOUR)
    assert finding.condition == ({"GROUP": ("y",)},)
    assert [proof.has_finding for proof in finding.proof] == [False]


@pytest.mark.parametrize("value", ["y", "m"])
def test_what_stood_up_to_date_in_a_failing_directory_belongs_to_the_cell(desk: Desk, value: str) -> None:
    desk.asks(f'MODULES = ["y"]\nGROUP = ["n", "y"]\nVFIO = ["{value}"]\n')
    add(desk, THIRD, Made("VFIO"))
    desk.says(VFIO, lambda config: [ERROR] if is_on(config) else [], sees=("GROUP",))
    done = desk.run()
    failing = done.cells[-1]
    assert failing.state.value == "fail"
    assert desk.stored.made_objects[failing.id] >= {THIRD}
    assert failing.stages[-1].objects == 3
    assert failing.stages[-1].compiled == 2


def test_what_stood_and_belongs_to_another_configuration_proves_nothing(desk: Desk) -> None:
    desk.asks(TURNED)
    add(desk, THIRD, Made("GROUP"))
    desk.says(VFIO, lambda config: [ERROR] if is_off(config) else [], sees=("GROUP",))
    done = desk.run()
    assert not (desk.build_directory() / THIRD).exists()
    assert THIRD not in objects_in(desk, done, OFF)


def test_what_make_did_not_come_to_is_not_made_though_it_stands(desk: Desk) -> None:
    """Where what is prepared for all fails, no directory is visited."""
    desk.asks(HEAD)

    def fail_to_prepare(job: Job) -> int | None:
        # Where make prepare fails by itself, nothing is left to stand.
        if job.configures or job.is_dry_run or job.cell.endswith(OFF) or job.targets == ("prepare",):
            return None
        job.say("make[1]: *** [/src/Kbuild:21: include/generated/bounds.h] Error 1")
        return 2

    desk.kernel.before = fail_to_prepare
    done = desk.run()
    assert [cell.state.value for cell in done.cells] == ["pass", "fail"]
    assert (desk.build_directory() / VFIO).exists()
    assert made_in(desk, done, ON) == frozenset()


def test_where_a_dry_run_says_nothing_only_the_log_counts(desk: Desk) -> None:
    desk.asks(HEAD)
    add(desk, THIRD, Made("VFIO"))
    desk.says(VFIO, lambda config: [ERROR] if is_on(config) else [], sees=("GROUP",))
    desk.kernel.before = lambda job: 2 if job.is_dry_run else None
    done = desk.run()
    assert objects_in(desk, done, ON) == {VFIO, OTHER}


def test_a_warning_of_what_stood_holds_beside_a_failure_and_is_printed_once(desk: Desk) -> None:
    desk.asks(HEAD)
    add(desk, THIRD, Made("VFIO", (), always(WARNING.replace("vfio.c", "main.c"))))
    desk.says(VFIO, lambda config: [ERROR] if is_on(config) else [], sees=("GROUP",))
    done = desk.run()
    assert finding_of(desk.stored, THIRD).condition == ({},)
    assert len(finding_of(desk.stored, THIRD).cells) == 2
    builds = [job for job in desk.kernel.ran(configures=False) if job.cell.endswith(ON)]
    assert len(builds) == 1
    log = (Path(desk.directory) / str(cell_of(done, ON).log)).read_text()
    assert "main.c" not in log


def test_a_warning_of_nothing_that_has_a_name_is_printed_for_each_cell(desk: Desk) -> None:
    desk.asks(HEAD)

    def warn_once(job: Job) -> None:
        mark = job.host("/build") / "mark"
        if not job.configures and not mark.exists():
            mark.touch()
            job.say("sh: warning: odd")

    desk.kernel.before = warn_once
    assert [cell.state.value for cell in desk.run().cells] == ["warn", "warn"]


def test_a_dry_run_that_the_machine_stops_spoils_the_lane_and_not_the_cell(desk: Desk) -> None:
    desk.asks(TURNED)
    desk.says(VFIO, lambda config: [ERROR] if is_on(config) else [], sees=("GROUP",))
    add(desk, THIRD, Made("VFIO"))

    def stop_dry_run(job: Job) -> ContainerResult | None:
        if not job.is_dry_run:
            return None
        (job.host("/build") / "left.o").touch()
        return ContainerResult(137, 1.0, timed_out=True)

    desk.kernel.before = stop_dry_run
    done = desk.run()
    assert [cell.state.value for cell in done.cells] == ["fail", "pass"]
    assert not (desk.build_directory() / "left.o").exists()


# What would bring a symbol that a link lacks is looked for in the tree, once, where one is lacking.

LACKING = [
    "/usr/bin/ld: drivers/vfio/vfio.o: in function `f':\nvfio.c:(.text+0x1): undefined reference to `gone'",
    "ld.lld: error: undefined symbol: gone",
    'ERROR: modpost: "gone" [drivers/vfio/vfio.ko] undefined!',
]


def put_definition(desk: Desk) -> None:
    for name, text in {
        "lib/Makefile": "obj-$(CONFIG_GONE) += gone.o\n",
        "lib/gone.c": "EXPORT_SYMBOL(gone);\n",
    }.items():
        (desk.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (desk.tree / name).write_text(text)


@pytest.mark.parametrize("words", LACKING)
def test_a_run_records_what_would_bring_a_missing_symbol(desk: Desk, words: str) -> None:
    put_definition(desk)
    desk.asks('GROUP = ["n"]\nVFIO = ["y"]\n')
    desk.kernel.objects[VFIO] = Made("VFIO", (), always(*words.split("\n")), fails=lambda _: True)
    done = desk.run()
    assert done.providers == {"gone": "CONFIG_GONE"}
    assert load_run(desk.directory) == done
    assert desk.plan().providers == {}


def test_without_a_missing_symbol_the_tree_is_not_searched(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_definition(desk)
    monkeypatch.setattr("matrix.commands.run.find_symbol_providers", None)
    desk.says(VFIO, always(ERROR))
    done = desk.run()
    assert "providers" not in done.model_dump(mode="json")


def test_a_tree_that_is_gone_from_the_cache_says_nothing(desk: Desk) -> None:
    put_definition(desk)
    desk.asks('GROUP = ["n"]\nVFIO = ["y"]\n')
    desk.kernel.objects[VFIO] = Made("VFIO", (), always(*LACKING[1:2]), fails=lambda _: True)

    def lose(job: Job) -> None:
        if not job.configures:
            for path in (desk.place / "cache/sources").glob("*/manifest.json.gz"):
                path.unlink()

    desk.kernel.before = lose
    assert desk.run().providers == {}
