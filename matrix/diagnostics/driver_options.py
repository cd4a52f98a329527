"""The options and other things that a message without a place is about: they distinguish two of its kind.

gcc: error: unrecognized command-line option '-mnope'; did you mean '-mno-sse'?       -mnope
Error: unrecognized option -mfloat-abi=soft                                           -mfloat-abi=soft
clang: error: unsupported argument 'nope' to option '-mcmodel=' for target 'x86-…'    -mcmodel=, nope
cc1: error: cannot load plugin ./scripts/gcc-plugins/a_plugin.so: …                   a_plugin.so
"""

import re
from collections.abc import Iterator

from matrix.diagnostics.diagnostic import find_quoted_identifiers, strip_suggestion
from matrix.diagnostics.drafts import DiagnosticDraft
from matrix.diagnostics.parser_state import ParserState

_OPTION = re.compile(r"(?<![^\s'‘`\"(\[])--?[A-Za-z][^\s'’`\";()\]]*")
_SHORT_OPTION = re.compile(r"invalid option -- ['‘]?(\w)")
_PLUGIN = re.compile(r"\bplugin ['‘]?(?:[^\s'’:/]*+/)*+(?P<name>[\w.+-]+\.so)\b")
# A value that is no identifier: 'armv9.4-a', 'thumbv8-unknown-linux-gnueabi'.
_VALUE = re.compile(r"['‘`\"]([A-Za-z][\w.]*-[\w.+-]+)['’\"]")

# On each arch the same message names another one.
_FOR_TARGET = re.compile(r" for target ['‘\"][^'‘’\"]+['’\"]")
# gcc: `linux/a.h: No such file or directory`; clang: `'linux/a.h' file not found`.
_MISSING_HEADER = re.compile(r"['‘]?(?P<name>[^\s:'’]+)(?:: No such file or directory|['’] file not found)$")


def find_options(message: str) -> tuple[str, ...]:
    """The options that a message names, then plugins, then the names that it quotes; each once."""
    header = find_missing_header(message)
    named = _list_named(_FOR_TARGET.sub("", strip_suggestion(message)))
    return (header,) if header else tuple(dict.fromkeys(named))


def find_missing_header(message: str) -> str | None:
    """The header that a compiler did not find, as it is included; None of another message."""
    found = _MISSING_HEADER.match(message)
    return found["name"] if found else None


def _list_named(message: str) -> Iterator[str]:
    yield from (option.rstrip(":.,") for option in _OPTION.findall(message))
    if short := _SHORT_OPTION.search(message):
        yield f"-{short[1]}"
        return
    yield from _PLUGIN.findall(message)
    yield from find_quoted_identifiers(message)
    yield from _VALUE.findall(message)


def name_options(_: ParserState, __: re.Match[str], draft: DiagnosticDraft) -> None:
    """Complete a draft's symbols with the options that its message names."""
    draft.symbols = find_options(draft.message)
