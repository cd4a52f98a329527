# SPDX-License-Identifier: MIT
"""The Kconfig language, as far as the miniature tree speaks it: text in, symbols out.

Understood: config, menuconfig, bool, tristate, string, int, hex, def_bool, def_tristate, prompt, default,
depends on, select, help, modules, if, menu, comment, source, mainmenu; expressions with ``! && || = !=``
and parentheses; ``$(VARIABLE)``, ``$(shell,COMMAND)`` and ``$(success,COMMAND)``.
"""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from .expressions import YES, Expr, Op, Term, both, expression, split_if


class KconfigError(Exception):
    """What is wrong with the Kconfig files, one ``file:line: message`` a line."""


@dataclass
class Entry:
    """One ``config`` entry. ``around`` is what the enclosing ifs and menus demand."""

    around: Expr
    own: Expr = YES
    prompt: Expr | None = None
    defaults: list[tuple[Expr, Expr]] = field(default_factory=list)
    selects: list[tuple[str, Expr]] = field(default_factory=list)

    @property
    def depends(self) -> Expr:
        return both(self.around, self.own)


@dataclass
class Symbol:
    """A symbol and all its entries; ``kind`` is bool, tristate, string, int, hex or, not yet known, empty."""

    name: str
    kind: str = ""
    entries: list[Entry] = field(default_factory=list)


@dataclass
class Kconfig:
    """A whole configuration language: the symbols in their order, the files read, the MODULES symbol."""

    symbols: dict[str, Symbol] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    modules: str = ""


def expand(text: str) -> str:
    """Replace ``$(…)`` from the inside out: a variable of the environment, or a command's outcome."""
    while (macro := re.search(r"\$\(([^()$]*)\)", text)) is not None:
        text = text[: macro.start()] + _macro(macro[1]) + text[macro.end() :]
    return text


def _macro(inside: str) -> str:
    name, comma, argument = inside.partition(",")
    if not comma:
        return os.environ.get(name, "")
    done = subprocess.run(argument, shell=True, capture_output=True, text=True, check=False)
    if name == "success":
        return "n" if done.returncode else "y"
    return done.stdout.strip().replace("\n", " ")


def parse(root: Path, top: str = "Kconfig") -> Kconfig:
    """Read ``top`` and all that it sources, relative to ``root``. Raises KconfigError."""
    reader = _Reader(root)
    reader.file(top)
    reader.close(top)
    if reader.errors:
        raise KconfigError("\n".join(reader.errors))
    return reader.result


