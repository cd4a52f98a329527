"""kmatrix as a whole, in real containers, on the miniature tree: seconds instead of minutes."""

import json
import os
import signal

import pytest

from matrix.commands.run import plan_matrix
from matrix.commands.settings import resolve_profile
from matrix.engine.connect import connect_engine
from matrix.engine.step import list_containers_of
from matrix.errors import EngineError, RequestError
from matrix.record.events import CellFinished, ProgressEvent, StageStarted
from matrix.record.run_directory import load_run
from matrix.record.states import Evidence, State, compute_run_exit_code
from matrix.resolve.make_runner import BUILD_MOUNT
from reports import write_run_reports
from tests.e2e.conftest import Kmatrix, by_state, one
from tests.minitree import KCONFIG, LINK, REGRESSION, WARNING, patched

pytestmark = pytest.mark.engine
ALL = ["arm64,powerpc,s390,x86"]
BROKEN = {"KVM": "y", "MODULES": "n", "VFIO": "n"}


def test_every_request_has_a_row_and_the_reachable_ones_are_98_of_144(kmatrix: Kmatrix) -> None:
    settled = resolve_profile({"profile": [str(kmatrix.profile)], "arch": ALL, "source": [kmatrix.tree]}, {})
    planned = plan_matrix(settled, kmatrix.on_event, kmatrix.world)
    states = [cell.state for cell in planned.cells]
    assert len(states) == 144
    assert states.count(State.NOT_RUN) == 98
    assert states.count(State.UNREACHABLE) == 46
    assert not any(isinstance(event, StageStarted) and event.stage != "configure" for event in kmatrix.events)
    reasons = {cell.id: (cell.reason, cell.resolves_to) for cell in planned.cells if cell.reason}
    assert reasons["s390/gcc-14/defconfig/KVM=m,MODULES=n,VFIO=n"] == (
        "KVM=m: MODULES=n makes it y",
        "s390/gcc-14/defconfig/KVM=y,MODULES=n,VFIO=n",
    )
    assert reasons["arm64/clang-19/defconfig/KVM=m,MODULES=y,VFIO=y"][0] == "KVM has no m on arm64"


def test_the_regression_fails_in_its_corner_only_and_both_compilers_say_why(kmatrix: Kmatrix) -> None:
    done = kmatrix.run(source=[kmatrix.tree], patch=[str(REGRESSION)])
    failing = [cell for cell in done.cells if cell.state is State.FAIL]
    assert [cell.request for cell in failing] == [BROKEN, BROKEN]
    assert compute_run_exit_code(cell.state for cell in done.cells) == 100
    for cell in failing:
        ref = cell.diagnostics[0]
        assert ref.object == "virt/kvm/vfio.o"
        assert "vfio_file_iommu_group" in done.diagnostics[ref.key].model_dump_json()
        assert (kmatrix.directory / str(cell.log)).read_text().startswith("$ make -C /src O=/build")
    good = kmatrix.run(source=[kmatrix.tree])
    assert State.FAIL not in {cell.state for cell in good.cells}


def test_a_lane_that_built_the_good_tree_sees_a_broken_one_whose_files_are_older(kmatrix: Kmatrix) -> None:
    """make compares time stamps; without fresh ones the second run would pass."""
    only = ["KVM=y,MODULES=n,VFIO=n"]
    good = kmatrix.run(source=[kmatrix.tree], select=only)
    assert {cell.state for cell in good.cells} == {State.PASS}
    broken = patched(kmatrix.place / "broken", REGRESSION)
    os.utime(broken / "include/linux/vfio.h", (10**9, 10**9))
    again = kmatrix.run(source=[str(broken)], select=only)
    assert {cell.state for cell in again.cells} == {State.FAIL}
    lanes = {path.name for path in (kmatrix.place / "cache/lanes").iterdir()}
    assert len(lanes) == 2, "the second run must have used the first one's lanes"
    back = kmatrix.run(source=[kmatrix.tree], select=only)
    assert {cell.state for cell in back.cells} == {State.PASS}


def test_a_warning_stays_with_its_object_when_nothing_is_compiled_again(kmatrix: Kmatrix) -> None:
    options = {"source": [kmatrix.tree], "patch": [str(WARNING)], "toolchain": ["gcc-14"]}
    select = ["KVM=y,MODULES=y,VFIO=y"]
    first = kmatrix.run(**options, select=select)
    assert [cell.state for cell in first.cells] == [State.WARN]
    second = kmatrix.run(**options, select=select)
    assert second.cells[0].evidence is Evidence.REMEMBERED
    assert second.cells[0].state is State.WARN
    assert second.cells[0].diagnostics == first.cells[0].diagnostics


