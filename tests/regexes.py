"""Every regular expression of the code, how it is used, and texts on which a bad one takes for ever."""

import ast
import gc
import importlib
import re
import re._constants as opcodes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice, product
from time import process_time
from types import ModuleType
from typing import Any

from tests import figures
from tests.stopwatch import measure_slowness

AnyPattern = re.Pattern[str] | re.Pattern[bytes]
_METHODS = frozenset({"match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"})
_CALLS = tuple(f".{method}(" for method in sorted(_METHODS | {"compile"}))
_UNBOUNDED = 64
"""A repeat that may take more is tried on long texts."""


@dataclass
class UsedPattern:
    """A pattern, where it is, and the methods that it is used with; it is searched for where none is seen."""

    name: str
    pattern: AnyPattern
    methods: set[str] = field(default_factory=set)

    @property
    def key(self) -> tuple[object, int]:
        return self.pattern.pattern, self.pattern.flags


def collect_patterns() -> list[UsedPattern]:
    """The patterns of all modules, each once."""
    modules = [
        (importlib.import_module(".".join(module.path.with_suffix("").parts)), module)
        for module in figures.read_modules()
        if module.path.name not in {"__init__.py", "tasks.py"}
    ]
    used: dict[tuple[object, int], UsedPattern] = {}
    for imported, module in modules:
        # Most modules match nothing: to parse them all takes each process that collects tests for seconds.
        nodes = module.nodes if any(call in module.text for call in _CALLS) else ()
        for found in _collect_from_module(imported, nodes):
            used.setdefault(found.key, found).methods.update(found.methods)
    return list(used.values())


def _collect_from_module(module: ModuleType, nodes: Iterable[ast.AST]) -> Iterator[UsedPattern]:
    for node in nodes:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner, method = node.func.value, node.func.attr
        if isinstance(owner, ast.Name) and owner.id == "re" and method in _METHODS | {"compile"}:
            yield _evaluate_call(module, node, method)
        elif isinstance(owner, ast.Name) and method in _METHODS:
            constant = getattr(module, owner.id, None)
            if isinstance(constant, re.Pattern):
                yield UsedPattern(f"{module.__name__}.{owner.id}", constant, {method})
    yield from _collect_constants(module)


def _collect_constants(module: ModuleType) -> Iterator[UsedPattern]:
    for name, constant in vars(module).items():
        if isinstance(constant, re.Pattern):
            yield UsedPattern(f"{module.__name__}.{name}", constant)
        elif isinstance(constant, tuple):
            # The rows of a table are matched at a line's start.
            patterns = (getattr(row, "pattern", None) for row in constant)
            for number, pattern in enumerate(patterns):
                if isinstance(pattern, re.Pattern):
                    yield UsedPattern(f"{module.__name__}.{name}[{number}]", pattern, {"match"})


def _evaluate_call(module: ModuleType, node: ast.Call, method: str) -> UsedPattern:
    """The pattern of ``re.compile(…)`` or ``re.sub(…)``; what only a run fills in stands as ``x``."""
    text = _evaluate(module, _fill_in(module, node.args[0]))
    if isinstance(text, re.Pattern):
        return UsedPattern(f"{module.__name__}:{node.lineno}", text, {method})
    flags = [_evaluate(module, argument) for argument in node.args[1:2] if method == "compile"]
    pattern = re.compile(text, *flags)
    return UsedPattern(f"{module.__name__}:{node.lineno}", pattern, {method} - {"compile"})


def _evaluate(module: ModuleType, node: ast.expr) -> Any:
    return eval(compile(ast.fix_missing_locations(ast.Expression(node)), "<pattern>", "eval"), vars(module))


def _fill_in(module: ModuleType, node: ast.expr) -> ast.expr:
    if isinstance(node, ast.JoinedStr):
        return ast.JoinedStr([_fill_in(module, part) for part in node.values])
    try:
        _evaluate(module, node)
    except NameError:
        return ast.Constant("x")
    return node


# What stands for each class of characters, and what breaks a match at its end.
_SAMPLES = "a0 A_.:/-#\"'`\\\n\t("
_SUFFIXES = ("", "\0", "\n", "!", " ", "a", "\x1b")
_MAX_VARIANTS = 4


