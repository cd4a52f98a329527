"""Kconfig's expressions: what ``A && B || !C``, ``A=m`` or ``NR_CPUS >= 4`` are in a configuration. Pure.

Logic has three values, n < m < y: ``&&`` is the lesser, ``||`` the greater, ``!`` turns y to n and back and
leaves m. A comparison is y or n.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from matrix.errors import RequestError
from matrix.kconfig.config import Config, unquote_value

_RANKS = "nmy"
_NO, _YES = 0, 2
_OPERATOR = re.compile(r"&&|\|\||!=|<=|>=|[=<>!()]")
_WORD = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(r"\"(?:[^\"\\]++|\\.)*+\"|'(?:[^'\\]++|\\.)*+'")
_SPACE = re.compile(r"\s*")
_INTEGER = re.compile(r"-?[0-9]+|0[xX][0-9A-Fa-f]+")
_INTEGER_RANGE = range(-(2**63), 2**63)
_MAX_INTEGER_LENGTH = 32
_MAX_LENGTH = 4096
"""Characters of an expression; Linux has none above 300."""
_MAX_DEPTH = 50
"""Parentheses in one another."""
_MAX_SHOWN = 200
_COMPARISONS: dict[str, Callable[[int], bool]] = {
    "=": lambda order: order == 0,
    "!=": lambda order: order != 0,
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def rank_tristate(value: str) -> int:
    """Where a value stands in n < m < y, from 0 to 2; any other value is no more than n."""
    return _RANKS.index(value) if value in {"n", "m", "y"} else _NO


class _Token(NamedTuple):
    """``kind`` is an operator itself, or ``word``, ``string``, ``macro``, ``end``."""

    kind: str
    start: int
    end: int
    text: str


def evaluate_expression(expr: str, config: Config) -> str:
    """What an expression is in a configuration: ``n``, ``m`` or ``y``.

    A symbol that the configuration lacks is n, 0 in a comparison with a number and "" in one with a string.
    The constant m that stands alone, as in ``depends on m``, is n where MODULES is n, as conf has it.
    A macro, ``$(...)``, needs a shell and a compiler: what it gives is unknown here and taken for y, and
    so is a comparison with one; `list_macros` lists them. RequestError where the
    expression cannot be read, is too long, or has too many parentheses in one another.
    """
    reader = _Evaluator(expr, config)
    rank = reader.evaluate_or()
    reader.expect_token("end")
    return _RANKS[rank]


def list_macros(expr: str) -> tuple[str, ...]:
    """The operands of an expression that only conf can expand; `evaluate_expression` takes them for y."""
    return tuple(token.text for token in _tokenize_expression(expr) if token.kind == "macro")


def list_named_symbols(expr: str) -> tuple[str, ...]:
    """The symbols of an expression, in order. RequestError as `evaluate_expression` has it."""
    words = (token.text for token in _tokenize_expression(expr) if token.kind == "word")
    return tuple(word for word in words if not _is_constant(word))


def split_conjuncts(expr: str) -> tuple[str, ...]:
    """The parts that must all hold: ``A && (B || C) && (D && E)`` gives ``A``, ``B || C``, ``D`` and ``E``.

    An expression whose outermost operator is not ``&&`` is its own only conjunct.
    """
    expr = _strip_outer_parentheses(expr.strip())
    if _find_outer_operators(expr, "||"):
        return (expr,)
    cuts = _find_outer_operators(expr, "&&")
    if not cuts:
        return (expr,)
    starts, ends = [0, *(token.end for token in cuts)], [*(token.start for token in cuts), len(expr)]
    return tuple(
        part for start, end in zip(starts, ends, strict=True) for part in split_conjuncts(expr[start:end])
    )


def _strip_outer_parentheses(expr: str) -> str:
    """Without parentheses around the whole: ``((A))`` is ``A``, ``(A) && (B)`` stays."""
    tokens = _tokenize_expression(expr)
    depth = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0:
            around = token.kind == ")" and token.end == len(expr)
            return _strip_outer_parentheses(expr[1:-1].strip()) if around else expr
    return expr


def _find_outer_operators(expr: str, operator: str) -> list[_Token]:
    """Where an operator stands outside all parentheses."""
    operators, depth = [], 0
    for token in _tokenize_expression(expr):
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        if depth == 0 and token.kind == operator:
            operators.append(token)
    return operators


@lru_cache(maxsize=1024)
def _tokenize_expression(expr: str) -> tuple[_Token, ...]:
    if len(expr) > _MAX_LENGTH:
        raise _build_bound_error(expr, f"has more than {_MAX_LENGTH} characters")
    tokens: list[_Token] = []
    at, depth = _skip_space(expr, 0), 0
    while at < len(expr):
        token = _read_token(expr, at)
        tokens.append(token)
        at = _skip_space(expr, token.end)
        depth += {"(": 1, ")": -1}.get(token.kind, 0)
        # They are evaluated by recursion.
        if depth > _MAX_DEPTH:
            raise _build_bound_error(expr, f"has more than {_MAX_DEPTH} parentheses in one another")
    return (*tokens, _Token("end", at, at, ""))


def _skip_space(expr: str, at: int) -> int:
    match = _SPACE.match(expr, at)
    return match.end() if match else at


def _read_token(expr: str, at: int) -> _Token:
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
        end = word.end() if word else find_macro_end(expr, end)
    if end == at:
        raise _build_syntax_error(expr, at)
    text = expr[at:end]
    return _Token("macro" if "$(" in text else "word", at, end, text)


def find_macro_end(text: str, at: int) -> int:
    """Where the ``$(...)`` that starts at ``at`` ends, inner ones counted; an open one ends with the text."""
    depth = 0
    for index in range(at + 1, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index + 1
    return len(text)


def _build_bound_error(expr: str, problem: str) -> RequestError:
    return RequestError(f"the Kconfig expression '{_shorten(expr)}' {problem}", "write a shorter one")


def _shorten(expr: str) -> str:
    return expr if len(expr) <= _MAX_SHOWN else f"{expr[:_MAX_SHOWN]}…"


def _build_syntax_error(expr: str, at: int) -> RequestError:
    return RequestError(
        f"the Kconfig expression '{_shorten(expr)}' cannot be read at '{_shorten(expr[at:]) or 'its end'}'",
        "write symbols and constants with && || ! = != < <= > >= and parentheses",
    )


class _Evaluator:
    """Reads an expression and evaluates it on the way: ``||`` binds least, then ``&&``, then ``!``."""

    def __init__(self, expr: str, config: Config) -> None:
        self._expr = expr
        self._config = config
        self._remaining_tokens = list(reversed(_tokenize_expression(expr)))

    def expect_token(self, *kinds: str) -> _Token:
        """The next token, which must be of one of these kinds."""
        token = self._remaining_tokens[-1]
        if token.kind not in kinds:
            raise _build_syntax_error(self._expr, token.start)
        return token if token.kind == "end" else self._remaining_tokens.pop()

    def _accept_token(self, kind: str) -> bool:
        if self._remaining_tokens[-1].kind != kind:
            return False
        self._remaining_tokens.pop()
        return True

    def evaluate_or(self) -> int:
        rank = self._evaluate_and()
        while self._accept_token("||"):
            rank = max(rank, self._evaluate_and())
        return rank

    def _evaluate_and(self) -> int:
        rank = self._evaluate_unary()
        while self._accept_token("&&"):
            rank = min(rank, self._evaluate_unary())
        return rank

    def _evaluate_unary(self) -> int:
        negations = 0
        while self._accept_token("!"):
            negations += 1
        rank = self._evaluate_operation()
        return _YES - rank if negations % 2 else rank

    def _evaluate_operation(self) -> int:
        if self._accept_token("("):
            rank = self.evaluate_or()
            self.expect_token(")")
            return rank
        left = self.expect_token("word", "string", "macro")
        if self._remaining_tokens[-1].kind in _COMPARISONS:
            return self._evaluate_comparison(
                left, self._remaining_tokens.pop().kind, self.expect_token("word", "string", "macro")
            )
        return _YES if left.kind == "macro" else self._evaluate_operand(left)

    def _evaluate_operand(self, operand: _Token) -> int:
        rank = rank_tristate(self._read_operand(operand))
        module = operand.text.strip("\"'") == "m"
        return min(rank, rank_tristate(self._config.value_of("MODULES"))) if module else rank

    def _evaluate_comparison(self, left: _Token, operator: str, right: _Token) -> int:
        if "macro" in {left.kind, right.kind}:
            return _YES
        order = _compare_texts(*self._read_compared_texts(left, right))
        return _YES if _COMPARISONS[operator](order) else _NO

    def _read_compared_texts(self, left: _Token, right: _Token) -> tuple[str, str]:
        """Both sides without quotes; an absent symbol beside a string is the empty one."""
        texts = unquote_value(self._read_operand(left)), unquote_value(self._read_operand(right))
        strings = any(text not in {"y", "m", "n"} and _parse_number(text) is None for text in texts)
        if not strings:
            return texts
        return "" if self._is_absent(left) else texts[0], "" if self._is_absent(right) else texts[1]

    def _is_absent(self, token: _Token) -> bool:
        return token.kind == "word" and not _is_constant(token.text) and token.text not in self._config

    def _read_operand(self, token: _Token) -> str:
        if token.kind == "string":
            return re.sub(r"\\(.)", r"\1", token.text[1:-1])
        return token.text if _is_constant(token.text) else self._config.value_of(token.text)


def _is_constant(word: str) -> bool:
    return word in {"y", "m", "n"} or _INTEGER.fullmatch(word) is not None


def _compare_texts(left: str, right: str) -> int:
    """Negative, 0 or positive, as conf compares: as numbers where both can be, n, m, y being 0, 1, 2."""
    numbers = _parse_number(left), _parse_number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] - numbers[1]
    return (left > right) - (left < right)


def _parse_number(text: str) -> int | None:
    if text in {"n", "m", "y"}:
        return rank_tristate(text)
    if len(text) > _MAX_INTEGER_LENGTH or not _INTEGER.fullmatch(text):
        return None
    number = int(text, 16 if text[:2].lower() == "0x" else 10)
    # conf reads 64 bits, and compares what is more as text.
    return number if number in _INTEGER_RANGE else None
