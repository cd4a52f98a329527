"""A run read back: whole after a kill, by an older or a newer kmatrix, and damaged."""

import json
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.record.journal import Journal, link_latest_run
from matrix.record.run_directory import find_run_directory, load_run
from matrix.record.run_model import DiagnosticRef, Verified
from matrix.record.states import Evidence, State
from tests.unit.record.written_runs import BROKEN, a_row, a_run, killed


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
