"""Diagnostics that are known to be one problem, and what they point at."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

from matrix.diagnostics.diagnostic import Diagnostic
from matrix.findings.keys import ProblemKind, find_blamed_site, list_sites

ObjectDiagnostic = tuple[str, str | None]
"""A diagnostic's key, and the object that was being made."""
SourceLine = tuple[str, int]


@dataclass(eq=False)
class DiagnosticGroup:
    """Diagnostics that are known to be one problem. ``cells`` are numbers, in plan order.

    ``said``: which toolchains said what.
    """

    kinds: set[ProblemKind] = field(default_factory=set)
    toolchains_by_diagnostic: dict[ObjectDiagnostic, set[str]] = field(default_factory=dict)
    cells: set[int] = field(default_factory=set)
    stages: set[str] = field(default_factory=set)

    def absorb_group(self, other: "DiagnosticGroup") -> None:
        """Be one with the other."""
        self.kinds |= other.kinds
        for said, chains in other.toolchains_by_diagnostic.items():
            self.toolchains_by_diagnostic.setdefault(said, set()).update(chains)
        self.cells |= other.cells
        self.stages |= other.stages

    @property
    def objects(self) -> set[str]:
        """Where it came up, as far as it was an object."""
        return {item for _, item in self.toolchains_by_diagnostic if item}

    @property
    def tools(self) -> set[str]:
        """Who speaks."""
        return {kind.tool for kind in self.kinds}

    @property
    def symbols(self) -> set[str]:
        """What the messages name."""
        return {name for kind in self.kinds for name in kind.symbols}

    @property
    def toolchains(self) -> set[str]:
        """The toolchains in which it came up."""
        return reduce(set.union, self.toolchains_by_diagnostic.values(), set[str]())


class GroupTraits(NamedTuple):
    """What a group's messages point at. ``noted``: lines that only notes point at."""

    objects: frozenset[str]
    blamed: frozenset[SourceLine]
    noted: frozenset[SourceLine]
    codes: frozenset[tuple[str, str]]
    names: frozenset[str]


def collect_traits(group: DiagnosticGroup, of: Callable[[str], Diagnostic]) -> GroupTraits:
    """The traits of a group; ``of`` looks a diagnostic up by its key."""
    said = [of(key) for key in {key for key, _ in group.toolchains_by_diagnostic}]
    blamed = {line for one in said for line in find_blamed_lines(one)}
    sites = [site for one in said for site in list_sites(one) if not site.macro]
    return GroupTraits(
        objects=frozenset(group.objects),
        blamed=frozenset(blamed),
        noted=frozenset((site.file, site.line) for site in sites if site.line) - blamed,
        codes=frozenset((site.symbol, site.code) for site in sites if site.symbol and site.code),
        names=frozenset(group.symbols) | {site.symbol for site in sites if site.symbol},
    )


def find_blamed_lines(one: Diagnostic) -> Iterable[SourceLine]:
    """The line that is to blame, if it is known."""
    used = find_blamed_site(one)
    return [(used.file, used.line)] if used is not None and used.line else []


def find_noted_lines(one: Diagnostic) -> Iterable[SourceLine]:
    """The lines that the message or its notes point at."""
    return ((site.file, site.line) for site in list_sites(one) if site.line and not site.macro)
