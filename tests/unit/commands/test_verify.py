"""Remembered cells, built again alone: any difference is told, and is exit code 70."""

import hashlib
import shutil
from pathlib import Path

import pytest

from matrix.builder.lane_objects import LaneObjects
from matrix.builder.object_comparison import ComparedObjects
from matrix.catalog.types import find_objcopy, parse_share
from matrix.commands.settings import resolve_profile
from matrix.commands.verify import (
    _compare_lists,
    _Tally,
    choose_verified_cells,
    describe_objects,
    verify_run,
)
from matrix.engine.protocol import ContainerResult, ContainerSpec, LineCallback
from matrix.errors import MachineError
from matrix.exit_codes import ExitCode
from matrix.findings.stored_run import StoredRun
from matrix.record.events import ProgressNote
from matrix.record.run_model import Cell
from matrix.record.states import Evidence
from tests.fakes.engine import FakeEngine
from tests.fakes.kernel import Kernel
from tests.fakes.runs import a_cell, a_run
from tests.unit.commands.run_desk import ERROR, PROFILE, VFIO, WARNING, Desk, always, applying, dying, in_cell

TWO = 'GROUP = ["n", "y"]\nVFIO = ["y"]\n'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.asks(TWO)
    desk.says(VFIO, always(WARNING))
    return desk


def verify(desk: Desk, share: str = "1.0", *, fresh: bool = False) -> ExitCode:
    desk.kernel.jobs.clear()
    options = {"verify": [share], **({"fresh": ["true"]} if fresh else {})}
    profile = resolve_profile(desk._settled(options), {})
    return verify_run(profile, desk.stored, desk._tell, desk.world)


def told(desk: Desk) -> list[str]:
    return [text.partition("verify: ")[2] for text in notes(desk) if text.startswith("verify: ")]


def notes(desk: Desk) -> list[str]:
    return [event.text for event in desk.events if isinstance(event, ProgressNote)]


def summary(desk: Desk) -> str:
    return next(text for text in reversed(notes(desk)) if text.startswith("Verified "))


def test_what_is_remembered_rightly_is_the_same_in_an_empty_directory(desk: Desk) -> None:
    desk.run()
    desk.run()
    lanes = desk.lanes()
    assert verify(desk) is ExitCode.PASSED
    assert told(desk) == []
    assert len({job.host("/build") for job in desk.kernel.ran(configures=False)}) == 2
    assert desk.lanes() == lanes


def test_a_run_that_built_all_has_nothing_to_verify(desk: Desk) -> None:
    desk.run()
    assert verify(desk) is ExitCode.PASSED
    assert desk.kernel.jobs == []
    assert notes(desk)[-1] == "Nothing to verify: no cell of this run is remembered."


def test_of_an_interrupted_run_nothing_is_verified(desk: Desk) -> None:
    desk.run()
    done = desk.run()
    desk.stored = StoredRun(done.model_copy(update={"interrupted": True}), desk.directory)
    assert verify(desk) is ExitCode.PASSED
    assert notes(desk)[-1] == "Nothing to verify: the run was interrupted."


def test_where_none_is_asked_for_nothing_is_told(desk: Desk) -> None:
    desk.run()
    desk.run()
    desk.events.clear()
    assert verify(desk, "0") is ExitCode.PASSED
    assert desk.events == []


# The run's own source, images and bases


def break_source(tree: Path) -> None:
    (tree / "drivers/vfio/vfio.c").write_text("int another;\n")
    (tree / "Kconfig").write_text("# nothing is left\n")


def test_a_tree_that_is_edited_after_the_run_is_verified_as_it_was(desk: Desk) -> None:
    desk.run()
    digest = desk.run().source.digest
    break_source(desk.tree)
    desk.engine.ran.clear()
    assert verify(desk) is ExitCode.PASSED
    assert told(desk) == []
    sources = {mount.host for step in desk.engine.ran for mount in step.mounts if mount.path == "/src"}
    assert sources == {desk.place / "cache/sources" / digest / "tree"}
    assert "Verified 2 cells" in summary(desk)


def test_a_tree_that_is_taken_away_after_the_run_is_verified_as_it_was(desk: Desk) -> None:
    desk.run()
    desk.run()
    shutil.rmtree(desk.tree)
    assert verify(desk) is ExitCode.PASSED
    assert "Verified 2 cells" in summary(desk)


