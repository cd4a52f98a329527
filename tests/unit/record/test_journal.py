"""The run on disk while it goes on: written before and after each cell, whole at its end."""

import fcntl
import json
import os
import signal
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.fs import write_atomically
from matrix.interrupts import handle_interrupts
from matrix.record import journal as journal_module
from matrix.record.journal import Journal, claim_run_directory, create_run_directory
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.run_model import DiagnosticRef
from matrix.record.states import State
from tests.unit.record.written_runs import BROKEN, a_row, a_run, full_disk, killed, names


def test_run_json_is_there_before_the_first_cell(directory: Path) -> None:
    with Journal(directory, a_run()):
        data = json.loads((directory / "run.json").read_text())
        assert data["schema"] == 1
        assert data["finished"] is None
        assert [cell["state"] for cell in data["cells"]] == ["not-run"] * 3


def test_a_finished_cell_is_on_disk_when_finish_returns(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    with Journal(directory, a_run()) as journal:
        monkeypatch.setattr(os, "fsync", synced.append)
        journal.record_finished_cell(a_row("m", State.PASS), {})
        lines = (directory / "cells.jsonl").read_text().splitlines()
    assert len(synced) == 1
    assert len(lines) == 1
    assert json.loads(lines[0])["cell"]["id"].endswith("A=m")


def test_cells_that_come_faster_than_a_disk_are_synced_together(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    clock = iter(number / 8 for number in range(1000))
    with Journal(directory, a_run()) as journal:
        monkeypatch.setattr(os, "fsync", synced.append)
        monkeypatch.setattr("matrix.record.journal.time.monotonic", lambda: next(clock))
        for _ in range(80):
            journal.record_finished_cell(a_row("m", State.PASS), {})
        # All are with the system, so that the end of this process takes none along.
        assert len((directory / "cells.jsonl").read_text().splitlines()) == 80
    assert len(synced) == 10


def test_what_is_planned_replaces_no_result(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        journal.record_finished_cell(a_row("m", State.PASS), {})
        journal.record_planned_cell(a_row("m", reason="planned"))
        assert journal.snapshot_run().cells[1].state is State.PASS
    # An older kmatrix wrote both; nor does it in a run that is read.
    with (directory / "cells.jsonl").open("a") as file:
        file.write(f'{{"cell":{a_row("m", reason="planned").model_dump_json()},"diagnostics":{{}}}}\n')
    assert load_run(directory).cells[1].state is State.PASS


def test_a_result_replaces_what_was_planned_and_another_result(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        journal.record_planned_cell(a_row("m"))
        journal.record_finished_cell(a_row("m", State.INFRA), {})
    with Journal(directory, a_run()) as journal:
        journal.record_finished_cell(a_row("m", State.PASS), {})
    assert load_run(directory).cells[1].state is State.PASS


def test_a_torn_line_does_not_swallow_the_next(directory: Path) -> None:
    killed(directory, a_row("n", State.PASS))
    with (directory / "cells.jsonl").open("a") as file:
        file.write('{"cell":{"id":"x8')
    killed(directory, a_row("m", State.WARN))
    assert [cell.state for cell in load_run(directory).cells] == [State.PASS, State.WARN, State.NOT_RUN]


def test_a_journal_has_one_writer(directory: Path) -> None:
    with Journal(directory, a_run()), pytest.raises(RequestError, match="another kmatrix is writing the run"):
        Journal(directory, a_run())
    killed(directory)


def test_whoever_looks_for_a_moment_does_not_keep_a_run_from_being_written(directory: Path) -> None:
    looker = (directory / "cells.jsonl").open("a")
    fcntl.flock(looker, fcntl.LOCK_SH)
    threading.Timer(0.1, looker.close).start()
    killed(directory)


def test_a_new_run_is_on_the_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda number: synced.append(os.path.realpath(f"/proc/self/fd/{number}"))
    )
    directory = create_run_directory(tmp_path, "a-run")
    assert synced == [str(tmp_path)]
    claim_run_directory(directory)
    assert synced[1:] == [str(directory)]
    with Journal(directory, a_run()) as journal:
        synced.clear()
        journal.store_config("0" * 64, "CONFIG_A=y\n")
    assert synced[0] == str(directory), "the folder's own name"
    assert synced[-1] == str(directory / "configs")


def test_what_is_only_planned_is_not_waited_for(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(directory, a_run()) as journal:
        monkeypatch.setattr(os, "fsync", full_disk)
        journal.record_planned_cell(a_row("m"))
    assert len((directory / "cells.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("providers", [{}, {"vfio_a": "CONFIG_VFIO"}])
def test_run_json_is_what_the_run_is_as_json(directory: Path, number: int, providers: dict[str, str]) -> None:
    # A string that looks like the end of it, and words that JSON escapes.
    reason = '\n "cells": []\u2028\x85"\\'
    rows = tuple(a_row(name, reason=reason) for name in "nmy"[:number])
    with Journal(directory, a_run().model_copy(update={"cells": rows, "command": reason})) as journal:
        for row in rows[1:]:
            done = row.model_copy(update={"state": State.WARN, "fragment": {"A": "ü"}})
            journal.record_finished_cell(done, {BROKEN.key: BROKEN})
        journal.record_providers(providers)
        journal.close(interrupted=False)
    text = journal.snapshot_run().model_dump_json(by_alias=True, indent=1)
    assert (directory / "run.json").read_text(encoding="utf-8") == f"{text}\n"
    assert len(journal.snapshot_run().cells) == number


def test_run_json_at_the_end_has_every_cell_in_plan_order(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        for name in "ynm":
            journal.record_finished_cell(a_row(name, State.PASS), {})
        journal.close(interrupted=False)
        run = journal.snapshot_run()
    assert [cell.request["A"] for cell in run.cells] == ["n", "m", "y"]
    assert run.finished is not None
    assert load_run(directory) == run


def test_an_interrupted_run_has_a_row_for_every_cell(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        journal.record_finished_cell(a_row("m", State.FAIL), {})
        journal.close(interrupted=True)
    run = load_run(directory)
    assert run.interrupted
    assert [cell.state for cell in run.cells] == [State.NOT_RUN, State.FAIL, State.NOT_RUN]


def test_signals_wait_until_the_interruption_is_on_disk(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handle_interrupts()
    try:
        with Journal(directory, a_run()) as journal:
            monkeypatch.setattr(journal_module, "write_atomically", write_among_signals)
            with pytest.raises(KeyboardInterrupt):
                journal.close(interrupted=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert load_run(directory).interrupted


def write_among_signals(path: Path, parts: Iterable[bytes]) -> None:
    for _ in range(3):
        signal.raise_signal(signal.SIGINT)
    write_atomically(path, parts)


def test_diagnostics_are_kept_once_for_the_run_and_referred_to_by_cells(directory: Path) -> None:
    reference = DiagnosticRef(key=BROKEN.key, object="virt/kvm/vfio.o", stage="focus")
    with Journal(directory, a_run()) as journal:
        for name in "ny":
            journal.record_finished_cell(
                a_row(name, State.FAIL, diagnostics=(reference,)), {BROKEN.key: BROKEN}
            )
        journal.close(interrupted=False)
    run = load_run(directory)
    assert run.diagnostics == {BROKEN.key: BROKEN}
    assert run.cells[0].diagnostics == run.cells[2].diagnostics == (reference,)


def test_lanes_may_finish_cells_at_the_same_time(directory: Path) -> None:
    numbers = [str(number) for number in range(40)]
    run = a_run().model_copy(update={"cells": tuple(a_row(number) for number in numbers)})
    with Journal(directory, run) as journal, ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda number: journal.record_finished_cell(a_row(number, State.PASS), {}), reversed(numbers)
            )
        )
    lines = (directory / "cells.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 40
    assert {cell.state for cell in load_run(directory).cells} == {State.PASS}


def test_a_config_is_kept_once_under_its_digest(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        journal.store_config("abc", "CONFIG_A=y\n")
        before = (directory / "configs" / "abc").stat()
        journal.store_config("abc", "CONFIG_A=y\n")
    assert (directory / "configs" / "abc").read_text() == "CONFIG_A=y\n"
    assert (directory / "configs" / "abc").stat().st_ino == before.st_ino
    assert names(directory / "configs") == ["abc"]


def test_a_list_of_objects_is_kept_once_and_read_back_by_the_cell(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        digest = journal.store_objects({"virt/kvm/vfio.o", "a.o"})
        assert journal.store_objects(["a.o", "virt/kvm/vfio.o"]) == digest
        assert journal.store_objects([]) is None
    assert names(directory / "objects") == [digest]
    row = a_row("y", State.PASS, objects_sha256=digest)
    assert RunDirectory.load(directory).load_objects(row) == {"virt/kvm/vfio.o", "a.o"}
    assert RunDirectory.load(directory).load_objects(a_row("y", State.PASS)) == frozenset()


def test_a_list_of_sources_is_kept_under_its_digest_and_none_is_not_an_empty_one(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        digest = journal.store_sources({"virt/kvm/vfio.c", "include/linux/vfio.h"})
        assert journal.store_sources([]) is None
    row = a_row("n", State.PASS, sources_sha256=digest)
    assert RunDirectory.load(directory).load_sources(row) == frozenset(
        {"virt/kvm/vfio.c", "include/linux/vfio.h"}
    )
    assert RunDirectory.load(directory).load_sources(a_row("y", State.PASS)) is None
    (directory / "sources" / str(digest)).unlink()
    assert RunDirectory.load(directory).load_sources(row) is None
