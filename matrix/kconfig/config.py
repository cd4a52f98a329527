"""Kconfig symbols and their values: .config files and fragments as values, requests verified against them.

A symbol is named without ``CONFIG_``. A value is text as a .config has it: ``y``, ``m``, ``n``, a number,
or a string in double quotes. A symbol that a .config does not mention is off: ``n`` and "not mentioned"
differ for ``in`` only.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from matrix.errors import RequestError

_PREFIX = "CONFIG_"
_SYMBOL = re.compile(r"[A-Za-z0-9_]+")
_TRISTATE = frozenset({"y", "m", "n"})
_NUMBER = re.compile(r"-?[0-9]+|0[xX][0-9A-Fa-f]+")
_QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+"')
_SET = re.compile(r"CONFIG_([A-Za-z0-9_]+)=(.*)")
_NOT_SET = re.compile(r"# CONFIG_([A-Za-z0-9_]+) is not set")
_SPECIAL = re.compile(r'["\\]')


def check_symbol(name: str) -> None:
    """Refuse, with a RequestError, what cannot be the name of a Kconfig symbol."""
    if name.startswith(_PREFIX):
        raise RequestError(
            f"'{name}' has the prefix CONFIG_, which is not part of a symbol's name",
            f"leave it off: write {name.removeprefix(_PREFIX)}",
        )
    if not _SYMBOL.fullmatch(name):
        raise RequestError(
            f"'{name}' is not the name of a Kconfig symbol", "use letters, digits and underscores only"
        )


def check_value(value: str) -> None:
    """Refuse, with a RequestError, what cannot be a symbol's value.

    ``y``, ``m``, ``n``, integers and 0x numbers stand for themselves. Anything else is a string: as it
    is, or in double quotes as a .config has it, which is the only way to write the strings "y" and "5".
    """
    if re.search(r"[\n\r\0]", value):
        raise RequestError(f"the value {value!r} has more than one line", "write it on one line")
    if value.startswith('"') and not _QUOTED.fullmatch(value):
        raise RequestError(
            f"the value {value} begins a string that does not end properly",
            'close it with ", and put a backslash before every " and \\ inside',
        )


def format_fragment(values: Mapping[str, str]) -> str:
    """The .config lines that set these values, in alphabetical order, strings put in quotes.

    olddefconfig takes it when it is appended to a base, since the last line on a symbol counts; the base
    must end with a newline. RequestError for a wrong name or value.
    """
    for name, value in values.items():
        check_symbol(name)
        check_value(value)
    return "".join(_format_line(name, _quote_value(values[name])) for name in sorted(values))


def _quote_value(value: str) -> str:
    if value in _TRISTATE or _NUMBER.fullmatch(value) or value.startswith('"'):
        return value
    return '"' + _SPECIAL.sub(r"\\\g<0>", value) + '"'


def _format_line(name: str, value: str) -> str:
    return f"# CONFIG_{name} is not set\n" if value == "n" else f"CONFIG_{name}={value}\n"


def unquote_value(value: str) -> str:
    """A string's text without its quotes and backslashes; any other value as it is."""
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if _QUOTED.fullmatch(value) else value


class SymbolCheck(NamedTuple):
    """A symbol that was wanted at a value, and the value that it has."""

    symbol: str
    want: str
    got: str

    @property
    def is_satisfied(self) -> bool:
        """Whether it has the value that was wanted.

        Strings are compared by their text, so quotes may be left off; but a bare y, m or n is never the
        string of that letter. A string wanted empty is not satisfied by an absent symbol: code that uses
        it would not compile. Numbers are compared as written: 0x10 is neither 16 nor 0X10.
        """
        if _TRISTATE & {self.want, self.got}:
            return self.want == self.got
        return unquote_value(self.want) == unquote_value(self.got)


