"""Foreign text as words of a POSIX shell: what scripts and printed commands are made of. Pure.

What kmatrix prints to be typed, and what its scripts hold, comes through here: a word of a log or of a
stranger's record means only itself.
"""

import re
import shlex

from matrix.foreign_text import replace_controls

# A run has thousands of recorded commands, nearly all of which are plain, and shlex is slow.
_PLAIN_WORDS = re.compile(r"[A-Za-z0-9_@%+=:,./ -]*")


def quote_word(text: str) -> str:
    """Text as one word, on one line. Control characters do not survive: what shows the word later removes
    them as well, and would take the quotes beside them along."""
    return shlex.quote(replace_controls(text))


def format_command(*words: str) -> str:
    """A command as it is typed, each of its words quoted where it has to be."""
    return " ".join(map(quote_word, words))


def quote_recorded_command(command: str) -> str:
    """A recorded command with each of its words quoted anew: nothing but words is left of it.

    ValueError where a quote is not closed.
    """
    return command if _PLAIN_WORDS.fullmatch(command) else format_command(*shlex.split(command))


def format_variable(name: str, value: str) -> str:
    """An assignment as it is typed: ``KCFLAGS='-O2 -g'``. A name that is no name is quoted with its value."""
    return f"{name}={quote_word(value)}" if _is_name(name) else quote_word(f"{name}={value}")


def _is_name(name: str) -> bool:
    return name.isascii() and name.isidentifier()


def parse_variables(line: str) -> dict[str, str]:
    """The assignments among a line's words: name → value. ValueError where a quote is not closed."""
    pairs = (word.partition("=") for word in shlex.split(line))
    return {name: value for name, equals, value in pairs if equals}


def quote_recorded_variables(line: str) -> str:
    """A recorded line of assignments with each value quoted anew. ValueError where a quote is not closed."""
    if _PLAIN_WORDS.fullmatch(line):
        return line
    return " ".join(format_variable(name, value) for name, value in parse_variables(line).items())