def test_nothing_to_compile_is_empty_and_a_run_of_only_that_proves_nothing(kmatrix: Kmatrix) -> None:
    done = kmatrix.run(source=[kmatrix.tree], select=["KVM=n,VFIO=n,toolchain=gcc-14"])
    assert by_state(done).keys() == {"empty"}
    assert compute_run_exit_code(cell.state for cell in done.cells) == 1


def test_a_kconfig_error_fails_every_cell_with_kconfigs_own_words(kmatrix: Kmatrix) -> None:
    done = kmatrix.run(
        source=[kmatrix.tree], patch=[str(KCONFIG)], toolchain=["gcc-14"], select=["MODULES=n"]
    )
    assert {cell.state for cell in done.cells} == {State.FAIL}
    said = [done.diagnostics[ref.key] for ref in done.cells[0].diagnostics]
    assert any((item.file or "").startswith("drivers/vfio/Kconfig") for item in said)


def test_the_linker_and_modpost_refuse_in_their_own_stages(kmatrix: Kmatrix) -> None:
    kmatrix.profile.write_text(
        'focus = ["drivers/vfio/"]\nstage = "modules"\narch = ["x86"]\ntoolchain = ["gcc-14"]\n'
        '[symbols]\nVFIO_PCI = ["m", "y"]\n[fixed]\nMODULES = "y"\nVFIO = "y"\n'
    )
    done = kmatrix.run(source=[kmatrix.tree], patch=[str(LINK)])
    stages = {cell.request["VFIO_PCI"]: {s.name: s.state.value for s in cell.stages} for cell in done.cells}
    assert stages["y"]["vmlinux"] == "fail"
    assert stages["y"]["modules"] == "not-run"
    assert (stages["m"]["vmlinux"], stages["m"]["modules"]) == ("pass", "fail")
    tools = {done.diagnostics[ref.key].tool for cell in done.cells for ref in cell.diagnostics}
    assert {"ld", "modpost"} <= tools


def test_symbols_that_no_rule_knows_are_unreachable_with_the_trees_reason(kmatrix: Kmatrix) -> None:
    kmatrix.profile.write_text(
        'focus = ["drivers/vfio/"]\narch = ["x86"]\ntoolchain = ["gcc-14"]\n'
        '[symbols]\nGIZMO = ["n", "y"]\nNO_SUCH_THING = ["n", "y"]\n'
    )
    done = kmatrix.run(source=[kmatrix.tree])
    gizmo = one(done, lambda cell: cell.request == {"GIZMO": "y", "NO_SUCH_THING": "n"})
    assert gizmo.state is State.UNREACHABLE
    assert "WIDGET" in str(gizmo.reason)
    nothing = one(done, lambda cell: cell.request == {"GIZMO": "n", "NO_SUCH_THING": "y"})
    assert nothing.state is State.UNREACHABLE
    assert "no such symbol" in str(nothing.reason)


def test_the_record_reports_and_logs_are_there_and_can_be_loaded_again(kmatrix: Kmatrix) -> None:
    done = kmatrix.run(source=[kmatrix.tree], select=["KVM=y,MODULES=n,VFIO=?"])
    assert load_run(kmatrix.directory) == done
    assert (kmatrix.place / "runs/latest").resolve() == kmatrix.directory.resolve()
    lines = [
        json.loads(line)["cell"] for line in (kmatrix.directory / "cells.jsonl").read_text().splitlines()
    ]
    assert {line["id"]: line["state"] for line in lines} == {cell.id: cell.state for cell in done.cells}
    for cell in done.cells:
        if cell.config_sha256:
            assert (kmatrix.directory / "configs" / cell.config_sha256).is_file()
    written = write_run_reports(kmatrix.stored)
    assert all(file.stat().st_size for file in written)
    compilers = done.toolchains["gcc-14"].compilers["powerpc"]
    assert "gcc" in compilers.version
    assert "ld" in compilers.binutils
    assert json.loads((kmatrix.directory / "run.json").read_text())["cells"][0]["make"].startswith(
        "ARCH=powerpc"
    )


def test_a_time_limit_is_the_machines_and_the_lane_is_built_anew(kmatrix: Kmatrix) -> None:
    slow = patched(kmatrix.place / "slow")
    rules = slow / "drivers/vfio/Makefile"
    # Reading the directory's rules takes ten minutes: as good as a compiler that hangs.
    rules.write_text(f"HANGS := $(shell sleep 600)\n{rules.read_text()}")
    only = {"toolchain": ["gcc-14"], "select": ["KVM=y,MODULES=n,VFIO=y"]}
    done = kmatrix.run(source=[str(slow)], timeout=["20s"], **only)
    assert [cell.state for cell in done.cells] == [State.TIMEOUT]
    assert compute_run_exit_code(cell.state for cell in done.cells) == 2
    (lane,) = (kmatrix.place / "cache/lanes").iterdir()
    assert (lane / "busy").exists()
    again = kmatrix.run(source=[kmatrix.tree], **only)
    assert [cell.state for cell in again.cells] == [State.PASS]
    assert not (lane / "busy").exists()


