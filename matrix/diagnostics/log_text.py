"""Foreign text: lines and paths as tools print them, made comparable, and made fit to be shown."""

import posixpath
import re
from dataclasses import dataclass

# Colours, and the hyperlinks that GCC puts around its flags.
_ESCAPES = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_QUOTED_IDENTIFIER = re.compile(r"['‘`\"](?:(?:struct|union|enum) )?([A-Za-z_$][\w.$]*)['’\"]")
_SUGGESTION = re.compile(r"[;,] did you mean .*")
# Types and words of C stand in the same quotes as the symbols that a message is about.
C_KEYWORDS = frozenset(
    word
    for words in (
        "auto bool break case char const continue default do double else enum error extern float for goto",
        "if inline int long register return short signed sizeof static struct switch typedef typeof union",
        "unsigned void volatile while",
    )
    for word in words.split()
)


# Longer than any compiler's command line; what a damaged log has in one line must not fill a record.
MAX_LOG_LINE_LENGTH = 32_768


def clean_log_line(line: str) -> str:
    """A line without escapes, line end or anything that is no valid Unicode text; cut where it is endless."""
    valid = line[:MAX_LOG_LINE_LENGTH].encode("utf-8", "replace").decode("utf-8")
    return _ESCAPES.sub("", valid).rstrip("\r\n")


MAX_SHOWN_LENGTH = 500
# What a terminal would obey: CSI sequences (colours, cursor), terminated OSC ones (titles, links).
_TERMINAL_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# C0 but tab, DEL, C1, and what reorders or joins text (bidi controls, zero-width, lone surrogates).
_INVISIBLE_CHARACTERS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean_text(text: str, limit: int = MAX_SHOWN_LENGTH) -> str:
    """Foreign text as one harmless line of at most ``limit`` characters; tabs stay."""
    line = _TERMINAL_ESCAPES.sub("", text[: 4 * limit]).replace("\r\n", " ").replace("\n", " ")
    line = _INVISIBLE_CHARACTERS.sub("\ufffd", line)
    cut = len(line) > limit or len(text) > 4 * limit
    return line[: limit - 1] + "…" if cut else line


def strip_suggestion(message: str) -> str:
    """A message without the name that was meant, as the compiler guesses: it depends on what is declared."""
    return _SUGGESTION.sub("", message)


def find_quoted_identifiers(message: str) -> tuple[str, ...]:
    """The identifiers that a message quotes, in order, each once: ``'x'``, ``‘x’``, ```x'``, ``"x"``."""
    names = (name for name in _QUOTED_IDENTIFIER.findall(strip_suggestion(message)) if name not in C_KEYWORDS)
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class BuildRoots:
    """Where the tree and the build directory are for the tools: ``/src`` and ``/build`` in every cell."""

    source: str = "/src"
    build: str = "/build"

    def make_relative(self, path: str) -> str:
        """A path relative to the tree, or to the build directory, without detours."""
        for root in (self.source, self.build):
            path = re.sub(
                rf"^(?:{re.escape(root)}|(?:\.\./)+{re.escape(posixpath.basename(root))})/+", "", path
            )
        return posixpath.normpath(path) if path else path

    def normalize_file(self, path: str) -> str | None:
        """As `relative`; None for what is no file of anybody's: ``<stdin>``, a compiler's temporary."""
        return None if path.startswith(("<", "{", "/tmp/")) else self.make_relative(path)  # noqa: S108
