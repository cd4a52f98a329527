"""What of a Kconfig file can reach a build by another way than the .config that comes out of it. Pure.

All that conf makes for a build follows from the values in .config, with two exceptions: a number is written
as 0x10 or as 10 by the symbol's type, which .config does not show; and macros run commands, which may leave
something in the build directory.
"""

import re
from collections.abc import Iterator

# Where a file is sourced counts, since its macros run there. An assignment may be a part of a command.
_LINES = re.compile(
    r"^[ \t]*+(?:(?:menu)?config[ \t]+(?P<symbol>\S++)|(?P<hex>hex\b)|(?P<other>source\b.*"
    r"|[\w-]++[ \t]*+[:+]?=.*|(?:[^\n$]|\$(?!\())*+\$\(.*))",
    re.MULTILINE,
)


def list_build_effects(text: str) -> tuple[str, ...]:
    """Of a Kconfig file's text: which symbols it calls hexadecimal, and each line that runs or passes on a
    command, or sources a file. Too much of it, such as a line of a help text, only makes two files differ."""
    return tuple(_find_effects(text.replace("\\\n", " ")))


def _find_effects(text: str) -> Iterator[str]:
    symbol = ""
    for line in _LINES.finditer(text):
        if line["symbol"]:
            symbol = line["symbol"]
        elif line["hex"]:
            yield f"hex {symbol}"
        else:
            yield line["other"].strip()
