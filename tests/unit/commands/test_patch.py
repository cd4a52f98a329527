"""The verdict on a patch as a job: on the fake engine, with what it keeps, says and refuses."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from matrix.catalog.load import load_profile
from matrix.catalog.types import Profile
from matrix.commands.compare import apply_baseline, parse_baseline_options
from matrix.commands.patch import (
    PatchResult,
    evaluate_patch,
    find_verdict,
    format_base_mismatch,
)
from matrix.commands.patch_request import PatchRequest
from matrix.commands.session import read_git_identity
from matrix.commands.settings import resolve_profile
from matrix.errors import KmatrixError, RequestError
from matrix.record.run_model import GitState, SourceRecord
from matrix.record.states import State
from matrix.source.mbox.series import read_series
from matrix.verdict.verdict_model import FindingStatus, Mailbox, Transition
from tests.fakes.kernel import Job, Made, Symbol
from tests.fakes.mails import a_mail, a_mbox
from tests.fakes.runs import a_run, the_story
from tests.unit.commands.run_desk import ERROR, PROFILE, TWO_LANES, VFIO, Desk, always, applying

FIX = "--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n+int v;\n"
TESTER = Mailbox(name="T", address="t@example.org")


class Judge(Desk):
    """A tree whose vfio.c is refused until it says ``int v;``."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.asks(TWO_LANES)
        self.kernel.applies = applying
        self.says(VFIO, lambda _: [ERROR] if self.broken() else [])

    def broken(self) -> bool:
        source = self.kernel.jobs[-1].host("/src") / "drivers/vfio/vfio.c"
        return source.read_text() == "int vfio;\n"

    def judged(self, text: str = FIX, **more: object) -> PatchResult:
        file = self.place / "fix.patch"
        file.write_text(text)
        asked = PatchRequest(read_series(str(file)), **more)  # type: ignore[arg-type]
        return evaluate_patch(self.settled_profile, asked, self._tell, ["test"], self.world)

    @property
    def settled_profile(self) -> Profile:
        return resolve_profile(self._settled({}), {})


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path)


def test_a_fix_is_told_with_its_runs_and_its_patch_and_found_again(judge: Judge) -> None:
    judged = judge.judged(fixes=("F1",), tester=TESTER)
    assert (judged.exit_code, judged.tester, judged.untested_reason) == (0, TESTER, "")
    assert judged.verdict.counts == {Transition.FIXED: 1, Transition.UNCHANGED: 1}
    assert [found.fate for found in judged.verdict.findings] == [FindingStatus.FIXED]
    place = judged.runs[0].directory.parent
    assert [stored.directory.name for stored in judged.runs] == ["before", "after"]
    assert (place / "patches/fix.patch").read_text() == FIX
    assert find_verdict(place.name, judge.world.runs) == (judged.verdict, judged.runs)
    assert all((stored.directory / "findings.json").exists() for stored in judged.runs)


def test_a_tag_that_is_not_earned_is_refused_and_told(judge: Judge) -> None:
    judge.says(VFIO, always(ERROR))
    judged = judge.judged(tester=TESTER)
    assert judged.tester is None
    assert judged.untested_reason
    assert judged.exit_code != 0


def test_mails_patches_and_cover_letter_are_kept_for_the_answer(judge: Judge) -> None:
    cover = a_mail("[PATCH v2 0/1] vfio: mend it", "A cover letter.\n", "m0@example.org")
    mail = a_mail("[PATCH v2 1/1] vfio: the patch", f"Why.\n---\n{FIX}", "m1@example.org")
    verdict = judge.judged(a_mbox([cover, mail])).verdict
    assert verdict.cover is not None
    assert (verdict.cover.message_id, verdict.cover.quote) == ("m0@example.org", ("A cover letter.",))
    assert [(one.subject, one.refused) for one in verdict.patches] == [("vfio: the patch", None)]


def test_a_finding_that_the_base_lacks_is_refused_before_anything_is_built_with_the_patch(
    judge: Judge,
) -> None:
    with pytest.raises(RequestError, match=r"has no finding 'F7' \(it has F1\)"):
        judge.judged(fixes=("F7",))
    (directory,) = judge.world.runs.iterdir()
    assert sorted(path.name for path in directory.iterdir()) == ["before", "patches"]


def test_nothing_is_left_of_a_request_that_was_wrong(judge: Judge) -> None:
    judge.kernel.applies = lambda _: 3
    with pytest.raises(KmatrixError):
        judge.judged()
    assert not judge.world.runs.exists() or not list(judge.world.runs.iterdir())


