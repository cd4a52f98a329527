"""The options and other things that a message without a place is about: they tell two of its kind apart.

gcc: error: unrecognized command-line option '-mnope'; did you mean '-mno-sse'?       -mnope
Error: unrecognized option -mfloat-abi=soft                                           -mfloat-abi=soft
clang: error: unsupported argument 'nope' to option '-mcmodel=' for target 'x86-…'    -mcmodel=, nope, x86-…
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
# A target's triple, such as 'thumbv8-unknown-linux-gnueabi'.
_TRIPLE = re.compile(r"['‘\"]([A-Za-z]\w*-[\w.]+(?:-[\w.]+)+)['’\"]")


def find_options(message: str) -> tuple[str, ...]:
    """The options that a message names, then plugins, then the names that it quotes; each once."""
    return tuple(dict.fromkeys(_list_named(strip_suggestion(message))))


def _list_named(message: str) -> Iterator[str]:
    yield from (option.rstrip(":.,") for option in _OPTION.findall(message))
    yield from (f"-{letter}" for letter in _SHORT_OPTION.findall(message))
    yield from _PLUGIN.findall(message)
    yield from find_quoted_identifiers(message)
    yield from _TRIPLE.findall(message)


def name_options(_: ParserState, __: re.Match[str], draft: DiagnosticDraft) -> None:
    """Complete a draft's symbols with the options that its message names."""
    draft.symbols = find_options(draft.message)
