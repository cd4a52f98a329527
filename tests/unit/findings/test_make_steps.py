"""The plain recipe: lines that a person types in a kernel tree."""

from pathlib import Path
from typing import Any

import pytest

from matrix.findings.make_steps import RunLocation, find_make_targets, list_make_steps
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import BaseRecord, Cell, DiagnosticRef, Run, StageRecord
from matrix.record.states import State
from tests.fakes.runs import GCC_ERROR, STORY, a_cell, a_run

FRAGMENT = {"KVM_BOOK3S_64": "y", "MODULES": "n", "VFIO": "n"}
OBJECT = DiagnosticRef(key=GCC_ERROR.key, object="virt/kvm/vfio.o", stage="focus")
MAKE = "make O=/tmp/kmatrix ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-"


def failing(**fields: Any) -> Cell:
    return a_cell(state=State.FAIL, diagnostics=[GCC_ERROR], **({"fragment": FRAGMENT} | fields))


def run_of(cell: Cell, **base: object) -> Run:
    start = BaseRecord.model_validate({"targets": {"powerpc": "ppc64le_defconfig"}} | base)
    return a_run([cell], [GCC_ERROR], bases={"defconfig": start})


def in_runs(run: Run) -> RunLocation:
    """A run whose directory is not there, shown as ``runs/a b``."""
    return RunLocation(StoredRun(run, Path("nowhere")), Path("runs/a b"))


def logged(place: Path, cell: Cell, *lines: str) -> StoredRun:
    path = place / str(cell.log)
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(lines) + "\n")
    return StoredRun(run_of(cell), place)


def test_it_makes_the_base_the_change_the_config_and_the_directory(tmp_path: Path) -> None:
    cell = failing()
    stored = logged(tmp_path, cell, "  CC      arch/powerpc/kvm/../../../virt/kvm/vfio.o")
    assert list_make_steps(cell, RunLocation(stored, Path()), OBJECT) == [
        ("in tree", f"{MAKE} ppc64le_defconfig"),
        ("in tree", "scripts/config --file /tmp/kmatrix/.config -e KVM_BOOK3S_64 -d MODULES -d VFIO"),
        ("in tree", f"{MAKE} olddefconfig"),
        ("in tree", f'{MAKE} -k -j"$(nproc)" arch/powerpc/kvm/'),
    ]


def test_without_an_object_the_whole_stage_is_made() -> None:
    cell = failing()
    assert list_make_steps(cell, in_runs(run_of(cell)))[-1][1].endswith(" arch/powerpc/kvm/ drivers/vfio/")


@pytest.mark.parametrize(
    "line",
    [
        "  CC      arch/powerpc/kvm/../../../virt/kvm/vfio.o",
        "  CC [M]  arch/powerpc/kvm/../../../virt/kvm/vfio.o",
        "make[5]: *** [/src/scripts/Makefile.build:234: arch/powerpc/kvm/../../../virt/kvm/vfio.o] Error 1",
    ],
)
def test_an_object_outside_its_directory_is_made_by_the_directory_that_the_log_shows(
    tmp_path: Path, line: str
) -> None:
    cell = failing()
    assert find_make_targets(cell, logged(tmp_path, cell, "  CC      init/main.o", line), OBJECT) == (
        "arch/powerpc/kvm/",
    )


def test_an_object_below_what_was_asked_for_is_made_by_its_own_directory(tmp_path: Path) -> None:
    ref = OBJECT.model_copy(update={"object": "drivers/vfio/pci/vfio_pci_core.o"})
    assert find_make_targets(failing(), StoredRun(a_run(), tmp_path), ref) == ("drivers/vfio/pci/",)


@pytest.mark.parametrize("made", ["virt/kvm/vfio.o", "vmlinux", ".tmp_vmlinux1", None])
def test_what_no_directory_is_known_for_takes_all_that_was_asked_for(
    tmp_path: Path, made: str | None
) -> None:
    ref = OBJECT.model_copy(update={"object": made})
    assert find_make_targets(failing(), StoredRun(a_run(), tmp_path), ref) == (
        "arch/powerpc/kvm/",
        "drivers/vfio/",
    )


def test_the_stage_is_the_one_in_which_it_came_up() -> None:
    names = (("configure", "warn"), ("focus", "pass"), ("vmlinux", "fail"))
    stages = tuple(
        StageRecord(name=name, state=state, command=f"make -k A=b {name}")  # type: ignore[arg-type]
        for name, state in names
    )
    cell = failing(stages=stages)
    stored = StoredRun(run_of(cell), Path())
    assert find_make_targets(cell, stored, OBJECT.model_copy(update={"object": None})) == ("focus",)
    assert find_make_targets(cell, stored) == ("vmlinux",)


def test_values_are_asked_for_as_scripts_config_wants_them() -> None:
    asked = {"A": "m", "N": "64", "H": "0x10", "S": '"a \\"b\\""', "W": "word"}
    cell = failing(fragment=asked)
    command = list_make_steps(
        cell, in_runs(run_of(cell, fragment=("CONFIG_BASE=y", "# CONFIG_OFF is not set")))
    )[1][1]
    assert command.partition(".config ")[2] == (
        """-e BASE -d OFF -m A --set-val N 64 --set-val H 0x10 --set-str S 'a "b"' --set-str W word"""
    )


def test_a_base_that_is_a_file_is_copied_and_a_random_one_has_its_seed() -> None:
    cell = failing()
    assert list_make_steps(cell, in_runs(run_of(cell, targets={}, config_sha256="abc")))[0] == (
        "by hand",
        "mkdir -p /tmp/kmatrix && cp 'runs/a b/configs/abc' /tmp/kmatrix/.config",
    )
    seeded = run_of(cell, targets={"powerpc": "randconfig"}, seed=7)
    assert list_make_steps(cell, in_runs(seeded))[0][1] == f"KCONFIG_SEED=7 {MAKE} randconfig"


def test_an_old_run_has_the_whole_config_copied() -> None:
    cell = failing()
    copy, make = list_make_steps(cell, in_runs(a_run([cell], [GCC_ERROR])))
    assert copy == (
        "by hand",
        f"mkdir -p /tmp/kmatrix && cp 'runs/a b/configs/{cell.config_sha256}' /tmp/kmatrix/.config",
    )
    assert make[0] == "in tree"


def test_a_cell_that_never_ran_has_none() -> None:
    assert list_make_steps(a_cell(symbols=STORY, state=State.NOT_RUN), in_runs(a_run())) == []
