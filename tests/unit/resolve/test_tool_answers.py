"""The answers that makes of a lane share: lent to each, gone from the directory after it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from matrix.resolve.tool_answers import ToolAnswers

NAME = ".tool-answers"


def lend_and_write(answers: ToolAnswers, build: Path, write: Callable[[Path], object]) -> bytes:
    """What a make finds, and then does to the file."""
    with answers.lend(build):
        found = (build / NAME).read_bytes()
        write(build / NAME)
    assert list(build.iterdir()) == []
    return found


def append(text: bytes) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with path.open("ab") as file:
            file.write(text)

    return write


def test_each_make_finds_what_those_before_it_were_answered(tmp_path: Path) -> None:
    answers = ToolAnswers()
    assert [lend_and_write(answers, tmp_path, append(text)) for text in (b"a", b"b\xff", b"")] == [
        b"",
        b"a",
        b"ab\xff",
    ]


def test_what_a_killed_make_left_is_not_found(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"of another tree")
    assert lend_and_write(ToolAnswers(), tmp_path, append(b"")) == b""


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.unlink()
        make(path)

    return write


@pytest.mark.parametrize(
    "make",
    [
        lambda _: None,
        Path.mkdir,
        os.mkfifo,
        lambda path: path.symlink_to("elsewhere"),
        lambda path: path.write_bytes(bytes(2**23)),
    ],
)
def test_what_is_no_file_of_answers_leaves_those_before_it(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    answers = ToolAnswers()
    lend_and_write(answers, tmp_path, append(b"a"))
    lend_and_write(answers, tmp_path, replace_by(make))
    assert lend_and_write(answers, tmp_path, append(b"")) == b"a"


def test_a_make_that_is_interrupted_leaves_no_file(tmp_path: Path) -> None:
    def interrupt(path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    answers = ToolAnswers()
    with pytest.raises(KeyboardInterrupt):
        lend_and_write(answers, tmp_path, interrupt)
    assert lend_and_write(answers, tmp_path, append(b"")) == b""
