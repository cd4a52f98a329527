"""What a source can read that is on no list of the compiler's. Pure."""

import re
from dataclasses import dataclass

_UNLISTED = re.compile(rb"\.incbin\b|#\s*embed\b|__has_include(?:_next)?\s*\((?!\s*[<\"])")
_ASSEMBLED = re.compile(rb"\.include\s+\\?\"([^\"\\\n]+)\\?\"")
_PROBED = re.compile(rb"__has_include(?:_next)?\s*\(\s*[<\"]([^<>\"\n(]+)[>\"]")


@dataclass(frozen=True)
class HiddenInputs:
    """What the text of one source names beside its ``#include`` lines.

    ``unlisted``: it takes in a file whose name or content is not known here (``.incbin``). ``assembled``:
    files that the assembler includes. ``probed``: files for which it asks whether they are there.
    """

    unlisted: bool = False
    assembled: frozenset[str] = frozenset()
    probed: frozenset[str] = frozenset()


NO_HIDDEN_INPUTS = HiddenInputs()


def find_hidden_inputs(text: bytes) -> HiddenInputs:
    """The hidden inputs of a source's text. In a comment they count as well: too many cost a compilation."""
    if b"include" not in text and b"incbin" not in text and b"embed" not in text:
        return NO_HIDDEN_INPUTS
    return HiddenInputs(
        _UNLISTED.search(text) is not None, _decode(_ASSEMBLED.findall(text)), _decode(_PROBED.findall(text))
    )


def _decode(names: list[bytes]) -> frozenset[str]:
    return frozenset(name.decode("utf-8", "replace") for name in names)
