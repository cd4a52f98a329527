"""Mails as their tests make and read them."""

import re
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from typing import Any

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.record.run_model import Run
from matrix.verdict.verdict_model import Mailbox, VerdictPatch
from reports.mail_run import render_run_mail
from reports.mail_verdict import render_verdict_mail
from tests.fakes.sides import OTHER, a_side
from tests.fakes.verdicts import MAIL, TOLD_PATCH, header_fix

JANE = Mailbox(name="Jane Doe", address="jane@example.org")
MAKE = "make O=/tmp/kmatrix ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu-"
# What a tool for patches would take for a tag.
TAG = re.compile(r"^\s*[\w-]+-by:", re.MULTILINE)


def read(mail: str) -> EmailMessage:
    """As a mail program reads it."""
    return message_from_bytes(mail.encode(), policy=default)


def body(mail: str) -> list[str]:
    return mail.partition("\n\n")[2].splitlines()


def people(mail: str, name: str) -> list[Address]:
    header = read(mail)[name]
    return list(header.addresses) if header else []


def answering(**fields: Any) -> str:
    """The answer to the story's patch mail with these fields."""
    return render_verdict_mail(*header_fix().having(patches=(with_mail(**fields),)).given)


def with_mail(**fields: Any) -> VerdictPatch:
    """The story's patch, its mail having these fields."""
    return TOLD_PATCH.model_copy(update={"mail": MAIL.model_copy(update=fields)})


def different(count: int, *, excerpt: tuple[str, ...], message: str = "") -> list[Diagnostic]:
    """As many errors that have nothing in common; numbers would not tell them apart."""
    names = [chr(ord("a") + number) * 3 for number in range(count)]
    fields = ({"file": f"{name}.c", "message": f"{message}{name}", "excerpt": excerpt} for name in names)
    return [OTHER.model_copy(update=one) for one in fields]


def run_told(run: Run, **fields: Any) -> str:
    return render_run_mail(a_side(run), **fields)