class _Reader:
    """Line by line; each keyword has its method. A wrong line is noted, and the reading goes on."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.result = Kconfig()
        self.errors: list[str] = []
        self.entry: Entry | None = None
        self.symbol: Symbol | None = None
        self.open: list[tuple[str, Expr]] = []

    def file(self, name: str) -> None:
        self.result.files.append(name)
        lines = (self.root / name).read_text().replace("\\\n", " ").splitlines()
        help_indent: int | None = None
        for number, raw in enumerate(lines, 1):
            indent = len(raw) - len(raw.lstrip())
            if help_indent is not None and (not raw.strip() or indent >= max(help_indent, 1)):
                help_indent = help_indent or indent
                continue
            help_indent = 0 if raw.strip() == "help" else None
            if help_indent is None and raw.strip() and not raw.lstrip().startswith("#"):
                self.line(f"{name}:{number}", raw.strip())

    def line(self, place: str, text: str) -> None:
        word, _, rest = text.partition(" ") if " " in text else text.partition("\t")
        method = getattr(self, f"on_{word}", None)
        if method is None:
            self.errors += [f"{place}: syntax error", f'{place}: unknown statement "{word}"']
            return
        try:
            method(expand(rest.strip()), place)
        except ValueError:
            self.errors += [f"{place}: syntax error", f"{place}: invalid statement"]

    def close(self, top: str) -> None:
        if self.open:
            self.errors.append(f"{top}: missing end statement for this {self.open[-1][0]}")

    def condition(self, text: str) -> Expr:
        """An expression that says when: in one, m also needs modules to be there at all."""
        return self._m_needs_modules(expression(text))

    def _m_needs_modules(self, expr: Expr) -> Expr:
        if isinstance(expr, Op) and expr.sign in ("!", "&&", "||"):
            return Op(expr.sign, tuple(self._m_needs_modules(arg) for arg in expr.args))
        if expr == Term("m", constant=True):
            return both(expr, Term(self.result.modules or "MODULES"))
        return expr

    def here(self) -> Expr:
        return self.open[-1][1] if self.open else YES

    def current(self) -> tuple[Symbol, Entry]:
        if self.symbol is None or self.entry is None:
            raise ValueError("outside of any config")
        return self.symbol, self.entry

    def on_config(self, rest: str, place: str) -> None:
        if not re.fullmatch(r"\w+", rest):
            raise ValueError(place)
        self.symbol = self.result.symbols.setdefault(rest, Symbol(rest))
        self.entry = Entry(self.here())
        self.symbol.entries.append(self.entry)

    on_menuconfig = on_config

    def typed(self, kind: str, rest: str) -> None:
        symbol, entry = self.current()
        symbol.kind = kind
        if rest:
            self._prompt(entry, rest)

    def _prompt(self, entry: Entry, rest: str) -> None:
        text, condition = split_if(rest)
        if not re.fullmatch(r'"[^"]*"', text):
            raise ValueError("a prompt is quoted")
        entry.prompt = self.condition(condition)

    def on_bool(self, rest: str, _place: str) -> None:
        self.typed("bool", rest)

    def on_tristate(self, rest: str, _place: str) -> None:
        self.typed("tristate", rest)

    def on_string(self, rest: str, _place: str) -> None:
        self.typed("string", rest)

    def on_int(self, rest: str, _place: str) -> None:
        self.typed("int", rest)

    def on_hex(self, rest: str, _place: str) -> None:
        self.typed("hex", rest)

    def on_def_bool(self, rest: str, place: str) -> None:
        self.typed("bool", "")
        self.on_default(rest, place)

    def on_def_tristate(self, rest: str, place: str) -> None:
        self.typed("tristate", "")
        self.on_default(rest, place)

    def on_prompt(self, rest: str, _place: str) -> None:
        self._prompt(self.current()[1], rest)

    def on_default(self, rest: str, _place: str) -> None:
        value, condition = split_if(rest)
        self.current()[1].defaults.append((expression(value), self.condition(condition)))

    def on_select(self, rest: str, _place: str) -> None:
        name, condition = split_if(rest)
        self.current()[1].selects.append((name, self.condition(condition)))

    def on_modules(self, _rest: str, _place: str) -> None:
        self.result.modules = self.current()[0].name

    def on_depends(self, rest: str, _place: str) -> None:
        if not rest.startswith("on "):
            raise ValueError("depends on")
        condition = self.condition(rest[3:])
        if self.entry is not None:
            self.entry.own = both(self.entry.own, condition)
        elif self.open:
            self.open[-1] = (self.open[-1][0], both(self.open[-1][1], condition))

    def on_if(self, rest: str, _place: str) -> None:
        self._begin("if", self.condition(rest))

    def on_menu(self, _rest: str, _place: str) -> None:
        self._begin("menu", YES)

    def _begin(self, kind: str, condition: Expr) -> None:
        self.open.append((kind, both(self.here(), condition)))
        self.symbol = self.entry = None

    def on_endif(self, _rest: str, place: str) -> None:
        self._end("if", place)

    def on_endmenu(self, _rest: str, place: str) -> None:
        self._end("menu", place)

    def _end(self, kind: str, place: str) -> None:
        if not self.open or self.open[-1][0] != kind:
            raise ValueError(place)
        self.open.pop()
        self.symbol = self.entry = None

    def on_comment(self, _rest: str, _place: str) -> None:
        self.symbol, self.entry = None, Entry(self.here())

    def on_mainmenu(self, _rest: str, _place: str) -> None:
        self.symbol = self.entry = None

    def on_source(self, rest: str, place: str) -> None:
        name = rest.strip('"')
        if (self.root / name).is_file():
            self.file(name)
        else:
            self.errors.append(f'{place}: can\'t open file "{name}"')
        self.symbol = self.entry = None
