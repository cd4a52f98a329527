# SPDX-License-Identifier: MIT
"""What each symbol becomes: the user's wishes, bounded by dependencies from above and selects from below."""

import re
from collections.abc import Mapping
from enum import IntEnum
from itertools import pairwise

from .expressions import YES, Expr, Op, Term
from .language import Entry, Kconfig, KconfigError, Symbol


class Tri(IntEnum):
    N = 0
    M = 1
    Y = 2

    def __str__(self) -> str:
        return "nmy"[self]

    @classmethod
    def of(cls, text: str) -> "Tri":
        return {"m": cls.M, "y": cls.Y}.get(text, cls.N)


_TEXT = {"int": re.compile(r"-?\d+"), "hex": re.compile(r"(0x)?[0-9a-fA-F]+"), "string": re.compile(r".*")}


def allowed(symbol: Symbol, value: str) -> bool:
    """Whether a symbol of this kind can be given this value at all."""
    if symbol.kind in _TEXT:
        return _TEXT[symbol.kind].fullmatch(value) is not None
    return value in (("n", "y") if symbol.kind == "bool" else ("n", "m", "y"))


def shown(expr: Expr, values: "Values") -> str:
    """An expression with each symbol's value behind it: ``WIDGET [=n] && !COG [=y]``."""
    if isinstance(expr, Term):
        return expr.text if expr.constant else f"{expr.text} [={values.text(expr.text)}]"
    parts = [shown(arg, values) for arg in expr.args]
    if expr.sign == "!":
        return f"!{parts[0]}" if isinstance(expr.args[0], Term) else f"!({parts[0]})"
    if expr.sign == "&&":
        args = zip(expr.args, parts, strict=True)
        parts = [f"({part})" if isinstance(arg, Op) and arg.sign == "||" else part for arg, part in args]
    return f" {expr.sign} ".join(parts)


