"""Verdicts on patches, end to end on the miniature tree: each turns the cells that it should, and no more."""

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.commands.compare import compare_stored_runs
from matrix.commands.patch import PatchResult, evaluate_patch, find_verdict
from matrix.commands.patch_request import PatchRequest
from matrix.commands.settings import resolve_profile
from matrix.errors import RejectedPatchError
from matrix.record.states import Evidence, State
from matrix.source.mbox.series import read_series
from matrix.verdict.verdict_model import CellFindingStatus, FindingStatus, Transition
from reports import FORMATS, NO_OPTIONS, write_verdict_reports
from tests.e2e.conftest import Kmatrix
from tests.fakes.mails import a_mail, a_mbox, answering
from tests.minitree import REGRESSION, TREE

pytestmark = pytest.mark.engine
BROKEN = {"KVM": "y", "MODULES": "n", "VFIO": "n"}
HEADER, SOURCE = "include/linux/vfio.h", "virt/kvm/vfio.c"
KCONFIG, POWERPC = "virt/kvm/Kconfig", "arch/powerpc/kvm/Kconfig"
DECLARED = "struct iommu_group *vfio_file_iommu_group(struct file *file);\n"
STUB = "static inline struct iommu_group *vfio_file_iommu_group(struct file *file)\n{\n\treturn NULL;\n}\n\n"
Edit = Callable[[str], str]


def fixed_header(text: str) -> str:
    """Declared always, and no stub."""
    guard = "#if IS_ENABLED(CONFIG_VFIO_GROUP)\n"
    return text.replace(f"{guard}{DECLARED}", f"{DECLARED}\n{guard}").replace(STUB, "")


def fixed_kconfig(text: str) -> str:
    """An arch only says that it can."""
    follows = (
        "config HAVE_KVM_VFIO\n\tbool\n\nconfig KVM_VFIO\n\tdef_bool y\n\tdepends on HAVE_KVM_VFIO && VFIO\n"
    )
    return text.replace("config KVM_VFIO\n\tbool\n", follows)


def able(text: str) -> str:
    return text.replace("select KVM_VFIO", "select HAVE_KVM_VFIO")


def with_modules(text: str) -> str:
    return text.replace("depends on PPC_BOOK3S_64\n", "depends on PPC_BOOK3S_64 && MODULES\n", 1)


