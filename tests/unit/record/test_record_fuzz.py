"""The record of a run, which may be a stranger's: read, or refused in a sentence, whatever its files hold."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from matrix.errors import RequestError
from matrix.record.run_directory import RunDirectory, load_run
from matrix.record.run_model import Cell, Run
from tests.fakes.mutated import check_reader, json_mutations, read_at
from tests.fakes.runs import the_story

STORY = the_story(arches=("powerpc",))
RUN = STORY.model_copy(update={"cells": STORY.cells[:6]})


def dump(run: Run) -> bytes:
    return run.model_dump_json(by_alias=True).encode()


def test_any_run_json(tmp_path: Path) -> None:
    read = read_at(tmp_path / "run.json", lambda: load_run(tmp_path))
    check_reader(read, dump(RUN), more=[json_mutations([dump(RUN)])] * 3, examples=300)


def test_any_journal(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(dump(RUN.model_copy(update={"finished": None})))
    cell = json.loads(RUN.cells[0].model_dump_json())
    line = json.dumps({"cell": cell, "diagnostics": {}}).encode()
    read = read_at(tmp_path / "cells.jsonl", lambda: load_run(tmp_path))
    check_reader(read, line, line + b"\n" + line, more=[json_mutations([line])] * 3, examples=300)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"schema":' * 100_000, b"9" * 100_000, b"null", b"[]"])
def test_what_json_cannot_hold_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RequestError, match="is damaged"):
        load_run(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "cells.jsonl", "objects/a", "sources/a", "configs/a"])
def test_a_pipe_in_a_run_is_not_waited_for(tmp_path: Path, name: str) -> None:
    cell = RUN.cells[0].model_copy(
        update={"config_sha256": "a", "objects_sha256": "a", "sources_sha256": "a"}
    )
    (tmp_path / "run.json").write_bytes(dump(RUN.model_copy(update={"finished": None})))
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    directory = RunDirectory(RUN, tmp_path)
    readers: dict[str, Callable[[Cell], object]] = {
        "objects/a": directory.load_objects,
        "sources/a": directory.load_sources,
        "configs/a": directory.load_config,
    }
    with pytest.raises(RequestError, match="is no regular file"):
        readers[name](cell) if name in readers else load_run(tmp_path)


def test_nothing_outside_of_a_run_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("root:x\n")
    (tmp_path / "run/objects").mkdir(parents=True)
    (tmp_path / "run/objects/link").symlink_to(tmp_path / "secret")
    directory = RunDirectory(RUN, tmp_path / "run")
    for name in ("../../secret", str(tmp_path / "secret"), "link", "x\0y", "n" * 300):
        cell = RUN.cells[0].model_copy(
            update={"objects_sha256": name, "sources_sha256": f"../objects/{name}", "log": name}
        )
        with suppress(RequestError):
            assert directory.load_objects(cell) == frozenset()
        with suppress(RequestError):
            assert directory.load_sources(cell) is None
        assert directory.read_log_tail(cell, 5) == ()


def test_a_diagnostic_that_the_record_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(dump(STORY.model_copy(update={"diagnostics": {}})))
    with pytest.raises(RequestError, match="names a diagnostic that it does not have"):
        load_run(tmp_path)


@pytest.mark.parametrize("entry", [[], 1, None, {"cell": 1}, {"cell": {}, "diagnostics": []}, "[" * 100_000])
def test_a_line_of_the_journal_that_is_no_cell_is_left_out(tmp_path: Path, entry: object) -> None:
    (tmp_path / "run.json").write_bytes(dump(RUN.model_copy(update={"finished": None})))
    cell = json.loads(RUN.cells[0].model_dump_json())
    broken = entry if isinstance(entry, str) else json.dumps(entry)
    lines = [broken, json.dumps({"cell": cell, "diagnostics": True}), json.dumps({"cell": cell})]
    (tmp_path / "cells.jsonl").write_text("\n".join(lines))
    assert load_run(tmp_path).cells == RUN.cells


def test_a_time_that_does_not_say_of_where_is_taken_for_utc(tmp_path: Path) -> None:
    record = json.loads(dump(RUN)) | {"started": "2025-01-01T00:00:00"}
    (tmp_path / "run.json").write_text(json.dumps(record))
    run = load_run(tmp_path)
    assert run.finished is not None
    assert (run.finished - run.started).days > 100
