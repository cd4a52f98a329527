"""Errors as a terminal gets them, and the exit codes that they become."""

import errno
from collections.abc import Callable
from typing import NoReturn

import pytest

from matrix.error_report import format_message, run_reporting_errors
from matrix.errors import EngineError, MachineError, RequestError
from matrix.exit_codes import ExitCode
from matrix.side_failures import record_side_failure

Said = pytest.CaptureFixture[str]


def raising(error: BaseException) -> Callable[[], int]:
    def work() -> NoReturn:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (RequestError("wrong", "type it right"), 1, "kmatrix: wrong\n  type it right\n"),
        (EngineError("it died"), 2, "kmatrix: it died\n"),
        (KeyboardInterrupt(), 130, "kmatrix: interrupted\n"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/a/b"),
            2,
            "kmatrix: /a/b: Permission denied\n  KMATRIX_TRACEBACK=1 shows where\n",
        ),
        (OSError("odd"), 2, "kmatrix: odd\n  KMATRIX_TRACEBACK=1 shows where\n"),
        (MemoryError(), 2, "kmatrix: there is no memory left\n  use fewer lanes: --lanes 1\n"),
        (
            RecursionError("deep"),
            70,
            "kmatrix: this is a bug: RecursionError: deep\n  KMATRIX_TRACEBACK=1 shows where\n",
        ),
    ],
)
def test_an_error_is_a_sentence_and_a_code(error: BaseException, code: int, words: str, capsys: Said) -> None:
    assert run_reporting_errors(raising(error)) == code
    assert capsys.readouterr() == ("", words)


@pytest.mark.parametrize(
    ("code", "together"), [(0, 2), (1, 2), (101, 2), (2, 2), (100, 100), (130, 130), (70, 70), (5, 5)]
)
def test_a_side_failure_is_told_at_the_end_and_only_a_worse_code_hides_its_own(
    code: int, together: int, capsys: Said
) -> None:
    def work() -> int:
        record_side_failure(MachineError("stdout is full", "make room"))
        return code

    assert run_reporting_errors(work) == together
    assert capsys.readouterr().err == "kmatrix: stdout is full\n  make room\n"
    assert run_reporting_errors(lambda: code) == code


@pytest.mark.parametrize(
    "word", ["\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\r", "\x08", "\u202e", "\udc9b"]
)
def test_no_word_of_a_message_reaches_the_terminal_as_a_command(word: str, capsys: Said) -> None:
    for error in (
        RequestError(f"a{word}b", f"c{word}d"),
        OSError(errno.EIO, f"x{word}y", f"/a{word}b"),
        ValueError(f"a{word}b"),
    ):
        run_reporting_errors(raising(error))
    shown = capsys.readouterr().err
    assert not set(shown) & {"\x1b", "\x9b", "\x07", "\r", "\x08", "\u202e", "\udc9b"}


def test_a_trace_is_cleaned_as_well(capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KMATRIX_TRACEBACK", "1")
    assert run_reporting_errors(raising(ValueError("a\x1b[31mb"))) == ExitCode.BUG
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert "\x1b" not in shown


def test_no_line_of_a_message_passes_for_another_message() -> None:
    assert format_message("kmatrix: a\nkmatrix: b\n", "c\nkmatrix: d") == (
        "kmatrix: a\n  kmatrix: b\n  c\n  kmatrix: d"
    )


def test_a_long_message_is_cut_and_says_so() -> None:
    lines = format_message("\n".join("x" * 9000 for _ in range(5000)), "hint").split("\n")
    assert len(lines) == 203
    assert max(map(len, lines)) <= 2002
    assert lines[-2:] == ["  and 4799 more lines", "  hint"]
