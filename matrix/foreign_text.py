"""Foreign text, out of logs, mails and patches, made fit to be shown. Pure."""

import re

MAX_SHOWN_LENGTH = 500
REPLACEMENT_CHARACTER = "\ufffd"
"""What stands for a control character, and for bytes that are no text."""

# Sequences that control a terminal: CSI (colours, cursor), and terminated OSC (titles, links).
_TERMINAL_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# C0 but tab, DEL, C1, and what reorders or joins text (bidi controls, zero-width, lone surrogates).
_INVISIBLE_CHARACTERS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)


def clean_text(text: str, limit: int = MAX_SHOWN_LENGTH) -> str:
    """Foreign text as one harmless line of at most ``limit`` characters; tabs stay."""
    line = replace_controls(text[: 4 * limit])
    cut = len(line) > limit or len(text) > 4 * limit
    return line[: limit - 1] + "…" if cut else line


def replace_controls(text: str) -> str:
    """Foreign text as one harmless line, whole; tabs stay. Doing it twice changes nothing more."""
    line = _TERMINAL_ESCAPES.sub("", text).replace("\r\n", " ").replace("\n", " ")
    return _INVISIBLE_CHARACTERS.sub(REPLACEMENT_CHARACTER, line)
