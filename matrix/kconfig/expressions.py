"""Kconfig's expressions: what ``A && B || !C``, ``A=m`` or ``NR_CPUS >= 4`` are in a configuration. Pure.

Logic has three values, n < m < y: ``&&`` is the lesser, ``||`` the greater, ``!`` turns y to n and back and
leaves m. A comparison is y or n.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.kconfig.config import Config, unquoted

_RANKS = "nmy"
_NO, _YES = 0, 2
_OPERATOR = re.compile(r"&&|\|\||!=|<=|>=|[=<>!()]")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_SPACE = re.compile(r"\s*")
_INTEGER = re.compile(r"-?[0-9]+|0[xX][0-9A-Fa-f]+")
_COMPARE: dict[str, Callable[[int], bool]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def strength(value: str) -> int:
    """Where a value stands in n < m < y, from 0 to 2; any other value is no more than n."""
    return _RANKS.index(value) if value in {"n", "m", "y"} else _NO


class _Token(NamedTuple):
    """``kind`` is an operator itself, or ``word``, ``string``, ``macro``, ``end``."""

    kind: str
    start: int
    end: int
    text: str


def evaluate(expr: str, config: Config) -> str:
    """What an expression is in a configuration: ``n``, ``m`` or ``y``.

    A symbol that the configuration lacks is n, 0 in a comparison with a number and "" in one with a string.
    The constant m that stands alone, as in ``depends on m``, is n where MODULES is n, as conf has it.
    A macro, ``$(...)``, needs a shell and a compiler: what it gives is unknown here and taken for y, and
    so is a comparison with one; ``macros(expr)`` tells whether that happened. RequestError where the
    expression cannot be read.
    """
    reader = _Reader(expr, config)
    rank = reader.either()
    reader.expect("end")
    return _RANKS[rank]


def macros(expr: str) -> tuple[str, ...]:
    """The operands of an expression that only conf can expand; in these ``evaluate`` has to guess."""
    return tuple(token.text for token in _tokens(expr) if token.kind == "macro")


def conjuncts(expr: str) -> tuple[str, ...]:
    """What must all hold: ``A && (B || C) && (D && E)`` gives ``A``, ``B || C``, ``D`` and ``E``.

    An expression whose outermost operator is not ``&&`` is its own only conjunct.
    """
    expr = _bare(expr.strip())
    if _cuts(expr, "||"):
        return (expr,)
    cuts = _cuts(expr, "&&")
    if not cuts:
        return (expr,)
    starts, ends = [0, *(token.end for token in cuts)], [*(token.start for token in cuts), len(expr)]
    return tuple(part for start, end in zip(starts, ends, strict=True) for part in conjuncts(expr[start:end]))


def _bare(expr: str) -> str:
    """Without parentheses around the whole: ``((A))`` is ``A``, ``(A) && (B)`` stays."""
    tokens = _tokens(expr)
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0:
            around = token.kind == ")" and token.end == len(expr)
            return _bare(expr[1:-1].strip()) if around else expr
    return expr


def _cuts(expr: str, operator: str) -> list[_Token]:
    """Where an operator stands outside all parentheses."""
    found, depth = [], 0
    for token in _tokens(expr):
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0 and token.kind == operator:
            found.append(token)
    return found


@lru_cache(maxsize=4096)
def _tokens(expr: str) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    at = _space(expr, 0)
    while at < len(expr):
        token = _token(expr, at)
        tokens.append(token)
        at = _space(expr, token.end)
    return (*tokens, _Token("end", at, at, ""))


def _space(expr: str, at: int) -> int:
    match = _SPACE.match(expr, at)
    return match.end() if match else at


def _token(expr: str, at: int) -> _Token:
    if match := _OPERATOR.match(expr, at):
        return _Token(match[0], at, match.end(), match[0])
    if match := _STRING.match(expr, at):
        kind = "macro" if "$(" in match[0] else "string"
        return _Token(kind, at, match.end(), match[0])
    end = at
    while end < len(expr):
        word = _WORD.match(expr, end)
        if word is None and not expr.startswith("$(", end):
            break
        end = word.end() if word else macro_end(expr, end)
    if end == at:
        raise _unreadable(expr, at)
    text = expr[at:end]
    return _Token("macro" if "$(" in text else "word", at, end, text)


def macro_end(text: str, at: int) -> int:
    """Where the ``$(...)`` that starts at ``at`` ends, inner parentheses counted; an open one never does."""
    depth = 0
    for index in range(at + 1, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    return len(text)


def _unreadable(expr: str, at: int) -> RequestError:
    return RequestError(
        f"the Kconfig expression '{expr}' cannot be read at '{expr[at:] or 'its end'}'",
        "write symbols and constants with && || ! = != < <= > >= and parentheses",
    )


class _Reader:
    """Reads an expression and evaluates it on the way: ``||`` binds least, then ``&&``, then ``!``."""

    def __init__(self, expr: str, config: Config) -> None:
        self._expr = expr
        self._config = config
        self._left = list(reversed(_tokens(expr)))

    def expect(self, *kinds: str) -> _Token:
        """The next token, which must be of one of these kinds."""
        token = self._left[-1]
        if token.kind not in kinds:
            raise _unreadable(self._expr, token.start)
        return token if token.kind == "end" else self._left.pop()

    def _next_is(self, kind: str) -> bool:
        if self._left[-1].kind != kind:
            return False
        self._left.pop()
        return True

    def either(self) -> int:
        rank = self._both()
        while self._next_is("||"):
            rank = max(rank, self._both())
        return rank

    def _both(self) -> int:
        rank = self._single()
        while self._next_is("&&"):
            rank = min(rank, self._single())
        return rank

    def _single(self) -> int:
        if self._next_is("!"):
            return _YES - self._single()
        if self._next_is("("):
            rank = self.either()
            self.expect(")")
            return rank
        left = self.expect("word", "string", "macro")
        if self._left[-1].kind in _COMPARE:
            return self._compared(left, self._left.pop().kind, self.expect("word", "string", "macro"))
        return _YES if left.kind == "macro" else self._alone(left)

    def _alone(self, operand: _Token) -> int:
        rank = strength(self._value(operand))
        module = operand.text.strip("\"'") == "m"
        return min(rank, strength(self._config.value("MODULES"))) if module else rank

    def _compared(self, left: _Token, operator: str, right: _Token) -> int:
        if "macro" in {left.kind, right.kind}:
            return _YES
        order = _order(*self._texts(left, right))
        return _YES if _COMPARE[operator](order) else _NO

    def _texts(self, left: _Token, right: _Token) -> tuple[str, str]:
        """Both sides without quotes; an absent symbol beside a string is the empty one."""
        texts = unquoted(self._value(left)), unquoted(self._value(right))
        strings = any(text not in {"y", "m", "n"} and _number(text) is None for text in texts)
        if not strings:
            return texts
        return "" if self._absent(left) else texts[0], "" if self._absent(right) else texts[1]

    def _absent(self, token: _Token) -> bool:
        return token.kind == "word" and not _constant(token.text) and token.text not in self._config

    def _value(self, token: _Token) -> str:
        if token.kind == "string":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        return token.text if _constant(token.text) else self._config.value(token.text)


def _constant(word: str) -> bool:
    return word in {"y", "m", "n"} or _INTEGER.fullmatch(word) is not None


def _order(left: str, right: str) -> int:
    """Negative, 0 or positive, as conf compares: as numbers where both can be, n, m, y being 0, 1, 2."""
    numbers = _number(left), _number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] - numbers[1]
    return (left > right) - (left < right)


def _number(text: str) -> int | None:
    if text in {"n", "m", "y"}:
        return strength(text)
    if not _INTEGER.fullmatch(text):
        return None
    return int(text, 16 if text[:2].lower() == "0x" else 10)