def test_a_patch_that_is_edited_after_the_run_is_not_read_again(desk: Desk) -> None:
    desk.kernel.applies = applying
    patch = desk.place / "one.patch"
    head = "--- a/drivers/vfio/vfio.c\n+++ b/drivers/vfio/vfio.c\n@@ -1 +1 @@\n-int vfio;\n"
    patch.write_text(f"{head}+int v;\n")
    desk.run(patch=[str(patch)])
    desk.run(patch=[str(patch)])
    patch.write_text("no patch at all\n")
    assert verify(desk) is ExitCode.PASSED
    assert "Verified 2 cells, and the content of 3 objects" in summary(desk)


def test_where_the_tree_is_gone_and_another_now_nothing_is_compared(desk: Desk) -> None:
    desk.run()
    done = desk.run()
    break_source(desk.tree)
    desk.world.open_cache().remove(done.source.digest)
    desk.kernel.jobs.clear()
    with pytest.raises(
        MachineError, match=r"nothing can be verified: the source of .* is another tree"
    ) as why:
        verify(desk)
    assert "--source DIR@REV" in why.value.hint
    assert desk.kernel.jobs == []


def test_a_base_that_is_edited_after_the_run_is_not_compared(desk: Desk) -> None:
    own = desk.place / "own.config"
    own.write_text("CONFIG_MODULES=y\n")
    base = f'base = ["own"]\n[bases.own]\nfile = "{own}"\n[symbols]'
    desk.asks(TWO, PROFILE.replace("[symbols]", base))
    desk.run()
    desk.run()
    own.write_text("CONFIG_MODULES=n\n")
    with pytest.raises(MachineError, match="since the run the base own changed"):
        verify(desk)


