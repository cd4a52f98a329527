"""The run on disk: claimed once, written before and after, whole after a kill, read back."""

import errno
import fcntl
import json
import multiprocessing
import os
import re
import signal
import stat
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.errors import DiskFullError, MachineError, RequestError
from matrix.foreign_trees import remove_tree
from matrix.fs import write_atomically
from matrix.interrupts import handle_interrupts
from matrix.record import journal as journal_module
from matrix.record.journal import (
    Journal,
    claim_run_directory,
    create_run_directory,
    generate_run_id,
    link_latest_run,
)
from matrix.record.run_directory import RunDirectory, find_run_directory, load_run
from matrix.record.run_model import Cell, DiagnosticRef, Host, Run, SourceRecord, Tool, Verified
from matrix.record.states import Evidence, State

STARTED = datetime(2026, 11, 22, 9, 30, 15, tzinfo=UTC)
BROKEN = Diagnostic(
    severity="error",
    tool="gcc",
    file="include/linux/vfio.h",
    line=294,
    message="weak declaration of ‘vfio_file_iommu_group’",
    symbols=("vfio_file_iommu_group",),
    included_from=("virt/kvm/vfio.c:17",),
)


def a_row(name: str, state: State = State.NOT_RUN, **fields: object) -> Cell:
    return Cell.model_validate(
        {
            "id": f"x86/gcc-14/defconfig/A={name}",
            "arch": "x86",
            "toolchain": "gcc-14",
            "base": "defconfig",
            "request": {"A": name},
            "state": state,
            **fields,
        }
    )


def a_run() -> Run:
    return Run(
        id="20261122-093015-story",
        tool=Tool(version="0.1"),
        command="./inv run",
        host=Host(system="Debian", cpus=2, memory=2**33, engine="Docker", isolation="none"),
        started=STARTED,
        profile={"name": "story", "arch": ["x86"]},
        axes={"arch": ("x86",), "A": ("n", "m", "y")},
        plan_sha256="0" * 64,
        source=SourceRecord(spec="linux", version="6.12", digest="1" * 64),
        toolchains={},
        cells=tuple(a_row(name) for name in "nmy"),
    )


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "runs" / "20261122-093015-story"
    claim_run_directory(place)
    return place


def names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def killed(directory: Path, *finished: Cell) -> None:
    """A run that finished these cells and then lost its process: nothing is closed."""
    journal = Journal(directory, a_run())
    for cell in finished:
        journal.record_finished_cell(cell, {BROKEN.key: BROKEN} if cell.diagnostics else {})
    with journal:
        pass  # only the file: a process that dies lets go of it, too


# Claiming the directory


def test_a_run_id_sorts_by_time_and_says_what_it_was() -> None:
    assert generate_run_id("kvm-vfio", STARTED) == "20261122-093015-kvm-vfio"


@pytest.mark.parametrize("profile", ["my story", "KVM=y"])
def test_a_run_id_can_stand_in_a_containers_name(profile: str) -> None:
    # Containers are named kmatrix-<run>-<n>, and engines take no other characters.
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", generate_run_id(profile, STARTED))


def test_a_new_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    claim_run_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_an_empty_directory_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    claim_run_directory(tmp_path / "out")


