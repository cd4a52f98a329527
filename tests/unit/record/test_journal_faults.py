"""Disks that are full or break, and directories that go, while a run is written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.errors import DiskFullError, MachineError
from matrix.foreign_trees import remove_tree
from matrix.record.journal import Journal
from matrix.record.states import State
from tests.unit.record.written_runs import a_row, a_run, full_disk


def test_a_cell_that_finds_no_space_for_its_line_is_a_full_disk(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(directory, a_run()) as journal:
        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(DiskFullError, match=r"cells\.jsonl"):
            journal.record_finished_cell(a_row("m", State.PASS), {})


def attempts(journal: Journal) -> list[Callable[[], object]]:
    return [
        lambda: journal.store_config("abc", "CONFIG_A=y\n"),
        lambda: journal.store_objects(["a.o"]),
        lambda: journal.store_sources(["a.c"]),
        lambda: journal.close(interrupted=False),
    ]


@pytest.mark.parametrize("number", [0, 1, 2, 3], ids=["config", "objects", "sources", "end"])
def test_everything_else_that_a_run_writes_says_when_the_disk_is_full(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with Journal(directory, a_run()) as journal:
        monkeypatch.setattr(os, "fsync", full_disk)
        with pytest.raises(DiskFullError):
            attempts(journal)[number]()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_stays_a_full_disk_when_the_journal_is_left(directory: Path) -> None:
    (directory / "cells.jsonl").unlink()
    (directory / "cells.jsonl").symlink_to("/dev/full")
    with pytest.raises(DiskFullError), Journal(directory, a_run()) as journal:
        journal.record_finished_cell(a_row("m", State.PASS), {})


@pytest.mark.parametrize("number", [0, 1, 2, 3], ids=["config", "objects", "sources", "end"])
@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOENT])
def test_a_disk_that_breaks_is_the_machines_fault(
    directory: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    def break_down(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with Journal(directory, a_run()) as journal:
        monkeypatch.setattr(os, "fsync", break_down)
        with pytest.raises(MachineError, match=f"cannot be written: {os.strerror(code)}"):
            attempts(journal)[number]()
        with pytest.raises(MachineError, match=r"cells\.jsonl cannot be written"):
            journal.record_finished_cell(a_row("m", State.PASS), {})


def test_a_run_whose_directory_was_removed_says_so(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        remove_tree(directory)
        for attempt in attempts(journal):
            with pytest.raises(MachineError, match="cannot be written: No such file"):
                attempt()