@dataclass(frozen=True, eq=False, repr=False)
class Config(Mapping[str, str]):
    """A .config or a fragment of one: symbol → value as written, in the order of first mention.

    ``config[name]`` raises KeyError for what is not mentioned; ``config.value_of(name)`` is ``n``.
    ``str(config)`` is the file's syntax, and ``Config.parse`` reads it back.
    """

    _values: Mapping[str, str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_values", dict(self._values))

    @classmethod
    def parse(cls, text: str) -> "Config":
        """Read a .config or a fragment; of several lines on one symbol the last counts.

        RequestError names the first line that is neither a setting, nor ``# CONFIG_X is not set``, nor a
        comment, nor blank.
        """
        values: dict[str, str] = {}
        # Not splitlines(): that also breaks lines at form feeds and the like, which strings may hold.
        for number, padded in enumerate(text.split("\n"), 1):
            line = padded.rstrip(" \t\r")
            if match := _SET.fullmatch(line):
                values[match[1]] = _check_quotes(match[2], number, line)
            elif match := _NOT_SET.fullmatch(line):
                values[match[1]] = "n"
            elif line and not line.startswith("#"):
                raise _build_line_error(number, line)
        return cls(values)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self._values == other._values

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __str__(self) -> str:
        return "".join(_format_line(name, value) for name, value in self._values.items())

    def __repr__(self) -> str:
        return f"<Config of {len(self)} symbols>"

    @cached_property
    def enabled_symbols(self) -> frozenset[tuple[str, str]]:
        """Every symbol that is not n, with its value."""
        # Differences are sought between all pairs of a run's configs; a set keeps the hashes of its pairs.
        return frozenset(item for item in self._values.items() if item[1] != "n")

    def value_of(self, name: str) -> str:
        """A symbol's value; ``n`` when it is not mentioned."""
        return self._values.get(name, "n")

    def merge(self, other: "Config") -> "Config":
        """Both, with the other's values where both mention a symbol."""
        return Config({**self, **other})

    def diff(self, other: "Config") -> dict[str, tuple[str, str]]:
        """Symbol → (own value, other's) where they differ, in alphabetical order; absent counts as n."""
        return {
            name: (self.value_of(name), other.value_of(name))
            for name in sorted(self._find_differing_symbols(other))
        }

    def count_differences(self, other: "Config") -> int:
        """How many symbols differ."""
        return len(self._find_differing_symbols(other))

    def _find_differing_symbols(self, other: "Config") -> set[str]:
        return {name for name, _ in self.enabled_symbols ^ other.enabled_symbols}


def _check_quotes(value: str, number: int, line: str) -> str:
    if value.startswith('"') and not _QUOTED.fullmatch(value):
        raise _build_line_error(number, line)
    return value


def _build_line_error(number: int, line: str) -> RequestError:
    return RequestError(
        f"line {number} is no line of a .config: {line.strip()[:80]!r}",
        "expected CONFIG_NAME=value, '# CONFIG_NAME is not set', another comment, or nothing",
    )


def verify_symbols(want: Mapping[str, str], config: Config) -> tuple[SymbolCheck, ...]:
    """Each wanted symbol against what the configuration made of it, in alphabetical order."""
    return tuple(SymbolCheck(name, want[name], config.value_of(name)) for name in sorted(want))


# "# Linux/powerpc 6.12.48 Kernel Configuration": what Kconfig's mainmenu makes of ARCH and KERNELVERSION.
_HEAD = re.compile(r"^# [^\s/]++/(\S++) (\S++) (?:Kernel )?[Cc]onfiguration$", re.MULTILINE)
_VERSION = re.compile(r"[0-9]{1,9}")
_COMPILER_SYMBOLS = {"gcc": ("CC_IS_GCC", "GCC_VERSION"), "clang": ("CC_IS_CLANG", "CLANG_VERSION")}


@dataclass(frozen=True)
class ConfigCompiler:
    """What a .config was made with. ``version`` as Kconfig counts it (140200 for 14.2.0), 0 where it is
    missing; ``text`` is the first line of ``--version``, or the family alone."""

    family: str
    version: int
    text: str

    def measure_distance(self, other: "ConfigCompiler") -> tuple[bool, int]:
        """How far two compilers are apart: another family first, then the major versions between them."""
        return self.family != other.family, abs(self.version // 10000 - other.version // 10000)


@dataclass(frozen=True)
class ConfigOrigin:
    """``arch`` is the word after ``Linux/``: ARCH as it was typed. What a .config lacks is None."""

    arch: str | None
    version: str | None
    compiler: ConfigCompiler | None


def parse_origin(text: str) -> ConfigOrigin:
    """The origin of a .config, from its text. RequestError where that is no .config."""
    head = _HEAD.search(text)
    return ConfigOrigin(
        head[1] if head else None, head[2] if head else None, _parse_compiler(Config.parse(text))
    )


def _parse_compiler(config: Config) -> ConfigCompiler | None:
    for family, (is_it, version) in _COMPILER_SYMBOLS.items():
        if config.value_of(is_it) == "y":
            number, text = config.value_of(version), unquote_value(config.get("CC_VERSION_TEXT", ""))
            return ConfigCompiler(family, int(number) if _VERSION.fullmatch(number) else 0, text or family)
    return None
