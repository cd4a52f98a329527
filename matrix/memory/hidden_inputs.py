"""What a source can read that is on no list of the compiler's. Pure."""

import re
from dataclasses import dataclass
from enum import Enum, auto

_UNLISTED = re.compile(rb"\.incbin\b|#\s*embed\b|__has_include(?:_next)?\s*\((?!\s*[<\"])")
_ASSEMBLED = re.compile(rb"(?:\.include|\.incbin|#\s*embed)\s+(?:\\?\"|<)([^\"\\\n<>]+)[\\\">]")
_PROBED = re.compile(rb"__has_include(?:_next)?\s*\(\s*[<\"]([^<>\"\n(]+)[>\"]")

# kbuild has genksyms read each source that exports, and sparse, after a preprocessor with this macro.
_READERS = (b"__GENKSYMS__", b"__CHECKER__")
_DIRECTIVE = re.compile(rb"^[ \t]*#[ \t]*(if\w*|elif|else|endif|include)\b(.*)", re.MULTILINE)
_LACKS_READER = re.compile(rb"!\s*+defined\s*+\(?\s*+(?:__GENKSYMS__|__CHECKER__)\b")


@dataclass(frozen=True)
class HiddenInputs:
    """What the text of one source names beside its ``#include`` lines.

    ``unlisted``: it takes in a file whose name or content is not known here (``.incbin``). ``reread``: it
    includes more where it is not the compiler that reads it (``#ifdef __GENKSYMS__``). ``assembled``: files
    that the assembler takes in. ``probed``: files for which it asks whether they are there.
    """

    unlisted: bool = False
    reread: bool = False
    assembled: frozenset[str] = frozenset()
    probed: frozenset[str] = frozenset()


NO_HIDDEN_INPUTS = HiddenInputs()


def find_hidden_inputs(text: bytes) -> HiddenInputs:
    """The hidden inputs of a source's text. In a comment they count as well: too many cost a compilation."""
    if b"include" not in text and b"incbin" not in text and b"embed" not in text:
        return NO_HIDDEN_INPUTS
    return HiddenInputs(
        unlisted=_UNLISTED.search(text) is not None,
        reread=any(reader in text for reader in _READERS) and _includes_for_readers(text),
        assembled=_decode(_ASSEMBLED.findall(text)),
        probed=_decode(_PROBED.findall(text)),
    )


def _includes_for_readers(text: bytes) -> bool:
    """Whether it includes something that only such a reader may see, and never the compiler."""
    frames: list[_Branch] = []
    included: dict[bool, set[bytes]] = {True: set(), False: set()}
    for word, rest in _DIRECTIVE.findall(text.replace(b"\\\n", b" ")):
        if word == b"include":
            included[_Branch.READERS in frames].add(rest.strip())
        elif word == b"endif":
            del frames[-1:]
        elif word in (b"else", b"elif"):
            before = frames.pop() if frames else _Branch.PLAIN
            is_plain = before is _Branch.PLAIN and not _names_reader(rest)
            frames.append(_Branch.PLAIN if is_plain else _Branch.READERS)
        else:
            frames.append(_classify_branch(word, rest))
    return not included[True] <= included[False]


class _Branch(Enum):
    """Who may read a branch of a conditional: all alike, the readers though not the compiler, or the compiler
    alone, so that what follows in its place is the readers'."""

    PLAIN = auto()
    READERS = auto()
    COMPILER = auto()


def _classify_branch(word: bytes, condition: bytes) -> _Branch:
    if not _names_reader(condition):
        return _Branch.PLAIN
    is_compilers = word == b"ifndef" or (b"||" not in condition and _LACKS_READER.search(condition))
    return _Branch.COMPILER if is_compilers else _Branch.READERS


def _names_reader(condition: bytes) -> bool:
    return any(reader in condition for reader in _READERS)


def _decode(names: list[bytes]) -> frozenset[str]:
    return frozenset(name.decode("utf-8", "replace") for name in names)