def test_a_damaged_verdict_is_told(judge: Judge) -> None:
    judged = judge.judged()
    (judged.runs[-1].directory / "verdict.json").write_text("{}")
    with pytest.raises(RequestError, match="is damaged"):
        find_verdict(str(judged.runs[0].directory.parent), judge.world.runs)


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_base_that_is_not_the_patchs_own_is_said() -> None:
    run = the_story()
    git = GitState(commit=COMMIT, describe="v6.12", dirty=False)
    source = SourceRecord(spec="/tree@HEAD", version="6.12", digest="0" * 64, git=git)
    on_git = a_run(source=source)
    assert format_base_mismatch(None, run) is None
    assert format_base_mismatch(COMMIT[:12], on_git) is None
    assert "it was tried on 0123456789ab (v6.12)" in str(format_base_mismatch("f" * 40, on_git))
    assert "it was tried on Linux 6.12.48" in str(format_base_mismatch("f" * 40, run))
    dirty = source.model_copy(update={"git": git.model_copy(update={"dirty": True})})
    assert "uncommitted" in str(format_base_mismatch(COMMIT, a_run(source=dirty)))


def test_the_tester_is_who_git_says_and_nobody_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", {"NAME": "Jane Doe", "EMAIL": "jane@example.org"}[name])
    assert read_git_identity() == Mailbox(name="Jane Doe", address="jane@example.org")

    def unknown(*_: object, **__: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], 128, "", "tell me who you are")

    monkeypatch.setattr(subprocess, "run", unknown)
    with pytest.raises(RequestError, match="git does not know who you are"):
        read_git_identity()


def test_a_run_is_held_against_its_baseline_and_what_is_known(judge: Judge) -> None:
    judge.run()
    broken = judge.stored
    measure = parse_baseline_options(str(broken.directory), "", judge.world.runs, judge.settled_profile)
    assert measure is not None
    held = apply_baseline(broken, measure)
    assert held.exit_code == 0, "what failed there may fail here"
    (judge.tree / "drivers/vfio/vfio.c").write_text("int v;\n")
    judge.run()
    good = judge.stored
    back = parse_baseline_options(str(judge.directory), "", judge.world.runs, judge.settled_profile)
    assert back is not None
    assert apply_baseline(broken, back).exit_code == 100
    assert apply_baseline(good, measure).exit_code == 0


def test_without_a_baseline_nothing_is_measured_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    assert parse_baseline_options("", "", tmp_path, load_profile("quick")) is None
    with pytest.raises(RequestError, match="no run 'nosuch'"):
        parse_baseline_options("nosuch", "", tmp_path, load_profile("quick"))
    with pytest.raises(RequestError):
        parse_baseline_options("", str(tmp_path / "nosuch.toml"), tmp_path, load_profile("quick"))


def test_a_patch_takes_nothing_from_another_that_has_just_got_the_same_directory(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both have seen it empty: the one that makes the folder of the patches has it.
    monkeypatch.setattr("matrix.commands.patch.check_output_unused", lambda _: None)
    theirs = judge.place / "out" / "patches" / "theirs.patch"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    profile = resolve_profile(judge._settled({"out": [str(judge.place / "out")]}), {})
    (judge.place / "fix.patch").write_text(FIX)
    request = PatchRequest(read_series(str(judge.place / "fix.patch")))
    with pytest.raises(RequestError, match="in use"):
        evaluate_patch(profile, request, judge._tell, ["test"], judge.world)
    assert theirs.read_text() == "theirs"


NEW = "--- /dev/null\n+++ b/drivers/{0}/new.c\n@@ -0,0 +1 @@\n+int n;\n"


def adding(folder: str) -> Callable[[Job], int]:
    """The container that applies a patch with a new source, in a folder that it may have to make."""

    def apply(job: Job) -> int:
        place = job.host("/work") / "drivers" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "new.c").write_text("int n;\n")
        (place / "Makefile").write_text("obj-$(CONFIG_VFIO) += new.o\n")
        return 0

    return apply


def test_a_source_that_the_patch_adds_is_built_after_it(judge: Judge) -> None:
    judge.kernel.applies = adding("new")
    judge.kernel.objects["drivers/new/new.o"] = Made("VFIO", says=always(ERROR))
    judge.says(VFIO, always())
    judged = judge.judged(NEW.format("new"))
    before, after = (stored.run for stored in judged.runs)
    assert [cell.state.value for cell in before.cells] == ["empty", "pass"]
    assert [cell.state.value for cell in after.cells] == ["empty", "fail"]
    assert judged.exit_code == 100
    assert judged.verdict.counts[Transition.BROKEN] == 1
    assert "drivers/new/" not in str(before.cells)
    assert "drivers/new/" in str(after.cells)


def test_a_focus_that_only_the_patch_brings_is_taken(judge: Judge) -> None:
    judge.kernel.applies = adding("new")
    judge.kernel.objects["drivers/new/new.o"] = Made("VFIO")
    judge.asks(TWO_LANES, PROFILE.replace('"drivers/vfio/"', '"drivers/new/"'))
    judged = judge.judged(NEW.format("new"))
    states = [[cell.state.value for cell in stored.run.cells] for stored in judged.runs]
    assert states == [["empty", "empty"], ["empty", "pass"]]


