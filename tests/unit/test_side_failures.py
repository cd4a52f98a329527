"""What fails beside a command's work."""

import errno
from pathlib import Path

import pytest

from matrix.errors import DiskFullError, MachineError, RequestError
from matrix.side_failures import record_side_failure, survive_failures, take_side_failures


def test_a_failure_is_taken_once_and_the_same_sentence_counts_once() -> None:
    for _ in range(3):
        record_side_failure(MachineError("stdout is full", "make room"))
    assert [(str(error), error.hint) for error in take_side_failures()] == [("stdout is full", "make room")]
    assert take_side_failures() == []


def test_what_the_machine_fails_is_survived_and_told() -> None:
    with survive_failures("the reports"):
        raise DiskFullError("no space left", "./inv sweep")
    with survive_failures("the reports"):
        raise OSError(errno.EROFS, "Read-only file system", str(Path("/runs/x")))
    assert [str(error) for error in take_side_failures()] == [
        "no space left",
        "the reports could not be written: /runs/x: Read-only file system",
    ]


def test_what_is_no_fault_of_the_machine_is_raised() -> None:
    with pytest.raises(RequestError), survive_failures("the reports"):
        raise RequestError("wrong")
    with pytest.raises(ZeroDivisionError), survive_failures("the reports"):
        raise ZeroDivisionError
    assert take_side_failures() == []