def test_an_image_that_is_gone_is_not_compared_with_another(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run()
    done = desk.run()
    old = done.toolchains["gcc-14"].image_id
    find = FakeEngine.find_image_id
    monkeypatch.setattr(
        FakeEngine, "find_image_id", lambda self, ref: None if ref == old else f"{find(self, ref)}-new"
    )
    with pytest.raises(MachineError, match="since the run the image of gcc-14 changed"):
        verify(desk)


def test_with_ccache_what_is_verified_is_compiled_without_it(desk: Desk) -> None:
    desk.run(ccache=["yes"])
    desk.run(ccache=["yes"])
    desk.kernel.jobs.clear()
    profile = resolve_profile(desk._settled({"verify": ["1.0"], "ccache": ["yes"]}), {})
    assert verify_run(profile, desk.stored, desk._tell, desk.world) is ExitCode.PASSED
    jobs = desk.kernel.ran(configures=False)
    assert jobs
    assert not [name for job in jobs for name in job.container.env if name.startswith("CCACHE")]
    assert not [mount for job in jobs for mount in job.container.mounts if "ccache" in mount.path]


# What differs


@pytest.mark.parametrize("line", [ERROR, WARNING.replace("unused variable 'x'", "unused variable 'y'")])
def test_another_state_or_diagnostic_is_told_and_exits_with_70(desk: Desk, line: str) -> None:
    """Something that no key has changed under the memory: here, the compiler itself."""
    desk.run()
    desk.run()
    desk.says(VFIO, always(line))
    assert verify(desk) is ExitCode.BUG
    assert any("the diagnostic drivers/vfio/vfio.c:7:5: unused variable 'x'" in text for text in told(desk))
    assert any("the state was warn, and is fail" in text for text in told(desk)) == (line == ERROR)


def test_another_list_of_objects_is_told(desk: Desk) -> None:
    desk.run()
    desk.run()
    del desk.kernel.objects["drivers/vfio/group.o"]
    assert verify(desk) is ExitCode.BUG
    assert [text.partition(": ")[2] for text in told(desk)] == [
        "the object drivers/vfio/group.o was there, and is not"
    ]


def test_what_the_machine_kept_from_being_built_is_no_difference(desk: Desk) -> None:
    desk.run()
    desk.run()
    desk.kernel.before = in_cell("GROUP=n,VFIO=y", dying("the engine hiccups"))
    assert verify(desk) is ExitCode.MACHINE_FAULT
    assert told(desk) == ["x86/gcc-14/defconfig/GROUP=n,VFIO=y: could not be tried: the engine hiccups"]
    assert summary(desk) == (
        "Verified 1 cell, and the content of 2 objects: none differs; 1 cell could not be tried."
    )


@pytest.mark.parametrize(
    ("tally", "text", "code"),
    [
        (_Tally(2, 3), "Verified 2 cells, and the content of 3 objects: none differs.", ExitCode.PASSED),
        (_Tally(1, 1, 1), "Verified 1 cell, and the content of 1 object: 1 cell differs.", ExitCode.BUG),
        (
            _Tally(3, 0, 2, 1),
            "Verified 3 cells, and the content of 0 objects: 2 cells differ; 1 cell could not be tried.",
            ExitCode.BUG,
        ),
        (
            _Tally(untried=2),
            "Verified 0 cells, and the content of 0 objects: none differs; 2 cells could not be tried.",
            ExitCode.MACHINE_FAULT,
        ),
    ],
)
def test_the_summary_is_a_sentence(tally: _Tally, text: str, code: ExitCode) -> None:
    assert (tally.describe(), tally.find_exit_code()) == (text, code)


def test_verifying_leaves_what_is_remembered_as_it_was(desk: Desk) -> None:
    first = desk.run()
    desk.run()
    assert verify(desk) is ExitCode.PASSED
    assert {cell.evidence_from for cell in desk.run().cells} == {f"{first.id}/{c.id}" for c in first.cells}


class Stripping:
    """The desk's engine with an objcopy: what follows ``debug:`` in a file is debug information."""

    def __init__(self, desk: Desk, exit_code: int = 0) -> None:
        self.played, self.exit_code = desk.engine.handler, exit_code
        self.steps: list[ContainerSpec] = []
        desk.engine.handler = self

    def __call__(self, container: ContainerSpec, say: LineCallback) -> int | ContainerResult:
        if not container.command[-1].endswith("objcopy"):
            return self.played(container, say)
        self.steps.append(container)
        (mount,) = container.mounts
        for file in mount.host.glob("*/*"):
            file.with_name(f"{file.name}.stripped").write_text(file.read_text().partition("debug:")[0])
        return self.exit_code


def recompile(monkeypatch: pytest.MonkeyPatch, name: str, addition: str) -> None:
    """Let the compiler make another object of the very same: what no key of the memory tells."""
    made = Kernel._content
    monkeypatch.setattr(
        Kernel, "_content", lambda *given: made(*given) + (addition if given[2] == name else "")
    )


def test_objects_with_the_same_bytes_need_no_container(desk: Desk) -> None:
    stripping = Stripping(desk)
    desk.run()
    desk.run()
    assert verify(desk) is ExitCode.PASSED
    assert stripping.steps == []
    assert summary(desk) == ("Verified 2 cells, and the content of 3 objects: none differs.")


def test_what_a_result_was_made_of_is_compared_though_its_keys_come_out_otherwise(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.run()
    desk.run()
    monkeypatch.setattr(LaneObjects, "find_keys", lambda *_: {})
    assert verify(desk) is ExitCode.PASSED
    assert "the content of 3 objects" in summary(desk)


def test_another_content_of_an_object_is_told_with_both_digests_and_exits_with_70(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripping = Stripping(desk)
    desk.run()
    desk.run()
    recompile(monkeypatch, "drivers/vfio/group.o", "!")
    assert verify(desk) is ExitCode.BUG
    known = "['', ('GROUP', 'y')]"
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (known, f"{known}!")]
    (text,) = told(desk)
    assert text == (
        "x86/gcc-14/defconfig/GROUP=y,VFIO=y: the content of drivers/vfio/group.o without debug information "
        f"was {digests[0]}, and is {digests[1]}"
    )
    assert [step.command[-1] for step in stripping.steps] == ["x86_64-linux-gnu-objcopy"]
    assert [mount.path for mount in stripping.steps[0].mounts] == ["/objects"]
    assert not stripping.steps[0].network


def test_other_debug_information_is_no_difference(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    stripping = Stripping(desk)
    desk.run()
    desk.run()
    recompile(monkeypatch, "drivers/vfio/vfio.o", "debug: elsewhere")
    assert verify(desk) is ExitCode.PASSED
    assert len(stripping.steps) == 2, "one container for each cell"
    assert told(desk) == []


def test_the_objects_of_a_cell_that_failed_are_compared(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.says("drivers/vfio/bad.o", always(ERROR.replace("vfio.c", "bad.c")), symbol="GROUP")
    (desk.tree / "drivers/vfio/bad.c").write_text("int bad;\n")
    Stripping(desk)
    assert "fail" in {cell.state for cell in desk.run().cells}
    desk.run()
    recompile(monkeypatch, "drivers/vfio/group.o", "!")
    assert verify(desk) is ExitCode.BUG
    (text,) = told(desk)
    assert "the content of drivers/vfio/group.o" in text


def test_a_container_that_cannot_strip_is_the_machines_fault(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    Stripping(desk, exit_code=1)
    desk.run()
    desk.run()
    recompile(monkeypatch, "drivers/vfio/vfio.o", "!")
    assert verify(desk) is ExitCode.MACHINE_FAULT


def test_what_is_left_in_place_of_a_stripped_object_is_not_followed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever an object made of objcopy: the bytes differ, and nothing says that they are the same."""

    class Linking(Stripping):
        def __call__(self, container: ContainerSpec, say: LineCallback) -> int | ContainerResult:
            code = super().__call__(container, say)
            for file in [*container.mounts[0].host.glob("*/*.stripped")] if container.mounts else []:
                file.unlink()
                file.symlink_to("/etc/hostname")
            return code

    Linking(desk)
    desk.run()
    desk.run()
    recompile(monkeypatch, "drivers/vfio/vfio.o", "!")
    assert verify(desk) is ExitCode.BUG


def test_many_differences_are_counted() -> None:
    many = ComparedObjects(30, {f"a{number:02}.o": ("1", "2") for number in range(23)})
    texts = list(describe_objects(many))
    assert len(texts) == 21
    assert texts[-1] == "the content of 3 more objects differs"


@pytest.mark.parametrize(("count", "more"), [(20, []), (21, ["1 more object"]), (25, ["5 more objects"])])
def test_what_is_cut_of_a_list_is_said(count: int, more: list[str]) -> None:
    names = frozenset(f"a{number:02}.o" for number in range(count))
    for known, built, change in (
        (names, frozenset[str](), "was there, and is not"),
        (frozenset[str](), names, "was not there, and is"),
    ):
        texts = list(_compare_lists("object", known, built))
        assert texts[:20] == [f"the object {name} {change}" for name in sorted(names)[:20]]
        assert texts[20:] == [f"{text}: {change}" for text in more]


def test_what_fresh_leaves_out_is_compared_none_the_less(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    Stripping(desk)
    desk.run()
    desk.run()
    recompile(monkeypatch, "drivers/vfio/vfio.o", "!")
    assert verify(desk, fresh=True) is ExitCode.BUG


@pytest.mark.parametrize(
    ("make", "tool"),
    [
        ({"CROSS_COMPILE": "powerpc64le-linux-gnu-"}, "powerpc64le-linux-gnu-objcopy"),
        ({"LLVM": "1"}, "llvm-objcopy"),
        ({"LLVM": "-19", "CROSS_COMPILE": "s390x-linux-gnu-"}, "llvm-objcopy-19"),
        ({"LLVM": "/opt/llvm/bin/"}, "/opt/llvm/bin/llvm-objcopy"),
        ({"CC": "clang", "CROSS_COMPILE": "s390x-linux-gnu-"}, "s390x-linux-gnu-objcopy"),
        ({"LLVM": "1", "OBJCOPY": "objcopy"}, "objcopy"),
        ({}, "objcopy"),
    ],
)
def test_objcopy_is_the_one_that_kbuild_would_use(make: dict[str, str], tool: str) -> None:
    assert find_objcopy(make) == tool


def cells_of(count: int, evidence: Evidence) -> list[Cell]:
    return [a_cell(symbols={"N": str(number)}, evidence=evidence) for number in range(count)]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.001, 1), (0.1, 4), (0.5, 20), (1.0, 40)])
def test_the_share_is_of_those_that_were_not_built(share: float, expected: int) -> None:
    run = a_run([*cells_of(40, Evidence.REMEMBERED), a_cell(symbols={"N": "x"}, evidence=Evidence.BUILT)])
    chosen = choose_verified_cells(run, share)
    assert len(chosen) == expected
    assert all(cell.evidence is Evidence.REMEMBERED for cell in chosen)


def test_another_run_chooses_others() -> None:
    runs = [a_run(cells_of(40, Evidence.REMEMBERED), id=name) for name in ("one", "two")]
    chosen = [[cell.id for cell in choose_verified_cells(run, 0.2)] for run in runs]
    assert chosen[0] != chosen[1]


@pytest.mark.parametrize(("text", "share"), [("0", 0), ("1", 1), ("0.25", 0.25), ("25%", 0.25), ("100%", 1)])
def test_a_share_is_a_part_or_percent(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "2", "101%", "-1", "0.1.2", "half", "1e-1", "٠.٥"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected a share such as"):
        parse_share(text)
