"""Verdicts in spite of other errors, with real compilers: what is seen through them, and what is not.

On the broken miniature tree, a header of KVM has a line that clang refuses in every object of KVM.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from matrix.commands.patch import PatchResult
from matrix.record.states import State
from matrix.verdict.through_text import format_toolchain_outcomes
from matrix.verdict.verdict_model import CellFindingStatus, FindingChange, FindingStatus
from tests.e2e.test_patch import (
    BROKEN,
    HEADER,
    KCONFIG,
    POWERPC,
    Desk,
    Edit,
    able,
    fixed_header,
    fixed_kconfig,
)

pytestmark = pytest.mark.engine
HOST, OBJECT = "include/linux/kvm_host.h", "virt/kvm/vfio.o"
ASSIGN = "static inline int kvm_same(int x)\n{\n\tx = x;\n\treturn x;\n}\n"
SELECT = ",".join(f"{name}={value}" for name, value in BROKEN.items())


def holding(code: str) -> Edit:
    """The header with this code at its end."""
    end = "#endif\n"
    return lambda text: f"{text.removesuffix(end)}{code}\n{end}"


class Veil(Desk):
    """Patches against the broken tree with more in it."""

    def __init__(self, place: Path, **edits: Edit) -> None:
        super().__init__(place)
        self.edits: dict[str, Edit] = {}
        (place / "veil.patch").write_text(self.diff(**edits))
        self.edits = edits
        self.bases = (*self.bases, str(place / "veil.patch"))

    def broken(self, name: str) -> str:
        text = super().broken(name)
        return self.edits[name](text) if name in self.edits else text

    def judge_edits(self, edits: Mapping[str, Edit], select: str = SELECT) -> PatchResult:
        return self.judge(self.diff(**edits), select=select)


def the_weak_one(judged: PatchResult) -> FindingChange:
    return next(row for row in judged.verdict.findings if "weak" in row.title or "attribute" in row.title)


@pytest.fixture(scope="module")
def veil(tmp_path_factory: pytest.TempPathFactory) -> Veil:
    return Veil(tmp_path_factory.mktemp("veil"), **{HOST: holding(ASSIGN)})


def test_a_fix_in_the_header_is_seen_through_what_clang_refuses(veil: Veil) -> None:
    judged = veil.judge_edits({HEADER: fixed_header})
    change = the_weak_one(judged)
    assert (change.fate, change.became) == (FindingStatus.FIXED, {CellFindingStatus.COMPILED: 2})
    assert format_toolchain_outcomes(change) == (
        "fixed with gcc-14; with clang-19 fixed, seen through F2, which stays"
    )
    (look,) = change.seen_through
    assert "KCFLAGS=-Wno-error=self-assign arch/powerpc/kvm/../../../virt/kvm/vfio.o" in look.command
    clang = next(cell for cell in judged.runs[-1].run.cells if cell.toolchain == "clang-19")
    assert clang.state is State.FAIL
    assert OBJECT not in judged.runs[-1].made_objects[clang.id]


def test_the_lanes_have_nothing_of_it(veil: Veil) -> None:
    first = veil.judge_edits({HEADER: fixed_header})
    lanes = veil.place / "cache/lanes"
    commands = [path.read_text() for path in lanes.rglob(".*.o.cmd")]
    assert commands
    assert not [text for text in commands if "-Wno-error=self-assign" in text]
    assert not list(lanes.glob("*-copy-*"))
    again = veil.judge_edits({HEADER: fixed_header})
    assert [cell.diagnostics for cell in again.runs[-1].run.cells] == [
        cell.diagnostics for cell in first.runs[-1].run.cells
    ]


def test_a_fix_in_kconfig_leaves_the_object_out_with_clang_as_with_gcc(veil: Veil) -> None:
    change = the_weak_one(veil.judge_edits({KCONFIG: fixed_kconfig, POWERPC: able}))
    assert (change.fate, change.became) == (FindingStatus.FIXED, {CellFindingStatus.NOT_BUILT: 2})
    assert (change.seen_through, [like.toolchain for like in change.excluded_like]) == ((), ["clang-19"])


def test_a_hard_error_is_not_seen_through(tmp_path: Path) -> None:
    hard = Veil(tmp_path, **{HOST: holding("#ifdef __clang__\nint kvm_odd = nobody;\n#endif\n")})
    change = the_weak_one(hard.judge_edits({HEADER: fixed_header}))
    assert (change.fate, change.seen_through) == (FindingStatus.UNKNOWN, ())
    assert "no warning that could be demoted" in str(change.why)


def test_what_the_source_itself_promotes_stays_in_the_way(tmp_path: Path) -> None:
    code = f'#pragma GCC diagnostic error "-Wself-assign"\n{ASSIGN}'
    stubborn = Veil(tmp_path, **{HOST: holding(f"#ifdef __clang__\n{code}#endif\n")})
    change = the_weak_one(stubborn.judge_edits({HEADER: fixed_header}))
    assert change.fate is FindingStatus.UNKNOWN
    (look,) = change.seen_through
    assert (look.shows, look.demoted) == (None, ("-Wself-assign",))
    assert "self" in str(look.why)


def test_what_a_makefile_promotes_again_is_seen_through_without_its_symbol(tmp_path: Path) -> None:
    makefile = "arch/powerpc/kvm/Makefile"
    flag = "ccflags-$(CONFIG_PPC_WERROR) += $(if $(findstring clang,$(CC)),-Werror=self-assign)\n"
    again = Veil(tmp_path, **{HOST: holding(ASSIGN), makefile: lambda text: f"{text}{flag}"})
    change = the_weak_one(again.judge_edits({HEADER: fixed_header}))
    assert change.fate is FindingStatus.FIXED
    (look,) = change.seen_through
    assert look.switched_off == ("PPC_WERROR=n",)


def test_a_finding_that_only_hides_behind_new_errors_is_still_there(veil: Veil) -> None:
    """clang gives up after twenty errors, and does not come to the rest of the file."""
    many = "".join(ASSIGN.replace("same", f"same_{number}") for number in range(25))
    judged = veil.judge_edits({HOST: holding(many)}, f"{SELECT},toolchain=clang-19")
    change = the_weak_one(judged)
    assert (change.fate, change.became) == (FindingStatus.STILL, {CellFindingStatus.STILL: 1})
    (look,) = change.seen_through
    assert look.shows is True
    assert "with clang-19 still there, seen through" in format_toolchain_outcomes(change)
