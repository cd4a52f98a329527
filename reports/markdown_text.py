"""Foreign text in Markdown, of which nothing is obeyed: text, code spans, fences.

Escapes end with the parser. What GitHub and GitLab look for in the page that comes of it (mentions,
references, addresses, emoji) they find behind a backslash as well, but never in code. So words that hold any
of that become a code span.
"""

import re
from collections.abc import Iterator, Sequence

from matrix.foreign_text import clean_text

MAX_VALUE_LENGTH = 8000
"""Characters of a value: messages are cut already, commands and paths are longer and must stay whole."""
_MAX_CODE_LENGTH = 4000
_BACKTICKS = re.compile("`+")
# Parsers do not agree on what backslashes before a bar mean in code: there must be one alone.
_BAR = re.compile(r"(?:(?<!\\)\\+)?\|")
_WORD = re.compile(r"\S+")
# What means something anywhere, an underscore at a word's edge, and what begins a heading or a list.
_SPECIAL = re.compile(
    r"(?P<number>^[0-9]{1,9})(?P<mark>[.)])"
    r"|(?P<special>^[+=#-]|[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=\s)#)"
)
_HTML_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_LIVE = re.compile(
    "|".join(
        (
            "@",  # a mention, an address, a commit of somebody
            r"[#!~%]\w|&\d|[%~]\"",  # an issue, a merge request, a label, a milestone, an epic
            r"\$",  # mathematics, a snippet
            r"\^alert|\*iteration:|\[[A-Za-z_]{1,40}:|\[\[|[-+][\]}]",  # GitLab's other references and marks
            r"(?i:://|www\.|mailto:|xmpp:|tel:)",  # a bare URL
            r":[\w+-]+:",  # an emoji
            r"\b[A-Z][A-Z0-9]{1,30}-[0-9]|(?i:\bGH-[0-9])",  # an issue of another tracker
        )
    )
)
_COMMIT = re.compile(r"(?<![\w-])(?=[0-9]*[a-f])[0-9a-f]{7,64}(?!\w)")
# Of these digests kmatrix itself writes the first digits, and no tree has a commit of that name.
_DIGEST_NAME = "sha256"


# What escapes must see a text as it will be printed: a removed control character may join two others.
def escape_markdown(words: str, *, in_table: bool = False) -> str:
    """Words that mean only themselves: nothing is emphasised, linked, mentioned, referred to, or HTML.

    ``in_table``: a bar in a code span would end the cell otherwise.
    """
    line = clean_text(words).strip()
    spans = list(_find_live_words(line))
    if not spans:
        return _escape_inert(line)
    start, end = spans[0][0], spans[-1][1]
    code = format_code_span(line[start:end])
    code = _BAR.sub(r"\\|", code) if in_table else code
    return f"{_escape_inert(line[:start])}{code}{_escape_inert(line[end:])}"


def escape_table_cell(words: str) -> str:
    """The same for a cell of a table."""
    return escape_markdown(words, in_table=True)


def _find_live_words(line: str) -> Iterator[tuple[int, int]]:
    """Where words begin and end in which an issue tracker would find anything."""
    before = ""
    for match in _WORD.finditer(line):
        word = match[0]
        if _LIVE.search(word) or (before != _DIGEST_NAME and _COMMIT.search(word)):
            yield match.span()
        before = word


def _escape_inert(line: str) -> str:
    return _SPECIAL.sub(_escape_special, line.translate(_HTML_ENTITIES))


def _escape_special(match: re.Match[str]) -> str:
    return rf"{match['number'] or ''}\{match['mark'] or match['special']}"


def format_code_span(words: str) -> str:
    """A code span that holds whatever the words hold."""
    line = clean_text(words, _MAX_CODE_LENGTH)
    if not line:
        return ""
    ticks = "`" * (_count_longest_backticks(line) + 1)
    return f"{ticks} {line} {ticks}" if "`" in line else f"{ticks}{line}{ticks}"


def format_fence(lines: Sequence[str]) -> str:
    """A fence that none of these lines closes."""
    printed = (clean_text(line, MAX_VALUE_LENGTH) for line in lines)
    return "`" * max(3, max(map(_count_longest_backticks, printed), default=0) + 1)


def _count_longest_backticks(line: str) -> int:
    return max(map(len, _BACKTICKS.findall(line)), default=0)
