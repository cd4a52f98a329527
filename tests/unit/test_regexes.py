"""No regular expression of the code takes more than linear time: while it matches, Ctrl-C waits."""

import re

import pytest

from tests.regexes import UsedPattern, collect_patterns, find_slow_text

PATTERNS = {used.name: used for used in collect_patterns()}

BAD = [
    (r"(a+)+$", "match"),
    (r"(?:a|a)*b", "match"),
    (r"(?:\w+\s?)+:", "match"),
    (r"[^/]+[^/]+[^/]+[^/]+X", "fullmatch"),
    (r"\s+$", "search"),
    (r"‘[^’]*’", "sub"),
    (r"# \S+?/(\S+) (\S+) Configuration$", "search"),
    (r".*,.*,.*;", "match"),
    (r"/src/([^\s:]+\.[ch])(?!\w)", "findall"),
    (r"([^\n]+?)/\n", "findall"),
    (r"(?:([^\s:]+\.a(?:\([^)]*\))?):)?(.+)x", "match"),
    (r'"(?:[^"\\]|\\.)*" if', "search"),
    (r"^\s*$|^(\s*\w+\s*)*;", "match"),
    (r"<!--.*?-->", "sub"),
    (r"(?=.*a)(?=.*b).*c", "search"),
]


@pytest.mark.parametrize(("text", "method"), BAD)
def test_a_pattern_that_takes_more_is_found(text: str, method: str) -> None:
    slow = find_slow_text(UsedPattern("bad", re.compile(text), {method}))
    assert slow is not None


GOOD = [
    (r"(?>a+)+$", "match"),
    (r"a++b", "fullmatch"),
    (r"(?:\([A-Z]++\))+", "search"),
    (r"‘[^‘’]*’", "sub"),
    (r"[^\s/]++/(\S++) (\S++)", "match"),
    (r"'(?:[^'\\]++|\\.)*+'", "match"),
]


@pytest.mark.parametrize(("text", "method"), GOOD)
def test_a_linear_pattern_is_not_called_slow(text: str, method: str) -> None:
    assert find_slow_text(UsedPattern("good", re.compile(text), {method})) is None


def test_all_patterns_are_collected_with_their_methods() -> None:
    by_text = {used.pattern.pattern: used.methods for used in PATTERNS.values()}
    assert by_text[r"\n{3,}"] == {"sub"}  # inside a call of re.sub
    assert by_text[rb"[^\0]"] == {"finditer"}  # bytes
    assert by_text[r"[A-Za-z0-9_]+"] == {"fullmatch"}  # a constant of its module
    assert by_text[r"skipping incompatible "] == {"match"}  # a row of a table
    assert any("(?<![\\w-])x(" in str(text) for text in by_text)  # put together while it runs
    assert len(PATTERNS) > 130


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_takes_linear_time(name: str) -> None:
    slow = find_slow_text(PATTERNS[name])
    assert slow is None, f"{PATTERNS[name].pattern.pattern!r} takes more than linear time: {slow}"
