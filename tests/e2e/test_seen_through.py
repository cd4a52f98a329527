"""Verdicts in spite of other errors, with real compilers: what is seen through them, and what is not.

On the broken miniature tree, a header of KVM has a line that clang refuses in every object of KVM.
"""

import difflib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.commands.patch import PatchRequest, PatchResult, evaluate_patch
from matrix.commands.settings import resolve_profile
from matrix.record.states import State
from matrix.source.mbox.series import read_series
from matrix.verdict.through_text import format_toolchain_outcomes
from matrix.verdict.verdict_model import CellFindingStatus, FindingChange, FindingStatus
from tests.e2e.conftest import Kmatrix
from tests.e2e.test_patch import BROKEN, HEADER, KCONFIG, POWERPC, able, fixed_header, fixed_kconfig
from tests.minitree import REGRESSION, patched

pytestmark = pytest.mark.engine
HOST, OBJECT = "include/linux/kvm_host.h", "virt/kvm/vfio.o"
ASSIGN = "static inline int kvm_same(int x)\n{\n\tx = x;\n\treturn x;\n}\n"
SELECT = ",".join(f"{name}={value}" for name, value in BROKEN.items())
Edit = Callable[[str], str]


def holding(code: str) -> Edit:
    """The header with this code at its end."""
    end = "#endif\n"
    return lambda text: f"{text.removesuffix(end)}{code}\n{end}"


class Veil(Kmatrix):
    """A kmatrix on the broken tree with more in it, and verdicts on patches against that."""

    def __init__(self, place: Path, **edits: Edit) -> None:
        super().__init__(place)
        self.base = patched(place / "base", REGRESSION)
        self.veil = place / "veil.patch"
        self.veil.write_text(self.diff(**edits))
        subprocess.run(["git", "apply", str(self.veil)], cwd=self.base, check=True, env=_apart(place))

    def diff(self, **edits: Edit) -> str:
        """A diff of these files of the base."""
        return "".join(_diff(name, (self.base / name).read_text(), edit) for name, edit in edits.items())

    def judge(self, select: str = SELECT, **edits: Edit) -> PatchResult:
        file = self.place / "fix.patch"
        file.write_text(self.diff(**edits))
        given = {"profile": [str(self.profile)], "source": [self.tree], "select": [select]}
        asked = PatchRequest(read_series(str(file)), (str(REGRESSION), str(self.veil)))
        return evaluate_patch(resolve_profile(given, {}), asked, self.events.append, ["test"], self.world)


def _apart(place: Path) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(place)}


def _diff(name: str, old: str, edit: Edit) -> str:
    new = edit(old)
    assert old != new, f"the patch changes nothing in {name}"
    lines = (text.splitlines(keepends=True) for text in (old, new))
    return "".join(difflib.unified_diff(*lines, f"a/{name}", f"b/{name}"))


def the_weak_one(judged: PatchResult) -> FindingChange:
    return next(row for row in judged.verdict.findings if "weak" in row.title or "attribute" in row.title)


@pytest.fixture(scope="module")
def veil(tmp_path_factory: pytest.TempPathFactory) -> Veil:
    return Veil(tmp_path_factory.mktemp("veil"), **{HOST: holding(ASSIGN)})


def test_a_fix_in_the_header_is_seen_through_what_clang_refuses(veil: Veil) -> None:
    judged = veil.judge(**{HEADER: fixed_header})
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
    first = veil.judge(**{HEADER: fixed_header})
    lanes = veil.place / "cache/lanes"
    commands = [path.read_text() for path in lanes.rglob(".*.o.cmd")]
    assert commands
    assert not [text for text in commands if "-Wno-error=self-assign" in text]
    assert not list(lanes.glob("*-copy-*"))
    again = veil.judge(**{HEADER: fixed_header})
    assert [cell.diagnostics for cell in again.runs[-1].run.cells] == [
        cell.diagnostics for cell in first.runs[-1].run.cells
    ]


def test_a_fix_in_kconfig_leaves_the_object_out_with_clang_as_with_gcc(veil: Veil) -> None:
    change = the_weak_one(veil.judge(**{KCONFIG: fixed_kconfig, POWERPC: able}))
    assert (change.fate, change.became) == (FindingStatus.FIXED, {CellFindingStatus.NOT_BUILT: 2})
    assert (change.seen_through, [like.toolchain for like in change.excluded_like]) == ((), ["clang-19"])


def test_a_hard_error_is_not_seen_through(tmp_path: Path) -> None:
    hard = Veil(tmp_path, **{HOST: holding("#ifdef __clang__\nint kvm_odd = nobody;\n#endif\n")})
    change = the_weak_one(hard.judge(**{HEADER: fixed_header}))
    assert (change.fate, change.seen_through) == (FindingStatus.UNKNOWN, ())
    assert "no warning that could be demoted" in str(change.why)


def test_what_the_source_itself_promotes_stays_in_the_way(tmp_path: Path) -> None:
    code = f'#pragma GCC diagnostic error "-Wself-assign"\n{ASSIGN}'
    stubborn = Veil(tmp_path, **{HOST: holding(f"#ifdef __clang__\n{code}#endif\n")})
    change = the_weak_one(stubborn.judge(**{HEADER: fixed_header}))
    assert change.fate is FindingStatus.UNKNOWN
    (look,) = change.seen_through
    assert (look.shows, look.demoted) == (None, ("-Wself-assign",))
    assert "self" in str(look.why)


def test_what_a_makefile_promotes_again_is_seen_through_without_its_symbol(tmp_path: Path) -> None:
    makefile = "arch/powerpc/kvm/Makefile"
    flag = "ccflags-$(CONFIG_PPC_WERROR) += $(if $(findstring clang,$(CC)),-Werror=self-assign)\n"
    again = Veil(tmp_path, **{HOST: holding(ASSIGN), makefile: lambda text: f"{text}{flag}"})
    change = the_weak_one(again.judge(**{HEADER: fixed_header}))
    assert change.fate is FindingStatus.FIXED
    (look,) = change.seen_through
    assert look.switched_off == ("PPC_WERROR=n",)


def test_a_finding_that_only_hides_behind_new_errors_is_still_there(veil: Veil) -> None:
    """clang gives up after twenty errors, and does not come to the rest of the file."""
    many = "".join(ASSIGN.replace("same", f"same_{number}") for number in range(25))
    judged = veil.judge(f"{SELECT},toolchain=clang-19", **{HOST: holding(many)})
    change = the_weak_one(judged)
    assert (change.fate, change.became) == (FindingStatus.STILL, {CellFindingStatus.STILL: 1})
    (look,) = change.seen_through
    assert look.shows is True
    assert "with clang-19 still there, seen through" in format_toolchain_outcomes(change)