@pytest.mark.parametrize("name", ["run.json", "cells.jsonl", "letter.txt", ".hidden"])
def test_a_directory_in_use_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(RequestError, match="in use") as caught:
        claim_run_directory(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.exit_code == 1
    assert names(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_directory_is_claimed_once(tmp_path: Path) -> None:
    claim_run_directory(tmp_path / "out")
    with pytest.raises(RequestError, match="in use"):
        claim_run_directory(tmp_path / "out")


def test_of_many_claims_at_once_one_wins(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def attempt(place: Path) -> bool:
        together.wait()
        try:
            claim_run_directory(place)
        except RequestError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for number in range(10):
            assert sum(pool.map(attempt, [tmp_path / f"{number}"] * 8)) == 1


def test_of_two_who_both_saw_the_directory_empty_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    claim_run_directory(tmp_path / "out")
    with pytest.raises(RequestError, match="in use"):
        claim_run_directory(tmp_path / "out")


def test_out_that_is_a_file_or_below_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RequestError, match="file"):
            claim_run_directory(place)
    assert (tmp_path / "file").read_text() == "mine"


def test_out_that_is_too_long_for_a_file_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        claim_run_directory(tmp_path / ("x" * 300))


def test_claiming_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "mkdir", full_disk)
    with pytest.raises(DiskFullError):
        claim_run_directory(tmp_path / "out")


def _create_when_told(runs: Path, told: Barrier, made: "Queue[str]") -> None:
    for second in range(50):
        told.wait(60)
        made.put(create_run_directory(runs, f"20261125-1742{second:02}-quick").name)


def test_three_processes_in_one_second_have_a_directory_each(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told, made = context.Barrier(3), context.Queue()
    arguments = (tmp_path / "runs", told, made)
    processes = [context.Process(target=_create_when_told, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    names_made = [made.get(timeout=60) for _ in range(150)]
    for process in processes:
        process.join(60)
    expected = (f"20261125-1742{second:02}-quick{end}" for second in range(50) for end in ("", ".2", ".3"))
    assert sorted(names_made) == sorted(expected)


def test_a_name_that_anything_has_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("mine")
    (tmp_path / "name.2").symlink_to("nowhere")
    assert create_run_directory(tmp_path, "name").name == "name.3"


def test_where_no_directory_can_be_made_the_request_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for runs in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RequestError, match="no run can be kept in") as caught:
            create_run_directory(runs, "name")
        assert "--out" in caught.value.hint


# Writing


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


# A run that was killed


def test_a_killed_run_has_what_the_journal_has_in_plan_order(directory: Path) -> None:
    reference = DiagnosticRef(key=BROKEN.key, object="virt/kvm/vfio.o", stage="focus")
    done = a_row("y", State.FAIL, evidence=Evidence.BUILT, diagnostics=(reference,))
    killed(directory, done, a_row("n", State.PASS))
    run = load_run(directory)
    assert run.finished is None
    assert [(cell.request["A"], cell.state) for cell in run.cells] == [
        ("n", State.PASS),
        ("m", State.NOT_RUN),
        ("y", State.FAIL),
    ]
    assert run.cells[2] == done
    assert run.diagnostics == {BROKEN.key: BROKEN}


def test_a_run_that_was_killed_before_its_first_cell_has_them_all_not_run(directory: Path) -> None:
    killed(directory)
    assert [cell.state for cell in load_run(directory).cells] == [State.NOT_RUN] * 3


def test_what_is_known_of_a_cell_before_it_is_built_survives_a_kill(directory: Path) -> None:
    known = a_row(
        "m", make="ARCH=x86", config_sha256="c" * 64, verified=(Verified(symbol="A", want="m", got="m"),)
    )
    with Journal(directory, a_run()) as journal:
        journal.record_planned_cell(known)
    assert load_run(directory).cells[1] == known


def test_what_was_noted_of_a_cell_is_in_the_run_at_the_end(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        journal.record_planned_cell(a_row("m", make="ARCH=x86"))
        journal.close(interrupted=True)
    assert load_run(directory).cells[1].make == "ARCH=x86"


@pytest.mark.parametrize("left", range(0, 400, 23))
def test_a_torn_last_line_is_ignored(directory: Path, left: int) -> None:
    killed(directory, a_row("n", State.PASS), a_row("m", State.FAIL))
    path = directory / "cells.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second[: min(left, len(second) - 2)])
    assert [cell.state for cell in load_run(directory).cells] == [State.PASS, State.NOT_RUN, State.NOT_RUN]


@pytest.mark.parametrize("torn", [b"\0" * 300, b"\xff\xfe\xfd", b"[]", b"7", b"\n\n"])
def test_whatever_a_power_failure_left_as_the_last_line_is_ignored(directory: Path, torn: bytes) -> None:
    killed(directory, a_row("n", State.PASS))
    with (directory / "cells.jsonl").open("ab") as file:
        file.write(torn)
    assert [cell.state for cell in load_run(directory).cells] == [State.PASS, State.NOT_RUN, State.NOT_RUN]


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_words_with_any_line_end_survive_a_kill(directory: Path, end: str) -> None:
    reason = f"first{end}second"
    note = BROKEN.model_copy(update={"message": reason})
    with Journal(directory, a_run()) as journal:
        journal.record_finished_cell(a_row("n", State.FAIL, reason=reason), {note.key: note})
    assert load_run(directory).cells[0].reason == reason
    assert load_run(directory).diagnostics[note.key].message == reason
    assert len((directory / "cells.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_a_killed_run_without_its_journal_has_what_run_json_has(directory: Path) -> None:
    killed(directory, a_row("n", State.PASS))
    (directory / "cells.jsonl").unlink()
    assert [cell.state for cell in load_run(directory).cells] == [State.NOT_RUN] * 3


# Reading


def test_readers_ignore_keys_that_they_do_not_know(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        journal.close(interrupted=False)
        run = journal.snapshot_run()
    data = json.loads((directory / "run.json").read_text())
    data["new"] = data["cells"][0]["new"] = data["source"]["new"] = {"of": "next year"}
    (directory / "run.json").write_text(json.dumps(data))
    assert load_run(directory) == run


def test_readers_do_without_optional_keys(directory: Path) -> None:
    with Journal(directory, a_run()) as journal:
        journal.close(interrupted=False)
        run = journal.snapshot_run()
    data = json.loads((directory / "run.json").read_text())
    del data["source"]["package"], data["interrupted"], data["cells"][0]["log"]
    (directory / "run.json").write_text(json.dumps(data))
    assert load_run(directory) == run


def test_a_run_of_another_schema_is_refused_by_number(directory: Path) -> None:
    (directory / "run.json").write_text('{"schema": 2}')
    with pytest.raises(RequestError, match=r"schema 2.*schema 1"):
        load_run(directory)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"schema": 1}', b"\xff\xfe{}", b"\0"])
def test_a_damaged_run_is_refused_in_a_sentence(directory: Path, content: bytes) -> None:
    (directory / "run.json").write_bytes(content)
    with pytest.raises(RequestError) as caught:
        load_run(directory)
    assert str(directory) in str(caught.value)


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RequestError, match="no run"):
            load_run(place)


def test_a_run_is_found_by_path_by_name_and_as_the_latest(directory: Path) -> None:
    killed(directory)
    link_latest_run(directory)
    runs = directory.parent
    for spec in (str(directory), directory.name, "latest"):
        assert find_run_directory(spec, runs) == directory.resolve()
    with pytest.raises(RequestError, match="'yesterday'"):
        find_run_directory("yesterday", runs)


def test_latest_points_to_the_newest_run_and_survives_a_move_of_the_whole(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("one", "two"):
        claim_run_directory(runs / name)
        link_latest_run(runs / name)
    assert sorted(path.name for path in runs.iterdir()) == ["latest", "one", "two"]
    runs.rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "latest").resolve() == tmp_path / "moved" / "two"


# Full disks


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


def test_a_runs_directory_is_its_owners_alone(tmp_path: Path) -> None:
    directory = create_run_directory(tmp_path / "runs", "a-run")
    claim_run_directory(tmp_path / "new/out")
    made = (tmp_path / "runs", directory, tmp_path / "new", tmp_path / "new/out")
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o700}


def test_a_directory_that_was_made_for_a_run_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o755)
    claim_run_directory(tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o755


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
