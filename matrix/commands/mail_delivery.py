"""Hand on a mail: append it to a mailbox, or give it to a program on its stdin. No shell sees any of it."""

import mailbox
import shlex
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from matrix.commands.host_command import run_host_command
from matrix.errors import MachineError, RequestError
from matrix.shell_words import format_command
from matrix.user_files import check_utf8, expand_user_path, stat_user_path

_SECONDS = 300.0
"""For a program that sends a mail: one that waits for a dead server must not hold up the next build."""


@dataclass(frozen=True)
class MailProgram:
    """A program of this machine and its arguments, as the user names them."""

    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"the program {format_command(*self.command)}"

    def deliver(self, mail: str) -> None:
        """Give it the mail. MachineError where it does not end with 0."""
        ended = run_host_command(self.command, _SECONDS, mail.encode())
        if ended.exit:
            raise MachineError(
                f"the mail was not handed on: {ended.describe()}", "it is tried again at the next look"
            )


@dataclass(frozen=True)
class MailFile:
    """A mailbox in the format mbox, which is made where it is missing."""

    path: Path

    def __str__(self) -> str:
        return f"the mailbox {self.path}"

    def deliver(self, mail: str) -> None:
        """Append the mail, under the locks that mailers take. MachineError where it cannot be written."""
        try:
            box = mailbox.mbox(self.path)
            try:
                box.lock()
                box.add(mail.encode())
                box.flush()
            finally:
                box.close()
        except (OSError, mailbox.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise MachineError(
                f"the mail could not be appended to {self.path}: {reason}",
                "it is tried again at the next look",
            ) from error


MailTarget = MailProgram | MailFile


def parse_mail_target(text: str) -> MailTarget | None:
    """What ``--mail-to`` names; None where it is not given.

    A program where the first word is one that can be run, a file where it is one word. RequestError for what
    is neither.
    """
    if not text:
        return None
    check_utf8(text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise RequestError(f"--mail-to {text!r} is no command: {error}", "quote it as for a shell") from error
    program = shutil.which(str(expand_user_path(words[0]))) if words else None
    if program is not None:
        return MailProgram((program, *words[1:]))
    if len(words) != 1:
        raise RequestError(
            f"--mail-to {text!r}: there is no program {words[0] if words else ''!r} here",
            "name a mailbox's file, or a program with its arguments: --mail-to 'sendmail you@example.org'",
        )
    return MailFile(_check_mailbox(expand_user_path(words[0]).absolute()))


def _check_mailbox(path: Path) -> Path:
    label = f"--mail-to {path}"
    status, parent = stat_user_path(path, label), stat_user_path(path.parent, label)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise RequestError(f"{label} is neither a file nor a program", "name a mailbox's file")
    if parent is None or not stat.S_ISDIR(parent.st_mode):
        raise RequestError(f"{label}: there is no directory {path.parent}", "make it, or name another")
    return path
