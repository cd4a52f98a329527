"""Whether a cell is what it was before a change: each rule, and what is taken over from the run before."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from matrix.builder.cell_record import CellLog, CellResult
from matrix.builder.reuse import (
    CellInputs,
    ReusableRun,
    build_cell_inputs,
    explain_unaffected,
    read_recorded_inputs,
)
from matrix.record.journal import Journal
from matrix.record.run_directory import RunDirectory
from matrix.record.run_model import Cell
from matrix.record.states import Evidence, State
from matrix.source.manifest import ManifestDiff
from tests.fakes.runs import WARNING, a_cell, a_run

MADE_OF = frozenset(
    {
        "virt/kvm/vfio.c",
        "include/linux/vfio.h",
        "arch/powerpc/kvm/book3s_64_entry.S",
        "arch/powerpc/kernel/asm-offsets.c",
        "include/linux/only_in_asm_offsets.h",
    }
)
DOCUMENT = "Documentation/driver-api/vfio.rst"


def changed(*paths: str, appeared: tuple[str, ...] = (), vanished: tuple[str, ...] = ()) -> ManifestDiff:
    return ManifestDiff(paths, appeared, vanished)


def asked(change: ManifestDiff, state: State = State.PASS) -> str | None:
    return explain_unaffected(state, change, MADE_OF)


# Sources


@pytest.mark.parametrize("name", sorted(MADE_OF))
def test_make_is_asked_when_a_file_changed_that_went_into_the_cell(name: str) -> None:
    assert asked(changed(name)) is None
    assert asked(changed("drivers/net/other.c", name)) is None


@pytest.mark.parametrize(
    "name", ["drivers/net/other.c", "include/linux/other.h", "arch/powerpc/lib/other.S", "kernel/bounds.c"]
)
def test_a_source_that_went_into_no_object_of_the_cell_leaves_it_as_it_was(name: str) -> None:
    assert asked(changed(name)) == f"what changed went into no object here: {name}"
    assert asked(changed(name), State.WARN) is not None


def test_documentation_beside_such_a_source_changes_nothing() -> None:
    reason = asked(changed("drivers/net/other.c", DOCUMENT, appeared=("Documentation/new.rst",)))
    assert reason == "what changed went into no object here: drivers/net/other.c"


def test_the_reason_is_one_line_however_much_changed() -> None:
    reason = asked(changed(*(f"drivers/net/{letter}.c" for letter in "abcde")))
    assert str(reason).endswith("drivers/net/a.c, drivers/net/b.c, drivers/net/c.c and 2 more")


@pytest.mark.parametrize(
    "name", ["include/linux/other.h", "drivers/net/other.c", "include/asm-generic/new.S"]
)
def test_make_is_asked_about_a_new_file_as_it_can_shadow_another(name: str) -> None:
    assert asked(changed(appeared=(name,))) is None
    assert asked(changed("drivers/net/other.c", appeared=(name,))) is None


@pytest.mark.parametrize("name", ["include/linux/other.h", "drivers/net/other.c"])
def test_make_is_asked_about_a_deleted_file_as_another_may_be_found(name: str) -> None:
    assert asked(changed(vanished=(name,))) is None


@pytest.mark.parametrize(
    "name",
    [
        "drivers/net/Makefile",
        "drivers/net/Kbuild",
        "drivers/net/Kconfig",
        "Documentation/Kconfig",
        "Documentation/Makefile",
        "scripts/setlocalversion",
        "scripts/mod/modpost.c",
        "tools/objtool/check.c",
        "arch/s390/tools/gen_facilities.c",
        "arch/powerpc/kernel/vmlinux.lds.S",
        "arch/powerpc/kernel/syscalls/syscall.tbl",
        "arch/powerpc/configs/ppc64_defconfig",
    ],
)
def test_make_is_asked_when_something_changed_that_reaches_everything(name: str) -> None:
    assert asked(changed(name)) is None
    assert asked(changed("drivers/net/other.c", name)) is None
    assert asked(changed(name, DOCUMENT)) is None


def test_make_is_asked_when_nobody_knows_what_a_cell_was_made_of() -> None:
    assert explain_unaffected(State.PASS, changed("drivers/net/other.c"), None) is None


@pytest.mark.parametrize("state", sorted(set(State) - {State.PASS, State.WARN}))
def test_make_is_asked_about_a_cell_that_was_not_wholly_built_before(state: State) -> None:
    assert asked(changed("drivers/net/other.c"), state) is None


# Documentation


@pytest.mark.parametrize("state", [State.PASS, State.WARN, State.FAIL, State.EMPTY])
def test_after_a_change_of_documentation_only_every_answer_of_make_stands(state: State) -> None:
    change = changed(DOCUMENT, "MAINTAINERS", appeared=("Documentation/new.rst",), vanished=("CREDITS",))
    reason = explain_unaffected(state, change, None)
    assert str(reason).startswith(
        f"only documentation changed, which no build reads: {DOCUMENT}, MAINTAINERS"
    )


@pytest.mark.parametrize(
    "state", [State.TIMEOUT, State.OOM, State.INFRA, State.CANCELLED, State.NOT_RUN, State.UNREACHABLE]
)
def test_what_make_never_answered_is_asked_whatever_changed(state: State) -> None:
    assert asked(changed(DOCUMENT), state) is None
    assert asked(changed(), state) is None


def test_the_same_tree_says_so() -> None:
    assert asked(changed()) == "nothing changed"


# What was given beside the sources

COMMAND = "make -C /src O=/build -k -j2 --output-sync=target ARCH=powerpc drivers/vfio/"


def test_how_many_jobs_make_was_given_is_no_difference() -> None:
    assert build_cell_inputs("i", "c", [COMMAND]) == build_cell_inputs(
        "i", "c", [COMMAND.replace("-j2", "-j16")]
    )


@pytest.mark.parametrize(
    "other",
    [
        build_cell_inputs("other", "c", [COMMAND]),
        build_cell_inputs("i", "other", [COMMAND]),
        build_cell_inputs("i", "c", [f"{COMMAND} lib/"]),
        build_cell_inputs("i", "c", [COMMAND.replace("ARCH", "W=1 ARCH")]),
        build_cell_inputs("i", "c", [COMMAND, COMMAND.replace("drivers/vfio/", "vmlinux")]),
        build_cell_inputs("i", "c", []),
    ],
)
def test_another_image_config_make_line_focus_or_stage_is(other: CellInputs) -> None:
    assert build_cell_inputs("i", "c", [COMMAND]) != other


def test_a_record_without_the_image_or_the_config_says_nothing() -> None:
    cell = a_cell()
    assert read_recorded_inputs(a_run([cell]), cell) is not None
    assert read_recorded_inputs(a_run([cell], toolchains={}), cell) is None
    assert read_recorded_inputs(a_run([cell]), cell.model_copy(update={"config_sha256": None})) is None


# What is taken over


class Story:
    """A run before, with one cell, and the question about it after a change."""

    def __init__(self, place: Path, **fields: Any) -> None:
        self.place = place
        row = a_cell(**({"state": State.WARN, "diagnostics": [WARNING], "evidence": Evidence.BUILT} | fields))
        blank = a_run([row], [WARNING])
        (place / "before").mkdir()
        with Journal(place / "before", blank) as journal:
            kept = {
                "objects_sha256": journal.store_objects(["virt/kvm/vfio.o"]),
                "sources_sha256": journal.store_sources(MADE_OF),
            }
        self.row = row.model_copy(update=kept)
        self.run = blank.model_copy(update={"cells": (self.row,)})
        if row.log:
            log = place / "before" / row.log
            log.parent.mkdir(parents=True)
            log.write_text("$ make\n  CC      virt/kvm/vfio.o\n")

    @property
    def given(self) -> CellInputs:
        known = read_recorded_inputs(self.run, self.row)
        assert known is not None
        return known

    def ask(
        self,
        change: ManifestDiff | None = None,
        now: CellInputs | None = None,
        fields: Mapping[str, object] | None = None,
    ) -> CellResult | None:
        """The outcome of the cell as it is planned after the change."""
        planned = Cell(
            id="planned",
            arch=self.row.arch,
            toolchain=self.row.toolchain,
            base=self.row.base,
            request=self.row.request,
            config_sha256=self.row.config_sha256,
        ).model_copy(update=fields or {})
        before = ReusableRun(
            RunDirectory(self.run, self.place / "before"), change or changed("drivers/net/other.c")
        )
        log = CellLog(self.place / "after.log", "cells/planned/build.log")
        return before.reuse_cell(planned, now or self.given, log)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path)


def test_everything_that_was_found_is_taken_over_with_where_it_is_from(story: Story) -> None:
    outcome = story.ask()
    assert outcome is not None
    cell = outcome.cell
    assert (cell.id, cell.state, cell.evidence) == ("planned", State.WARN, Evidence.UNAFFECTED)
    assert cell.evidence_from == f"{story.run.id}/{story.row.id}"
    assert cell.reason == "what changed went into no object here: drivers/net/other.c"
    assert (cell.stages, cell.diagnostics) == (story.row.stages, story.row.diagnostics)
    assert outcome.diagnostics == {WARNING.key: WARNING}
    assert outcome.objects == {"virt/kvm/vfio.o"}
    assert outcome.sources == MADE_OF


def test_the_log_is_copied_so_that_the_run_stands_alone(story: Story) -> None:
    outcome = story.ask()
    assert outcome is not None
    assert outcome.cell.log == "cells/planned/build.log"
    assert (story.place / "after.log").read_text() == "$ make\n  CC      virt/kvm/vfio.o\n"


def test_a_log_that_is_gone_is_not_named(story: Story) -> None:
    (story.place / "before" / str(story.row.log)).unlink()
    outcome = story.ask()
    assert outcome is not None
    assert outcome.cell.log is None
    assert not (story.place / "after.log").exists()


@pytest.mark.parametrize(
    "other",
    [
        {"arch": "x86"},
        {"toolchain": "clang-19"},
        {"base": "other"},
        {"request": {"KVM": "n"}},
        {"request": {}},
    ],
)
def test_a_cell_of_other_fields_is_built(story: Story, other: Mapping[str, object]) -> None:
    assert story.ask(fields=other) is None


def test_a_cell_of_the_same_fields_is_found_by_another_id(story: Story) -> None:
    assert story.row.id != "planned"
    assert story.ask() is not None


@pytest.mark.parametrize("field", ["image", "config_sha256", "commands"])
def test_a_cell_that_is_given_something_else_now_is_built(story: Story, field: str) -> None:
    other: Any = ("make other",) if field == "commands" else "other"
    assert story.ask(now=replace(story.given, **{field: other})) is None


def test_a_cell_that_a_changed_file_went_into_is_built(story: Story) -> None:
    assert story.ask(changed("virt/kvm/vfio.c")) is None
    assert not (story.place / "after.log").exists()


def test_a_run_that_recorded_no_sources_answers_for_documentation_only(tmp_path: Path) -> None:
    story = Story(tmp_path)
    old = story.row.model_copy(update={"sources_sha256": None})
    story.run = story.run.model_copy(update={"cells": (old,)})
    assert story.ask() is None
    assert story.ask(changed(DOCUMENT)) is not None


def test_a_list_of_sources_that_is_gone_is_no_empty_list(story: Story) -> None:
    (story.place / "before/sources" / str(story.row.sources_sha256)).unlink()
    assert story.ask() is None


def test_a_row_that_does_not_say_where_its_state_comes_from_is_not_believed(tmp_path: Path) -> None:
    assert Story(tmp_path, evidence=None).ask() is None


def test_what_was_taken_over_before_names_the_run_that_built_it(tmp_path: Path) -> None:
    outcome = Story(tmp_path, evidence=Evidence.UNAFFECTED, evidence_from="first-run/some/cell").ask()
    assert outcome is not None
    assert outcome.cell.evidence_from == "first-run/some/cell"


def test_a_twins_row_is_taken_over_by_its_own_name(tmp_path: Path) -> None:
    story = Story(tmp_path, evidence=Evidence.SAME_CONFIG, evidence_from="another/cell")
    outcome = story.ask()
    assert outcome is not None
    assert outcome.cell.evidence_from == f"{story.run.id}/{story.row.id}"