class Desk(Kmatrix):
    """A kmatrix on the broken tree, and patches against it."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.number = 0
        self.bases: tuple[str, ...] = (str(REGRESSION),)

    def diff(self, **edits: Edit) -> str:
        """A diff of these files of the tree (``include/linux/vfio.h`` and so on, by name) as it is broken."""
        return "".join(
            _diff(self.broken(name), edit(self.broken(name)), name) for name, edit in edits.items()
        )

    def broken(self, name: str) -> str:
        if name == HEADER:
            guard = "#if IS_ENABLED(CONFIG_VFIO_GROUP)\n"
            text = (TREE / name).read_text().replace(f"{DECLARED}\n{guard}", f"{guard}{DECLARED}")
            return text.replace("#else\n", f"#else\n{STUB}", 1)
        return (TREE / name).read_text() if (TREE / name).exists() else ""

    def judge(self, text: str, *, select: str = "KVM=y,VFIO=?", **more: object) -> PatchResult:
        """The verdict on a patch, a diff or a mailbox."""
        self.number += 1
        file = self.place / f"p{self.number}.patch"
        file.write_text(text)
        return self.verdict(file, select, **more)

    def verdict(self, file: Path, select: str, **more: object) -> PatchResult:
        given = {"profile": [str(self.profile)], "source": [self.tree], "select": [select]}
        asked = PatchRequest(read_series(str(file)), self.bases, **more)  # type: ignore[arg-type]
        return evaluate_patch(resolve_profile(given, {}), asked, self.events.append, ["test"], self.world)


def _diff(old: str, new: str, name: str) -> str:
    assert old != new, f"the patch changes nothing in {name}"
    before = "/dev/null" if not old else f"a/{name}"
    return "".join(
        difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), before, f"b/{name}"
        )
    )


def turned(judged: PatchResult, *transitions: Transition) -> list[tuple[str, dict[str, str]]]:
    cells = (cell for cell in judged.verdict.cells if cell.transition in transitions)
    return [(cell.toolchain, cell.request) for cell in cells]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("patch"))


def test_a_fix_in_the_header_turns_exactly_the_failing_cells(desk: Desk) -> None:
    judged = desk.judge(desk.diff(**{HEADER: fixed_header}), fixes=("F1",))
    assert judged.exit_code == 0
    assert turned(judged, Transition.FIXED) == [("gcc-14", BROKEN), ("clang-19", BROKEN)]
    assert judged.verdict.counts.keys() == {Transition.FIXED, Transition.UNCHANGED}
    (found,) = judged.verdict.findings
    assert (found.fate, found.became) == (FindingStatus.FIXED, {CellFindingStatus.COMPILED: 2})
    assert judged.verdict.symbols == ()


def test_a_fix_in_kconfig_says_which_symbol_it_flips_and_what_is_not_built_any_more(desk: Desk) -> None:
    judged = desk.judge(desk.diff(**{KCONFIG: fixed_kconfig, POWERPC: able}), fixes=("F1",))
    assert judged.exit_code == 0
    assert turned(judged, Transition.FIXED) == [("gcc-14", BROKEN), ("clang-19", BROKEN)]
    (found,) = judged.verdict.findings
    assert (found.fate, found.became) == (FindingStatus.FIXED, {CellFindingStatus.NOT_BUILT: 2})
    rows = {row.flips[0].symbol: (row.flips[0].from_, row.flips[0].to) for row in judged.verdict.symbols}
    assert rows == {"KVM_VFIO": ("y", "n"), "HAVE_KVM_VFIO": ("n", "y")}
    (flipped,) = (row for row in judged.verdict.symbols if row.flips[0].symbol == "KVM_VFIO")
    assert flipped.condition == ({"VFIO": ("n",)},)


def test_a_fix_that_silences_one_compiler_is_none(desk: Desk) -> None:
    quiet = '#ifdef __clang__\n#pragma clang diagnostic ignored "-Wignored-attributes"\n#endif\n'
    judged = desk.judge(desk.diff(**{SOURCE: lambda text: f"{quiet}{text}"}), fixes=("F1",))
    assert judged.exit_code == 100
    assert turned(judged, Transition.FIXED) == [("clang-19", BROKEN)]
    assert turned(judged, Transition.STILL_FAILING) == [("gcc-14", BROKEN)]
    assert "still there" in str(judged.verdict.fixes[0].reason)


def test_a_fix_that_only_makes_the_request_unreachable_is_lost(desk: Desk) -> None:
    text = desk.diff(**{POWERPC: with_modules})
    judged = desk.judge(text, fixes=("F1",))
    assert judged.exit_code == 100
    assert turned(judged, Transition.FIXED) == []
    assert ("gcc-14", BROKEN) in turned(judged, Transition.LOST)
    assert judged.verdict.findings[0].fate is FindingStatus.LOST
    lost = next(cell for cell in judged.verdict.cells if cell.transition is Transition.LOST)
    assert "MODULES" in str(lost.reason)
    assert desk.judge(text, allow_lost=True).exit_code == 0


def test_a_fix_that_breaks_another_cell_is_told_by_that(desk: Desk) -> None:
    def half(text: str) -> str:
        guard = "#if IS_ENABLED(CONFIG_VFIO_GROUP)"
        return text.replace(f"{guard}\n", f"{guard} || !IS_ENABLED(CONFIG_MODULES)\n").replace(STUB, "")

    judged = desk.judge(desk.diff(**{HEADER: half}))
    assert judged.exit_code == 100
    broken = turned(judged, Transition.BROKEN)
    assert ("gcc-14", {**BROKEN, "MODULES": "y"}) in broken
    assert BROKEN not in [request for _, request in broken]
    assert any(found.new_error for found in judged.verdict.findings)


def test_a_patch_to_documentation_builds_nothing_and_says_where_all_is_from(desk: Desk) -> None:
    judged = desk.judge(desk.diff(**{"Documentation/vfio.rst": lambda _: "VFIO\n====\n"}))
    after = judged.runs[-1].run
    assert judged.exit_code == 0
    assert judged.verdict.counts.keys() == {Transition.UNCHANGED, Transition.STILL_FAILING}
    built = [cell for cell in after.cells if cell.state is not State.UNREACHABLE]
    assert {cell.evidence for cell in built} == {Evidence.REMEMBERED}
    before = judged.runs[0].run
    assert [after.locate_origin(cell) for cell in built] == [
        before.locate_origin(cell) for cell in before.cells if cell.state is not State.UNREACHABLE
    ]


def test_what_a_patch_built_never_reaches_the_bases_lane(desk: Desk) -> None:
    header = desk.diff(**{HEADER: fixed_header})
    first = desk.judge(header)
    again = desk.judge(header)
    for judged in (first, again):
        before = judged.runs[0].run
        assert [cell.request for cell in before.cells if cell.state is State.FAIL] == [BROKEN, BROKEN]
    assert find_verdict(str(again.runs[0].directory.parent), desk.place) == (again.verdict, again.runs)


def a_series(desk: Desk) -> str:
    """Three patches with a cover letter and replies: the second mends it, the third does not apply."""
    notes = desk.diff(**{"Documentation/vfio.rst": lambda _: "VFIO\n====\n"})
    header = desk.diff(**{HEADER: fixed_header})
    wrong = _diff("int nobody_has_this;\n", "int nobody_had_this;\n", SOURCE)
    letters = {"0/3": "Three patches.\n", "1/3": notes, "2/3": header, "3/3": wrong}
    mails = [
        a_mail(f"[PATCH {number}] vfio: step {number[0]}", f"Why.\n---\n{body}", f"m{number[0]}@example.org")
        for number, body in letters.items()
    ]
    reply = a_mail(
        "Re: [PATCH 2/3] vfio: step 2", "> Why.\nLooks good.\n", "r@example.org", answering("m2@example.org")
    )
    return a_mbox([*mails[:2], reply, *mails[2:]])


def test_of_a_series_each_patch_is_told_and_the_one_that_does_not_apply_is_named(desk: Desk) -> None:
    judged = desk.judge(a_series(desk), each_patch=True)
    steps = judged.verdict.steps or ()
    assert [step.subject for step in steps] == ["vfio: step 1", "vfio: step 2"]
    assert [len(step.cells) for step in steps] == [0, 2]
    refused = [one.refused for one in judged.verdict.patches]
    assert refused[:2] == [None, None]
    assert "0003-vfio-step-3" in str(refused[2])
    assert judged.exit_code == 1, "not all that was asked about could be tried"
    names = {file.name for file in write_verdict_reports(judged.verdict, judged.runs)}
    assert {"mail.txt", "mail-1.txt", "mail-2.txt"} <= names
    mail = FORMATS["mail"].render_verdict(judged.verdict, judged.runs[0], judged.runs[-1], NO_OPTIONS)
    assert "Subject: Re: [PATCH 0/3] vfio: step 0\n" in mail
    assert "In-Reply-To: <m0@example.org>\n" in mail
    assert "step 3" in mail


def test_a_source_that_a_patch_adds_beside_the_focus_is_built_with_it(desk: Desk) -> None:
    adds = desk.diff(
        **{
            "drivers/base/extra.c": lambda _: "int extra(void)\n{\n\treturn missing;\n}\n",
            "drivers/base/Makefile": lambda text: f"{text}obj-y += extra.o\n",
        }
    )
    judged = desk.judge(adds, select="KVM=n,MODULES=n,VFIO=n,toolchain=gcc-14")
    assert judged.exit_code == 100
    assert turned(judged, Transition.BROKEN)
    assert "drivers/base/extra.o" in str(judged.verdict.findings)


def test_a_directory_that_a_patch_adds_is_built_with_it(desk: Desk) -> None:
    adds = desk.diff(
        **{
            "drivers/extra/extra.c": lambda _: "int extra(void)\n{\n\treturn 0;\n}\n",
            "drivers/extra/Makefile": lambda _: "obj-y += extra.o\n",
            "drivers/Makefile": lambda text: f"{text}obj-y += extra/\n",
        }
    )
    judged = desk.judge(adds, select="KVM=n,MODULES=n,VFIO=n,toolchain=gcc-14")
    assert judged.exit_code == 0
    before, after = (stored.run.cells[0].stages[-1].objects for stored in judged.runs)
    assert after == before + 1


def test_a_patch_that_does_not_apply_leaves_nothing(desk: Desk) -> None:
    before = set(desk.world.runs.iterdir())
    with pytest.raises(RejectedPatchError):
        desk.judge(_diff("int nobody_has_this;\n", "int nobody_had_this;\n", SOURCE))
    assert set(desk.world.runs.iterdir()) == before


def test_two_runs_are_compared_by_their_fields(desk: Desk) -> None:
    select = ["KVM=y,VFIO=?"]
    good = desk.run(source=[desk.tree], select=select)
    before = desk.stored
    desk.run(source=[desk.tree], patch=[str(REGRESSION)], select=[*select, "KVM=n"])
    verdict, code = compare_stored_runs(before, desk.stored)
    assert code == 100
    assert verdict.counts[Transition.BROKEN] == 2
    assert [found.fate for found in verdict.findings] == [FindingStatus.NEW]
    assert good.finished