class AttackTexts:
    """Texts made of a pattern itself: what leads to each of its repeats, what it repeats, and an end that
    does not fit."""

    def __init__(self, pattern: AnyPattern) -> None:
        self._flags = pattern.flags
        text = pattern.pattern
        self.is_bytes = isinstance(text, bytes)
        self._tree = parser.parse(
            text.decode("latin-1") if isinstance(text, bytes) else text,
            pattern.flags & ~re.UNICODE if self.is_bytes else pattern.flags,
        )

    @cached_property
    def _repeats(self) -> list[tuple[str, list[str]]]:
        """(a text that leads to a repeat, what it may repeat)."""
        return list(self._find_repeats(self._tree, [""]))

    def build_attacks(self) -> Iterator[Callable[[int], str | bytes]]:
        """Each takes a length and gives a text of about that length, and each text comes once."""
        shapes = chain(self._list_shapes(), self._list_starts())
        once = dict.fromkeys((prefix, _find_root(pump), suffix) for prefix, pump, suffix in shapes)
        yield from (self._repeat(*shape) for shape in once)

    def _list_starts(self) -> Iterator[tuple[str, str, str]]:
        """Many starts for a search: what leads to a repeat, over and over."""
        for prefix, pumps in self._repeats:
            for pump in pumps:
                yield "", prefix + pump, "\0"
                yield "", prefix, pump + "\0"

    def _list_shapes(self) -> Iterator[tuple[str, str, str]]:
        pumps = list(dict.fromkeys(chain.from_iterable(pumps for _, pumps in self._repeats)))
        literals = [chr(value) for value in self._find_literals(self._tree)]
        words = list(islice(self._expand(self._tree), 3))
        prefixes = list(dict.fromkeys(["", *(prefix for prefix, _ in self._repeats)]))
        singles = list(dict.fromkeys([*pumps, *literals, *words, *_SAMPLES]))
        yield from product(prefixes, filter(None, singles), _SUFFIXES)
        for pair in product(literals[:12], [*literals[:12], *_SAMPLES]):
            yield "", "".join(pair), "\0"

    def _repeat(self, prefix: str, pump: str, suffix: str) -> Callable[[int], str | bytes]:
        def build(length: int) -> str | bytes:
            text = prefix + pump * (length // max(1, len(pump))) + suffix
            return text.encode("utf-8", "replace") if self.is_bytes else text

        return build

    def _find_repeats(self, nodes: Any, prefixes: list[str]) -> Iterator[tuple[str, list[str]]]:
        """The unbounded repeats, in order, with texts that lead to them."""
        for code, argument in nodes:
            if code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}:
                _, most, body = argument
                if most > _UNBOUNDED:
                    pumps = list(islice(self._expand(body), 12))
                    for prefix in prefixes:
                        yield prefix, pumps
                yield from self._find_repeats(body, prefixes)
            for below in self._list_children(code, argument):
                yield from self._find_repeats(below, prefixes)
            ends = list(islice(self._expand([(code, argument)]), _MAX_VARIANTS))
            prefixes = [a + b for a, b in islice(product(prefixes, ends or [""]), _MAX_VARIANTS)]

    def _find_literals(self, nodes: Any) -> list[int]:
        found: dict[int, None] = {}
        for code, argument in nodes:
            if code in {opcodes.LITERAL, opcodes.NOT_LITERAL}:
                found[argument] = None
            if code is opcodes.IN:
                found |= dict.fromkeys(self._find_literals(argument))
                found |= {
                    value: None for kind, ends in argument if kind is opcodes.RANGE for value in ends[:1]
                }
            if code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}:
                found |= dict.fromkeys(self._find_literals(argument[2]))
            for below in self._list_children(code, argument):
                found |= dict.fromkeys(self._find_literals(below))
        return list(found)

    def _list_children(self, code: Any, argument: Any) -> list[Any]:
        if code is opcodes.SUBPATTERN:
            return [argument[3]]
        if code is opcodes.BRANCH:
            return list(argument[1])
        if code is opcodes.ATOMIC_GROUP:
            return [argument]
        return [argument[1]] if code in {opcodes.ASSERT, opcodes.ASSERT_NOT} else []

    def _expand(self, nodes: Any) -> Iterator[str]:
        """Some of the texts that match, shortest repeats and longer ones."""
        choices = [list(islice(self._expand_node(code, argument), 12)) or [""] for code, argument in nodes]
        if not choices:
            return iter([""])
        # The first of each, then each node's others beside the first of the rest.
        first = [options[0] for options in choices]
        texts = {"".join(first): None}
        for place, options in enumerate(choices):
            for option in options[1:]:
                texts["".join([*first[:place], option, *first[place + 1 :]])] = None
        return iter(texts)

    def _expand_node(self, code: Any, argument: Any) -> Iterator[str]:
        if code is opcodes.LITERAL:
            yield chr(argument)
        elif code in {opcodes.NOT_LITERAL, opcodes.ANY, opcodes.IN}:
            yield from self._sample_characters(code, argument)
        elif code in {opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.POSSESSIVE_REPEAT}:
            least, most, body = argument
            for count in dict.fromkeys((max(least, min(1, most)), least, min(2, most))):
                yield from (text * count for text in islice(self._expand(body), 6))
        else:
            for below in self._list_children(code, argument):
                if code is not opcodes.ASSERT_NOT:
                    yield from islice(self._expand(below), 4)

    def _sample_characters(self, code: Any, argument: Any) -> Iterator[str]:
        literals = [chr(value) for value in self._find_literals(self._tree)]
        pattern = parser.SubPattern(self._tree.state, [(code, argument)])
        matches = re._compiler.compile(pattern, self._flags & ~re.DEBUG)  # type: ignore[attr-defined]
        for sample in dict.fromkeys([*_SAMPLES, *literals]):
            if matches.fullmatch(sample.encode("latin-1") if self.is_bytes else sample):
                yield sample


