"""Foreign text, out of logs, mails and patches, made fit to be shown. Pure."""

import re

MAX_SHOWN_LENGTH = 500
REPLACEMENT_CHARACTER = "\ufffd"
"""What stands for a control character, and for bytes that are no text."""

# Sequences that control a terminal: CSI (colours, cursor), and terminated OSC (titles, links).
_TERMINAL_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# What is obeyed or not seen: C0 but tab, DEL, C1; Unicode's format characters (bidi controls, zero-width,
# soft hyphens, tags), separators of lines and paragraphs, lone surrogates; letters that are only a blank;
# U+FFFE and U+FFFF, which are no characters, and which XML does not have.
_INVISIBLE_CHARACTERS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0"
    "\ufff9-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
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


def is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: a file's name need not be that."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
