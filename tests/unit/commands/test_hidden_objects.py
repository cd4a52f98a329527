"""Verdicts in spite of other errors, on the fake engine: what is looked through, and what is not."""

import json
from html import unescape
from pathlib import Path

import pytest

from matrix.commands.patch import PatchResult, find_verdict
from matrix.engine.protocol import ContainerResult
from matrix.errors import InterruptedRunError, RequestError
from matrix.findings.stored_run import StoredRun
from matrix.record.states import State
from matrix.verdict.verdict_model import CellFindingStatus, FindingChange, FindingStatus
from reports import NO_OPTIONS, find_format
from tests.fakes.kernel import Job, Made, Settings, Symbol
from tests.fakes.mails import a_mail, a_mbox
from tests.unit.commands.run_desk import GROUP, PROFILE, TWO_LANES, VFIO
from tests.unit.commands.test_patch import FIX, Judge

BOTH = PROFILE.replace('["gcc-14"]', '["gcc-14", "clang-19"]')
HEADER = "/src/include/linux/mm.h:3:1: error: mixed enumerations [-Werror,-Wenum-conversion]"
# The fake compiler demotes what one flag alone promotes.
PROMOTED_AGAIN = HEADER.replace("conversion]", "conversion,-Wenum]")
SECOND = "/src/include/linux/fs.h:9:1: error: never read [-Werror,-Wunused-but-set-variable]"
HARD = "/src/include/linux/fs.h:9:1: error: use of undeclared identifier 'y'"
BROKEN = "/src/drivers/vfio/vfio.c:7:5: error: 'x' is a mistake"
PROMOTED = "/src/drivers/vfio/vfio.c:7:5: error: unused variable 'x' [-Werror,-Wunused-variable]"
HIDDEN = "/src/drivers/vfio/vfio.c:7:5: warning: unused variable 'x' [-Wunused-variable]"


