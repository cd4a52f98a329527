"""What a failing cell proves, with real makes: what was made in it, what was not, and what stood already."""

from pathlib import Path

import pytest

from matrix.record.run_model import Cell
from matrix.record.states import State
from tests.e2e.conftest import Kmatrix
from tests.minitree import patched

pytestmark = pytest.mark.engine
RULE = "$(p)%.o: $(srctree)/$(p)%.c FORCE\n"
VFIO, EVENTFD, KVM = "virt/kvm/vfio.o", "virt/kvm/eventfd.o", "virt/kvm/kvm_main.o"
ONE_LANE = {"toolchain": ["gcc-14"]}


def edited(to: Path, broken: str, condition: str, *lines: str) -> str:
    """A tree with a source that is wrong under a condition, and with lines that run before each compiler."""
    tree = patched(to)
    source = tree / broken
    source.write_text(f"{source.read_text()}\n#if {condition}\nint broken = ;\n#endif\n")
    rules = tree / "scripts/Makefile.build"
    assert rules.read_text().count(RULE) == 1
    rules.write_text(rules.read_text().replace(RULE, RULE + "".join(lines)))
    return str(tree)


def fail_without_vfio(command: str) -> str:
    return f"\t@case '$@:$(CONFIG_VFIO)' in */virt/kvm/vfio.o:) {command};; esac\n"


def made_in(kmatrix: Kmatrix, cell: Cell) -> frozenset[str]:
    return kmatrix.stored.made_objects[cell.id]


@pytest.mark.parametrize(
    "command",
    [
        "echo 'helper: cannot go on' >&2; exit 3",
        "exit 1",
        "echo 'fixdep: error opening file: .vfio.o.d: No such file or directory' >&2; exit 2",
        "./no-such-tool",
    ],
    ids=["words", "silence", "fixdep", "shell"],
)
def test_a_cell_whose_object_s_command_failed_proves_nothing_of_it(
    kmatrix: Kmatrix, tmp_path: Path, command: str
) -> None:
    tree = edited(tmp_path / "edited", "virt/kvm/vfio.c", "defined(CONFIG_VFIO)", fail_without_vfio(command))
    done = kmatrix.run(source=[tree], select=["KVM=y,MODULES=n"], **ONE_LANE)
    cells = {cell.request["VFIO"]: cell for cell in done.cells if cell.state is State.FAIL}
    assert set(cells) == {"n", "y"}
    assert VFIO not in made_in(kmatrix, cells["n"]) | made_in(kmatrix, cells["y"])
    assert {EVENTFD, KVM} <= made_in(kmatrix, cells["n"]) & made_in(kmatrix, cells["y"])
    broken = [item for item in kmatrix.stored.findings.findings if "expected expression" in item.title]
    assert [item.objects for item in broken] == [(VFIO,)]
    assert not any(proof.has_finding is False for proof in broken[0].proof)
    assert broken[0].condition == ({},)


@pytest.mark.parametrize("kvm", ["y", "m"])
def test_what_stands_from_an_earlier_cell_belongs_to_a_failing_one(
    kmatrix: Kmatrix, tmp_path: Path, kvm: str
) -> None:
    tree = edited(tmp_path / "edited", "arch/powerpc/kvm/powerpc.c", "!defined(CONFIG_VFIO)")
    asked = f"KVM={kvm},MODULES=y"
    kmatrix.run(source=[tree], select=[f"{asked},VFIO=y"], **ONE_LANE)
    (cell,) = kmatrix.run(source=[tree], select=[f"{asked},VFIO=n"], **ONE_LANE).cells
    assert cell.state is State.FAIL
    log = (kmatrix.directory / str(cell.log)).read_text()
    assert "eventfd" not in log
    assert {EVENTFD, KVM} <= made_in(kmatrix, cell)
    assert "arch/powerpc/kvm/powerpc.o" not in made_in(kmatrix, cell)
    assert not any(name.startswith("drivers/vfio/") for name in made_in(kmatrix, cell))


def test_it_is_the_same_of_the_whole_kernel(kmatrix: Kmatrix, tmp_path: Path) -> None:
    tree = edited(tmp_path / "edited", "drivers/base/device.c", "!defined(CONFIG_VFIO)")
    options = {"stage": ["vmlinux"], **ONE_LANE}
    before = kmatrix.run(source=[tree], select=["KVM=y,MODULES=n,VFIO=y"], **options)
    built = kmatrix.stored.load_objects(before.cells[0])
    (cell,) = kmatrix.run(source=[tree], select=["KVM=y,MODULES=n,VFIO=n"], **options).cells
    assert cell.state is State.FAIL
    assert before.cells[0].state is State.PASS
    gone = {name for name in built if name.startswith("drivers/vfio/")}
    assert gone
    assert made_in(kmatrix, cell) >= built - gone - {"drivers/base/device.o", "virt/kvm/vfio.o"}
    assert not made_in(kmatrix, cell) & (gone | {"drivers/base/device.o"})


def test_where_what_is_prepared_fails_nothing_that_stands_counts(kmatrix: Kmatrix, tmp_path: Path) -> None:
    tree = edited(tmp_path / "edited", "kernel/bounds.c", "!defined(CONFIG_VFIO)")
    kmatrix.run(source=[tree], select=["KVM=y,MODULES=n,VFIO=y"], **ONE_LANE)
    (cell,) = kmatrix.run(source=[tree], select=["KVM=y,MODULES=n,VFIO=n"], **ONE_LANE).cells
    assert cell.state is State.FAIL
    assert made_in(kmatrix, cell) == frozenset()
