"""A run on disk: its cells by name, and files that are read when they are asked for."""

import hashlib
import os
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.foreign_text import clean_text
from matrix.kconfig.config import Config
from matrix.record.journal import Journal
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.states import State
from tests.fakes.runs import a_cell, a_run


def test_a_run_is_named_by_its_id_where_its_directory_is_called_so() -> None:
    run = a_run()
    assert RunDirectory(run, Path("/runs") / run.id).name == run.id
    assert RunDirectory(run, Path("/elsewhere/after")).name == "/elsewhere/after"


def test_a_cell_that_the_run_lacks_is_refused_with_the_nearest() -> None:
    stored = RunDirectory(a_run([a_cell()]), Path())
    (cell,) = stored.run.cells
    assert stored.find_cell(cell.id) == cell
    with pytest.raises(RequestError, match=r"nearest: .powerpc"):
        stored.find_cell(cell.id.replace("powerpc", "powerpx"))


def test_a_config_is_read_if_it_is_what_its_name_says(tmp_path: Path) -> None:
    text = "CONFIG_KVM=y\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    stored = RunDirectory(a_run(), tmp_path)
    cell = a_cell().model_copy(update={"config_sha256": digest})
    with pytest.raises(RequestError, match="cannot be read"):
        stored.load_config(cell)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / digest).write_text(text)
    assert stored.load_config(cell) == text
    assert stored.find_config(cell) == Config({"KVM": "y"})
    (tmp_path / "configs" / digest).write_text("CONFIG_KVM=n\n")
    with pytest.raises(RequestError, match="is damaged"):
        stored.load_config(cell)
    assert stored.find_config(cell) is None


def test_a_cell_without_a_config_is_refused_with_what_became_of_it() -> None:
    cell = a_cell(state=State.INFRA, reason="no image").model_copy(update={"config_sha256": None, "log": "l"})
    with pytest.raises(RequestError, match="no configuration: no image") as caught:
        RunDirectory(a_run(), Path("/run")).load_config(cell)
    assert caught.value.hint == "its log says why: /run/l"


def test_the_tail_of_a_log_survives_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "build.log").write_bytes(b"first\n" * 50 + b"caf\xe9 \x1b[31mred\n")
    cell = a_cell().model_copy(update={"log": "build.log"})
    tail = RunDirectory(a_run(), tmp_path).read_log_tail(cell, 3)
    assert tuple(map(clean_text, tail)) == ("first", "first", "caf\ufffd red")


@pytest.mark.parametrize("log", [None, "missing.log", "../secret", "/etc/hostname", "."])
def test_a_log_outside_the_run_or_missing_has_no_tail(tmp_path: Path, log: str | None) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run").mkdir()
    cell = a_cell().model_copy(update={"log": log})
    assert RunDirectory(a_run(), tmp_path / "run").read_log_tail(cell, 40) == ()


def test_a_link_that_leads_out_of_the_run_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "build.log").symlink_to(tmp_path / "secret")
    assert RunDirectory(a_run(), tmp_path / "run").find_file("build.log") is None


# A run directory may come from somebody else


def spoil_file(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "huge":
        path.touch()
        os.truncate(path, 2**40)
    else:
        path.symlink_to({"link": "/etc/passwd", "endless": "/dev/zero", "loop": path.name}[kind])


KINDS = ["link", "endless", "loop", "pipe", "directory", "huge"]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A run that was killed before its end, with a cell in its journal."""
    run = a_run([a_cell()], finished=None)
    with Journal(tmp_path, run) as journal:
        journal.record_finished_cell(run.cells[0], {})
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["run.json", "cells.jsonl"])
def test_a_record_that_is_no_file_is_refused_at_once(written: Path, name: str, kind: str) -> None:
    assert len(load_run(written).cells) == 1
    spoil_file(written / name, kind)
    with pytest.raises(RequestError, match=name):
        load_run(written)


@pytest.mark.parametrize("kind", KINDS)
def test_what_belongs_to_a_run_is_no_link_and_no_pipe(tmp_path: Path, kind: str) -> None:
    stored = RunDirectory(a_run(), tmp_path)
    digest = "0" * 64
    update = {"config_sha256": digest, "objects_sha256": digest, "sources_sha256": digest, "log": "build.log"}
    cell = a_cell().model_copy(update=update)
    for name in ("configs", "objects", "sources"):
        (tmp_path / name).mkdir()
        spoil_file(tmp_path / name / digest, kind)
    spoil_file(tmp_path / "build.log", kind)
    for load in (stored.load_config, stored.load_objects, stored.load_sources):
        with pytest.raises(RequestError, match=digest):
            load(cell)
    assert stored.find_config(cell) is None
    # The end of a huge log is no more than the end of another.
    assert len("".join(stored.read_log_tail(cell, 40))) <= 256 * 1024
    assert (stored.read_log_tail(cell, 40) == ()) == (kind != "huge")
    assert stored.read_log(cell) is None
    assert (stored.find_file("build.log") is None) == (kind != "huge")


@pytest.mark.parametrize(
    "line",
    [
        b"\0" * 100,
        b"[" * 100_000,
        b'{"cell": ' * 50_000,
        b'{"cell": 1, "diagnostics": []}',
        b'{"cell": {}, "diagnostics": 1}',
        b"1" * 5000,
        b'{"a": ' + b"1" * 5000 + b"}",
        b"\xff\xfe",
        b'"\\ud800"',
        b"null",
        b"[]",
        b"{}",
    ],
)
def test_a_damaged_line_of_the_journal_hides_no_other(written: Path, line: bytes) -> None:
    journal = written / "cells.jsonl"
    journal.write_bytes(line + b"\n" + journal.read_bytes() + line)
    assert [cell.state for cell in load_run(written).cells] == [a_cell().state]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 50,
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"1" * 5000,
        b"null",
        b"[]",
        b"\xff",
        b'{"schema": 1e999}',
    ],
)
def test_a_damaged_record_is_said(written: Path, content: bytes) -> None:
    (written / "run.json").write_bytes(content)
    with pytest.raises(RequestError, match=r"run\.json (is damaged|has schema)"):
        load_run(written)
