"""A mail is handed on whole, to a mailbox or a program, and no word of it is obeyed."""

import mailbox
import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from matrix.commands.host_command import run_host_command
from matrix.commands.mail_delivery import MailFile, MailProgram, parse_mail_target
from matrix.errors import MachineError, RequestError
from tests.fakes.foreign_words import LIVE

MAIL = "Subject: new\n\nFrom here on\nF1 ünd mehr\n"


def a_program(place: Path, script: str) -> Path:
    program = place / "hand on"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def test_mails_are_appended_to_a_mailbox(tmp_path: Path) -> None:
    target = parse_mail_target(str(tmp_path / "box"))
    assert target == MailFile(tmp_path / "box")
    target.deliver(MAIL)
    target.deliver(MAIL.replace("new", "more"))
    with closing(mailbox.mbox(tmp_path / "box")) as box:
        mails = list(box)
    assert [mail["Subject"] for mail in mails] == ["new", "more"]
    assert ">From here on" in str(mails[0].get_payload())


def test_a_program_reads_the_mail_and_gets_its_own_words(tmp_path: Path) -> None:
    program = a_program(tmp_path, f'cat >"{tmp_path}/got"; printf "%s|" "$@" >"{tmp_path}/words"')
    target = parse_mail_target(f"'{program}' 'a b' '$(touch {tmp_path}/owned)' ';' you@example.org")
    assert isinstance(target, MailProgram)
    target.deliver(MAIL)
    assert (tmp_path / "got").read_text() == MAIL
    assert (tmp_path / "words").read_text() == f"a b|$(touch {tmp_path}/owned)|;|you@example.org|"
    assert not (tmp_path / "owned").exists()


def test_no_word_of_a_mail_is_obeyed(tmp_path: Path) -> None:
    program = a_program(tmp_path, f'cat >"{tmp_path}/got"')
    mail = "".join(f"{word}\n" for word in LIVE)
    MailProgram((str(program),)).deliver(mail)
    assert (tmp_path / "got").read_bytes() == mail.encode()


def test_a_program_on_the_path_needs_no_directory() -> None:
    target = parse_mail_target("cat")
    assert isinstance(target, MailProgram)
    assert Path(target.command[0]).is_absolute()


def test_a_mailbox_is_quoted_as_for_a_shell(tmp_path: Path) -> None:
    for text in (f"'{tmp_path}/my box'", f'"{tmp_path}/my box"', f"{tmp_path}/my\\ box "):
        assert parse_mail_target(text) == MailFile(tmp_path / "my box")


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    program = a_program(tmp_path, "echo 'relay access \033[31mdenied' >&2; exit 69")
    with pytest.raises(
        MachineError, match=r"not handed on: hand on ended with 69: relay access \[31mdenied|den"
    ):
        MailProgram((str(program),)).deliver(MAIL)


def test_a_program_that_reads_nothing_is_no_failure(tmp_path: Path) -> None:
    MailProgram((str(a_program(tmp_path, "exit 0")),)).deliver(MAIL * 100_000)


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    program = a_program(tmp_path, f"sleep 60 & echo $! >'{tmp_path}/child'; wait")
    began = time.monotonic()
    ended = run_host_command((str(program),), 1.0)
    assert time.monotonic() - began < 10
    assert "took too long" in ended.describe()
    child = int((tmp_path / "child").read_text())
    assert not _is_alive(child)


def _is_alive(process: int) -> bool:
    for _ in range(50):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True


def test_what_a_program_leaves_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    program = a_program(tmp_path, "sleep 5 & exit 0")
    began = time.monotonic()
    assert run_host_command((str(program),), 60.0).exit == 0
    assert time.monotonic() - began < 4


def test_a_mailbox_that_cannot_be_written_is_a_fault_of_the_machine(tmp_path: Path) -> None:
    target = MailFile(tmp_path / "gone" / "box")
    with pytest.raises(MachineError, match="could not be appended"):
        target.deliver(MAIL)


def test_a_mailbox_that_another_holds_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "box").touch()
    (tmp_path / "box.lock").touch()
    with pytest.raises(MachineError, match="could not be appended"):
        MailFile(tmp_path / "box").deliver(MAIL)
    assert (tmp_path / "box").read_bytes() == b""


def test_nothing_is_told_where_nobody_is_named() -> None:
    assert parse_mail_target("") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nosuchprogram you@example.org", "there is no program 'nosuchprogram'"),
        ("'open", "is no command"),
        (" ", "there is no program ''"),
        ("{here}", "neither a file nor a program"),
        ("{here}/gone/box", "there is no directory"),
        ("{here}/pipe", "neither a file nor a program"),
        ("a\0b", "NUL"),
    ],
)
def test_what_is_neither_a_mailbox_nor_a_program_is_refused(tmp_path: Path, text: str, said: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RequestError, match=said):
        parse_mail_target(text.replace("{here}", str(tmp_path)))
