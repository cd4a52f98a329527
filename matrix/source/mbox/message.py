"""Mails as values: a mailbox cut into its messages, and what of a message matters to a patch.

Python's `email` parses them, with its older policy: the newer one's header parser raises IndexError or
RecursionError on some malformed headers. What the older one leaves encoded is decoded here.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.policy import Compat32
from email.utils import getaddresses
from itertools import groupby, islice, pairwise, takewhile
from typing import NamedTuple

from matrix.errors import RequestError

_REPLY_PREFIX = re.compile(r"\s*(?:re|aw|sv|antw)\s*(?:\[\d+\])?:\s*", re.IGNORECASE)
_BRACKETED_PREFIX = re.compile(r"\s*\[([^\[\]]*)\]\s*")
# Four digits: 1/1000000000 in a foreign mail must not start a search for all the others.
_PATCH_NUMBER = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")
_SERIES_VERSION = re.compile(r"(?:patch|rfc)?v([0-9]{1,4})(?:\.[0-9]+)?", re.IGNORECASE)
_RESEND_TAG = re.compile(r"re-?send", re.IGNORECASE)
_PATCH_TAG = re.compile(r"(?:patch|rfc)(?:v[0-9.]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class PatchSubject:
    """A subject's parts. ``number`` is 0 for a cover letter; it and ``total`` are 0 without ``n/m``.

    ``is_tagged``: the brackets hold PATCH, a number or a version. A series without a version is version 1. A
    reply has only a title: its brackets are those of the mail that it replies to.
    """

    title: str
    is_reply: bool = False
    is_tagged: bool = False
    version: int = 1
    is_resend: bool = False
    number: int = 0
    total: int = 0

    @property
    def is_cover(self) -> bool:
        return self.total > 0 and self.number == 0


def parse_subject(text: str) -> PatchSubject:
    """The parts of a subject, whatever the order of the words in brackets: git, b4 and patchwork differ."""
    reply = _REPLY_PREFIX.match(text)
    words, title = _split_brackets(text[reply.end() :] if reply else text)
    if reply:
        return PatchSubject(title, is_reply=True)
    number, total = _parse_number(words)
    versions = [int(match[1]) for word in words if (match := _SERIES_VERSION.fullmatch(word))]
    return PatchSubject(
        title=title,
        is_tagged=bool(total or versions) or any(map(_PATCH_TAG.fullmatch, words)),
        version=versions[0] if versions else 1,
        is_resend=any(map(_RESEND_TAG.fullmatch, words)),
        number=number,
        total=total,
    )


def _split_brackets(text: str) -> tuple[list[str], str]:
    """The words in the brackets before a title, and the title; a list puts brackets of its own before."""
    words: list[str] = []
    start = 0
    for inside, end in _find_leading_brackets(text):
        words += re.split(r"[\s,]+", inside)
        start = end
    return words, text[start:].strip()


def _find_leading_brackets(text: str) -> Iterator[tuple[str, int]]:
    end = 0
    while match := _BRACKETED_PREFIX.match(text, end):
        end = match.end()
        yield match[1], end


def _parse_number(words: list[str]) -> tuple[int, int]:
    for word in words:
        match = _PATCH_NUMBER.fullmatch(word)
        if match and int(match[1]) <= int(match[2]):
            return int(match[1]), int(match[2])
    return 0, 0


# As strict as `git mailsplit`, and a header must follow: "From " also begins sentences.
_MBOX_SEPARATOR = re.compile(
    rb"^From \S+ +\w{3} \w{3} +\d{1,2} \d\d:\d\d:\d\d(?: [+-]\d{4})? \d{4}(?: [+-]\d{4})?[ \t]*\r?\n"
    rb"(?=[!-9;-~]+:)",
    re.MULTILINE,
)
_QUOTED_FROM = re.compile(rb"^>(?=>*From )", re.MULTILINE)
_FIRST_FIELD = re.compile(rb"[!-9;-~]+:")
_KNOWN_FIELD = re.compile(rb"^(?:From|Subject|Message-ID|Date):", re.MULTILINE | re.IGNORECASE)
_FOLDED_LINE = re.compile(r"\r?\n(?=[ \t])")
_MESSAGE_ID = re.compile(r"<([!-;=?-~]{1,250})>")

# Characters. Python reads parameters and encoded words of a header in quadratic time. The longest Cc of a
# kernel thread has some ten thousand.
_MAX_FIELD_LENGTH = 2000
_MAX_LIST_LENGTH = 1 << 15
_LIST_FIELDS = {"to", "cc", "references"}
# `getaddresses` recurses once for each comment in a comment, and Python allows a thousand calls.
_MAX_COMMENTS = 100
# Python has these among its charsets, and decodes them in quadratic time; no text is written in them.
_NON_TEXT_CHARSETS = {"idna", "punycode"}


class MailAddress(NamedTuple):
    """A name, which may be empty, and an address; what `email.utils.formataddr` takes."""

    name: str
    address: str


@dataclass(frozen=True)
class Mail:
    """A message, decoded. Ids are without angle brackets; what a message lacks is empty.

    ``references`` go from the oldest to the newest, ``date`` is as its sender wrote it. ``text`` is the
    first plain part, for people; ``content`` are the bytes of all its text, for git, in whatever charset
    the source has. Subject, names, date and text are foreign, and cleaned where they are printed.
    """

    id: str
    subject: str
    sender: MailAddress
    to: tuple[MailAddress, ...]
    cc: tuple[MailAddress, ...]
    in_reply_to: str
    references: tuple[str, ...]
    date: str
    text: str
    content: bytes

    @property
    def parent_ids(self) -> tuple[str, ...]:
        """The ids of the mails that it replies to, the nearest first."""
        return tuple(filter(None, (self.in_reply_to, *reversed(self.references))))


def split_mailbox(raw: bytes) -> list[bytes]:
    """The messages of a mailbox, unchanged; the whole, where it is no mailbox."""
    starts = [match.start() for match in _MBOX_SEPARATOR.finditer(raw)]
    pieces = [raw[start:end] for start, end in pairwise(sorted({0, *starts, len(raw)}))]
    return [piece for piece in pieces if piece.strip()]


def parse_mail(raw: bytes) -> Mail | None:
    """One message; None when this is none, as a bare diff is. RequestError when parts nest too deeply."""
    raw = raw.lstrip(b"\r\n")
    if raw.partition(b"\n")[0].endswith(b"\r"):
        raw = raw.replace(b"\r\n", b"\n")
    if separator := _MBOX_SEPARATOR.match(raw):
        raw = _QUOTED_FROM.sub(b"", raw[separator.end() :])
    if not _FIRST_FIELD.match(raw) or not _KNOWN_FIELD.search(raw.partition(b"\n\n")[0]):
        return None
    try:
        return _build_mail(BytesParser(policy=_HEADER_POLICY).parsebytes(raw))
    except RecursionError as problem:
        raise RequestError(
            "a mail has parts within parts, too deep to be read", "Give its diff alone."
        ) from problem


class _BoundedHeaderPolicy(Compat32):
    """Fields come on one line, short enough to be read, and in UTF-8 where they are not encoded."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        text = value.encode("ascii", "surrogateescape").decode("utf-8", "replace")
        longest = _MAX_LIST_LENGTH if name.lower() in _LIST_FIELDS else _MAX_FIELD_LENGTH
        return name, _FOLDED_LINE.sub("", text[:longest])


