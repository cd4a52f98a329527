# SPDX-License-Identifier: MIT
"""Expressions of the Kconfig language: ``! && || = !=``, parentheses, symbols and constants."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A symbol's name, or a constant: n, m, y, or anything quoted."""

    text: str
    constant: bool = False


@dataclass(frozen=True)
class Op:
    """``!`` with one argument; ``&&``, ``||``, ``=``, ``!=`` with two."""

    sign: str
    args: "tuple[Expr, ...]"


Expr = Term | Op
YES = Term("y", constant=True)


def both(left: Expr, right: Expr) -> Expr:
    """``left && right``, without what is always true."""
    if YES in (left, right):
        return right if left == YES else left
    return Op("&&", (left, right))


_TOKEN = re.compile(r'\s*(&&|\|\||!=|[!=()]|"[^"]*"|[\w.-]+)')


class _Expression:
    """A recursive descent over one expression's tokens."""

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while text[at:].strip():
            token = _TOKEN.match(text, at)
            if token is None:
                raise ValueError("invalid expression")
            self.tokens.append(token[1])
            at = token.end()

    def take(self, *wanted: str) -> str | None:
        if self.tokens and (not wanted or self.tokens[0] in wanted):
            return self.tokens.pop(0)
        return None

    def any_of(self) -> Expr:
        left = self.all_of()
        while self.take("||"):
            left = Op("||", (left, self.all_of()))
        return left

    def all_of(self) -> Expr:
        left = self.one()
        while self.take("&&"):
            left = Op("&&", (left, self.one()))
        return left

    def one(self) -> Expr:
        if self.take("!"):
            return Op("!", (self.one(),))
        if self.take("("):
            inner = self.any_of()
            if not self.take(")"):
                raise ValueError("missing )")
            return inner
        left = self.term()
        sign = self.take("=", "!=")
        return Op(sign, (left, self.term())) if sign else left

    def term(self) -> Term:
        token = self.take()
        if token is None or not (token[0] == '"' or re.fullmatch(r"[\w.-]+", token)):
            raise ValueError("missing a symbol")
        if token[0] == '"':
            return Term(token[1:-1], constant=True)
        return Term(token, constant=token in ("n", "m", "y") or bool(re.fullmatch(r"-?\d+|0x\w+", token)))


def expression(text: str) -> Expr:
    """Parse one expression; ValueError when it is none."""
    parser = _Expression(text)
    result = parser.any_of()
    if parser.tokens:
        raise ValueError(f"unexpected {parser.tokens[0]}")
    return result


def split_if(text: str) -> tuple[str, str]:
    """``VALUE if CONDITION`` → its two halves; an ``if`` inside quotes is text."""
    parts = re.match(r'((?:[^"]|"[^"]*")*?)(?:\bif\b(.*))?$', text)
    return (parts[1].strip(), (parts[2] or "y").strip()) if parts else (text, "y")