def test_a_focus_that_neither_side_has_is_refused(judge: Judge) -> None:
    judge.kernel.applies = adding("new")
    judge.asks(TWO_LANES, PROFILE.replace('"drivers/vfio/"', '"drivers/none/"'))
    with pytest.raises(RequestError, match="the source has no drivers/none/"):
        judge.judged(NEW.format("new"))


def test_a_source_that_the_patch_removes_is_built_before_it(judge: Judge) -> None:
    (judge.tree / "drivers/old").mkdir()
    (judge.tree / "drivers/old/old.c").write_text("int old;\n")
    (judge.tree / "drivers/old/Makefile").write_text("obj-$(CONFIG_VFIO) += old.o\n")
    judge.kernel.objects["drivers/old/old.o"] = Made("VFIO")
    judge.says(VFIO, lambda _: [])

    def remove(job: Job) -> int:
        (job.host("/work") / "drivers/old/old.c").unlink()
        (job.host("/work") / "drivers/old/Makefile").unlink()
        del judge.kernel.objects["drivers/old/old.o"]
        return 0

    judge.kernel.applies = remove
    text = "".join(
        f"--- a/drivers/old/{name}\n+++ /dev/null\n@@ -1 +0,0 @@\n-{line}\n"
        for name, line in (("old.c", "int old;"), ("Makefile", "obj-$(CONFIG_VFIO) += old.o"))
    )
    before, after = (stored.run for stored in judge.judged(text).runs)
    assert "drivers/old/" in str(before.cells)
    assert "drivers/old/" not in str(after.cells)
    assert [cell.state.value for cell in after.cells] == ["empty", "pass"]


def test_a_baseline_that_has_no_cell_of_the_plan_is_refused_before_any_work(judge: Judge) -> None:
    judge.run()
    other = judge.settled_profile.model_copy(update={"toolchain": ("gcc-12",)})
    with pytest.raises(RequestError, match=r"no cell in common: toolchain is .* there, gcc-12 here"):
        parse_baseline_options(str(judge.directory), "", judge.world.runs, other)


def test_known_findings_are_read_once_before_the_run(judge: Judge) -> None:
    """A file that goes away meanwhile loses nobody a night's run."""
    judge.run()
    known = judge.place / "known.toml"
    keys = list(judge.stored.findings.findings[0].keys)
    known.write_text(f'[row]\nkeys = {keys}\nreason = "r"\nlink = "https://x/"\nexpires = 2999-01-01\n')
    options = parse_baseline_options("", str(known), judge.world.runs, judge.settled_profile)
    assert options is not None
    known.unlink()
    assert apply_baseline(judge.stored, options).exit_code == 0


def test_known_findings_that_were_not_seen_are_told_with_what_was_not_tried(judge: Judge) -> None:
    known = judge.place / "known.toml"
    known.write_text('[row]\nkeys = ["x"]\nreason = "r"\nlink = "https://x/"\nexpires = 2999-01-01\n')
    options = parse_baseline_options("", str(known), judge.world.runs, judge.settled_profile)
    assert options is not None
    judge.run()
    stopped = tuple(
        cell.model_copy(update={"state": State.OOM}) if cell.state is State.FAIL else cell
        for cell in judge.stored.run.cells
    )
    stored = replace(judge.stored, run=judge.stored.run.model_copy(update={"cells": stopped}))
    issues = apply_baseline(stored, options).known_issues
    assert (issues.unseen, issues.untried_count) == (("row",), 1)


def test_the_run_after_has_the_digest_of_the_tree_without_the_patch_on_record(judge: Judge) -> None:
    before, after = (stored.run.source for stored in judge.judged().runs)
    assert before.unpatched == ""
    assert after.unpatched == before.digest
    assert after.digest != before.digest
    assert [patch.name for patch in after.patches]


def test_the_cells_that_cover_the_base_are_built_with_the_patch(judge: Judge) -> None:
    symbols = 'MODULES = ["n", "y"]\nVFIO = ["n", "m", "y"]\nGROUP = ["n", "y"]\n'
    judge.asks(symbols, f"cover = 2\n{PROFILE}")

    def allow_all(job: Job) -> None:
        if (job.host("/src") / "drivers/vfio/vfio.c").read_text() != "int vfio;\n":
            judge.kernel.symbols = {name: Symbol(tristate=True) for name in judge.kernel.symbols}

    judge.kernel.before = allow_all
    before, after = (stored.run for stored in judge.judged().runs)
    assert [cell.id for cell in before.cells] == [cell.id for cell in after.cells]
    assert before.profile["rows"] == after.profile["rows"] != []
