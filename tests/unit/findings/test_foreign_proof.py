"""A cell that failed proves only what its log shows: what was made there lacks a problem, and no more."""

import pytest

from matrix.diagnostics.log_parser import parse_build_log
from matrix.findings.derive import derive_findings
from matrix.findings.evidence import CellIndex, is_problem_absent
from matrix.record.run_model import Run, StageRecord
from matrix.record.states import State
from tests.fakes.runs import a_cell, a_run
from tests.unit.findings.test_foreign_grouping import read_run

BAD_A = "  CC      drivers/a.o\n/src/drivers/a.c:7:2: error: 'foo' undeclared (first use in this function)\n"
BAD_B = "  CC      drivers/b.o\n/src/drivers/b.c:7:2: error: 'bar' undeclared (first use in this function)\n"
MADE_A = "  CC      drivers/a.o\n"
DETOUR = "  CC      arch/powerpc/kvm/../../../virt/kvm/a.o\n"
LINK = "  LD      .tmp_vmlinux1\n"
UNDEFINED = "ld: drivers/a.o: in function `f':\na.c:(.text+0x2): undefined reference to `gone'\n"
LLD_UNDEFINED = "ld.lld: error: undefined symbol: gone\n>>> referenced by a.c\n>>>   drivers/a.o:(f)\n"
MODPOST = "  CC [M]  drivers/a.o\n  MODPOST Module.symvers\n"
NO_LICENSE = "ERROR: modpost: missing MODULE_LICENSE() in drivers/a.o\n"
MISMATCH = (
    "WARNING: modpost: drivers/a: section mismatch in reference: f+0x1 (section: .text) -> g "
    '(section: .init.text)\nERROR: modpost: "gone" [drivers/z.ko] undefined!\n'
)


def fail(target: str) -> str:
    return f"make[4]: *** [/src/scripts/Makefile.build:229: {target}] Error 1\n"


def read_two_cells(first: str, second: str) -> tuple[Run, dict[str, frozenset[str]]]:
    """The run of two cells with these logs, and what each of them made."""
    run = read_run(
        f"=== cell arch=x86 toolchain=gcc-14 KVM=y\n{first}=== cell arch=x86 toolchain=gcc-14 KVM=n\n{second}"
    )
    made = {}
    for cell, text in zip(run.cells, (first, second), strict=True):
        log = parse_build_log(text.splitlines())
        made[cell.id] = log.compiled_objects - {target.object for target in log.failed_targets}
    return run, made


def is_known_to_lack(first: str, second: str, message: str) -> bool:
    """Whether the second cell is known to lack the problem that the first shows."""
    run, made = read_two_cells(first, second)
    found = [each for each in derive_findings(run, made).findings if message in each.title]
    assert len(found) == 1
    assert len(found[0].scope.absent) + len(found[0].scope.unknown) == 1
    return bool(found[0].scope.absent)


FIRST = BAD_A + fail("drivers/a.o")
OTHER = BAD_B + fail("drivers/b.o")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (FIRST, MADE_A + OTHER, "'foo'"),
        (
            FIRST,
            MADE_A + "/src/drivers/a.c:9:2: warning: unused variable 'q' [-Wunused-variable]\n" + OTHER,
            "foo",
        ),
        (
            FIRST,
            BAD_B + MADE_A + fail("drivers/b.o") + "make[4]: *** Waiting for unfinished jobs....\n",
            "'foo'",
        ),
        (
            DETOUR + "/src/virt/kvm/a.c:7:2: error: 'foo' undeclared\n",
            DETOUR + OTHER,
            "'foo'",
        ),
    ],
)
def test_what_was_made_in_a_failing_cell_lacks_the_problem(first: str, second: str, message: str) -> None:
    assert is_known_to_lack(first, second, message)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        pytest.param(FIRST, OTHER, "'foo'", id="not in its log"),
        pytest.param(FIRST, MADE_A + "fixdep: no such file\n" + fail("drivers/a.o"), "'foo'", id="failed"),
        pytest.param(
            FIRST,
            MADE_A + OTHER + "make[4]: *** [/src/scripts/Makefile.build:2: drivers/a.o] Interrupt\n",
            "'foo'",
            id="stopped",
        ),
        pytest.param(LINK + UNDEFINED + fail("vmlinux"), MADE_A + OTHER, "gone", id="ld did not run"),
        pytest.param(
            MADE_A + LINK + UNDEFINED + fail("vmlinux"), MADE_A + OTHER, "gone", id="ld, compiled before"
        ),
        pytest.param(LINK + LLD_UNDEFINED + fail("vmlinux"), MADE_A + OTHER, "gone", id="lld did not run"),
        pytest.param(
            MODPOST + NO_LICENSE + fail("Module.symvers"),
            "  CC [M]  drivers/a.o\n" + OTHER,
            "MODULE_LICENSE",
            id="modpost did not run",
        ),
        pytest.param(
            MODPOST + MISMATCH + fail("Module.symvers"),
            "  CC [M]  drivers/a.o\n" + OTHER,
            "section mismatch",
            id="nor did it look at sections",
        ),
    ],
)
def test_what_was_not_tried_in_a_failing_cell_proves_nothing(first: str, second: str, message: str) -> None:
    assert not is_known_to_lack(first, second, message)


def test_a_link_that_failed_has_what_its_linker_says_as_its_cause() -> None:
    """An input of the link that was compiled before is not what the message is of."""
    run, made = read_two_cells(MADE_A + LINK + UNDEFINED + fail("vmlinux"), MADE_A + OTHER)
    titles = [each.title for each in derive_findings(run, made).findings]
    assert not any("nothing that its command printed" in title for title in titles)


def test_what_is_linked_in_two_stages_is_absent_where_both_came_to_their_end() -> None:
    """It was met in vmlinux and in a module; where the modules were not linked, none may lack it."""
    ended = StageRecord(name="vmlinux", state=State.PASS, command="make", exit=0, objects=1)
    failed = StageRecord(name="modules", state=State.FAIL, command="make", exit=2, objects=1)
    cell = a_cell("x86", "gcc-14", {"KVM": "m"}, state=State.FAIL).model_copy(
        update={"stages": (ended, failed)}
    )
    index = CellIndex.from_run(a_run([cell], []), {})
    for stages, is_absent in ((["vmlinux"], True), (["vmlinux", "modules"], False), ([], False)):
        assert is_problem_absent(cell, (), stages, {}) == is_absent
        assert bool(index.find_absent_cells((), stages)) == is_absent
