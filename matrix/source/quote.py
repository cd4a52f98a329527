"""What of a mail is worth quoting in an answer to it."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby, islice, takewhile

from matrix.source.mails import Mail
from matrix.source.subject import parse_subject

_BODY_END = re.compile(r"---\s*$|-- ?$|diff -|--- \S+/|Index: |\S.* \(\d+\):$")
_TRAILER = re.compile(r"(?:[A-Z][\w-]*-by|Cc|Fixes|Closes|Link|References|Message-I[dD]|base-commit): ")
_IN_BODY_HEADER = re.compile(r"(?:From|Subject|Date): ")
_ATTRIBUTION = re.compile(r".*\b(?:wrote|writes):\s*$")
# A mail may be a book; its beginning is not.
_MAX_LINES_READ = 300


def extract_quote(mail: Mail, most: int = 8) -> tuple[str, ...]:
    """The first paragraphs that its sender wrote, at most this many lines, without ``>`` and never wrapped.

    No trailers, shortlog, diff or signature, and of a reply nothing that it quotes itself. Empty when
    nothing else is there. The lines are foreign text.
    """
    lines = takewhile(lambda line: not _BODY_END.match(line), islice(mail.text.split("\n"), _MAX_LINES_READ))
    reply = parse_subject(mail.subject).is_reply
    taken: list[str] = []
    for paragraph in _split_paragraphs(lines, reply=reply):
        more = [*([""] if taken else []), *paragraph]
        if taken and len(taken) + len(more) > most:
            break
        taken += more[:most]
    return tuple(taken)


def _split_paragraphs(lines: Iterable[str], *, reply: bool) -> Iterator[list[str]]:
    bare = [line.rstrip() for line in lines if not _TRAILER.match(line)]
    for index, (_, run) in enumerate(groupby(bare, key=bool)):
        paragraph = list(run)
        own = _drop_quotation(paragraph) if reply else paragraph
        if any(own) and not (index == 0 and all(map(_IN_BODY_HEADER.match, own))):
            yield own


def _drop_quotation(paragraph: list[str]) -> list[str]:
    """What follows a quotation; who wrote that stands before it."""
    quoted = [index for index, line in enumerate(paragraph) if line.startswith(">")]
    own = paragraph[quoted[-1] + 1 :] if quoted else paragraph
    return [] if own and _ATTRIBUTION.match(own[-1]) else own
