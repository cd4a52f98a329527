"""A mail as text that begins with its headers: what ``git send-email`` and ``mutt -H`` take.

All that comes out of another mail is foreign: no subject, name or id of it adds a header, and what is no
address or no id is left out. There is no Message-ID: whoever sends it gives it one.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr

from matrix.verdict.model import Mailbox, PatchMail
from reports.text import clean

# As in "a dot-atom at a host"; what RFC 5322 allows beyond that, nobody has.
_ADDRESS = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}", re.ASCII)
_ID = re.compile(r"[!-;=?-~]{1,250}")
_REPLY = re.compile(r"(?:re:\s*)+", re.IGNORECASE)
_LONGEST_NAME = 80
_LONGEST_SUBJECT = 250
# RFC 5322 asks for at most 78 characters a line, RFC 2047 for at most 76 where a word is encoded.
_WIDTH = 78
_ENCODED_WIDTH = 75
# The first says which thread it is, the last ones where in it.
_REFERENCES_KEPT = 20


@dataclass(frozen=True)
class Sending:
    """What whoever sends a mail puts into it: who they are, and when; without, their mailer does."""

    sender: Mailbox | None = None
    date: datetime | None = None


NOBODY = Sending()


def letter(headers: Iterable[str], body: Iterable[str]) -> str:
    """The whole mail: plain text, UTF-8 as it is, no line of it to be flowed."""
    kind = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: 8bit")
    return "\n".join([*headers, *kind, "", *body]).rstrip("\n") + "\n"


def heading(subject: str, sending: Sending) -> list[str]:
    """The headers of a mail that answers nothing; a long one holds the lines that it is folded into."""
    return [*_from(sending), _subject(subject), *_dated(sending)]


def answering(mail: PatchMail, sending: Sending) -> list[str]:
    """The headers of an answer to a mail, to its sender and everybody who had it, but for ourselves."""
    to, cc = _recipients(mail, sending.sender)
    ids = list(filter(_ID.fullmatch, [*mail.references, mail.message_id]))
    return [
        *_from(sending),
        *_people("To", to),
        *_people("Cc", cc),
        _subject("Re: " + _REPLY.sub("", mail.subject.strip(), count=1)),
        *_dated(sending),
        *_folded("In-Reply-To", [f"<{one}>" for one in ids[-1:] if one == mail.message_id]),
        *_folded("References", [f"<{one}>" for one in (*ids[:1], *ids[1:][-_REFERENCES_KEPT:])]),
    ]


def _from(sending: Sending) -> list[str]:
    return _people("From", [sending.sender] if sending.sender else [])


def _dated(sending: Sending) -> list[str]:
    return [f"Date: {format_datetime(sending.date)}"] if sending.date else []


def _recipients(mail: PatchMail, sender: Mailbox | None) -> tuple[list[Mailbox], list[Mailbox]]:
    """To its sender, who is its recipients where it is our own; a copy to all others, each once."""
    seen = {sender.address.lower()} if sender else set()
    ours = mail.sender.address.lower() in seen
    to = _new(mail.to if ours else [mail.sender], seen)
    return to, _new(mail.cc if ours else [*mail.to, *mail.cc], seen)


def _new(people: Iterable[Mailbox], seen: set[str]) -> list[Mailbox]:
    """Those that were not seen yet; now they are."""
    found: dict[str, Mailbox] = {}
    for one in people:
        if one.address.lower() not in seen:
            found.setdefault(one.address.lower(), one)
    seen.update(found)
    return list(found.values())


def _people(name: str, people: Iterable[Mailbox]) -> list[str]:
    """A header of addresses; none where there are none. Each address is whole in its line."""
    told = [_person(one) for one in people if _ADDRESS.fullmatch(one.address)]
    return _folded(name, [*(f"{one}," for one in told[:-1]), *told[-1:]])


def _person(one: Mailbox) -> str:
    name = _plain(one.name, _LONGEST_NAME)
    return f"{_encoded(name, '')} <{one.address}>" if _odd(name) else formataddr((name, one.address))


def _subject(text: str) -> str:
    told = _plain(text, _LONGEST_SUBJECT)
    return f"Subject: {_encoded(told, 'Subject') if _odd(told) else told}"


def _plain(text: str, limit: int) -> str:
    return " ".join(clean(text, limit).split())


def _odd(text: str) -> bool:
    """Whether a header cannot have it as it is; what looks encoded already would be decoded."""
    return not text.isascii() or "=?" in text


def _encoded(text: str, header: str) -> str:
    return Header(text, "utf-8", header_name=header or None, maxlinelen=_ENCODED_WIDTH).encode()


def _folded(name: str, items: Sequence[str]) -> list[str]:
    """A header whose items stand in as few lines as hold them; none without items."""
    if not items:
        return []
    lines = [f"{name}: {items[0]}"]
    for item in items[1:]:
        if len(lines[-1]) + 1 + len(item) <= _WIDTH:
            lines[-1] += f" {item}"
        else:
            lines.append(f" {item}")
    return ["\n".join(lines)]
