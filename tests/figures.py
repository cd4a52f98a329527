"""Figures of the code's style, of which the tests hold some: ``.venv/bin/python -m tests.figures``.

They are counted in ``matrix/``, ``reports/`` and ``tasks.py``. A function is also a method; a name with two
underscores at its start is the language's and not counted as a function's.
"""

import ast
import io
import re
import statistics
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
ALGORITHMS = {"lanes", "minimize", "grouping"}
"""The modules in which short comments are wanted: the reader has the steps, not the reasons."""

_PERSONIFYING = re.compile(
    r"\b(says?|tells?|told|knows?|nobody|whoever|strangers?|deaf|dumb|speaks?|hears?)\b", re.IGNORECASE
)
_IDIOM = frozenset(("told", "said", "one", "among", "found", "place", "mine", "here", "there", "made"))
_ALIAS = re.compile(r"_?[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*")
_DIRECTIVE = re.compile(r"# ?(noqa|type:)")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One source file. ``path`` is relative to the project's root."""

    path: Path
    text: str

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(ast.parse(self.text)))

    @property
    def package(self) -> str:
        """``matrix/source`` also for what lies in ``matrix/source/mbox``."""
        return "/".join(self.path.parts[:-1][:2]) or self.path.stem

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in self.nodes if isinstance(node, Function))

    @property
    def top_level(self) -> list[ast.stmt]:
        (module,) = (node for node in self.nodes if isinstance(node, ast.Module))
        return module.body

    @property
    def types(self) -> Iterator[str]:
        """Names of the classes and aliases that are defined at the top."""
        for node in self.top_level:
            if isinstance(node, ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = (target.id for target in targets if isinstance(target, ast.Name))
                yield from (name for name in names if _ALIAS.fullmatch(name))

    @property
    def public_names(self) -> set[str]:
        """Names of the functions, classes and aliases that are defined at the top for others."""
        functions = {node.name for node in self.top_level if isinstance(node, Function)}
        return {name for name in functions.union(self.types) if not name.startswith("_")}

    @property
    def comments(self) -> int:
        """How many comments there are, without those for tools."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return sum(token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string) for token in tokens)

    @property
    def docstrings(self) -> Iterator[str]:
        for node in self.nodes:
            if isinstance(node, ast.Module | ast.ClassDef | Function) and (text := ast.get_docstring(node)):
                yield text

    @property
    def local_names(self) -> Iterator[str]:
        """Every binding of a variable and every parameter."""
        for node in self.nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.arg):
                yield node.arg


def read_modules(root: Path = ROOT) -> list[Module]:
    """The modules that the figures are counted in, by path."""
    paths = [*root.glob("matrix/**/*.py"), *root.glob("reports/**/*.py"), root / "tasks.py"]
    return [Module(path.relative_to(root), path.read_text("utf-8")) for path in sorted(paths)]


def find_repeated_types(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Class and alias names that are defined more than once → where."""
    return _find_repeated((name, str(module.path)) for module in modules for name in module.types)


def find_shared_names(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Public names that are defined in two packages or more → these."""
    packages = ((name, module.package) for module in modules for name in module.public_names)
    return _find_repeated(sorted(set(packages)))


def find_repeated_basenames(modules: Iterable[Module]) -> dict[str, list[str]]:
    """Names of modules that two files have → these. Every package has its ``__init__.py``."""
    names = ((module.path.name, str(module.path)) for module in modules)
    return _find_repeated((name, path) for name, path in names if name != "__init__.py")


def _find_repeated(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    definitions = defaultdict(list)
    for name, location in pairs:
        definitions[name].append(location)
    return {name: locations for name, locations in sorted(definitions.items()) if len(locations) > 1}


def compute_one_word_share(modules: Iterable[Module]) -> float:
    """The part of the function names that are a single word, in percent."""
    names = [node.name for module in modules for node in module.functions if not node.name.startswith("__")]
    return _compute_percentage(sum("_" not in name.strip("_") for name in names), len(names))


def compute_personified_share(modules: Iterable[Module]) -> float:
    """The part of the docstrings in which a thing acts like a person, in percent."""
    texts = [text for module in modules for text in module.docstrings]
    return _compute_percentage(sum(bool(_PERSONIFYING.search(text)) for text in texts), len(texts))


def compute_comment_share(modules: Sequence[Module]) -> float:
    """Comments for every hundred lines."""
    return _compute_percentage(sum(m.comments for m in modules), sum(m.lines for m in modules))


def _compute_percentage(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def format_figures(modules: Sequence[Module]) -> str:
    """All figures, one a line."""
    lengths = [(node.end_lineno or 0) - node.lineno + 1 for m in modules for node in m.functions]
    names = [name for module in modules for name in module.local_names]
    algorithms = [module for module in modules if module.path.stem in ALGORITHMS]
    figures = {
        "modules": str(len(modules)),
        "module lines, median / max": _format_spread([module.lines for module in modules], 50, 100),
        "function lines, median / p90 / max": _format_spread(lengths, 50, 90, 100),
        "one-word function names": f"{compute_one_word_share(modules):.0f} %",
        "class or alias names defined twice": _format_names(find_repeated_types(modules)),
        "public names in two packages": _format_names(find_shared_names(modules)),
        "module names twice": _format_names(find_repeated_basenames(modules)),
        "comments per 100 lines": f"{compute_comment_share(modules):.1f}",
        "  in lanes, minimisation, grouping": f"{compute_comment_share(algorithms):.1f}",
        "docstrings that personify": f"{compute_personified_share(modules):.0f} %",
        "private idiom among local names": f"{sum(name in _IDIOM for name in names)} of {len(names)}",
    }
    return "".join(f"{name:<36}{value}\n" for name, value in figures.items())


def _format_spread(values: Sequence[int], *percentiles: int) -> str:
    cuts = [min(values), *statistics.quantiles(values, n=100, method="inclusive"), max(values)]
    return " / ".join(f"{cuts[number]:.0f}" for number in percentiles)


def _format_names(names: Iterable[str]) -> str:
    listed = list(names)
    return f"{len(listed)}: {', '.join(listed)}" if listed else "0"


if __name__ == "__main__":
    sys.stdout.write(format_figures(read_modules()))
