"""A stranger's record that can be read can be shown, in every format, and made a script of."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from matrix.commands.repro import render_reproducer, select_repro_target
from matrix.findings.stored_run import StoredRun
from matrix.record.run_model import BaseRecord
from matrix.record.states import State
from reports import FORMATS, show_run
from reports.explain import show_explanation
from reports.finding_text import describe_repro_target
from reports.terminal import show_run_summary
from tests.fakes.mutated import check_reader, json_mutations, read_at
from tests.fakes.runs import the_story

BASE = BaseRecord(targets={"powerpc": "ppc64le_defconfig"})
STORY = the_story(arches=("powerpc",), bases={"defconfig": BASE})
UNREACHABLE = [cell for cell in STORY.cells if cell.state is State.UNREACHABLE]
FAILED = [cell for cell in STORY.cells if cell.state is State.FAIL]
RUN = STORY.model_copy(update={"cells": (*FAILED, *STORY.cells[:3], UNREACHABLE[0])})


def show_everything(directory: Path) -> None:
    stored = StoredRun.load(directory)
    console = Console(file=StringIO(), width=80)
    for name in (name for name, row in FORMATS.items() if not row.run_refusal):
        show_run(stored, name, console)
    show_run_summary(stored, console)
    show_explanation(stored, stored.findings.findings, console)
    target = select_repro_target(stored, "F1", "", "")
    render_reproducer(stored, target, describe_repro_target(stored.run, target.cell, target.finding))


def test_any_record_is_shown_or_refused(tmp_path: Path) -> None:
    valid = RUN.model_dump_json(by_alias=True).encode()
    read = read_at(tmp_path / "run.json", lambda: show_everything(tmp_path))
    check_reader(read, valid, more=[json_mutations([valid])] * 9, examples=200)
