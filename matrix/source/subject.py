"""What a patch mail's subject says: ``[PATCH net-next v3 02/10] vfio: drop the stub``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_REPLY = re.compile(r"\s*(?:re|aw|sv|antw)\s*(?:\[\d+\])?:\s*", re.IGNORECASE)
_BRACKETS = re.compile(r"\s*\[([^\[\]]*)\]\s*")
# Four digits: a stranger's 1/1000000000 must not make us look for all the others.
_NUMBER = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")
_VERSION = re.compile(r"(?:patch|rfc)?v([0-9]{1,4})(?:\.[0-9]+)?", re.IGNORECASE)
_RESEND = re.compile(r"re-?send", re.IGNORECASE)
_PATCH = re.compile(r"(?:patch|rfc)(?:v[0-9.]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Subject:
    """A subject's parts. ``number`` is 0 for a cover letter; it and ``total`` are 0 without ``n/m``.

    ``tagged``: the brackets say that this is a patch. A series without a version is version 1. Of a reply
    there is only the title: its brackets speak of what it answers.
    """

    title: str
    reply: bool = False
    tagged: bool = False
    version: int = 1
    resend: bool = False
    number: int = 0
    total: int = 0

    @property
    def cover(self) -> bool:
        return self.total > 0 and self.number == 0


def read_subject(text: str) -> Subject:
    """The parts of a subject, whatever the order of the words in brackets: git, b4 and patchwork differ."""
    reply = _REPLY.match(text)
    words, title = _split(text[reply.end() :] if reply else text)
    if reply:
        return Subject(title, reply=True)
    number, total = _counted(words)
    versions = [int(found[1]) for word in words if (found := _VERSION.fullmatch(word))]
    return Subject(
        title=title,
        tagged=bool(total or versions) or any(map(_PATCH.fullmatch, words)),
        version=versions[0] if versions else 1,
        resend=any(map(_RESEND.fullmatch, words)),
        number=number,
        total=total,
    )


def _split(text: str) -> tuple[list[str], str]:
    """The words in the brackets before a title, and the title; a list puts brackets of its own before."""
    words: list[str] = []
    start = 0
    for inside, end in _leading(text):
        words += re.split(r"[\s,]+", inside)
        start = end
    return words, text[start:].strip()


def _leading(text: str) -> Iterator[tuple[str, int]]:
    end = 0
    while found := _BRACKETS.match(text, end):
        end = found.end()
        yield found[1], end


def _counted(words: list[str]) -> tuple[int, int]:
    for word in words:
        found = _NUMBER.fullmatch(word)
        if found and int(found[1]) <= int(found[2]):
            return int(found[1]), int(found[2])
    return 0, 0