def _find_root(text: str) -> str:
    """The shortest text that, repeated, is this one: over and over, both are the same."""
    return text[: (text + text).find(text, 1)]


# Small ones first: a pattern that takes exponential time must be seen before the test hangs.
_SIZES = (24, 40, 64, 128, 256, 1024, 8192, 32_768)
_QUICK = {256: 9e-6, 1024: 150e-6, 8192: 2e-3}
"""Seconds for a text of this length: what is as quick takes no quadratic time."""
_SLOW = 0.02
"""Seconds below which no text is slow, whatever the pattern."""
_SECONDS_PER_CHARACTER = 0.6e-6
_DISTURBED = 10
"""How many times as long as it may take is what no other process explains."""


@dataclass(frozen=True)
class SlowText:
    """A text on which a pattern takes more than linear time."""

    method: str
    text: str
    size: int
    seconds: float


def find_slow_text(used: UsedPattern) -> SlowText | None:
    """A text that takes a pattern far longer than its length explains, if any is found."""
    for build in AttackTexts(used.pattern).build_attacks():
        for method in sorted(used.methods) or ["search"]:
            slow = _try_sizes(used.pattern, method, build)
            if slow is not None:
                return slow
    return None


def _try_sizes(
    pattern: AnyPattern, method: str, build: Callable[[int], str | bytes], sizes: Sequence[int] = _SIZES
) -> SlowText | None:
    for size in sizes:
        text = build(size)
        allowed = max(_SLOW, size * _SECONDS_PER_CHARACTER)
        seconds = _measure(pattern, method, text)
        # Tried again where it was slow: another process may have had the machine, but not for so long.
        if seconds > allowed:
            tries = 3 if seconds < allowed * _DISTURBED else 1
            seconds = min(_measure(pattern, method, text) for _ in range(tries))
        if seconds > allowed and seconds > allowed * measure_slowness():
            return SlowText(method, repr(text[:80]), size, seconds)
        if seconds < _QUICK.get(size, 0):
            break
    return None


def _measure(pattern: AnyPattern, method: str, text: str | bytes) -> float:
    arguments: tuple[Any, ...] = ("", text) if method in {"sub", "subn"} else (text,)
    if isinstance(text, bytes) and method in {"sub", "subn"}:
        arguments = (b"", text)
    # Thousands of matches would have all garbage looked for, which takes longer than they.
    gc.disable()
    try:
        start = process_time()
        result = getattr(pattern, method)(*arguments)
        if method == "finditer":
            list(result)
        return process_time() - start
    finally:
        gc.enable()