class Values:
    """Every symbol's value under some wishes (name → text). Worked out when asked for, then kept."""

    def __init__(self, kconfig: Kconfig, wishes: Mapping[str, str]) -> None:
        self.kconfig = kconfig
        self.wishes = wishes
        self.selectors: dict[str, list[tuple[Symbol, Entry, Expr]]] = {}
        for symbol in kconfig.symbols.values():
            for entry in symbol.entries:
                for name, condition in entry.selects:
                    self.selectors.setdefault(name, []).append((symbol, entry, condition))
        self._tri: dict[str, Tri] = {}
        self._asking: list[str] = []

    def tri(self, name: str) -> Tri:
        """The value of a bool or tristate; n for what is neither or does not exist."""
        symbol = self.kconfig.symbols.get(name)
        if symbol is None or symbol.kind in _TEXT:
            return Tri.N
        if name not in self._tri:
            if name in self._asking:
                ring = [*self._asking[self._asking.index(name) :], name]
                steps = (f"\n\tsymbol {a} depends on {b}" for a, b in pairwise(ring))
                raise KconfigError("error: recursive dependency detected!" + "".join(steps))
            self._asking.append(name)
            self._tri[name] = self._calculate(symbol)
            self._asking.pop()
        return self._tri[name]

    def text(self, name: str) -> str:
        """The value as a .config has it, without quotes; a name that is no symbol stands for itself."""
        symbol = self.kconfig.symbols.get(name)
        if symbol is None:
            return name
        if symbol.kind not in _TEXT:
            return str(self.tri(name))
        if name in self.wishes and self.visible(symbol):
            return self.wishes[name]
        found = self._default(symbol)
        return "" if found is None else self._text_of(found[0])

    def _text_of(self, expr: Expr) -> str:
        if not isinstance(expr, Term):
            return str(self.eval(expr))
        return expr.text if expr.constant else self.text(expr.text)

    def eval(self, expr: Expr) -> Tri:
        if isinstance(expr, Term):
            return Tri.of(expr.text) if expr.constant else self.tri(expr.text)
        if expr.sign in ("=", "!="):
            equal = self._text_of(expr.args[0]) == self._text_of(expr.args[1])
            return Tri.Y if equal == (expr.sign == "=") else Tri.N
        parts = [self.eval(arg) for arg in expr.args]
        if expr.sign == "!":
            return Tri(2 - parts[0])
        return min(parts) if expr.sign == "&&" else max(parts)

    def _promoted(self, symbol: Symbol, value: Tri) -> Tri:
        """A bool has no m, and without modules neither has a tristate: m becomes y."""
        is_bool = symbol.kind == "bool" or self.tri(self.kconfig.modules) is Tri.N
        return Tri.Y if value is Tri.M and is_bool else value

    def visible(self, symbol: Symbol) -> Tri:
        """How far the user may go: the best of the prompts' conditions."""
        prompts = (
            min(self.eval(entry.prompt), self.eval(entry.depends))
            for entry in symbol.entries
            if entry.prompt is not None
        )
        return self._promoted(symbol, max(prompts, default=Tri.N))

    def _default(self, symbol: Symbol) -> tuple[Expr, Tri] | None:
        for entry in symbol.entries:
            for value, condition in entry.defaults:
                bound = min(self.eval(condition), self.eval(entry.depends))
                if bound:
                    return value, bound
        return None

    def selected(self, symbol: Symbol) -> Tri:
        """The lower bound that selects set."""
        selectors = self.selectors.get(symbol.name, [])
        pulls = (min(self.tri(s.name), self.eval(e.depends), self.eval(c)) for s, e, c in selectors)
        return max(pulls, default=Tri.N)

    def depends(self, symbol: Symbol) -> Tri:
        return max((self.eval(entry.depends) for entry in symbol.entries), default=Tri.N)

    def _calculate(self, symbol: Symbol) -> Tri:
        visible, value = self.visible(symbol), Tri.N
        if visible and symbol.name in self.wishes:
            value = min(Tri.of(self.wishes[symbol.name]), visible)
        elif (found := self._default(symbol)) is not None:
            value = min(self.eval(found[0]), found[1])
        return self._promoted(symbol, max(value, self.selected(symbol)))

    def written(self, symbol: Symbol) -> bool:
        """Whether a .config has a line for it."""
        if symbol.kind in _TEXT:
            return bool(self.visible(symbol)) or self._default(symbol) is not None
        return bool(self.tri(symbol.name)) or bool(self.visible(symbol))

    def unmet(self) -> list[str]:
        """One warning for each symbol that a select forces over its own dependencies."""
        symbols = self.kconfig.symbols.values()
        return [self._unmet(s) for s in symbols if s.name in self.selectors and self._forced(s)]

    def _forced(self, symbol: Symbol) -> bool:
        pull, bound = self.selected(symbol), self.depends(symbol)
        return pull > bound and self._promoted(symbol, pull) > self._promoted(symbol, bound)

    def _unmet(self, symbol: Symbol) -> str:
        lines = [
            f"\nWARNING: unmet direct dependencies detected for {symbol.name}",
            f"  Depends on [{self.depends(symbol)}]: "
            + " || ".join(shown(entry.depends, self) for entry in symbol.entries),
        ]
        for strength in (Tri.Y, Tri.M):
            by = [s for s in self.selectors[symbol.name] if self._pull(s) is strength]
            if by:
                lines.append(f"  Selected by [{strength}]:")
                lines += [f"  - {self._shown_selector(*selector)}" for selector in by]
        return "\n".join(lines)

    def _pull(self, selector: tuple[Symbol, Entry, Expr]) -> Tri:
        symbol, entry, condition = selector
        return min(self.tri(symbol.name), self.eval(entry.depends), self.eval(condition))

    def _shown_selector(self, symbol: Symbol, entry: Entry, condition: Expr) -> str:
        parts: list[Expr] = [Term(symbol.name)]
        parts += [e for e in (entry.depends, condition) if e != YES]
        return shown(Op("&&", tuple(parts)), self)
