"""Words that try to become commands: each touches a tripwire when a shell, make, sed or printf obeys it."""

from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

T = TypeVar("T")
TRIPWIRE = "tripwire"
TOUCH = f"touch {TRIPWIRE}"
NASTY_WORDS = (
    # What ends a here-document, and what a script's own end words are.
    *("KMATRIX_EOF", "EOF", f"KMATRIX_EOF\n{TOUCH}", f"\nKMATRIX_EOF\n{TOUCH}\n", f"x\nEOF\n{TOUCH}\n#"),
    # Substitutions, in and out of quotes.
    *(f"$({TOUCH})", f"`{TOUCH}`", f'"$({TOUCH})"', f"'$({TOUCH})'", f"${{x:-$({TOUCH})}}", f"$(({TOUCH}))"),
    *(f"'`{TOUCH}`'", f"$'\\n{TOUCH}'", f'"`{TOUCH}`"', f"${{IFS}}$({TOUCH})", f"<({TOUCH})", f">({TOUCH})"),
    # Ends of words, of quotes and of commands.
    *(f"'; {TOUCH}; '", f'"; {TOUCH}; "', f"'\"'\"'; {TOUCH} #", f"; {TOUCH}", f"& {TOUCH} &", f"| {TOUCH}"),
    *(f"|| {TOUCH}", f"&& {TOUCH}", f"\n{TOUCH}\n", f"\r{TOUCH}\r", f"\r\n{TOUCH}\r\n", f") ; {TOUCH} ; ("),
    *(f"}} ; {TOUCH} ; {{", f";; *) {TOUCH} ;;", f"; done; {TOUCH}", f"; fi; {TOUCH}", f"esac; {TOUCH}"),
    *(
        "'",
        '"',
        "\\",
        "\\'",
        "'\\''",
        "''",
        '""',
        "`",
        "$",
        "$(",
        "${",
        "\\\n",
        f"\\\n{TOUCH}",
        "#",
        f"#\n{TOUCH}",
    ),
    # Redirections, globs, words that options are made of.
    *(
        f"> {TRIPWIRE}",
        f">{TRIPWIRE}",
        f"2>{TRIPWIRE}",
        f"<>{TRIPWIRE}",
        "*",
        "?",
        "[a-z]",
        "~",
        "~root",
        "!!",
    ),
    *(
        "-n",
        "--",
        "-e",
        "--privileged",
        "--help",
        "-v/:/host",
        f"--eval=$(shell {TOUCH})",
        "-f/dev/stdin",
        "=x",
    ),
    # Formats and patterns of printf, echo, sed, grep, awk, case.
    *(
        "%s%n%d",
        "%b",
        f"%b\\n{TOUCH}",
        f"\\n{TOUCH}",
        "\\c",
        "\\033[2J",
        "\\0",
        f"/;e {TOUCH};s/",
        f"/e\ne {TOUCH}\n",
    ),
    *(
        f"x/{TOUCH}/e",
        f"\ne {TOUCH}\n",
        ".*",
        "^",
        "[",
        "[^",
        "(",
        ")",
        "a{99999}",
        "\\(",
        "*)",
        f"w {TRIPWIRE}",
    ),
    # make's own expansions, recipes and variables.
    *(f"$(shell {TOUCH})", f"${{shell {TOUCH}}}", f"$$({TOUCH})", f"$(eval $(shell {TOUCH}))", f"!={TOUCH}"),
    *(
        f"a:;{TOUCH}",
        f"\n\t{TOUCH}\n",
        f"SHELL=/bin/sh -c '{TOUCH}'",
        f"$(file >{TRIPWIRE})",
        f"-include {TRIPWIRE}",
    ),
    # Control characters, escapes that take a quote along when they are removed, other lines and directions.
    *(
        "\0",
        f"\0{TOUCH}",
        "\x1b[31m",
        "\x1b[",
        f"\x1b['{TOUCH}",
        f"\x1b]0;'\x07{TOUCH}",
        "\x07",
        "\x08",
        "\x7f",
    ),
    *(
        f"\x0b{TOUCH}",
        f"\x0c{TOUCH}",
        f"\x1c{TOUCH}",
        f"\x85{TOUCH}",
        f"\u2028{TOUCH}",
        f"\u2029{TOUCH}",
        "\u202e",
    ),
    *(
        "\ud800",
        "\udcff",
        "\ufeff",
        "\ufffd",
        "é",
        "‘x’",
        "’; touch tripwire; ‘",
        "\u00a0",
        "𝕏",
        "\t",
        " ",
        "  x  ",
    ),
    # Paths.
    *(
        "../../../../tripwire",
        "/etc/passwd",
        "a b",
        "a;b",
        f"a/$({TOUCH})/b.o",
        "-rf",
        "//",
        ".",
        "..",
        "a:b",
        "@",
    ),
    # Much of it.
    *("'" * 300, '"' * 300, "\\" * 300, "$(" * 100, f"; {TOUCH} " * 60, "x" * 6000, "9" * 400, "é" * 700),
)

_SPECIAL = "'\"\\`$(){}[]<>|&;#!~*?%=^-+:,./@\n\r\t \0\x1b\x07abctouch tripwire"


def hostile_texts() -> st.SearchStrategy[str]:
    """Nasty words, what is made of several, and other text of the characters that they have."""
    word = st.sampled_from(NASTY_WORDS)
    return st.one_of(
        word,
        st.lists(st.one_of(word, st.text(_SPECIAL, max_size=8)), min_size=1, max_size=4).map("".join),
        st.text(_SPECIAL, max_size=40),
        st.text(max_size=20),
    )


def collect_examples(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """So many examples, the same at every run: for what is tried in bulk."""
    examples: list[T] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(example: T) -> None:
        examples.append(example)

    keep()
    return examples[:count]
