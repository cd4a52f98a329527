"""What a patch mail's subject says: ``[PATCH net-next v3 02/10] vfio: drop the stub``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_REPLY_PREFIX = re.compile(r"\s*(?:re|aw|sv|antw)\s*(?:\[\d+\])?:\s*", re.IGNORECASE)
_BRACKETED_PREFIX = re.compile(r"\s*\[([^\[\]]*)\]\s*")
# Four digits: a stranger's 1/1000000000 must not make us look for all the others.
_PATCH_NUMBER = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")
_SERIES_VERSION = re.compile(r"(?:patch|rfc)?v([0-9]{1,4})(?:\.[0-9]+)?", re.IGNORECASE)
_RESEND_TAG = re.compile(r"re-?send", re.IGNORECASE)
_PATCH_TAG = re.compile(r"(?:patch|rfc)(?:v[0-9.]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class PatchSubject:
    """A subject's parts. ``number`` is 0 for a cover letter; it and ``total`` are 0 without ``n/m``.

    ``tagged``: the brackets say that this is a patch. A series without a version is version 1. Of a reply
    there is only the title: its brackets speak of what it answers.
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
    versions = [int(found[1]) for word in words if (found := _SERIES_VERSION.fullmatch(word))]
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
    while found := _BRACKETED_PREFIX.match(text, end):
        end = found.end()
        yield found[1], end


def _parse_number(words: list[str]) -> tuple[int, int]:
    for word in words:
        found = _PATCH_NUMBER.fullmatch(word)
        if found and int(found[1]) <= int(found[2]):
            return int(found[1]), int(found[2])
    return 0, 0
