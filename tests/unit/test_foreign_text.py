"""Foreign text made fit to be shown."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.foreign_text import clean_text


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\x1b[1;31merror\x1b[0m", "error"),
        ("\x1b]8;;https://example.org\x07flag\x1b]8;;\x07", "flag"),
        ("a\x00b\x08c\rd", "a\ufffdb\ufffdc\ufffdd"),
        ("a\nb\r\nc", "a b c"),
        ("tab\tstays", "tab\tstays"),
        ("\u202eright\u200b", "\ufffdright\ufffd"),
        ("\udcff", "\ufffd"),
        ("x" * 10_000, "x" * 499 + "…"),
        ("x" * 500, "x" * 500),
    ],
)
def test_foreign_text_becomes_one_harmless_line(raw: str, cleaned: str) -> None:
    assert clean_text(raw) == cleaned


def test_no_character_of_unicode_is_left_that_is_obeyed_or_not_seen() -> None:
    """Whatever the table of this Python has among controls, format characters, separators and surrogates."""
    for number in range(sys.maxunicode + 1):
        char = chr(number)
        if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and char not in "\t\n":
            assert clean_text(f"a{char}b") == "a\ufffdb", hex(number)


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_whatever_comes_in_can_be_written_and_stays_short(raw: str) -> None:
    line = clean_text(raw, 40)
    line.encode()
    assert len(line) <= 40
    assert not any(char < " " and char != "\t" for char in line)