class Veiled(Judge):
    """A tree whose vfio.c both compilers refuse until it is mended; clang also for what a header holds."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asks(TWO_LANES, BOTH)
        self.veils = [HEADER]
        self.fault: list[str] = [BROKEN]
        self.kernel.objects[VFIO] = Made("VFIO", says=lambda _: self.say())

    @property
    def is_clang(self) -> bool:
        return "LLVM" in self.kernel.jobs[-1].variables

    @property
    def is_alone(self) -> bool:
        """Whether the last make was asked for one object."""
        return self.kernel.jobs[-1].targets == (VFIO,)

    def say(self) -> list[str]:
        return [*(self.veils if self.is_clang else []), *(self.fault if self.broken() else [])]

    def alone(self) -> list[Job]:
        return [job for job in self.kernel.jobs if any(name.endswith(".o") for name in job.targets)]


@pytest.fixture
def veiled(tmp_path: Path) -> Veiled:
    return Veiled(tmp_path)


def the_fault(judged: PatchResult, message: str = "mistake") -> FindingChange:
    (change,) = (change for change in judged.verdict.findings if message in change.title)
    return change


def test_a_fix_is_seen_through_the_header_that_clang_refuses(veiled: Veiled) -> None:
    judged = veiled.judged(fixes=("F1",))
    change = the_fault(judged)
    assert (change.fate, change.became) == (FindingStatus.FIXED, {CellFindingStatus.COMPILED: 2})
    (look,) = change.seen_through
    assert (look.when, look.toolchain, look.objects, look.shows) == ("after", "clang-19", (VFIO,), False)
    assert (look.through, look.stays) == (("F2",), True)
    assert (look.demoted, change.gone_with) == (("-Wenum-conversion",), ("gcc-14",))
    assert "KCFLAGS=-Wno-error=enum-conversion" in look.command
    assert look.command.endswith(f" {VFIO}")
    (check,) = judged.verdict.fixes
    assert check.fixed
    assert check.how == "fixed with gcc-14; with clang-19 fixed, seen through F2, which stays"
    assert judged.exit_code == 0


def test_the_cells_stay_as_they_were_built(veiled: Veiled) -> None:
    judged = veiled.judged()
    after = judged.runs[-1]
    states = {(cell.toolchain, cell.state.value) for cell in after.run.cells if cell.request["VFIO"] == "y"}
    assert states == {("gcc-14", "pass"), ("clang-19", "fail")}
    failing = next(cell for cell in after.run.cells if cell.state is State.FAIL)
    assert VFIO not in after.made_objects[failing.id]
    assert StoredRun.load(after.directory).run == after.run


def test_what_was_looked_through_is_kept_and_told_again(veiled: Veiled) -> None:
    judged = veiled.judged()
    directory = judged.runs[0].directory.parent
    assert find_verdict(str(directory), veiled.world.runs) == (judged.verdict, judged.runs)
    (look,) = the_fault(judged).seen_through
    log = (judged.runs[-1].directory / str(look.log)).read_text()
    assert f"$ {look.command}" in log
    kept = json.loads((judged.runs[-1].directory / "verdict.json").read_text())
    rows = [row for row in kept["findings"] if "seen_through" in row]
    assert [row["title"] for row in rows] == [the_fault(judged).title]


def test_it_is_made_in_a_directory_of_its_own_that_is_gone(veiled: Veiled) -> None:
    lanes = Path(veiled.place / "cache/lanes")
    judged = veiled.judged()
    (job,) = veiled.alone()
    assert not job.host("/build").exists()
    built = {path.name for path in lanes.iterdir()}
    assert not [name for name in built if "-copy-" in name]
    assert judged.verdict.findings
    veiled.kernel.jobs.clear()
    again = veiled.judged()
    assert [cell.state for cell in again.runs[-1].run.cells] == [
        cell.state for cell in judged.runs[-1].run.cells
    ]


def test_what_is_still_there_behind_them_is_not_fixed(veiled: Veiled) -> None:
    """With clang it is only silent because the header is refused first."""
    veiled.say = lambda: (  # type: ignore[method-assign]
        [HEADER, *([] if not veiled.is_alone and not veiled.broken() else [PROMOTED])]
        if veiled.is_clang
        else []
    )
    judged = veiled.judged()
    change = the_fault(judged, "unused variable")
    assert (change.fate, change.became) == (FindingStatus.STILL, {CellFindingStatus.STILL: 1})
    (look,) = change.seen_through
    assert look.shows is True
    assert change.after is None


def test_a_hard_error_is_not_seen_through(veiled: Veiled) -> None:
    veiled.veils = [HEADER, HARD]
    judged = veiled.judged(fixes=("F1",))
    change = the_fault(judged)
    assert (change.fate, change.seen_through) == (FindingStatus.UNKNOWN, ())
    assert "is no warning that could be demoted" in str(change.why)
    assert veiled.alone() == []
    assert not judged.verdict.fixes[0].known


def test_a_hard_error_behind_the_promoted_one_leaves_it_open_and_says_so(veiled: Veiled) -> None:
    veiled.say = lambda: (  # type: ignore[method-assign]
        [HEADER, *([HARD] if veiled.is_alone else []), *(veiled.fault if veiled.broken() else [])]
        if veiled.is_clang
        else veiled.fault * veiled.broken()
    )
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.UNKNOWN
    (look,) = change.seen_through
    assert (look.shows, look.why) == (None, "include/linux/fs.h:9:1: use of undeclared identifier 'y'")
    assert "undeclared identifier" in str(change.why)


def test_a_warning_that_a_makefile_promotes_again_leaves_it_open(veiled: Veiled) -> None:
    veiled.veils = [PROMOTED_AGAIN]
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.UNKNOWN
    (look,) = change.seen_through
    assert (look.shows, look.demoted) == (None, ("-Wenum-conversion",))
    assert "-Wenum-conversion" in str(look.why)


def test_the_trees_own_symbols_are_switched_off_where_no_flag_helps(veiled: Veiled) -> None:
    demoted = HEADER.replace("error:", "warning:").replace("-Werror,", "")
    symbols = {
        "WERROR": Symbol("y"),
        "KVM_WERROR": Symbol("y", needs="WERROR"),
        "GIZMO_DISABLE_WERROR": Symbol(),
    }
    veiled.kernel.symbols = {**veiled.kernel.symbols, **symbols}

    def say(config: Settings) -> list[str]:
        veil = PROMOTED_AGAIN if config["WERROR"] == "y" else demoted
        return [*([veil] if veiled.is_clang else []), *(veiled.fault if veiled.broken() else [])]

    veiled.kernel.objects[VFIO] = Made("VFIO", says=say)
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.FIXED
    (look,) = change.seen_through
    assert look.switched_off == ("GIZMO_DISABLE_WERROR=y", "KVM_WERROR=n", "WERROR=n")
    assert look.shows is False


def test_symbols_that_take_others_along_are_left_alone(veiled: Veiled) -> None:
    """What is made then has another configuration, and shows nothing of this one."""
    veiled.kernel.symbols = {
        **veiled.kernel.symbols,
        "WERROR": Symbol("y"),
        "STRICT": Symbol("y", needs="WERROR"),
    }

    def say(config: Settings) -> list[str]:
        veil = [PROMOTED_AGAIN] if config["WERROR"] == "y" else []
        return [*(veil if veiled.is_clang else []), *(veiled.fault if veiled.broken() else [])]

    veiled.kernel.objects[VFIO] = Made("VFIO", says=say)
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.UNKNOWN
    assert change.seen_through[0].switched_off == ()


def test_what_comes_up_behind_them_is_demoted_in_turn(veiled: Veiled) -> None:
    def say() -> list[str]:
        flags = veiled.kernel.jobs[-1].variables.get("KCFLAGS", "")
        more = [SECOND] if "enum-conversion" in flags else []
        return [*([HEADER, *more] if veiled.is_clang else []), *(veiled.fault if veiled.broken() else [])]

    veiled.say = say  # type: ignore[method-assign]
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.FIXED
    (look,) = change.seen_through
    assert look.demoted == ("-Wenum-conversion", "-Wunused-but-set-variable")
    assert look.beyond == (f"{VFIO}: include/linux/fs.h: never read [-Wunused-but-set-variable]",)


def test_a_users_own_flags_stay_and_the_demotion_comes_last(veiled: Veiled) -> None:
    veiled.asks(f'{TWO_LANES}\n[make]\nKCFLAGS = "-O1"\n', BOTH)
    (look,) = the_fault(veiled.judged()).seen_through
    assert "'KCFLAGS=-O1 -Wno-error=enum-conversion'" in look.command


def test_nothing_is_looked_through_where_nothing_is_open(veiled: Veiled) -> None:
    veiled.veils = []
    change = the_fault(veiled.judged())
    assert (change.fate, change.seen_through) == (FindingStatus.FIXED, ())
    assert veiled.alone() == []


def test_a_finding_that_only_gcc_showed_is_looked_for_with_clang_on_both_sides(veiled: Veiled) -> None:
    """clang prints the late warning only once nothing was refused."""

    def say() -> list[str]:
        if not veiled.is_clang:
            return [PROMOTED.replace("error,-W", "error=")] if veiled.broken() else []
        return [HEADER, *([PROMOTED] if veiled.broken() and veiled.is_alone else [])]

    veiled.say = say  # type: ignore[method-assign]
    change = the_fault(veiled.judged(fixes=("F1",)), "unused variable")
    assert change.fate is FindingStatus.FIXED
    assert [(look.when, look.shows) for look in change.seen_through] == [("after", False), ("before", True)]
    assert change.became == {CellFindingStatus.COMPILED: 1}
    assert change.gone_with == ("gcc-14",)


@pytest.mark.parametrize("behind", [PROMOTED, HARD])
def test_a_fix_for_gcc_alone_is_none_with_clang(veiled: Veiled, behind: str) -> None:
    def say() -> list[str]:
        if not veiled.is_clang:
            return [PROMOTED.replace("error,-W", "error=")] if veiled.broken() else []
        hidden = PROMOTED if veiled.broken() else behind
        return [HEADER, *([hidden] if veiled.is_alone else [])]

    veiled.say = say  # type: ignore[method-assign]
    change = the_fault(veiled.judged(), "unused variable")
    assert change.fate is (FindingStatus.STILL if behind is PROMOTED else FindingStatus.UNKNOWN)
    assert change.became == {CellFindingStatus.COMPILED: 1}
    assert change.gone_with == ("gcc-14",)


def test_a_finding_that_only_gcc_has_is_told_as_gccs(veiled: Veiled) -> None:
    veiled.say = lambda: [HEADER] if veiled.is_clang else veiled.fault * veiled.broken()  # type: ignore[method-assign]
    change = the_fault(veiled.judged())
    assert (change.fate, change.seen_through, change.unknown_in) == (FindingStatus.FIXED, (), ())


def test_what_seems_new_was_there_before_behind_other_errors(veiled: Veiled) -> None:
    """The patch mends what was refused first, and with that shows what the compiler had not come to."""

    def say() -> list[str]:
        if not veiled.is_clang:
            return []
        if not veiled.broken():
            return [HIDDEN]
        return [HEADER, *([HIDDEN] if veiled.is_alone else [])]

    veiled.say = say  # type: ignore[method-assign]
    judged = veiled.judged()
    change = the_fault(judged, "unused variable")
    assert (change.fate, change.new_in) == (FindingStatus.STILL, ())
    assert [(look.when, look.shows) for look in change.seen_through] == [("before", True)]


def test_a_machine_that_fails_meanwhile_leaves_it_open_with_the_reason(veiled: Veiled) -> None:
    def fail(job: Job) -> ContainerResult | None:
        return ContainerResult(exit=137, seconds=1.0, timed_out=True) if VFIO in job.targets else None

    veiled.kernel.before = fail
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.UNKNOWN
    assert change.seen_through[0].shows is None
    assert "timeout" in str(change.why)


def test_a_source_that_is_gone_meanwhile_leaves_it_open(
    veiled: Veiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RequestError("the source is gone")

    monkeypatch.setattr("matrix.commands.hidden_objects.restore_session", refuse)
    assert "the source is gone" in str(the_fault(veiled.judged()).why)


def test_each_patch_of_a_series_is_seen_through_by_itself(veiled: Veiled) -> None:
    notes = "--- /dev/null\n+++ b/Documentation/vfio.rst\n@@ -0,0 +1 @@\n+VFIO\n"
    mails = [
        a_mail(f"[PATCH {number}/2] step", f"Why.\n---\n{text}", f"m{number}@example.org")
        for number, text in enumerate((FIX, notes), 1)
    ]
    steps = veiled.judged(a_mbox(mails), each_patch=True).verdict.steps or ()
    assert [[len(row.seen_through) for row in step.findings] for step in steps] == [[1], []]


def test_an_interrupt_meanwhile_keeps_the_runs(veiled: Veiled, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("matrix.commands.hidden_objects.restore_session", interrupt)
    with pytest.raises(InterruptedRunError, match="what was built is kept"):
        veiled.judged()
    (directory,) = veiled.world.runs.iterdir()
    assert (directory / "after/run.json").exists()


def test_objects_with_the_same_flags_are_made_in_one_go(veiled: Veiled) -> None:
    """A header's finding in two objects, behind another header's."""
    shared = BROKEN.replace("/src/drivers/vfio/vfio.c", "/src/include/linux/vfio.h")
    veiled.fault = [shared]
    veiled.kernel.objects[GROUP] = Made("VFIO", says=lambda _: veiled.say())
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.FIXED
    (look,) = change.seen_through
    assert look.objects == (GROUP, VFIO)
    (job,) = veiled.alone()
    assert job.targets == (GROUP, VFIO)


def test_one_object_that_does_not_get_through_leaves_it_open(veiled: Veiled) -> None:
    shared = BROKEN.replace("/src/drivers/vfio/vfio.c", "/src/include/linux/vfio.h")
    veiled.fault = [shared]
    hard = HARD.replace("fs.h", "group.h")
    veiled.kernel.objects[GROUP] = Made(
        "VFIO", says=lambda _: [*veiled.say(), *([hard] if veiled.is_clang and veiled.alone() else [])]
    )
    change = the_fault(veiled.judged())
    assert change.fate is FindingStatus.UNKNOWN
    assert sorted((look.objects, look.shows) for look in change.seen_through) == [
        ((GROUP,), None),
        ((VFIO,), False),
    ]


def test_a_bound_is_kept_and_told(veiled: Veiled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.commands.hidden_objects.MAX_OBJECTS", 0)
    assert "only 0 objects are made" in str(the_fault(veiled.judged()).why)
    assert veiled.alone() == []


@pytest.mark.parametrize("name", ["text", "html", "markdown", "mail"])
def test_every_format_tells_through_what_it_was_seen(veiled: Veiled, name: str) -> None:
    judged = veiled.judged(fixes=("F1",))
    told = find_format(name).render_verdict(judged.verdict, judged.runs[0], judged.runs[-1], NO_OPTIONS)
    plain = unescape(" ".join(told.split())).replace("\\", "")
    assert "with clang-19 fixed, seen through" in plain
    assert "-Wno-error=enum-conversion" in plain