_HEADER_POLICY = _BoundedHeaderPolicy()


def _build_mail(message: Message) -> Mail:
    texts = [part for part in message.walk() if _is_text_part(part)]
    replied = _MESSAGE_ID.findall(message.get("In-Reply-To", ""))
    return Mail(
        id=next(iter(_MESSAGE_ID.findall(message.get("Message-ID", ""))), ""),
        subject=_decode_field(message.get("Subject", "")),
        sender=next(iter(_read_addresses(message, "From")), MailAddress("", "")),
        to=_read_addresses(message, "To"),
        cc=_read_addresses(message, "Cc"),
        in_reply_to=replied[0] if replied else "",
        references=tuple(_MESSAGE_ID.findall(message.get("References", ""))),
        date=_decode_field(message.get("Date", "")),
        text=_decode_text(texts[0]) if texts else "",
        content=b"".join(map(_decode_payload, texts)),
    )


def _is_text_part(part: Message) -> bool:
    """What `git am` takes: a patch may be attached as text/x-patch."""
    return part.get_content_maintype() == "text" and part.get_content_subtype() != "html"


def _decode_payload(part: Message) -> bytes:
    """The bytes of a part without their transfer encoding; only base64 keeps its sender's line ends."""
    decoded = part.get_payload(decode=True)
    payload = decoded if isinstance(decoded, bytes) else b""
    if part.get("Content-Transfer-Encoding", "").strip().lower() == "base64":
        payload = payload.replace(b"\r\n", b"\n")
    # The line end before a boundary belongs to the boundary, but a hunk's last line needs one.
    return payload if payload.endswith(b"\n") else payload + b"\n"


