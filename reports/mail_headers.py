"""A mail as text that begins with its headers: what ``git send-email`` and ``mutt -H`` take.

All that comes out of another mail is foreign: no subject, name or id of it adds a header, and what is no
address or no id is left out. There is no Message-ID: the mailer that sends it adds that.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, formataddr

from matrix.foreign_text import clean_text
from matrix.verdict.verdict_model import Mailbox, PatchMail
from reports.limits import MAIL_REFERENCES

# As in "a dot-atom at a host"; what RFC 5322 allows beyond that is not in use.
_ADDRESS_PATTERN = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,250}", re.ASCII)
_MESSAGE_ID_PATTERN = re.compile(r"[!-;=?-~]{1,250}")
_REPLY_PREFIX = re.compile(r"(?:re:\s*)+", re.IGNORECASE)
_MAX_NAME_LENGTH = 80
_MAX_SUBJECT_LENGTH = 250
# RFC 5322 asks for at most 78 characters a line, RFC 2047 for at most 76 where a word is encoded.
_MAX_LINE_LENGTH = 78
_MAX_ENCODED_LENGTH = 75


@dataclass(frozen=True)
class MailOrigin:
    """Who sends a mail, and when; where they are missing, the mailer adds them."""

    sender: Mailbox | None = None
    date: datetime | None = None


NO_ORIGIN = MailOrigin()


def render_mail(headers: Iterable[str], body: Iterable[str]) -> str:
    """The whole mail: plain text, UTF-8 as it is, no line of it to be flowed."""
    kind = ("MIME-Version: 1.0", "Content-Type: text/plain; charset=UTF-8", "Content-Transfer-Encoding: 8bit")
    return "\n".join([*headers, *kind, "", *body]).rstrip("\n") + "\n"


def format_new_headers(subject: str, origin: MailOrigin) -> list[str]:
    """The headers of a mail that answers nothing; a long one holds the lines that it is folded into."""
    return [*_format_from(origin), _format_subject(subject), *_format_date(origin)]


def format_reply_headers(mail: PatchMail, origin: MailOrigin) -> list[str]:
    """The headers of an answer to a mail, to its sender and everybody who had it, without our own."""
    to, cc = _choose_recipients(mail, origin.sender)
    ids = list(filter(_MESSAGE_ID_PATTERN.fullmatch, [*mail.references, mail.message_id]))
    return [
        *_format_from(origin),
        *_format_address_list("To", to),
        *_format_address_list("Cc", cc),
        _format_subject("Re: " + _REPLY_PREFIX.sub("", mail.subject.strip(), count=1)),
        *_format_date(origin),
        *_fold_header("In-Reply-To", [f"<{id_}>" for id_ in ids[-1:] if id_ == mail.message_id]),
        *_fold_header("References", [f"<{id_}>" for id_ in (*ids[:1], *ids[1:][-MAIL_REFERENCES:])]),
    ]


def _format_from(origin: MailOrigin) -> list[str]:
    return _format_address_list("From", [origin.sender] if origin.sender else [])


def _format_date(origin: MailOrigin) -> list[str]:
    return [f"Date: {format_datetime(origin.date)}"] if origin.date else []


def _choose_recipients(mail: PatchMail, sender: Mailbox | None) -> tuple[list[Mailbox], list[Mailbox]]:
    """To its sender, who is its recipients where it is our own; a copy to all others, each once."""
    seen = {sender.address.lower()} if sender else set()
    ours = mail.sender.address.lower() in seen
    to = _take_unseen(mail.to if ours else [mail.sender], seen)
    return to, _take_unseen(mail.cc if ours else [*mail.to, *mail.cc], seen)


def _take_unseen(people: Iterable[Mailbox], seen: set[str]) -> list[Mailbox]:
    """Those that were not seen yet; now they are."""
    unseen: dict[str, Mailbox] = {}
    for mailbox in people:
        if mailbox.address.lower() not in seen:
            unseen.setdefault(mailbox.address.lower(), mailbox)
    seen.update(unseen)
    return list(unseen.values())


def _format_address_list(name: str, people: Iterable[Mailbox]) -> list[str]:
    """A header of addresses; none where there are none. Each address is whole in its line."""
    known = (mailbox for mailbox in people if _ADDRESS_PATTERN.fullmatch(mailbox.address))
    addresses = list(map(_format_mailbox, known))
    return _fold_header(name, [*(f"{address}," for address in addresses[:-1]), *addresses[-1:]])


def _format_mailbox(mailbox: Mailbox) -> str:
    name = _clean_header_text(mailbox.name, _MAX_NAME_LENGTH)
    if _needs_encoding(name):
        return f"{_encode_header(name, '')} <{mailbox.address}>"
    return formataddr((name, mailbox.address))


def _format_subject(text: str) -> str:
    subject = _clean_header_text(text, _MAX_SUBJECT_LENGTH)
    return f"Subject: {_encode_header(subject, 'Subject') if _needs_encoding(subject) else subject}"


def _clean_header_text(text: str, limit: int) -> str:
    return " ".join(clean_text(text, limit).split())


def _needs_encoding(text: str) -> bool:
    """Whether a header cannot have it as it is; what looks encoded already would be decoded."""
    return not text.isascii() or "=?" in text


def _encode_header(text: str, header: str) -> str:
    return Header(text, "utf-8", header_name=header or None, maxlinelen=_MAX_ENCODED_LENGTH).encode()


def _fold_header(name: str, items: Sequence[str]) -> list[str]:
    """A header whose items stand in as few lines as hold them; none without items."""
    if not items:
        return []
    lines = [f"{name}: {items[0]}"]
    for item in items[1:]:
        if len(lines[-1]) + 1 + len(item) <= _MAX_LINE_LENGTH:
            lines[-1] += f" {item}"
        else:
            lines.append(f" {item}")
    return ["\n".join(lines)]