def test_after_an_interruption_every_cell_has_its_row_and_no_container_is_left(kmatrix: Kmatrix) -> None:
    def interrupt_once(event: ProgressEvent) -> None:
        if isinstance(event, CellFinished) and event.cell.state is State.PASS:
            kmatrix.on_event = kmatrix.events.append
            os.kill(os.getpid(), signal.SIGINT)  # what Ctrl-C does

    kmatrix.on_event = interrupt_once
    done = kmatrix.run(source=[kmatrix.tree])
    assert done.interrupted
    assert len(done.cells) == 36
    assert {State.PASS, State.NOT_RUN} <= {cell.state for cell in done.cells}
    assert load_run(kmatrix.directory) == done
    assert not list_containers_of(connect_engine(), kmatrix.place / "cache")


def test_a_failed_cell_stops_the_rest_when_asked(kmatrix: Kmatrix) -> None:
    done = kmatrix.run(
        source=[kmatrix.tree], patch=[str(REGRESSION)], toolchain=["gcc-14"], lanes=["1"], fail_fast=["yes"]
    )
    states = by_state(done)
    assert len(states["fail"]) == 1
    assert states["not-run"]
    skipped = one(done, lambda cell: cell.id == states["not-run"][0])
    assert "--fail-fast" in str(skipped.reason)


def test_an_out_directory_in_use_is_refused_and_left_alone(kmatrix: Kmatrix) -> None:
    used = kmatrix.place / "used"
    used.mkdir()
    (used / "something").touch()
    with pytest.raises(RequestError, match="in use"):
        kmatrix.run(source=[kmatrix.tree], out=[str(used)])
    assert [path.name for path in used.iterdir()] == ["something"]


@pytest.mark.parametrize(
    ("focus", "said"), [("drivers/vfoi/", "drivers/vfio/"), ("drivers/vfio", "ends in a slash")]
)
def test_a_focus_that_the_tree_lacks_is_refused_with_the_nearest(
    kmatrix: Kmatrix, focus: str, said: str
) -> None:
    kmatrix.profile.write_text(f'focus = ["{focus}"]\narch = ["x86"]\ntoolchain = ["gcc-14"]\n')
    with pytest.raises(RequestError) as caught:
        kmatrix.run(source=[kmatrix.tree])
    assert said in f"{caught.value} {caught.value.hint}"
    assert not (kmatrix.place / "runs").exists()


def test_two_requests_with_the_same_config_are_built_once(kmatrix: Kmatrix) -> None:
    kmatrix.profile.write_text(
        'focus = ["drivers/vfio/"]\narch = ["x86"]\ntoolchain = ["gcc-14"]\n'
        'symbols.TWIN = ["n", "y"]\nfixed.VFIO = "y"\n'
        "[knobs.TWIN.x86]\nn = { set = {}, proof = {} }\ny = { set = {}, proof = {} }\n"
    )
    done = kmatrix.run(source=[kmatrix.tree])
    assert [cell.evidence for cell in done.cells] == [Evidence.BUILT, Evidence.SAME_CONFIG]
    assert done.cells[1].evidence_from == done.cells[0].id
    assert BUILD_MOUNT in done.cells[1].stages[-1].command


def test_the_users_tree_is_never_written(kmatrix: Kmatrix) -> None:
    mine = patched(kmatrix.place / "mine")
    before = {path: path.stat().st_mtime_ns for path in mine.rglob("*")}
    kmatrix.run(source=[str(mine)], patch=[str(REGRESSION)], select=["KVM=y,MODULES=n,VFIO=n"])
    assert {path: path.stat().st_mtime_ns for path in mine.rglob("*")} == before


def test_an_image_that_does_not_exist_is_the_machines_fault(kmatrix: Kmatrix) -> None:
    kmatrix.profile.write_text(
        'focus = ["drivers/vfio/"]\narch = ["x86"]\ntoolchain = ["mine"]\n'
        '[toolchains.mine]\nimage = "no-such-image:1"\nmake = { CROSS_COMPILE = "{triplet}-" }\n'
    )
    with pytest.raises(EngineError, match="no-such-image"):
        kmatrix.run(source=[kmatrix.tree])
