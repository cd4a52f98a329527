"""`diagnose`: logs that others made, by their names, from stdin, packed; what they hold decides the code."""

import gzip
import json
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import tasks
from matrix.commands.diagnose import (
    DiagnosedLog,
    compute_diagnose_exit_code,
    diagnose_logs,
    parse_diagnose_request,
)
from matrix.errors import RequestError
from matrix.record.run_model import Run

Said = pytest.CaptureFixture[str]
FAILING = """\
make[1]: Entering directory '/home/me/out'
  CC      drivers/vfio/vfio.o
/home/me/linux/drivers/vfio/vfio.c:7:5: error: 'x' undeclared (first use in this function)
make[4]: *** [/home/me/linux/scripts/Makefile.build:229: drivers/vfio/vfio.o] Error 1
make[3]: *** [/home/me/linux/scripts/Makefile.build:485: drivers/vfio] Error 2
make: *** [Makefile:234: __sub-make] Error 2
"""
WARNING = """\
  CC      drivers/a.o
drivers/a.c:1:2: warning: unused variable 'y' [-Wunused-variable]
"""
SILENT = "  GEN     kernel/config_data\nmake[1]: *** [Makefile:3: kernel/config_data] Error 1\n"


def ask(*names: str, **given: Any) -> Any:
    options: dict[str, Any] = {"source_root": "", "build_root": "", "fails": False, "succeeds": False}
    return parse_diagnose_request(names, **(options | given))


def parsed(path: Path, text: str | bytes, stdin: bytes = b"", **given: Any) -> DiagnosedLog:
    file = path / "build.log"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    (only,) = diagnose_logs(ask(str(file), **given), BytesIO(stdin))
    return only


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        tasks.program.run(["./inv", "diagnose", *words])
    return int(ended.value.code or 0)


def ends_well(*words: str) -> None:
    tasks.program.run(["./inv", "diagnose", *words])


def test_the_roots_are_what_the_log_shows(tmp_path: Path) -> None:
    told = parsed(tmp_path, FAILING)
    (found,) = told.log.occurrences
    assert (found.diagnostic.file, found.object) == ("drivers/vfio/vfio.c", "drivers/vfio/vfio.o")
    (failed,) = told.log.failed_targets
    assert (failed.target, failed.known_cause) == ("drivers/vfio/vfio.o", found.diagnostic)


def test_the_roots_may_be_said(tmp_path: Path) -> None:
    text = WARNING.replace("drivers/a.c", "/w/tree/drivers/a.c").replace(" drivers/a.o", " /w/o/drivers/a.o")
    (found,) = parsed(tmp_path, text, source_root="/w/tree", build_root="/w/o").log.occurrences
    assert (found.diagnostic.file, found.object) == ("drivers/a.c", "drivers/a.o")


@pytest.mark.parametrize(
    ("text", "given", "code"),
    [
        (FAILING, {}, 100),
        (FAILING, {"succeeds": True}, 100),
        (WARNING, {}, 0),
        (WARNING, {"succeeds": True}, 0),
        (WARNING, {"fails": True}, 100),
        (SILENT, {}, 100),
        ("", {}, 0),
        ("", {"fails": True}, 100),
        ("nothing of note\n", {}, 0),
    ],
)
def test_an_error_or_a_failed_target_is_a_failure(
    tmp_path: Path, text: str, given: dict[str, Any], code: int
) -> None:
    assert compute_diagnose_exit_code([parsed(tmp_path, text, **given)]) == code


def test_one_failing_log_of_several_is_enough(tmp_path: Path) -> None:
    logs = [parsed(tmp_path, text) for text in (WARNING, FAILING, "")]
    assert compute_diagnose_exit_code(logs) == 100
    assert compute_diagnose_exit_code([logs[0], logs[2]]) == 0


def test_a_packed_log_is_read_in_all_its_parts(tmp_path: Path) -> None:
    half = len(FAILING) // 2
    packed = gzip.compress(FAILING[:half].encode()) + gzip.compress(FAILING[half:].encode())
    assert parsed(tmp_path, packed).log == parsed(tmp_path, FAILING).log


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (gzip.compress(FAILING.encode(), mtime=0)[:-9], "is damaged: it ends early"),
        (b"\x1f\x8bno gzip", "is damaged: "),
        (bytes(100), "is no text"),
        (b"\x7fELF\x02\x01\x01" + bytes(500), "is no text"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        parsed(tmp_path, content)


def test_what_unpacks_to_more_than_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matrix.commands.diagnose._LOG_LIMIT", 2**20)
    with pytest.raises(RequestError, match="more than 1 MiB unpacked"):
        parsed(tmp_path, gzip.compress(bytes(2**21)))
    with pytest.raises(RequestError, match="it has more than 1 MiB"):
        parsed(tmp_path, b"x" * 2**21)


def test_bytes_that_are_no_utf8_do_not_matter(tmp_path: Path) -> None:
    text = FAILING.encode().replace(b"'x'", b"'\xff'")
    assert parsed(tmp_path, text).log.has_error


# On the command line


def test_one_log_is_one_document_of_json(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "a.log").write_text(FAILING)
    assert run("--json", str(tmp_path / "a.log")) == 100
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"log", "failed", "diagnostics"}
    assert told["log"] == str(tmp_path / "a.log")
    assert told["failed"] == [
        {
            "target": "drivers/vfio/vfio.o",
            "object": "drivers/vfio/vfio.o",
            "cause": "'x' undeclared (first use in this function)",
        }
    ]
    (only,) = told["diagnostics"]
    assert only.pop("object") == "drivers/vfio/vfio.o"
    schema = Run.model_json_schema(by_alias=True)
    jsonschema.validate(only, {**schema["$defs"]["Diagnostic"], "$defs": schema["$defs"]})


def test_several_logs_are_a_line_of_json_each_in_their_order(tmp_path: Path, capsys: Said) -> None:
    names = [str(tmp_path / name) for name in ("b.log", "a.log")]
    for name, text in zip(names, (WARNING, SILENT), strict=True):
        Path(name).write_text(text)
    assert run(*names, "--json") == 100
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["log"] for each in told] == names
    assert [each["failed"] for each in told] == [
        [],
        [{"target": "kernel/config_data", "object": "kernel/config_data", "cause": None}],
    ]
    assert [len(each["diagnostics"]) for each in told] == [1, 1]


def test_words_options_and_equals_signs_may_stand_in_any_order(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "report").write_text(WARNING)
    for words in (["report", "--fails"], ["--fails", "report"], ["--log", "report", "--fails"]):
        assert run(*(word.replace("report", str(tmp_path / "report")) for word in words)) == 100
        assert "1 warning" in capsys.readouterr().out


def test_a_warning_is_no_failure(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "a.log").write_text(WARNING)
    ends_well(str(tmp_path / "a.log"))
    assert capsys.readouterr().out.endswith("a.log: 1 warning\n")


def test_stdin_is_called_that_in_text_and_as_it_was_named_in_json(
    capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, shown in (["-"], "stdin: 1 warning"), (["--json", "-"], '{"log": "-",'):
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(WARNING.encode())))
        ends_well(*words)
        assert shown in capsys.readouterr().out


def test_annotations_and_nothing_else_are_printed_for_github(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "a.log").write_text(FAILING + WARNING)
    assert run("--github", str(tmp_path / "a.log")) == 100
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["::error", "::warning"]


def test_no_log_is_shown_where_a_later_one_is_not_there(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "a.log").write_text(WARNING)
    assert run(str(tmp_path / "a.log"), str(tmp_path / "nosuch")) == 1
    assert capsys.readouterr().out == ""