def _decode_text(part: Message) -> str:
    charset = part.get_content_charset("utf-8")
    try:
        return _replace_surrogates(
            _decode_payload(part).decode("utf-8" if charset in _NON_TEXT_CHARSETS else charset, "replace")
        )
    except (LookupError, ValueError):
        return _decode_payload(part).decode("utf-8", "replace")


def _decode_field(field: str) -> str:
    """A field's text without RFC 2047's encoding; as it is, where that is broken."""
    short = field[:_MAX_FIELD_LENGTH].strip()
    try:
        return _replace_surrogates(str(make_header(decode_header(short))))
    except (MessageError, LookupError, ValueError):
        return short


def _replace_surrogates(text: str) -> str:
    """Without half characters, which some charsets can write and no terminal or file takes."""
    return text.encode("utf-8", "replace").decode()


def _read_addresses(message: Message, name: str) -> tuple[MailAddress, ...]:
    return tuple(_split_addresses(", ".join(message.get_all(name, []))))


def _split_addresses(field: str) -> Iterator[MailAddress]:
    """Names are decoded after the split: an encoded one may hold a comma."""
    if field.count("(") <= _MAX_COMMENTS:
        for name, address in getaddresses([field]):
            if "@" in address:
                yield MailAddress(_decode_field(name), address)


_BODY_END = re.compile(r"---\s*$|-- ?$|diff -|--- \S+/|Index: |\S.* \(\d+\):$")
_TRAILER = re.compile(r"(?:[A-Z][\w-]*-by|Cc|Fixes|Closes|Link|References|Message-I[dD]|base-commit): ")
_IN_BODY_HEADER = re.compile(r"(?:From|Subject|Date): ")
_ATTRIBUTION = re.compile(r".*\b(?:wrote|writes):\s*$")
# A quotation comes from the beginning; a long mail need not be read to its end.
_MAX_LINES_READ = 300


def extract_quote(mail: Mail, max_lines: int = 8) -> tuple[str, ...]:
    """The first paragraphs that its sender wrote, at most this many lines, without ``>`` and never wrapped.

    No trailers, shortlog, diff or signature, and of a reply nothing that it quotes itself. Empty when
    nothing else is there. The lines are foreign text.
    """
    lines = takewhile(lambda line: not _BODY_END.match(line), islice(mail.text.split("\n"), _MAX_LINES_READ))
    reply = parse_subject(mail.subject).is_reply
    quote: list[str] = []
    for paragraph in _split_paragraphs(lines, reply=reply):
        addition = [*([""] if quote else []), *paragraph]
        if quote and len(quote) + len(addition) > max_lines:
            break
        quote += addition[:max_lines]
    return tuple(quote)


def _split_paragraphs(lines: Iterable[str], *, reply: bool) -> Iterator[list[str]]:
    bare = [line.rstrip() for line in lines if not _TRAILER.match(line)]
    for index, (_, run) in enumerate(groupby(bare, key=bool)):
        paragraph = list(run)
        own = _drop_quotation(paragraph) if reply else paragraph
        if any(own) and not (index == 0 and all(map(_IN_BODY_HEADER.match, own))):
            yield own


def _drop_quotation(paragraph: list[str]) -> list[str]:
    """What follows a quotation; the line before it names its author."""
    quoted = [index for index, line in enumerate(paragraph) if line.startswith(">")]
    own = paragraph[quoted[-1] + 1 :] if quoted else paragraph
    return [] if own and _ATTRIBUTION.match(own[-1]) else own
